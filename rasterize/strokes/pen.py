"""Strokes ↔ pixels: the exact length of each trip inside each pixel, and the blobs at its ends.

One rule for both ways: an `Atlas` is what pictures are drawn with and what the decoder looks for.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rasterize.jit import compiled
from rasterize.strokes.atlas import make_atlas
from rasterize.strokes.blur import blur_plane, gaussian_taps
from rasterize.strokes.trace import split_halves, trace_path, trace_segment

if TYPE_CHECKING:
    from rasterize.strokes.spec import StrokeSpec
    from rasterize.strokes.strokes import Strokes

CHUNK = 64  # images a thread draws at a time: chosen by hand, not swept
ONE = np.float32(1)


class Pen:
    """Draws the strokes of one spec; what depends only on its places is prepared once.

    Parameters
    ----------
    spec : StrokeSpec
        What planes mean, and how strokes are drawn.
    xy : (P, 2) float, optional
        Places in pixels, instead of the spec's own.

    Attributes
    ----------
    shape : tuple of int
        (C, H, W) of one image.
    grey : bool
        Whether strokes have one plane, without direction.
    taps : (2r + 1,) float32
        The width of strokes, see `gaussian_taps`; a single 1 for thin ones.
    atlas : Atlas
        Blobs and strokes of the places.
    """

    def __init__(self, spec: "StrokeSpec", *, xy: NDArray | None = None) -> None:
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
        """Draw images, on all processors.

        Parameters
        ----------
        strokes : Strokes
            N images of S strokes in all.
        which : (B,) int, optional
            Numbers of the images to draw; all of them by default.
        weights : (S, 3) float, optional
            How strongly each stroke, its origin's blob and its destination's blob are drawn; 1 by default.

        Returns
        -------
        (B, C, H, W) float32
            Levels, in the order of `which`.
        """
        # Arrays for compiled code; `longest` is the most legs of a path, for its buffers.
        index = np.arange(len(strokes.offsets) - 1) if which is None else np.asarray(which, np.int64)
        images = np.empty((len(index), *self.shape), np.float32)
        weights = None if weights is None else np.ascontiguousarray(weights, np.float32)
        longest = int(np.diff(strokes.path_offsets).max(initial=1)) if len(strokes.paths) else 1
        arrays = (strokes.offsets, strokes.ends, strokes.values, strokes.paths, strokes.path_offsets)
        flat = images.reshape(len(index), self.shape[0], self.shape[1] * self.shape[2])

        def draw(chunk: slice) -> None:
            _draw_images(flat[chunk], index[chunk], arrays, weights, self.atlas, self.taps, self.grey, longest)

        # Chunks of images side by side; a single chunk is too little for threads.
        chunks = [slice(first, first + CHUNK) for first in range(0, len(index), CHUNK)]
        if len(chunks) < 2:
            draw(slice(None))
        else:
            with ThreadPoolExecutor(os.cpu_count()) as pool:
                list(pool.map(draw, chunks))
        return images


def draw_images(spec: "StrokeSpec", strokes: "Strokes", which: ArrayLike | None = None) -> NDArray:
    """Draw images of a spec once; for many batches keep a `Pen`.

    Parameters
    ----------
    spec : StrokeSpec
        What planes mean, and how strokes are drawn.
    strokes : Strokes
        N images of strokes.
    which : (B,) int, optional
        Numbers of the images to draw; all of them by default.

    Returns
    -------
    (B, C, H, W) float32
        Levels, in the order of `which`.
    """
    return Pen(spec).draw(strokes, which)


# ---- compiled code ---------------------------------------------------------------------------------------------------


@compiled()
def _draw_images(images, which, strokes, weights, atlas, taps, grey, longest):
    """Draw images [B, C, H·W]."""
    for b in range(len(which)):
        begin, end = strokes[0][which[b]], strokes[0][which[b] + 1]
        _draw_image(images[b], begin, end, strokes, weights, atlas, taps, grey, longest)


@compiled()
def _draw_image(image, begin, end, strokes, weights, atlas, taps, grey, longest):
    """Draw strokes `begin` … `end` into an image [C, H·W]: strokes, their width, then blobs.

    The origin's blob carries the painted values too. A grey picture has a blob only where there is no stroke: on round
    trips. That blob is widened like a stroke.
    """
    # Buffers for strokes that are traced here, not looked up in the atlas.
    _, ends, values, _, path_offsets = strokes
    tabled, places, painted = len(atlas.starts) > 1, len(atlas.place_xy), values.shape[1]
    size = 0 if tabled and longest == 1 else longest * (atlas.height + atlas.width + 4)
    pixels, halves = np.empty(size, np.int32), np.empty((size, 2), np.float32)
    lengths, middles = np.empty(size), np.empty(size)
    image[:] = 0

    # Thin strokes: straight ones from the table of all pairs, others traced.
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

    # Width: blur all planes that hold strokes; O and D (planes 2 and 3) hold none.
    if len(taps) > 1:
        scratch = np.empty(image.shape[1], np.float32)
        for plane in range(len(image)):
            if grey or plane < 2 or plane > 3:
                blur_plane(image[plane], taps, atlas.height, atlas.width, image[plane], scratch)

    # Blobs: origins in O and in every painted plane, destinations in D.
    for s in range(begin, end):
        weight = ONE if weights is None else weights[s, 1]
        if not grey:
            _add_blob(image, 2, ends[s, 0], weight, atlas)
            _add_blob(image, 3, ends[s, 1], ONE if weights is None else weights[s, 2], atlas)
        for plane in range(painted):
            _add_blob(image, len(image) - painted + plane, ends[s, 0], weight * values[s, plane], atlas)


@compiled()
def _trace_stroke(s, strokes, atlas, pixels, halves, lengths, middles):
    """Write pixels and halves of stroke `s`, along its path if it has one; return how many were written."""
    _, ends, _, paths, path_offsets = strokes
    if path_offsets[s + 1] > path_offsets[s]:
        path = paths[path_offsets[s] : path_offsets[s + 1]]
        count = trace_path(path[:, 0], path[:, 1], atlas.height, atlas.width, pixels, lengths, middles)
    else:
        (x0, y0), (x1, y1) = atlas.place_xy[ends[s, 0]], atlas.place_xy[ends[s, 1]]
        count = trace_segment(x0, y0, x1, y1, atlas.height, atlas.width, pixels, lengths, middles)
    split_halves(count, lengths, middles, atlas.unit, halves)
    return count


@compiled()
def _add_stroke(image, pixels, halves, first, last, values, s, weight, grey):
    """Add pieces `first` … `last` to an image [C, H·W]: to A and B (or grey), then to the painted planes."""
    # Indices are unsigned, since numba then does not ask whether they count from the end.
    if grey:
        for i in range(first, last):
            image[0, pixels[i]] += weight * (halves[i, 0] + halves[i, 1])
    else:
        a, b = image[0], image[1]
        for i in range(first, last):
            at = np.uint32(pixels[i])
            a[at] += weight * halves[i, 0]
            b[at] += weight * halves[i, 1]

    # Painted planes: Σ length · value, with the same lengths.
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
