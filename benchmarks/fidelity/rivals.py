"""The rivals that need no more than scikit-learn: independent columns, joint histograms, sequential trees.

Each rival is a function of the training table, the position of each station and a random generator. The training table
has one row per trip (see `tabulate`). A rival returns a table of as many rows and the same columns.
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


def _draw_independent_columns(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw every column from its own values."""
    return _draw_blocks(train, [[column] for column in train], rng)


def _draw_joint_histograms(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Draw start and end together, day, hour and minute together, and every other column on its own."""
    # Blocks keep the dependence inside them and lose that between them.
    rest = [[column] for column in train if column not in (*ENDS, *TIMES)]
    return _draw_blocks(train, [ENDS, TIMES, *rest], rng)


def _make_tree_sampler(leaf: int) -> Callable[[pd.DataFrame, pd.DataFrame, np.random.Generator], pd.DataFrame]:
    """Return a rival that draws each column from a tree over the columns before it.

    Each leaf of a tree has at least `leaf` rows. This is the method of synthpop (Nowok, Raab & Dibben 2016). The first
    column is drawn from its own values. Trees for the duration are grown on its logarithm.
    """

    def synthesise(train: pd.DataFrame, places: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
        first, *others = [column for column in TREE_ORDER if column in train]
        drawn = pd.DataFrame({first: rng.choice(train[first].to_numpy(), len(train))})
        for column in others:
            given, target = list(drawn), train[column].to_numpy()
            features, asked = (_encode_columns(table[given], train, places) for table in (train, drawn))
            present, lost = ~pd.isna(target), np.zeros(len(train), bool)
            # Whether a value is missing is drawn first, as in synthpop.
            if not present.all():
                lost = _draw_by_tree(DecisionTreeClassifier, leaf, features, ~present, asked, rng)
            # Then its value, by a tree over the rows that have one.
            kind, log = DecisionTreeClassifier if column in CLASSES else DecisionTreeRegressor, column == "duration_s"
            values = _draw_by_tree(kind, leaf, features[present], target[present], asked, rng, log=log)
            drawn[column] = np.where(lost, np.nan, values) if lost.any() else values
        return drawn[list(train)]

    return synthesise


def _draw_by_tree(
    kind: type, leaf: int, features: NDArray, target: NDArray, asked: NDArray, rng: np.random.Generator, *, log=False
) -> NDArray:
    """Draw a value of `target` [N] for each row of `asked` [M, …], from its leaf in a tree over `features` [N, …]."""
    tree = kind(min_samples_leaf=leaf, random_state=int(rng.integers(2**31)))
    tree.fit(features, np.log(np.maximum(target, 1)) if log else target)
    return _draw_from_leaves(target, tree.apply(features), tree.apply(asked), rng)


def _encode_columns(table: pd.DataFrame, train: pd.DataFrame, places: pd.DataFrame) -> NDArray:
    """Return columns as numbers for the trees, [N, …]: stations by position and frequency, categories one by one."""
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


def _draw_from_leaves(values: NDArray, leaves: NDArray, asked: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw for each of the `asked` leaves [M] one of the `values` [N] that lie in that leaf, at random."""
    # Sorted by leaf, the values of a leaf stand side by side.
    order = np.argsort(leaves, kind="stable")
    begin = np.searchsorted(leaves[order], asked, side="left")
    end = np.searchsorted(leaves[order], asked, side="right")
    return values[order[rng.integers(begin, end)]]


def _draw_blocks(train: pd.DataFrame, blocks: list[list[str]], rng: np.random.Generator) -> pd.DataFrame:
    """Draw rows with replacement, for each block of columns on its own."""
    drawn = [train[block].iloc[rng.integers(len(train), size=len(train))].reset_index(drop=True) for block in blocks]
    return pd.concat(drawn, axis=1)[list(train)]


RIVALS = {
    "sequential CART, leaf 5": _make_tree_sampler(5),
    "sequential CART, leaf 25": _make_tree_sampler(25),
    "OD pairs and times each jointly, rest independent": _draw_joint_histograms,
    "independent columns": _draw_independent_columns,
}
