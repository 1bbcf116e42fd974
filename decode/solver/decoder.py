"""The pair-dictionary decoder: which trips, together, painted this image?

A linear inverse problem over pairs of places (network tomography, Vardi 1996), solved in four steps:

1. Candidates: pairs of places with blobs at their ends and a stroke painted between them.
2. Non-negative least squares over the candidates.
3. An integer local search from there: add, drop, replace, exchange.
4. Levels of the painted planes, by least squares over the trips.

Only the candidates' strokes are ever in memory, never those of all pairs.
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
# The values below were set by hand and not swept. The tables of docs/benchmarks/codec.md were measured with them.
# Strokes that are not clean are compared through this much more blur: it forgives ends that are off.
SOFT_PX = 0.7
# Images are clean below both of these: pixels of blur, and noise in units of a stroke.
CLEAN_BLUR_PX, CLEAN_NOISE = 0.1, 0.01
# Lost blobs are suspected where more is left of an image's energy than this, plus twice what is usual.
ENERGY_LEFT = 0.05
# Above this share of lost blobs every image is searched for their trips. Wrong trips look like some lost blobs, too.
LOST = 0.01
OK, BLANK, NOT_FINITE, OVERFULL = 0, 1, 2, 3  # indices into `STATES`


class _Buffers(NamedTuple):
    """Hold the memory that one thread uses again for every image.

    Attributes
    ----------
    candidates : CandidateBuffers
        Candidates of the image.
    rows : (MAX_ROWS, MAX_CANDIDATES) float32
        Rows of the Gram matrix.
    dense : (2 · area,) float32
        Two planes to compute in, zero between calls.
    field : (2 · area,) float32
        The stroke planes A and B after the blur, alternating.
    planes : (D, area) float32
        The planes of strokes and blobs, in units of a stroke.
    painted : (1 + P, area) float32
        The mass that values are painted with, then the painted planes.
    scratch : (2, area) float32
        Memory for the blur.
    """

    candidates: CandidateBuffers
    rows: NDArray
    dense: NDArray
    field: NDArray
    planes: NDArray
    painted: NDArray
    scratch: NDArray


class _Results(NamedTuple):
    """Hold what decoding finds, with room for L trips in each of N images.

    Attributes
    ----------
    trips : (N, L, 3) int32
        Origin, destination and route.
    evidence : (N, L, 3) float32
        See `EVIDENCE`.
    values : (N, L, P) float32
        A level per painted plane.
    counts : (N,) int64
        How many trips each image has.
    state : (N,) int8
        Index into `STATES`.
    residual : (N,) float32
        Share of each image's norm that is left unexplained.
    """

    trips: NDArray
    evidence: NDArray
    values: NDArray
    counts: NDArray
    state: NDArray
    residual: NDArray


class Decoder:
    """Decode images of one spec, degraded in one way; what depends only on these is prepared once.

    Parameters
    ----------
    spec : StrokeSpec
        How the images are drawn.
    degradation : Degradation
        How the generator spoils them; by default not at all.
    routes : Routes, optional
        Known routes, each a candidate of its own.
    threads : int, optional
        How many threads may work at a time; by default one per processor.

    Examples
    --------
    >>> solution = Decoder(spec).solve(images)  # images : (N, C, H, W)
    >>> solution.ends[solution.image == 0]  # origins and destinations of the first image
    """

    def __init__(
        self,
        spec: StrokeSpec,
        *,
        degradation: Degradation = CLEAN,
        routes: Routes | None = None,
        threads: int | None = None,
    ) -> None:
        self.spec = spec
        self.threads = threads or os.cpu_count()
        is_clean = degradation.total_blur_px < CLEAN_BLUR_PX and degradation.noise < CLEAN_NOISE
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
        # Images → units of one stroke: level · scale − shift, but − cut where the level was cut off at zero.
        self.scales = (spec.drawing.level_scale / gains).astype(np.float32)
        self.shifts = (degradation.plane_backgrounds(planes) / gains).astype(np.float32)
        self.cuts = self.shifts - (degradation.cut_levels(planes) / gains).astype(np.float32)
        self.usual = np.float32(degradation.unexplained)
        self.with_lost = degradation.lost > LOST
        self.limit = 1 if spec.trips_per_image == 1 else 2 * spec.trips_per_image + 16

    def solve(self, images: NDArray) -> Solution:
        """Decode a batch of images.

        Parameters
        ----------
        images : (N, C, H, W) float
            Levels, as `Pen` draws them or a generator paints them.

        Returns
        -------
        Solution
            The trips in image order, and the state of each image. It does not depend on how images are batched.
        """
        count = len(images)
        images = np.ascontiguousarray(images, np.float32)
        results = self._make_results(count)
        levels = self.scales, self.shifts, self.cuts, self.usual

        def decode(chunk: slice) -> None:
            _decode_range(
                images[chunk],
                self.model,
                self.spec.trips_per_image,
                self.limit,
                levels,
                self.with_lost,
                self._make_buffers(),
                _Results(*(array[chunk] for array in results)),
            )

        chunks = [slice(begin, begin + CHUNK) for begin in range(0, count, CHUNK)]
        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(decode, chunks))
        # Rows per image → one row per trip.
        present = np.arange(self.limit)[None, :] < results.counts[:, None]
        return Solution(
            image=np.repeat(np.arange(count), results.counts),
            ends=results.trips[present][:, :2],
            route=results.trips[present][:, 2],
            evidence=results.evidence[present],
            values=results.values[present],
            residual=results.residual,
            state=results.state,
        )

    def _make_results(self, count: int) -> _Results:
        """Return memory for the trips of `count` images."""
        return _Results(
            trips=np.zeros((count, self.limit, 3), np.int32),
            evidence=np.zeros((count, self.limit, len(EVIDENCE)), np.float32),
            values=np.zeros((count, self.limit, self.spec.shape[0] - self.drawn), np.float32),
            counts=np.zeros(count, np.int64),
            state=np.zeros(count, np.int8),
            residual=np.ones(count, np.float32),
        )

    def _make_buffers(self) -> _Buffers:
        """Return the memory of one thread."""
        area = self.model.atlas.height * self.model.atlas.width
        return _Buffers(
            candidates=make_buffers(self.model),
            rows=np.empty((MAX_ROWS, MAX_CANDIDATES), np.float32),
            dense=np.zeros(2 * area, np.float32),
            field=np.zeros(2 * area, np.float32),
            planes=np.zeros((self.drawn, area), np.float32),
            painted=np.zeros((1 + self.spec.shape[0] - self.drawn, area), np.float32),
            scratch=np.empty((2, area), np.float32),
        )


@compiled(fastmath={"reassoc", "contract"})
def _squared_norm(array):
    """Return the squared norm of an array."""
    total = np.float32(0)
    for i in range(len(array)):
        total += array[i] * array[i]
    return total


@compiled()
def _take_plane(plane, scale, shift, cut, pad, out):
    """Write one plane of an image into the padded frame, in units of a stroke; return its energy."""
    height, width = plane.shape
    energy = 0.0
    # The padding still holds the blur of the image before.
    out[:] = 0
    for row in range(height):
        begin = (row + pad) * (width + 2 * pad) + pad
        target, levels = out[begin : begin + width], plane[row]
        for column in range(width):
            target[column] = levels[column] * scale - (shift if levels[column] != 0 else cut)
        energy += _squared_norm(target)
    return energy


@compiled()
def _take_image(image, scales, shifts, cuts, model, work):
    """Write an image into the padded frame, its strokes softened; return its energy, NaN if that is not finite.

    `work.painted` gets the mass that values are painted with (A + B + O, or the grey plane), then the painted planes.
    """
    # Levels → units of a stroke, without backgrounds.
    drawn, energy, painted_energy = len(work.planes), 0.0, 0.0
    for plane in range(drawn):
        energy += _take_plane(image[plane], scales[plane], shifts[plane], cuts[plane], model.pad, work.planes[plane])
    for plane in range(drawn, len(image)):
        out = work.painted[1 + plane - drawn]
        painted_energy += _take_plane(image[plane], scales[plane], shifts[plane], cuts[plane], model.pad, out)
    if not np.isfinite(energy + painted_energy):
        return np.nan
    # The mass; painted planes are as faint as strokes are.
    if len(image) > drawn:
        work.painted[0] = 0
        for plane in range(1 if model.grey else 3):
            gain = scales[drawn] / scales[plane]
            for i in range(work.painted.shape[1]):
                work.painted[0, i] += gain * work.planes[plane, i]
    # Soften strokes, which changes their energy, and whatever is painted along them.
    if len(model.soft) > 1:
        height, width, scratch = model.atlas.height, model.atlas.width, work.scratch[0]
        for plane in range(1 if model.grey else 2):
            energy -= _squared_norm(work.planes[plane])
            blur_plane(work.planes[plane], model.soft, height, width, work.planes[plane], scratch)
            energy += _squared_norm(work.planes[plane])
        for plane in range(len(work.painted) if len(image) > drawn else 0):
            blur_plane(work.painted[plane], model.soft, height, width, work.painted[plane], scratch)
    return energy


@compiled()
def _find_single(gram):
    """Return the candidate of the highest normalised correlation, whatever the generator's gain; for exactly one trip.

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
    """Return counts per candidate, inner products of the residual with each, margins, and the energy left."""
    # One trip per image: matched filter, no search.
    if trips_per_image == 1:
        counts, margins = np.zeros(count, np.int64), np.zeros(count, np.float32)
        chosen, explained, margin = _find_single(gram)
        if chosen >= 0:
            counts[chosen], margins[chosen] = 1, margin
        return counts, gram.slopes - gram.norms, margins, energy - explained
    # Many: least squares, then the integer search.
    amplitude = find_amplitudes(gram, limit)
    counts, slopes = search_counts(amplitude, gram, limit)
    # ‖y − A x‖² = ‖y‖² − Σ x_j (⟨a_j, y⟩ + ⟨a_j, y − A x⟩).
    energy_left = energy
    for j in range(count):
        energy_left -= counts[j] * (float(gram.slopes[j]) + slopes[j])
    return counts, slopes, find_margins(counts, slopes, gram), energy_left


