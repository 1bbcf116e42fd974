"""Which of many synthetic trips are kept: those that discriminators take for real, so many that the margins are right.

Nothing here looks at a single training trip: margins are counts over all of them.
"""

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.options import DecodeOptions
from decode.run import redrawn_table, write_table
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.strokes.places import list_stations
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.table import encode_labels

# Raking ends after so many rounds, or when no margin is off by more than this share. Set by hand, not swept.
ROUNDS, CLOSE = 200, 1e-6
# No trip weighs more than so many mean weights. The chosen rows of docs/fidelity.md were measured with it; not swept.
HEAVIEST = 20.0


def select_run(run: Path, *, rows: int, dialect: str = DecodeOptions.dialect, seed: int = 0) -> str:
    """Choose some of a run's decoded trips.

    Writes `run`/chosen.csv and chosen.parquet.

    Parameters
    ----------
    run : Path
        Run folder with decoded trips. Where redrawn/verdicts.npy is (by `python -m pgan judge`) verdicts count.
    rows : int
        How many trips are chosen.
    dialect : str
        Columns of chosen.csv: 'source' (those of the input file) or 'internal' (our own names).
    seed : int
        Of the choice.

    Returns
    -------
    str
        What was done, for a person.

    Raises
    ------
    InputError
        Nothing was decoded, there are no more trips than `rows`, verdicts are on other trips, or no such dialect.
    """
    options = DecodeOptions(dialect=dialect)
    trips, trained = pd.read_parquet(redrawn_table(run)), ImageSet.open(run / "images").one_by_one()
    verdicts = read_verdicts(run, len(trips))
    chosen = select_trips(trips, trained.labels, trained.spec, rows=rows, verdicts=verdicts, seed=seed)
    write_table(run / "chosen", chosen, trained.spec.source if options.dialect == "source" else {}, seed=seed)
    how = "by margins alone: no jury has judged them" if verdicts is None else "by the jury's verdicts and by margins"
    return f"{len(chosen):,} of {len(trips):,} trips chosen {how}\nwrote {run / 'chosen.csv'}, and .parquet"


def read_verdicts(run: Path, count: int) -> NDArray | None:
    """Return the verdict on each of `count` trips, float32 [N]; None if they were not judged."""
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


def select_trips(
    trips: pd.DataFrame,
    labels: NDArray,
    spec: StrokeSpec,
    *,
    rows: int,
    verdicts: NDArray | None = None,
    seed: int = 0,
) -> pd.DataFrame:
    """Select trips, none twice, whose margins are those of the training trips.

    Margins are start stations, end stations, and every two factors together (or the one there is).

    Parameters
    ----------
    trips : pandas.DataFrame
        N synthetic trips in the internal names.
    labels : (T, F) int16
        Factors of the training trips.
    spec : StrokeSpec
        Knows the stations, how often trips start and end at each, and the factors.
    rows : int
        How many trips are selected; fewer than N.
    verdicts : (N,) float32, optional
        Log odds that a discriminator takes each trip for real; without them all trips count alike.
    seed : int
        Of the selection.

    Returns
    -------
    pandas.DataFrame
        `rows` of the trips, in their order.

    Raises
    ------
    InputError
        There are not more trips than asked for.

    Notes
    -----
    1. Importance resampling (Azadi et al. 2019): a trip's weight is e^verdict.
    2. Iterative proportional fitting (Deming & Stephan 1940) scales weights until each margin is right. Chances are
       proportional to weights.
    3. Systematic sampling with these chances, along trips in the order of `_sort_trips`. Of trips that lie together, a
       number is selected that differs from its expectation by less than 1. Drawing each by chance would differ by more.
       This is implicit stratification (Cochran 1977, section 8.5).
    """
    if not 0 < rows < len(trips):
        raise InputError(
            f"--rows {rows}: there are {len(trips)} trips to choose from; ask for fewer, and at least 1, or make more: "
            f"`python -m pgan sample --images {20 * max(1, rows)}`, then decode and judge again"
        )
    # Weights: verdicts, then margins.
    weights = np.ones(len(trips)) if verdicts is None else np.exp(verdicts - verdicts.max())
    chance = _inclusion_chances(_rake_weights(weights, *_count_margins(trips, labels, spec)), rows)
    # Systematic sampling: a trip is selected where the running sum of chances passes an integer.
    rng = np.random.default_rng(seed)
    order = _sort_trips(trips, rng)
    steps = np.floor(np.cumsum(chance[order]) + rng.random())
    chosen = order[np.diff(steps, prepend=0.0) >= 1]
    return trips.iloc[np.sort(chosen)].reset_index(drop=True)


