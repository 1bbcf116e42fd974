"""What is put right after the generator: painted ranks spread evenly, and trips chosen so that margins come out right.

Nothing here looks at a training trip: targets are what the spec tells of all of them together.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.routes import Routes
from decode.solve import Solution
from decode.trips import Plan, assemble
from rasterize.attributes import MISSING_LEVEL, ConditionalChannel, QuantileChannel, level_of
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.places import all_stations
from rasterize.spec import Spec

RANKS = ("painted", "spread", "drawn")  # as they are; even, in the order painted; even, in any order
FEWEST = 20  # trips of a group whose ranks are spread by themselves; smaller ones share those of all
ROUNDS, CLOSE = 200, 1e-6  # of raking; the largest relative error of a margin that ends it
HEAVIEST = 20.0  # weight of a trip, in mean weights


@dataclass(frozen=True, kw_only=True)
class Calibrating:
    """What is done: to painted ranks, see `RANKS`, and how many trips are chosen by their margins (0: all are kept)."""

    ranks: str = "painted"
    rake: int = 0

    def __post_init__(self) -> None:
        if self.ranks not in RANKS:
            raise InputError(f"--ranks {self.ranks}: give one of {', '.join(RANKS)}")


def calibrate_trips(
    images: ImageSet,
    strokes: Solution,
    plan: Plan,
    calibrating: Calibrating,
    *,
    routes: Routes | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """The trips of a solution, put right."""
    if calibrating.ranks != "painted":
        strokes = spread_ranks(strokes, images.labels, images.spec, drawn=calibrating.ranks == "drawn", seed=seed)
    trips = assemble(images, strokes, plan, routes=routes, seed=seed).trips
    if calibrating.rake:
        trips = rake(trips, images.labels, images.spec, rows=calibrating.rake, seed=seed)
    return trips


def spread_ranks(strokes: Solution, labels: NDArray, spec: Spec, *, drawn: bool = False, seed: int = 0) -> Solution:
    """Painted ranks made even among trips alike, which is quantile mapping to the distribution of the training trips.

    The order of trips stays, unless ranks are `drawn`; so does what is missing. labels : [N, F], of the images.
    """
    rng, values = np.random.default_rng(seed), strokes.values.copy()
    known, plane = spec.known_of(strokes.ends, labels[strokes.image]), 0
    for channel in spec.channels:
        if isinstance(channel, QuantileChannel | ConditionalChannel):
            group = channel.find_groups(known, len(values))
            levels, missing = values[:, plane], channel.missing & (values[:, plane] < MISSING_LEVEL)
            order = rng.random(len(levels)) if drawn else levels
            values[:, plane] = np.where(missing, levels, _even(order, group, ~missing, rng))
        plane += channel.planes
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
    levels[by_rank] = level_of((np.arange(len(where)) + 0.5) / max(1, len(where)))
    return levels


def rake(trips: pd.DataFrame, labels: NDArray, spec: Spec, *, rows: int, seed: int = 0) -> pd.DataFrame:
    """`rows` of the trips, without repetition, whose margins are those of the training trips.

    Margins are start stations, end stations (both in the spec) and each factor (as in `labels` [N, F] of all images,
    which follow the training trips). Weights by iterative proportional fitting (Deming & Stephan 1940), then systematic
    sampling with these as chances. Raises `InputError` when there are not more trips than asked for.
    """
    if rows >= len(trips):
        raise InputError(
            f"--rake {rows}: there are {len(trips)} trips to choose from; make at least twice as many as you ask for: "
            f"`python -m pgan sample --images {3 * rows}`"
        )
    weights = _rake_weights(*_margins(trips, labels, spec))
    chance = _inclusion(weights, rows)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(trips))
    steps = np.floor(np.cumsum(chance[order]) + rng.random())
    chosen = order[np.diff(steps, prepend=0.0) >= 1]
    return trips.iloc[np.sort(chosen)].reset_index(drop=True)


def _margins(trips: pd.DataFrame, labels: NDArray, spec: Spec) -> tuple[list[NDArray], list[NDArray]]:
    """Cell of each trip in each margin, and the shares the cells should have."""
    stations = all_stations(spec.places)
    index = pd.Index([station.id for station in stations])
    cells = [index.get_indexer(trips[f"{end}_station_id"]) for end in ("start", "end")]
    targets = [np.array([getattr(station, uses) for station in stations], float) for uses in ("starts", "ends")]
    for column, factor in enumerate(spec.factors):
        cells.append(labels[trips["image"].to_numpy(), column].astype(np.int64))
        targets.append(np.bincount(labels[:, column], minlength=len(factor.values)).astype(float))
    return cells, [target / target.sum() for target in targets]


def _rake_weights(cells: Sequence[NDArray], targets: Sequence[NDArray]) -> NDArray:
    """Weights of mean 1 with which every margin comes as near to its target as there are trips for."""
    weights = np.ones(len(cells[0]))
    for _ in range(ROUNDS):
        worst = 0.0
        for cell, target in zip(cells, targets, strict=True):
            now = np.bincount(cell, weights, len(target)) / weights.sum()
            reached = now > 0
            factor = np.divide(target, now, out=np.ones_like(now), where=reached)
            worst = max(worst, float(np.abs(factor[reached & (target > 0)] - 1).max(initial=0)))
            weights = np.clip(weights * factor[cell], 0, HEAVIEST * weights.mean())
        weights /= weights.mean()
        if worst < CLOSE:
            break
    return weights


def _inclusion(weights: NDArray, rows: int) -> NDArray:
    """Chances in proportion to weights, none above 1, that sum to `rows`."""
    chance = weights * (rows / weights.sum())
    for _ in range(100):
        full = chance >= 1
        if not (chance > 1).any():
            break
        rest = weights[~full].sum()
        chance = np.where(full, 1.0, weights * ((rows - full.sum()) / rest if rest > 0 else 0.0))
    return np.minimum(chance, 1.0)
