"""The atlas: what pictures are drawn with and what the decoder looks for; blobs of places, strokes between them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from rasterize.jit import compiled
from rasterize.strokes.blur import blob_table
from rasterize.strokes.trace import halve, trace

TABLE_BYTES = 32_000_000  # the strokes between all pairs of places are kept if they are no larger: the size of a cache
PIECE_BYTES = 12


class Atlas(NamedTuple):
    """The places of a frame as pictures show them, for compiled code: their blobs and the strokes between them.

    place_xy : float64 [P, 2], places in pixels. blobs_at, blobs : int32, float32 [P, taps], see `blob_table`; a blob
    holds the mass it is drawn with. starts : int64 [P² + 1], where few places make all strokes fit into a cache, else
    [1]. pixels, halves : int32 [n], float32 [n, 2]; the stroke from o to d has the pieces starts[o·P + d] …
    starts[o·P + d + 1], each with its flat pixel and its weights in A and B (their sum is its length times `unit`).
    height, width : of the frame, in pixels.
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
    """The atlas of places at `xy` [P, 2] in pixels; blobs have a standard deviation and a mass in pixels of stroke."""
    xy = np.ascontiguousarray(xy, np.float64)
    at, blobs = blob_table(xy[:, 0], xy[:, 1], sigma_px=sigma_px, height=height, width=width)
    starts, pixels, halves = np.zeros(1, np.int64), np.zeros(0, np.int32), np.zeros((0, 2), np.float32)
    if len(xy) ** 2 * (height + width) / 3 * PIECE_BYTES <= TABLE_BYTES:  # strokes between random points cross so many
        starts, pixels, halves = _all_strokes(xy, height, width, np.float32(unit))
    blobs = blobs * np.float32(mass * unit)
    return Atlas(xy, at, blobs, starts, pixels, halves, height, width, np.float32(unit))


@compiled()
def _all_strokes(xy, height, width, unit):
    """The strokes from every place to every place: starts [P² + 1], pixels, halves."""
    places, size = len(xy), height + width + 4
    lengths, middles = np.empty(size), np.empty(size)
    starts = np.zeros(places * places + 1, np.int64)
    pixels, halves = np.empty(size, np.int32), np.empty((size, 2), np.float32)
    for pair in range(places * places):
        first = starts[pair]
        if first + size > len(pixels):
            pixels = np.concatenate((pixels, np.empty_like(pixels)))
            halves = np.concatenate((halves, np.empty_like(halves)))
        (x0, y0), (x1, y1) = xy[pair // places], xy[pair % places]
        count = trace(x0, y0, x1, y1, height, width, pixels[first:], lengths, middles)
        halve(count, lengths, middles, unit, halves[first:])
        starts[pair + 1] = first + count
    return starts, pixels[: starts[-1]].copy(), halves[: starts[-1]].copy()
