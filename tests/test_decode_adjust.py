"""After the generator: ranks even, margins right, nothing repeated."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import ks_2samp, spearmanr

from decode.adjust import Calibrating, rake, spread_ranks
from decode.solve import EVIDENCE, Solution
from decode.trips import decode_attributes
from rasterize.city import write_city
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.places import all_stations
from rasterize.raster import RasterOptions, raster
from rasterize.read import IngestOptions


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    folder = tmp_path_factory.mktemp("adjust")
    write_city(folder / "city.csv", trips=9_000, stations=12)
    options = {"ingest_options": IngestOptions(), "options": RasterOptions()}
    return raster([str(folder / "city.csv")], folder, **options).images


def solution_of(images, values) -> Solution:
    """The training trips, perfectly decoded but for their painted values."""
    ends = images.strokes.ends
    count = len(ends)
    return Solution(
        image=np.arange(count),
        ends=ends,
        route=np.full(count, -1, np.int32),
        evidence=np.ones((count, len(EVIDENCE)), np.float32),
        values=values.astype(np.float32),
        residual=np.zeros(count, np.float32),
        state=np.zeros(count, np.int8),
    )


def test_squashed_ranks_are_spread_and_values_follow_the_training_trips(images):
    true = images.strokes.values
    squashed = solution_of(images, 0.55 + (true - 0.5) / 5)
    spread = spread_ranks(squashed, images.labels, images.spec)
    want = decode_attributes(solution_of(images, true), images.labels, images.spec)
    for name in ("duration_s", "birth_year"):
        before, after = (decode_attributes(s, images.labels, images.spec)[name].dropna() for s in (squashed, spread))
        assert ks_2samp(before, want[name].dropna()).statistic > 0.05
        assert ks_2samp(after, want[name].dropna()).statistic < 0.03
    known = images.spec.known_of(spread.ends, images.labels)
    group = images.spec.channels[0].find_groups(known, len(known))
    for number in np.unique(group):
        rows = group == number
        if rows.sum() >= 20:
            assert spearmanr(spread.values[rows, 0], squashed.values[rows, 0]).statistic > 0.99


def test_drawn_ranks_are_as_even_and_forget_what_was_painted(images):
    painted = solution_of(images, images.strokes.values)
    drawn = spread_ranks(painted, images.labels, images.spec, drawn=True)
    assert abs(spearmanr(drawn.values[:, 0], painted.values[:, 0]).statistic) < 0.1
    want, found = (decode_attributes(s, images.labels, images.spec) for s in (painted, drawn))
    assert ks_2samp(found["duration_s"], want["duration_s"]).statistic < 0.03
    with pytest.raises(InputError, match="--ranks shuffled: give one of painted, spread, drawn"):
        Calibrating(ranks="shuffled")


def test_what_is_missing_stays_missing(images):
    values = images.strokes.values.copy()
    values[::7] = 0.0
    spread = spread_ranks(solution_of(images, values), images.labels, images.spec)
    for plane, channel in enumerate(images.spec.channels):
        assert not channel.missing or (spread.values[::7, plane] < 0.1).all()
        assert (spread.values[1::7, plane] >= 0.2).all()


def test_raking_brings_the_margins_back(images):
    rng, spec = np.random.default_rng(0), images.spec
    stations = all_stations(spec.places)
    ids = np.array([station.id for station in stations])
    bias = rng.uniform(0.4, 2.5, len(ids))
    image = rng.choice(len(images), 12_000, p=(w := bias[images.strokes.ends[:, 0]]) / w.sum())
    ends = images.strokes.ends[image]
    trips = pd.DataFrame({"start_station_id": ids[ends[:, 0]], "end_station_id": ids[ends[:, 1]], "image": image})
    trips["trip_id"] = np.arange(len(trips))

    def error(table, column, uses):
        target = pd.Series([getattr(station, uses) for station in stations], ids, float)
        return float((table[column].value_counts(normalize=True) - target / target.sum()).abs().sum() / 2)

    chosen = rake(trips, images.labels, spec, rows=3_000)
    assert len(chosen) == 3_000 and chosen["trip_id"].is_unique
    for column, uses in (("start_station_id", "starts"), ("end_station_id", "ends")):
        assert error(chosen, column, uses) < 0.03
    assert error(trips, "start_station_id", "starts") > 0.1
    hours = images.labels[chosen["image"], 0]
    wanted = np.bincount(images.labels[:, 0], minlength=24) / len(images)
    assert np.abs(np.bincount(hours, minlength=24) / len(hours) - wanted).sum() / 2 < 0.03
    with pytest.raises(InputError, match="make at least twice as many"):
        rake(trips, images.labels, spec, rows=12_000)
