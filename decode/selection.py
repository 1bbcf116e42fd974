"""Which of many synthetic trips are kept: those that D takes for real, in numbers that bring the margins out right.

Nothing here looks at a training trip: margins are counts of all of them together.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.run import redrawn_table, write_table
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.strokes.places import list_stations
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.table import encode_labels

ROUNDS, CLOSE = 200, 1e-6  # of raking; the largest relative error of a margin that ends it
HEAVIEST = 20.0  # weight of a trip, in mean weights


def select_run(run: Path, *, rows: int, dialect: str = "source", seed: int = 0) -> str:
    """Choose `rows` of the trips that were decoded; writes `run`/chosen.csv and .parquet, returns what there is to say.

    Where D has judged them (redrawn/verdicts.npy, by `python -m pgan judge`) a trip's chance follows its verdict.
    """
    trips, trained = pd.read_parquet(redrawn_table(run)), ImageSet.open(run / "images").one_by_one()
    verdicts = read_verdicts(run, len(trips))
    chosen = choose(trips, trained.labels, trained.spec, rows=rows, verdicts=verdicts, seed=seed)
    write_table(run / "chosen", chosen, trained.spec.source if dialect == "source" else {}, seed=seed)
    how = "by margins alone: no D has judged them" if verdicts is None else "by D's verdicts and by margins"
    return f"{len(chosen):,} of {len(trips):,} trips chosen {how}\nwrote {run / 'chosen.csv'}, and .parquet"


def read_verdicts(run: Path, count: int) -> NDArray | None:
    """The verdict on each of `count` trips, float32 [N]; None if there are none."""
    path = run / "redrawn" / "verdicts.npy"
    if not path.exists():
        return None
    verdicts = np.load(path)
    if len(verdicts) != count:
        raise InputError(
            f"{path}: {len(verdicts)} verdicts, but {count} trips to choose from; "
            f"judge them again: `python -m pgan judge --run {run}`"
        )
    return verdicts


def choose(
    trips: pd.DataFrame,
    labels: NDArray,
    spec: StrokeSpec,
    *,
    rows: int,
    verdicts: NDArray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """`rows` of the trips, without repetition, whose margins are those of the training trips.

    Margins are start stations, end stations (both in the spec) and every two factors together, or the one (`labels`
    [T, F] of the training trips). Weights begin at what D says of each trip, e^verdict (importance resampling; Azadi et
    al. 2019), or alike; then iterative proportional fitting (Deming & Stephan 1940) and systematic sampling with these
    as chances, along trips in the order of `_in_order`: of those that lie together a number comes in that differs by
    less than 1 from what is expected, not by the chance of drawing each (implicit stratification; Cochran 1977,
    section 8.5). Raises `InputError` when there are not more trips than asked for.
    """
    if not 0 < rows < len(trips):
        raise InputError(
            f"--rows {rows}: there are {len(trips)} trips to choose from; ask for fewer, and at least 1, or make more: "
            f"`python -m pgan sample --images {20 * max(1, rows)}`, then decode and judge again"
        )
    weights = np.ones(len(trips)) if verdicts is None else np.exp(verdicts - verdicts.max())
    chance = _inclusion(_rake_weights(weights, *_margins(trips, labels, spec)), rows)
    rng = np.random.default_rng(seed)
    order = _in_order(trips, rng)
    steps = np.floor(np.cumsum(chance[order]) + rng.random())
    chosen = order[np.diff(steps, prepend=0.0) >= 1]
    return trips.iloc[np.sort(chosen)].reset_index(drop=True)


def _in_order(trips: pd.DataFrame, rng: np.random.Generator) -> NDArray:
    """Trips by user type, their two stations and the hour of the week at which they start, then by chance, [N].

    User types come first: it is the flows of the rare one that chance would spoil most.
    """
    columns = ("user_type", "start_station_id", "end_station_id")
    codes = [pd.factorize(trips[column], sort=True)[0] for column in columns if column in trips]
    time = trips["started_at"].dt
    return np.lexsort((rng.random(len(trips)), time.hour, time.day_of_week, *reversed(codes)))


def _margins(trips: pd.DataFrame, labels: NDArray, spec: StrokeSpec) -> tuple[list[NDArray], list[NDArray]]:
    """Cell of each trip in each margin, and the shares the cells should have."""
    stations = list_stations(spec.places)
    index = pd.Index([station.id for station in stations])
    cells = [index.get_indexer(trips[f"{end}_station_id"]) for end in ("start", "end")]
    targets = [np.array([getattr(station, uses) for station in stations], float) for uses in ("starts", "ends")]
    sizes, found = [len(factor.values) for factor in spec.factors], encode_labels(trips, spec.factors)
    for columns in list(combinations(range(len(sizes)), 2)) or [(column,) for column in range(len(sizes))]:
        shape = [sizes[column] for column in columns]
        wanted, has = (np.ravel_multi_index(table[:, columns].T, shape) for table in (labels, found))
        cells.append(has)
        targets.append(np.bincount(wanted, minlength=np.prod(shape)).astype(float))
    return cells, [target / target.sum() for target in targets]


def _rake_weights(weights: NDArray, cells: Sequence[NDArray], targets: Sequence[NDArray]) -> NDArray:
    """Weights of mean 1, from those given, with which every margin comes as near to its target as trips allow."""
    weights = weights.astype(float) / weights.mean()
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
