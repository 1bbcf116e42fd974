"""Strokes ↔ pixels: the exact length of each trip inside each pixel, and the blobs at its ends.

One rule for both ways: `trace` and `blob_table` are what pictures are drawn with and what the decoder looks for.
"""

from math import ceil, sqrt

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray
from scipy.special import ndtr


@njit(cache=True, nogil=True)
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
    return index.reshape(len(index), -1).astype(np.int32), weight.reshape(len(weight), -1).astype(np.float32)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _add_stroke(image, pixels, lengths, middles, count, values, grey):
    """Add one traced stroke to an image [C, H·W]: A and B (or grey), then the painted planes."""
    first = 1 if grey else 4
    for i in range(count):
        pixel, length = pixels[i], lengths[i]
        if grey:
            image[0, pixel] += length
        else:
            image[0, pixel] += length * (1 - middles[i])
            image[1, pixel] += length * middles[i]
        for plane in range(len(values)):
            image[first + plane, pixel] += length * values[plane]


@njit(cache=True, nogil=True)
def _add_blobs(image, origin_at, origin, destination_at, destination, values, gain, grey, is_round):
    """Add the end blobs of one trip to an image [C, H·W]; the origin's carries the painted values too.

    A grey picture has a blob only where there is no stroke: on round trips.
    """
    first = 1 if grey else 4
    for i in range(len(origin)):
        weight = gain * origin[i]
        if not grey:
            image[2, origin_at[i]] += weight
            image[3, destination_at[i]] += gain * destination[i]
        elif is_round:
            image[0, origin_at[i]] += weight
        for plane in range(len(values)):
            image[first + plane, origin_at[i]] += weight * values[plane]


@njit(cache=True, nogil=True, parallel=True)
def draw_strokes(images, which, offsets, ends, values, paths, path_offsets, place_xy, blobs_at, blobs, gain, grey):
    """Draw images in place, in parallel over images.

    images : float32 [B, C, H, W], zeros on entry. which : int64 [B], rows of `offsets`.
    offsets : int64 [N + 1], the strokes of image n are offsets[n] … offsets[n + 1].
    ends : int32 [S, 2], origin and destination place. values : float32 [S, P], one level per painted plane.
    paths, path_offsets : float32 [M, 2] waypoints (x, y), int64 [S + 1]; an empty range is a straight stroke.
    place_xy : float64 [places, 2]. blobs_at, blobs : from `blob_table`. gain : weight of a blob in pixels of stroke.
    """
    height, width = images.shape[2], images.shape[3]
    longest = 1
    if len(paths):
        for s in range(len(path_offsets) - 1):
            longest = max(longest, path_offsets[s + 1] - path_offsets[s])
    size = longest * (height + width + 4)
    for b in prange(len(which)):
        image = images[b].reshape(images.shape[1], height * width)
        pixels, lengths, middles = np.empty(size, np.int64), np.empty(size), np.empty(size)
        for s in range(offsets[which[b]], offsets[which[b] + 1]):
            origin, destination = ends[s, 0], ends[s, 1]
            if path_offsets[s + 1] > path_offsets[s]:
                path = paths[path_offsets[s] : path_offsets[s + 1]]
                count = trace_path(path[:, 0], path[:, 1], height, width, pixels, lengths, middles)
            else:
                x0, y0 = place_xy[origin]
                x1, y1 = place_xy[destination]
                count = trace(x0, y0, x1, y1, height, width, pixels, lengths, middles)
            _add_stroke(image, pixels, lengths, middles, count, values[s], grey)
            _add_blobs(
                image,
                blobs_at[origin],
                blobs[origin],
                blobs_at[destination],
                blobs[destination],
                values[s],
                gain,
                grey,
                count == 0,
            )
