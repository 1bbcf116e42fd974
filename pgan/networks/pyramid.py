"""Reals at every level of growth, brought to a common range: box means, one fixed scale per level and channel."""

import torch
from torch import Tensor

from pgan.networks.layers import downsample, upsample

MARK = 5.0  # height of a mark in the networks' range; on sparse maps D learns several times faster than at 1


def estimate_scales(images: Tensor, levels: int) -> Tensor:
    """What to divide each channel by at each level, [levels, C], so that its marks have the height `MARK`.

    Estimated from a sample of reals [N, C, H, W]. Their height is √(Σx⁴ / Σx²), the root mean square of x weighted by
    its own energy: it does not depend on how much of a mostly empty plane is covered. (Box means spread a thin stroke,
    so that the coarse levels of sparse maps have a small range.) A plane without a mark is left as it is.
    """
    scales = []
    for _ in range(levels):
        square = images.double().square()
        energy = square.sum((0, 2, 3))
        height = (square.square().sum((0, 2, 3)) / energy.clamp_min(1e-30)).sqrt()
        scales.append(torch.where(height > 1e-6, height / MARK, torch.ones_like(height)).float())
        images = downsample(images)
    return torch.stack(scales[::-1])


def estimate_energies(images: Tensor, scales: Tensor) -> Tensor:
    """The mean squared length of a standardised real at each level, its mean image taken off, float32 [levels]."""
    energies = []
    for level in range(len(scales)):
        reals = shrink_reals(images, scales, level=level, alpha=None).double()
        energies.append((reals - reals.mean(0)).square().sum((1, 2, 3)).mean().float())
    return torch.stack(energies)


def standardise(images: Tensor, scales: Tensor) -> Tensor:
    """Levels [N, C, h, w] → the networks' range, by the scales [C] of one level of growth."""
    return images / scales[:, None, None]


def to_levels(images: Tensor, scales: Tensor) -> Tensor:
    """The inverse of `standardise`."""
    return images * scales[:, None, None]


def shrink_reals(images: Tensor, scales: Tensor, *, level: int, alpha: float | None) -> Tensor:
    """Full-size levels [N, C, H, W] → what D sees at `level`: pooled, standardised, and faded like G's output."""
    for _ in range(len(scales) - 1 - level):
        images = downsample(images)
    sharp = standardise(images, scales[level])
    if alpha is None or level == 0:
        return sharp
    blunt = upsample(standardise(downsample(images), scales[level - 1]))
    return torch.lerp(blunt, sharp, alpha)
