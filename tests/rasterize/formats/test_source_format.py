"""The look of a file: quotes, types and missing values come back as the publisher writes them."""

import pandas as pd

from rasterize.formats.csv_text import split_line
from rasterize.formats.source_format import format_trips, write_trips_csv
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import CITIBIKE_2019, CITIBIKE_TITLES, cells, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))


def test_quotes_stand_where_the_file_has_them(tmp_path):
    ingested = ingest_files([write_text(tmp_path / "t.csv", CITIBIKE_2019)], tmp_path / "run", options=LENIENT)
    write_trips_csv(tmp_path / "again.csv", read_trips([tmp_path / "t.csv"]), ingested.source)
    first, again = (path.read_text().splitlines()[1] for path in (tmp_path / "t.csv", tmp_path / "again.csv"))
    quoted, quoted_again = ([cell.startswith('"') for cell in split_line(line, ",")] for line in (first, again))
    assert quoted == quoted_again


def test_types_are_those_of_the_file(sources, tmp_path):
    trips = read_trips([write_text(tmp_path / "t.csv", CITIBIKE_2019)])
    table = format_trips(trips, sources["citibike-2013"])
    kinds = {name: table[name].dtype.kind for name in table}
    assert [name for name, kind in kinds.items() if kind == "i"] == [
        *("tripduration", "start station id", "end station id", "bikeid", "birth year", "gender")
    ]
    assert [name for name, kind in kinds.items() if kind == "f"] == [
        f"{end} station {axis}" for end in ("start", "end") for axis in ("latitude", "longitude")
    ]


def test_a_missing_birth_year_is_spelled_as_the_file_does(sources, tmp_path):
    trips = read_trips([write_text(tmp_path / "t.csv", CITIBIKE_TITLES)])
    write_trips_csv(tmp_path / "again.csv", trips, sources["citibike-2013 with titles"])
    assert [row["Birth Year"] for row in cells((tmp_path / "again.csv").read_text())] == ["1983", "NULL"]


def test_parquet_types_come_back(tmp_path):
    table = pd.DataFrame(cells(CITIBIKE_TITLES)).astype({"Trip Duration": "int32", "Start Station ID": "float64"})
    for name in ("Start Time", "Stop Time"):
        table[name] = pd.to_datetime(table[name]).astype("datetime64[us]")
    table = table.astype({name: "float64" for name in table if "itude" in name})
    table.to_parquet(tmp_path / "t.parquet")
    ingested = ingest_files([tmp_path / "t.parquet"], tmp_path / "run", options=LENIENT)
    trips = read_trips([tmp_path / "t.parquet"])
    assert trips["start_station_id"].tolist() == ["3276", "3185"]
    again = format_trips(trips, ingested.source)
    same = ["Trip Duration", "Start Station ID", "Start Time", "Start Station Latitude", "End Station Longitude"]
    pd.testing.assert_frame_equal(again[same], table[same])