def _sort_trips(trips: pd.DataFrame, rng: np.random.Generator) -> NDArray:
    """Return the order of trips by user type, start and end station, and hour of the week; [N]. Ties are by chance.

    User types come first: chance would spoil the flows of the rare one most (docs/fidelity.md).
    """
    columns = ("user_type", "start_station_id", "end_station_id")
    codes = [pd.factorize(trips[column], sort=True)[0] for column in columns if column in trips]
    time = trips["started_at"].dt
    return np.lexsort((rng.random(len(trips)), time.hour, time.day_of_week, *reversed(codes)))


def _count_margins(trips: pd.DataFrame, labels: NDArray, spec: StrokeSpec) -> tuple[list[NDArray], list[NDArray]]:
    """Return the cell of each trip in each margin, and the shares that the cells should have."""
    # Start and end stations.
    stations = list_stations(spec.places)
    index = pd.Index([station.id for station in stations])
    cells = [index.get_indexer(trips[f"{end}_station_id"]) for end in ("start", "end")]
    targets = [np.array([getattr(station, uses) for station in stations], float) for uses in ("starts", "ends")]
    # Every two factors together.
    sizes, trip_labels = [len(factor.values) for factor in spec.factors], encode_labels(trips, spec.factors)
    for columns in list(combinations(range(len(sizes)), 2)) or [(column,) for column in range(len(sizes))]:
        shape = [sizes[column] for column in columns]
        trained, synthetic = (np.ravel_multi_index(table[:, columns].T, shape) for table in (labels, trip_labels))
        cells.append(synthetic)
        targets.append(np.bincount(trained, minlength=np.prod(shape)).astype(float))
    return cells, [target / target.sum() for target in targets]


def _rake_weights(weights: NDArray, cells: Sequence[NDArray], targets: Sequence[NDArray]) -> NDArray:
    """Return weights of mean 1 with which every margin comes as near to its target as the trips allow."""
    weights = weights.astype(float) / weights.mean()
    for _ in range(ROUNDS):
        # Iterative proportional fitting: scale the cells of one margin after the other.
        worst = 0.0
        for cell, target in zip(cells, targets, strict=True):
            share = np.bincount(cell, weights, len(target)) / weights.sum()
            reached = share > 0
            factor = np.divide(target, share, out=np.ones_like(share), where=reached)
            worst = max(worst, float(np.abs(factor[reached & (target > 0)] - 1).max(initial=0)))
            weights = np.clip(weights * factor[cell], 0, HEAVIEST * weights.mean())
        weights /= weights.mean()
        if worst < CLOSE:
            break
    return weights


def _inclusion_chances(weights: NDArray, rows: int) -> NDArray:
    """Return chances in proportion to weights, none above 1, that sum to `rows`."""
    chance = weights * (rows / weights.sum())
    # Chances above 1 are cut, and the rest shared among the others, until none is above 1.
    for _ in range(100):
        full = chance >= 1
        if not (chance > 1).any():
            break
        rest = weights[~full].sum()
        chance = np.where(full, 1.0, weights * ((rows - full.sum()) / rest if rest > 0 else 0.0))
    return np.minimum(chance, 1.0)
