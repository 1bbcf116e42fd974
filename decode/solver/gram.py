"""The candidates of one image by their inner products; a row of the Gram matrix is computed when first asked for."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.forward_model import clear, find_box, product, spread
from rasterize.jit import compiled

MAX_ROWS = 512  # of the Gram matrix
EASE = 0.1  # a trip of a spoilt image counts where it explains (1 − EASE) / 2 of itself: ends that are off cost it some


class Gram(NamedTuple):
    """The candidates of one image by their inner products, and what these are computed from.

    starts, pixels, halves, local : as in `CandidateBuffers`. twice, width : as in `ForwardModel` and its atlas.
    rows : float32 [MAX_ROWS, M]; row_of : int32 [M], −1 where the row is not known yet; used : int64 [1], how many are.
    norms : float32 [M], squared norms. slopes : float32 [M], inner products with the image.
    overlap : float32 [2, L, L], inner products of the blobs of local ends. boxes : int32 [M, 4], columns and rows that
    a stroke reaches. pair_of : int32 [L, L], the first candidate between two local ends, −1 for none.
    dense : float32 [2 · area], zero between calls. ease : see `EASE`.
    """

    starts: NDArray
    pixels: NDArray
    halves: NDArray
    local: NDArray
    twice: NDArray
    width: int
    rows: NDArray
    row_of: NDArray
    used: NDArray
    norms: NDArray
    slopes: NDArray
    overlap: NDArray
    boxes: NDArray
    pair_of: NDArray
    dense: NDArray
    ease: np.float32


@compiled()
def make_gram(count, origins, destinations, field, planes, model, buffers, rows, dense):
    """The Gram matrix of `count` candidates, as yet without rows.

    field : float32 [2 · area], the stroke planes after the blur, alternating. planes : float32 [2, area], of blobs.
    """
    width = model.atlas.width
    places = max(len(origins), len(destinations))
    overlap, matched = np.zeros((2, places, places), np.float32), np.zeros((2, places), np.float32)
    if not model.grey:
        for side in range(2):
            _compare_blobs(
                origins if side == 0 else destinations, planes[side], model.atlas, overlap[side], matched[side]
            )
    row_of, norms = np.full(count, -1, np.int32), np.empty(count, np.float32)
    slopes, boxes = np.empty(count, np.float32), np.empty((count, 4), np.int32)
    pair_of = np.full((places, places), -1, np.int32)
    tabled = len(model.norms) > 0
    for j in range(count):
        first, last = buffers.starts[j], buffers.starts[j + 1]
        i, k = buffers.local[j]
        origin, destination, route = buffers.ends[j]
        if route < 0 and origin != destination:
            _box_between(model.atlas.place_xy, origin, destination, len(model.twice) // 2, boxes[j])
        else:
            find_box(first, last, buffers.pixels, width, len(model.twice) // 2, boxes[j])
        if tabled and route < 0 and origin != destination:
            norms[j] = model.norms[origin * len(model.atlas.place_xy) + destination]
        else:
            spread(first, last, buffers.pixels, buffers.halves, model.twice, width, dense)
            norms[j] = product(first, last, buffers.pixels, buffers.halves, dense)
            clear(boxes[j], width, dense)
        norms[j] += overlap[0, i, i] + overlap[1, k, k] + np.float32(1e-9)
        slopes[j] = product(first, last, buffers.pixels, buffers.halves, field) + matched[0, i] + matched[1, k]
        if pair_of[i, k] < 0:
            pair_of[i, k] = j
    ease = np.float32(EASE if len(model.soft) > 1 else 0)
    pieces = buffers.starts, buffers.pixels, buffers.halves, buffers.local, model.twice, width
    return Gram(*pieces, rows, row_of, np.zeros(1, np.int64), norms, slopes, overlap, boxes, pair_of, dense, ease)


@compiled()
def _box_between(xy, origin, destination, reach, box):
    """`find_box` of the straight stroke between two places."""
    for axis in range(2):
        start, end = int(xy[origin, axis]), int(xy[destination, axis])
        box[2 * axis], box[2 * axis + 1] = min(start, end) - reach, max(start, end) + reach


@compiled()
def _compare_blobs(ends, plane, atlas, overlap, matched):
    """Inner products of the blobs of some places with each other and with a plane."""
    taps = atlas.blobs.shape[1]
    dense = np.zeros(len(plane), np.float32)
    apart = 2 * sqrt(taps)
    for i in range(len(ends)):
        p = ends[i]
        for n in range(taps):
            dense[atlas.blobs_at[p, n]] += atlas.blobs[p, n]
            matched[i] += atlas.blobs[p, n] * plane[atlas.blobs_at[p, n]]
        for k in range(len(ends)):
            q = ends[k]
            if abs(atlas.place_xy[p, 0] - atlas.place_xy[q, 0]) < apart:
                for n in range(taps):
                    overlap[i, k] += atlas.blobs[q, n] * dense[atlas.blobs_at[q, n]]
        for n in range(taps):
            dense[atlas.blobs_at[p, n]] = 0


@compiled()
def gram_row(j, gram):
    """Index of the row of candidate `j`, computed now if it is not known; −1 if there is no more room."""
    if gram.row_of[j] >= 0:
        return gram.row_of[j]
    k = gram.used[0]
    if k == len(gram.rows):
        return -1
    gram.used[0] += 1
    gram.row_of[j] = k
    # taken out of the tuple once: in the loop each would be counted as one more user of the array
    starts, pixels, halves, dense, boxes = gram.starts, gram.pixels, gram.halves, gram.dense, gram.boxes
    row, local, origins, destinations = gram.rows[k], gram.local, gram.overlap[0], gram.overlap[1]
    spread(starts[j], starts[j + 1], pixels, halves, gram.twice, gram.width, dense)
    left, right, top, bottom = boxes[j]
    for c in range(len(gram.norms)):
        row[c] = origins[local[j, 0], local[c, 0]] + destinations[local[j, 1], local[c, 1]]
        apart = boxes[c, 0] > right or boxes[c, 1] < left or boxes[c, 2] > bottom or boxes[c, 3] < top
        if not apart:
            row[c] += product(starts[c], starts[c + 1], pixels, halves, dense)
    clear(boxes[j], gram.width, dense)
    return k
