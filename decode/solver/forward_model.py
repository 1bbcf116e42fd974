"""What the decoder knows before it sees an image, for compiled code: places, routes, and how blur makes them look."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.routes import Routes
from rasterize.jit import compiled
from rasterize.strokes.atlas import Atlas, make_atlas
from rasterize.strokes.blur import blob_radius, blob_table, gaussian_taps
from rasterize.strokes.spec import StrokeSpec

# Set by hand and not swept; the tables of docs/benchmarks/codec.md were measured with them.
SHORT = np.float32(0.5)  # pixels: shorter pieces of a blurred stroke are merged with a neighbour
SURE = 4.0  # standard deviations above which a blob is none of noise
FAINTEST = 0.03, 0.15  # trips: bounds of the strength below which a blob may be noise


class ForwardModel(NamedTuple):
    """Places and routes as they look after the generator's blur; padding keeps all of the blur in the frame.

    Attributes
    ----------
    atlas : Atlas
        Strokes are thin, with a length in pixels; blobs are blurred. All is in the padded frame.
    sharp_at, sharp : (P, taps) int32, float32
        Flat pixels and weights of the blobs as they are drawn, without blur.
    soft : (2r + 1,) float32
        Blur that the decoder puts on strokes, to forgive ends that are off.
    taps : (2r + 1,) float32
        Blur of strokes after that, the generator's included.
    twice : (2r + 1,) float32
        The blur `taps` applied two times: the inner product of two blurred strokes needs it.
    pad : int
        Pixels of padding on each side.
    peak : float32
        Height of a line after `twice`; 0 without blur.
    norms : (P²,) float32
        Squared norm of each stroke after the blur, where the atlas has a table; else empty.
    route_keys : (R,) int64
        origin · P + destination of each route, ascending.
    route_offsets : (R + 1,) int64
        Waypoints of route r are `route_offsets[r]` … `route_offsets[r + 1]`.
    route_points : (M, 2) float32
        Waypoints (x, y), in pixels of the padded frame.
    faintest : float32
        Trips. With one trip per image, a fainter blob may be noise.
    grey : bool
        One plane of strokes, so trips have no direction.
    bent : bool
        Strokes follow waypoints, so straight ones say nothing.
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
    """Prepare all that decoding images of one spec and one blur needs.

    Parameters
    ----------
    spec : StrokeSpec
        Places, frame and how strokes are drawn.
    blur_px : float
        Standard deviation of the generator's Gaussian blur, in pixels.
    soft_px : float
        Blur that the decoder puts on strokes on top, in pixels.
    noise : float
        Standard deviation of a pixel, in units of a stroke.
    routes : Routes, optional
        Known routes between places.

    Returns
    -------
    ForwardModel
        Places and routes as they look after the blur.
    """
    drawing, frame = spec.drawing, spec.frame
    # Variances of Gaussians add up: that of the drawing, the generator's and our own.
    stroke_px = float(np.hypot(drawing.stroke_sigma_px, np.hypot(blur_px, soft_px)))
    blob_px = float(np.hypot(drawing.blob_sigma_px, blur_px))
    taps, twice = gaussian_taps(stroke_px), gaussian_taps(stroke_px * 2**0.5)
    # The blur of a sharp blob at the border must lie inside, too: no loop checks each pixel.
    pad = max(len(twice) // 2 + blob_radius(drawing.blob_sigma_px), blob_radius(blob_px)) if stroke_px else 0
    size = {"height": frame.height + 2 * pad, "width": frame.width + 2 * pad}
    xy = spec.place_xy + pad
    atlas = make_atlas(xy, **size, sigma_px=blob_px, mass=drawing.blob_gain)
    sharp_at, sharp = blob_table(xy[:, 0], xy[:, 1], sigma_px=drawing.blob_sigma_px, **size)
    if soft_px:
        atlas = atlas._replace(**dict(zip(("starts", "pixels", "halves"), _merge_all(atlas), strict=True)))
    # A grey picture has all of a stroke in its one plane.
    if drawing.mode == "grey":
        length = atlas.halves.sum(axis=1)
        atlas = atlas._replace(halves=np.stack([length, np.zeros_like(length)], axis=1))
    # Across a line lies the profile of a Gaussian, of the blur and of the pixel itself (variance 1/12).
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
    """Merge each short piece of a stroke with a neighbour, in place.

    Parameters
    ----------
    first, count : int
        The stroke has the pieces `first` … `first + count`.
    pixels : (Q,) int32
        Flat pixel of each piece.
    halves : (Q, 2) float32
        Weights of each piece in the planes A and B.

    Returns
    -------
    int
        How many pieces are left.

    Notes
    -----
    Under a blur the picture stays nearly the same, but a third of the pieces goes: they just cut the corner of a pixel.
    """
    last = first
    for i in range(first + 1, first + count):
        a, b = halves[i, 0], halves[i, 1]
        before = halves[last, 0] + halves[last, 1]
        # A merged piece lies in the pixel of the longer one.
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
    """Return the table of an atlas with short pieces merged: starts, pixels, halves."""
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
def add_blurred(first, last, pixels, halves, twice, width, dense):
    """Add pieces, blurred twice, to two dense planes.

    Parameters
    ----------
    first, last : int
        The pieces are `first` … `last`.
    pixels : (Q,) int32
        Flat pixel of each piece.
    halves : (Q, 2) float32
        Weights of each piece in the two planes.
    twice : (2r + 1,) float32
        The blur, applied along both axes.
    width : int
        Of the padded frame, in pixels.
    dense : (2 · area,) float32
        The two planes, alternating; is added to.
    """
    size, line = len(twice), np.empty(2 * len(twice), np.float32)
    for i in range(first, last):
        # The outer product of the taps with themselves, row by row: this compiles to vector instructions.
        for column in range(size):
            line[2 * column] = halves[i, 0] * twice[column]
            line[2 * column + 1] = halves[i, 1] * twice[column]
        corner = np.int64(pixels[i]) - (size // 2) * (width + 1)
        for row in range(size):
            begin = 2 * (corner + row * width)
            target, tap = dense[begin : begin + 2 * size], twice[row]
            for k in range(2 * size):
                target[k] += tap * line[k]


@compiled()
def find_box(first, last, pixels, width, reach, box):
    """Find the columns and rows that pieces and their blur reach.

    Parameters
    ----------
    first, last : int
        The pieces are `first` … `last`.
    pixels : (Q,) int32
        Flat pixel of each piece.
    width : int
        Of the padded frame, in pixels.
    reach : int
        How far the blur reaches, in pixels.
    box : (4,) int32
        Receives the first and last column, then the first and last row. No piece is an empty box.
    """
    box[0], box[1], box[2], box[3] = 1 << 20, -(1 << 20), 1 << 20, -(1 << 20)
    for i in range(first, last):
        row = pixels[i] // width
        column = pixels[i] - row * width
        box[0], box[1] = min(box[0], column - reach), max(box[1], column + reach)
        box[2], box[3] = min(box[2], row - reach), max(box[3], row + reach)


@compiled()
def clear_box(box, width, dense):
    """Set two dense planes to zero inside a box.

    Parameters
    ----------
    box : (4,) int32
        See `find_box`.
    width : int
        Of the padded frame, in pixels.
    dense : (2 · area,) float32
        The two planes, alternating; is written.
    """
    for row in range(box[2], box[3] + 1):
        line = dense[2 * (row * width + box[0]) : 2 * (row * width + box[1] + 1)]
        for k in range(len(line)):
            line[k] = 0


@compiled()
def inner_product(first, last, pixels, halves, field):
    """Return the inner product of pieces with two dense planes.

    Parameters
    ----------
    first, last : int
        The pieces are `first` … `last`.
    pixels : (Q,) int32
        Flat pixel of each piece.
    halves : (Q, 2) float32
        Weights of each piece in the two planes.
    field : (2 · area,) float32
        The two planes, alternating.

    Returns
    -------
    float32
        Σ halves · field over the pieces and both planes.
    """
    a, b = np.float32(0), np.float32(0)
    # Indices are unsigned: one that may be negative is checked each time.
    for i in range(np.uint64(first), np.uint64(last)):
        p = np.uint64(2) * np.uint64(np.uint32(pixels[i]))
        a += halves[i, 0] * field[p]
        b += halves[i, 1] * field[p + np.uint64(1)]
    return a + b


@compiled()
def _stroke_norms(atlas, twice):
    """Return the squared norm after the blur of every stroke of the table, float32 [P²]."""
    norms = np.zeros(len(atlas.starts) - 1, np.float32)
    dense, box = np.zeros(2 * atlas.height * atlas.width, np.float32), np.empty(4, np.int32)
    for pair in range(len(norms)):
        # ‖B s‖² = ⟨s, B B s⟩, with B the blur and s the stroke.
        first, last = atlas.starts[pair], atlas.starts[pair + 1]
        add_blurred(first, last, atlas.pixels, atlas.halves, twice, atlas.width, dense)
        norms[pair] = inner_product(first, last, atlas.pixels, atlas.halves, dense)
        find_box(first, last, atlas.pixels, atlas.width, len(twice) // 2, box)
        clear_box(box, atlas.width, dense)
    return norms
