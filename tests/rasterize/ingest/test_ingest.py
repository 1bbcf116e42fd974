"""Reading: files become clean trips and stations, every row is accounted for, and what cannot work is refused."""

import json
import subprocess
import sys
import zipfile

import geopandas
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.files import sha256
from rasterize.ingest.ingest import _cut_row_groups, ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.simulated_city import write_city
from tests.trip_files import CITIBIKE_2019, citibike, write_text

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


def test_our_own_files_read_as_they_are(city, tmp_path):
    ingest_files([city], tmp_path)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    trips.to_csv(tmp_path / "synthetic.csv", index=False)
    for name in ("trips.parquet", "synthetic.csv"):
        again = read_trips([tmp_path / name])
        shared = [column for column in trips if column not in ("trip_id", "birth_year")]
        pd.testing.assert_frame_equal(again[shared], trips[shared], check_dtype=False)


# ---- refused, in one line, with nothing left behind


def _refuse(path, tmp_path, options=None) -> str:
    """Return the message by which a file is refused, with no run left behind."""
    run = tmp_path / "refused"
    with pytest.raises(InputError) as error:
        ingest_files([path], run, options=options)
    assert "\n" not in str(error.value) and not run.exists()
    return str(error.value)


def test_what_cannot_be_read_is_refused_with_file_and_remedy(tmp_path):
    def message(text: str, options: IngestOptions | None = None) -> str:
        return _refuse(write_text(tmp_path / "t.csv", text), tmp_path, options)

    assert "t.csv: the file is empty; download" in message("")
    assert "t.csv: a header but no rows" in message(citibike([]))
    assert "no column 'stoptime' (dialect 'citibike-2013'). The file has: 'tripduration'" in message(
        CITIBIKE_2019.replace('"stoptime"', '"stopped"')
    )
    destroyed = citibike([{"starttime": "09:09.7"}] * 3)
    assert "t.csv: column 'starttime': the times are destroyed; the column holds '09:09.7'" in message(destroyed)
    assert "t.csv: column 'starttime': empty" in message(citibike([{"starttime": ""}] * 3))
    nowhere = citibike([{"end station latitude": ""}] * 3)
    assert "t.csv: column 'end station latitude' is empty in all 3 rows" in message(nowhere)
    assert "--column x=…: no such internal column" in message("a\n1\n", IngestOptions(columns={"x": "a"}))


def test_a_file_cut_off_after_a_good_one_leaves_no_run(city, tmp_path):
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(city)
    data = (tmp_path / "z.zip").read_bytes()
    (tmp_path / "z.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match="z.zip: cut off or damaged"):
        ingest_files([city, tmp_path / "z.zip"], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_refused_file_leaves_an_older_run_as_it_was(files, tmp_path):
    run = tmp_path / "run"
    ingest_files(files, run)
    before = {path.name: sha256(path) for path in run.iterdir()}
    bad = write_text(tmp_path / "bad.csv", CITIBIKE_2019.replace("starttime", "begun"))
    with pytest.raises(InputError, match="bad.csv: no column 'starttime'"):
        ingest_files([*files, bad], run)
    assert {path.name: sha256(path) for path in run.iterdir()} == before


@given(st.lists(st.integers(0, 7), max_size=30))
def test_row_groups_are_of_one_size_and_lose_nothing(sizes):
    cuts = np.cumsum([0, *sizes])
    batches = [pa.record_batch({"x": np.arange(a, b)}) for a, b in zip(cuts[:-1], cuts[1:], strict=True)]
    groups = [group["x"].to_pylist() for group in _cut_row_groups(batches, 4)]
    assert sum(groups, []) == list(range(cuts[-1]))
    assert all(len(group) == 4 for group in groups[:-1]) and all(1 <= len(group) <= 4 for group in groups)


def test_reading_needs_no_torch():
    modules = "rasterize.ingest.ingest, rasterize.formats.source_format, rasterize.simulated_city"
    code = f"import sys, {modules}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
