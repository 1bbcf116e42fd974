"""The reader of any table: types, missing values, times and paths come out as the publisher means them."""

import pandas as pd
import pytest

from rasterize.errors import InputError
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import CITIBIKE_2021, PORTO, citibike, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))


def test_ids_stay_text_and_missing_values_are_missing(tmp_path):
    rows = [
        {"start station id": "5247.10", "birth year": "\\N", "gender": 0},
        {"start station id": "JC105", "birth year": "NULL", "usertype": ""},
        {"start station id": "007", "birth year": 0, "gender": 2},
        {"start station id": "007", "birth year": "1969.0", "gender": ""},
    ]
    trips = read_trips([write_text(tmp_path / "t.csv", citibike(rows))])
    assert trips["start_station_id"].tolist() == ["5247.10", "JC105", "007", "007"]
    assert trips["birth_year"].isna().tolist() == [True, True, True, False] and trips["birth_year"][3] == 1969
    assert trips["user_type"].isna().tolist() == [False, True, False, False]
    assert trips["gender"].fillna("-").tolist() == ["unknown", "male", "female", "-"]


def test_polylines_become_waypoints(tmp_path):
    path = write_text(tmp_path / "p.csv", PORTO)
    ingest_files([path], tmp_path, options=LENIENT)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    first, last = trips["waypoints"].iloc[0], trips.iloc[-1]
    assert first[:2].tolist() == [41.155146, -8.632767] and len(first) == 12
    assert (last["end_lat"], last["end_lng"]) == (41.148873, -8.640135) and last["duration_s"] == 60
    assert last["started_at"] == pd.Timestamp("2013-11-30 23:16:46")  # Lisbon
    assert trips["start_station_id"].str.startswith("cell:").all()


def test_slashed_dates_are_settled_by_the_whole_file(tmp_path):
    times = [
        {"starttime": f"{day}/01/2019 10:00", "stoptime": f"{day}/01/2019 10:10", "tripduration": 600} for day in (1, 2)
    ]
    rows = times * 1500 + [times[0] | {"starttime": "31/01/2019 10:00", "stoptime": "31/01/2019 10:10"}]
    trips = read_trips([write_text(tmp_path / "t.csv", citibike(rows))])
    assert set(trips["started_at"].dt.month) == {1} and len(trips) == 3001


def test_utc_times_become_local(tmp_path):
    text = CITIBIKE_2021.replace(":07,2021", ":07Z,2021").replace(":37,2021", ":37Z,2021")
    text = text.replace(":40,Jack", ":40Z,Jack").replace("42:40,", "42:40Z,").replace("32:59,", "32:59Z,")
    trips = read_trips([write_text(tmp_path / "t.csv", text)], options=IngestOptions(time_zone="America/New_York"))
    assert trips["started_at"].tolist() == [pd.Timestamp("2021-03-03 05:32:07"), pd.Timestamp("2021-03-13 19:21:37")]


def test_what_is_no_parquet_is_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="t.parquet: no Parquet file .*download it again"):
        read_trips([tmp_path / "t.parquet"])
