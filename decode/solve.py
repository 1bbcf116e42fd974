"""The pair-dictionary decoder: which trips, together, painted this image?

A linear inverse problem over station pairs (network tomography, Vardi 1996): candidate pairs from the end blobs and
the support of their strokes, non-negative least squares by coordinate descent on the residual, then an integer local
search. Only the candidates' strokes are ever in memory, never all pairs.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numba import njit
from numpy.typing import NDArray

from rasterize.draw import blob_table, trace
from rasterize.spec import Spec

CHUNK = 32  # images a thread takes at a time
MAX_CANDIDATES = 4000  # pairs considered per image; the best supported ones if there are more
BLOB_THRESHOLD = 0.15  # trips: a place whose blob holds less is no candidate
SHARE_OF_STRONGEST = 0.3  # with one trip per image: a place whose blob is fainter than this share is no candidate
LEAST_MASS = 0.2  # of a stroke: painted values of fainter ones are not made up for
READABLE = 0.3  # trips: with one trip per image, a plane whose strongest blob holds less has lost it
SUPPORT = 0.6  # share of a stroke that must be painted when both ends have a blob
SUPPORT_ALONE = 0.8  # the same when only one end has
ENERGY_LEFT = 0.05  # share of the image's energy that may stay unexplained before missing blobs are suspected
OK, BLANK, NOT_FINITE, OVERFULL = 0, 1, 2, 3
STATES = ("decoded", "blank image", "image not finite", "image holds more trips than can be told apart")


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Decoded strokes of a batch of images.

    image, ends, confidence : int64 [S], int32 [S, 2], float32 [S], one row per trip, in image order; confidence is the
        share of the stroke's energy that is explained in the stroke's own pixels, 0 … 1.
    values : float32 [S, P], a level per painted plane.
    residual : float32 [N], share of each image's norm that the trips leave unexplained.
    state : int8 [N], index into `STATES`.
    """

    image: NDArray
    ends: NDArray
    confidence: NDArray
    values: NDArray
    residual: NDArray
    state: NDArray


@njit(cache=True, nogil=True)
def _fill_atom(origin, destination, atlas, at, weight):
    """Write the picture of one trip as (flat index, weight) pairs; returns how many."""
    place_xy, blobs_at, blobs, gain, grey, height, width, pixels, lengths, middles = atlas
    area, count = height * width, 0
    pieces = 0
    if origin != destination:
        pieces = trace(
            place_xy[origin, 0],
            place_xy[origin, 1],
            place_xy[destination, 0],
            place_xy[destination, 1],
            height,
            width,
            pixels,
            lengths,
            middles,
        )
    for i in range(pieces):
        at[count] = pixels[i]
        weight[count] = lengths[i] if grey else lengths[i] * (1 - middles[i])
        count += 1
        if not grey:
            at[count] = area + pixels[i]
            weight[count] = lengths[i] * middles[i]
            count += 1
    for plane, place in ((2, origin), (3, destination)):
        if grey and (plane == 3 or pieces > 0):
            continue
        shift = 0 if grey else plane * area
        for i in range(blobs.shape[1]):
            if blobs[place, i] > 0:
                at[count] = shift + blobs_at[place, i]
                weight[count] = gain * blobs[place, i]
                count += 1
    return count


@njit(cache=True, nogil=True)
def _support(origin, destination, image, atlas):
    """Share of a stroke that is painted where and as strongly as it must be, 0 … 1; 1 for a round trip."""
    place_xy, _, _, _, grey, height, width, pixels, lengths, middles = atlas
    if origin == destination:
        return 1.0
    x0, y0, x1, y1 = (
        place_xy[origin, 0],
        place_xy[origin, 1],
        place_xy[destination, 0],
        place_xy[destination, 1],
    )
    pieces = trace(x0, y0, x1, y1, height, width, pixels, lengths, middles)
    area, there, whole = height * width, 0.0, 1e-12
    for i in range(pieces):
        whole += lengths[i]
        if grey:
            there += max(0.0, min(image[pixels[i]], lengths[i]))
        else:
            there += max(0.0, min(image[pixels[i]], lengths[i] * (1 - middles[i])))
            there += max(0.0, min(image[area + pixels[i]], lengths[i] * middles[i]))
    return there / whole


