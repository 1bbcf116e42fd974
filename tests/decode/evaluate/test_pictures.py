"""Pictures of trips: each figure against a hand-computed example; copies, fresh trips, shuffled ends, another city."""

import numpy as np
import pandas as pd
import pytest
from sklearn.neighbors import NearestNeighbors

from decode.evaluate.metric_list import METRICS
from decode.evaluate.pictures import (
    FEWEST_PICTURES,
    MOST_PICTURES,
    TRIPS_PER_PICTURE,
    RealPictures,
    active_share,
    density_and_coverage,
    pool_levels,
    relative_w1,
    sliced_distance,
)

FIGURES = tuple(metric.name for metric in METRICS if metric.number == 18)
STATIONS = 25
EAST, NORTH = np.arange(STATIONS) % 5 / 100, np.arange(STATIONS) // 5 / 100
STATIONS_AT = pd.DataFrame({"lat": 40 + NORTH, "lng": -74 + EAST}, index=[f"s{k}" for k in range(STATIONS)])
ELSEWHERE = pd.DataFrame({"lat": 40 + NORTH, "lng": -73.9 + EAST}, index=[f"e{k}" for k in range(STATIONS)])


def random_trips(rows, *, seed):
    """Make trips of one or two stations eastward, between stations that are not equally popular."""
    rng = np.random.default_rng(seed)
    start = rng.choice(STATIONS, rows, p=np.arange(1, STATIONS + 1) / (STATIONS * (STATIONS + 1) / 2))
    end = start // 5 * 5 + np.minimum(start % 5 + rng.integers(1, 3, rows), 4)
    return pd.DataFrame({"start": [f"s{k}" for k in start], "end": [f"s{k}" for k in end]})


def measure(table, *, stations=STATIONS_AT):
    """Measure a table against the pictures of 3000 real trips."""
    return RealPictures(holdout=random_trips(3000, seed=1), stations=stations, seed=0).measure_table(table)


# ---- figures -------------------------------------------------------------------------------------------------------


def test_sliced_distance_by_hand():
    rng = np.random.default_rng(0)
    real = rng.normal(size=(400, 1, 1, 1)).astype(np.float32)
    # of one pixel every direction shows the same: the shift, in standard deviations
    assert sliced_distance(real + 0.5 * real.std(), real, 0) == pytest.approx(0.5, rel=1e-4)
    assert sliced_distance(7 * (real + 0.5 * real.std()), 7 * real, 0) == pytest.approx(0.5, rel=1e-4)

    # equal pictures, one plane empty
    pictures = rng.normal(size=(50, 4, 8, 8)).astype(np.float32)
    pictures[:, 3] = 0
    assert sliced_distance(pictures, pictures, 0) == 0

    # no plane counts more because its levels are higher
    other = rng.normal(0.5, 1, pictures.shape).astype(np.float32)
    louder = np.float32([1, 100, 1, 1])[:, None, None]
    assert sliced_distance(louder * other, louder * pictures, 0) == pytest.approx(
        sliced_distance(other, pictures, 0), rel=1e-4
    )

    # which plane holds the level is seen
    exchanged = pictures[:, [1, 0, 2, 3]] + np.float32([0, 1, 0, 0])[:, None, None]
    planes = pictures + np.float32([1, 0, 0, 0])[:, None, None]
    assert sliced_distance(exchanged, planes, 0) > 0.3


def test_density_and_coverage_by_hand():
    real = np.arange(12.0)[:, None]
    # radii 5, 4, 3, 3, 3, …: a point at 0 lies in the balls of 0, 1, 2 and, on the border, 3
    assert density_and_coverage(np.zeros((1, 1)), real) == pytest.approx((4 / 5, 4 / 12))
    assert density_and_coverage(np.full((3, 1), 99.0), real) == (0, 0)
    assert density_and_coverage(np.zeros((3, 1)), real) == pytest.approx((4 / 5, 4 / 12))


def test_density_and_coverage_are_those_of_nearest_neighbours():
    rng = np.random.default_rng(0)
    points, real = rng.normal(0.3, 1, (80, 6)), rng.normal(size=(90, 6))
    radius = NearestNeighbors(n_neighbors=5).fit(real).kneighbors()[0][:, -1]
    inside = np.linalg.norm(points[:, None] - real[None], axis=2) <= radius
    expected = inside.sum() / (5 * 80), inside.any(axis=0).mean()
    assert density_and_coverage(points, real) == pytest.approx(expected)


