"""The trips that the benchmark can run on: their files, and what is said where they are absent."""

import pytest

from benchmarks.fidelity.sets import SETS, WINTER, choose_trip_set
from rasterize.errors import InputError


def test_absent_data_and_unknown_names_are_said(tmp_path):
    with pytest.raises(InputError, match="no .*JC-201901.* and no .*JC-201902.*--data"):
        SETS[WINTER].files(tmp_path)
    with pytest.raises(InputError, match="--trips paris: unknown; there are jersey-city, jersey-city-year, new-york"):
        choose_trip_set("paris")


def test_sets_find_their_files(shared_data):
    names = {name: [path.name for path in trip_set.files(shared_data)] for name, trip_set in SETS.items()}
    assert [name[:9] for name in names[WINTER]] == ["JC-201901", "JC-201902"]
    assert names["jersey-city-year"][0].startswith("JC-201809") and len(names["jersey-city-year"]) == 12
    assert names["new-york"] == ["nyc-652k-trips.parquet"]