@njit(cache=True, nogil=True)
def _blob_amplitudes(plane, blobs_at, blobs, gain):
    """Trips per place that explain one plane of blobs: NNLS by coordinate descent, [places]."""
    places, taps = blobs.shape
    residual = plane.copy()
    amplitude, norm = np.zeros(places), np.zeros(places)
    active = np.empty(places, np.int64)
    count = 0
    for p in range(places):
        matched = 0.0
        for i in range(taps):
            matched += gain * blobs[p, i] * plane[blobs_at[p, i]]
            norm[p] += (gain * blobs[p, i]) ** 2
        if matched > BLOB_THRESHOLD * norm[p]:
            active[count] = p
            count += 1
    for _ in range(100):
        largest = 0.0
        for k in range(count):
            p = active[k]
            slope = 0.0
            for i in range(taps):
                slope += gain * blobs[p, i] * residual[blobs_at[p, i]]
            new = max(0.0, amplitude[p] + slope / norm[p])
            change = new - amplitude[p]
            if change != 0.0:
                amplitude[p] = new
                largest = max(largest, abs(change))
                for i in range(taps):
                    residual[blobs_at[p, i]] -= change * gain * blobs[p, i]
        if largest < 1e-3:
            break
    return amplitude


@njit(cache=True, nogil=True)
def _pair_candidates(image, is_origin, is_destination, both, one, atlas):
    """Pairs of places that may be trips, int32 [n, 2].

    A pair whose two ends have a blob needs a stroke painted to the share `both`, one with a single blob the share `one`
    (above 1: never). If there are too many, the shares are raised until `MAX_CANDIDATES` do.
    """
    grey, places = atlas[4], len(is_origin)
    pairs = np.empty((MAX_CANDIDATES, 2), np.int32)
    count, raised = MAX_CANDIDATES + 1, 0.0
    while count > MAX_CANDIDATES:
        count = 0
        for o in range(places):
            if not is_origin[o] and one > 1:
                continue
            for d in range(places):
                least = both if is_origin[o] and is_destination[d] else one
                if least > 1 or not (is_origin[o] or is_destination[d]) or (grey and d < o):
                    continue  # without direction a → b and b → a are one picture
                if _support(o, d, image, atlas) < least + raised * (1 - least):
                    continue
                if count < MAX_CANDIDATES:
                    pairs[count, 0] = o
                    pairs[count, 1] = d
                count += 1
        raised = raised + (1 - raised) / 2
        if raised > 0.999:
            break
    return pairs[: min(count, MAX_CANDIDATES)]


@njit(cache=True, nogil=True)
def _atoms(pairs, atlas):
    """The pictures of all candidates, one after the other: starts [n + 1], flat indices, weights, squared norms."""
    height, width = atlas[5], atlas[6]
    most = 2 * (height + width + 4) + 2 * atlas[2].shape[1]
    start = np.zeros(len(pairs) + 1, np.int64)
    at, weight = np.empty(len(pairs) * most, np.int32), np.empty(len(pairs) * most)
    norm = np.empty(len(pairs))
    for j in range(len(pairs)):
        begin = start[j]
        count = _fill_atom(pairs[j, 0], pairs[j, 1], atlas, at[begin:], weight[begin:])
        start[j + 1] = begin + count
        norm[j] = 1e-12
        for i in range(begin, begin + count):
            norm[j] += weight[i] * weight[i]
    return start, at, weight, norm


@njit(cache=True, nogil=True)
def _slope(j, residual, start, at, weight):
    """Inner product of atom j with a dense array."""
    total = 0.0
    for i in range(start[j], start[j + 1]):
        total += weight[i] * residual[at[i]]
    return total


@njit(cache=True, nogil=True)
def _left_at(j, residual, start, at):
    """Squared residual in the pixels of atom j."""
    total = 0.0
    for i in range(start[j], start[j + 1]):
        total += residual[at[i]] ** 2
    return total


@njit(cache=True, nogil=True)
def _subtract(j, amount, residual, start, at, weight):
    """Take `amount` times atom j from a dense array."""
    for i in range(start[j], start[j + 1]):
        residual[at[i]] -= amount * weight[i]


@njit(cache=True, nogil=True)
def _nnls(residual, start, at, weight, norm):
    """Non-negative amplitudes by coordinate descent; every tenth sweep visits all, the others only the positive."""
    amplitude = np.zeros(len(norm))
    for sweep in range(300):
        everyone = sweep % 10 == 0
        largest = 0.0
        for j in range(len(norm)):
            if not everyone and amplitude[j] == 0.0:
                continue
            new = max(0.0, amplitude[j] + _slope(j, residual, start, at, weight) / norm[j])
            change = new - amplitude[j]
            if change != 0.0:
                amplitude[j] = new
                largest = max(largest, abs(change))
                _subtract(j, change, residual, start, at, weight)
        if everyone and largest < 2e-3:
            break
    return amplitude


