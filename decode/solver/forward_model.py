"""What the decoder knows before it sees an image, for compiled code: places, routes, and how blur makes them look."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.routes import Routes
from rasterize.jit import compiled
from rasterize.strokes.atlas import Atlas, make_atlas
from rasterize.strokes.blur import blob_radius, blob_table, gaussian_taps
from rasterize.strokes.spec import StrokeSpec

SOFT_PX = 0.7  # strokes that are not clean are compared through this much more blur: it forgives ends that are off
SHORT = np.float32(0.5)  # pixels: pieces of a blurred stroke that are merged with a neighbour

SURE = 4.0  # standard deviations above which a blob is none of noise
FAINTEST = 0.03, 0.15  # trips, between which that may be


class ForwardModel(NamedTuple):
    """Places and routes as they look after the generator's blur, in a frame padded so that no blur is cut off.

    atlas : strokes thin, with a length in pixels; blobs blurred; everything in the padded frame.
    sharp_at, sharp : int32, float32 [P, taps], blobs as drawn.
    soft : float32, blur to put on strokes; taps, twice : float32, their blur then, and that blur applied two times.
    pad : pixels of padding on each side. peak : height of a line after `twice`; 0 without blur.
    norms : float32 [P²], squared norm of each stroke after the blur, where the atlas has a table; else [0].
    route_keys : int64 [R], origin · P + destination, ascending. route_offsets, route_points : int64 [R + 1],
    float32 [M, 2]. faintest : float32, trips; with one trip per image a blob as faint may be noise. grey : one plane,
    no direction. bent : strokes follow waypoints, so straight ones say nothing.
    """

    atlas: Atlas
    sharp_at: NDArray
    sharp: NDArray
    soft: NDArray
    taps: NDArray
    twice: NDArray
    pad: int
    peak: np.float32
    norms: NDArray
    route_keys: NDArray
    route_offsets: NDArray
    route_points: NDArray
    faintest: np.float32
    grey: bool
    bent: bool


def make_forward_model(
    spec: StrokeSpec, *, blur_px: float = 0.0, soft_px: float = 0.0, noise: float = 0.0, routes: Routes | None = None
) -> ForwardModel:
    """The scene of a spec whose images are blurred by a Gaussian of `blur_px`; `soft_px` more is put on strokes.

    noise : standard deviation of a pixel, in units of a stroke.
    """
    drawing, frame = spec.drawing, spec.frame
    stroke_px = float(np.hypot(drawing.stroke_sigma_px, np.hypot(blur_px, soft_px)))
    blob_px = float(np.hypot(drawing.blob_sigma_px, blur_px))
    taps, twice = gaussian_taps(stroke_px), gaussian_taps(stroke_px * 2**0.5)
    # the blur of a sharp blob at the border must lie inside, too: nobody asks about each pixel
    pad = max(len(twice) // 2 + blob_radius(drawing.blob_sigma_px), blob_radius(blob_px)) if stroke_px else 0
    size = {"height": frame.height + 2 * pad, "width": frame.width + 2 * pad}
    xy = spec.place_xy + pad
    atlas = make_atlas(xy, **size, sigma_px=blob_px, mass=drawing.blob_gain)
    sharp_at, sharp = blob_table(xy[:, 0], xy[:, 1], sigma_px=drawing.blob_sigma_px, **size)
    if soft_px:
        atlas = atlas._replace(**dict(zip(("starts", "pixels", "halves"), _merge_all(atlas), strict=True)))
    if drawing.mode == "grey":  # all of a stroke lies in the one plane
        length = atlas.halves.sum(axis=1)
        atlas = atlas._replace(halves=np.stack([length, np.zeros_like(length)], axis=1))
    # across a line, the profile of a Gaussian of the blur and of the pixel itself
    peak = 1 / np.sqrt(2 * np.pi * (2 * stroke_px**2 + 1 / 12)) if stroke_px else 0.0
    routes = routes or Routes.none()
    return ForwardModel(
        atlas=atlas,
        sharp_at=sharp_at,
        sharp=sharp * np.float32(drawing.blob_gain),
        soft=gaussian_taps(soft_px),
        taps=taps,
        twice=twice,
        pad=pad,
        peak=np.float32(peak),
        norms=_stroke_norms(atlas, twice),
        route_keys=routes.keys(len(spec.places)),
        route_offsets=routes.offsets,
        route_points=routes.points + np.float32(pad),
        faintest=np.float32(np.clip(SURE * noise / np.linalg.norm(atlas.blobs, axis=1).max(), *FAINTEST)),
        grey=drawing.mode == "grey",
        bent=spec.bent,
    )


@compiled()
def merge_short(first, count, pixels, halves):
    """Merge each short piece of a stroke with a neighbour; returns how many are left.

    Under a blur that makes no difference, but for the time: a third of the pieces just cut the corner of a pixel.
    """
    last = first
    for i in range(first + 1, first + count):
        a, b = halves[i, 0], halves[i, 1]
        before = halves[last, 0] + halves[last, 1]
        if a + b < SHORT or before < SHORT:
            if before < a + b:
                pixels[last] = pixels[i]
            halves[last, 0] += a
            halves[last, 1] += b
        else:
            last += 1
            pixels[last], halves[last, 0], halves[last, 1] = pixels[i], a, b
    return min(count, last - first + 1)


@compiled()
def _merge_all(atlas):
    """The table of an atlas with short pieces merged: starts, pixels, halves."""
    starts, pixels, halves = atlas.starts.copy(), atlas.pixels.copy(), atlas.halves.copy()
    for pair in range(len(starts) - 1):
        first = atlas.starts[pair]
        count = merge_short(first, atlas.starts[pair + 1] - first, pixels, halves)
        for i in range(count):
            pixels[starts[pair] + i] = pixels[first + i]
            halves[starts[pair] + i] = halves[first + i]
        starts[pair + 1] = starts[pair] + count
    return starts, pixels[: starts[-1]].copy(), halves[: starts[-1]].copy()


@compiled()
def spread(first, last, pixels, halves, twice, width, dense):
    """Add pieces, blurred twice, to the two planes of `dense`, float32 [2 · area], the planes alternating."""
    size, line = len(twice), np.empty(2 * len(twice), np.float32)
    for i in range(first, last):
        for column in range(size):
            line[2 * column] = halves[i, 0] * twice[column]
            line[2 * column + 1] = halves[i, 1] * twice[column]
        corner = np.int64(pixels[i]) - (size // 2) * (width + 1)
        for row in range(size):
            begin = 2 * (corner + row * width)
            there, tap = dense[begin : begin + 2 * size], twice[row]
            for k in range(2 * size):  # in a row, so that it compiles to vector instructions
                there[k] += tap * line[k]


@compiled()
def find_box(first, last, pixels, width, reach, box):
    """Columns and rows that pieces and their blur reach: from, to, from, to; nothing is an empty box."""
    box[0], box[1], box[2], box[3] = 1 << 20, -(1 << 20), 1 << 20, -(1 << 20)
    for i in range(first, last):
        row = pixels[i] // width
        column = pixels[i] - row * width
        box[0], box[1] = min(box[0], column - reach), max(box[1], column + reach)
        box[2], box[3] = min(box[2], row - reach), max(box[3], row + reach)


@compiled()
def clear(box, width, dense):
    """Set `dense` to zero inside a box."""
    for row in range(box[2], box[3] + 1):
        there = dense[2 * (row * width + box[0]) : 2 * (row * width + box[1] + 1)]
        for k in range(len(there)):
            there[k] = 0


@compiled()
def product(first, last, pixels, halves, field):
    """Inner product of pieces with the two planes of a field, float32 [2 · area], the planes alternating."""
    a, b = np.float32(0), np.float32(0)
    for i in range(np.uint64(first), np.uint64(last)):  # unsigned: an index that may be negative is checked each time
        p = np.uint64(2) * np.uint64(np.uint32(pixels[i]))
        a += halves[i, 0] * field[p]
        b += halves[i, 1] * field[p + np.uint64(1)]
    return a + b


@compiled()
def _stroke_norms(atlas, twice):
    """Squared norm after the blur of every stroke of the table."""
    norms = np.zeros(len(atlas.starts) - 1, np.float32)
    dense, box = np.zeros(2 * atlas.height * atlas.width, np.float32), np.empty(4, np.int32)
    for pair in range(len(norms)):
        first, last = atlas.starts[pair], atlas.starts[pair + 1]
        spread(first, last, atlas.pixels, atlas.halves, twice, atlas.width, dense)
        norms[pair] = product(first, last, atlas.pixels, atlas.halves, dense)
        find_box(first, last, atlas.pixels, atlas.width, len(twice) // 2, box)
        clear(box, atlas.width, dense)
    return norms
