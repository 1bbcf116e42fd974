"""Losses and penalties against closed forms on linear and quadratic critics."""

import math

import pytest
import torch

from pgan.losses import LOSSES, WGAN_DRIFT, one_centred_penalty, zero_centred_penalty

REALS = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
FAKES = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
WEIGHT = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def linear(images):
    return (images * WEIGHT).sum((1, 2, 3))


def quadratic(images):
    return images.square().sum((1, 2, 3))


def test_r1_of_a_linear_critic_is_its_squared_length_and_of_a_quadratic_one_four_times_the_square():
    torch.testing.assert_close(zero_centred_penalty(linear, REALS), WEIGHT.square().sum())
    torch.testing.assert_close(zero_centred_penalty(quadratic, REALS), 4 * REALS.square().sum((1, 2, 3)).mean())


def test_wgan_penalty_of_a_linear_critic_is_its_length_minus_one_squared():
    mix = torch.rand(4, 1, 1, 1, dtype=torch.float64)
    expected = (WEIGHT.square().sum().sqrt() - 1).square()
    torch.testing.assert_close(one_centred_penalty(linear, REALS, fakes=FAKES, mix=mix), expected)


def test_wgan_penalty_is_taken_between_reals_and_fakes():
    for mix, at in ((torch.zeros(4, 1, 1, 1).double(), REALS), (torch.ones(4, 1, 1, 1).double(), FAKES)):
        expected = (2 * at.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
        torch.testing.assert_close(one_centred_penalty(quadratic, REALS, fakes=FAKES, mix=mix), expected)


def test_penalties_can_be_differentiated_by_the_critics_weights():
    weight = WEIGHT.clone().requires_grad_(True)
    zero_centred_penalty(lambda images: (images * weight).sum((1, 2, 3)), REALS).backward()
    torch.testing.assert_close(weight.grad, 2 * WEIGHT)


def test_rpgan_punishes_both_reals_and_fakes():
    penalty = LOSSES["rpgan-r1-r2"].penalty(quadratic, REALS, FAKES, None)
    expected = 4 * REALS.square().sum((1, 2, 3)).mean() + 4 * FAKES.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty, expected)


@pytest.mark.parametrize(
    ("name", "d", "g"),
    [
        ("ns-r1", math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)), math.log1p(math.exp(1))),
        ("wgan-gp", -1 - 2 + WGAN_DRIFT * 4, 1.0),
        ("rpgan-r1-r2", math.log1p(math.exp(-3)), math.log1p(math.exp(3))),
    ],
)
def test_losses_at_logits_two_and_minus_one(name, d, g):
    real, fake = torch.full((3,), 2.0, dtype=torch.float64), torch.full((3,), -1.0, dtype=torch.float64)
    assert LOSSES[name].of_d(real, fake).item() == pytest.approx(d)
    assert LOSSES[name].of_g(real, fake).item() == pytest.approx(g)
