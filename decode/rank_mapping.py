"""What is put right after the generator: painted ranks spread evenly, as those of the training trips are.

Nothing here looks at a training trip: what the spec tells of all of them together is enough.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decode.solver.solution import Solution
from rasterize.strokes.channels import MISSING_LEVEL, ConditionalChannel, QuantileChannel, encode_share, plane_slices
from rasterize.strokes.spec import StrokeSpec

RANKED = QuantileChannel | ConditionalChannel
FEWEST = 20  # trips of a group whose ranks are spread by themselves; smaller ones share those of all


def has_ranks(spec: StrokeSpec) -> bool:
    """Whether anything is painted as a rank."""
    return any(isinstance(channel, RANKED) for channel in spec.channels)


def spread_ranks(
    strokes: Solution, labels: NDArray, spec: StrokeSpec, *, drawn: bool = False, seed: int = 0
) -> Solution:
    """Painted ranks made even among trips alike, which is quantile mapping to the distribution of the training trips.

    The order of trips stays, unless ranks are `drawn`; so does what is missing. labels : [N, F], of the images.
    """
    rng, values = np.random.default_rng(seed), strokes.values.copy()
    features = spec.trip_features(strokes.ends, labels[strokes.image])
    for channel, planes in plane_slices(spec.channels):
        if isinstance(channel, RANKED):
            group = channel.find_groups(features, len(values))
            levels = values[:, planes.start]
            missing = channel.missing & (levels < MISSING_LEVEL)
            order = rng.random(len(levels)) if drawn else levels
            values[:, planes.start] = np.where(missing, levels, _even(order, group, ~missing, rng))
    return replace(strokes, values=values)


def _even(order: NDArray, group: NDArray, there: NDArray, rng: np.random.Generator) -> NDArray:
    """Levels in the order given, even in each group of those that are there, [N]; groups too small share all ranks."""
    sizes = np.bincount(group[there], minlength=group.max(initial=0) + 1)
    levels = _ranks(order, there, rng)
    for number in np.flatnonzero(sizes >= FEWEST):
        rows = there & (group == number)
        levels[rows] = _ranks(order, rows, rng)[rows]
    return levels


def _ranks(order: NDArray, rows: NDArray, rng: np.random.Generator) -> NDArray:
    """Levels by rank among `rows`, bool [N]; others are not to be used. Ties in any order."""
    levels, where = np.zeros(len(order)), np.flatnonzero(rows)
    by_rank = where[np.lexsort((rng.random(len(where)), order[where]))]
    levels[by_rank] = encode_share((np.arange(len(where)) + 0.5) / max(1, len(where)))
    return levels
