"""Losses and penalties against closed forms on linear and quadratic critics."""

import math

import pytest
import torch

from pgan.networks.losses import LOSSES, WGAN_DRIFT, WGAN_LAMBDA

REALS = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(0))
FAKES = torch.randn(4, 2, 3, 3, generator=torch.Generator().manual_seed(1))
WEIGHT = torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(2))


class PlainCritic:
    """A `Critic` from any function of images."""

    def __init__(self, function):
        self.function = function

    def logits(self, *batches):
        return tuple(self.function(batch) for batch in batches)

    def logits_and_gradients(self, *batches):
        batches = [batch.detach().requires_grad_(True) for batch in batches]
        logits = self.logits(*batches)
        total = sum(batch.sum() for batch in logits)
        return logits, torch.autograd.grad(total, batches, create_graph=True)


def linear(images):
    return (images * WEIGHT).sum((1, 2, 3))


def quadratic(images):
    return images.square().sum((1, 2, 3))


def penalty_of(name, function, mix=None):
    return LOSSES[name].score(PlainCritic(function), REALS, FAKES, mix)[2]


def test_r1_of_a_linear_critic_is_its_squared_length_and_of_a_quadratic_one_four_times_the_square():
    torch.testing.assert_close(penalty_of("ns-r1", linear), WEIGHT.square().sum())
    torch.testing.assert_close(penalty_of("ns-r1", quadratic), 4 * REALS.square().sum((1, 2, 3)).mean())


def test_wgan_penalty_of_a_linear_critic_is_its_length_minus_one_squared():
    expected = WGAN_LAMBDA * (WEIGHT.square().sum().sqrt() - 1).square()
    torch.testing.assert_close(penalty_of("wgan-gp", linear, torch.rand(4, 1, 1, 1)), expected)


def test_wgan_penalty_is_taken_between_reals_and_fakes():
    for mix, at in ((torch.zeros(4, 1, 1, 1), REALS), (torch.ones(4, 1, 1, 1), FAKES)):
        expected = WGAN_LAMBDA * (2 * at.square().sum((1, 2, 3)).sqrt() - 1).square().mean()
        torch.testing.assert_close(penalty_of("wgan-gp", quadratic, mix), expected)


def test_penalties_can_be_differentiated_by_the_critics_weights():
    weight = WEIGHT.clone().requires_grad_(True)
    penalty_of("ns-r1", lambda images: (images * weight).sum((1, 2, 3))).backward()
    torch.testing.assert_close(weight.grad, 2 * WEIGHT)


def test_rpgan_punishes_both_reals_and_fakes():
    expected = 4 * REALS.square().sum((1, 2, 3)).mean() + 4 * FAKES.square().sum((1, 2, 3)).mean()
    torch.testing.assert_close(penalty_of("rpgan-r1-r2", quadratic), expected)


@pytest.mark.parametrize("name", sorted(LOSSES))
def test_logits_come_with_the_penalty(name):
    real, fake, _ = LOSSES[name].score(PlainCritic(linear), REALS, FAKES, torch.rand(4, 1, 1, 1))
    torch.testing.assert_close((real, fake), (linear(REALS), linear(FAKES)))


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
