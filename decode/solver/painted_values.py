"""Levels of the painted planes along each decoded stroke: least squares over the strokes of one image."""

import numpy as np

from decode.solver.candidates import place_stroke
from decode.solver.forward_model import add_blurred, clear_box, find_box, inner_product
from rasterize.jit import compiled
from rasterize.strokes.blur import blur_plane

# Set by hand and not swept; the value errors of docs/benchmarks/codec.md were measured with them.
LEAST_MASS = 0.2  # of a stroke: painted values of fainter ones are not scaled up in full
SWEEPS = 200  # of Gauss–Seidel, at most


@compiled()
def fit_painted_values(trips, counts, planes, model, buffers, dense):
    """Return the level of each trip in each painted plane.

    Parameters
    ----------
    trips : (K, 3) int32
        Origin, destination and route of trips that all differ.
    counts : (K,) int64
        How many times each was painted.
    planes : (1 + P, area) float32
        The mass that values are painted with (A + B + O, or the grey plane), then the painted planes.
    model : ForwardModel
        Places, routes and the blur.
    buffers : CandidateBuffers
        Is overwritten.
    dense : (2 · area,) float32
        Two planes to compute in, zero before and after.

    Returns
    -------
    (K, P) float32
        Levels.

    Notes
    -----
    Least squares over the strokes, for each painted plane and for the mass; a level is their ratio. A generator that
    paints a stroke faintly or broadly does so in all planes alike, and the ratio cancels that.
    """
    width, height = model.atlas.width, model.atlas.height
    # Columns of A: the mass of each trip.
    starts = np.zeros(len(trips) + 1, np.int64)
    for k in range(len(trips)):
        starts[k + 1] = _place_mass(trips[k, 0], trips[k, 1], trips[k, 2], starts[k], counts[k], buffers, model)
    # Their Gram matrix AᵀA; the small term keeps it regular.
    gram, box = np.zeros((len(trips), len(trips)), np.float32), np.empty(4, np.int32)
    for k in range(len(trips)):
        add_blurred(starts[k], starts[k + 1], buffers.pixels, buffers.halves, model.twice, width, dense)
        for i in range(len(trips)):
            gram[k, i] = inner_product(starts[i], starts[i + 1], buffers.pixels, buffers.halves, dense)
        gram[k, k] += np.float32(1e-9)
        find_box(starts[k], starts[k + 1], buffers.pixels, width, len(model.twice) // 2, box)
        clear_box(box, width, dense)
    # For each plane y, solve AᵀA x = Aᵀy.
    solution = np.zeros((len(planes), len(trips)), np.float32)
    scratch, field = np.empty(len(planes[0]), np.float32), np.zeros(2 * len(planes[0]), np.float32)
    blurred = np.empty(len(planes[0]), np.float32)
    for plane in range(len(planes)):
        blur_plane(planes[plane], model.taps, height, width, blurred, scratch)
        field[::2] = blurred
        slopes = np.empty(len(trips), np.float32)
        for k in range(len(trips)):
            slopes[k] = inner_product(starts[k], starts[k + 1], buffers.pixels, buffers.halves, field)
        _solve_by_gauss_seidel(gram, slopes, solution[plane])
    # Levels are shares of the mass.
    values = np.empty((len(trips), len(planes) - 1), np.float32)
    for k in range(len(trips)):
        for plane in range(1, len(planes)):
            values[k, plane - 1] = solution[plane, k] / max(solution[0, k], np.float32(LEAST_MASS))
    return values


@compiled()
def _place_mass(origin, destination, route, first, count, buffers, model):
    """Write a stroke and its origin's blob in one plane, `count` times as strong; return where the pieces end."""
    # The stroke: A and B together.
    last = place_stroke(origin, destination, route, first, buffers, model)
    for i in range(first, last):
        buffers.halves[i, 0] = count * (buffers.halves[i, 0] + buffers.halves[i, 1])
        buffers.halves[i, 1] = 0
    # The blob. Grey strokes carry their values without it.
    if model.grey and origin == destination:
        return last
    for n in range(model.sharp.shape[1]):
        buffers.pixels[last + n] = model.sharp_at[origin, n]
        buffers.halves[last + n, 0] = 0 if model.grey else count * model.sharp[origin, n]
        buffers.halves[last + n, 1] = 0
    return last + model.sharp.shape[1]


@compiled()
def _solve_by_gauss_seidel(gram, slopes, solution):
    """Solve gram · solution = slopes in place; `slopes` becomes the residual."""
    for _ in range(SWEEPS):
        largest = np.float32(0)
        for k in range(len(slopes)):
            change = slopes[k] / gram[k, k]
            solution[k] += change
            largest = max(largest, abs(change))
            for i in range(len(slopes)):
                slopes[i] -= change * gram[k, i]
        if largest < 1e-5:
            break
