"""Selecting synthetic trips: margins right, verdicts followed, nothing repeated; and what is redrawn for the jury."""

import numpy as np
import pandas as pd
import pytest

from decode.options import DecodeOptions
from decode.run import decode_run
from decode.selection import read_verdicts, select_run, select_trips
from rasterize.errors import InputError
from rasterize.imageset import ImageSet, write_image_set
from rasterize.ingest.options import IngestOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.places import list_stations


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Make a run folder whose fakes are the training images themselves, decoded."""
    folder = tmp_path_factory.mktemp("selection")
    write_city(folder / "city.csv", trips=6_000, stations=12)
    options = {"ingest_options": IngestOptions(), "options": RasterOptions(trips_per_image=1)}
    images = raster([str(folder / "city.csv")], folder, **options).images
    levels = images.read(np.arange(len(images)))
    write_image_set(folder / "fakes", images.spec, [levels], images.labels)
    decode_run(folder, DecodeOptions(ranks="painted"))
    return folder


@pytest.fixture
def images(run):
    """Open the training images of the run."""
    return ImageSet.open(run / "images")


def _draw_trips(images, weights, count, seed=0):
    """Draw training trips with these weights; return them and their ends."""
    image = np.random.default_rng(seed).choice(len(images), count, p=weights / weights.sum())
    return _list_trips(images, image), images.strokes.ends[image]


def _list_trips(images, image):
    """Return the trips that these images show: stations' ids, start to the hour of the week, user type and gender."""
    ids = np.array([station.id for station in list_stations(images.spec.places)])[images.strokes.ends[image]]
    hour, day = images.labels[image, :2].astype(int).T
    started_at = pd.Timestamp("2019-01-07") + pd.to_timedelta(24 * day + hour, unit="h")  # a Monday
    trips = pd.DataFrame({"start_station_id": ids[:, 0], "end_station_id": ids[:, 1], "started_at": started_at})
    for factor, label in zip(images.factors[2:], images.labels[image, 2:].T, strict=True):
        trips[factor.name] = factor.decode(label)
    return trips.assign(image=image, trip_id=np.arange(len(image)))


def _margin_error(table, images, column, uses):
    """Return the total variation distance of a column of stations from that of the training trips."""
    stations = list_stations(images.spec.places)
    target = pd.Series([getattr(station, uses) for station in stations], [s.id for s in stations], dtype=float)
    return float((table[column].value_counts(normalize=True) - target / target.sum()).abs().sum() / 2)


def test_margins_come_back(images):
    bias = np.random.default_rng(0).uniform(0.4, 2.5, len(images.spec.places))
    trips, _ = _draw_trips(images, bias[images.strokes.ends[:, 0]], 12_000)
    chosen = select_trips(trips, images.labels, images.spec, rows=1_500)
    assert len(chosen) == 1_500 and chosen["trip_id"].is_unique
    for column, uses in (("start_station_id", "starts"), ("end_station_id", "ends")):
        assert _margin_error(chosen, images, column, uses) < 0.04
    assert _margin_error(trips, images, "start_station_id", "starts") > 0.1
    hours = images.labels[chosen["image"], 0]
    wanted = np.bincount(images.labels[:, 0], minlength=24) / len(images)
    assert np.abs(np.bincount(hours, minlength=24) / len(hours) - wanted).sum() / 2 < 0.04


def test_two_labels_come_back_together(images):
    hour, day, kind = images.labels[:, :3].T.astype(int)
    weights = np.where((day >= 5) ^ (kind == 0), 0.3, 1.0) * np.where((hour < 12) ^ (day >= 5), 0.5, 1.0)
    trips, _ = _draw_trips(images, weights, 12_000)
    chosen = select_trips(trips, images.labels, images.spec, rows=1_500)["image"].to_numpy()
    for one, other in ((0, 1), (1, 2), (0, 2)):
        cell = images.labels[:, one].astype(int) * 100 + images.labels[:, other]
        wanted, found, before = (
            np.bincount(cell[of], minlength=2_400) / len(of) for of in (np.arange(len(cell)), chosen, trips["image"])
        )
        assert np.abs(found - wanted).sum() < 0.5 * np.abs(before - wanted).sum()


def test_verdicts_bring_back_flows_that_margins_do_not_tell(images):
    pair = images.strokes.ends @ [100, 1]
    bias = np.random.default_rng(0).permutation(np.geomspace(0.2, 5, 2_000))
    trips, ends = _draw_trips(images, bias[pair], 20_000)
    verdicts = -np.log(bias[ends @ [100, 1]])

    def flow_error(ends):
        wanted, found = (np.bincount(of @ [100, 1], minlength=2_000) / len(of) for of in (images.strokes.ends, ends))
        return np.abs(wanted - found).sum() / 2

    judged, blind = (select_trips(trips, images.labels, images.spec, rows=2_000, verdicts=v) for v in (verdicts, None))
    assert flow_error(ends[judged["trip_id"]]) < 0.15 < 0.2 < flow_error(ends[blind["trip_id"]])


