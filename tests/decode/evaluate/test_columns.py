"""Measures of columns: each formula against a hand-computed example, bounds and symmetry as properties."""

from math import log2

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode.evaluate.columns import (
    bin_columns,
    correlate_demand,
    count_both,
    cpc,
    jsd,
    k_marginal,
    ks,
    measure_columns,
    measure_pairs,
    tvd,
    valid_rows,
    w1,
)
from rasterize.distance import METRES_PER_DEGREE
from tests.trip_tables import COLUMNS, make_located_table, make_trips

COUNTS = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 50), min_size=n, max_size=n).filter(any) for _ in range(2)])
)


# ---- formulas ------------------------------------------------------------------------------------------------------


def test_formulas_by_hand():
    a, b = [3, 1, 0], [1, 1, 2]
    assert cpc(a, b) == pytest.approx(2 * (1 + 1 + 0) / 8)
    assert tvd(a, b) == pytest.approx((0.5 + 0 + 0.5) / 2)
    # the middle of (.75, .25, 0) and (.25, .25, .5) is (.5, .25, .25)
    expected = 0.75 * log2(0.75 / 0.5) / 2 + (0.25 * log2(0.25 / 0.5) + 0.5 * log2(0.5 / 0.25)) / 2
    assert jsd(a, b) == pytest.approx(expected)
    assert jsd([1, 0], [0, 1]) == 1 and tvd([1, 0], [0, 1]) == 1 and cpc([1, 0], [0, 1]) == 0
    assert ks([1, 2, 3, 4], [3, 4, 5, 6]) == pytest.approx(0.5)
    assert w1([0, 0, 1], [1, 1, 2]) == pytest.approx(1)
    assert ks([1, np.nan], [np.nan]) is None and w1([], [1]) is None
    assert w1([1, np.nan], [1.0]) == 0


@given(COUNTS)
def test_distances_are_symmetric_and_bounded(pair):
    a, b = pair
    for measure in (cpc, jsd, tvd):
        assert measure(a, b) == pytest.approx(measure(b, a), abs=1e-12)
        assert 0 <= measure(a, b) <= 1
    assert cpc(a, a) == 1 and jsd(a, a) == 0 and tvd(a, a) == 0
    assert tvd(a, b) ** 2 / 2 <= jsd(a, b) + 1e-12 and jsd(a, b) <= tvd(a, b) + 1e-12  # Pinsker twice over; Lin 1991


@given(COUNTS, st.integers(2, 5))
def test_shares_not_counts_decide_divergences(pair, factor):
    a, b = (np.array(v) for v in pair)
    assert jsd(a * factor, b) == pytest.approx(jsd(a, b), abs=1e-12)
    assert tvd(a * factor, b) == pytest.approx(tvd(a, b), abs=1e-12)


def test_counts_are_aligned_by_row():
    a = pd.DataFrame({"x": ["p", "p", "q"], "y": [1, 1, 2]})
    b = pd.DataFrame({"x": ["q", "p", "r"], "y": [2, 3, 1]})
    counts = dict.fromkeys(zip(*(v.tolist() for v in count_both(a, b)), strict=True))
    assert set(counts) == {(2, 0), (1, 1), (0, 1)}
    assert sum(count_both(a, b)[1]) == 3


def test_valid_rows_fail_for_each_reason():
    metres = 0.01 * METRES_PER_DEGREE
    row = ("s0", "s1", "2019-01-07")
    trips = make_trips([(*row, 300), ("s9", *row[1:], 300), (*row, metres / 15.01), (*row, metres / 14.99), (*row, 0)])
    at_once = make_trips([(*row, 300)]).assign(ended_at=trips["started_at"].iloc[0])
    trips = pd.concat([trips, at_once])
    assert valid_rows(trips, {"s0", "s1"}, limit_kmh=54).tolist() == [True, False, False, True, False, False]
    assert valid_rows(trips, {"s0", "s1"}, limit_kmh=54.1).tolist() == [True, False, True, True, False, False]


def test_column_metrics_of_a_table_with_itself():
    table = make_located_table(400, seed=1)
    values = measure_columns(table, table)
    assert values.pop("od_cpc") == values.pop("od_cpc_tiles") == 1 and values.pop("tstr_demand_r") == pytest.approx(1)
    assert values.pop("gender_tvd") is None and values.pop("birth_year_ks") is None
    assert all(value == pytest.approx(0, abs=1e-12) for value in values.values()), values


def test_demand_by_hand():
    def table(*cells):
        """Make a table from cells (start, day of the week, hour)."""
        return pd.DataFrame(cells, columns=["start", "day_of_week", "hour"])

    a = table(("s0", 0, 8), ("s0", 4, 8), ("s0", 6, 8), ("s1", 0, 9))  # (s0, weekday, 8) twice
    b = table(("s0", 1, 8), ("s1", 3, 9), ("s1", 2, 9), ("s0", 5, 8))
    assert correlate_demand(a, b) == pytest.approx(np.corrcoef([2, 1, 1], [1, 1, 2])[0, 1])
    assert correlate_demand(a.head(1), a.head(1)) is None


# ---- several columns -----------------------------------------------------------------------------------------------


def test_bins_are_cut_by_the_real_table():
    real = pd.DataFrame({"start": ["a"] * 3 + ["b"] * 2 + [f"rare{k}" for k in range(40)]})
    real["duration_s"], real["birth_year"] = np.arange(45.0), [1969.0] * 44 + [np.nan]
    bins = bin_columns(real, real)
    assert bins["start"].nunique() == 21 and (bins["start"][:5] == [0, 0, 0, 1, 1]).all()
    assert bins["duration_s"].value_counts().between(4, 5).all() and bins["duration_s"].nunique() == 10
    assert bins["birth_year"].iloc[-1] == -1 and bins["birth_year"].nunique() == 2
    other = bin_columns(pd.DataFrame({"start": ["nowhere"], "duration_s": [1e9], "birth_year": [1900.0]}), real)
    assert other.iloc[0].tolist() == [20, 9, 0]


def test_measure_pairs_by_hand():
    real = pd.DataFrame({"user_type": ["p", "p", "q", "q"], "gender": ["m", "m", "f", "f"]})
    crossed = pd.DataFrame({"user_type": ["p", "p", "q", "q"], "gender": ["m", "f", "m", "f"]})
    assert measure_pairs(crossed, real) == {("user_type", "gender"): pytest.approx(0.5)}
    assert measure_pairs(real, real) == {("user_type", "gender"): 0}


def test_k_marginal_by_hand():
    real = make_located_table(300, seed=1)
    assert k_marginal(real, real, COLUMNS) == pytest.approx(1000)
    assert k_marginal(real.assign(user_type="new"), real, COLUMNS) == pytest.approx(0)
    night = real.assign(hour=3)  # two thirds of the groups have no row at all, the rest keep about their distribution
    assert 0 < k_marginal(night, real.assign(hour=np.arange(300) % 24), COLUMNS) < 400
    assert k_marginal(real, real, [c for c in COLUMNS if c != "user_type"]) == pytest.approx(1000)