def test_pooling_mass_and_active_cells_by_hand():
    picture = np.zeros((1, 2, 8, 8), np.float32)
    picture[0, 0, 0, 0], picture[0, 0, 3, 3], picture[0, 1, 7, 0], picture[0, 1, 0, 0] = 1, 2, 4, 0.5
    assert pool_levels(picture).tolist() == [[3, 0, 0, 0, 0.5, 0, 4, 0]]
    assert active_share(picture).tolist() == [3 / 64]
    assert active_share(picture / 10).tolist() == [1 / 64]  # .4; the others are traces
    assert relative_w1(np.array([1.0, 3.0]), np.array([2.0, 6.0])) == pytest.approx((1 + 3) / 2 / 4)


# ---- drawing -------------------------------------------------------------------------------------------------------


def test_pictures_hold_eight_trips_each_in_order():
    rows = pd.DataFrame({"start": ["s0"] * 8 + ["nowhere"] + ["s6"] * 11, "end": ["s4"] * 8 + ["s1"] + ["s6"] * 11})
    pictures = RealPictures(holdout=rows, stations=STATIONS_AT, seed=0)._pictures
    assert pictures.shape == (2, 4, 32, 32)
    # pixels from the westernmost to the easternmost station: all but the margins, if as wide as high
    length = 32 - 2 * 2
    squeeze = np.cos(np.radians(40.02))
    strokes, blobs = pictures[:, :2].sum(axis=(1, 2, 3)), pictures[:, 2:].sum(axis=(1, 2, 3))
    np.testing.assert_allclose(strokes, [8 * length * squeeze, 0], rtol=1e-3)
    np.testing.assert_allclose(blobs, 8 * 2 * 3, rtol=0.01)  # each trip has two of three pixels; tails are cut off


def test_no_more_pictures_than_can_be_compared():
    rows = random_trips((MOST_PICTURES + 9) * TRIPS_PER_PICTURE, seed=0)
    assert len(RealPictures(holdout=rows, stations=STATIONS_AT, seed=0)._pictures) == MOST_PICTURES


# ---- known answers -------------------------------------------------------------------------------------------------


def test_a_copy_is_perfect():
    figures = measure(random_trips(3000, seed=1))
    assert tuple(figures) == FIGURES
    assert figures["picture_swd"] == figures["picture_mass"] == figures["picture_active_cells"] == 0
    # a picture lies in its own ball and in five others
    assert figures["picture_coverage"] == 1 and figures["picture_density"] == pytest.approx(6 / 5)


def test_fresh_pictures_are_near_and_shuffled_ends_are_far():
    shuffled = random_trips(3000, seed=3)
    shuffled["end"] = np.random.default_rng(0).permutation(shuffled["end"])
    fresh, shuffled = measure(random_trips(3000, seed=2)), measure(shuffled)
    assert fresh["picture_density"] == pytest.approx(1, abs=0.1) and fresh["picture_coverage"] > 0.94
    assert fresh["picture_swd"] < 0.1 and fresh["picture_mass"] < 0.03 and fresh["picture_active_cells"] < 0.03
    for name in ("picture_swd", "picture_mass", "picture_active_cells"):
        assert shuffled[name] > 3 * fresh[name], name
    for name in ("picture_density", "picture_coverage"):
        assert shuffled[name] < 0.5 * fresh[name], name


def test_direction_is_seen():
    fresh = random_trips(3000, seed=2)
    back = measure(fresh.rename(columns={"start": "end", "end": "start"}))
    fresh = measure(fresh)
    assert back["picture_mass"] == pytest.approx(fresh["picture_mass"], abs=1e-3)
    assert back["picture_swd"] > 3 * fresh["picture_swd"] and back["picture_coverage"] < 0.5


def test_another_city_is_like_no_real_picture():
    both = pd.concat([STATIONS_AT, ELSEWHERE])
    elsewhere = random_trips(3000, seed=2).apply(lambda column: column.str.replace("s", "e"))
    figures, fresh = measure(elsewhere, stations=both), measure(random_trips(3000, seed=2), stations=both)
    assert figures["picture_density"] < 0.01 and figures["picture_coverage"] < 0.01
    assert figures["picture_swd"] > 5 * fresh["picture_swd"]


def test_the_seed_chooses_directions():
    real, table = random_trips(400, seed=1), random_trips(400, seed=2)
    first, again, other = (
        RealPictures(holdout=real, stations=STATIONS_AT, seed=seed).measure_table(table)["picture_swd"]
        for seed in (0, 0, 1)
    )
    assert first == again and first != other and first == pytest.approx(other, rel=0.2)


def test_too_few_pictures_are_not_measured():
    rows = FEWEST_PICTURES * TRIPS_PER_PICTURE
    assert measure(random_trips(rows - 1, seed=2)) == dict.fromkeys(FIGURES)
    assert None not in measure(random_trips(rows, seed=2)).values()
