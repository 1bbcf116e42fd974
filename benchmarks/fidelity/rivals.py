"""The rivals that need no more than scikit-learn: independent columns, joint histograms, sequential trees.

Each takes the training table (see `tabulate`, one row per trip) and gives one of as many rows and the same columns.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from decode.evaluate.tables import CATEGORIES

ENDS, TIMES = ["start", "end"], ["day_of_week", "hour", "minute"]
# What riders decide first comes first; each column is drawn given those before it.
TREE_ORDER = ("start", "end", "hour", "day_of_week", "minute", "user_type", "gender", "birth_year", "duration_s")
CLASSES = {*CATEGORIES, "hour", "day_of_week"}


def independent_columns(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every column drawn from its own values."""
    return _draw_blocks(train, [[column] for column in train], rng)


def joint_histograms(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Start and end drawn together, day, hour and minute drawn together, every other column on its own."""
    rest = [[column] for column in train if column not in (*ENDS, *TIMES)]
    return _draw_blocks(train, [ENDS, TIMES, *rest], rng)


def sequential_trees(leaf: int) -> Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator], pd.DataFrame]:
    """Each column by a tree over those before it, and a value drawn from the leaf, which has at least `leaf` rows.

    The method of synthpop (Nowok, Raab & Dibben 2016); the first column is drawn from its own values. Trees for the
    duration are grown on its logarithm.
    """

    def synthesise(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        first, *others = [column for column in TREE_ORDER if column in train]
        drawn = pd.DataFrame({first: rng.choice(train[first].to_numpy(), len(train))})
        for column in others:
            given, target = list(drawn), train[column].to_numpy()
            known, wanted = (encode_given(table[given], train, places) for table in (train, drawn))
            there, lost = ~pd.isna(target), np.zeros(len(train), bool)
            if not there.all():  # whether a value is missing is drawn first, as in synthpop
                lost = _draw_by_tree(DecisionTreeClassifier, leaf, known, ~there, wanted, rng)
            kind = DecisionTreeClassifier if column in CLASSES else DecisionTreeRegressor
            values = _draw_by_tree(kind, leaf, known[there], target[there], wanted, rng, log=column == "duration_s")
            drawn[column] = np.where(lost, np.nan, values) if lost.any() else values
        return drawn[list(train)]

    return synthesise


def _draw_by_tree(
    kind: type, leaf: int, known: NDArray, target: NDArray, wanted: NDArray, rng: np.random.Generator, *, log=False
) -> NDArray:
    """A value of `target` [N] for each row of `wanted` [M, …], from its leaf in a tree over `known` [N, …]."""
    tree = kind(min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
    tree.fit(known, np.log(np.maximum(target, 1)) if log else target)
    return draw_from_leaves(target, tree.apply(known), tree.apply(wanted), rng)


def encode_given(table: pd.DataFrame, train: pd.DataFrame, places: pd.DataFrame) -> NDArray:
    """Columns as numbers for the trees, [N, …]: stations by their place and their frequency, categories one by one."""
    axes = []
    for column in table:
        if column in ENDS:
            axes += list(places.reindex(table[column])[["lat", "lng"]].to_numpy().T)
            axes.append(table[column].map(train[column].value_counts()).to_numpy(float))
        elif column in CATEGORIES:
            axes += [(table[column] == value).to_numpy(float) for value in sorted(train[column].unique())]
        else:
            axes.append(table[column].to_numpy(float))
    return np.column_stack(axes)


def draw_from_leaves(values: NDArray, leaves: NDArray, wanted: NDArray, rng: np.random.Generator) -> NDArray:
    """For each of `wanted` leaves [M] one of the `values` [N] that lie in that leaf, at random."""
    order = np.argsort(leaves, kind="stable")
    begin = np.searchsorted(leaves[order], wanted, side="left")
    end = np.searchsorted(leaves[order], wanted, side="right")
    return values[order[rng.integers(begin, end)]]


def _draw_blocks(train: pd.DataFrame, blocks: list[list[str]], rng: np.random.Generator) -> pd.DataFrame:
    """Rows drawn with replacement, for each block of columns on its own."""
    drawn = [train[block].iloc[rng.integers(len(train), size=len(train))].reset_index(drop=True) for block in blocks]
    return pd.concat(drawn, axis=1)[list(train)]


RIVALS = {
    "sequential CART, leaf 5": sequential_trees(5),
    "sequential CART, leaf 25": sequential_trees(25),
    "OD pairs and times each jointly, rest independent": joint_histograms,
    "independent columns": independent_columns,
}
