"""The simulated city: seeded, openly simulated, and with the habits of a real one."""

import csv

import numpy as np
import pandas as pd
import pytest

from rasterize import simulated_city
from rasterize.ingest.ingest import ingest_files, read_trips


@pytest.fixture(scope="module")
def trips(tmp_path_factory) -> pd.DataFrame:
    """20,000 clean trips."""
    path = tmp_path_factory.mktemp("city") / "city.csv"
    simulated_city.write_city(path, trips=20_000)
    return read_trips([path])


def test_the_same_seed_gives_the_same_file(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        simulated_city.write_city(tmp_path / name, trips=500, seed=seed)
    a, b, c = ((tmp_path / name).read_text() for name in "abc")
    assert a == b != c


@pytest.mark.parametrize(("n", "stations", "days"), [(1, 2, 1), (100, 5, 3), (3_000, 60, 28)])
def test_rows_stations_and_days_are_as_asked(tmp_path, n, stations, days):
    path = tmp_path / "city.csv"
    simulated_city.write_city(path, trips=n, stations=stations, days=days)
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    bad = 5 * max(1, n // 3000)
    assert len(rows) == n + bad
    assert list(rows[0]) == list(simulated_city.HEADER)
    assert [row["starttime"] for row in rows] == sorted(row["starttime"] for row in rows)
    ids = {row["start station id"] for row in rows}
    assert len(ids) <= stations and {row["starttime"][:7] for row in rows} <= {"2019-06"}
    assert all("simulated" in row["start station name"] for row in rows)


def test_the_bad_rows_are_rejected_one_kind_each_and_no_others(tmp_path):
    simulated_city.write_city(tmp_path / "city.csv", trips=6_000)
    rejects = ingest_files([tmp_path / "city.csv"], tmp_path / "run").rejects
    assert rejects["kept"] == 6_000
    assert rejects["rejected"] == dict.fromkeys(sorted(rejects["rejected"]), 2) and len(rejects["rejected"]) == 5


def test_stations_stand_apart_and_on_dry_land(trips):
    places = trips.drop_duplicates("start_station_id")
    squeeze = np.cos(np.radians(simulated_city.CENTRE_LAT))
    east = (places["start_lng"].to_numpy() - simulated_city.CENTRE_LNG) * simulated_city.METRES_PER_DEGREE * squeeze
    north = (places["start_lat"].to_numpy() - simulated_city.CENTRE_LAT) * simulated_city.METRES_PER_DEGREE
    assert len(places) == 30
    assert (np.abs(east - simulated_city.find_river(north)) > simulated_city.RIVER_HALF_WIDTH_M - 1).all()
    gaps = np.hypot(east[:, None] - east, north[:, None] - north) + np.diag(np.full(30, np.inf))
    assert gaps.min() > 300


def test_working_days_have_two_peaks_and_weekends_one_hump(trips):
    hour, weekend = trips["started_at"].dt.hour, trips["started_at"].dt.day_of_week >= 5
    working = np.bincount(hour[~weekend], minlength=24) / (~weekend).sum()
    free = np.bincount(hour[weekend], minlength=24) / weekend.sum()
    assert working[8] > 1.5 * working[11] and working[17] > 1.5 * working[14]
    assert 11 <= free.argmax() <= 17 and free[8] < working[8] / 3


def test_commuters_come_to_the_centre_in_the_morning_and_go_in_the_evening(trips):
    hour = trips["started_at"].dt.hour
    came, went = (_net_arrivals(trips[hour.between(*hours)]) for hours in ((7, 9), (17, 19)))
    places = trips.drop_duplicates("start_station_id").set_index("start_station_id").loc[came.index]
    north, east = places["start_lat"] - simulated_city.CENTRE_LAT, places["start_lng"] - simulated_city.CENTRE_LNG
    outside = np.hypot(north, east * 0.74)
    assert np.corrcoef(came, went.reindex(came.index, fill_value=0))[0, 1] < -0.7
    assert np.corrcoef(came, outside)[0, 1] < -0.3


def _net_arrivals(trips: pd.DataFrame) -> pd.Series:
    """How many more trips end than start at each station."""
    return trips["end_station_id"].value_counts().sub(trips["start_station_id"].value_counts(), fill_value=0)


def test_customers_ride_longer_tell_less_and_come_at_other_times(trips):
    customer = trips["user_type"] == "Customer"
    assert 0.08 < customer.mean() < 0.2
    assert trips["duration_s"][customer].median() > 1.4 * trips["duration_s"][~customer].median()
    filler = trips["birth_year"] == simulated_city.FILLER_YEAR
    assert filler[customer].mean() > 0.3 and filler[~customer].mean() < 0.06
    assert trips["gender"][customer].eq("unknown").mean() > 3 * trips["gender"][~customer].eq("unknown").mean()


def test_round_trips_are_about_one_in_twenty(trips):
    share = (trips["start_station_id"] == trips["end_station_id"]).mean()
    assert abs(share - 0.05) < 0.02


def test_the_river_makes_trips_longer():
    stations = simulated_city._found_stations(30, np.random.default_rng(0))
    ways = simulated_city._measure_ways(stations)
    direct = np.hypot(stations.east[:, None] - stations.east, stations.north[:, None] - stations.north)
    west = stations.east < simulated_city.find_river(stations.north)
    across = west[:, None] != west[None, :]
    longer = ways[across] / direct[across]
    assert across.any() and longer.min() >= 1.25 - 1e-9 and longer.max() > 1.6
    assert np.allclose(ways, ways.T)
