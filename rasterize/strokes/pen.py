"""Strokes ↔ pixels: the exact length of each trip inside each pixel, and the blobs at its ends.

One rule for both ways: an `Atlas` is what pictures are drawn with and what the decoder looks for.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from math import ceil, sqrt
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ive, ndtr

from rasterize.jit import compiled

if TYPE_CHECKING:
    from rasterize.imageset import Strokes
    from rasterize.strokes.spec import Spec

TABLE_BYTES = 32_000_000  # the strokes between all pairs of places are kept if they are no larger: the size of a cache
PIECE_BYTES = 12
VARIANCE_KEPT = 0.993  # of a blur: where its taps end
CHUNK = 64  # images a thread draws at a time
ONE = np.float32(1)


@compiled()
def trace(x0, y0, x1, y1, height, width, pixels, lengths, middles):
    """Walk a segment over the pixel borders it crosses (Amanatides & Woo 1987).

    Writes, for each pixel met, its flat index, the exact length of the segment inside it (in pixels) and the
    middle of that piece as a share of the segment (0 at the start, 1 at the end). Pieces outside the frame are
    left out. Returns how many were written; the buffers need height + width + 4 places.
    """
    dx, dy = x1 - x0, y1 - y0
    total = sqrt(dx * dx + dy * dy)
    if total == 0.0:
        return 0
    column, row = int(np.floor(x0)), int(np.floor(y0))
    step_x, step_y = (1 if dx > 0 else -1), (1 if dy > 0 else -1)
    across_x = abs(1.0 / dx) if dx != 0 else np.inf  # share of the segment between two vertical borders
    across_y = abs(1.0 / dy) if dy != 0 else np.inf
    next_x = ((column + 1 - x0) if dx > 0 else (x0 - column)) * across_x if dx != 0 else np.inf
    next_y = ((row + 1 - y0) if dy > 0 else (y0 - row)) * across_y if dy != 0 else np.inf
    count, here = 0, 0.0
    while here < 1.0:
        there = min(next_x, next_y, 1.0)
        if there > here and 0 <= column < width and 0 <= row < height:
            pixels[count] = row * width + column
            lengths[count] = (there - here) * total
            middles[count] = (there + here) / 2
            count += 1
        here = max(here, there)
        if next_x <= next_y:
            next_x += across_x
            column += step_x
        else:
            next_y += across_y
            row += step_y
    return count


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


@compiled()
def trace_path(xs, ys, height, width, pixels, lengths, middles):
    """`trace` over a polyline: `middles` run from 0 to 1 over its whole length. Returns how many were written."""
    total = 0.0
    for k in range(len(xs) - 1):
        total += sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)
    count, gone = 0, 0.0
    for k in range(len(xs) - 1):
        piece = sqrt((xs[k + 1] - xs[k]) ** 2 + (ys[k + 1] - ys[k]) ** 2)
        if piece == 0.0:
            continue
        added = trace(
            xs[k], ys[k], xs[k + 1], ys[k + 1], height, width, pixels[count:], lengths[count:], middles[count:]
        )
        for i in range(count, count + added):
            middles[i] = (gone + middles[i] * piece) / total
        count += added
        gone += piece
    return count


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


@compiled()
def halve(count, lengths, middles, unit, halves):
    """Lengths and positions along the trip, from `trace` → weights in A and B."""
    for i in range(count):
        halves[i, 0] = unit * lengths[i] * (1 - middles[i])
        halves[i, 1] = unit * lengths[i] * middles[i]


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


@compiled()
def _trace_stroke(s, strokes, atlas, pixels, halves, lengths, middles):
    """Pixels and halves of stroke `s`, along its path if it has one. Returns how many were written."""
    _, ends, _, paths, path_offsets = strokes
    if path_offsets[s + 1] > path_offsets[s]:
        path = paths[path_offsets[s] : path_offsets[s + 1]]
        count = trace_path(path[:, 0], path[:, 1], atlas.height, atlas.width, pixels, lengths, middles)
    else:
        (x0, y0), (x1, y1) = atlas.place_xy[ends[s, 0]], atlas.place_xy[ends[s, 1]]
        count = trace(x0, y0, x1, y1, atlas.height, atlas.width, pixels, lengths, middles)
    halve(count, lengths, middles, atlas.unit, halves)
    return count


@compiled()
def _add_stroke(image, pixels, halves, first, last, values, s, weight, grey):
    """Add pieces `first` … `last` to an image [C, H·W]: A and B (or grey), then the painted planes of stroke `s`."""
    if grey:
        for i in range(first, last):
            image[0, pixels[i]] += weight * (halves[i, 0] + halves[i, 1])
    else:
        a, b = image[0], image[1]
        for i in range(first, last):
            at = np.uint32(pixels[i])  # of unsigned indices numba does not ask whether they count from the end
            a[at] += weight * halves[i, 0]
            b[at] += weight * halves[i, 1]
    for plane in range(values.shape[1]):
        level, painted = weight * values[s, plane], image[len(image) - values.shape[1] + plane]
        for i in range(first, last):
            painted[np.uint32(pixels[i])] += level * (halves[i, 0] + halves[i, 1])


@compiled()
def _add_blob(image, plane, place, weight, atlas):
    """Add the blob of a place to one plane of an image [C, H·W]."""
    levels, blob, blob_at = image[plane], atlas.blobs[place], atlas.blobs_at[place]
    for i in range(len(blob)):
        levels[np.uint32(blob_at[i])] += weight * blob[i]


@compiled()
def _draw_image(image, begin, end, strokes, weights, atlas, taps, grey, longest):
    """Draw strokes `begin` … `end` into an image [C, H·W]: strokes, their width, then blobs.

    The origin's blob carries the painted values too. A grey picture has a blob, widened like a stroke, only where there
    is no stroke: on round trips.
    """
    _, ends, values, _, path_offsets = strokes
    tabled, places, painted = len(atlas.starts) > 1, len(atlas.place_xy), values.shape[1]
    size = 0 if tabled and longest == 1 else longest * (atlas.height + atlas.width + 4)
    pixels, halves = np.empty(size, np.int32), np.empty((size, 2), np.float32)
    lengths, middles = np.empty(size), np.empty(size)
    image[:] = 0
    for s in range(begin, end):
        weight = ONE if weights is None else weights[s, 0]
        if tabled and path_offsets[s + 1] == path_offsets[s]:
            pair = ends[s, 0] * places + ends[s, 1]
            first, last = atlas.starts[pair], atlas.starts[pair + 1]
            _add_stroke(image, atlas.pixels, atlas.halves, first, last, values, s, weight, grey)
        else:
            first, last = 0, _trace_stroke(s, strokes, atlas, pixels, halves, lengths, middles)
            _add_stroke(image, pixels, halves, first, last, values, s, weight, grey)
        if grey and last == first:
            _add_blob(image, 0, ends[s, 0], ONE if weights is None else weights[s, 1], atlas)
    if len(taps) > 1:
        scratch = np.empty(image.shape[1], np.float32)
        for plane in range(len(image)):
            if grey or plane < 2 or plane > 3:
                blur(image[plane], taps, atlas.height, atlas.width, image[plane], scratch)
    for s in range(begin, end):
        weight = ONE if weights is None else weights[s, 1]
        if not grey:
            _add_blob(image, 2, ends[s, 0], weight, atlas)
            _add_blob(image, 3, ends[s, 1], ONE if weights is None else weights[s, 2], atlas)
        for plane in range(painted):
            _add_blob(image, len(image) - painted + plane, ends[s, 0], weight * values[s, plane], atlas)


@compiled()
def _draw_images(images, which, strokes, weights, atlas, taps, grey, longest):
    """Draw images [B, C, H·W]."""
    for b in range(len(which)):
        begin, end = strokes[0][which[b]], strokes[0][which[b] + 1]
        _draw_image(images[b], begin, end, strokes, weights, atlas, taps, grey, longest)


class Pen:
    """Draws the strokes of one spec; what depends only on its places is prepared once."""

    def __init__(self, spec: "Spec", *, xy: NDArray | None = None) -> None:
        """`xy` [P, 2] in pixels takes the place of the spec's own places."""
        drawing = spec.drawing
        self.shape = spec.shape
        self.grey = drawing.mode == "grey"
        self.taps = gaussian_taps(drawing.stroke_sigma_px)
        self.atlas = make_atlas(
            spec.place_xy if xy is None else xy,
            height=spec.frame.height,
            width=spec.frame.width,
            sigma_px=drawing.blob_sigma_px,
            mass=drawing.blob_gain,
            unit=1 / drawing.level_scale,
        )

    def draw(self, strokes: "Strokes", which: ArrayLike | None = None, *, weights: ArrayLike | None = None) -> NDArray:
        """Draw the images `which` (all of them by default), on all processors: levels, float32 [B, C, H, W].

        weights : [S, 3], how strongly each stroke, its origin's blob and its destination's are drawn; 1 by default.
        """
        index = np.arange(len(strokes.offsets) - 1) if which is None else np.asarray(which, np.int64)
        images = np.empty((len(index), *self.shape), np.float32)
        weights = None if weights is None else np.ascontiguousarray(weights, np.float32)
        longest = int(np.diff(strokes.path_offsets).max(initial=1)) if len(strokes.paths) else 1
        arrays = (strokes.offsets, strokes.ends, strokes.values, strokes.paths, strokes.path_offsets)
        flat = images.reshape(len(index), self.shape[0], self.shape[1] * self.shape[2])

        def draw(part: slice) -> None:
            _draw_images(flat[part], index[part], arrays, weights, self.atlas, self.taps, self.grey, longest)

        parts = [slice(first, first + CHUNK) for first in range(0, len(index), CHUNK)]
        if len(parts) < 2:  # too little for threads
            draw(slice(None))
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(draw, parts))
        return images