@njit(cache=True, nogil=True)
def _best_move(counts, slopes, residual, dense, atoms):
    """The change of counts that lowers the squared residual most: (gain, taken, added); −1 stands for none."""
    start, at, weight, norm = atoms
    best, taken, added = 1e-6, -1, -1
    for j in range(len(norm)):
        gain = 2 * slopes[j] - norm[j]  # add one
        if gain > best:
            best, taken, added = gain, -1, j
    for i in range(len(norm)):
        if counts[i] == 0:
            continue
        off = -2 * slopes[i] - norm[i]  # take one away
        if off > best:
            best, taken, added = off, i, -1
        _subtract(i, -1.0, dense, start, at, weight)
        for j in range(len(norm)):
            if j == i or off + 2 * slopes[j] - norm[j] + 2 * sqrt(norm[i] * norm[j]) <= best:
                continue  # even a perfect overlap could not make this swap the best
            gain = off + 2 * slopes[j] - norm[j] + 2 * _slope(j, dense, start, at, weight)
            if gain > best:
                best, taken, added = gain, i, j
        _subtract(i, 1.0, dense, start, at, weight)
    return best, taken, added


@njit(cache=True, nogil=True)
def _find_pair(origin, destination, pairs):
    """Index of a candidate pair, −1 if it is none."""
    for j in range(len(pairs)):
        if pairs[j, 0] == origin and pairs[j, 1] == destination:
            return j
    return -1


@njit(cache=True, nogil=True)
def _exchange_ends(counts, pairs, slopes, residual, dense, atoms):
    """Let two trips exchange their destinations where that lowers the squared residual; true if some two did.

    The blobs stay the same, so no single move leads there.
    """
    start, at, weight, _ = atoms
    chosen = np.flatnonzero(counts > 0)
    for first in range(len(chosen)):
        for second in range(first + 1, len(chosen)):
            i, k = chosen[first], chosen[second]
            p = _find_pair(pairs[i, 0], pairs[k, 1], pairs)
            q = _find_pair(pairs[k, 0], pairs[i, 1], pairs)
            if p < 0 or q < 0 or p in (i, k):
                continue
            moves = ((i, -1.0), (k, -1.0), (p, 1.0), (q, 1.0))
            for j, sign in moves:
                _subtract(j, -sign, dense, start, at, weight)
            gain = 0.0
            for j, sign in moves:
                gain += sign * (2 * slopes[j] - _slope(j, dense, start, at, weight))
            for j, _ in moves:
                for n in range(start[j], start[j + 1]):
                    dense[at[n]] = 0.0
            if gain > 1e-6:
                for j, sign in moves:
                    counts[j] += sign
                    _subtract(j, sign, residual, start, at, weight)
                return True
    return False


@njit(cache=True, nogil=True)
def _integer_search(amplitude, image, pairs, limit, atoms):
    """Round, then add, drop, swap or exchange trips while that lowers the squared residual: (counts, residual)."""
    start, at, weight, norm = atoms
    counts = np.floor(amplitude + 0.5)
    residual = image.copy()
    for j in range(len(norm)):
        if counts[j] > 0:
            _subtract(j, counts[j], residual, start, at, weight)
    dense, slopes = np.zeros(len(image)), np.empty(len(norm))
    for _ in range(4 * limit):
        for j in range(len(norm)):
            slopes[j] = _slope(j, residual, start, at, weight)
        _, taken, added = _best_move(counts, slopes, residual, dense, atoms)
        if taken < 0 and added < 0:
            if _exchange_ends(counts, pairs, slopes, residual, dense, atoms):
                continue
            break
        if taken >= 0:
            counts[taken] -= 1
            _subtract(taken, -1.0, residual, start, at, weight)
        if added >= 0:
            counts[added] += 1
            _subtract(added, 1.0, residual, start, at, weight)
        if counts.sum() > limit:
            break
    return counts, residual


