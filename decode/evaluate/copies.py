"""Measures of copying: do synthetic rows lie nearer to the training rows than to held-out ones?"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree
from sklearn.metrics import roc_auc_score, roc_curve

from decode.evaluate.tables import CATEGORIES

FALSE_ALARMS = 0.01  # share of outsiders taken for members, at which hits are counted; set by hand, not swept


@dataclass(frozen=True, kw_only=True)
class RealSide:
    """The training and held-out rows that every synthetic table is measured against.

    Half of the held-out rows stand for people who took no part (`outsiders`). The other half calibrates the attack.

    Attributes
    ----------
    train : DataFrame, n rows
        Located trips that trained the generator.
    holdout : DataFrame, n rows
        Located real trips that trained nothing.
    columns : list of str
        The columns that all tables have.
    """

    train: pd.DataFrame
    holdout: pd.DataFrame
    columns: list[str]

    def measure_table(self, table: pd.DataFrame) -> dict[str, float]:
        """Measure metrics 15 to 17 of a located table."""
        points = embed_rows(table, self.train, self.columns)
        nearest, second = nearest_two(points, self._train_points)

        # The attack: how near members and outsiders lie to synthetic rows, for how near real rows lie there.
        members, outsiders = (nearest_two(p, points)[0] for p in (self._train_points, self._outsiders))
        auc, hits = attack_membership(
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
        """Embed the training rows, [n, D]."""
        return embed_rows(self.train, self.train, self.columns)

    @cached_property
    def _holdout_points(self) -> NDArray:
        """Embed the held-out rows, [n, D]."""
        return embed_rows(self.holdout, self.train, self.columns)

    @property
    def _outsiders(self) -> NDArray:
        """Return the points of every second held-out row, [n / 2, D]."""
        return self._holdout_points[::2]

    @cached_property
    def _usual_distances(self) -> tuple[NDArray, NDArray]:
        """Measure how far training rows, and outsiders, lie from the other held-out rows.

        Rare rows lie far from anything, and the attack takes that into account.
        """
        others = self._holdout_points[1::2]
        return nearest_two(self._train_points, others)[0], nearest_two(self._outsiders, others)[0]


def nearest_two(points: NDArray, others: NDArray) -> tuple[NDArray, NDArray]:
    """Return the exact distances of `points` [N, D] to their nearest and second nearest of `others` [M, D]."""
    distance, _ = cKDTree(others).query(points, k=2, workers=-1)
    return distance[:, 0], distance[:, 1]


def embed_rows(table: pd.DataFrame, train: pd.DataFrame, columns: list[str]) -> NDArray:
    """Turn located rows into points, so that distances between them can be compared.

    One standard deviation of `train` is 1 apart, and so is one changed category. Stations count by their coordinates
    and durations by their logarithm. A missing birth year lies at the mean, and 1 further off on an axis of its own.

    Parameters
    ----------
    table : DataFrame, N rows
        The located rows.
    train : DataFrame
        Located rows that say how long each axis is, and which categories there are.
    columns : list of str
        The columns that both tables have.

    Returns
    -------
    (N, D) float64
        A point for each row.
    """
    # Numbers: in standard deviations from the mean of the training rows.
    numbers = ["start_lat", "start_lng", "end_lat", "end_lng"] + [c for c in columns if c not in CATEGORIES]
    axes = []
    for column in numbers:
        values, reference = (_number(t, column) for t in (table, train))
        middle, spread = np.nanmean(reference), np.nanstd(reference)
        axes.append(np.nan_to_num((values - middle) / (spread or 1.0), nan=0.0))
        if column == "birth_year":
            axes.append(np.isnan(values).astype(float))

    # Categories: an axis for each value. A change moves a point by √½ along two of them.
    for column in columns:
        if column in CATEGORIES and column not in ("start", "end"):
            axes += [(table[column] == value).to_numpy() * np.sqrt(0.5) for value in sorted(train[column].unique())]
    return np.column_stack(axes)


def _number(table: pd.DataFrame, column: str) -> NDArray:
    """Return a column as floats, durations as logarithms."""
    values = table[column].to_numpy(float)
    return np.log(np.maximum(values, 1.0)) if column == "duration_s" else values


def nearer_share(to_train: NDArray, to_holdout: NDArray) -> float:
    """Return the share of rows that lie nearer to training than to held-out rows; ties count half (DCR share)."""
    return float(np.mean((to_train < to_holdout) + 0.5 * (to_train == to_holdout)))


def neighbour_ratio(nearest: NDArray, second: NDArray) -> float:
    """Return the 5th percentile of nearest / second nearest distance.

    The ratio is 1 where both are 0: a row with two twins singles out neither.
    """
    ratio = np.divide(nearest, second, out=np.ones_like(nearest), where=second > 0)
    return float(np.quantile(ratio, 0.05))


def identical_share(table: pd.DataFrame, train: pd.DataFrame, columns: list[str]) -> float:
    """Return the share of rows that are equal to some training row in every column.

    Parameters
    ----------
    table, train : DataFrame
        Located rows.
    columns : list of str
        The columns that must be equal; missing values are equal to each other.

    Returns
    -------
    float
        0 to 1.
    """
    both = pd.concat([train[columns], table[columns]], ignore_index=True)
    cell = both.groupby(columns, sort=False, dropna=False).ngroup().to_numpy()
    return float(np.isin(cell[len(train) :], cell[: len(train)]).mean())


def relative_distance(to_table: NDArray, to_others: NDArray) -> NDArray:
    """Return how near rows lie to synthetic ones for what is usual there: 0 (a twin) to 1; .5 if both are 0."""
    total = to_table + to_others
    return np.divide(to_table, total, out=np.full_like(total, 0.5), where=total > 0)


def attack_membership(members: NDArray, outsiders: NDArray) -> tuple[float, float]:
    """Guess that whoever lies near a synthetic row took part; return the AUC, and the hits at 1 % false alarms.

    `members` are relative distances of rows that trained, `outsiders` of rows that did not. Guessing at random gets an
    AUC of .5 and hits of .01.

    Notes
    -----
    Carlini et al. 2022 measure attacks by their hits. Distances are calibrated as in Watson et al. 2022.
    """
    took_part = np.repeat([1, 0], [len(members), len(outsiders)])
    score = -np.concatenate([members, outsiders])
    false_alarms, hits, _ = roc_curve(took_part, score)
    return float(roc_auc_score(took_part, score)), float(np.interp(FALSE_ALARMS, false_alarms, hits))
