"""The fast reader: it reads plain files, leaves odd ones alone, and never differs from the reader through DuckDB."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from rasterize.ingest import read_arrow
from rasterize.ingest.options import IngestOptions
from rasterize.ingest.read_arrow import NotPlain, read_with_arrow
from rasterize.ingest.read_duckdb import read_with_duckdb
from rasterize.ingest.unpack import find_tables
from rasterize.trip_table import WORD_KINDS
from tests.trip_files import (
    BIKETOWN_2017,
    CABS,
    CITIBIKE_2019,
    CITIBIKE_2021,
    CITIBIKE_TITLES,
    LOUISVILLE,
    PORTO,
    citibike,
    write_text,
)


def _read_rows(read, path: Path, options: IngestOptions | None = None) -> pd.DataFrame:
    """Return what a reader makes of a file, words as texts; `attrs` counts lines that are no rows."""
    with read(find_tables(path)[0], options or IngestOptions()) as reading:
        tables = [pd.DataFrame({name: list(values) for name, values in rows.items()}) for rows in reading.batches]
    table = pd.concat(tables, ignore_index=True)
    for name in WORD_KINDS.keys() & set(table):
        texts = np.array([*reading.words[WORD_KINDS[name]].texts, None], dtype=object)
        table[name] = texts[table[name]]
    for name in ("trip_id", "waypoints"):
        if name in table:
            table[name] = [value.as_py() for value in table[name]]
    table = table.dropna(axis="columns", how="all").sort_index(axis="columns")
    lines = len(table) if reading.lines is None else reading.lines
    table.attrs["lost"] = reading.blank + reading.unreadable + lines - len(table)
    return table


GOOD = CITIBIKE_2019.splitlines()[1:]
PLAIN = citibike([{}, {"birth year": "\\N", "gender": ""}, {"end station id": "NULL"}]).splitlines()[1:]
EARLY = GOOD[0].replace('"Exchange Place"', '"Ex"change Place')  # a quote that closes too early
BETWEEN = PLAIN[0].replace("Place", 'Place"').replace("Essex", 'Es"sex')  # as many that close as that do not
ODD = [
    EARLY,
    EARLY.replace("Essex", ", Essex"),
    BETWEEN,
    GOOD[0].replace("Exchange Place", "Exchange\nPlace"),
    PLAIN[0] + "\r" + PLAIN[1],
    GOOD[0].replace('"Exchange', '"Ex"change'),
    GOOD[0].replace("Exchange Place", 'The ""Hub""'),
    GOOD[0].replace("Exchange Place", ", Exchange"),
    GOOD[0].replace("Place", 'Place", "Other'),
    GOOD[1].replace('"Customer"', '"Customer'),
    PLAIN[0].replace("Exchange", 'Ex"ch"ange'),
    PLAIN[0].replace("201,", '"201"0,'),
    PLAIN[0].replace("40.7162469", "fourty"),
    PLAIN[0].replace("1993", "1993.0"),
    PLAIN[0].replace("1993", "99999"),
    PLAIN[0].replace("40.7162469", "inf"),
    PLAIN[0].replace("03:09:09.7110", "99:09:09"),
    PLAIN[0].replace("2019-01-01 03:09:09.7110", "2019-01-01T03:09"),
    PLAIN[0].replace("Exchange", "  Exchange"),
    PLAIN[0] + ",more",
    PLAIN[0].replace("Place", "Pl\rce"),
    PLAIN[0].replace("Exchange", "Éxchange"),
    "1,2,3",
    "," * 14,
    '"',
    "",
]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.sampled_from([*GOOD, *PLAIN]), min_size=1, max_size=8),
    st.lists(st.sampled_from([*ODD, *GOOD]), max_size=3),
    st.sampled_from(["\n", "\r\n"]),
    st.booleans(),
    st.sampled_from([3, 1 << 17]),
)
@example([GOOD[0]], [GOOD[1].replace('"Customer"', '"Customer')], "\n", False, 3)
def test_both_readers_give_the_same(tmp_path, monkeypatch, lines, odd, end, ended, look):
    monkeypatch.setattr(read_arrow, "LOOK_BYTES", look)
    monkeypatch.setattr(read_arrow, "SAMPLE_ROWS", 1)  # odd lines then get past the look at first lines
    text = end.join([CITIBIKE_2019.splitlines()[0], GOOD[0], *lines, *odd, GOOD[2]]) + (end if ended else "")
    path = write_text(tmp_path / "t.csv", text)
    by_duckdb = _read_rows(read_with_duckdb, path).drop(columns="blank")
    try:
        by_arrow = _read_rows(read_with_arrow, path)
    except NotPlain:
        assert odd
        return
    pd.testing.assert_frame_equal(by_arrow, by_duckdb)
    assert by_duckdb.attrs["lost"] == 0


PLAIN_FILES = {"2019": CITIBIKE_2019, "titles": CITIBIKE_TITLES, "2021": CITIBIKE_2021}
PLAIN_FILES["all quoted"] = CITIBIKE_2019.replace(",1\n", ',"1"\n').replace("\n201,", '\n"201",')
PLAIN_FILES["with spaces and blanks"] = CITIBIKE_2019.replace("Washington", "  Washington").replace('"Customer"', '" "')
PLAIN_FILES |= {
    f"{name}, Windows": text.replace("\n", "\r\n") for name, text in PLAIN_FILES.items() if "\r" not in text
}
MAPPED = "left,arrived,a,b,c,d,hub,to,note\n2019-01-31 10:00,2019-01-31 10:09,45.5,-73.6,45.6,-73.7,X,Y,n\n"


@pytest.mark.parametrize("name", PLAIN_FILES)
def test_plain_files_are_read_by_arrow(name, tmp_path):
    path = write_text(tmp_path / "t.csv", PLAIN_FILES[name])
    by_arrow, by_duckdb = _read_rows(read_with_arrow, path), _read_rows(read_with_duckdb, path).drop(columns="blank")
    pd.testing.assert_frame_equal(by_arrow, by_duckdb)


def test_a_mapped_file_is_read_by_arrow_and_hubs_have_their_names_as_ids(tmp_path):
    columns = {"started_at": "left", "ended_at": "arrived", "start_lat": "a", "start_lng": "b", "end_lat": "c"}
    columns |= {"end_lng": "d", "start_station_name": "hub", "end_station_name": "to"}
    path, options = write_text(tmp_path / "t.csv", MAPPED), IngestOptions(columns=columns)
    by_arrow, by_duckdb = _read_rows(read_with_arrow, path, options), _read_rows(read_with_duckdb, path, options)
    pd.testing.assert_frame_equal(by_arrow, by_duckdb.drop(columns="blank"))
    assert by_arrow["start_station_id"].tolist() == ["X"]


@pytest.mark.parametrize(
    "text",
    [
        *(CITIBIKE_2019 + line + "\n" for line in ["1,2,3", "", "," * 14, *ODD[:5]]),
        CITIBIKE_2019[:-1] + '"',
        *(BIKETOWN_2017, LOUISVILLE, PORTO, CABS),
        MAPPED.replace(",n\n", ',"n\n"\n'),
    ],
)
def test_what_is_not_plain_is_left_to_duckdb(text, tmp_path):
    columns = {"started_at": "left", "ended_at": "arrived", "start_lat": "a", "start_lng": "b", "end_lat": "c"}
    options = IngestOptions(columns=columns | {"end_lng": "d"} if text.startswith("left") else {})
    with pytest.raises(NotPlain):
        _read_rows(read_with_arrow, write_text(tmp_path / "t.csv", text), options)


def test_a_text_in_an_old_encoding_is_not_plain(tmp_path):
    (tmp_path / "t.csv").write_bytes(CITIBIKE_2019.replace("Exchange", "Éxchange").encode("cp1252"))
    with pytest.raises(NotPlain):
        _read_rows(read_with_arrow, tmp_path / "t.csv")
    assert _read_rows(read_with_duckdb, tmp_path / "t.csv")["start_station_name"][0] == "Éxchange Place"


def test_blocks_of_text_join_without_a_seam(tmp_path, monkeypatch):
    lines = CITIBIKE_2019.splitlines()
    path = write_text(tmp_path / "t.csv", "\n".join([lines[0], *lines[1:] * 200]) + "\n")
    whole = _read_rows(read_with_arrow, path)
    monkeypatch.setattr(read_arrow, "BLOCK_BYTES", 1000)
    monkeypatch.setattr(read_arrow, "CHUNK_BYTES", 2000)
    monkeypatch.setattr(read_arrow, "GROUP_BLOCKS", 3)
    pd.testing.assert_frame_equal(_read_rows(read_with_arrow, path), whole)
    assert len(whole) == 600
