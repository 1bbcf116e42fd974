"""Strokes → trip table: valid rows, right stations and attributes, counted rejects."""

import numpy as np
import pandas as pd
import pytest

from decode.trips import keep_valid
from rasterize.distance import trip_metres
from rasterize.imageset import ImageSet, write_image_set
from rasterize.strokes.channels import choose_attributes
from rasterize.strokes.pen import draw_images
from rasterize.strokes.strokes import Strokes
from rasterize.strokes.table import _orient_ends, encode_labels, encode_values
from tests.spec_examples import decode_images, make_spec, make_trips, scattered

RNG = np.random.default_rng(0)
TRIPS = make_trips(400, RNG)
CHANNELS, FACTORS = choose_attributes(TRIPS)
SPEC = make_spec(scattered(5, side=16, rng=RNG, apart=3), channels=CHANNELS, factors=FACTORS)


def _encode(trips):
    """Draw trips one to an image; return images and labels."""
    ends = trips[["start_station_id", "end_station_id"]].apply(lambda column: column.str[1:].astype(int)).to_numpy()
    values = encode_values(trips, CHANNELS, np.random.default_rng(1))
    return draw_images(SPEC, Strokes.straight(ends, values=values)), encode_labels(trips, FACTORS)


@pytest.fixture
def decoded(tmp_path):
    """Draw and decode all trips."""
    images, labels = _encode(TRIPS)
    write_image_set(tmp_path, SPEC, [images], labels)
    return decode_images(ImageSet.open(tmp_path))


def test_every_attribute_comes_back(decoded):
    table = decoded.trips.set_index("image")
    real = TRIPS.loc[table.index]
    for column in ("start_station_id", "end_station_id", "user_type", "gender"):
        assert table[column].tolist() == real[column].tolist()
    assert (table["started_at"].dt.hour == real["started_at"].dt.hour).all()
    assert (table["started_at"].dt.day_of_week == real["started_at"].dt.day_of_week).all()
    # Stored levels have 11 significant bits; a quantile step of 1/256 is 0.003 of a level.
    assert (table["birth_year"] - real["birth_year"]).abs().max() <= 1
    assert ((table["duration_s"] - real["duration_s"]).abs() / real["duration_s"]).quantile(0.95) < 0.02


def test_rows_and_rejects_add_up(decoded):
    assert decoded.images == 400 == len(decoded.trips) + sum(decoded.rejected.values())
    assert decoded.trips["started_at"].is_monotonic_increasing
    assert decoded.trips["confidence"].between(0.95, 1).all() and (decoded.trips["residual"] < 0.02).all()


def test_every_row_is_valid(decoded):
    trips = decoded.trips
    assert (trips["ended_at"] > trips["started_at"]).all()
    seconds = (trips["ended_at"] - trips["started_at"]).dt.total_seconds()
    assert (seconds == trips["duration_s"]).all()
    assert set(trips["start_station_id"]) | set(trips["end_station_id"]) <= {f"p{k}" for k in range(5)}
    assert trips[["trip_id", "start_lat", "start_lng", "end_lat", "end_lng"]].notna().all(axis=None)


def test_bad_images_are_counted(tmp_path):
    images, labels = _encode(TRIPS[:6])
    images[1], images[2, 0, 0, 0] = 0, np.inf
    write_image_set(tmp_path, SPEC, [images], labels)
    result = decode_images(ImageSet.open(tmp_path))
    assert result.rejected["blank image"] == 1 and result.rejected["image not finite"] == 1
    assert not {1, 2} & set(result.trips["image"])


def test_the_same_seed_gives_the_same_trips(tmp_path):
    images, labels = _encode(TRIPS[:50])
    write_image_set(tmp_path, SPEC, [images], labels)
    first, again, other = (decode_images(ImageSet.open(tmp_path), seed=seed).trips for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["started_at"].equals(other["started_at"])


def test_impossible_speeds_are_left_out():
    row = {"start_lat": 40.0, "start_lng": -74.0, "end_lat": 40.0, "end_lng": -73.9, "trip_id": "a"}
    rows = pd.DataFrame([row, row]).assign(started_at=pd.Timestamp("2019-01-01"), duration_s=[600.0, 900.0])
    assert trip_metres(rows)[0] == pytest.approx(8518, rel=1e-3)  # a tenth of a degree at 40° north
    kept, reasons = keep_valid(rows, 45.0)
    assert kept["duration_s"].tolist() == [900.0] and reasons == {"faster than 45 km/h": 1}


def test_grey_strokes_get_a_direction_by_chance_of_the_flows():
    spec = make_spec([(3, 3), (12, 12)], mode="grey")
    ends = _orient_ends(np.tile([[0, 1]], (4000, 1)), spec, np.random.default_rng(0))
    # Starts + 1: 2, 3; ends + 1: 3, 4. So forward 2·4 against backward 3·3.
    assert (ends[:, 0] == 0).mean() == pytest.approx(8 / 17, abs=0.04)
