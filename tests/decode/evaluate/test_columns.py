"""The measures: each formula against a hand-computed example, bounds and symmetry as properties."""

from math import log2

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.neighbors import NearestNeighbors

from decode.evaluate.columns import (
    column_metrics,
    count_both,
    cpc,
    demand_correlation,
    jsd,
    k_marginal,
    ks,
    pair_distances,
    to_bins,
    tvd,
    valid_rows,
    w1,
)
from decode.evaluate.copies import (
    embed,
    identical_share,
    membership_attack,
    nearer_share,
    nearest_two,
    neighbour_ratio,
    relative_distance,
)
from decode.evaluate.metric_list import METRICS, Metric, attained_share
from decode.evaluate.models import classifier_auc, duration_r2, encode_features, user_type_auc
from decode.evaluate.tables import MISSING, distance_km, locate, locate_stations, shuffle_columns, tabulate
from rasterize.distance import METRES_PER_DEGREE

COUNTS = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(st.integers(0, 50), min_size=n, max_size=n).filter(any) for _ in range(2)])
)


def make_trips(rows):
    """Trips (start, end, started_at, seconds) between stations s0, s1, … on a row going north, 0.01 degrees apart."""
    start, end, started, seconds = zip(*rows, strict=True)
    started = pd.to_datetime(list(started))
    return pd.DataFrame(
        {
            "started_at": started,
            "ended_at": started + pd.to_timedelta(list(seconds), unit="s"),
            "duration_s": np.array(seconds, float),
            "start_station_id": list(start),
            "end_station_id": list(end),
            "start_lat": [40 + int(s[1:]) / 100 for s in start],
            "start_lng": 0.0,
            "end_lat": [40 + int(s[1:]) / 100 for s in end],
            "end_lng": 0.0,
        }
    )


def random_table(rows, *, seed, dependent=True):
    """A located table in which duration and user type follow from the distance; independent ones are shuffled."""
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, 6, (2, rows))
    hours = rng.integers(0, 24, rows)
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 7, rows) * 24 + hours, unit="h")
    seconds = (120 + 300 * abs(start - end)) * rng.lognormal(0, 0.1, rows)
    trips = make_trips(list(zip([f"s{k}" for k in start], [f"s{k}" for k in end], started, seconds, strict=True)))
    trips["user_type"] = np.where(abs(start - end) + rng.normal(0, 0.5, rows) > 1.5, "long", "short")
    table = tabulate(trips, ["user_type"])
    return locate(table if dependent else shuffle_columns(table, rng), locate_stations([trips]))


COLUMNS = ["start", "end", "hour", "day_of_week", "minute", "duration_s", "user_type"]

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


def test_attained_share_is_one_at_the_ceiling_and_none_where_it_means_nothing():
    higher = Metric(name="m", title="", number=1, better="higher")
    lower = Metric(name="m", title="", number=1, better="lower")
    assert attained_share(higher, 0.7, 0.9, 0.5) == pytest.approx(0.5)
    assert attained_share(lower, 0.1, 0.1, 0.5) == pytest.approx(1)
    assert attained_share(lower, 0.5, 0.1, 0.5) == 0
    assert attained_share(higher, 0.7, 0.5, 0.9) is None and attained_share(lower, 0.7, 0.9, 0.9) is None
    assert attained_share(higher, None, 0.9, 0.5) is None
    assert attained_share(Metric(name="m", title="", number=1, better="lower", detects=False), 0.1, 0.1, 0.5) is None


def test_metric_names_are_those_promised():
    assert " ".join(metric.name for metric in METRICS) == (
        "validity od_cpc od_cpc_tiles start_jsd end_jsd hour_of_week_jsd start_hour_jsd distance_ks distance_w1_km "
        "duration_ks duration_w1 gender_tvd user_type_tvd birth_year_ks bivariate_accuracy k_marginal c2st_auc "
        "c2st_distance_auc tstr_duration_r2 tstr_user_type_auc tstr_demand_r daily_cpc_jsd daily_weights_jsd "
        "daily_clustering_jsd daily_degrees_jsd daily_cpc_within_jsd dcr_share ims nndr_p5 membership_auc "
        "membership_tpr picture_swd picture_density picture_coverage picture_mass picture_active_cells"
    )


# ---- tables --------------------------------------------------------------------------------------------------------


def test_table_of_trips_by_hand():
    trips = make_trips([("s0", "s1", "2019-01-07 08:30:59", 300.4), ("s1", "s1", "2019-01-13 23:05:00", 61)])
    trips["user_type"], trips["birth_year"] = ["Customer", None], pd.array([1969, None], dtype="Int16")
    table = tabulate(trips, ["user_type", "birth_year"])
    assert table.iloc[0].tolist() == ["s0", "s1", 8, 0, 30, 300.0, "Customer", 1969.0]
    assert table.iloc[1].tolist()[:7] == ["s1", "s1", 23, 6, 5, 61.0, MISSING] and np.isnan(table["birth_year"][1])


