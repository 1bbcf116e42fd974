"""Reading: files become clean trips and stations, every row is accounted for, and what cannot work is refused."""

import json
import subprocess
import sys
import zipfile

import geopandas
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.files import sha256
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.simulated_city import write_city
from tests.trip_files import CABS, CITIBIKE_2019, CITIBIKE_2021, PORTO, citibike, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """3,000 trips of the simulated city and five bad rows."""
    path = tmp_path_factory.mktemp("city") / "city.csv"
    write_city(path, trips=3000, stations=12, days=14)
    return path


def test_a_run_folder_gets_trips_stations_and_rejects(city, tmp_path):
    ingested = ingest_files([city], tmp_path)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    stations = geopandas.read_parquet(tmp_path / "stations.parquet")
    assert ingested.n_trips == len(trips) == 3000
    assert list(trips) == [
        *("trip_id", "started_at", "ended_at", "duration_s", "start_station_id", "end_station_id"),
        *("start_lat", "start_lng", "end_lat", "end_lng", "user_type", "gender", "birth_year", "bike_id", "split"),
    ]
    assert trips["started_at"].is_monotonic_increasing and trips["started_at"].dtype == "datetime64[us]"
    assert trips["birth_year"].dtype == "int16" and (trips["ended_at"] > trips["started_at"]).all()
    assert (
        list(stations) == ["station_id", "name", "starts", "ends", "uses", "geometry"] and stations.crs == "EPSG:4326"
    )
    counts = trips["start_station_id"].value_counts()
    assert stations.set_index("station_id")["starts"].to_dict() == counts.to_dict()
    at = stations.set_index("station_id").geometry.loc[trips["end_station_id"]]
    assert (at.y.to_numpy() == trips["end_lat"]).all() and (at.x.to_numpy() == trips["end_lng"]).all()
    assert ingested.frame.contains(trips["start_lat"], trips["start_lng"]).all()
    rejects = json.loads((tmp_path / "rejects.json").read_text())
    assert rejects == ingested.rejects
    assert (rejects["rows"], rejects["kept"]) == (3005, 3000)
    assert set(rejects["rejected"].values()) == {1} and len(rejects["rejected"]) == 5
    assert rejects["files"][0] == {"file": "city.csv", "rows": 3005, "kept": 3000, "rejected": rejects["rejected"]}


def test_the_same_files_and_seed_give_the_same_bytes(city, tmp_path):
    for run in ("a", "b"):
        ingest_files([city], tmp_path / run)
    ingest_files([city], tmp_path / "c", options=IngestOptions(seed=1))
    sums = {run: sha256(tmp_path / run / "trips.parquet") for run in "abc"}
    assert sums["a"] == sums["b"] != sums["c"]
    assert sha256(tmp_path / "a/stations.parquet") == sha256(tmp_path / "b/stations.parquet")


@pytest.mark.parametrize("share", [0.2, 1 / 3, 1.0])
def test_split_shares_are_as_asked(city, tmp_path, share):
    ingest_files([city], tmp_path, options=IngestOptions(train_share=share))
    shares = pd.read_parquet(tmp_path / "trips.parquet")["split"].value_counts(normalize=True)
    rest = (1 - share) / 2
    for name, expected in (("A", share), ("B", rest), ("C", rest)):  # 5 standard errors of a share of 3,000
        assert abs(shares.get(name, 0) - expected) <= 5 * (expected * (1 - expected) / 3000) ** 0.5


def test_equal_times_keep_the_order_of_the_files(tmp_path):
    first = write_text(tmp_path / "b.csv", citibike([{"bikeid": 1}, {"bikeid": 2}]))
    second = write_text(tmp_path / "a.csv", citibike([{"bikeid": 3}]))
    assert read_trips([first, second])["bike_id"].tolist() == ["1", "2", "3"]
    assert read_trips([second, first])["bike_id"].tolist() == ["3", "1", "2"]


def test_trips_of_several_files_and_packings_add_up(city, tmp_path):
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(city, "in/city.csv")
        archive.writestr("__MACOSX/in/._city.csv", "rubbish")
    rejects = ingest_files([city, tmp_path / "c.zip"], tmp_path / "run").rejects
    assert rejects["kept"] == 6000
    assert [(file["file"], file["rows"]) for file in rejects["files"]] == [("city.csv", 3005), ("c.zip", 3005)]


