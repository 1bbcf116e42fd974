"""How many times each candidate was painted: non-negative least squares, then an integer search, on inner products.

Everything here knows candidates only by their Gram matrix, of which a row is computed when first asked for: most
candidates never enter the solution.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.forward_model import clear, find_box, product, spread
from rasterize.jit import compiled

MAX_ROWS = 512  # of the Gram matrix
EASE = 0.1  # a trip of a spoilt image counts where it explains (1 − EASE) / 2 of itself: ends that are off cost it some
LEAST_GAIN = 1e-3  # squared pixels of stroke: what a change of trips must explain
LEAST_STEP = 1e-6, 1e-3  # the same for amplitudes, in clean and in spoilt images


class Gram(NamedTuple):
    """The candidates of one image by their inner products, and what these are computed from.

    starts, pixels, halves, local : as in `Candidates`. twice, width : as in `Scene` and its atlas.
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
def make_gram(count, origins, destinations, field, planes, scene, room, rows, dense):
    """The Gram matrix of `count` candidates, as yet without rows.

    field : float32 [2 · area], the stroke planes after the blur, alternating. planes : float32 [2, area], of blobs.
    """
    width = scene.atlas.width
    places = max(len(origins), len(destinations))
    overlap, matched = np.zeros((2, places, places), np.float32), np.zeros((2, places), np.float32)
    if not scene.grey:
        for side in range(2):
            _compare_blobs(
                origins if side == 0 else destinations, planes[side], scene.atlas, overlap[side], matched[side]
            )
    row_of, norms = np.full(count, -1, np.int32), np.empty(count, np.float32)
    slopes, boxes = np.empty(count, np.float32), np.empty((count, 4), np.int32)
    pair_of = np.full((places, places), -1, np.int32)
    tabled = len(scene.norms) > 0
    for j in range(count):
        first, last = room.starts[j], room.starts[j + 1]
        i, k = room.local[j]
        origin, destination, route = room.ends[j]
        if route < 0 and origin != destination:
            _box_between(scene.atlas.place_xy, origin, destination, len(scene.twice) // 2, boxes[j])
        else:
            find_box(first, last, room.pixels, width, len(scene.twice) // 2, boxes[j])
        if tabled and route < 0 and origin != destination:
            norms[j] = scene.norms[origin * len(scene.atlas.place_xy) + destination]
        else:
            spread(first, last, room.pixels, room.halves, scene.twice, width, dense)
            norms[j] = product(first, last, room.pixels, room.halves, dense)
            clear(boxes[j], width, dense)
        norms[j] += overlap[0, i, i] + overlap[1, k, k] + np.float32(1e-9)
        slopes[j] = product(first, last, room.pixels, room.halves, field) + matched[0, i] + matched[1, k]
        if pair_of[i, k] < 0:
            pair_of[i, k] = j
    ease = np.float32(EASE if len(scene.soft) > 1 else 0)
    pieces = room.starts, room.pixels, room.halves, room.local, scene.twice, width
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


@compiled()
def find_amplitudes(gram, limit):
    """Non-negative amplitudes of least squares, by coordinate descent along the steepest coordinate, float32 [M]."""
    count = len(gram.norms)
    amplitude, slopes = np.zeros(count, np.float32), gram.slopes.copy()
    least = np.float32(LEAST_STEP[1 if gram.ease > 0 else 0])
    usable = np.ones(count, np.bool_)
    for _ in range(40 * limit):
        best, chosen, step = least, -1, np.float32(0)
        for j in range(count):
            change = max(-amplitude[j], slopes[j] / gram.norms[j])
            gain = change * (2 * slopes[j] - change * gram.norms[j])
            if gain > best and usable[j]:
                best, chosen, step = gain, j, change
        if chosen < 0:
            break
        k = gram_row(chosen, gram)
        if k < 0:
            usable[chosen] = False
            continue
        amplitude[chosen] += step
        for j in range(count):
            slopes[j] -= step * gram.rows[k, j]
    return amplitude


@compiled()
def _change(j, amount, counts, slopes, gram):
    """Paint candidate `j` some times more; false if there is no room for its row."""
    k = gram_row(j, gram)
    if k < 0:
        return False
    counts[j] += amount
    for i in range(len(slopes)):
        slopes[i] -= amount * gram.rows[k, i]
    return True


@compiled()
def _best_instead(i, slopes, gram, best):
    """The best replacement of one painting of candidate `i`: (gain, candidate), −2: none above `best`; −1: nothing."""
    row = gram.rows[gram.row_of[i]]
    off = -2 * slopes[i] - (1 + gram.ease) * gram.norms[i]
    chosen = -2
    if off > best:
        best, chosen = off, -1
    for j in range(len(slopes)):
        gain = off + 2 * slopes[j] - (1 - gram.ease) * gram.norms[j] + 2 * row[j]
        if gain > best and j != i:
            best, chosen = gain, j
    return best, chosen


@compiled()
def _best_exchange(i, chosen, slopes, gram, best):
    """The best exchange of destinations between candidate `i` and another chosen one: (gain, other, p, q).

    The blobs stay the same, so no single replacement leads there. −1: none above `best`.
    """
    other, first, second = -1, -1, -1
    row = gram.rows[gram.row_of[i]]
    for k in chosen:
        p = gram.pair_of[gram.local[i, 0], gram.local[k, 1]]
        q = gram.pair_of[gram.local[k, 0], gram.local[i, 1]]
        if k == i or p < 0 or q < 0 or p in (i, k):
            continue
        there = gram.rows[gram.row_of[k]]
        gain = 2 * (slopes[p] + slopes[q] - slopes[i] - slopes[k])
        gain -= (1 + gram.ease) * (gram.norms[i] + gram.norms[k]) + (1 - gram.ease) * (gram.norms[p] + gram.norms[q])
        gain += 2 * (row[p] + row[q] + there[p] + there[q] - row[k])
        if gain > best:  # inner products are never negative, so the last one can only make it less
            at = gram_row(p, gram)
            if at < 0:
                continue
            gain -= 2 * gram.rows[at, q]
            if gain > best:
                best, other, first, second = gain, k, p, q
    return best, other, first, second


@compiled()
def search_counts(amplitude, gram, limit):
    """Round, then add, drop, replace or exchange trips while that lowers the squared residual.

    Returns counts, int64 [M], and the inner products of the residual with each candidate, float32 [M].
    """
    counts, slopes = np.zeros(len(amplitude), np.int64), gram.slopes.copy()
    for j in range(len(amplitude)):
        if amplitude[j] >= 0.5:  # a saturated image is full already
            _change(j, int(min(amplitude[j] + 0.5, limit + 1)), counts, slopes, gram)
    for _ in range(4 * limit):
        if counts.sum() > limit:
            break
        best, taken, added = np.float32(LEAST_GAIN), -1, -1
        for j in range(len(counts)):
            gain = 2 * slopes[j] - (1 - gram.ease) * gram.norms[j]
            if gain > best and (gram.row_of[j] >= 0 or gram.used[0] < len(gram.rows)):
                best, added = gain, j
        chosen = np.flatnonzero(counts > 0)
        for i in chosen:
            gain, instead = _best_instead(i, slopes, gram, best)
            if instead > -2 and (instead < 0 or gram_row(instead, gram) >= 0):
                best, taken, added = gain, i, instead
        if taken < 0 and added < 0:
            if not _exchange(chosen, counts, slopes, gram):
                break
            continue
        if taken >= 0:
            _change(taken, -1, counts, slopes, gram)
        if added >= 0:
            _change(added, 1, counts, slopes, gram)
    return counts, slopes


@compiled()
def _exchange(chosen, counts, slopes, gram):
    """Let the two trips exchange their destinations that gain most by it; false if none gain."""
    best, moves = np.float32(LEAST_GAIN), (-1, -1, -1, -1)
    for i in chosen:
        gain, other, p, q = _best_exchange(i, chosen, slopes, gram, best)
        if other >= 0 and gram_row(q, gram) >= 0:
            best, moves = gain, (i, other, p, q)
    if moves[0] < 0:
        return False
    _change(moves[0], -1, counts, slopes, gram)
    _change(moves[1], -1, counts, slopes, gram)
    _change(moves[2], 1, counts, slopes, gram)
    _change(moves[3], 1, counts, slopes, gram)
    return True


@compiled()
def find_margins(counts, slopes, gram):
    """How much more of the image's energy is left unexplained without each chosen candidate, float32 [M].

    That is: without one painting of it, after the best replacement or exchange.
    """
    margins = np.zeros(len(counts), np.float32)
    chosen = np.flatnonzero(counts > 0)
    for i in chosen:
        best, _ = _best_instead(i, slopes, gram, np.float32(-1e30))
        best, _, _, _ = _best_exchange(i, chosen, slopes, gram, best)
        margins[i] = max(np.float32(0), -best)
    return margins
