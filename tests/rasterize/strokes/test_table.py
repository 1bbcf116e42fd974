"""Trips → strokes: in memory and on disk alike, in the order of their images."""

import json

import geopandas
import numpy as np
import pandas as pd
import pytest

from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.strokes import table
from rasterize.strokes.grouping import group_by_label
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.places import find_trip_places, make_places, merge_stations
from tests.rasterize.conftest import rasterized


def test_four_trips_share_an_image_unless_they_have_waypoints(city, tmp_path):
    made = rasterized(city, tmp_path, trips_per_image=None)
    assert made.images.spec.trips_per_image == 4 == np.diff(made.images.strokes.offsets).max()
    assert json.loads((tmp_path / "raster.json").read_text())["raster"]["trips_per_image"] == 4
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    ends = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy()
    bent = trips.assign(waypoints=list(ends))
    for asked, expected in ((None, 1), (3, 3)):
        options = RasterOptions(trips_per_image=asked)
        spec, strokes, *_ = table.encode_trips(bent, stations, made.ingested.frame, made.ingested.source, options)
        assert spec.bent and spec.trips_per_image == expected == np.diff(strokes.offsets).max()
        assert spec.drawing.level_scale == expected**0.5


@pytest.mark.parametrize("attributes", [{}, {"time_of_day": "quantile", "user_type": "category", "hour": "off"}])
def test_trips_in_memory_and_on_disk_are_encoded_alike_in_batches_of_any_size(attributes, city, tmp_path, monkeypatch):
    options = RasterOptions(trips_per_image=3, attributes=attributes, seed=2)
    stops = StopOptions(resolution=32)
    made = raster([str(city)], tmp_path, ingest_options=IngestOptions(stops=stops), options=options)
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    monkeypatch.setattr(table, "ENCODE_BATCH", 70)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    ingested = made.ingested
    spec, strokes, labels, everyone = table.encode_trips(trips, stations, ingested.frame, ingested.source, options)
    assert spec == made.images.spec and np.array_equal(labels, made.images.labels)
    for name, values in vars(strokes).items():
        np.testing.assert_array_equal(values, getattr(made.images.strokes, name), strict=True)
    assert everyone.shape == (len(trips), 2)


def test_places_counted_by_flows_are_those_counted_by_trips(city, tmp_path):
    made = rasterized(city, tmp_path)
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    place_of = merge_stations(stations, made.ingested.frame, merge_px=12)
    assert len(set(place_of)) < len(stations)
    assert table._count_places(trips, stations, place_of) == make_places(stations, place_of, trips)


def test_strokes_are_those_of_the_trips_in_the_order_of_the_images(city, tmp_path):
    options = RasterOptions(trips_per_image=3, attributes={"duration_s": "linear", "birth_year": "off"}, seed=2)
    made = raster([str(city)], tmp_path, ingest_options=IngestOptions(), options=options)
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    place_of = merge_stations(stations, made.ingested.frame, merge_px=options.merge_px)
    trips = pd.read_parquet(tmp_path / "trips.parquet").query("split == 'A'").reset_index(drop=True)
    labels = table.encode_labels(trips, made.images.factors)
    order, offsets = group_by_label(labels, 3, np.random.default_rng(2))
    strokes, ordered = made.images.strokes, trips.iloc[order]
    (channel,) = made.images.spec.channels
    assert np.array_equal(strokes.ends, find_trip_places(ordered, stations, place_of))
    assert np.array_equal(strokes.values, channel.encode(ordered["duration_s"], None).astype(np.float32))
    assert np.array_equal(made.images.labels, labels[order][offsets[:-1]])
