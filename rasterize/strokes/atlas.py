"""The atlas: what pictures are drawn with and what the decoder looks for; blobs of places, strokes between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rasterize.jit import compiled
from rasterize.strokes.blur import blob_table
from rasterize.strokes.trace import split_halves, trace_segment

# The strokes between all pairs of places are kept if they are no larger than this, about a processor's cache.
# Chosen by hand, not swept.
TABLE_BYTES = 32_000_000
PIECE_BYTES = 12  # of a piece of stroke: an int32 and two float32


class Atlas(NamedTuple):
    """The places of a frame as pictures show them, for compiled code: their blobs and the strokes between them.

    The stroke from place o to place d has the pieces starts[o·P + d] … starts[o·P + d + 1] of `pixels` and `halves`.

    Attributes
    ----------
    place_xy : (P, 2) float64
        Places (x, y), in pixels.
    blobs_at : (P, taps) int32
        Flat pixel indices of each place's blob, see `blob_table`.
    blobs : (P, taps) float32
        Levels of each place's blob, with the mass it is drawn with.
    starts : (P² + 1,) or (1,) int64
        Where the pieces of each pair begin. A single 0 where places are too many for a table.
    pixels : (n,) int32
        Flat pixel index of each piece.
    halves : (n, 2) float32
        Levels of each piece in A and B. Their sum is its length times `unit`.
    height, width : int
        Size of the frame, in pixels.
    unit : float32
        Level of a pixel of stroke.
    """

    place_xy: NDArray
    blobs_at: NDArray
    blobs: NDArray
    starts: NDArray
    pixels: NDArray
    halves: NDArray
    height: int
    width: int
    unit: np.float32


def make_atlas(xy: NDArray, *, height: int, width: int, sigma_px: float, mass: float, unit: float = 1.0) -> Atlas:
    """Prepare the blobs of places and, where they fit into a cache, the strokes between all pairs.

    Parameters
    ----------
    xy : (P, 2) float
        Places, in pixels.
    height, width : int
        Size of the frame, in pixels.
    sigma_px : float
        Standard deviation of a blob, in pixels.
    mass : float
        Mass of a blob, in pixels of stroke.
    unit : float
        Level of a pixel of stroke.

    Returns
    -------
    Atlas
        With an empty table of strokes where there are too many pairs; these are then traced one by one.
    """
    xy = np.ascontiguousarray(xy, np.float64)
    at, blobs = blob_table(xy[:, 0], xy[:, 1], sigma_px=sigma_px, height=height, width=width)
    starts, pixels, halves = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)

    # Between two random points a stroke crosses about a third of (height + width) pixels.
    if len(xy) ** 2 * (height + width) / 3 * PIECE_BYTES <= TABLE_BYTES:
        starts, pixels, halves = _all_strokes(xy, height, width, np.float32(unit))
    blobs = blobs * np.float32(mass * unit)
    return Atlas(xy, at, blobs, starts, pixels, halves, height, width, np.float32(unit))


@compiled()
def _all_strokes(xy, height, width, unit):
    """Trace the strokes from every place to every place: starts [P² + 1], pixels [n], halves [n, 2]."""
    places, size = len(xy), height + width + 4
    lengths, middles = np.empty(size), np.empty(size)
    starts = np.zeros(places * places + 1, np.int64)
    pixels, halves = np.empty(size, np.int32), np.empty((size, 2), np.float32)
    for pair in range(places * places):
        # Double the arrays when the longest stroke might not fit any more.
        first = starts[pair]
        if first + size > len(pixels):
            pixels = np.concatenate((pixels, np.empty_like(pixels)))
            halves = np.concatenate((halves, np.empty_like(halves)))

        # Append the stroke of this pair.
        (x0, y0), (x1, y1) = xy[pair // places], xy[pair % places]
        count = trace_segment(x0, y0, x1, y1, height, width, pixels[first:], lengths, middles)
        split_halves(count, lengths, middles, unit, halves[first:])
        starts[pair + 1] = first + count
    return starts, pixels[: starts[-1]].copy(), halves[: starts[-1]].copy()
