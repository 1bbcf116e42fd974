"""Rules of columns: SQL and plain cells mean the same, ids are made up, and paths fit their durations."""

import json

import duckdb
import numpy as np
import pytest

from rasterize.formats.column_rules import Degrees, Duration, Gender, Number, Rule, Station, Year
from rasterize.formats.source_format import format_trips
from rasterize.ingest.ingest import read_trips
from tests.trip_files import CITIBIKE_2021, PORTO, cells, write_text


def _read_sql(rule: Rule, texts: list[str]) -> list:
    """Return what the rule's SQL makes of texts."""
    with duckdb.connect() as connection:
        query = f"SELECT {rule.read('x', 'text')} FROM (SELECT unnest(?) AS x)"
        return [value for (value,) in connection.execute(query, [texts]).fetchall()]


@pytest.mark.parametrize("rule", [Rule(), Station(), Gender()])
def test_words_mean_the_same_with_and_without_sql(rule):
    texts = ["Exchange Place", "  72 ", " ", "0", "1", "2.0", "M", "female", "Unknown", "é"]
    assert _read_sql(rule, texts) == [rule.read_word(text) for text in texts]


@pytest.mark.parametrize("rule", [Number(), Degrees(), Duration(), Duration(60.0), Year()])
def test_numbers_mean_the_same_with_and_without_sql(rule):
    texts = ["0", "1", "-74.0334588", "1993", "1969.0", "1984.6", "32767", "32768", "-32768", "1e300", "inf", "-inf"]
    by_sql = np.array(_read_sql(rule, texts), dtype=float)
    np.testing.assert_array_equal(by_sql, rule.read_numbers(np.array(texts, dtype=float)))


def test_made_up_ids_follow_the_seed_and_are_new(sources, tmp_path):
    trips = read_trips([write_text(tmp_path / "t.csv", CITIBIKE_2021)])
    ids = [format_trips(trips, sources["citibike-2021"], seed=seed)["ride_id"].tolist() for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in ids[0])
    assert not set(ids[0]) & {row["ride_id"] for row in cells(CITIBIKE_2021)}


def test_porto_resamples_a_path_to_its_duration(sources, tmp_path):
    trips = read_trips([write_text(tmp_path / "t.csv", PORTO)]).assign(duration_s=90.0)
    lines = [json.loads(line) for line in format_trips(trips, sources["porto"])["POLYLINE"]]
    assert [len(line) for line in lines] == [7, 7]
