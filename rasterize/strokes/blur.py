"""Gaussians on pixels: the blobs at the ends of strokes, and the blur of whole planes."""

from math import ceil

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ive, ndtr

from rasterize.jit import compiled

# Share of its variance that a blur keeps; its taps end there, at about 3.5 σ. The tests of test_blur.py rest on it: the
# variance is σ² to 1 %, and .05 % of the mass is cut. Not swept for fidelity.
VARIANCE_KEPT = 0.993


def blob_radius(sigma_px: float) -> int:
    """Return how many pixels a blob reaches from its own: three standard deviations."""
    return max(1, ceil(3 * sigma_px - 0.5))


def blob_table(x: ArrayLike, y: ArrayLike, *, sigma_px: float, height: int, width: int) -> tuple[NDArray, NDArray]:
    """Return the Gaussian blob around each point, integrated over pixels.

    Parameters
    ----------
    x, y : (N,) float
        Centres, in pixels.
    sigma_px : float
        Standard deviation along each axis, in pixels.
    height, width : int
        Size of the frame, in pixels.

    Returns
    -------
    index : (N, (2r + 1)²) int32
        Flat indices of the pixels around each point, r = `blob_radius(sigma_px)`; 0 outside the frame.
    weight : (N, (2r + 1)²) float32
        Mass of the blob inside each pixel; 0 outside the frame.

    Notes
    -----
    A pixel gets the integral (Φ(a + 1) − Φ(a)) (Φ(b + 1) − Φ(b)), not the density at its centre. So the weights of a
    blob inside the frame sum to one but for its tails.
    """
    radius = blob_radius(sigma_px)
    reach = np.arange(-radius, radius + 1)

    # Integrate along one axis: differences of the normal distribution function at pixel borders.
    def cumulative(edge: NDArray) -> NDArray:
        return ndtr(edge / sigma_px)

    def along(centre: NDArray) -> tuple[NDArray, NDArray]:
        cells = np.floor(centre)[:, None] + reach
        return cells, cumulative(cells + 1 - centre[:, None]) - cumulative(cells - centre[:, None])

    columns, weights_x = along(np.atleast_1d(np.asarray(x, float)))
    rows, weights_y = along(np.atleast_1d(np.asarray(y, float)))

    # The Gaussian is separable: multiply rows by columns. Pixels outside the frame weigh nothing.
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[:, None, :]
    index = np.where(inside, rows[:, :, None] * width + columns[:, None, :], 0)
    weight = np.where(inside, weights_y[:, :, None] * weights_x[:, None, :], 0.0)
    shape = len(index), len(reach) ** 2
    return index.reshape(shape).astype(np.int32), weight.reshape(shape).astype(np.float32)


def gaussian_taps(sigma_px: float) -> NDArray:
    """Return the discrete Gaussian e^(−t) I_n(t), t = σ², as float32 [2r + 1].

    Notes
    -----
    T. Lindeberg, "Scale-Space for Discrete Signals", 1990. Its variance is σ² exactly. Two blurs in a row are one of
    the summed variance. Below a pixel sampled Gaussians have neither property.
    """
    # Thinner than a twentieth of a pixel: no blur at all.
    if sigma_px < 0.05:
        return np.ones(1, np.float32)

    # T(n, t) = e^(−t) I_n(t) for n ≥ 0, up to the tap at which the variance is kept.
    half = ive(np.arange(ceil(5 * sigma_px) + 3), sigma_px**2)
    variance = 2 * np.cumsum(half * np.arange(len(half)) ** 2) / sigma_px**2
    half = half[: int(np.searchsorted(variance, VARIANCE_KEPT)) + 1]

    # Mirror to n < 0, and normalise.
    taps = np.concatenate([half[:0:-1], half])
    return (taps / taps.sum()).astype(np.float32)


@compiled()
def blur_plane(plane, taps, height, width, out, scratch):
    """Convolve a plane with taps along both axes; nothing comes from beyond the frame.

    Parameters
    ----------
    plane : (H·W,) float32
        Levels, row by row.
    taps : (2r + 1,) float32
        From `gaussian_taps`.
    height, width : int
        H and W.
    out : (H·W,) float32, written
        The blurred plane; may be `plane` itself.
    scratch : (H·W,) float32, written
        Room for the plane that is blurred along rows alone.
    """
    reach = len(taps) // 2

    # Along each row, tap by tap: a whole row is shifted by k and added.
    scratch[:] = 0
    for k in range(-reach, reach + 1):
        tap, across = taps[k + reach], width - abs(k)
        for row in range(height):
            target, source = row * width + max(0, -k), row * width + max(0, k)
            _add_scaled(scratch[target : target + across], tap, plane[source : source + across])

    # Along columns: each row is a weighted sum of the rows around it.
    out[:] = 0
    for row in range(height):
        for k in range(max(-reach, -row), min(reach + 1, height - row)):
            source = (row + k) * width
            _add_scaled(out[row * width : (row + 1) * width], taps[k + reach], scratch[source : source + width])


@compiled()
def _add_scaled(total, factor, array):
    """Add factor · array to `total`, in a loop that compiles to vector instructions."""
    for i in range(len(total)):
        total[i] += factor * array[i]