@compiled()
def _decode_image(model, trips_per_image, limit, usual, with_lost, energy, work):
    """Return candidates' counts, inner products and margins, the Gram matrix, and the energy left of an image.

    Where blobs seem to be missing there is a second look, with one end of each trip free.
    """
    atlas, planes, field = model.atlas, work.planes, work.field
    # Blur the stroke planes: slopes are inner products with blurred strokes.
    for half in range(1 if model.grey else 2):
        blur_plane(planes[half], model.taps, atlas.height, atlas.width, work.scratch[0], work.scratch[1])
        for i in range(len(planes[half])):
            field[2 * i + half] = work.scratch[0, i]
    # Trips per place, by the blobs of origins and of destinations (NNLS by coordinate descent).
    amplitudes = np.zeros((2, len(atlas.place_xy)), np.float32)
    if not model.grey:
        least = model.faintest if trips_per_image == 1 else np.float32(BLOB_SUSPECTED)
        amplitudes[0] = blob_amplitudes(planes[2], atlas, least)
        amplitudes[1] = blob_amplitudes(planes[3], atlas, least)
    # A single trip is the best candidate, however faint, so that little of it has to be painted.
    both, alone = SUPPORT, SUPPORT_ALONE
    if trips_per_image == 1:
        both, alone = SUPPORT if model.grey else 0.0, SUPPORT_OF_ONLY
    while True:
        # Candidates, their inner products, and the counts that explain the image best.
        origins = find_ends(amplitudes[0], 0, field, model, trips_per_image, with_lost)
        destinations = find_ends(amplitudes[1], 1, field, model, trips_per_image, with_lost)
        count = find_candidates(origins, destinations, field, model, work.candidates, both, alone)
        gram = make_gram(
            count, origins[0], destinations[0], field, planes[2:], model, work.candidates, work.rows, work.dense
        )
        counts, slopes, margins, energy_left = _explain(count, gram, trips_per_image, limit, energy)
        # Look again, for trips with lost blobs, if more is left than usual.
        if with_lost or model.grey or model.bent or energy_left <= (ENERGY_LEFT + 2 * usual) * energy:
            return counts, slopes, margins, gram, max(energy_left, 0.0)
        with_lost = True


