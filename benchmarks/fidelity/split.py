"""The real side of the comparison: trips split into thirds by `rasterize`, and as tables that rivals take."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from decode.evaluate.tables import ATTRIBUTES, locate_stations, tabulate
from rasterize.errors import InputError
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions

MONDAY = pd.Timestamp("2019-01-07")


def split_trips(files: Sequence[Path], folder: Path, seed: int) -> pd.DataFrame:
    """Real trips with `split` A, B or C at random; read once, then kept in `folder`."""
    if not (folder / "trips.parquet").exists():
        ingest_files(files, folder, options=IngestOptions(seed=seed))
    return pd.read_parquet(folder / "trips.parquet")


def check_same_split(real: pd.DataFrame, run: Path, files: Sequence[Path], seed: int) -> None:
    """Raise `InputError` unless a run's trips are these trips, split in this way: its training rows must be ours."""
    path = run / "trips.parquet"
    if not path.exists():
        raise InputError(f"{run}: no trips.parquet; give a run folder, made by {_raster_command(files, run, seed)}")
    key = ["started_at", "start_station_id", "end_station_id", "duration_s", "split"]
    theirs = pd.read_parquet(path, columns=key)
    if not theirs.equals(real[key]):
        same = "other trips" if len(theirs) != len(real) or not theirs[key[:-1]].equals(real[key[:-1]]) else "A split"
        raise InputError(
            f"{path}: {same} than the benchmark's ({len(theirs)} trips, here {len(real)}), so its generator may have "
            f"seen the trips that judge; make the run by {_raster_command(files, run, seed)}"
        )


def _raster_command(files: Sequence[Path], run: Path, seed: int) -> str:
    return f"`python -m rasterize {' '.join(map(str, files))} --run {run} --seed {seed}`"


def training_table(real: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The columns that are compared, of the trips that train; and where each station lies."""
    train = real[real["split"] == "A"]
    attributes = [column for column in ATTRIBUTES if column in train]
    return tabulate(train, attributes).reset_index(drop=True), locate_stations([real])


def to_trips(table: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """A table of the compared columns as trips that the judge takes; days lie in one week, all that is compared."""
    hours = table["day_of_week"].astype(float).round() * 24 + table["hour"].astype(float).round()
    started = MONDAY + pd.to_timedelta(hours * 60 + table["minute"].astype(float).round(), unit="min")
    seconds = np.maximum(table["duration_s"].astype(float).round(), 1.0)
    trips = {"started_at": started, "ended_at": started + pd.to_timedelta(seconds, unit="s"), "duration_s": seconds}
    for end in ("start", "end"):
        ids = table[end].astype(str)
        at = places.reindex(ids)
        trips |= {f"{end}_station_id": ids, f"{end}_lat": at["lat"].to_numpy(), f"{end}_lng": at["lng"].to_numpy()}
    if "birth_year" in table:
        trips["birth_year"] = table["birth_year"].astype(float).round()
    trips |= {column: table[column].astype(str) for column in ATTRIBUTES if column in table and column != "birth_year"}
    return pd.DataFrame(trips)
