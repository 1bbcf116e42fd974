"""Gaussians on pixels: the blobs at the ends of strokes, and the blur of whole planes."""

from math import ceil

import numpy as np
from numpy.typing import NDArray
from scipy.special import ive, ndtr

from rasterize.jit import compiled

VARIANCE_KEPT = 0.993  # of a blur: where its taps end


def blob_radius(sigma_px: float) -> int:
    """How many pixels a blob reaches from its own: three standard deviations."""
    return max(1, ceil(3 * sigma_px - 0.5))


def blob_table(x: NDArray, y: NDArray, *, sigma_px: float, height: int, width: int) -> tuple[NDArray, NDArray]:
    """The Gaussian blob around each point, integrated over pixels: flat indices and weights, [N, (2r + 1)²].

    Weights of a blob inside the frame sum to one but for its tails; parts outside have index 0 and weight 0.
    """
    radius = blob_radius(sigma_px)
    reach = np.arange(-radius, radius + 1)

    def cumulative(edge: NDArray) -> NDArray:
        return ndtr(edge / sigma_px)

    def along(centre: NDArray) -> tuple[NDArray, NDArray]:
        cells = np.floor(centre)[:, None] + reach
        return cells, cumulative(cells + 1 - centre[:, None]) - cumulative(cells - centre[:, None])

    columns, weights_x = along(np.atleast_1d(np.asarray(x, float)))
    rows, weights_y = along(np.atleast_1d(np.asarray(y, float)))
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    index = np.where(inside, rows[:, :, None] * width + columns[:, None, :], 0)
    weight = np.where(inside, weights_y[:, :, None] * weights_x[:, None, :], 0.0)
    shape = len(index), len(reach) ** 2
    return index.reshape(shape).astype(np.int32), weight.reshape(shape).astype(np.float32)


def gaussian_taps(sigma_px: float) -> NDArray:
    """The discrete Gaussian e^(−t) I_n(t), t = σ², as float32 [2r + 1]: its variance is σ² exactly.

    Two in a row are one of the summed variance (Lindeberg 1990), which sampled Gaussians are not below a pixel.
    """
    if sigma_px < 0.05:
        return np.ones(1, np.float32)
    half = ive(np.arange(ceil(5 * sigma_px) + 3), sigma_px**2)
    variance = 2 * np.cumsum(half * np.arange(len(half)) ** 2) / sigma_px**2
    half = half[: int(np.searchsorted(variance, VARIANCE_KEPT)) + 1]
    taps = np.concatenate([half[:0:-1], half])
    return (taps / taps.sum()).astype(np.float32)


@compiled()
def blur(plane, taps, height, width, out, scratch):
    """Convolve a flat plane with taps in both directions, nothing beyond the frame; `out` may be `plane`."""
    reach = len(taps) // 2
    scratch[:] = 0
    for k in range(-reach, reach + 1):
        tap, across = taps[k + reach], width - abs(k)
        for row in range(height):
            there, here = row * width + max(0, -k), row * width + max(0, k)
            _add_scaled(scratch[there : there + across], tap, plane[here : here + across])
    out[:] = 0
    for row in range(height):
        for k in range(max(-reach, -row), min(reach + 1, height - row)):
            here = (row + k) * width
            _add_scaled(out[row * width : (row + 1) * width], taps[k + reach], scratch[here : here + width])


@compiled()
def _add_scaled(total, factor, array):
    """total += factor · array, in a loop that compiles to vector instructions."""
    for i in range(len(total)):
        total[i] += factor * array[i]
