"""Levels of the painted planes along each decoded stroke: least squares over the strokes of one image."""

import numpy as np

from decode.solver.candidates import place_stroke
from decode.solver.forward_model import clear, find_box, product, spread
from rasterize.jit import compiled
from rasterize.strokes.blur import blur_plane

LEAST_MASS = 0.2  # of a stroke: painted values of fainter ones are not made up for
SWEEPS = 200


@compiled()
def fit_painted_values(trips, counts, planes, model, buffers, dense):
    """Level per trip and painted plane, float32 [K, P].

    Least squares over the strokes, for the painted planes and for the mass they are painted with, then their ratio: a
    generator that paints a stroke faintly or broadly does so in all planes alike.

    trips : int32 [K, 3], different ones. counts : int64 [K]. planes : float32 [1 + P, area], the mass (A + B + O, or
    the grey plane) and the painted planes, as they are in the image. `buffers` is overwritten.
    """
    width, height = model.atlas.width, model.atlas.height
    starts = np.zeros(len(trips) + 1, np.int64)
    for k in range(len(trips)):
        starts[k + 1] = _place_mass(trips[k, 0], trips[k, 1], trips[k, 2], starts[k], counts[k], buffers, model)
    gram, box = np.zeros((len(trips), len(trips)), np.float32), np.empty(4, np.int32)
    for k in range(len(trips)):
        spread(starts[k], starts[k + 1], buffers.pixels, buffers.halves, model.twice, width, dense)
        for i in range(len(trips)):
            gram[k, i] = product(starts[i], starts[i + 1], buffers.pixels, buffers.halves, dense)
        gram[k, k] += np.float32(1e-9)
        find_box(starts[k], starts[k + 1], buffers.pixels, width, len(model.twice) // 2, box)
        clear(box, width, dense)
    found = np.zeros((len(planes), len(trips)), np.float32)
    scratch, field = np.empty(len(planes[0]), np.float32), np.zeros(2 * len(planes[0]), np.float32)
    blurred = np.empty(len(planes[0]), np.float32)
    for plane in range(len(planes)):
        blur_plane(planes[plane], model.taps, height, width, blurred, scratch)
        field[::2] = blurred
        slopes = np.empty(len(trips), np.float32)
        for k in range(len(trips)):
            slopes[k] = product(starts[k], starts[k + 1], buffers.pixels, buffers.halves, field)
        _solve(gram, slopes, found[plane])
    values = np.empty((len(trips), len(planes) - 1), np.float32)
    for k in range(len(trips)):
        for plane in range(1, len(planes)):
            values[k, plane - 1] = found[plane, k] / max(found[0, k], np.float32(LEAST_MASS))
    return values


@compiled()
def _place_mass(origin, destination, route, first, count, buffers, model):
    """Pieces of a stroke and of the origin's blob in one plane, `count` times as strong; returns where they end."""
    last = place_stroke(origin, destination, route, first, buffers, model)
    for i in range(first, last):
        buffers.halves[i, 0] = count * (buffers.halves[i, 0] + buffers.halves[i, 1])
        buffers.halves[i, 1] = 0
    if model.grey and origin == destination:
        return last
    for n in range(model.sharp.shape[1]):
        buffers.pixels[last + n] = model.sharp_at[origin, n]
        buffers.halves[last + n, 0] = 0 if model.grey else count * model.sharp[origin, n]
        buffers.halves[last + n, 1] = 0
    return last + model.sharp.shape[1]


@compiled()
def _solve(gram, slopes, found):
    """gram · found = slopes by Gauss–Seidel."""
    for _ in range(SWEEPS):
        largest = np.float32(0)
        for k in range(len(slopes)):
            change = slopes[k] / gram[k, k]
            found[k] += change
            largest = max(largest, abs(change))
            for i in range(len(slopes)):
                slopes[i] -= change * gram[k, i]
        if largest < 1e-5:
            break
