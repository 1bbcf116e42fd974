"""What is put right after the generator: painted ranks are spread evenly, as those of the training trips are.

Nothing here looks at a training trip: the spec is enough.
"""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from decode.solver.solution import Solution
from rasterize.strokes.channels import MISSING_LEVEL, ConditionalChannel, QuantileChannel, encode_share, plane_slices
from rasterize.strokes.spec import StrokeSpec

RANKED = QuantileChannel | ConditionalChannel
# Trips of a group whose ranks are spread by themselves; smaller groups share those of all. Set by hand, not swept.
FEWEST = 20


def has_ranks(spec: StrokeSpec) -> bool:
    """Return whether anything is painted as a rank."""
    return any(isinstance(channel, RANKED) for channel in spec.channels)


def spread_ranks(
    strokes: Solution, labels: NDArray, spec: StrokeSpec, *, drawn: bool = False, seed: int = 0
) -> Solution:
    """Spread painted ranks evenly among trips alike.

    Parameters
    ----------
    strokes : Solution
        Decoded trips.
    labels : (N, F) int16
        Labels of the images.
    spec : StrokeSpec
        Knows which values are painted as ranks, and which trips are alike.
    drawn : bool
        Draw ranks by chance; else the order of trips stays as painted.
    seed : int
        Of ties, and of drawn ranks.

    Returns
    -------
    Solution
        The same trips with other values. What is missing stays missing.

    Notes
    -----
    This is quantile mapping: even ranks decode to the distribution of the training trips.
    """
    # Each ranked channel by itself: group trips alike, and even the ranks within each group.
    rng, values = np.random.default_rng(seed), strokes.values.copy()
    features = spec.trip_features(strokes.ends, labels[strokes.image])
    for channel, planes in plane_slices(spec.channels):
        if isinstance(channel, RANKED):
            group = channel.find_groups(features, len(values))
            levels = values[:, planes.start]
            missing = channel.missing & (levels < MISSING_LEVEL)
            order = rng.random(len(levels)) if drawn else levels
            values[:, planes.start] = np.where(missing, levels, _even_levels(order, group, ~missing, rng))
    return replace(strokes, values=values)


def _even_levels(order: NDArray, group: NDArray, present: NDArray, rng: np.random.Generator) -> NDArray:
    """Return levels in the order given, even within each group of the present rows; small groups share all ranks."""
    sizes = np.bincount(group[present], minlength=group.max(initial=0) + 1)
    levels = _rank_levels(order, present, rng)
    for number in np.flatnonzero(sizes >= FEWEST):
        rows = present & (group == number)
        levels[rows] = _rank_levels(order, rows, rng)[rows]
    return levels


def _rank_levels(order: NDArray, rows: NDArray, rng: np.random.Generator) -> NDArray:
    """Return levels by rank among `rows`, bool [N]; 0 elsewhere. Ties are broken by chance."""
    levels, index = np.zeros(len(order)), np.flatnonzero(rows)
    by_rank = index[np.lexsort((rng.random(len(index)), order[index]))]
    levels[by_rank] = encode_share((np.arange(len(index)) + 0.5) / max(1, len(index)))
    return levels
