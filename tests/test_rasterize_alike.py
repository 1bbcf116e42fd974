"""Regression trees over what is known of trips: the splits they find, and trips they have not seen."""

import numpy as np
import pandas as pd
import pytest

from rasterize.strokes.regression_tree import LEAF_TRIPS, Tree


def make_known(count, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "start_lat": rng.uniform(40, 41, count),
            "hour": pd.Categorical(rng.integers(0, 24, count).astype(str)),
            "user_type": pd.Categorical(rng.choice(["Subscriber", "Customer"], count, p=[0.8, 0.2])),
        }
    )


def test_a_step_is_found_exactly():
    known = make_known(5_000)
    tree = Tree.fit(np.where(known["start_lat"] > 40.5, 9.0, 1.0), known.drop(columns="user_type"))
    leaf = tree.leaf_of(known)
    for side in (known["start_lat"] > 40.5, known["start_lat"] < 40.5):
        assert not set(leaf[side]) & set(leaf[~side])


def test_categories_are_split_by_their_means_not_by_their_names():
    known = make_known(5_000).drop(columns=["start_lat", "user_type"])
    rush = known["hour"].isin(["8", "17", "18"])
    tree = Tree.fit(np.where(rush, 5.0, 1.0), known)
    leaf = tree.leaf_of(known)
    assert tree.asked[0] == 0 and not set(leaf[rush]) & set(leaf[~rush])


def test_user_types_are_told_apart_even_where_values_do_not_tell_them():
    known = make_known(5_000)
    leaf = Tree.fit(10 * known["start_lat"].to_numpy(), known).leaf_of(known)
    customers = known["user_type"] == "Customer"
    assert not set(leaf[customers]) & set(leaf[~customers])


def test_a_user_type_of_few_trips_shares_leaves():
    known = make_known(1_000)
    known["user_type"] = np.where(np.arange(1_000) < LEAF_TRIPS // 2, "Guest", known["user_type"].astype(str))
    tree = Tree.fit(known["start_lat"].to_numpy(), known)
    assert np.bincount(tree.leaf_of(known), minlength=tree.leaves).min() >= LEAF_TRIPS


@pytest.mark.parametrize("count", [0, 1, 2 * LEAF_TRIPS - 1])
def test_too_few_trips_are_all_alike(count):
    known = make_known(count)
    tree = Tree.fit(np.arange(count, dtype=float), known)
    assert tree.leaves == 1 and set(tree.leaf_of(known)) <= {0}


def test_what_was_not_seen_in_training_has_a_leaf():
    known = make_known(2_000)
    tree = Tree.fit(known["start_lat"].to_numpy() + known["hour"].astype(int), known)
    strange = known.head(50).assign(hour="25", start_lat=-3.0)
    assert np.isin(tree.leaf_of(strange), np.arange(tree.leaves)).all()


def test_values_that_do_not_vary_are_fitted():
    known = make_known(1_000).drop(columns="user_type")
    assert Tree.fit(np.full(1_000, 7.0), known).leaves == 1
