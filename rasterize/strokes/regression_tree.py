"""Which trips are alike where an attribute is painted as its rank among them: the leaves of a regression tree."""

from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

LEAF_TRIPS, MOST_LEAVES = 100, 1024  # fewest training trips of a leaf; about as many leaves at most
FIRST, FIRST_WEIGHT = "user_type", 1e3  # what is told apart before all else


@dataclass(frozen=True, kw_only=True)
class Tree:
    """A regression tree over what is known of trips (CART, Breiman et al. 1984) as plain numbers.

    `inputs` are columns of `StrokeSpec.trip_features`. A category counts as its place in `orders`, where values stand
    by their mean, so that the best of all splits of the values is a threshold (Fisher 1958); the order of a number is
    empty. Node by node, the root first: the input that is asked (−1: a leaf), the threshold, the node at or below it,
    the node above. Without nodes all trips are alike.
    """

    inputs: tuple[str, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    asked: tuple[int, ...] = ()
    thresholds: tuple[float, ...] = ()
    below: tuple[int, ...] = ()
    above: tuple[int, ...] = ()

    @classmethod
    def fit(cls, values: NDArray, features: pd.DataFrame) -> Self:
        """The tree that tells most of `values` [N]; every leaf has at least `LEAF_TRIPS` trips.

        Kinds of `FIRST` with as many trips are told apart at the root; others share their leaves.
        """
        from sklearn.tree import DecisionTreeRegressor  # slow to import

        leaf = max(LEAF_TRIPS, len(values) // MOST_LEAVES)
        if len(values) < 2 * leaf:
            return cls()
        inputs = tuple(str(column) for column in features.columns)
        orders = tuple(_order_by_mean(features[name], values) for name in inputs)
        targets = (values - values.mean()) / max(values.std(), 1e-9)
        if FIRST in features:  # so heavy that no other split is tried before it; within a kind it weighs nothing
            counts = features[FIRST].value_counts()
            kinds = [features[FIRST] == kind for kind in counts.index[counts >= leaf]]
            targets = np.column_stack([targets, *(FIRST_WEIGHT * np.asarray(kind, float) for kind in kinds)])
        numbers = cls(inputs=inputs, orders=orders)._numbers(features)
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
        """How many kinds of trips there are."""
        return max(1, sum(asked < 0 for asked in self.asked))

    def leaf_of(self, features: pd.DataFrame) -> NDArray:
        """The leaf of each trip, 0 … leaves − 1, int64 [N]; a category not met in training stands before all others."""
        node = np.zeros(len(features), np.int64)
        if not self.asked:
            return node
        numbers, asked, thresholds = self._numbers(features), np.array(self.asked), np.array(self.thresholds)
        below, above = np.array(self.below), np.array(self.above)
        while (open_rows := np.flatnonzero(asked[node] >= 0)).size:
            at = node[open_rows]
            is_below = numbers[open_rows, asked[at]] <= thresholds[at]
            node[open_rows] = np.where(is_below, below[at], above[at])
        return (np.cumsum(asked < 0) - 1)[node]

    def _numbers(self, features: pd.DataFrame) -> NDArray:
        """What is known as numbers, float32 as the tree was fitted to, [N, inputs]."""
        columns = [
            _positions_in(order, features[name]) if order else features[name].to_numpy(float)
            for name, order in zip(self.inputs, self.orders, strict=True)
        ]
        return np.stack(columns, axis=1).astype(np.float32)


def _positions_in(order: tuple[str, ...], column: pd.Series) -> NDArray:
    """Where each value of a category stands in an order of all of them, −1 where it is not in it."""
    number, values = pd.factorize(column, use_na_sentinel=False)  # as texts only once each, not for every trip
    return pd.Index(order).get_indexer(pd.Index(values).astype(str))[number]


def _order_by_mean(column: pd.Series, values: NDArray) -> tuple[str, ...]:
    """The values of a category by the mean of what goes with them; empty for a number."""
    if pd.api.types.is_float_dtype(column):
        return ()
    means = pd.Series(values).groupby(column.astype(str).to_numpy()).mean()
    return tuple(means.sort_values(kind="stable").index)
