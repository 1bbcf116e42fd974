"""Dialects: headers give them away, and every dialect writes what it reads."""

import csv
import json
from io import StringIO

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.formats.dialects import DIALECTS
from rasterize.formats.recognise import recognise_layout
from rasterize.formats.source_format import format_trips, split_line, write_trips_csv
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import CITIBIKE_2019, CITIBIKE_2021, CITIBIKE_TITLES, DIALECT_FILES, PORTO, cells, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))
MADE_UP = {"bikeid", "Bike ID", "ride_id", "RouteID", "BikeID", "TripID", "trip_id", "TRIP_ID", "TAXI_ID"}
# what our trips do not hold: written empty or as a constant; distances are as the crow flies
NOT_KEPT = {"TripType", "BikeName", "Distance_Miles", "Distance_Miles_", "RentalAccessPath", "MultipleRental"}
NOT_KEPT |= {"TripDistance", "trip_distance", "accuracy", "ORIGIN_CALL", "ORIGIN_STAND"}
NOT_KEPT |= {f"{end}_community_area_{what}" for end in ("start", "end") for what in ("number", "name")}


@pytest.mark.parametrize("kind", DIALECT_FILES)
def test_a_dialect_is_recognised_from_its_header(kind):
    header = next(csv.reader(StringIO(DIALECT_FILES[kind])))
    assert recognise_layout(header, where="f").dialect.name == kind.split(" ")[0]


@pytest.mark.parametrize("kind", DIALECT_FILES)
def test_writing_what_was_read_gives_the_file_again(kind, tmp_path):
    text = DIALECT_FILES[kind]
    path = write_text(tmp_path / "trips.csv", text)
    ingested = ingest_files([path], tmp_path / "run", options=LENIENT)
    assert ingested.rejects["kept"] == len(cells(text)), ingested.rejects
    trips = read_trips([path], options=LENIENT)
    write_trips_csv(tmp_path / "again.csv", trips, json.loads(json.dumps(ingested.source)))
    again = (tmp_path / "again.csv").read_bytes().decode()
    assert again.splitlines()[0] == text.splitlines()[0]
    assert again.count("\r") == text.count("\r")
    rows, rows_again = cells(text), cells(again)
    rows.sort(key=lambda row: str([row[name] for name in row if name not in MADE_UP | NOT_KEPT]))
    rows_again.sort(key=lambda row: str([row[name] for name in row if name not in MADE_UP | NOT_KEPT]))
    for row, row_again in zip(rows, rows_again, strict=True):
        same = {name for name in row if name not in MADE_UP | NOT_KEPT}
        assert {name: row_again[name] for name in same} == {name: row[name] for name in same}
        assert all(row_again[name] != row[name] for name in MADE_UP & set(row))


def test_quotes_stand_where_the_file_has_them(tmp_path):
    ingested = ingest_files([write_text(tmp_path / "t.csv", CITIBIKE_2019)], tmp_path / "run", options=LENIENT)
    write_trips_csv(tmp_path / "again.csv", read_trips([tmp_path / "t.csv"]), ingested.source)
    first, again = (path.read_text().splitlines()[1] for path in (tmp_path / "t.csv", tmp_path / "again.csv"))
    quoted, quoted_again = ([cell.startswith('"') for cell in split_line(line, ",")] for line in (first, again))
    assert quoted == quoted_again


@pytest.fixture(scope="module")
def sources(tmp_path_factory) -> dict[str, dict]:
    """What reading a file of each dialect notes of its look."""
    folder = tmp_path_factory.mktemp("sources")
    return {
        kind: ingest_files([write_text(folder / "t.csv", text)], folder / "run", options=LENIENT).source
        for kind, text in DIALECT_FILES.items()
    }


