"""The candidates of one image by their inner products; a row of the Gram matrix is computed when first asked for."""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.forward_model import add_blurred, clear_box, find_box, inner_product
from rasterize.jit import compiled

# Set by hand and not swept; the tables of docs/benchmarks/codec.md were measured with them.
MAX_ROWS = 512  # of the Gram matrix
# A trip of a spoilt image counts if it explains (1 − EASE) / 2 of itself: ends that are off cost it some.
EASE = 0.1


class Gram(NamedTuple):
    """The Gram matrix AᵀA of the candidates of one image, and what its rows are computed from.

    Attributes
    ----------
    starts, pixels, halves, local : arrays
        Strokes and local ends of the candidates, as in `CandidateBuffers`.
    twice, width : array, int
        As in `ForwardModel` and its atlas.
    rows : (MAX_ROWS, M) float32
        Rows of AᵀA that are known, in the order they were asked for.
    row_of : (M,) int32
        Index of each candidate's row; −1 where it is not known yet.
    used : (1,) int64
        How many rows are known.
    norms : (M,) float32
        The diagonal of AᵀA: squared norms.
    slopes : (M,) float32
        Aᵀy: inner products with the image.
    overlap : (2, L, L) float32
        Inner products of the blobs of local origins, and of local destinations.
    boxes : (M, 4) int32
        Columns and rows that each stroke reaches, see `find_box`.
    pair_of : (L, L) int32
        The first candidate between two local ends; −1 for none.
    dense : (2 · area,) float32
        Two planes to compute in, zero between calls.
    ease : float32
        `EASE` in spoilt images, 0 in clean ones.
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
    """Return the Gram matrix of the candidates in `buffers`, as yet without rows.

    Parameters
    ----------
    count : int
        How many candidates there are.
    origins, destinations : (L,) int32
        Places that may be ends; `buffers.local` points into them.
    field : (2 · area,) float32
        The stroke planes A and B after the blur, alternating.
    planes : (2, area) float32
        The blob planes O and D.
    model : ForwardModel
        Places, and the norms of tabled strokes.
    buffers : CandidateBuffers
        The candidates and their strokes.
    rows : (MAX_ROWS, M) float32
        Memory for the rows.
    dense : (2 · area,) float32
        Two planes to compute in, zero before and after.

    Returns
    -------
    Gram
        With norms ‖a_j‖² and slopes ⟨a_j, y⟩, where column a_j of A holds candidate j's stroke and two blobs.
    """
    width = model.atlas.width
    # Blobs: with each other and with the image.
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
        # Box that the stroke and its blur reach.
        if route < 0 and origin != destination:
            _find_box_between(model.atlas.place_xy, origin, destination, len(model.twice) // 2, boxes[j])
        else:
            find_box(first, last, buffers.pixels, width, len(model.twice) // 2, boxes[j])
        # Squared norm of the blurred stroke: from the table, or computed.
        if tabled and route < 0 and origin != destination:
            norms[j] = model.norms[origin * len(model.atlas.place_xy) + destination]
        else:
            add_blurred(first, last, buffers.pixels, buffers.halves, model.twice, width, dense)
            norms[j] = inner_product(first, last, buffers.pixels, buffers.halves, dense)
            clear_box(boxes[j], width, dense)
        # Stroke and blobs together; the small term keeps divisions by a norm finite.
        norms[j] += overlap[0, i, i] + overlap[1, k, k] + np.float32(1e-9)
        slopes[j] = inner_product(first, last, buffers.pixels, buffers.halves, field) + matched[0, i] + matched[1, k]
        if pair_of[i, k] < 0:
            pair_of[i, k] = j
    ease = np.float32(EASE if len(model.soft) > 1 else 0)
    pieces = buffers.starts, buffers.pixels, buffers.halves, buffers.local, model.twice, width
    return Gram(*pieces, rows, row_of, np.zeros(1, np.int64), norms, slopes, overlap, boxes, pair_of, dense, ease)


@compiled()
def _find_box_between(xy, origin, destination, reach, box):
    """Find the box of the straight stroke between two places, as `find_box` does from its pieces."""
    for axis in range(2):
        start, end = int(xy[origin, axis]), int(xy[destination, axis])
        box[2 * axis], box[2 * axis + 1] = min(start, end) - reach, max(start, end) + reach


@compiled()
def _compare_blobs(ends, plane, atlas, overlap, matched):
    """Add up the inner products of the blobs of some places with each other and with a plane."""
    taps = atlas.blobs.shape[1]
    dense = np.zeros(len(plane), np.float32)
    apart = 2 * sqrt(taps)
    for i in range(len(ends)):
        # Paint the blob of p.
        p = ends[i]
        for n in range(taps):
            dense[atlas.blobs_at[p, n]] += atlas.blobs[p, n]
            matched[i] += atlas.blobs[p, n] * plane[atlas.blobs_at[p, n]]
        # Compare it with the blobs near it.
        for k in range(len(ends)):
            q = ends[k]
            if abs(atlas.place_xy[p, 0] - atlas.place_xy[q, 0]) < apart:
                for n in range(taps):
                    overlap[i, k] += atlas.blobs[q, n] * dense[atlas.blobs_at[q, n]]
        # Wipe it out again.
        for n in range(taps):
            dense[atlas.blobs_at[p, n]] = 0


@compiled()
def find_gram_row(j, gram):
    """Return the index of the row of candidate `j`, computed now if it is not known; −1 if there is no more room."""
    if gram.row_of[j] >= 0:
        return gram.row_of[j]
    k = gram.used[0]
    if k == len(gram.rows):
        return -1
    gram.used[0] += 1
    gram.row_of[j] = k
    # Arrays are taken out of the tuple once: in the loop each would be counted as one more user of the array.
    starts, pixels, halves, dense, boxes = gram.starts, gram.pixels, gram.halves, gram.dense, gram.boxes
    row, local, origins, destinations = gram.rows[k], gram.local, gram.overlap[0], gram.overlap[1]
    # ⟨a_j, a_c⟩ is the overlap of blobs, and of strokes whose boxes meet.
    add_blurred(starts[j], starts[j + 1], pixels, halves, gram.twice, gram.width, dense)
    left, right, top, bottom = boxes[j]
    for c in range(len(gram.norms)):
        row[c] = origins[local[j, 0], local[c, 0]] + destinations[local[j, 1], local[c, 1]]
        apart = boxes[c, 0] > right or boxes[c, 1] < left or boxes[c, 2] > bottom or boxes[c, 3] < top
        if not apart:
            row[c] += inner_product(starts[c], starts[c + 1], pixels, halves, dense)
    clear_box(boxes[j], gram.width, dense)
    return k