def test_flows_of_user_types_and_their_hours_are_not_left_to_chance(images):
    many = _list_trips(images, np.tile(np.arange(len(images)), 4))
    chosen = select_trips(many, images.labels, images.spec, rows=len(images))
    cells = ["user_type", "start_station_id", "end_station_id", "started_at"]
    pd.testing.assert_series_equal(chosen.groupby(cells).size(), many.groupby(cells).size() // 4)


@pytest.mark.parametrize("rows", [0, 300, 301])
def test_as_many_trips_as_there_are_cannot_be_chosen(images, rows):
    trips, _ = _draw_trips(images, np.ones(len(images)), 300)
    with pytest.raises(InputError, match=rf"--rows {rows}: there are 300 trips to choose from.*pgan sample --images"):
        select_trips(trips, images.labels, images.spec, rows=rows)


def test_decoded_trips_are_redrawn_as_they_were_drawn(run, images):
    redrawn, trips = ImageSet.open(run / "redrawn"), pd.read_parquet(run / "synthetic.parquet")
    fakes = trips["image"].to_numpy()
    assert redrawn.spec == images.spec and len(redrawn) == len(trips) > 0.95 * len(images)
    np.testing.assert_array_equal(redrawn.labels, images.labels[fakes])
    is_right = (redrawn.strokes.ends == images.strokes.ends[fakes]).all(axis=1)
    assert is_right.mean() > 0.98
    planes = len(images.spec.drawing.planes)
    same = np.flatnonzero(is_right)
    np.testing.assert_allclose(redrawn.read(same)[:, :planes], images.read(fakes[same])[:, :planes], atol=1e-5)
    assert np.abs(redrawn.strokes.values[same] - images.strokes.values[fakes[same]]).mean() < 0.1  # ties are by chance


@pytest.mark.parametrize("kind", ["conditional", "linear"])
def test_a_calibrated_table_is_written_where_ranks_are_painted(kind, tmp_path):
    write_city(tmp_path / "city.csv", trips=900, stations=6)
    attributes = {"duration_s": kind, "birth_year": "off"}
    options = RasterOptions(trips_per_image=1, attributes=attributes)
    images = raster([str(tmp_path / "city.csv")], tmp_path, ingest_options=IngestOptions(), options=options).images
    write_image_set(tmp_path / "fakes", images.spec, [images.read(np.arange(len(images)))], images.labels)
    decode_run(tmp_path)
    assert (tmp_path / "calibrated.csv").exists() == (kind == "conditional")
    if kind == "conditional":
        raw, even = (pd.read_parquet(tmp_path / f"{name}.parquet") for name in ("synthetic", "calibrated"))
        assert raw["start_station_id"].equals(even["start_station_id"])
        assert (raw["duration_s"] != even["duration_s"]).mean() > 0.5
        decode_run(tmp_path, DecodeOptions(ranks="painted"))
    assert not (tmp_path / "calibrated.parquet").exists()


def test_trips_that_share_an_image_are_redrawn_and_judged_one_by_one(tmp_path):
    write_city(tmp_path / "city.csv", trips=3_000, stations=12)
    options = {"ingest_options": IngestOptions(), "options": RasterOptions(trips_per_image=4)}
    images = raster([str(tmp_path / "city.csv")], tmp_path, **options).images
    write_image_set(tmp_path / "fakes", images.spec, [images.read(np.arange(len(images)))], images.labels)
    decode_run(tmp_path)
    alone, redrawn = images.one_by_one(), ImageSet.open(tmp_path / "redrawn")
    trips = pd.read_parquet(tmp_path / "synthetic.parquet")
    assert alone.spec == redrawn.spec and alone.spec.trips_per_image == 1
    assert len(alone) == len(images.strokes.ends) > 2 * len(images) and len(redrawn) == len(trips)
    together = np.add.reduceat(alone.read(np.arange(len(alone))), images.strokes.offsets[:-1])
    np.testing.assert_allclose(together, images.read(np.arange(len(images))), atol=1e-5)
    assert not redrawn.strokes.paths.size and redrawn.one_by_one() is redrawn
    np.save(tmp_path / "redrawn" / "verdicts.npy", np.where(trips["user_type"] == "Customer", 0, -4).astype(np.float32))
    select_run(tmp_path, rows=300)
    chosen = pd.read_parquet(tmp_path / "chosen.parquet")
    by_image, by_trip = (
        (images.factors[2].decode(labels[:, 2]) == "Customer").mean() for labels in (images.labels, alone.labels)
    )
    assert len(chosen) == 300 and by_image > by_trip + 0.05  # rare labels have images with fewer trips
    assert (chosen["user_type"] == "Customer").mean() == pytest.approx(by_trip, abs=0.015)


def test_a_run_is_chosen_from_with_and_without_verdicts(run):
    assert "no jury has judged them" in select_run(run, rows=400)
    blind = pd.read_parquet(run / "chosen.parquet")
    redrawn = ImageSet.open(run / "redrawn")
    liked = redrawn.strokes.ends[:, 0] == redrawn.strokes.ends[:, 1]
    np.save(run / "redrawn" / "verdicts.npy", np.where(liked, 0.0, -3.0).astype(np.float32))
    assert "by the jury's verdicts" in select_run(run, rows=400)
    judged = pd.read_parquet(run / "chosen.parquet")
    round_trips = [(table["start_station_id"] == table["end_station_id"]).mean() for table in (blind, judged)]
    assert round_trips[1] > 2 * round_trips[0] > 0
    assert len(pd.read_csv(run / "chosen.csv")) == len(judged) == 400


def test_verdicts_on_other_trips_are_refused(run, tmp_path):
    (tmp_path / "redrawn").mkdir()
    np.save(tmp_path / "redrawn" / "verdicts.npy", np.zeros(7, np.float32))
    with pytest.raises(InputError, match="7 verdicts, but 3 trips to choose from; judge them again"):
        read_verdicts(tmp_path, 3)
    assert read_verdicts(run / "images", 1) is None


def test_nothing_decoded_and_unknown_ranks_are_said(run, tmp_path):
    with pytest.raises(InputError, match="no synthetic.parquet; decode first"):
        select_run(tmp_path, rows=10)
    with pytest.raises(InputError, match="--ranks shuffled: give one of painted, spread, drawn"):
        DecodeOptions(ranks="shuffled")
