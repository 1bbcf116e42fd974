"""The tables that metrics compare: columns, geography and shuffling against examples by hand."""

import numpy as np
import pandas as pd
import pytest

from decode.evaluate.tables import MISSING, distance_km, locate_stations, locate_trips, shuffle_columns, tabulate
from rasterize.distance import METRES_PER_DEGREE
from tests.trip_tables import make_trips


def test_table_of_trips_by_hand():
    trips = make_trips([("s0", "s1", "2019-01-07 08:30:59", 300.4), ("s1", "s1", "2019-01-13 23:05:00", 61)])
    trips["user_type"], trips["birth_year"] = ["Customer", None], pd.array([1969, None], dtype="Int16")
    table = tabulate(trips, ["user_type", "birth_year"])
    assert table.iloc[0].tolist() == ["s0", "s1", 8, 0, 30, 300.0, "Customer", 1969.0]
    assert table.iloc[1].tolist()[:7] == ["s1", "s1", 23, 6, 5, 61.0, MISSING] and np.isnan(table["birth_year"][1])


def test_geography_by_hand():
    trips = make_trips([("s0", "s1", "2019-01-07", 300), ("s7", "s7", "2019-01-07", 300)])
    located = locate_trips(tabulate(trips, []), locate_stations([trips]))
    np.testing.assert_allclose(located["distance_km"], [0.01 * METRES_PER_DEGREE / 1000, 0], atol=1e-9)
    assert located["start_tile"][0] // 8 == 7 and located["start_tile"][1] // 8 == 0  # rows run southward
    assert located["start_area"][0] // 4 == 3
    unknown = locate_trips(tabulate(trips.assign(end_station_id="x"), []), locate_stations([trips]))
    assert unknown["distance_km"].isna().all() and (unknown["end_tile"] < 0).all()


def test_the_first_table_says_where_a_station_is():
    real = make_trips([("s0", "s1", "2019-01-07", 300)])
    other = make_trips([("s0", "s2", "2019-01-07", 300)]).assign(start_lat=50.0)
    stations = locate_stations([real, other])
    assert stations.loc["s0", "lat"] == 40.0 and stations.loc["s2", "lat"] == 40.02 and stations.index.is_unique


def test_longitude_shrinks_with_latitude():
    ends = pd.DataFrame({"start_lat": [60.0], "start_lng": [0.0], "end_lat": [60.0], "end_lng": [0.02]})
    assert distance_km(ends)[0] == pytest.approx(0.01 * METRES_PER_DEGREE / 1000, rel=1e-6)


def test_shuffling_keeps_every_column_and_nothing_between_them():
    table = pd.DataFrame({"x": np.arange(500), "y": np.arange(500)})
    shuffled = shuffle_columns(table, np.random.default_rng(0))
    assert sorted(shuffled["x"]) == sorted(shuffled["y"]) == list(range(500))
    assert abs(np.corrcoef(shuffled["x"], shuffled["y"])[0, 1]) < 5 / 500**0.5  # five standard errors
