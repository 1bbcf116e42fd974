"""Measures of copying: how near synthetic rows lie to the rows the generator was trained on, beside held-out ones."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score, roc_curve

from decode.evaluate.tables import CATEGORIES

FALSE_ALARMS = 0.01  # of rows that trained nothing, at which the membership attack's hits are counted


@dataclass(frozen=True, kw_only=True)
class RealSide:
    """Located training and held-out rows, as many of each, and what every synthetic table is measured against.

    Half of the held-out rows stand for people who took no part (`outsiders`), the other half calibrates the attack.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    columns: list[str]

    def measure(self, table: pd.DataFrame) -> dict[str, float]:
        """Metrics 15 to 17 of a located table."""
        points = embed(table, self.train, self.columns)
        nearest, second = nearest_two(points, self._train_points)
        members, outsiders = (nearest_two(p, points)[0] for p in (self._train_points, self._outsiders))
        auc, hits = membership_attack(
            relative_distance(members, self._usual_distances[0]), relative_distance(outsiders, self._usual_distances[1])
        )
        return {
            "dcr_share": nearer_share(nearest, nearest_two(points, self._holdout_points)[0]),
            "ims": identical_share(table, self.train, self.columns),
            "nndr_p5": neighbour_ratio(nearest, second),
            "membership_auc": auc,
            "membership_tpr": hits,
        }

    @cached_property
    def _train_points(self) -> NDArray:
        return embed(self.train, self.train, self.columns)

    @cached_property
    def _holdout_points(self) -> NDArray:
        return embed(self.holdout, self.train, self.columns)

    @property
    def _outsiders(self) -> NDArray:
        return self._holdout_points[::2]

    @cached_property
    def _usual_distances(self) -> tuple[NDArray, NDArray]:
        """How far training rows and outsiders lie from real rows that are neither: rare rows lie far from anything."""
        others = self._holdout_points[1::2]
        return nearest_two(self._train_points, others)[0], nearest_two(self._outsiders, others)[0]


def nearest_two(points: NDArray, others: NDArray) -> tuple[NDArray, NDArray]:
    """Euclidean distance of each of `points` [N, D] to its nearest and second nearest of `others` [M, D], exactly."""
    distance, _ = cKDTree(others).query(points, k=2, workers=-1)
    return distance[:, 0], distance[:, 1]


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


def relative_distance(to_table: NDArray, to_others: NDArray) -> NDArray:
    """How near rows lie to synthetic ones for what is usual there, 0 (a twin) … 1; 0.5 where both distances are 0."""
    total = to_table + to_others
    return np.divide(to_table, total, out=np.full_like(total, 0.5), where=total > 0)


def membership_attack(members: NDArray, outsiders: NDArray) -> tuple[float, float]:
    """The attack "whoever lies near a synthetic row took part": its AUC, and its hits at 1 % false alarms.

    members, outsiders : relative distances of rows that trained, and of rows that did not. AUC 0.5 and hits of 0.01 are
    what guessing gets (Carlini et al. 2022 judge by the hits; distances calibrated as in Watson et al. 2022).
    """
    took_part = np.repeat([1, 0], [len(members), len(outsiders)])
    score = -np.concatenate([members, outsiders])
    false_alarms, hits, _ = roc_curve(took_part, score)
    return float(roc_auc_score(took_part, score)), float(np.interp(FALSE_ALARMS, false_alarms, hits))
