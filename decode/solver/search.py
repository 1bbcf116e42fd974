"""How many times each candidate was painted: non-negative least squares, then an integer search, on inner products.

Everything here knows candidates only by their Gram matrix, of which a row is computed when first asked for: most
candidates never enter the solution.
"""

import numpy as np

from decode.solver.gram import gram_row
from rasterize.jit import compiled

LEAST_GAIN = 1e-3  # squared pixels of stroke: what a change of trips must explain
LEAST_STEP = 1e-6, 1e-3  # the same for amplitudes, in clean and in spoilt images


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
