"""Parts: what is staged is read back as it was, and an interrupted stage goes on from what is there."""

import json
import os

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.files import sha256
from rasterize.ingest.ends import End
from rasterize.ingest.ingest import _cut_row_groups, ingest_files
from rasterize.ingest.options import CleanOptions, IngestOptions
from rasterize.ingest.parts import find_part
from rasterize.ingest.read_table import make_part
from rasterize.ingest.reading import Words
from rasterize.ingest.unpack import find_tables
from tests.trip_files import CITIBIKE_2019, citibike, write_text

NUMBERS = st.integers(-1, 3)
DEGREES = st.sampled_from([0.0, 40.5, 40.6, np.nan])


@given(st.lists(st.tuples(NUMBERS, NUMBERS, DEGREES, DEGREES), min_size=1, max_size=40))
def test_ends_fold_into_few_and_spread_out_again(rows):
    columns = [np.array(values, kind) for values, kind in zip(zip(*rows, strict=True), "iidd", strict=True)]
    end = End.from_arrow(End.fold(*columns).to_arrow())
    for values, folded in zip(columns, end[1:], strict=True):
        np.testing.assert_array_equal(end.spread(folded), values)
    which = np.arange(len(rows)) % 2 == 0
    assert end.count(which).sum() == which.sum()
    assert end.count(which)[end.of_row[which]].min(initial=1) >= 1


def test_docked_ends_fold_to_one_per_station():
    station = np.tile(np.arange(5, dtype=np.int32), 100)
    end = End.fold(station, station, station / 10, station / 20)
    assert len(end.lat) == 6  # and one for none


def test_words_of_one_meaning_have_one_number():
    words = Words()
    meaning = {"m": "male", "M": "male", "f": "female", "": None}.get
    column = pa.array(["m", "f", None, "M", "", "m"]).dictionary_encode()
    assert words.number(column, meaning).tolist() == [0, 1, -1, 0, -1, 0]
    assert words.number(pa.array(["f", "m"]).dictionary_encode(), meaning).tolist() == [1, 0]
    assert list(words.texts) == ["male", "female"]


@given(st.lists(st.integers(0, 7), max_size=30))
def test_row_groups_are_of_one_size_and_lose_nothing(sizes):
    cuts = np.cumsum([0, *sizes])
    batches = [pa.record_batch({"x": np.arange(a, b)}) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    groups = [group["x"].to_pylist() for group in _cut_row_groups(batches, 4)]
    assert sum(groups, []) == list(range(cuts[-1]))
    assert all(len(group) == 4 for group in groups[:-1]) and all(1 <= len(group) <= 4 for group in groups)


@pytest.fixture
def files(tmp_path):
    times = [{"starttime": f"2019-01-0{day} 10:00:00", "stoptime": f"2019-01-0{day} 10:03:21"} for day in range(1, 9)]
    first = write_text(tmp_path / "a.csv", citibike(times))
    return [first, write_text(tmp_path / "b.csv", citibike(times + [{"starttime": "never"}]))]


def test_a_part_that_is_there_is_not_made_again(files, tmp_path):
    run, options = tmp_path / "run", IngestOptions()
    whole = ingest_files(files, tmp_path / "whole", options=options)
    part = make_part(find_tables(files[0])[0], run / "parts", options)
    told = json.loads(part.path.with_suffix(".json").read_text())
    part.path.with_suffix(".json").write_text(json.dumps(told | {"name": "as it was"}))
    ingested = ingest_files(files, run, options=options)
    assert [table["file"] for table in ingested.rejects["files"]] == ["as it was", "b.csv"]
    assert ingested.rejects["rejected"] == whole.rejects["rejected"] == {"unreadable time": 1}
    assert sha256(run / "trips.parquet") == sha256(tmp_path / "whole" / "trips.parquet")
    assert not (run / "parts").exists()


def test_a_part_follows_its_file_and_how_it_is_read(files, tmp_path):
    (table,) = find_tables(files[0])
    strict = IngestOptions(clean=CleanOptions(min_duration_s=300))
    paths = [make_part(table, tmp_path / "parts", options).path for options in (IngestOptions(), strict, strict)]
    assert paths[0] != paths[1] == paths[2]
    os.utime(files[0], (1e9, 1e9))
    assert make_part(table, tmp_path / "parts", strict).path not in paths


def test_half_a_part_is_none(files, tmp_path):
    (table,) = find_tables(files[0])
    part = make_part(table, tmp_path, IngestOptions())
    assert find_part(part.path) is not None
    part.path.with_suffix(".json").unlink()
    assert find_part(part.path) is None


def test_a_refused_file_leaves_an_older_run_as_it_was(files, tmp_path):
    run = tmp_path / "run"
    ingest_files(files, run)
    before = {path.name: sha256(path) for path in run.iterdir()}
    bad = write_text(tmp_path / "bad.csv", CITIBIKE_2019.replace("starttime", "begun"))
    with pytest.raises(InputError):
        ingest_files([*files, bad], run)
    assert {path.name: sha256(path) for path in run.iterdir()} == before
