"""Dialects: every dialect writes what it reads, and reads what it writes."""

import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasterize.formats.dialects import DIALECTS
from rasterize.formats.source_format import write_trips_csv
from rasterize.ingest.ingest import ingest_files, read_trips
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import DIALECT_FILES, cells, write_text

LENIENT = IngestOptions(stops=StopOptions(min_uses=1))
MADE_UP = {"bikeid", "Bike ID", "ride_id", "RouteID", "BikeID", "TripID", "trip_id", "TRIP_ID", "TAXI_ID"}
# What our trips do not hold is written empty or as a constant. Distances are as the crow flies.
NOT_KEPT = {"TripType", "BikeName", "Distance_Miles", "Distance_Miles_", "RentalAccessPath", "MultipleRental"}
NOT_KEPT |= {"TripDistance", "trip_distance", "accuracy", "ORIGIN_CALL", "ORIGIN_STAND"}
NOT_KEPT |= {f"{end}_community_area_{what}" for end in ("start", "end") for what in ("number", "name")}


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

    # Files may have trips in another order: sort rows by all that must come back.
    rows, rows_again = cells(text), cells(again)
    rows.sort(key=lambda row: str([row[name] for name in row if name not in MADE_UP | NOT_KEPT]))
    rows_again.sort(key=lambda row: str([row[name] for name in row if name not in MADE_UP | NOT_KEPT]))
    for row, row_again in zip(rows, rows_again, strict=True):
        same = {name for name in row if name not in MADE_UP | NOT_KEPT}
        assert {name: row_again[name] for name in same} == {name: row[name] for name in same}
        assert all(row_again[name] != row[name] for name in MADE_UP & set(row))


@st.composite
def _any_trips(draw) -> pd.DataFrame:
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
@given(trips=_any_trips())
def test_any_trips_written_in_a_dialect_read_back_without_rejects(kind, sources, trips, tmp_path):
    path = tmp_path / "synthetic.csv"
    source = sources[kind]
    write_trips_csv(path, trips, source)
    back = read_trips([path])
    assert len(back) == len(trips)
    # Times cut to a quarter of an hour are shared by several trips, whose order is lost. Durations still come back, to
    # half a fix, half a minute, or a second.
    precision_s = {"porto": 7.5, "louisville": 30}.get(source["dialect"], 1)
    durations = [np.sort(table["duration_s"]) for table in (trips, back)]
    np.testing.assert_allclose(*durations, rtol=0, atol=precision_s)
    trips = trips.sort_values("started_at", ignore_index=True)
    if DIALECTS[source["dialect"]].step_s == 1:
        late = (trips["started_at"] - back["started_at"]).dt.total_seconds()
        assert late.between(0, 60).all()
        assert (trips["duration_s"] - back["duration_s"]).abs().max() <= precision_s
        assert np.allclose(trips[["start_lat", "end_lng"]], back[["start_lat", "end_lng"]], atol=1e-6)
        assert "user_type" not in back or (back["user_type"] == trips["user_type"]).all()
    if "gender" in back:
        assert (back["gender"] == trips["gender"]).all()
        assert back["birth_year"].fillna(0).astype(int).tolist() == trips["birth_year"].fillna(0).tolist()