@compiled()
def _write_values(chosen, counts, model, work, values):
    """Write the levels of the painted planes of the chosen candidates, a row per trip."""
    trips, times = np.empty((len(chosen), 3), np.int32), np.empty(len(chosen), np.int64)
    for k in range(len(chosen)):
        trips[k] = work.candidates.ends[chosen[k]]
        times[k] = counts[chosen[k]]
    levels = fit_painted_values(trips, times, work.painted, model, work.candidates, work.dense)
    # Trips painted several times share their levels.
    row = 0
    for k in range(len(chosen)):
        for _ in range(times[k]):
            values[row] = levels[k]
            row += 1


@compiled()
def _decode_range(images, model, trips_per_image, limit, levels, with_lost, work, results):
    """Decode images one by one into `results`."""
    scales, shifts, cuts, usual = levels
    for b in range(len(images)):
        energy = _take_image(images[b], scales, shifts, cuts, model, work)
        # An image too bright to be squared is overfull; one with a NaN or ∞ in it is wrong.
        if not np.isfinite(energy):
            results.state[b] = OVERFULL if np.isfinite(images[b].ravel()).all() else NOT_FINITE
            continue
        counts, slopes, margins, gram, energy_left = _decode_image(
            model, trips_per_image, limit, usual, with_lost, energy, work
        )
        total = counts.sum()
        if total == 0 or total > limit:
            results.state[b] = BLANK if total == 0 else OVERFULL
            continue
        # A row per trip, with its evidence in units of the trip's own energy.
        chosen = np.flatnonzero(counts > 0)
        row = 0
        for j in chosen:
            for _ in range(counts[j]):
                results.trips[b, row] = work.candidates.ends[j]
                results.evidence[b, row, 0] = margins[j] / gram.norms[j]
                results.evidence[b, row, 1] = 1 + slopes[j] / gram.norms[j]
                results.evidence[b, row, 2] = energy_left / (total * gram.norms[j])
                row += 1
        results.counts[b] = row
        if results.values.shape[2] > 0:
            _write_values(chosen, counts, model, work, results.values[b])
        results.residual[b] = sqrt(energy_left / max(energy, 1e-12))
