"""Stations ↔ places."""

import geopandas as gpd
import numpy as np
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from rasterize.strokes.frame import Frame
from rasterize.strokes.places import draw_apart, find_trip_places, list_stations, make_places, merge_stations

FRAME = Frame(west=0, south=0, east=0.1, north=0.1, height=10, width=10)


def stations_at(xy, uses=None):
    """Stations s0, s1, … at points (x, y) of the frame, the first used most."""
    xy = np.asarray(xy, float)
    lat, lng = FRAME.to_degrees(xy[:, 0], xy[:, 1])
    uses = np.arange(len(xy), 0, -1) if uses is None else uses
    ids = [f"s{k}" for k in range(len(xy))]
    return gpd.GeoDataFrame(
        {"station_id": ids, "name": ids, "starts": uses, "ends": uses, "uses": uses},
        geometry=gpd.points_from_xy(lng, lat),
        crs="EPSG:4326",
    )


@given(st.lists(st.tuples(st.floats(0, 10), st.floats(0, 10)), min_size=1, max_size=40))
def test_places_are_a_pixel_apart_and_every_station_is_near_its_own(xy):
    stations = stations_at(xy)
    place = merge_stations(stations, FRAME)
    xy = np.asarray(xy)
    founders = np.array(
        [xy[np.flatnonzero(place == k)[0]] for k in range(place.max() + 1)]
    )  # the most used comes first
    apart = np.hypot(*(founders[:, None] - founders[None]).transpose(2, 0, 1))
    assert (apart[~np.eye(len(founders), dtype=bool)] >= 1 - 1e-6).all()
    assert (np.hypot(*(xy - founders[place]).T) <= 1 + 1e-6).all()


def make_trips(pairs):
    """A trip for each pair of stations' ids."""
    starts, ends = zip(*pairs, strict=True)
    return pd.DataFrame({"start_station_id": starts, "end_station_id": ends})


def test_the_busiest_station_founds_the_place():
    stations = stations_at([(1, 1), (1.5, 1), (5, 5)], uses=[1, 9, 3])
    place = merge_stations(stations, FRAME)
    places = make_places(stations, place, make_trips([("s0", "s1"), ("s1", "s1"), ("s1", "s2")]))
    merged = places[place[0]]
    assert [station.id for station in merged.stations] == ["s1", "s0"]
    assert merged.lng == stations.geometry.x[1]
    assert set(merged.loops) == {(1, 0, 1), (0, 0, 1)}
    assert places[place[2]].loops == ()


def test_places_are_drawn_apart_by_their_shares():
    stations = stations_at([(1, 1), (1.5, 1), (5, 5)])
    trips = make_trips([("s0", "s2")] * 300 + [("s1", "s2")] * 100 + [("s2", "s1")] * 50 + [("s0", "s1")] * 20)
    place = merge_stations(stations, FRAME)
    places = make_places(stations, place, trips)
    ends = find_trip_places(trips, stations, place)
    chosen = draw_apart(np.repeat(ends, 20, axis=0), places, np.random.default_rng(0))
    ids = np.array([station.id for station in list_stations(places)])
    again = make_trips([tuple(pair) for pair in ids[chosen]])
    assert np.array_equal(find_trip_places(again, stations, place), np.repeat(ends, 20, axis=0))
    outward = again[again["end_station_id"] == "s2"]
    # starts: s0 320, s1 100; 8,000 draws have a standard error of 0.005
    assert abs((outward["start_station_id"] == "s0").mean() - 320 / 420) < 0.025
    assert (again[again["start_station_id"] == "s2"]["end_station_id"] == "s1").all()  # no trip ended at s0
    inside = again[~again[["start_station_id", "end_station_id"]].eq("s2").any(axis=1)]
    assert inside.drop_duplicates().to_numpy().tolist() == [["s0", "s1"]]
