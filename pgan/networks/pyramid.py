"""Reals at every level of growth, brought to a common range: box means, one fixed scale per level and channel."""

import torch
from torch import Tensor

from pgan.networks.layers import downsample, upsample

# Height of a mark in the networks' range. Tried by hand on sparse pictures of strokes, not swept: D learns several
# times faster than at 1.
MARK = 5.0


def estimate_scales(images: Tensor, levels: int) -> Tensor:
    """Estimate by what to divide channels at each level, [levels, C], so that marks have the height `MARK`.

    The estimate is from a sample of reals [N, C, H, W]. Their height is √(Σx⁴ / Σx²), the root mean square of x
    weighted by its own energy. It does not depend on how much of a mostly empty plane is covered. (Box means spread a
    thin stroke, so that the coarse levels of sparse pictures have a small range.) A plane without a mark is left as it
    is.
    """
    # From full size down to the base.
    scales = []
    for _ in range(levels):
        square = images.double().square()
        energy = square.sum((0, 2, 3))
        height = (square.square().sum((0, 2, 3)) / energy.clamp_min(1e-30)).sqrt()
        scales.append(torch.where(height > 1e-6, height / MARK, torch.ones_like(height)).float())
        images = downsample(images)
    return torch.stack(scales[::-1])


def estimate_energies(images: Tensor, scales: Tensor) -> Tensor:
    """Estimate the mean squared length of a standardised real at each level, without its mean image, fp32 [levels]."""
    energies = []
    for level in range(len(scales)):
        reals = shrink_reals(images, scales, level=level, alpha=None).double()
        energies.append((reals - reals.mean(0)).square().sum((1, 2, 3)).mean().float())
    return torch.stack(energies)


def standardise(images: Tensor, scales: Tensor) -> Tensor:
    """Bring levels [N, C, h, w] to the networks' range, by the scales [C] of one level of growth."""
    return images / scales[:, None, None]


def to_levels(images: Tensor, scales: Tensor) -> Tensor:
    """Bring standardised images back to levels: the inverse of `standardise`."""
    return images * scales[:, None, None]


def shrink_reals(images: Tensor, scales: Tensor, *, level: int, alpha: float | None) -> Tensor:
    """Turn full-size reals into what D sees at a level of growth: pooled, standardised, faded like G's output.

    Parameters
    ----------
    images : (N, C, H, W) float32
        Full-size levels.
    scales : (levels, C) float32
        See `estimate_scales`.
    level : int
        Level of growth.
    alpha : float, or None
        Weight of the newest block while it fades in, else None.

    Returns
    -------
    (N, C, h, w) float32
        Standardised reals.
    """
    for _ in range(len(scales) - 1 - level):
        images = downsample(images)
    sharp = standardise(images, scales[level])
    if alpha is None or level == 0:
        return sharp
    # Fade in: mix with the level before, enlarged, in the range that both have.
    blunt = upsample(standardise(downsample(images), scales[level - 1]))
    return torch.lerp(blunt, sharp, alpha)
