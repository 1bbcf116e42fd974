"""Real files: each reads with rejects that add up to its rows, or is refused with file, column and remedy."""

import gzip
import json
import zipfile
from collections import Counter
from pathlib import Path

import geopandas
import pandas as pd
import pytest

from rasterize.errors import InputError
from rasterize.formats.source_format import format_trips, write_trips_csv
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"
pytestmark = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="shared/data is not here")

# File → its rows, and how many at least stay. Rows are lines without the header; for the cab runs with a passenger.
FILES = {
    "biketown-portland/2017_08.csv.gz": (48_648, 46_000),
    "biketown-portland/2018_06.csv.gz": (48_783, 47_000),
    "biketown-portland/2019_06.csv.gz": (39_102, 38_000),
    "citibike-jc/JC-201603-citibike-tripdata.csv.gz": (13_511, 13_400),
    "citibike-jc/JC-201703-citibike-tripdata.csv.gz": (12_201, 12_100),
    "citibike-jc/JC-201812-citibike-tripdata.csv.gz": (20_205, 20_100),
    "citibike-jc-new/JC-202103-citibike-tripdata.csv.zip": (17_123, 16_500),
    "citibike-jc-new/JC-202105-citibike-tripdata.csv.zip": (45_043, 43_800),
    "citibike-nyc/201807-sample.csv.gz": (10_000, 9_900),
    "citibike-nyc/nyc-652k-trips.parquet": (652_537, 650_000),
    "damaged/JC-201701-short-years.csv.gz": (12_926, 12_850),
    "damaged/JC-201901-ampm-dates.csv.gz": (19_676, 19_600),
    "divvy-chicago/202102-divvy-tripdata.zip": (49_622, 48_000),
    "gps/new_abboip.txt.gz": (957, 850),
    "gps/porto-train-sample-500.csv.gz": (500, 400),
    "scooters/DocklessOpenData-Sample-Aug2019-Louisville.csv": (1_000, 900),
    "scooters/E-Scooter_Trips_2019_Pilot-sample-A.csv.gz": (1_000, 880),
}
REFUSED = {
    "damaged/JC-201901-times-destroyed.csv.gz": r"destroyed.csv.gz: column 'starttime': .*'09:09.7'.*original file",
    "scooters/E-Scooter_Trips_2019_Pilot-sample-B.csv": r"sample-B.csv: column 'Start Centroid Latitude' is empty in "
    r"all 499 rows; .*take a version of the file that has them",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_reads_and_its_rejects_add_up_to_its_rows(name, tmp_path):
    rows, least = FILES[name]
    ingested = ingest_files([SHARED_DATA / name], tmp_path)
    rejects = json.loads((tmp_path / "rejects.json").read_text())
    assert rejects["rows"] == rows == rejects["kept"] + sum(rejects["rejected"].values()), rejects
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    assert len(trips) == ingested.n_trips == rejects["kept"] >= least, rejects
    assert (trips["ended_at"] > trips["started_at"]).all()
    ids = set(geopandas.read_parquet(tmp_path / "stations.parquet")["station_id"])
    assert ids == set(trips["start_station_id"]) | set(trips["end_station_id"])
    assert ingested.frame.contains(trips["start_lat"], trips["start_lng"]).all()


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_times_or_places_is_refused(name, tmp_path):
    with pytest.raises(InputError, match=REFUSED[name]):
        ingest_files([SHARED_DATA / name], tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_every_shared_trip_file_is_tested_here():
    tested = {*FILES, *REFUSED}
    months = {f"citibike-jc/{path.name}" for path in (SHARED_DATA / "citibike-jc").iterdir()}
    others = ("gbfs/", "daily-networks/", "ecg-mitbih/")  # station files, and what is no table of trips
    present = {str(path.relative_to(SHARED_DATA)) for path in SHARED_DATA.glob("*/*")}
    assert {name for name in present - tested - months if not name.startswith(others)} == set()
    assert tested <= present


def test_a_year_of_jersey_city(tmp_path):
    # 385,069 trips of 53 stations with the depot JCBS, which has 161 trips. We take depots out.
    ingested = ingest_files([SHARED_DATA / "citibike-jc" / f"JC-201{year}*" for year in "89"], tmp_path)
    assert ingested.rejects["rows"] == 386_200
    assert ingested.rejects["kept"] == 385_069 - 161
    assert len(geopandas.read_parquet(tmp_path / "stations.parquet")) == 52


SAME = [
    ("citibike-jc/JC-201901-citibike-tripdata.csv.zip", "bikeid"),
    ("citibike-nyc/201807-sample.csv.gz", "bikeid"),
    ("damaged/JC-201901-ampm-dates.csv.gz", "bikeid"),
    ("damaged/JC-201701-short-years.csv.gz", "bikeid"),
    ("citibike-jc/JC-201603-citibike-tripdata.csv.gz", "bikeid"),
]


@pytest.mark.parametrize(("name", "made_up"), SAME)
def test_writing_what_was_read_gives_the_publishers_own_lines(name, made_up, tmp_path):
    raw = _read_text(SHARED_DATA / name)
    source = ingest_files([SHARED_DATA / name], tmp_path / "run").source
    trips = read_trips([SHARED_DATA / name])
    write_trips_csv(tmp_path / "again.csv", trips, source)
    again = (tmp_path / "again.csv").read_bytes().decode()
    assert again.splitlines()[0] == raw.splitlines()[0]
    position = raw.splitlines()[0].replace('"', "").split(",").index(made_up)
    lines, lines_again = (Counter(_drop_cell(line, position) for line in text.splitlines()) for text in (raw, again))
    assert lines_again.total() == len(trips) + 1
    # Other lines are those whose end we moved to fit the duration.
    assert (lines_again - lines).total() <= 0.001 * len(trips)


def _read_run(run: Path) -> pd.DataFrame:
    """Return the clean trips of a run with the names of their stations."""
    trips = pd.read_parquet(run / "trips.parquet")
    names = geopandas.read_parquet(run / "stations.parquet").set_index("station_id")["name"]
    for end in ("start", "end"):
        trips[f"{end}_station_name"] = trips[f"{end}_station_id"].map(names)
    return trips


def _drop_cell(line: str, position: int) -> str:
    """Return a line of CSV without one of its cells."""
    cells = line.split(",")
    return ",".join(cells[:position] + cells[position + 1 :])


def _read_text(path: Path) -> str:
    """Return the text of a zip's first member, or of a gzip."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path) as archive:
            return archive.read(archive.namelist()[0]).decode()
    return gzip.decompress(path.read_bytes()).decode()


@pytest.mark.parametrize(
    "name",
    [
        "biketown-portland/2018_06.csv.gz",
        "citibike-jc/JC-201908-citibike-tripdata.csv.zip",
        "citibike-jc-new/JC-202105-citibike-tripdata.csv.zip",
        "divvy-chicago/202102-divvy-tripdata.zip",
        "scooters/DocklessOpenData-Sample-Aug2019-Louisville.csv",
        "scooters/E-Scooter_Trips_2019_Pilot-sample-A.csv.gz",
        "gps/porto-train-sample-500.csv.gz",
    ],
)
def test_what_a_dialect_writes_reads_back_without_rejects(name, tmp_path):
    source = ingest_files([SHARED_DATA / name], tmp_path / "run").source
    trips = _read_run(tmp_path / "run")
    table = format_trips(trips, source)
    assert list(table) == source["columns"]
    write_trips_csv(tmp_path / "again.csv", trips, source)
    assert len(read_trips([tmp_path / "again.csv"])) == len(trips)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("citi_bike_station_information.json.gz", "5247.10"),
        ("bikeshare_toronto_station_information_2024-07-11.json.gz", "7000"),
    ],
)
def test_real_station_files_give_coordinates(name, key, tmp_path):
    stations = json.loads(gzip.decompress((SHARED_DATA / "gbfs" / name).read_bytes()))["data"]["stations"]
    keys = [str(station.get("short_name") if key == "5247.10" else station["station_id"]) for station in stations[:2]]
    text = f"a,b,t,u\n{keys[0]},{keys[1]},2024-01-01 10:00,2024-01-01 11:00\n"
    (tmp_path / "t.csv").write_text(text)
    columns = {"start_station_id": "a", "end_station_id": "b", "started_at": "t", "ended_at": "u"}
    options = IngestOptions(columns=columns, stations=SHARED_DATA / "gbfs" / name)
    trips = read_trips([tmp_path / "t.csv"], options=options)
    assert trips["start_lat"].tolist() == [stations[0]["lat"]] and trips["end_lng"].tolist() == [stations[1]["lon"]]
