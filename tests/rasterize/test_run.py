"""The raster stage: trips → strokes grouped into images, and the folder it leaves."""

import json

import geopandas
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize import run as stage
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.grouping import group_by_label
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.places import make_places, merge_stations, trip_places
from rasterize.strokes.table import encode_trips
from rasterize.trip_table import TripFile


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=80),
    st.integers(1, 7),
)
def test_images_hold_each_trip_once_and_one_label(labels, trips_per_image):
    labels = np.array(labels, np.int16)
    order, offsets = group_by_label(labels, trips_per_image, np.random.default_rng(0))
    assert sorted(order) == list(range(len(labels)))
    assert offsets[0] == 0 and offsets[-1] == len(labels)
    sizes = np.diff(offsets)
    assert sizes.min() >= 1 and sizes.max() <= trips_per_image
    for begin, end in zip(offsets, offsets[1:], strict=False):
        assert len(np.unique(labels[order[begin:end]], axis=0)) == 1
    _, counts = np.unique(labels, axis=0, return_counts=True)
    assert len(sizes) == sum(-(-count // trips_per_image) for count in counts)  # only the last of a label is not full


def test_without_labels_images_are_full():
    order, offsets = group_by_label(np.zeros((10, 0), np.int16), 4, np.random.default_rng(0))
    assert sorted(np.diff(offsets)) == [2, 4, 4] and sorted(order) == list(range(10))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60))
def test_labels_are_numbered_in_the_order_of_their_rows(labels):
    labels = np.array(labels, np.int16)
    _, expected = np.unique(labels, axis=0, return_inverse=True)
    assert stage._number_labels(labels).tolist() == expected.reshape(-1).tolist()


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    path = tmp_path_factory.mktemp("city") / "simulated.csv"
    write_city(path, trips=1500, stations=12, days=14, seed=1)
    return path


def rasterized(city, run, *, trips_per_image=1, **ingest):
    options = RasterOptions(trips_per_image=trips_per_image)
    return raster(
        [str(city)],
        run,
        ingest_options=IngestOptions(stops=StopOptions(height=32, width=32), **ingest),
        options=options,
    )


def test_the_run_folder_holds_what_later_stages_need(city, tmp_path):
    made = rasterized(city, tmp_path)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    images = ImageSet.open(tmp_path / "images")
    assert len(images) == (trips["split"] == "A").sum() == len(np.load(tmp_path / "images" / "images.npy"))
    for name in ("stations.parquet", "raster.json", "images/contact_sheet.png", "images/density.png"):
        assert (tmp_path / name).stat().st_size > 0
    rejects = json.loads((tmp_path / "rejects.json").read_text())
    assert rejects["kept"] == len(trips) and rejects["kept"] + sum(rejects["rejected"].values()) == rejects["rows"]
    config = json.loads((tmp_path / "raster.json").read_text())
    assert config["raster"]["trips_per_image"] == 1 and len(config["files"]["simulated.csv"]) == 64
    assert made.stored and not list(tmp_path.rglob("*.tmp*"))


def test_stored_and_drawn_images_agree_to_half_precision(city, tmp_path):
    rasterized(city, tmp_path, trips_per_image=4)
    images = ImageSet.open(tmp_path / "images")
    stored = np.load(tmp_path / "images" / "images.npy").astype(np.float32)
    assert np.allclose(images.read(np.arange(len(images))), stored, rtol=2**-11, atol=1e-6)
    assert images.labels.shape == (len(stored), 4)


def test_the_same_seed_gives_the_same_images(city, tmp_path):
    fingerprints = []
    for name, seed in (("a", 0), ("b", 0), ("c", 5)):
        rasterized(city, tmp_path / name, seed=seed)
        fingerprints.append(ImageSet.open(tmp_path / name / "images").fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_stage_that_fails_leaves_nothing_finished(city, tmp_path):
    rasterized(city, tmp_path)
    with pytest.raises(InputError):
        raster([str(tmp_path / "none.csv")], tmp_path, ingest_options=IngestOptions(), options=RasterOptions())
    with pytest.raises(InputError, match="no finished image set"):
        ImageSet.open(tmp_path / "images")


def test_options_are_checked():
    with pytest.raises(InputError, match="1 or more"):
        RasterOptions(trips_per_image=0)
    with pytest.raises(InputError, match="modes: abod, grey"):
        _ = RasterOptions(trips_per_image=1, mode="colour").drawing


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
        spec, strokes, *_ = encode_trips(bent, stations, made.ingested.frame, made.ingested.source, options)
        assert spec.bent and spec.trips_per_image == expected == np.diff(strokes.offsets).max()
        assert spec.drawing.level_scale == expected**0.5


def test_a_file_of_trips_is_a_table_read_column_by_column(city, tmp_path):
    rasterized(city, tmp_path)
    path, trips = tmp_path / "trips.parquet", pd.read_parquet(tmp_path / "trips.parquet")
    for split, expected in ((None, trips), ("B", trips[trips["split"] == "B"].reset_index(drop=True))):
        file = TripFile(path, split)
        assert len(file) == len(expected) and list(file.columns) == list(trips) and "gender" in file
        for name in trips:
            assert file[name].astype(object).equals(expected[name].astype(object)), name
        assert list(file[["start_lat", "end_lat"]]) == ["start_lat", "end_lat"]


@pytest.mark.parametrize("attributes", [{}, {"time_of_day": "quantile", "user_type": "category", "hour": "off"}])
def test_trips_in_memory_and_on_disk_are_encoded_alike_in_batches_of_any_size(attributes, city, tmp_path, monkeypatch):
    options = RasterOptions(trips_per_image=3, attributes=attributes, seed=2)
    places = StopOptions(height=32, width=32)
    made = raster([str(city)], tmp_path, ingest_options=IngestOptions(stops=places), options=options)
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    monkeypatch.setattr(stage, "ENCODE_BATCH", 70)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    ingested = made.ingested
    spec, strokes, labels, everyone = encode_trips(trips, stations, ingested.frame, ingested.source, options)
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
    assert stage._count_places(trips, stations, place_of) == make_places(stations, place_of, trips)


def test_strokes_are_those_of_the_trips_in_the_order_of_the_images(city, tmp_path):
    options = RasterOptions(trips_per_image=3, attributes={"duration_s": "linear", "birth_year": "off"}, seed=2)
    made = raster([str(city)], tmp_path, ingest_options=IngestOptions(), options=options)
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    place_of = merge_stations(stations, made.ingested.frame, merge_px=options.merge_px)
    trips = pd.read_parquet(tmp_path / "trips.parquet").query("split == 'A'").reset_index(drop=True)
    labels = stage.encode_labels(trips, made.images.factors)
    order, offsets = group_by_label(labels, 3, np.random.default_rng(2))
    strokes, ordered = made.images.strokes, trips.iloc[order]
    (channel,) = made.images.spec.channels
    assert np.array_equal(strokes.ends, trip_places(ordered, stations, place_of))
    assert np.array_equal(strokes.values, channel.encode(ordered["duration_s"], None).astype(np.float32))
    assert np.array_equal(made.images.labels, labels[order][offsets[:-1]])
