"""The pair-dictionary decoder: which trips, together, painted this image?

A linear inverse problem over station pairs (network tomography, Vardi 1996): candidates from the end blobs and the
strokes between them, non-negative least squares, an integer search, and levels of the painted planes. Only the
candidates' strokes are ever in memory, never all pairs.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from math import sqrt
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from decode.solver.candidates import (
    BLOB_SUSPECTED,
    MAX_CANDIDATES,
    SUPPORT,
    SUPPORT_ALONE,
    SUPPORT_OF_ONLY,
    CandidateBuffers,
    blob_amplitudes,
    find_candidates,
    find_ends,
    make_buffers,
)
from decode.solver.degradation import CLEAN, Degradation
from decode.solver.forward_model import make_forward_model
from decode.solver.gram import MAX_ROWS, make_gram
from decode.solver.painted_values import fit_painted_values
from decode.solver.routes import Routes
from decode.solver.search import find_amplitudes, find_margins, search_counts
from decode.solver.solution import EVIDENCE, Solution
from rasterize.jit import compiled
from rasterize.strokes.blur import blur_plane
from rasterize.strokes.spec import StrokeSpec

CHUNK = 32  # images a thread takes at a time
SOFT_PX = 0.7  # strokes that are not clean are compared through this much more blur: it forgives ends that are off
ENERGY_LEFT = 0.05  # of an image's energy, and twice what is usual: where more is left, lost blobs are suspected
LOST = 0.01  # share of lost blobs above which every image is searched for their trips; wrong trips look like some too
OK, BLANK, NOT_FINITE, OVERFULL = 0, 1, 2, 3


class _Buffers(NamedTuple):
    """Memory that one thread uses again for every image."""

    buffers: CandidateBuffers
    rows: NDArray  # float32 [MAX_ROWS, MAX_CANDIDATES]
    dense: NDArray  # float32 [2 · area]
    field: NDArray  # float32 [2 · area]
    planes: NDArray  # float32 [strokes' planes, area]
    painted: NDArray  # float32 [1 + painted planes, area]
    scratch: NDArray  # float32 [2, area]


class Decoder:
    """Decodes images of one spec, degraded in one way; what depends only on these is prepared once."""

    def __init__(
        self,
        spec: StrokeSpec,
        *,
        degradation: Degradation = CLEAN,
        routes: Routes | None = None,
        threads: int | None = None,
    ) -> None:
        """`threads` is how many may work at a time, by default one per processor."""
        self.spec = spec
        self.threads = threads or os.cpu_count()
        is_clean = degradation.total_blur_px < 0.1 and degradation.noise < 0.01
        self.model = make_forward_model(
            spec,
            blur_px=degradation.total_blur_px,
            soft_px=0.0 if is_clean else SOFT_PX,
            noise=degradation.noise,
            routes=routes,
        )
        planes = spec.shape[0]
        self.drawn = len(spec.drawing.planes)
        gains = np.concatenate([degradation.plane_gains(self.drawn), np.ones(planes - self.drawn)])
        # images → units of one stroke: level · scale − shift, and − cut where the level was cut off at zero
        self.scales = (spec.drawing.level_scale / gains).astype(np.float32)
        self.shifts = (degradation.plane_backgrounds(planes) / gains).astype(np.float32)
        self.cuts = self.shifts - (degradation.cut_levels(planes) / gains).astype(np.float32)
        self.usual = np.float32(degradation.unexplained)
        self.with_lost = degradation.lost > LOST
        self.limit = 1 if spec.trips_per_image == 1 else 2 * spec.trips_per_image + 16

    def solve(self, images: NDArray) -> Solution:
        """Decode a batch of images [N, C, H, W], levels, into strokes."""
        count, painted = len(images), images.shape[1] - self.drawn
        images = np.ascontiguousarray(images, np.float32)
        out = (
            np.zeros((count, self.limit, 3), np.int32),
            np.zeros((count, self.limit, len(EVIDENCE)), np.float32),
            np.zeros((count, self.limit, painted), np.float32),
            np.zeros(count, np.int64),
            np.zeros(count, np.int8),
            np.ones(count, np.float32),
        )

        def decode(part: slice) -> None:
            mine = tuple(array[part] for array in out)
            trips_per_image, levels = self.spec.trips_per_image, (self.scales, self.shifts, self.cuts, self.usual)
            _decode_range(
                images[part],
                self.model,
                trips_per_image,
                self.limit,
                levels,
                self.with_lost,
                self._make_buffers(),
                mine,
            )

        parts = [slice(begin, begin + CHUNK) for begin in range(0, count, CHUNK)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(decode, parts))
        trips, evidence, values, found, state, left = out
        here = np.arange(self.limit)[None, :] < found[:, None]
        return Solution(
            image=np.repeat(np.arange(count), found),
            ends=trips[here][:, :2],
            route=trips[here][:, 2],
            evidence=evidence[here],
            values=values[here],
            residual=left,
            state=state,
        )

    def _make_buffers(self) -> _Buffers:
        area = self.model.atlas.height * self.model.atlas.width
        return _Buffers(
            buffers=make_buffers(self.model),
            rows=np.empty((MAX_ROWS, MAX_CANDIDATES), np.float32),
            dense=np.zeros(2 * area, np.float32),
            field=np.zeros(2 * area, np.float32),
            planes=np.zeros((self.drawn, area), np.float32),
            painted=np.zeros((1 + self.spec.shape[0] - self.drawn, area), np.float32),
            scratch=np.empty((2, area), np.float32),
        )


def solve(
    images: NDArray, spec: StrokeSpec, *, degradation: Degradation = CLEAN, routes: Routes | None = None
) -> Solution:
    """Decode a batch of images [N, C, H, W]; for many batches keep a `Decoder`."""
    return Decoder(spec, degradation=degradation, routes=routes).solve(images)


@compiled(fastmath={"reassoc", "contract"})
def _squared(array):
    """Squared norm."""
    total = np.float32(0)
    for i in range(len(array)):
        total += array[i] * array[i]
    return total


@compiled()
def _take_plane(plane, scale, shift, cut, pad, out):
    """Write one plane of an image into the padded frame, in units of a stroke; returns its energy."""
    height, width = plane.shape
    energy = 0.0
    out[:] = 0  # the padding holds the blur of the image before
    for row in range(height):
        begin = (row + pad) * (width + 2 * pad) + pad
        there, here = out[begin : begin + width], plane[row]
        for column in range(width):
            there[column] = here[column] * scale - (shift if here[column] != 0 else cut)
        energy += _squared(there)
    return energy


@compiled()
def _take_image(image, scales, shifts, cuts, model, work):
    """Write an image into the padded frame, its strokes softened; returns its energy, NaN if that is not finite.

    `work.painted` gets the mass that values are painted with (A + B + O, or the grey plane), then the painted planes.
    """
    drawn, energy, rest = len(work.planes), 0.0, 0.0
    for plane in range(drawn):
        energy += _take_plane(image[plane], scales[plane], shifts[plane], cuts[plane], model.pad, work.planes[plane])
    for plane in range(drawn, len(image)):
        out = work.painted[1 + plane - drawn]
        rest += _take_plane(image[plane], scales[plane], shifts[plane], cuts[plane], model.pad, out)
    if not np.isfinite(energy + rest):
        return np.nan
    if len(image) > drawn:
        work.painted[0] = 0
        for plane in range(1 if model.grey else 3):
            gain = scales[drawn] / scales[plane]  # painted planes are as faint as strokes are
            for i in range(work.painted.shape[1]):
                work.painted[0, i] += gain * work.planes[plane, i]
    if len(model.soft) > 1:
        height, width, scratch = model.atlas.height, model.atlas.width, work.scratch[0]
        for plane in range(1 if model.grey else 2):
            energy -= _squared(work.planes[plane])
            blur_plane(work.planes[plane], model.soft, height, width, work.planes[plane], scratch)
            energy += _squared(work.planes[plane])
        for plane in range(len(work.painted) if len(image) > drawn else 0):
            blur_plane(work.painted[plane], model.soft, height, width, work.painted[plane], scratch)
    return energy


@compiled()
def _find_single(gram):
    """Exactly one trip: the candidate of the highest normalised correlation, whatever the generator's gain.

    Returns it (−1: none), the energy it explains, and how much more that is than the second best does.
    """
    best, second, chosen = np.float32(0), np.float32(0), -1
    for j in range(len(gram.norms)):
        score = max(np.float32(0), gram.slopes[j]) ** 2 / gram.norms[j]
        if score > best:
            best, second, chosen = score, best, j
        elif score > second:
            second = score
    return chosen, best, best - second


@compiled()
def _explain(count, gram, trips_per_image, limit, energy):
    """Counts per candidate, inner products of the rest with each, margins, and energy left."""
    if trips_per_image == 1:
        counts, margins = np.zeros(count, np.int64), np.zeros(count, np.float32)
        chosen, explained, margin = _find_single(gram)
        if chosen >= 0:
            counts[chosen], margins[chosen] = 1, margin
        return counts, gram.slopes - gram.norms, margins, energy - explained
    amplitude = find_amplitudes(gram, limit)
    counts, slopes = search_counts(amplitude, gram, limit)
    left = energy
    for j in range(count):
        left -= counts[j] * (float(gram.slopes[j]) + slopes[j])
    return counts, slopes, find_margins(counts, slopes, gram), left


@compiled()
def _decode_image(model, trips_per_image, limit, usual, with_lost, energy, work):
    """Candidates and their counts, inner products, margins, the Gram matrix, and energy left.

    Where blobs seem to be missing there is a second look, with one end of each trip free.
    """
    atlas, buffers, planes, field = model.atlas, work.buffers, work.planes, work.field
    for half in range(1 if model.grey else 2):
        blur_plane(planes[half], model.taps, atlas.height, atlas.width, work.scratch[0], work.scratch[1])
        for i in range(len(planes[half])):
            field[2 * i + half] = work.scratch[0, i]
    load = np.zeros((2, len(atlas.place_xy)), np.float32)
    if not model.grey:
        least = model.faintest if trips_per_image == 1 else np.float32(BLOB_SUSPECTED)
        load[0], load[1] = blob_amplitudes(planes[2], atlas, least), blob_amplitudes(planes[3], atlas, least)
    both, alone = SUPPORT, SUPPORT_ALONE
    if trips_per_image == 1:  # there is one, so the best will be it, however faint
        both, alone = SUPPORT if model.grey else 0.0, SUPPORT_OF_ONLY
    while True:
        origins = find_ends(load[0], 0, field, model, trips_per_image, with_lost)
        destinations = find_ends(load[1], 1, field, model, trips_per_image, with_lost)
        count = find_candidates(origins, destinations, field, model, buffers, both, alone)
        gram = make_gram(count, origins[0], destinations[0], field, planes[2:], model, buffers, work.rows, work.dense)
        counts, slopes, margins, left = _explain(count, gram, trips_per_image, limit, energy)
        if with_lost or model.grey or model.bent or left <= (ENERGY_LEFT + 2 * usual) * energy:
            return counts, slopes, margins, gram, max(left, 0.0)
        with_lost = True


@compiled()
def _write_values(chosen, counts, model, work, values):
    """Levels of the painted planes of the chosen candidates, a row per trip."""
    trips, many = np.empty((len(chosen), 3), np.int32), np.empty(len(chosen), np.int64)
    for k in range(len(chosen)):
        trips[k] = work.buffers.ends[chosen[k]]
        many[k] = counts[chosen[k]]
    levels = fit_painted_values(trips, many, work.painted, model, work.buffers, work.dense)
    row = 0
    for k in range(len(chosen)):
        for _ in range(many[k]):
            values[row] = levels[k]
            row += 1


@compiled()
def _decode_range(images, model, trips_per_image, limit, levels, with_lost, work, out):
    """Decode images one by one into the arrays of `out`."""
    scales, shifts, cuts, usual = levels
    trips, evidence, values, found, state, left_share = out
    for b in range(len(images)):
        energy = _take_image(images[b], scales, shifts, cuts, model, work)
        if not np.isfinite(energy):  # too bright to be squared is bright, not wrong
            state[b] = OVERFULL if np.isfinite(images[b].ravel()).all() else NOT_FINITE
            continue
        counts, slopes, margins, gram, left = _decode_image(
            model, trips_per_image, limit, usual, with_lost, energy, work
        )
        total = counts.sum()
        if total == 0 or total > limit:
            state[b] = BLANK if total == 0 else OVERFULL
            continue
        chosen = np.flatnonzero(counts > 0)
        for j in chosen:
            for _ in range(counts[j]):
                trips[b, found[b]] = work.buffers.ends[j]
                evidence[b, found[b], 0] = margins[j] / gram.norms[j]
                evidence[b, found[b], 1] = 1 + slopes[j] / gram.norms[j]
                evidence[b, found[b], 2] = left / (total * gram.norms[j])
                found[b] += 1
        if values.shape[2] > 0:
            _write_values(chosen, counts, model, work, values[b])
        left_share[b] = sqrt(left / max(energy, 1e-12))
