"""How many times each candidate was painted: non-negative least squares, then an integer local search.

The image y is a sum of candidates a_j (columns of A, stroke and blobs together), each painted x_j times. Counting trips
from sums is network tomography (Vardi 1996). We look for the counts x ≥ 0 with the least residual ‖y − A x‖².

Only inner products are needed: the slopes s = Aᵀ(y − A x) and the Gram matrix G = AᵀA. By how much a move lowers the
residual is its gain:

    change x_j by δ             δ (2 s_j − δ G_jj)
    add j                       2 s_j − G_jj
    drop i                      −2 s_i − G_ii
    replace i by j              2 (s_j − s_i) − G_ii − G_jj + 2 G_ij
    exchange i, k for p, q      2 (s_p + s_q − s_i − s_k) − ‖a_p + a_q − a_i − a_k‖²

After a move of δ the slopes are s − δ G_j. In spoilt images an added trip pays (1 − e) G_jj and a dropped one
(1 + e) G_ii. That `ease` e is there since ends that are off cost a trip some of its gain.

A row of G is computed when first asked for, since most candidates never enter the solution.
"""

import numpy as np

from decode.solver.gram import find_gram_row
from rasterize.jit import compiled

# Set by hand and not swept; the tables of docs/benchmarks/codec.md were measured with them.
LEAST_GAIN = 1e-3  # squared pixels of stroke: a move must gain more
LEAST_STEP = 1e-6, 1e-3  # the same for amplitudes, in clean and in spoilt images


@compiled()
def find_amplitudes(gram, limit):
    """Return the non-negative amplitudes of least squares, float32 [M], after at most 40 · `limit` steps."""
    count = len(gram.norms)
    amplitude, slopes = np.zeros(count, np.float32), gram.slopes.copy()
    least = np.float32(LEAST_STEP[1 if gram.ease > 0 else 0])
    usable = np.ones(count, np.bool_)
    for _ in range(40 * limit):
        # NNLS by coordinate descent: choose the coordinate of the largest gain.
        best, chosen, step = least, -1, np.float32(0)
        for j in range(count):
            change = max(-amplitude[j], slopes[j] / gram.norms[j])
            gain = change * (2 * slopes[j] - change * gram.norms[j])
            if gain > best and usable[j]:
                best, chosen, step = gain, j, change
        if chosen < 0:
            break
        # Without room for its row it cannot be moved.
        k = find_gram_row(chosen, gram)
        if k < 0:
            usable[chosen] = False
            continue
        # Move along it, and update the slopes.
        amplitude[chosen] += step
        for j in range(count):
            slopes[j] -= step * gram.rows[k, j]
    return amplitude


@compiled()
def _change_count(j, amount, counts, slopes, gram):
    """Paint candidate `j` `amount` times more and update the slopes; return false if there is no room for its row."""
    k = find_gram_row(j, gram)
    if k < 0:
        return False
    counts[j] += amount
    for i in range(len(slopes)):
        slopes[i] -= amount * gram.rows[k, i]
    return True


@compiled()
def _find_replacement(i, slopes, gram, best):
    """Return the best replacement of one painting of candidate `i`, and its gain.

    The replacement is a candidate; −1 drops the trip, −2 says that nothing gains more than `best`.
    """
    row = gram.rows[gram.row_of[i]]
    # Drop it.
    drop_gain = -2 * slopes[i] - (1 + gram.ease) * gram.norms[i]
    chosen = -2
    if drop_gain > best:
        best, chosen = drop_gain, -1
    # Or put another candidate in its place.
    for j in range(len(slopes)):
        gain = drop_gain + 2 * slopes[j] - (1 - gram.ease) * gram.norms[j] + 2 * row[j]
        if gain > best and j != i:
            best, chosen = gain, j
    return best, chosen


@compiled()
def _find_exchange(i, chosen, slopes, gram, best):
    """Return the best exchange of destinations between candidate `i` and another chosen one: (gain, other, p, q).

    The blobs stay the same, so no single replacement leads there. The other is −1 if nothing gains more than `best`.
    """
    other, first, second = -1, -1, -1
    row = gram.rows[gram.row_of[i]]
    for k in chosen:
        # i and k become p and q: from i's origin to k's destination, and the other way round.
        p = gram.pair_of[gram.local[i, 0], gram.local[k, 1]]
        q = gram.pair_of[gram.local[k, 0], gram.local[i, 1]]
        if k == i or p < 0 or q < 0 or p in (i, k):
            continue
        other_row = gram.rows[gram.row_of[k]]
        gain = 2 * (slopes[p] + slopes[q] - slopes[i] - slopes[k])
        gain -= (1 + gram.ease) * (gram.norms[i] + gram.norms[k]) + (1 - gram.ease) * (gram.norms[p] + gram.norms[q])
        gain += 2 * (row[p] + row[q] + other_row[p] + other_row[q] - row[k])
        # Only G_pq is missing. It is never negative, so its row is asked for only if it can matter.
        if gain > best:
            p_row = find_gram_row(p, gram)
            if p_row < 0:
                continue
            gain -= 2 * gram.rows[p_row, q]
            if gain > best:
                best, other, first, second = gain, k, p, q
    return best, other, first, second