def test_geography_by_hand():
    trips = make_trips([("s0", "s1", "2019-01-07", 300), ("s7", "s7", "2019-01-07", 300)])
    located = locate(tabulate(trips, []), locate_stations([trips]))
    np.testing.assert_allclose(located["distance_km"], [0.01 * METRES_PER_DEGREE / 1000, 0], atol=1e-9)
    assert located["start_tile"][0] // 8 == 7 and located["start_tile"][1] // 8 == 0  # rows run southward
    assert located["start_area"][0] // 4 == 3
    unknown = locate(tabulate(trips.assign(end_station_id="x"), []), locate_stations([trips]))
    assert unknown["distance_km"].isna().all() and (unknown["end_tile"] < 0).all()


def test_the_first_table_says_where_a_station_is():
    real = make_trips([("s0", "s1", "2019-01-07", 300)])
    other = make_trips([("s0", "s2", "2019-01-07", 300)]).assign(start_lat=50.0)
    places = locate_stations([real, other])
    assert places.loc["s0", "lat"] == 40.0 and places.loc["s2", "lat"] == 40.02 and places.index.is_unique


def test_longitude_shrinks_with_latitude():
    ends = pd.DataFrame({"start_lat": [60.0], "start_lng": [0.0], "end_lat": [60.0], "end_lng": [0.02]})
    assert distance_km(ends)[0] == pytest.approx(0.01 * METRES_PER_DEGREE / 1000, rel=1e-6)


def test_valid_rows_fail_for_each_reason():
    metres = 0.01 * METRES_PER_DEGREE
    row = ("s0", "s1", "2019-01-07")
    trips = make_trips([(*row, 300), ("s9", *row[1:], 300), (*row, metres / 15.01), (*row, metres / 14.99), (*row, 0)])
    at_once = make_trips([(*row, 300)]).assign(ended_at=trips["started_at"].iloc[0])
    rows = valid_rows(pd.concat([trips, at_once]), {"s0", "s1"})
    assert rows.tolist() == [True, False, False, True, False, False]


def test_shuffling_keeps_every_column_and_nothing_between_them():
    table = pd.DataFrame({"x": np.arange(500), "y": np.arange(500)})
    shuffled = shuffle_columns(table, np.random.default_rng(0))
    assert sorted(shuffled["x"]) == sorted(shuffled["y"]) == list(range(500))
    assert abs(np.corrcoef(shuffled["x"], shuffled["y"])[0, 1]) < 5 / 500**0.5  # five standard errors


def test_column_metrics_of_a_table_with_itself():
    table = random_table(400, seed=1)
    found = column_metrics(table, table)
    assert found.pop("od_cpc") == found.pop("od_cpc_tiles") == 1 and found.pop("tstr_demand_r") == pytest.approx(1)
    assert found.pop("gender_tvd") is None and found.pop("birth_year_ks") is None
    assert all(value == pytest.approx(0, abs=1e-12) for value in found.values()), found


def test_demand_by_hand():
    def table(*cells):
        return pd.DataFrame(cells, columns=["start", "day_of_week", "hour"])

    a = table(("s0", 0, 8), ("s0", 4, 8), ("s0", 6, 8), ("s1", 0, 9))  # (s0, weekday, 8) twice
    b = table(("s0", 1, 8), ("s1", 3, 9), ("s1", 2, 9), ("s0", 5, 8))
    assert demand_correlation(a, b) == pytest.approx(np.corrcoef([2, 1, 1], [1, 1, 2])[0, 1])
    assert demand_correlation(a.head(1), a.head(1)) is None


# ---- several columns -----------------------------------------------------------------------------------------------


def test_bins_are_cut_by_the_real_table():
    real = pd.DataFrame({"start": ["a"] * 3 + ["b"] * 2 + [f"rare{k}" for k in range(40)]})
    real["duration_s"], real["birth_year"] = np.arange(45.0), [1969.0] * 44 + [np.nan]
    bins = to_bins(real, real)
    assert bins["start"].nunique() == 21 and (bins["start"][:5] == [0, 0, 0, 1, 1]).all()
    assert bins["duration_s"].value_counts().between(4, 5).all() and bins["duration_s"].nunique() == 10
    assert bins["birth_year"].iloc[-1] == -1 and bins["birth_year"].nunique() == 2
    other = to_bins(pd.DataFrame({"start": ["nowhere"], "duration_s": [1e9], "birth_year": [1900.0]}), real)
    assert other.iloc[0].tolist() == [20, 9, 0]


def test_pair_distances_by_hand():
    real = pd.DataFrame({"user_type": ["p", "p", "q", "q"], "gender": ["m", "m", "f", "f"]})
    crossed = pd.DataFrame({"user_type": ["p", "p", "q", "q"], "gender": ["m", "f", "m", "f"]})
    assert pair_distances(crossed, real) == {("user_type", "gender"): pytest.approx(0.5)}
    assert pair_distances(real, real) == {("user_type", "gender"): 0}


