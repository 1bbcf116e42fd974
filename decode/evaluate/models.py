"""Measures that train a model: can trees tell synthetic from real, and do trees trained on synthetic work on real?"""

from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold
from threadpoolctl import threadpool_limits

from decode.evaluate.tables import CATEGORIES

Trees = TypeVar("Trees", HistGradientBoostingClassifier, HistGradientBoostingRegressor)
FOLDS = 3  # set by hand, not swept
# The trees take 255 categories at most. Rarer stations share one code and differ by coordinates.
# Set by hand, not swept.
MOST_CODES = 200
COORDINATES = ("start_lat", "start_lng", "end_lat", "end_lng")

# A second thread gains little on tables of this size. Where another process has the core, the trees wait for it at
# every split. They become ten times slower (seen by hand, in no benchmark).
_on_one_thread = threadpool_limits.wrap(limits=1, user_api="openmp")


def encode_features(table: pd.DataFrame, real: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Turn columns into the floats that trees take, without looking at any target.

    Parameters
    ----------
    table : DataFrame, N rows
        Located rows.
    real : DataFrame
        Located rows whose frequencies give each category its code; the most common value is 0.
    columns : list of str
        The columns to encode.

    Returns
    -------
    DataFrame, N rows
        The columns as float64; rare categories share one code.
    """
    features = {}
    for column in columns:
        if column in CATEGORIES:
            known = real[column].value_counts().index[:MOST_CODES]
            index = known.get_indexer(table[column])
            features[column] = np.where(index < 0, len(known), index).astype(float)
        else:
            features[column] = table[column].to_numpy(float)
    return pd.DataFrame(features)


def _fit(kind: type[Trees], features: pd.DataFrame, target: NDArray, *, seed: int) -> Trees:
    """Fit gradient-boosted trees of one kind."""
    categories = [column for column in features if column in CATEGORIES]
    return kind(categorical_features=categories, early_stopping=False, random_state=seed).fit(features, target)


@_on_one_thread
def classifier_auc(
    table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int, sees_distance: bool = False
) -> float:
    """Test whether gradient-boosted trees can tell the rows of `table` from real ones.

    Parameters
    ----------
    table, real : DataFrame
        Located rows.
    columns : list of str
        The columns that the trees see, beside the coordinates of the stations.
    seed : int
        Of the folds and the trees.
    sees_distance : bool
        Whether the trees see the distance too. It shows at once whether durations fit it.

    Returns
    -------
    float
        Mean AUC over 3 folds. 0.5: they cannot tell; 1: they always can.

    Notes
    -----
    This is the classifier two-sample test of Lopez-Paz & Oquab 2017.
    """
    columns = [*columns, *COORDINATES, *(["distance_km"] if sees_distance else [])]
    both = pd.concat([real, table], ignore_index=True)
    features = encode_features(both, both, columns)
    is_table = np.repeat([0, 1], [len(real), len(table)])

    # Train on two folds, score the third.
    scores = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, is_table):
        trees = _fit(HistGradientBoostingClassifier, features.iloc[train], is_table[train], seed=seed)
        scores.append(roc_auc_score(is_table[test], trees.predict_proba(features.iloc[test])[:, 1]))
    return float(np.mean(scores))


@_on_one_thread
def duration_r2(table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int) -> float | None:
    """Predict the logarithm of duration from all other columns: train on `table`, test on real trips (TSTR).

    Parameters
    ----------
    table : DataFrame
        Located rows that the trees are trained on.
    real : DataFrame
        Located rows that they are tested on.
    columns : list of str
        The columns that both tables have.
    seed : int
        Of the trees.

    Returns
    -------
    float or None
        R² of the real trips; None if all real durations are equal.
    """
    columns = [column for column in columns if column != "duration_s"]
    target, truth = (np.log(np.maximum(t["duration_s"].to_numpy(), 1.0)) for t in (table, real))
    if np.ptp(truth) == 0:
        return None
    trees = _fit(HistGradientBoostingRegressor, encode_features(table, real, columns), target, seed=seed)
    return float(r2_score(truth, trees.predict(encode_features(real, real, columns))))


@_on_one_thread
def user_type_auc(table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int) -> float | None:
    """Predict who has the most common user type: train on `table`, test on real trips (TSTR).

    Parameters
    ----------
    table : DataFrame
        Located rows that the trees are trained on.
    real : DataFrame
        Located rows that they are tested on.
    columns : list of str
        The columns that both tables have.
    seed : int
        Of the trees.

    Returns
    -------
    float or None
        AUC of the real trips; None if a table has the most common type only, or `table` lacks it.
    """
    columns = [column for column in columns if column != "user_type"]
    common = real["user_type"].value_counts().index[0]
    target, truth = ((t["user_type"] == common).to_numpy() for t in (table, real))
    if target.all() or not target.any() or truth.all():
        return None
    trees = _fit(HistGradientBoostingClassifier, encode_features(table, real, columns), target, seed=seed)
    return float(roc_auc_score(truth, trees.predict_proba(encode_features(real, real, columns))[:, 1]))
