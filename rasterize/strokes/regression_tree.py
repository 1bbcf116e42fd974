"""Which trips are alike where an attribute is painted as its rank among them: the leaves of a regression tree."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

# Fewest training trips of a leaf, and about how many leaves there are at most. Leaves of 50 or 30 trips were no better
# with 12,490 trips (docs/fidelity.md, "What is missing, and why"); 1024 leaves are ahead of 256 with ten times as many
# ("More trips").
LEAF_TRIPS, MOST_LEAVES = 100, 1024
# The factor that is split before all else, and its weight; the attribute itself weighs 1. It is so heavy that no other
# split is tried before it. Any weight as heavy would do.
FIRST, FIRST_WEIGHT = "user_type", 1e3


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A regression tree over features of trips, as plain numbers that go into a spec.

    Its leaves are groups of trips alike; without nodes all trips are. Node k asks whether `inputs[asked[k]]` is at most
    `thresholds[k]`, and goes on to node `below[k]` or `above[k]`. Node 0 is the root.

    Attributes
    ----------
    inputs : tuple of str
        Columns of `StrokeSpec.trip_features`.
    orders : tuple of tuple of str
        For each input the values of a category, by their mean; a value counts as its position. Empty for a number.
    asked : tuple of int
        The input each node asks; −1 in a leaf.
    thresholds : tuple of float
        The threshold of each node; 0 in a leaf.
    below, above : tuple of int
        The nodes that follow each node; −1 in a leaf.

    Notes
    -----
    CART: L. Breiman, J. Friedman, R. Olshen and C. Stone, "Classification and Regression Trees", 1984. With the values
    of a category ordered by their mean, the best of all its splits is a threshold (W. Fisher, "On Grouping for Maximum
    Homogeneity", 1958).
    """

    inputs: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    asked: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    below: tuple[int, ...] = ()
    above: tuple[int, ...] = ()

    @classmethod
    def fit(cls, values: NDArray, features: pd.DataFrame) -> Self:
        """Grow the tree that explains most of `values` [N] by N rows of features.

        Every leaf has at least `LEAF_TRIPS` trips. Values of `FIRST` with as many trips are split at the root; others
        share their leaves.
        """
        from sklearn.tree import DecisionTreeRegressor  # slow to import

        # Too few trips for two leaves: all are alike.
        leaf = max(LEAF_TRIPS, len(values) // MOST_LEAVES)
        if len(values) < 2 * leaf:
            return cls()

        # Order categories by the mean of their values (Fisher), so that a threshold splits them.
        inputs = tuple(str(column) for column in features.columns)
        orders = tuple(_order_by_mean(features[name], values) for name in inputs)
        targets = (values - values.mean()) / max(values.std(), 1e-9)

        # Make FIRST part of what is explained, so heavy that it is split first. Within one of its values it is constant
        # and weighs nothing.
        if FIRST in features:
            counts = features[FIRST].value_counts()
            kinds = [features[FIRST] == kind for kind in counts.index[counts >= leaf]]
            targets = np.column_stack([targets, *(FIRST_WEIGHT * np.asarray(kind, float) for kind in kinds)])

        # Grow by CART, and keep its nodes as numbers.
        numbers = cls(inputs=inputs, orders=orders)._number_features(features)
        nodes = DecisionTreeRegressor(min_samples_leaf=leaf, random_state=0).fit(numbers, targets).tree_
        is_leaf = nodes.children_left < 0
        return cls(
            inputs=inputs,
            orders=orders,
            asked=tuple(np.where(is_leaf, -1, nodes.feature).tolist()),
            thresholds=tuple(np.where(is_leaf, 0.0, nodes.threshold).tolist()),
            below=tuple(nodes.children_left.tolist()),
            above=tuple(nodes.children_right.tolist()),
        )

    @property
    def leaves(self) -> int:
        """How many leaves there are: groups of trips alike."""
        return max(1, sum(asked < 0 for asked in self.asked))

    def find_leaf(self, features: pd.DataFrame) -> NDArray:
        """Return the leaf of each trip, 0 … leaves − 1, int64 [N].

        The value of a category that no training trip had stands before all others.
        """
        node = np.zeros(len(features), np.int64)
        if not self.asked:
            return node
        numbers, asked, thresholds = self._number_features(features), np.array(self.asked), np.array(self.thresholds)
        below, above = np.array(self.below), np.array(self.above)

        # Descend one level at a time, with all trips that have not reached a leaf.
        while (open_rows := np.flatnonzero(asked[node] >= 0)).size:
            at = node[open_rows]
            is_below = numbers[open_rows, asked[at]] <= thresholds[at]
            node[open_rows] = np.where(is_below, below[at], above[at])

        # Number the leaves in the order of their nodes.
        return (np.cumsum(asked < 0) - 1)[node]

    def _number_features(self, features: pd.DataFrame) -> NDArray:
        """Return the features as numbers, float32 [N, inputs], as the tree was fitted to them."""
        columns = [
            _find_positions(order, features[name]) if order else features[name].to_numpy(float)
            for name, order in zip(self.inputs, self.orders, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _find_positions(order: tuple[str, ...], column: pd.Series) -> NDArray:
    """Return where each value of a category stands in an order of all of them; −1 where it is not in it."""
    # Turn each value into text once, not for every trip.
    number, values = pd.factorize(column, use_na_sentinel=False)
    return pd.Index(order).get_indexer(pd.Index(values).astype(str))[number]


def _order_by_mean(column: pd.Series, values: NDArray) -> tuple[str, ...]:
    """Return the values of a category in the order of their mean of `values` [N]; empty for a column of numbers."""
    if pd.api.types.is_float_dtype(column):
        return ()
    means = pd.Series(values).groupby(column.astype(str).to_numpy()).mean()
    return tuple(means.sort_values(kind="stable").index)