@st.composite
def any_trips(draw) -> pd.DataFrame:
    """Two to five trips between stations and places in the open, as the decoder gives them."""
    n = draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    started = pd.Timestamp("2019-05-01") + pd.to_timedelta(rng.integers(0, 20 * 86_400_000_000, n), unit="us")
    seconds = rng.integers(60_000, 3_600_000, n) / 1000
    trips = pd.DataFrame({"started_at": started.astype("datetime64[us]"), "duration_s": seconds})
    trips["ended_at"] = trips["started_at"] + pd.to_timedelta(seconds, unit="s").astype("timedelta64[us]")
    for end in ("start", "end"):
        position = rng.integers(0, 4, n)
        trips[f"{end}_station_id"] = np.array(["3183", "JC105", "5247.10", "cell:3:4"], dtype=object)[position]
        trips[f"{end}_station_name"] = np.array(["Grove St", 'The "Hub", 5', "Été & Co", "cell 3,4"], dtype=object)[
            position
        ]
        trips[f"{end}_lat"] = 41.1 + position / 1000
        trips[f"{end}_lng"] = -74.02 - position / 1000
    trips["user_type"] = rng.choice(["Subscriber", "Customer"], n)
    trips["gender"] = rng.choice(["unknown", "male", "female"], n)
    trips["birth_year"] = pd.array([1970, None, 1990, None, 1956][:n], dtype="Int16")
    return trips


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("kind", DIALECT_FILES)
@given(trips=any_trips())
def test_any_trips_written_in_a_dialect_read_back_without_rejects(kind, sources, trips, tmp_path):
    path = tmp_path / "synthetic.csv"
    source = sources[kind]
    write_trips_csv(path, trips, source)
    back = read_trips([path])
    assert len(back) == len(trips)
    step = DIALECTS[source["dialect"]].step_s
    trips = trips.sort_values("started_at", ignore_index=True)
    if step == 1:  # else several trips share a time, and their order is lost
        late = (trips["started_at"] - back["started_at"]).dt.total_seconds()
        assert late.between(0, 60).all()
        off = (trips["duration_s"] - back["duration_s"]).abs()
        assert off.max() <= (7.5 if source["dialect"] == "porto" else 1)  # half a fix; a second
        assert np.allclose(trips[["start_lat", "end_lng"]], back[["start_lat", "end_lng"]], atol=1e-6)
        assert "user_type" not in back or (back["user_type"] == trips["user_type"]).all()
    if "gender" in back:
        assert (back["gender"] == trips["gender"]).all()
        assert back["birth_year"].fillna(0).astype(int).tolist() == trips["birth_year"].fillna(0).tolist()


def test_types_are_those_of_the_file(sources):
    trips = read_trips_of(CITIBIKE_2019)
    table = format_trips(trips, sources["citibike-2013"])
    kinds = {name: table[name].dtype.kind for name in table}
    assert [name for name, kind in kinds.items() if kind == "i"] == [
        *("tripduration", "start station id", "end station id", "bikeid", "birth year", "gender")
    ]
    assert [name for name, kind in kinds.items() if kind == "f"] == [
        f"{end} station {axis}" for end in ("start", "end") for axis in ("latitude", "longitude")
    ]


def read_trips_of(text: str) -> pd.DataFrame:
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        return read_trips([write_text(Path(folder) / "t.csv", text)])


def test_made_up_ids_follow_the_seed_and_are_new(sources):
    trips = read_trips_of(CITIBIKE_2021)
    ids = [format_trips(trips, sources["citibike-2021"], seed=seed)["ride_id"].tolist() for seed in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]
    assert all(len(value) == 16 and int(value, 16) >= 0 for value in ids[0])
    assert not set(ids[0]) & {row["ride_id"] for row in cells(CITIBIKE_2021)}


def test_a_missing_birth_year_is_spelled_as_the_file_does(sources, tmp_path):
    write_trips_csv(tmp_path / "t.csv", read_trips_of(CITIBIKE_TITLES), sources["citibike-2013 with titles"])
    assert [row["Birth Year"] for row in cells((tmp_path / "t.csv").read_text())] == ["1983", "NULL"]


def test_porto_resamples_a_path_to_its_duration(sources):
    trips = read_trips_of(PORTO).assign(duration_s=90.0)
    lines = [json.loads(line) for line in format_trips(trips, sources["porto"])["POLYLINE"]]
    assert [len(line) for line in lines] == [7, 7]


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
