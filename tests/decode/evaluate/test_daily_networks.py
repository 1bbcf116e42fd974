"""Daily networks: each piece against a hand-computed example; copies, fresh days, shuffled ends, days all alike."""

import numpy as np
import pandas as pd
import pytest

from decode.evaluate.columns import jsd
from decode.evaluate.daily_networks import (
    FEWEST_DAYS,
    MOST_DAYS,
    PAIR_BINS,
    RealDays,
    compare_days,
    compare_samples,
    cut_to_days,
    measure_nodes,
    to_dates,
)
from decode.evaluate.metric_list import METRICS

FIGURES = tuple(metric.name for metric in METRICS if metric.number == 14)


def make_table(*days):
    """Make a table from one list of trips (start tile, end tile) per day."""
    first = np.datetime64("2019-01-07")
    rows = [(*trip, first + day) for day, trips in enumerate(days) for trip in trips]
    return pd.DataFrame(rows, columns=["start_tile", "end_tile", "date"])


def _random_days(*, seed, days=60, trips=150):
    """Make trips to the next tiles along a street of 30, each date more at one of its ends than at the other."""
    rng = np.random.default_rng(seed)
    rows = int(days * trips)
    day = rng.integers(0, days, rows)
    lean = np.random.default_rng(0).uniform(1, 4, days)[day]  # the weather of a date, the same for every table
    start = (30 * rng.random(rows) ** lean).astype(int)
    end = np.clip(start + rng.integers(-3, 4, rows), 0, 29)
    return pd.DataFrame({"start_tile": start, "end_tile": end, "date": np.datetime64("2019-01-07") + day})


def measure(table):
    """Measure a table against 60 real days."""
    return RealDays(holdout=_random_days(seed=1), seed=0).measure_table(table)


# ---- networks ------------------------------------------------------------------------------------------------------


def test_clustering_and_degrees_by_hand():
    flows = np.zeros((2, 6, 6))
    for a, b in ((0, 1), (1, 0), (1, 2), (2, 0), (0, 3), (3, 3), (4, 4)):  # a triangle with a tail; two round trips
        flows[1, a, b] = 7
    clustering, degrees = measure_nodes(flows)
    assert degrees.tolist() == [[0] * 6, [3, 2, 2, 1, 0, 0]]
    np.testing.assert_allclose(clustering, [[0] * 6, [1 / 3, 1, 1, 0, 0, 0]], atol=1e-6)


def test_days_are_compared_by_hand():
    first, second, third = [(0, 1), (0, 1), (1, 0)], [(0, 1), (1, 2), (1, 2)], [(0, 1), (0, 1), (0, 1)]
    days = cut_to_days(make_table(first, second, third), 3, 0)
    common = compare_days(days, days, "flows")
    np.testing.assert_allclose(common, [[1, 1 / 3, 2 / 3], [1 / 3, 1, 1 / 3], [2 / 3, 1 / 3, 1]])
    # weights 2 and 1; 1 and 2; 3 alone, which shares a bin with 2
    distance = jsd([1, 1], [0, 1]) ** 0.5
    weights = compare_days(days, days, "weights")
    np.testing.assert_allclose(weights, [[0, 0, distance], [0, 0, distance], [distance, distance, 0]], atol=1e-7)
    # degrees 1 and 1; 1, 2 and 1; 1 and 1
    assert compare_days(days, days, "degrees")[0, 1] == pytest.approx(jsd([2, 0], [2, 1]) ** 0.5)
    assert compare_days(days, days, "degrees")[0, 2] == pytest.approx(0, abs=1e-7)


def test_days_are_cut_to_one_number_of_trips():
    table = make_table([(0, 1)] * 3, [(0, 1)] * 2, [(-1, 1), (1, 2), (2, 1), (5, 6), (7, 8)], [(1, -1), (1, 2), (2, 1)])
    days = cut_to_days(table, 3, 0)
    assert (days.dates == np.array(["2019-01-07", "2019-01-09"], "datetime64[D]")).all()
    used = days.flows.any(axis=0)
    assert used.sum() == 4 and days.flows.sum() == pytest.approx(2)  # 0-1; 1-2, 2-1, 5-6, in this order
    many = cut_to_days(make_table(*[[(0, 1)]] * (MOST_DAYS + 50)), 1, 0)
    assert len(many.dates) == MOST_DAYS and (np.diff(many.dates) > np.timedelta64(0)).all()


def test_samples_are_compared_in_quantiles_of_the_real_one():
    real = np.arange(1000.0)
    assert compare_samples(real, real) == 0
    uniform, last = np.ones(PAIR_BINS), np.eye(PAIR_BINS)[-1]
    assert compare_samples(real, np.full(50, 5000.0)) == pytest.approx(jsd(uniform, last) ** 0.5)
    assert compare_samples(np.zeros(9), np.zeros(4)) == 0
    assert compare_samples(np.zeros(9), np.full(4, -1.0)) == 1


def test_dates_are_local_days():
    trips = pd.DataFrame({"started_at": pd.to_datetime(["2019-01-07 23:59:59.9", "2019-01-08 00:00:00.0"])})
    assert (to_dates(trips) == np.array(["2019-01-07", "2019-01-08"], "datetime64[D]")).all()


# ---- known answers -------------------------------------------------------------------------------------------------


def test_a_copy_of_the_real_days_is_perfect():
    figures = measure(_random_days(seed=1))
    assert tuple(figures) == FIGURES
    assert figures == dict.fromkeys(FIGURES, 0)


def test_fresh_days_are_near_and_shuffled_ends_are_far():
    fresh, shuffled = _random_days(seed=2), _random_days(seed=3)
    shuffled["end_tile"] = np.random.default_rng(0).permutation(shuffled["end_tile"])
    fresh, shuffled = measure(fresh), measure(shuffled)
    for name in FIGURES:
        assert fresh[name] < 0.2, name
        assert shuffled[name] > 2 * fresh[name], name
    assert shuffled["daily_cpc_jsd"] > 0.7


def test_how_many_trips_a_day_has_makes_no_difference():
    busy = measure(_random_days(seed=2, trips=600))
    assert max(busy.values()) < 0.2


def test_days_without_variety_are_too_much_alike():
    alike = _random_days(seed=2)
    alike["date"] = np.random.default_rng(0).permutation(alike["date"])
    alike, fresh = measure(alike), measure(_random_days(seed=2))
    assert alike["daily_cpc_within_jsd"] > 3 * fresh["daily_cpc_within_jsd"]
    assert alike["daily_cpc_jsd"] < alike["daily_cpc_within_jsd"]


def test_one_week_is_not_measured():
    week = _random_days(seed=2)
    week["date"] = np.datetime64("2019-01-07") + (week["date"].to_numpy() - np.datetime64("2019-01-07")).astype(int) % 7
    assert measure(week) == dict.fromkeys(FIGURES)

    # The days of the real table may be too thin or too few as well.
    thin = RealDays(holdout=_random_days(seed=1, trips=5), seed=0)
    assert thin.measure_table(_random_days(seed=2)) == dict.fromkeys(FIGURES)
    few = RealDays(holdout=_random_days(seed=1, days=FEWEST_DAYS - 1), seed=0)
    assert few.measure_table(_random_days(seed=2)) == dict.fromkeys(FIGURES)


def test_the_seed_chooses_days():
    """Compare with two seeds where there are more days than are compared."""
    real, table = (_random_days(seed=seed, days=MOST_DAYS + 60, trips=20) for seed in (1, 2))
    first, again, other = (RealDays(holdout=real, seed=seed).measure_table(table) for seed in (0, 0, 1))
    assert first == again != other