GOOD, SHORT, LONG_LINE = citibike([{}]).splitlines()[1], "1,2,3", citibike([{}]).splitlines()[1] + ",more"
BAD_LINES = {"": "blank line", "," * 14: "blank line", SHORT: "unreadable line", LONG_LINE: "unreadable line"}
BAD_LINES |= {
    GOOD.replace("Exchange", '"Exchange'): "unreadable line",
    GOOD.replace("09.7110", "99"): "unreadable time",
}
BAD_LINES |= {GOOD.replace("Exchange", '"Ex"change'): "unreadable line"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*BAD_LINES, GOOD]), max_size=30))
def test_every_line_is_kept_or_rejected_for_its_reason(tmp_path, lines):
    lines = [GOOD, *lines, GOOD]
    header = citibike([]).splitlines()[0]
    path = write_text(tmp_path / "t.csv", "\n".join([header, *lines]) + "\n")
    rejects = ingest_files([path], tmp_path / "run").rejects
    expected = pd.Series([BAD_LINES[line] for line in lines if line != GOOD], dtype=object).value_counts()
    assert rejects["rejected"] == expected.to_dict()
    assert rejects["rows"] == len(lines) == rejects["kept"] + sum(rejects["rejected"].values())


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


def test_a_cab_file_gives_its_runs_with_a_passenger(tmp_path):
    path = write_text(tmp_path / "new_cab.txt", CABS + "rubbish\r\n")
    rejects = ingest_files([path], tmp_path / "run", options=LENIENT).rejects
    assert (rejects["rows"], rejects["kept"], rejects["rejected"]) == (3, 2, {"unreadable line": 1})
    trips = pd.read_parquet(tmp_path / "run" / "trips.parquet")
    assert trips["duration_s"].tolist() == [600, 300]
    assert trips["started_at"][0] == pd.Timestamp("2008-05-17 04:16:54")  # San Francisco
    assert trips["waypoints"][1].tolist() == [37.75149, -122.39447, 37.75549, -122.38447, 37.76149, -122.38447]


def test_a_column_map_with_stations_apart_reads_any_file(tmp_path):
    rows = ["from,to,left;x,took", "A1,B2,31.01.2019 10:00,12:30", "B2,A1,01.02.2019 11:00,0:11:00"]
    text = "\n".join([*rows, "B2,9,01.02.2019 11:00,0:11:00", ""])  # no duration h:mm:ss; fine; no such station
    path = write_text(tmp_path / "t.csv", text)
    stations = {"data": {"stations": [{"station_id": "a", "short_name": "A1", "name": "Ä", "lat": 45.5, "lon": -73.6}]}}
    stations["data"]["stations"].append({"station_id": "B2", "lat": 45.51, "lon": -73.61})
    (tmp_path / "s.json").write_text(json.dumps(stations))
    columns = {"started_at": "left;x", "duration_clock": "took", "start_station_id": "from", "end_station_id": "to"}
    options = IngestOptions(columns=columns, stations=tmp_path / "s.json")
    trips = read_trips([path], options=options)
    assert trips["start_station_id"].tolist() == ["B2"] and trips["duration_s"].tolist() == [660]
    assert trips["end_station_name"].tolist() == ["Ä"] and trips["start_lat"].tolist() == [45.51]


def test_our_own_files_read_as_they_are(city, tmp_path):
    ingest_files([city], tmp_path)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    trips.to_csv(tmp_path / "synthetic.csv", index=False)
    for name in ("trips.parquet", "synthetic.csv"):
        again = read_trips([tmp_path / name])
        shared = [column for column in trips if column not in ("trip_id", "birth_year")]
        pd.testing.assert_frame_equal(again[shared], trips[shared], check_dtype=False)