@compiled()
def search_counts(amplitude, gram, limit):
    """Round the amplitudes, then make the move of the largest gain until none gains anything.

    Parameters
    ----------
    amplitude : (M,) float32
        Amplitudes of least squares, see `find_amplitudes`.
    gram : Gram
        Inner products of the candidates; rows are added.
    limit : int
        Trips. The search ends when there are more: such an image counts as overfull.

    Returns
    -------
    counts : (M,) int64
        How many times each candidate was painted.
    slopes : (M,) float32
        Inner products of the residual with each candidate.

    Notes
    -----
    Steepest local search over integers. Its moves are add, drop and replace; where none gains, exchange. The module's
    docstring has their gains.
    """
    counts, slopes = np.zeros(len(amplitude), np.int64), gram.slopes.copy()
    # Round. A saturated image is full already, so amplitudes are cut.
    for j in range(len(amplitude)):
        if amplitude[j] >= 0.5:
            _change_count(j, int(min(amplitude[j] + 0.5, limit + 1)), counts, slopes, gram)
    for _ in range(4 * limit):
        if counts.sum() > limit:
            break
        # Add: any candidate for whose row there is room.
        best, taken, added = np.float32(LEAST_GAIN), -1, -1
        for j in range(len(counts)):
            gain = 2 * slopes[j] - (1 - gram.ease) * gram.norms[j]
            if gain > best and (gram.row_of[j] >= 0 or gram.used[0] < len(gram.rows)):
                best, added = gain, j
        # Drop or replace: any chosen candidate.
        chosen = np.flatnonzero(counts > 0)
        for i in chosen:
            gain, replacement = _find_replacement(i, slopes, gram, best)
            if replacement > -2 and (replacement < 0 or find_gram_row(replacement, gram) >= 0):
                best, taken, added = gain, i, replacement
        # Exchange: only where no other move gains.
        if taken < 0 and added < 0:
            if not _exchange(chosen, counts, slopes, gram):
                break
            continue
        # Make the move.
        if taken >= 0:
            _change_count(taken, -1, counts, slopes, gram)
        if added >= 0:
            _change_count(added, 1, counts, slopes, gram)
    return counts, slopes


@compiled()
def _exchange(chosen, counts, slopes, gram):
    """Let the two trips that gain most by it exchange their destinations; return false if none gain."""
    best, moves = np.float32(LEAST_GAIN), (-1, -1, -1, -1)
    for i in chosen:
        gain, other, p, q = _find_exchange(i, chosen, slopes, gram, best)
        if other >= 0 and find_gram_row(q, gram) >= 0:
            best, moves = gain, (i, other, p, q)
    if moves[0] < 0:
        return False
    _change_count(moves[0], -1, counts, slopes, gram)
    _change_count(moves[1], -1, counts, slopes, gram)
    _change_count(moves[2], 1, counts, slopes, gram)
    _change_count(moves[3], 1, counts, slopes, gram)
    return True


@compiled()
def find_margins(counts, slopes, gram):
    """Return how much more energy stays unexplained without each chosen candidate.

    Parameters
    ----------
    counts : (M,) int64
        How many times each candidate was painted.
    slopes : (M,) float32
        Inner products of the residual with each candidate.
    gram : Gram
        Inner products of the candidates; rows are added.

    Returns
    -------
    (M,) float32
        By how much the residual ‖y − A x‖² grows without one painting of the candidate. It is dropped, replaced or
        exchanged, whichever costs least. 0 for candidates that are not chosen.
    """
    margins = np.zeros(len(counts), np.float32)
    chosen = np.flatnonzero(counts > 0)
    for i in chosen:
        best, _ = _find_replacement(i, slopes, gram, np.float32(-1e30))
        best, _, _, _ = _find_exchange(i, chosen, slopes, gram, best)
        margins[i] = max(np.float32(0), -best)
    return margins
