"""Measures that train a model: can trees tell synthetic from real, and do trees trained on synthetic work on real."""

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
FOLDS = 3
MOST_CODES = 200  # the trees take 255 categories at most; rarer stations share one code and differ by coordinates
COORDINATES = ("start_lat", "start_lng", "end_lat", "end_lng")

# A second thread gains little on tables of this size, and where another process has the core, waiting for it at every
# split makes the trees ten times slower.
_on_one_thread = threadpool_limits.wrap(limits=1, user_api="openmp")


def encode_features(table: pd.DataFrame, real: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The columns as floats: categories as codes by their frequency in `real`, without looking at any target."""
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
    categories = [column for column in features if column in CATEGORIES]
    return kind(categorical_features=categories, early_stopping=False, random_state=seed).fit(features, target)


@_on_one_thread
def classifier_auc(
    table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int, sees_distance: bool = False
) -> float:
    """Classifier two-sample test: mean AUC of gradient-boosted trees over 3 folds (Lopez-Paz & Oquab 2017).

    The trees see every column and station coordinates; with `sees_distance` also the distance, which tells at once
    whether durations fit it. 0.5: they cannot tell; 1: they always can.
    """
    columns = [*columns, *COORDINATES, *(["distance_km"] if sees_distance else [])]
    both = pd.concat([real, table], ignore_index=True)
    features = encode_features(both, both, columns)
    is_table = np.repeat([0, 1], [len(real), len(table)])
    scores = []
    for train, test in StratifiedKFold(FOLDS, shuffle=True, random_state=seed).split(features, is_table):
        trees = _fit(HistGradientBoostingClassifier, features.iloc[train], is_table[train], seed=seed)
        scores.append(roc_auc_score(is_table[test], trees.predict_proba(features.iloc[test])[:, 1]))
    return float(np.mean(scores))


@_on_one_thread
def duration_r2(table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int) -> float | None:
    """R² on real trips of log duration predicted from all other columns, by trees trained on `table` (TSTR)."""
    columns = [column for column in columns if column != "duration_s"]
    target, truth = (np.log(np.maximum(t["duration_s"].to_numpy(), 1.0)) for t in (table, real))
    if np.ptp(truth) == 0:
        return None
    trees = _fit(HistGradientBoostingRegressor, encode_features(table, real, columns), target, seed=seed)
    return float(r2_score(truth, trees.predict(encode_features(real, real, columns))))


@_on_one_thread
def user_type_auc(table: pd.DataFrame, real: pd.DataFrame, columns: list[str], *, seed: int) -> float | None:
    """AUC on real trips of "the most common user type", by trees trained on `table`; None where either has one type."""
    columns = [column for column in columns if column != "user_type"]
    common = real["user_type"].value_counts().index[0]
    target, truth = ((t["user_type"] == common).to_numpy() for t in (table, real))
    if target.all() or not target.any() or truth.all():
        return None
    trees = _fit(HistGradientBoostingClassifier, encode_features(table, real, columns), target, seed=seed)
    return float(roc_auc_score(truth, trees.predict_proba(encode_features(real, real, columns))[:, 1]))
