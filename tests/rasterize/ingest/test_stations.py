"""Stations: where they are, and what ends in the open become."""

import geopandas
import numpy as np
import pandas as pd
import pytest

from rasterize.distance import METRES_PER_DEGREE
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import citibike, write_text


def _ingest(rows, tmp_path, **stops):
    """Ingest rows; return the result, the trips, and the stations by id."""
    path = write_text(tmp_path / "t.csv", citibike(rows))
    result = ingest_files([path], tmp_path / "run", options=IngestOptions(stops=StopOptions(**stops)))
    stations = geopandas.read_parquet(tmp_path / "run/stations.parquet").set_index("station_id")
    return result, pd.read_parquet(tmp_path / "run/trips.parquet"), stations


def test_a_station_has_its_most_frequent_name_and_coordinates(tmp_path):
    moved = {"start station latitude": 40.72, "start station name": "Old Place"}
    _, trips, stations = _ingest([moved, {}, {}, moved | {"start station name": "Older"}, {}], tmp_path)
    assert stations.loc["3183", "name"] == "Exchange Place"
    assert (stations.loc["3183"].geometry.y, stations.loc["3183"].geometry.x) == (40.7162469, -74.0334588)
    assert set(trips["start_lat"]) == {40.7162469}
    assert stations["uses"].to_dict() == {"3183": 5, "3214": 5}


def test_coordinates_of_each_trip_gather_at_their_densest_spot(tmp_path):
    rng = np.random.default_rng(0)
    near = 40.7162 + rng.uniform(0, 2e-5, 30)
    far = 40.7162 + rng.uniform(-2e-3, 2e-3, 20)
    rows = [{"start station latitude": f"{lat:.9f}"} for lat in [*near, *far]]
    _, _, stations = _ingest(rows, tmp_path)
    assert abs(stations.loc["3183"].geometry.y - 40.7162) <= 5e-5 + 2e-5  # the spot is rounded to 4 decimals


def _open_end(metres_north: float, metres_east: float = 0.0) -> dict:
    """An end without a station, so far from station 3214."""
    lat = 40.7127742 + metres_north / METRES_PER_DEGREE
    lng = -74.0364857 + metres_east / METRES_PER_DEGREE / np.cos(np.radians(40.714))
    return {"end station id": "", "end station name": "", "end station latitude": lat, "end station longitude": lng}


def test_ends_in_the_open_join_the_nearest_station_within_the_radius(tmp_path):
    _, trips, stations = _ingest(
        [{}, {}, _open_end(145), _open_end(0, 145), _open_end(-155), _open_end(-155)], tmp_path
    )
    ends = trips["end_station_id"].tolist()
    assert ends[:4] == ["3214"] * 4 and ends[4] == ends[5] and ends[4].startswith("cell:")
    assert trips["end_lat"][2] == pytest.approx(40.7127742 + 145 / METRES_PER_DEGREE)  # keeps its own coordinates
    assert stations.loc["3214", "uses"] == 4 and len(stations) == 3


def test_no_end_in_the_open_joins_a_station_where_the_radius_is_zero(tmp_path):
    rows = [{}, {}, *[_open_end(145)] * 2, *[_open_end(0, 145)] * 2]
    _, trips, _ = _ingest(rows, tmp_path, snap_m=0)
    assert trips["end_station_id"].str.startswith("cell:").tolist() == [False] * 2 + [True] * 4


@pytest.mark.parametrize("cell_px", [1, 2, 5])
def test_a_cell_stands_for_its_pixels_of_the_frame(tmp_path, cell_px):
    rows = [{}, {}, *(_open_end(north, east) for north in (300, 900) for east in (-700, 800) for _ in range(2))]
    result, trips, stations = _ingest(rows, tmp_path, cell_px=cell_px, resolution="32x48")
    assert (result.frame.height, result.frame.width) == (32, 48)
    cells = trips[trips["end_station_id"].str.startswith("cell:")]
    assert len(cells) == 8
    x, y = result.frame.to_pixels(cells["end_lat"], cells["end_lng"])
    expected = [f"cell:{int(row)}:{int(col)}" for row, col in zip(y // cell_px, x // cell_px, strict=True)]
    assert cells["end_station_id"].tolist() == expected
    at = stations.loc[cells["end_station_id"]].geometry
    centre_x, centre_y = result.frame.to_pixels(at.y, at.x)
    assert np.allclose(centre_x, (x // cell_px + 0.5) * cell_px) and np.allclose(
        centre_y, (y // cell_px + 0.5) * cell_px
    )
    _, row, col = expected[0].split(":")
    assert stations.loc[expected[0], "name"] == f"cell {row},{col}"


def test_a_station_in_a_frame_lies_inside_its_margin(tmp_path):
    result, _, stations = _ingest([{}, {}], tmp_path, resolution=64)
    x, y = result.frame.to_pixels(stations.geometry.y, stations.geometry.x)
    assert x.min() >= 2 - 1e-6 and x.max() <= 62 + 1e-6 and y.min() >= 2 - 1e-6 and y.max() <= 62 + 1e-6


def test_one_off_stops_go_by_their_uses(tmp_path):
    rare = {"end station id": 1, "end station latitude": 40.7137}
    for min_uses, kept in ((1, 13), (2, 12), (3, 10)):
        rows = [{}] * 10 + [rare | {"end station id": 2}] * 2 + [rare]
        assert _ingest(rows, tmp_path, min_uses=min_uses)[0].n_trips == kept
