"""After the generator: ranks even, what is missing still missing."""

import numpy as np
import pytest
from scipy.stats import ks_2samp, spearmanr

from decode.rank_mapping import spread_ranks
from decode.solver.solution import EVIDENCE, Solution
from rasterize.imageset import ImageSet
from rasterize.ingest.options import IngestOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.table import decode_attributes


@pytest.fixture(scope="module")
def images(tmp_path_factory) -> ImageSet:
    """Draw the trips of a simulated city, one to an image."""
    folder = tmp_path_factory.mktemp("ranks")
    write_city(folder / "city.csv", trips=9_000, stations=12)
    options = {"ingest_options": IngestOptions(), "options": RasterOptions(trips_per_image=1)}
    return raster([str(folder / "city.csv")], folder, **options).images


def _make_solution(images, values) -> Solution:
    """Return the training trips, perfectly decoded but for their painted values."""
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
    squashed = _make_solution(images, 0.55 + (true - 0.5) / 5)
    spread = spread_ranks(squashed, images.labels, images.spec)
    want = decode_attributes(_make_solution(images, true), images.labels, images.spec)
    for name in ("duration_s", "birth_year"):
        before, after = (decode_attributes(s, images.labels, images.spec)[name].dropna() for s in (squashed, spread))
        assert ks_2samp(before, want[name].dropna()).statistic > 0.05
        assert ks_2samp(after, want[name].dropna()).statistic < 0.03
    features = images.spec.trip_features(spread.ends, images.labels)
    group = images.spec.channels[0].find_groups(features, len(features))
    for number in np.unique(group):
        rows = group == number
        if rows.sum() >= 20:
            assert spearmanr(spread.values[rows, 0], squashed.values[rows, 0]).statistic > 0.99


def test_drawn_ranks_are_as_even_and_forget_what_was_painted(images):
    painted = _make_solution(images, images.strokes.values)
    drawn = spread_ranks(painted, images.labels, images.spec, drawn=True)
    assert abs(spearmanr(drawn.values[:, 0], painted.values[:, 0]).statistic) < 0.1
    want, found = (decode_attributes(s, images.labels, images.spec) for s in (painted, drawn))
    assert ks_2samp(found["duration_s"], want["duration_s"]).statistic < 0.03


def test_what_is_missing_stays_missing(images):
    values = images.strokes.values.copy()
    values[::7] = 0.0
    spread = spread_ranks(_make_solution(images, values), images.labels, images.spec)
    for plane, channel in enumerate(images.spec.channels):
        assert not channel.missing or (spread.values[::7, plane] < 0.1).all()
        assert (spread.values[1::7, plane] >= 0.2).all()
