"""The layers of both networks: convolutions and dense layers with equalised learning rate, and norms."""

from collections.abc import Sequence
from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LRELU_GAIN = sqrt(2)  # He et al. 2015
SLOPE = 0.2  # of leaky ReLU below 0, as in Karras et al. 2018


def upsample(images: Tensor) -> Tensor:
    """Double both sides by repeating pixels: [N, C, H, W] → [N, C, 2H, 2W]."""
    return F.interpolate(images, scale_factor=2, mode="nearest")


def downsample(images: Tensor) -> Tensor:
    """Halve both sides by averaging 2 × 2 boxes: [N, C, H, W] → [N, C, H/2, W/2]."""
    return F.avg_pool2d(images, 2)


def pixel_norm(x: Tensor) -> Tensor:
    """Scale the vector over dimension 1 to a mean square of one (Karras et al. 2018, section 4.2), summed in fp32."""
    # The sum, not the mean: what the mean sends back has lost the channels_last order, at twice the time on a CPU.
    total = x.to(torch.promote_types(x.dtype, torch.float32)).square().sum(1, keepdim=True)
    return x * torch.rsqrt(total / x.shape[1] + 1e-8).to(x.dtype)


def minibatch_stddev(x: Tensor, group: int, *, batches: int = 1) -> Tensor:
    """Measure the mean standard deviation in each image's group (Karras et al. 2018, section 3).

    Groups are strided: with N images and M = N / group groups, images n, n + M, n + 2M, … stand together. The variance
    is the biased one. A batch that does not divide is one group.

    Parameters
    ----------
    x : (N, C, h, w)
        Features of the images.
    group : int
        Images of a group.
    batches : int
        How many batches of the same size stand one after the other; no group has images of two.

    Returns
    -------
    (N,) float32
        The deviation, averaged over channels and pixels.
    """
    n = len(x) // batches
    size = group if n % group == 0 else n
    x = x.to(torch.promote_types(x.dtype, torch.float32))
    grouped = x.reshape(batches, size, n // size, *x.shape[1:])
    # Not var(1), which is ten times slower on a CPU.
    deviation = ((grouped - grouped.mean(1, keepdim=True)).square().mean(1) + 1e-8).sqrt()  # [batches, M, C, h, w]
    return deviation.mean((2, 3, 4)).repeat(1, size).flatten()


def _make_spread_matrix() -> Tensor:
    """Make the matrix that `_spread_kernel` multiplies with, [9, 16]."""
    shifts = (torch.eye(3, 4) + torch.eye(3, 5)[:, :-1].roll(1, 1)) / 2
    return torch.kron(shifts, shifts)


def _spread_kernel(kernel: Tensor, matrix: Tensor) -> Tensor:
    """Average the four shifts of a 3 × 3 kernel into a 4 × 4 one: [O, I, 3, 3] → [O, I, 4, 4]."""
    return (kernel.reshape(-1, 9) @ matrix).reshape(*kernel.shape[:2], 4, 4)  # faster than slices and sums on a CPU


def _conv_up(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Do `upsample` and a 3 × 3 convolution in one, exactly, at 4/9 of the cost; `kernel` is the spread one."""
    return F.conv_transpose2d(x, 4 * kernel.flip(2, 3).transpose(0, 1), bias, stride=2, padding=1)


def _conv_down(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Do a 3 × 3 convolution and `downsample` in one, exactly, at 4/9 of the cost; `kernel` is the spread one."""
    return F.conv2d(x, kernel, bias, stride=2, padding=1)


def _conv_down_adjoint(y: Tensor, kernel: Tensor) -> Tensor:
    """Apply the transpose of `_conv_down`."""
    return F.conv_transpose2d(y, kernel, stride=2, padding=1)


def conv_same(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve such that the size stays.

    Parameters
    ----------
    x : (N, I, h, w)
        Images or features.
    kernel : (O, I, k, k)
        Its sides are odd.
    bias : (O,), or None
        Added to every pixel.

    Returns
    -------
    (N, O, h, w)
        Features.
    """
    return F.conv2d(x, kernel, bias, padding=kernel.shape[-1] // 2)


def _conv_same_adjoint(y: Tensor, kernel: Tensor) -> Tensor:
    """Apply the transpose of `conv_same`."""
    return F.conv_transpose2d(y, kernel, padding=kernel.shape[-1] // 2)


class Conv(nn.Module):
    """A convolution with equalised learning rate: N(0, 1) weights times gain / √fan-in at run time; bias unscaled.

    Weights are scaled in fp32, and convolve in the type of the images.
    """

    convolve, adjoint = staticmethod(conv_same), staticmethod(_conv_same_adjoint)

    def __init__(self, inputs: int, outputs: int, *, size: int = 3, gain: float = LRELU_GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, size, size))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs * size * size)

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """Return the kernel that runs over the image."""
        return (self.weight * self.scale).to(dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Convolve images or features [N, inputs, h, w]."""
        return self.convolve(x, self.kernel(x.dtype), self.bias.to(x.dtype))


class ConvUp(Conv):
    """Doubles both sides, then convolves."""

    convolve = staticmethod(_conv_up)

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs)
        self.register_buffer("spread", _make_spread_matrix(), persistent=False)

    def kernel(self, dtype: torch.dtype) -> Tensor:
        """Return the kernel that runs over the image: the 3 × 3 one, spread to 4 × 4."""
        return _spread_kernel(self.weight * self.scale, self.spread).to(dtype)


class ConvDown(ConvUp):
    """Convolves, then halves both sides."""

    convolve, adjoint = staticmethod(_conv_down), staticmethod(_conv_down_adjoint)


class Dense(nn.Module):
    """A dense layer with equalised learning rate."""

    def __init__(self, inputs: int, outputs: int, *, gain: float = LRELU_GAIN):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(outputs, inputs))
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.scale = gain / sqrt(inputs)

    def forward(self, x: Tensor) -> Tensor:
        """Turn vectors [N, inputs] into vectors [N, outputs]."""
        return F.linear(x * self.scale, self.weight, self.bias)  # there are far more weights than inputs


class LabelEmbedding(nn.Module):
    """Labels [N, F] → vectors [N, size]: one learnt vector per value of each factor, summed over factors."""

    def __init__(self, factor_sizes: Sequence[int], size: int):
        super().__init__()
        starts = [sum(factor_sizes[:f]) for f in range(len(factor_sizes))]
        self.register_buffer("starts", torch.tensor(starts, dtype=torch.int64), persistent=False)
        self.weight = nn.Parameter(torch.randn(sum(factor_sizes), size))

    def forward(self, labels: Tensor) -> Tensor:
        """Turn labels [N, F] into vectors [N, size]."""
        vectors = F.embedding(labels.long() + self.starts, self.weight)  # [N, F, size]
        return vectors.sum(1) / sqrt(len(self.starts))


def count_parameters(module: nn.Module) -> int:
    """Count the learnt numbers of a module."""
    return sum(parameter.numel() for parameter in module.parameters())