def test_k_marginal_by_hand():
    real = random_table(300, seed=1)
    assert k_marginal(real, real, COLUMNS) == pytest.approx(1000)
    assert k_marginal(real.assign(user_type="new"), real, COLUMNS) == pytest.approx(0)
    night = real.assign(hour=3)  # two thirds of the groups have no row at all, the rest keep about their distribution
    assert 0 < k_marginal(night, real.assign(hour=np.arange(300) % 24), COLUMNS) < 400
    assert k_marginal(real, real, [c for c in COLUMNS if c != "user_type"]) == pytest.approx(1000)


def test_trees_cannot_tell_fresh_rows_and_can_tell_shuffled_ones():
    real, fresh = random_table(600, seed=1), random_table(600, seed=2)
    shuffled = random_table(600, seed=3, dependent=False)
    # three standard errors of an AUC of two times 600 rows: sqrt(1201 / (12 · 600 · 600)) = 0.017
    assert classifier_auc(fresh, real, COLUMNS, seed=0) == pytest.approx(0.5, abs=0.05)
    assert classifier_auc(shuffled, real, COLUMNS, seed=0) > 0.8
    nearly = fresh.assign(duration_s=fresh["duration_s"] * np.exp(np.random.default_rng(0).normal(0, 0.2, len(fresh))))
    told, untold = (classifier_auc(nearly, real, COLUMNS, seed=0, sees_distance=told) for told in (True, False))
    assert told > untold + 0.01
    assert classifier_auc(fresh, real, COLUMNS, seed=0) == classifier_auc(fresh, real, COLUMNS, seed=0)


def test_models_trained_on_shuffled_rows_are_of_no_use():
    real, fresh = random_table(600, seed=1), random_table(600, seed=2)
    shuffled = random_table(600, seed=3, dependent=False)
    assert duration_r2(fresh, real, COLUMNS, seed=0) > 0.9
    assert duration_r2(shuffled, real, COLUMNS, seed=0) < 0.1
    assert user_type_auc(fresh, real, COLUMNS, seed=0) > 0.9
    assert 0.3 < user_type_auc(shuffled, real, COLUMNS, seed=0) < 0.7
    assert user_type_auc(fresh.assign(user_type="long"), real, COLUMNS, seed=0) is None
    assert duration_r2(fresh, real.assign(duration_s=60.0), COLUMNS, seed=0) is None


def test_more_stations_than_the_trees_take_share_a_code():
    table = pd.DataFrame({"start": [f"s{k}" for k in range(700)] + ["s0"], "hour": 1})
    codes = encode_features(table, table, ["start", "hour"])["start"]
    assert codes.max() == 200 and codes.iloc[0] == codes.iloc[-1] == 0


# ---- copies --------------------------------------------------------------------------------------------------------


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
    train = pd.DataFrame({"x": ["p", "q"], "y": [1.0, np.nan]})
    table = pd.DataFrame({"x": ["p", "p", "q", "r"], "y": [1.0, 2.0, np.nan, 1.0]})
    assert identical_share(table, train, ["x", "y"]) == 0.5


def test_membership_attack_by_hand():
    members, outsiders = np.arange(100) / 200, 0.25 + np.arange(100) / 200
    better = np.mean(members[:, None] < outsiders[None, :]) + 0.5 * np.mean(members[:, None] == outsiders[None, :])
    auc, hits = membership_attack(members, outsiders)
    assert auc == pytest.approx(better)
    assert hits == pytest.approx(0.51)  # one outsider of a hundred lies within 0.25, and so do 51 members
    assert membership_attack(outsiders, outsiders) == pytest.approx((0.5, 0.01))
    relative = relative_distance(np.array([0.0, 1, 0, 2]), np.array([0.0, 3, 5, 0]))
    np.testing.assert_allclose(relative, [0.5, 0.25, 0, 1])


def test_embedding_puts_one_changed_category_one_apart():
    train = random_table(50, seed=1)
    changed = train.assign(user_type=np.where(train["user_type"] == "long", "short", "long"))
    a, b = (embed(table, train, COLUMNS) for table in (train, changed))
    np.testing.assert_allclose(np.linalg.norm(a - b, axis=1), 1)
    later = embed(train.assign(hour=train["hour"] + train["hour"].std(ddof=0)), train, COLUMNS)
    np.testing.assert_allclose(np.linalg.norm(a - later, axis=1), 1)


def test_embedding_knows_missing_birth_years():
    train = random_table(50, seed=1).assign(birth_year=[np.nan, *range(1950, 1999)])
    points = embed(train, train, [*COLUMNS, "birth_year"])
    assert np.isfinite(points).all()
    mean = embed(train.assign(birth_year=np.mean(range(1950, 1999))), train, [*COLUMNS, "birth_year"])
    assert np.linalg.norm(points[0] - mean[0]) == pytest.approx(1)
