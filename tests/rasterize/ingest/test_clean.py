"""Cleaning: each rule rejects what it names, the first one counts, and the area is robust."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterize.ingest.clean import count_bins, find_box, find_quantiles
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import CleanOptions, IngestOptions
from tests.trip_files import citibike, write_text

NOWHERE = {"end station latitude": 0, "end station longitude": 0}
SWAPPED = {"end station latitude": -74.0364857, "end station longitude": 40.7127742}
ACROSS = {"end station id": 9, "end station latitude": 40.7153379, "end station longitude": -73.9165}
MISSING = {"end station id": "NULL", "end station latitude": "NULL", "end station longitude": "NULL"}
CASES = {
    "unreadable time": {"starttime": "2019-13-01 03:09:09"},
    "end not after start": {"stoptime": "2018-12-31 03:12:30"},
    "too short": {"tripduration": 59, "stoptime": "2019-01-01 03:10:08"},
    "too long": {"tripduration": 234 * 86400, "stoptime": "2019-08-23 03:09:09"},
    "missing coordinates or station": MISSING,
    "coordinates at (0, 0)": NOWHERE,
    "latitude and longitude swapped": SWAPPED,
    "outside the area": ACROSS,
    "too fast": {"end station id": 3276, "end station latitude": 40.7262469, "tripduration": 60},
    "depot or test shop": {"end station name": "JCBS Depot"},
    "one-off place": {"end station id": 1, "end station latitude": 40.7127},
}
GOOD = [{"end station id": 3276, "end station latitude": 40.7262469}, {}] * 10


@pytest.mark.parametrize("reason", CASES)
def test_each_rule_rejects_its_case_and_nothing_else(reason, tmp_path):
    path = write_text(tmp_path / "t.csv", citibike([*GOOD, CASES[reason]]))
    rejects = ingest_files([path], tmp_path / "run").rejects
    assert rejects["rejected"] == {reason: 1} and rejects["kept"] == 20


def test_the_first_rule_counts(tmp_path):
    row = CASES["too long"] | ACROSS | {"end station name": "JCBS Depot"}
    rejects = ingest_files([write_text(tmp_path / "t.csv", citibike([*GOOD, row]))], tmp_path / "run").rejects
    assert rejects["rejected"] == {"too long": 1}


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (CleanOptions(min_duration_s=10), "too short"),
        (CleanOptions(max_duration_s=1e8), "too long"),
        (CleanOptions(max_speed_kmh=200), "too fast"),
        (CleanOptions(vehicle="taxi"), "too fast"),
        (CleanOptions(depot_names=""), "depot or test shop"),
        (CleanOptions(box_margin=50, box_mads=1000), "outside the area"),
    ],
)
def test_every_rule_is_an_option(options, reason, tmp_path):
    path = write_text(tmp_path / "t.csv", citibike([*GOOD, CASES[reason], CASES[reason]]))
    rejects = ingest_files([path], tmp_path / "run", options=IngestOptions(clean=options)).rejects
    assert reason not in rejects["rejected"]


@pytest.mark.parametrize(
    ("start", "stop", "reported", "end", "seconds"),
    [
        ("2019-03-10 01:50:00", "2019-03-10 03:10:00", 1200, "2019-03-10 02:10:00", 1200),  # clocks go forward
        ("2019-11-03 01:50:00", "2019-11-03 01:10:00", 1200, "2019-11-03 02:10:00", 1200),  # and back
        ("2019-01-01 10:00:00.9", "2019-01-01 10:10:00.1", 599, "2019-01-01 10:10:00.1", 599),  # cut, not rounded
        ("2019-01-01 10:00:00", "2019-01-01 10:10:00", "", "2019-01-01 10:10:00", 600),  # not reported
    ],
)
def test_the_reported_duration_is_trusted(start, stop, reported, end, seconds, tmp_path):
    row = {"starttime": start, "stoptime": stop, "tripduration": reported}
    trips = read_trips([write_text(tmp_path / "t.csv", citibike([row]))])
    assert trips["duration_s"].tolist() == [seconds] and trips["ended_at"].tolist() == [pd.Timestamp(end)]


def _find_area(points: np.ndarray, options: CleanOptions):
    """Return the area of points, latitude and longitude, [N, 2]."""
    once = np.ones(len(points), np.int64)
    return find_box(*(count_bins(degrees, once) for degrees in points.T), options)


@settings(max_examples=30)
@given(st.integers(0, 2**32 - 1), st.floats(-0.05, 0.05), st.integers(1, 60))
def test_the_area_holds_most_points_and_no_stray_ones(seed, shift, strays):
    rng = np.random.default_rng(seed)
    most = np.array([45.5, -122.6]) + rng.normal(0, 0.02, (4000, 2)) + shift
    odd = np.array([45.5, -122.6]) + rng.choice([-1, 1], (strays, 2)) * rng.uniform(1, 40, (strays, 2))
    box = _find_area(np.vstack([most, odd]), CleanOptions())
    assert box.holds(*most.T).mean() > 0.99
    # Odd points are a degree or more away along both axes.
    assert not ((odd[:, 0] > box.south) & (odd[:, 0] < box.north)).any()
    assert not ((odd[:, 1] > box.west) & (odd[:, 1] < box.east)).any()


def test_points_at_one_spot_still_have_an_area():
    box = _find_area(np.full((10, 2), 40.0), CleanOptions())
    assert box.south < 40 < box.north and box.west < 40 < box.east


@given(st.lists(st.tuples(st.integers(-50, 50), st.integers(1, 9)), min_size=1, unique_by=lambda pair: pair[0]))
def test_weighted_quantiles_are_those_of_the_repeated_values(pairs):
    values, counts = np.array(sorted(pairs)).T
    repeated = np.repeat(values, counts)
    shares = [0.0, 0.1, 0.5, 1.0]
    expected = np.quantile(repeated, shares, method="inverted_cdf")
    assert np.allclose(find_quantiles(values, counts, shares), expected)
