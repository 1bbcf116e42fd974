"""Measures of copying: each against a hand-computed example."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from decode.evaluate.copies import (
    attack_membership,
    embed_rows,
    identical_share,
    nearer_share,
    nearest_two,
    neighbour_ratio,
    relative_distance,
)
from tests.trip_tables import COLUMNS, make_located_table


def test_nearest_two_is_exact():
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(80, 9)), rng.normal(size=(300, 9))
    expected = NearestNeighbors(n_neighbors=2, algorithm="brute").fit(others).kneighbors(points)[0]
    np.testing.assert_allclose(np.column_stack(nearest_two(points, others)), expected, atol=1e-6)
    assert nearest_two(others, others)[0].max() == 0


def test_copy_measures_by_hand():
    assert nearer_share(np.array([0.0, 1, 2, 3]), np.array([1.0, 1, 1, 9])) == pytest.approx((1 + 0.5 + 0 + 1) / 4)
    assert neighbour_ratio(np.array([0.0, 0.0]), np.array([0.0, 0.0])) == 1
    assert neighbour_ratio(np.arange(101.0), np.full(101, 100.0)) == pytest.approx(0.05)

    # missing values are equal to each other
    train = pd.DataFrame({"x": ["p", "q"], "y": [1.0, np.nan]})
    table = pd.DataFrame({"x": ["p", "p", "q", "r"], "y": [1.0, 2.0, np.nan, 1.0]})
    assert identical_share(table, train, ["x", "y"]) == 0.5


def test_membership_attack_by_hand():
    members, outsiders = np.arange(100) / 200, 0.25 + np.arange(100) / 200
    better = np.mean(members[:, None] < outsiders[None, :]) + 0.5 * np.mean(members[:, None] == outsiders[None, :])
    auc, hits = attack_membership(members, outsiders)
    assert auc == pytest.approx(better)
    assert hits == pytest.approx(0.51)  # one outsider of a hundred lies within 0.25, and so do 51 members
    assert attack_membership(outsiders, outsiders) == pytest.approx((0.5, 0.01))
    relative = relative_distance(np.array([0.0, 1, 0, 2]), np.array([0.0, 3, 5, 0]))
    np.testing.assert_allclose(relative, [0.5, 0.25, 0, 1])


def test_embedding_puts_one_changed_category_one_apart():
    train = make_located_table(50, seed=1)
    changed = train.assign(user_type=np.where(train["user_type"] == "long", "short", "long"))
    a, b = (embed_rows(table, train, COLUMNS) for table in (train, changed))
    np.testing.assert_allclose(np.linalg.norm(a - b, axis=1), 1)

    # a number that moves by one standard deviation
    later = embed_rows(train.assign(hour=train["hour"] + train["hour"].std(ddof=0)), train, COLUMNS)
    np.testing.assert_allclose(np.linalg.norm(a - later, axis=1), 1)


def test_embedding_knows_missing_birth_years():
    train = make_located_table(50, seed=1).assign(birth_year=[np.nan, *range(1950, 1999)])
    points = embed_rows(train, train, [*COLUMNS, "birth_year"])
    assert np.isfinite(points).all()
    mean = embed_rows(train.assign(birth_year=np.mean(range(1950, 1999))), train, [*COLUMNS, "birth_year"])
    assert np.linalg.norm(points[0] - mean[0]) == pytest.approx(1)