@njit(cache=True, nogil=True)
def _single(image, atoms):
    """Exactly one trip: the candidate of the highest normalised correlation, whatever the generator's gain."""
    start, at, weight, norm = atoms
    counts, residual = np.zeros(len(norm)), image.copy()
    best, chosen, gain = 0.0, -1, 0.0
    for j in range(len(norm)):
        slope = _slope(j, image, start, at, weight)
        if slope / sqrt(norm[j]) > best:
            best, chosen, gain = slope / sqrt(norm[j]), j, slope / norm[j]
    if chosen >= 0:
        counts[chosen] = 1
        _subtract(chosen, gain, residual, start, at, weight)
    return counts, residual


@njit(cache=True, nogil=True)
def _explain(image, pairs, trips_per_image, limit, atlas):
    """Counts per candidate pair and what they leave of the image."""
    atoms = _atoms(pairs, atlas)
    if trips_per_image == 1:
        counts, residual = _single(image, atoms)
    else:
        residual = image.copy()
        amplitude = _nnls(residual, *atoms)
        counts, residual = _integer_search(amplitude, image, pairs, limit, atoms)
    return counts, residual, atoms


@njit(cache=True, nogil=True)
def _is_end(plane, trips_per_image, atlas):
    """Which places have a blob in a plane, and whether the plane is readable at all.

    With one trip per image the strongest blobs count, however faint the generator painted them.
    """
    amplitude = _blob_amplitudes(plane, atlas[1], atlas[2], atlas[3])
    strongest = 0.0
    for p in range(len(amplitude)):
        strongest = max(strongest, amplitude[p])
    least = max(BLOB_THRESHOLD, SHARE_OF_STRONGEST * strongest) if trips_per_image == 1 else BLOB_THRESHOLD
    return amplitude > least, strongest >= READABLE


@njit(cache=True, nogil=True)
def _squared(array):
    """Squared norm."""
    total = 0.0
    for value in array:
        total += value * value
    return total


@njit(cache=True, nogil=True)
def _decode_image(image, trips_per_image, limit, atlas, bent):
    """Pairs, counts, residual and atoms of one image.

    Where blobs seem to be missing there is a second look, with one end of each pair free.
    """
    grey, area = atlas[4], atlas[5] * atlas[6]
    single = trips_per_image == 1
    if grey:
        is_origin = is_destination = np.ones(len(atlas[1]), np.bool_)
        readable = True
    else:
        is_origin, left = _is_end(image[2 * area : 3 * area], trips_per_image, atlas)
        is_destination, right = _is_end(image[3 * area : 4 * area], trips_per_image, atlas)
        readable = left and right
    both = 0.0 if bent or (single and not grey) else SUPPORT
    one = 2.0
    while True:
        pairs = _pair_candidates(image, is_origin, is_destination, both, one, atlas)
        counts, residual, atoms = _explain(image, pairs, trips_per_image, limit, atlas)
        explained = _squared(residual) <= ENERGY_LEFT * _squared(image)
        if bent or grey or explained or (single and readable) or one <= 1:
            return pairs, counts, residual, atoms
        one = SUPPORT_ALONE


@njit(cache=True, nogil=True)
def _painted_values(flat, first_painted, pairs, counts, atlas):
    """Levels of the painted planes per chosen pair: [pairs, P].

    Least squares over the strokes, for the painted planes and for the mass they are painted with (A + B + O, or the
    grey plane), then their ratio: a generator that paints a stroke faintly or broadly does so in all planes alike.
    """
    chosen = np.flatnonzero(counts > 0)
    painted, area = len(flat) - first_painted, atlas[5] * atlas[6]
    values, mass = np.zeros((len(pairs), painted)), np.zeros(len(pairs))
    picked = np.empty((len(chosen), 2), np.int32)
    for k in range(len(chosen)):
        picked[k, 0], picked[k, 1] = pairs[chosen[k], 0], pairs[chosen[k], 1]
    start, at, weight, norm = _atoms(picked, atlas)
    # fold the planes of the mass into one, leave the destination's blob out
    grey = atlas[4]
    for k in range(len(chosen)):
        norm[k] = 1e-12
        for i in range(start[k], start[k + 1]):
            if not grey and at[i] >= 3 * area:
                weight[i] = 0.0
            at[i] = at[i] % area
            weight[i] *= counts[chosen[k]]
    dense = np.zeros(area)
    for k in range(len(chosen)):
        _subtract(k, -1.0, dense, start, at, weight)
        for i in range(start[k], start[k + 1]):
            norm[k] += weight[i] * dense[at[i]]
        for i in range(start[k], start[k + 1]):
            dense[at[i]] = 0.0
    for plane in range(-1, painted):
        if plane >= 0:
            residual = flat[first_painted + plane].copy()
        else:
            residual = flat[0].copy() if grey else flat[0] + flat[1] + flat[2]
        for _ in range(200):
            largest = 0.0
            for k in range(len(chosen)):
                change = _slope(k, residual, start, at, weight) / norm[k]
                if plane >= 0:
                    values[chosen[k], plane] += change
                else:
                    mass[chosen[k]] += change
                largest = max(largest, abs(change))
                _subtract(k, change, residual, start, at, weight)
            if largest < 1e-4:
                break
    for k in chosen:
        for plane in range(painted):
            values[k, plane] /= max(mass[k], LEAST_MASS)
    return values


