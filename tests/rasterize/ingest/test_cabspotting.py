"""San Francisco's cabs: runs of fixes with a passenger are trips."""

import pandas as pd

from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import CABS, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))


def test_a_cab_file_gives_its_runs_with_a_passenger(tmp_path):
    path = write_text(tmp_path / "new_cab.txt", CABS + "rubbish\r\n")
    rejects = ingest_files([path], tmp_path / "run", options=LENIENT).rejects
    assert (rejects["rows"], rejects["kept"], rejects["rejected"]) == (3, 2, {"unreadable line": 1})
    trips = pd.read_parquet(tmp_path / "run" / "trips.parquet")
    assert trips["duration_s"].tolist() == [600, 300]
    assert trips["started_at"][0] == pd.Timestamp("2008-05-17 04:16:54")  # San Francisco
    assert trips["waypoints"][1].tolist() == [37.75149, -122.39447, 37.75549, -122.38447, 37.76149, -122.38447]
