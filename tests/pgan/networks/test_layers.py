"""Layers: exact fusions, transposes, equalised learning rate, pixel norm, minibatch stddev."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st

from pgan.networks.layers import Conv, ConvDown, ConvUp, Dense, downsample, minibatch_stddev, pixel_norm, upsample


@given(st.integers(1, 5), st.integers(1, 5), st.integers(2, 9), st.integers(2, 9), st.integers(0, 99))
def test_fused_resampling_convolutions_equal_the_unfused(inputs, outputs, height, width, seed):
    torch.manual_seed(seed)
    up, down = ConvUp(inputs, outputs).double(), ConvDown(inputs, outputs).double()
    for layer in (up, down):
        torch.nn.init.normal_(layer.bias)
    x, large = (torch.randn(2, inputs, k * height, k * width).double() for k in (1, 2))

    def convolve(layer, images):
        return F.conv2d(images, layer.weight * layer.scale, layer.bias, padding=1)

    torch.testing.assert_close(up(x), convolve(up, upsample(x)))
    torch.testing.assert_close(down(large), downsample(convolve(down, large)))


@pytest.mark.parametrize("layer", [Conv(3, 5), Conv(3, 5, size=1), ConvDown(3, 5)])
def test_adjoints_are_transposes(layer):
    layer, x = layer.double(), torch.randn(2, 3, 6, 8).double()
    kernel = layer.kernel(x.dtype)
    y = layer.convolve(x, kernel, None)
    other = torch.randn_like(y)
    torch.testing.assert_close((y * other).sum(), (x * layer.adjoint(other, kernel)).sum())


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


@pytest.mark.usefixtures("float64")
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
    result = minibatch_stddev(torch.from_numpy(x), group).numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    twice = minibatch_stddev(torch.from_numpy(np.concatenate([x, 2 * x])), group, batches=2).numpy()
    np.testing.assert_allclose(twice, np.concatenate([expected, 2 * expected]), rtol=1e-4)