@njit(cache=True, nogil=True)
def _decode_range(images, first_painted, trips_per_image, limit, places, bent, out):
    """Decode images one by one into the arrays of `out`."""
    place_xy, blobs_at, blobs, blob_gain, grey = places
    ends, confidence, values, found, state, left = out
    height, width = images.shape[2], images.shape[3]
    size, area = height + width + 4, height * width
    pixels, lengths, middles = np.empty(size, np.int64), np.empty(size), np.empty(size)
    atlas = (place_xy, blobs_at, blobs, blob_gain, grey, height, width, pixels, lengths, middles)
    for b in range(len(images)):
        flat = images[b].reshape(images.shape[1], area).astype(np.float64)
        image = flat[:first_painted].reshape(first_painted * area)
        energy = _squared(image)
        if not np.isfinite(energy + _squared(flat.reshape(flat.size))):
            state[b] = NOT_FINITE
            continue
        pairs, counts, residual, atoms = _decode_image(image, trips_per_image, limit, atlas, bent)
        total = 0
        for j in range(len(counts)):
            total += int(counts[j])
        if total == 0 or total > limit:
            state[b] = BLANK if total == 0 else OVERFULL
            continue
        start, at, weight, norm = atoms
        level = _painted_values(flat, first_painted, pairs, counts, atlas)
        for j in range(len(pairs)):
            certainty = 0.0
            if counts[j] > 0:
                gain = _slope(j, image, start, at, weight) / norm[j] if trips_per_image == 1 else 1.0
                certainty = 1 - _left_at(j, residual, start, at) / (gain * gain * norm[j])
            for _ in range(int(counts[j])):
                ends[b, found[b], 0], ends[b, found[b], 1] = pairs[j, 0], pairs[j, 1]
                confidence[b, found[b]] = min(1.0, max(0.0, certainty))
                for plane in range(level.shape[1]):
                    values[b, found[b], plane] = level[j, plane]
                found[b] += 1
        left[b] = sqrt(_squared(residual) / max(energy, 1e-12))


def solve(images: NDArray, spec: Spec) -> Solution:
    """Decode a batch of images into strokes, on all processors.

    Parameters
    ----------
    images : float32 [N, C, H, W], levels.
    spec : what the images mean.
    """
    drawing, xy = spec.drawing, spec.place_xy
    height, width = spec.frame.height, spec.frame.width
    blobs_at, blobs = blob_table(xy[:, 0], xy[:, 1], sigma_px=drawing.blob_sigma_px, height=height, width=width)
    places = (xy, blobs_at, blobs, drawing.blob_gain, drawing.mode == "grey")
    limit = 1 if spec.trips_per_image == 1 else 2 * spec.trips_per_image + 16
    count, painted = len(images), images.shape[1] - len(drawing.planes)
    images = np.ascontiguousarray(images, np.float32) * np.float32(drawing.level_scale)
    out = (
        np.zeros((count, limit, 2), np.int32),
        np.zeros((count, limit), np.float32),
        np.zeros((count, limit, painted), np.float32),
        np.zeros(count, np.int64),
        np.zeros(count, np.int8),
        np.ones(count, np.float32),
    )

    def work(part: slice) -> None:
        mine = tuple(array[part] for array in out)
        _decode_range(images[part], len(drawing.planes), spec.trips_per_image, limit, places, spec.bent, mine)

    parts = [slice(begin, begin + CHUNK) for begin in range(0, count, CHUNK)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(work, parts))
    ends, confidence, values, found, state, left = out
    here = np.arange(limit)[None, :] < found[:, None]
    return Solution(
        image=np.repeat(np.arange(count), found),
        ends=ends[here],
        confidence=confidence[here],
        values=values[here],
        residual=left,
        state=state,
    )
