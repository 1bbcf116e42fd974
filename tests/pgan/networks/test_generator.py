"""The generator: shapes at every level, the fade-in, precision, labels."""

import pytest
import torch

from pgan.networks.layers import upsample
from tests.pgan_runs import make_small_networks


@pytest.mark.parametrize("image_shape", [(1, 16, 16), (3, 16, 24), (6, 32, 16)])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.3, 1.0])
def test_images_have_their_shape_at_every_level(image_shape, alpha):
    channels, height, width = image_shape
    shape, generator, _ = make_small_networks(image_shape, (3, 2))
    labels = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
    for level in range(shape.levels):
        images = generator(torch.randn(4, 8), labels, level, alpha)
        halvings = 2 ** (shape.levels - 1 - level)
        assert images.shape == (4, channels, height // halvings, width // halvings)


@pytest.mark.usefixtures("float64")
def test_alpha_zero_is_the_old_output_enlarged_and_alpha_one_the_new_one():
    _, generator, _ = make_small_networks((2, 16, 16))
    z = torch.randn(4, 8)
    for level in (1, 2):
        torch.testing.assert_close(generator(z, None, level, 0.0), upsample(generator(z, None, level - 1)))
        torch.testing.assert_close(generator(z, None, level, 1.0), generator(z, None, level))


@pytest.mark.usefixtures("float64")
def test_alpha_weighs_the_newest_block_linearly():
    _, generator, _ = make_small_networks((2, 8, 8))
    z = torch.randn(4, 8)
    old, new, mixed = (generator(z, None, 1, alpha) for alpha in (0.0, 1.0, 0.25))
    torch.testing.assert_close(mixed, 0.75 * old + 0.25 * new)


def test_half_precision_stays_inside_the_generator():
    torch.manual_seed(0)
    _, generator, _ = make_small_networks((3, 8, 8), (3,))
    z, labels = torch.randn(4, 8), torch.randint(0, 3, (4, 1))
    exact = generator(z, labels, 1, 0.3)
    generator.precision = torch.bfloat16
    images = generator(z, labels, 1, 0.3)
    assert images.dtype == torch.float32
    # eight significant bits through some ten layers: 2^-8 each, added like random numbers, is 1 %
    assert (images - exact).norm() < 0.05 * exact.norm()


def test_images_depend_on_each_label_factor():
    _, generator, _ = make_small_networks((1, 8, 8), (3, 2))
    z, zero = torch.randn(4, 8), torch.zeros(4, 2, dtype=torch.int64)
    for factor in (0, 1):
        other = zero.clone()
        other[:, factor] = 1
        assert not torch.allclose(generator(z, zero, 1), generator(z, other, 1))
    first, second = torch.tensor([[1, 0]] * 4), torch.tensor([[0, 1]] * 4)
    assert not torch.allclose(generator(z, first, 1), generator(z, second, 1))
