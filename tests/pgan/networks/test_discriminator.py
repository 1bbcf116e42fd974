"""The discriminator: shapes at every level, the fade-in, gradients in the open, precision, labels, packs."""

import pytest
import torch
import torch.nn.functional as F

from pgan.networks.layers import SLOPE, downsample
from tests.pgan_runs import make_small_networks


@pytest.mark.parametrize("image_shape", [(1, 16, 16), (3, 16, 24), (6, 32, 16)])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.3, 1.0])
def test_there_is_a_logit_for_each_image_at_every_level(image_shape, alpha):
    channels, height, width = image_shape
    shape, _, discriminator = make_small_networks(image_shape, (3, 2))
    labels = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
    for level in range(shape.levels):
        halvings = 2 ** (shape.levels - 1 - level)
        images = torch.randn(4, channels, height // halvings, width // halvings)
        assert discriminator(images, labels, level, alpha).shape == (4,)


def test_alpha_zero_is_the_old_output_and_alpha_one_the_new_one():
    _, _, discriminator = make_small_networks((2, 16, 16))
    for level in (1, 2):
        images = torch.randn(4, 2, 4 * 2**level, 4 * 2**level)
        old = discriminator(downsample(images), None, level - 1)
        torch.testing.assert_close(discriminator(images, None, level, 0.0), old)
        torch.testing.assert_close(discriminator(images, None, level, 1.0), discriminator(images, None, level))


@pytest.mark.usefixtures("float64")
def test_alpha_weighs_the_newest_block_linearly():
    _, _, d = make_small_networks((2, 8, 8))
    images = torch.randn(4, 2, 8, 8)
    old = F.leaky_relu(d.from_image[0](downsample(images)), SLOPE)
    new = F.leaky_relu(d.from_image[1](images), SLOPE)
    for layer in (d.blocks[0].same, d.blocks[0].down):
        new = F.leaky_relu(layer(new), SLOPE)
    torch.testing.assert_close(d(images, None, 1, 0.25), d._score(0.75 * old + 0.25 * new, None, 1))


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_gradients_in_the_open_are_those_of_differentiating_twice(level, alpha, pack):
    shape, _, discriminator = make_small_networks((3, 16, 24), (3, 2), pack=pack)
    discriminator, weights = discriminator.double(), list(discriminator.parameters())
    labels, images = torch.randint(0, 2, (4, 2)), torch.randn(4, 3, 4 * 2**level, 6 * 2**level).double()

    def total(images):
        logits = discriminator(images, labels, level, alpha)
        return logits.sum(), logits

    result = discriminator.with_gradients(images, labels, level, alpha)
    expected = torch.func.grad(total, has_aux=True)(images)[::-1]
    torch.testing.assert_close(result, expected)
    by_weights = [
        torch.autograd.grad(logits.square().sum() + gradients.square().sum(), weights, allow_unused=True)
        for logits, gradients in (result, expected)
    ]
    for one, other in zip(*by_weights, strict=True):
        one, other = (torch.zeros(()) if g is None else g for g in (one, other))  # of a bias: zero or not there
        torch.testing.assert_close(*torch.broadcast_tensors(one, other), check_dtype=False)


@pytest.mark.usefixtures("float64")
def test_batches_judged_together_are_judged_each_by_itself():
    _, _, discriminator = make_small_networks((3, 8, 8), (3,))
    labels, reals, fakes = torch.randint(0, 3, (4, 1)), torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    together = discriminator(torch.cat([reals, fakes]), labels.repeat(2, 1), 1, batches=2)
    torch.testing.assert_close(together, torch.cat([discriminator(batch, labels, 1) for batch in (reals, fakes)]))


def test_half_precision_stays_inside_the_discriminator():
    torch.manual_seed(0)
    _, generator, discriminator = make_small_networks((3, 8, 8), (3,))
    z, labels = torch.randn(4, 8), torch.randint(0, 3, (4, 1))
    images = generator(z, labels, 1, 0.3).detach()
    exact_logits, exact_gradients = discriminator.with_gradients(images, labels, 1, 0.3)
    discriminator.precision = torch.bfloat16
    logits, gradients = discriminator.with_gradients(images, labels, 1, 0.3)
    assert logits.dtype == torch.float32
    # eight significant bits through some ten layers: 2^-8 each, added like random numbers, is 1 %
    assert (logits - exact_logits).norm() < 0.05 * exact_logits.norm()
    # and where rounding turns the sign of a leaky ReLU, the slope of that unit is another
    assert (gradients.float() - exact_gradients).norm() < 0.25 * exact_gradients.norm()


def test_logits_depend_on_each_label_factor():
    _, _, discriminator = make_small_networks((1, 8, 8), (3, 2))
    images, zero = torch.randn(4, 1, 8, 8), torch.zeros(4, 2, dtype=torch.int64)
    for factor in (0, 1):
        other = zero.clone()
        other[:, factor] = 1
        assert not torch.allclose(discriminator(images, zero, 1), discriminator(images, other, 1))


@pytest.mark.usefixtures("float64")
def test_a_pack_is_judged_together_and_knows_whose_label_is_whose():
    _, _, discriminator = make_small_networks((1, 8, 8), (3,), pack=2)
    images, labels = torch.randn(4, 1, 8, 8), torch.tensor([[0], [1], [2], [2]])
    logits = discriminator(images, labels, 1)
    assert logits.shape == (2,)
    swapped = discriminator(images, labels[[1, 0, 2, 3]], 1)
    assert not torch.isclose(logits[0], swapped[0])
    torch.testing.assert_close(logits[1], swapped[1])
    second = discriminator(images, torch.tensor([[0], [2], [2], [2]]), 1)
    assert not torch.isclose(logits[0], second[0])
