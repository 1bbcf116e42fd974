"""Recognising: headers give their dialect away, maps read any file, and what does not fit is refused with a remedy."""

import csv
from io import StringIO

import pytest

from rasterize.errors import InputError
from rasterize.formats.recognise import recognise_layout, sniff_column
from tests.trip_files import CITIBIKE_2021, DIALECT_FILES


@pytest.mark.parametrize("kind", DIALECT_FILES)
def test_a_dialect_is_recognised_from_its_header(kind):
    header = next(csv.reader(StringIO(DIALECT_FILES[kind])))
    assert recognise_layout(header, where="f").dialect.name == kind.split(" ")[0]


def test_an_equal_header_counts_once():
    header = next(csv.reader(StringIO(CITIBIKE_2021)))
    layout = recognise_layout([*header, "Started At"], where="t.csv")
    assert layout.positions("started_at") == [header.index("started_at")]
    assert layout.columns[-1] is None


def test_a_date_and_a_time_apart_are_one_column_of_times():
    columns = MAP | {"started_date": "day", "started_time": "hour"}
    del columns["started_at"]
    header = ["day", "hour", "End", "a", "b", "c", "d"]
    # The map names no started_at but both of its halves; so the layout has it, at two positions.
    layout = recognise_layout(header, where="t.csv", columns=columns)
    rows = [["1/31/2019", "5:05 PM", *[None] * 5], [None] * 7]
    format_ = sniff_column(layout, "started_at", rows, where="t.csv", zone=None)
    assert layout.positions("started_at") == [0, 1]
    assert (format_.order, format_.half) == ("mdy", " AM")
    with pytest.raises(InputError, match="t.csv: column 'day' and 'hour': empty in the first 1 rows"):
        sniff_column(layout, "started_at", rows[1:], where="t.csv", zone=None)


# ---- what is refused


def test_a_missing_column_is_named_with_what_there_is_and_what_is_known():
    header = [name for name in next(csv.reader(StringIO(CITIBIKE_2021))) if name != "started_at"]
    with pytest.raises(InputError) as error:
        recognise_layout(header, where="trips.csv")
    message = str(error.value)
    assert message.startswith("trips.csv: no column 'startedat' (dialect 'citibike-2021'). The file has: 'ride_id'")
    assert "Known dialects: citibike-2013" in message and "--column" in message


def test_an_unknown_header_lists_columns_and_dialects():
    with pytest.raises(
        InputError, match=r"t.csv: the header is of no known dialect. The file has: 'a', 'b'. Known dia"
    ):
        recognise_layout(["a", "b"], where="t.csv")


MAP = {"started_at": "Begin", "ended_at": "End", "start_lat": "a", "start_lng": "b", "end_lat": "c", "end_lng": "d"}


def test_a_column_map_reads_any_file():
    layout = recognise_layout(["Begin", "End", "a", "b", "c", "d", "user_type", "other"], where="t.csv", columns=MAP)
    assert layout.fields() == [*("started_at", "ended_at", "start_lat", "start_lng", "end_lat", "end_lng", "user_type")]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (MAP | {"begin": "Begin"}, r"--column begin=…: no such internal column; there are trip_id, started_at"),
        (MAP | {"started_at": "Start"}, r"t.csv: no column 'Start' as --column says. The file has: 'Begin', 'End'"),
        ({"started_at": "Begin"}, r"t.csv: the column map lacks 'end_lat', .*; add --column end_lat=…"),
    ],
)
def test_a_wrong_column_map_is_refused(columns, message):
    with pytest.raises(InputError, match=message):
        recognise_layout(["Begin", "End", "a", "b", "c", "d"], where="t.csv", columns=columns)


def test_an_unknown_dialect_is_refused():
    with pytest.raises(InputError, match="dialect 'citybike': not known; known are citibike-2013"):
        recognise_layout(["a"], where="t.csv", dialect="citybike")
