"""Which resolution a set of stations needs, so that what a generator paints can be snapped to the right one."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rasterize.strokes.frame import Frame

SIDES = (16, 32, 64, 128, 256)  # pixels; the GAN grows by doubling
# Spacing of neighbouring stations over σ of a painted end. With 6 half the spacing is 3 σ, so that at least 99 % of
# ends snap to the right station.
SPACING_PER_ERROR = 6.0
WITHOUT_STATIONS = 64  # pixels, where cells are as many pixels wide at any resolution; not swept


def choose_resolution(
    lat: NDArray, lng: NDArray, frame_at: Callable[[int], Frame], *, error_px: float
) -> tuple[int, str]:
    """Choose the smallest side at which neighbouring stations lie far enough apart.

    Parameters
    ----------
    lat, lng : (S,) float
        Stations, in degrees.
    frame_at : callable
        Returns the frame of a side in pixels.
    error_px : float
        Standard deviation of the ends that a generator paints, along each axis, in pixels. A run's decode.json has it
        as jitter_px.

    Returns
    -------
    side : int
        One of `SIDES`; the largest where none is enough.
    reason : str
        Why, in words for the user.
    """
    if len(lat) < 2:
        return WITHOUT_STATIONS, f"{WITHOUT_STATIONS} px: there are no stations to tell apart"

    # The smallest side at which the median neighbour is far enough away.
    needed = SPACING_PER_ERROR * error_px
    spacings = {side: _median_spacing(lat, lng, frame_at(side)) for side in SIDES}
    side = next((side for side in SIDES if spacings[side] >= needed), SIDES[-1])
    reason = (
        f"{side} px: half of the {len(lat)} stations have a neighbour within {spacings[side]:.1f} px, and "
        f"{needed:.1f} px are needed where ends are painted {error_px:g} px off"
    )

    # Say what a larger or smaller side would change.
    if spacings[side] < needed:
        return side, f"{reason}; no larger resolution is offered, so some ends will be snapped to a neighbour"
    smaller = [other for other in SIDES if other < side]
    return side, f"{reason} ({smaller[-1]} px would leave {spacings[smaller[-1]]:.1f})" if smaller else reason


def _median_spacing(lat: NDArray, lng: NDArray, frame: Frame) -> float:
    """Return the median distance from a station to its nearest neighbour, in pixels."""
    points = np.stack(frame.to_pixels(lat, lng), axis=1)
    distances, _ = cKDTree(points).query(points, k=2)
    return float(np.median(distances[:, 1]))