def test_slashed_dates_are_settled_by_the_whole_file(tmp_path):
    times = [
        {"starttime": f"{day}/01/2019 10:00", "stoptime": f"{day}/01/2019 10:10", "tripduration": 600} for day in (1, 2)
    ]
    rows = times * 1500 + [times[0] | {"starttime": "31/01/2019 10:00", "stoptime": "31/01/2019 10:10"}]
    trips = read_trips([write_text(tmp_path / "t.csv", citibike(rows))])
    assert set(trips["started_at"].dt.month) == {1} and len(trips) == 3001


# ---- refused, in one line, with nothing left behind


def refused(path, tmp_path, options=None) -> str:
    run = tmp_path / "refused"
    with pytest.raises(InputError) as error:
        ingest_files([path], run, options=options)
    assert "\n" not in str(error.value) and not run.exists()
    return str(error.value)


def test_what_cannot_be_read_is_refused_with_file_and_remedy(tmp_path):
    def message(text: str, options: IngestOptions | None = None) -> str:
        return refused(write_text(tmp_path / "t.csv", text), tmp_path, options)

    assert "t.csv: the file is empty; download" in message("")
    assert "t.csv: a header but no rows" in message(citibike([]))
    assert "t.csv: 1 of 1 rows are left as trips, at least 2 are needed" in message(citibike([{}]))
    assert "t.csv: 0 of 2 rows are left as trips" in message(citibike([{"tripduration": 5}] * 2))
    one = {"end station id": 3183, "end station latitude": 40.7162469, "end station longitude": -74.0334588}
    assert "t.csv: all 2 trips are at one station; give trips between" in message(citibike([one, one]))
    assert "no column 'stoptime' (dialect 'citibike-2013'). The file has: 'tripduration'" in message(
        CITIBIKE_2019.replace('"stoptime"', '"stopped"')
    )
    destroyed = citibike([{"starttime": "09:09.7"}] * 3)
    assert "t.csv: column 'starttime': the times are destroyed; the column holds '09:09.7'" in message(destroyed)
    assert "t.csv: column 'starttime': empty" in message(citibike([{"starttime": ""}] * 3))
    nowhere = citibike([{"end station latitude": ""}] * 3)
    assert "t.csv: column 'end station latitude' is empty in all 3 rows" in message(nowhere)
    assert "--column x=…: no such internal column" in message("a\n1\n", IngestOptions(columns={"x": "a"}))


@pytest.mark.parametrize(("lat", "lng"), [(-74.03, 40.71), (-8.61, 41.15)])
def test_swapped_coordinates_are_refused_where_all_rows_are(tmp_path, lat, lng):
    names = [f"{end} station {axis}" for end in ("start", "end") for axis in ("latitude", "longitude")]
    path = write_text(tmp_path / "t.csv", citibike([dict(zip(names, (lat, lng, lat + 0.01, lng), strict=True))] * 5))
    message = refused(path, tmp_path)
    assert f"latitude and longitude are swapped; 'start station latitude' holds {lat}" in message


def test_bad_parquet_zones_and_shares_are_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 but not really")
    assert "t.parquet: no Parquet file" in refused(tmp_path / "t.parquet", tmp_path)
    with pytest.raises(InputError, match="time zone 'Atlantis': not known"):
        IngestOptions(time_zone="Atlantis")
    with pytest.raises(InputError, match="train_share 0: must lie in"):
        IngestOptions(train_share=0)


def test_a_file_cut_off_after_a_good_one_leaves_no_run(city, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(city)
    data = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "z.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="z.zip: cut off or damaged"):
        ingest_files([city, tmp_path / "z.zip"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_utc_times_become_local(tmp_path):
    text = CITIBIKE_2021.replace(":07,2021", ":07Z,2021").replace(":37,2021", ":37Z,2021")
    text = text.replace(":40,Jack", ":40Z,Jack").replace("42:40,", "42:40Z,").replace("32:59,", "32:59Z,")
    trips = read_trips([write_text(tmp_path / "t.csv", text)], options=IngestOptions(time_zone="America/New_York"))
    assert trips["started_at"].tolist() == [pd.Timestamp("2021-03-03 05:32:07"), pd.Timestamp("2021-03-13 19:21:37")]


def test_reading_needs_no_torch():
    modules = "rasterize.ingest.ingest, rasterize.formats.source_format, rasterize.simulated_city"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
