"""G and D: shapes at every growth, exact fusions, equalised learning rate, minibatch stddev, labels."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pgan.config import TrainConfig
from pgan.networks.layers import (
    SLOPE,
    Conv,
    ConvDown,
    Dense,
    conv_down,
    conv_up,
    downsample,
    minibatch_stddev,
    pixel_norm,
    spread_kernel,
    spread_matrix,
    upsample,
)
from pgan.networks.shape import NetworkShape
from pgan.steps.state import make_networks


def small_config(**changes) -> TrainConfig:
    return TrainConfig(**{"batch": 4, "base_maps": 32, "max_maps": 16, "latent_size": 8, "label_size": 6} | changes)


def networks_for(image_shape, factor_sizes=(), **changes):
    shape = NetworkShape.of(small_config(**changes), image_shape, factor_sizes=factor_sizes)
    return shape, *make_networks(shape, seed=0)


@pytest.mark.parametrize("image_shape", [(1, 16, 16), (3, 16, 24), (6, 32, 16)])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.3, 1.0])
def test_images_and_logits_have_their_shape_at_every_level(image_shape, alpha):
    channels, height, width = image_shape
    shape, generator, discriminator = networks_for(image_shape, (3, 2))
    labels = torch.tensor([[0, 1], [2, 0], [1, 1], [0, 0]])
    for level in range(shape.levels):
        images = generator(torch.randn(4, 8), labels, level, alpha)
        halvings = 2 ** (shape.levels - 1 - level)
        assert images.shape == (4, channels, height // halvings, width // halvings)
        assert discriminator(images, labels, level, alpha).shape == (4,)


def test_alpha_zero_is_the_old_output_enlarged_and_alpha_one_the_new_one():
    _, generator, discriminator = networks_for((2, 16, 16))
    z = torch.randn(4, 8)
    for level in (1, 2):
        torch.testing.assert_close(generator(z, None, level, 0.0), upsample(generator(z, None, level - 1)))
        torch.testing.assert_close(generator(z, None, level, 1.0), generator(z, None, level))
        images = torch.randn(4, 2, 4 * 2**level, 4 * 2**level)
        old = discriminator(downsample(images), None, level - 1)
        torch.testing.assert_close(discriminator(images, None, level, 0.0), old)
        torch.testing.assert_close(discriminator(images, None, level, 1.0), discriminator(images, None, level))


def test_alpha_weighs_the_newest_block_linearly():
    _, generator, discriminator = networks_for((2, 8, 8))
    z = torch.randn(4, 8)
    old, new, mixed = (generator(z, None, 1, alpha) for alpha in (0.0, 1.0, 0.25))
    torch.testing.assert_close(mixed, 0.75 * old + 0.25 * new)
    images, d = torch.randn(4, 2, 8, 8), discriminator
    old = F.leaky_relu(d.from_image[0](downsample(images)), SLOPE)
    new = F.leaky_relu(d.from_image[1](images), SLOPE)
    for layer in (d.blocks[0].same, d.blocks[0].down):
        new = F.leaky_relu(layer(new), SLOPE)
    torch.testing.assert_close(d(images, None, 1, 0.25), d._score(0.75 * old + 0.25 * new, None, 1))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_fused_resampling_convolutions_equal_the_unfused(inputs, outputs, height, width, seed):
    random = torch.Generator().manual_seed(seed)
    kernel, bias = (torch.randn(s, generator=random).double() for s in ((outputs, inputs, 3, 3), (outputs,)))
    spread = spread_kernel(kernel, spread_matrix().double())
    x = torch.randn(2, inputs, height, width, generator=random).double()
    torch.testing.assert_close(conv_up(x, spread, bias), F.conv2d(upsample(x), kernel, bias, padding=1))
    large = torch.randn(2, inputs, 2 * height, 2 * width, generator=random).double()
    torch.testing.assert_close(conv_down(large, spread, bias), downsample(F.conv2d(large, kernel, bias, padding=1)))


@pytest.mark.parametrize("layer", [Conv(3, 5), Conv(3, 5, size=1), ConvDown(3, 5)])
def test_adjoints_are_transposes(layer):
    x = torch.randn(2, 3, 6, 8)
    kernel = layer.kernel(x.dtype)
    y = layer.convolve(x, kernel, None)
    other = torch.randn_like(y)
    torch.testing.assert_close((y * other).sum(), (x * layer.adjoint(other, kernel)).sum())


@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("alpha", [None, 0.3])
@pytest.mark.parametrize("level", [0, 1, 2])
def test_gradients_in_the_open_are_those_of_differentiating_twice(level, alpha, pack):
    shape, _, discriminator = networks_for((3, 16, 24), (3, 2), pack=pack)
    discriminator, weights = discriminator.double(), list(discriminator.parameters())
    labels, images = torch.randint(0, 2, (4, 2)), torch.randn(4, 3, 4 * 2**level, 6 * 2**level).double()

    def total(images):
        logits = discriminator(images, labels, level, alpha)
        return logits.sum(), logits

    found = discriminator.with_gradients(images, labels, level, alpha)
    expected = torch.func.grad(total, has_aux=True)(images)[::-1]
    torch.testing.assert_close(found, expected)
    by_weights = [
        torch.autograd.grad(logits.square().sum() + gradients.square().sum(), weights, allow_unused=True)
        for logits, gradients in (found, expected)
    ]
    for one, other in zip(*by_weights, strict=True):
        one, other = (torch.zeros(()) if g is None else g for g in (one, other))  # of a bias: zero or not there
        torch.testing.assert_close(*torch.broadcast_tensors(one, other), check_dtype=False)


def test_batches_judged_together_are_judged_each_by_itself():
    _, _, discriminator = networks_for((3, 8, 8), (3,))
    labels, reals, fakes = torch.randint(0, 3, (4, 1)), torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    together = discriminator(torch.cat([reals, fakes]), labels.repeat(2, 1), 1, batches=2)
    torch.testing.assert_close(together, torch.cat([discriminator(batch, labels, 1) for batch in (reals, fakes)]))


def test_half_precision_stays_inside_the_networks():
    torch.manual_seed(0)
    _, generator, discriminator = networks_for((3, 8, 8), (3,))
    z, labels = torch.randn(4, 8), torch.randint(0, 3, (4, 1))
    exact = generator(z, labels, 1, 0.3)
    exact_logits, exact_gradients = discriminator.with_gradients(exact.detach(), labels, 1, 0.3)
    generator.precision = discriminator.precision = torch.bfloat16
    images = generator(z, labels, 1, 0.3)
    logits, gradients = discriminator.with_gradients(exact.detach(), labels, 1, 0.3)
    assert images.dtype == logits.dtype == torch.float32
    # eight significant bits through some ten layers: 2^-8 each, added like random numbers, is 1 %
    assert (images - exact).norm() < 0.05 * exact.norm()
    assert (logits - exact_logits).norm() < 0.05 * exact_logits.norm()
    # and where rounding turns the sign of a leaky ReLU, the slope of that unit is another
    assert (gradients.float() - exact_gradients).norm() < 0.25 * exact_gradients.norm()


def test_equalised_layers_keep_unit_variance_and_unit_weights():
    torch.manual_seed(0)
    for layer, x in ((Dense(400, 300, gain=1.0), torch.randn(200, 400)), (Conv(40, 50, gain=1.0), torch.ones(1))):
        deviation = layer.weight.std().item()
        assert abs(deviation - 1) < 4 / np.sqrt(2 * layer.weight.numel())  # 4 sigma of a sample deviation
        if isinstance(layer, Dense):
            # inputs and weights are shared: the variance over 200 x 300 outputs spreads by sqrt(2 / 300 + 2 / 200)
            assert layer(x).var().item() == pytest.approx(1, abs=4 * np.sqrt(2 / 300 + 2 / 200))


def test_the_bias_is_not_scaled():
    layer = Dense(100, 7)
    with torch.no_grad():
        layer.bias.fill_(2.0)
    assert torch.equal(layer(torch.zeros(1, 100)), torch.full((1, 7), 2.0))


def test_pixel_norm_makes_the_mean_square_one():
    x = torch.randn(3, 5, 4, 4) * 7
    torch.testing.assert_close(pixel_norm(x).square().mean(1), torch.ones(3, 4, 4))


@pytest.mark.parametrize(("n", "group"), [(8, 4), (4, 4), (6, 4), (8, 2)])
def test_minibatch_stddev_against_numpy(n, group):
    x = np.random.default_rng(0).normal(size=(n, 3, 2, 5)).astype(np.float32)
    size = group if n % group == 0 else n
    groups = n // size
    expected = np.empty(n, np.float32)
    for m in range(groups):
        expected[m::groups] = x[m::groups].astype(np.float64).std(0).mean()
    found = minibatch_stddev(torch.from_numpy(x), group).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    twice = minibatch_stddev(torch.from_numpy(np.concatenate([x, 2 * x])), group, batches=2).numpy()
    np.testing.assert_allclose(twice, np.concatenate([expected, 2 * expected]), rtol=1e-4)


def test_both_networks_depend_on_each_label_factor():
    _, generator, discriminator = networks_for((1, 8, 8), (3, 2))
    z, images = torch.randn(4, 8), torch.randn(4, 1, 8, 8)
    zero = torch.zeros(4, 2, dtype=torch.int64)
    for factor in (0, 1):
        other = zero.clone()
        other[:, factor] = 1
        assert not torch.allclose(generator(z, zero, 1), generator(z, other, 1))
        assert not torch.allclose(discriminator(images, zero, 1), discriminator(images, other, 1))
    first, second = torch.tensor([[1, 0]] * 4), torch.tensor([[0, 1]] * 4)
    assert not torch.allclose(generator(z, first, 1), generator(z, second, 1))


def test_a_pack_is_judged_together_and_knows_whose_label_is_whose():
    _, _, discriminator = networks_for((1, 8, 8), (3,), pack=2)
    images, labels = torch.randn(4, 1, 8, 8), torch.tensor([[0], [1], [2], [2]])
    logits = discriminator(images, labels, 1)
    assert logits.shape == (2,)
    swapped = discriminator(images, labels[[1, 0, 2, 3]], 1)
    assert not torch.isclose(logits[0], swapped[0])
    torch.testing.assert_close(logits[1], swapped[1])
    second = discriminator(images, torch.tensor([[0], [2], [2], [2]]), 1)
    assert not torch.isclose(logits[0], second[0])


def test_the_same_seed_gives_the_same_weights_and_leaves_the_global_stream_alone():
    shape = NetworkShape.of(small_config(), (1, 8, 8), factor_sizes=())
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, second = make_networks(shape, seed=3)[0], make_networks(shape, seed=3)[0]
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_maps_follow_the_published_rule():
    shape = NetworkShape.of(TrainConfig(base_maps=8192, max_maps=512), (3, 128, 128), factor_sizes=())
    assert shape.maps == (512, 512, 512, 512, 256, 128)  # 4 … 128 px: min(8192 / 2^stage, 512), stage = log2(px) − 1
    assert NetworkShape.from_json(shape.to_json()) == shape
