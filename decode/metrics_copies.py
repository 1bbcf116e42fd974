"""Measures of copying: how near synthetic rows lie to the rows the generator was trained on, beside held-out ones."""

import numpy as np
import pandas as pd
from numba import prange
from numpy.typing import NDArray

from decode.metrics import CATEGORIES
from rasterize.compiled import compiled

_FIRST = 4  # coordinates come first: most rows are out of reach after them


@compiled(parallel=True)
def nearest_two(points, others):
    """Euclidean distance of each of `points` [N, D] to its nearest and second nearest of `others` [M, D], exactly."""
    nearest, second = np.empty(len(points)), np.empty(len(points))
    for i in prange(len(points)):
        best, next_best = np.inf, np.inf
        for j in range(len(others)):
            total = 0.0
            for d in range(_FIRST):
                total += (points[i, d] - others[j, d]) ** 2
            if total >= next_best:
                continue
            for d in range(_FIRST, points.shape[1]):
                total += (points[i, d] - others[j, d]) ** 2
            if total < best:
                best, next_best = total, best
            elif total < next_best:
                next_best = total
        nearest[i], second[i] = np.sqrt(best), np.sqrt(next_best)
    return nearest, second


def embed(table: pd.DataFrame, train: pd.DataFrame, columns: list[str]) -> NDArray:
    """Located rows as points, float64 [N, D]: one standard deviation of `train`, or one changed category, is 1 apart.

    Stations by their coordinates, durations by their logarithm; a missing birth year lies at the mean, 1 further off.
    """
    numbers = ["start_lat", "start_lng", "end_lat", "end_lng"] + [c for c in columns if c not in CATEGORIES]
    axes = []
    for column in numbers:
        values, reference = (_number(t, column) for t in (table, train))
        middle, spread = np.nanmean(reference), np.nanstd(reference)
        axes.append(np.nan_to_num((values - middle) / (spread or 1.0), nan=0.0))
        if column == "birth_year":
            axes.append(np.isnan(values).astype(float))
    for column in columns:
        if column in CATEGORIES and column not in ("start", "end"):
            axes += [(table[column] == value).to_numpy() * np.sqrt(0.5) for value in sorted(train[column].unique())]
    return np.column_stack(axes)


def _number(table: pd.DataFrame, column: str) -> NDArray:
    values = table[column].to_numpy(float)
    return np.log(np.maximum(values, 1.0)) if column == "duration_s" else values


def nearer_share(to_train: NDArray, to_holdout: NDArray) -> float:
    """Share of rows nearer to training than to held-out rows; of ties, half (DCR share)."""
    return float(np.mean((to_train < to_holdout) + 0.5 * (to_train == to_holdout)))


def neighbour_ratio(nearest: NDArray, second: NDArray) -> float:
    """5th percentile of nearest / second nearest; 1 where both are 0: a row with two twins singles out neither."""
    ratio = np.divide(nearest, second, out=np.ones_like(nearest), where=second > 0)
    return float(np.quantile(ratio, 0.05))


def identical_share(table: pd.DataFrame, train: pd.DataFrame, columns: list[str]) -> float:
    """Share of rows that are equal to some training row in every column."""
    both = pd.concat([train[columns], table[columns]], ignore_index=True)
    cell = both.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    return float(np.isin(cell[len(train) :], cell[: len(train)]).mean())


def copy_metrics(
    table: pd.DataFrame, train: pd.DataFrame, holdout: pd.DataFrame, columns: list[str]
) -> dict[str, float]:
    """Metrics 15 and 16 of a located table; `train` and `holdout` have as many rows each."""
    points, train_points, holdout_points = (embed(t, train, columns) for t in (table, train, holdout))
    nearest, second = nearest_two(points, train_points)
    return {
        "dcr_share": nearer_share(nearest, nearest_two(points, holdout_points)[0]),
        "ims": identical_share(table, train, columns),
        "nndr_p5": neighbour_ratio(nearest, second),
    }
