"""Regression trees over features of trips: the splits they find, and trips they have not seen."""

import numpy as np
import pandas as pd
import pytest

from rasterize.strokes.regression_tree import LEAF_TRIPS, Tree


def make_features(count, seed=0):
    """A latitude, an hour and a user type of each trip, all independent."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "start_lat": rng.uniform(40, 41, count),
            "hour": pd.Categorical(rng.integers(0, 24, count).astype(str)),
            "user_type": pd.Categorical(rng.choice(["Subscriber", "Customer"], count, p=[0.8, 0.2])),
        }
    )


def test_a_step_is_found_exactly():
    features = make_features(5_000)
    tree = Tree.fit(np.where(features["start_lat"] > 40.5, 9.0, 1.0), features.drop(columns="user_type"))
    leaf = tree.find_leaf(features)
    for side in (features["start_lat"] > 40.5, features["start_lat"] < 40.5):
        assert not set(leaf[side]) & set(leaf[~side])


def test_categories_are_split_by_their_means_not_by_their_names():
    features = make_features(5_000).drop(columns=["start_lat", "user_type"])
    rush = features["hour"].isin(["8", "17", "18"])
    tree = Tree.fit(np.where(rush, 5.0, 1.0), features)
    leaf = tree.find_leaf(features)
    assert tree.asked[0] == 0 and not set(leaf[rush]) & set(leaf[~rush])


def test_user_types_are_told_apart_even_where_values_do_not_tell_them():
    features = make_features(5_000)
    leaf = Tree.fit(10 * features["start_lat"].to_numpy(), features).find_leaf(features)
    customers = features["user_type"] == "Customer"
    assert not set(leaf[customers]) & set(leaf[~customers])


def test_a_user_type_of_few_trips_shares_leaves():
    features = make_features(1_000)
    features["user_type"] = np.where(np.arange(1_000) < LEAF_TRIPS // 2, "Guest", features["user_type"].astype(str))
    tree = Tree.fit(features["start_lat"].to_numpy(), features)
    assert np.bincount(tree.find_leaf(features), minlength=tree.leaves).min() >= LEAF_TRIPS


@pytest.mark.parametrize("count", [0, 1, 2 * LEAF_TRIPS - 1])
def test_too_few_trips_are_all_alike(count):
    features = make_features(count)
    tree = Tree.fit(np.arange(count, dtype=float), features)
    assert tree.leaves == 1 and set(tree.find_leaf(features)) <= {0}


def test_what_was_not_seen_in_training_has_a_leaf():
    features = make_features(2_000)
    tree = Tree.fit(features["start_lat"].to_numpy() + features["hour"].astype(int), features)
    strange = features.head(50).assign(hour="25", start_lat=-3.0)
    assert np.isin(tree.find_leaf(strange), np.arange(tree.leaves)).all()


def test_values_that_do_not_vary_are_fitted():
    features = make_features(1_000).drop(columns="user_type")
    assert Tree.fit(np.full(1_000, 7.0), features).leaves == 1
