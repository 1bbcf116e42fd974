"""The real side of the comparison: trips split into thirds by `rasterize`, and tables of them for rivals."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from decode.evaluate.tables import ATTRIBUTES, locate_stations, tabulate
from rasterize.errors import InputError
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions

MONDAY = pd.Timestamp("2019-01-07")  # any Monday will do


def split_trips(files: Sequence[Path], folder: Path, seed: int) -> pd.DataFrame:
    """Read real trips and split them at random; they are read once, then kept in `folder`.

    Parameters
    ----------
    files : sequence of Path
        Trip files.
    folder : Path
        Keeps the trips.
    seed : int
        Seed of the split.

    Returns
    -------
    pd.DataFrame
        Trips with `split` A (trains), B (measures) or C (fresh).
    """
    if not (folder / "trips.parquet").exists():
        ingest_files(files, folder, options=IngestOptions(seed=seed))
    return pd.read_parquet(folder / "trips.parquet")


def check_same_split(real: pd.DataFrame, run: Path, files: Sequence[Path], seed: int) -> None:
    """Check that a run has these trips, split in this way, so that its training rows are the benchmark's.

    Parameters
    ----------
    real : pd.DataFrame
        Trips of the benchmark, with `split`.
    run : Path
        The run folder.
    files : sequence of Path
        Trip files, for the error message.
    seed : int
        Seed of the split, for the error message.

    Raises
    ------
    InputError
        If the run has no trips, other trips, or another split.
    """
    path = run / "trips.parquet"
    if not path.exists():
        raise InputError(f"{run}: no trips.parquet; give a run folder, made by {_raster_command(files, run, seed)}")
    # The order of the trips counts too: it is that of the files.
    key = ["started_at", "start_station_id", "end_station_id", "duration_s", "split"]
    theirs = pd.read_parquet(path, columns=key)
    if not theirs.equals(real[key]):
        same_trips = len(theirs) == len(real) and theirs[key[:-1]].equals(real[key[:-1]])
        difference = "another split" if same_trips else "other trips"
        raise InputError(
            f"{path}: {difference} than the benchmark's ({len(theirs)} trips, here {len(real)}). "
            f"Its generator may have seen the trips that measure. Make the run by {_raster_command(files, run, seed)}"
        )


def _raster_command(files: Sequence[Path], run: Path, seed: int) -> str:
    return f"`python -m rasterize {' '.join(map(str, files))} --run {run} --seed {seed}`"


def make_training_table(real: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the compared columns of the trips that train, and the position of each station."""
    train = real[real["split"] == "A"]
    attributes = [column for column in ATTRIBUTES if column in train]
    return tabulate(train, attributes).reset_index(drop=True), locate_stations([real])


def make_trips(table: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Turn a table of the compared columns into trips that can be measured.

    All trips lie in one week, since only the day of the week is compared.
    """
    # Rivals may give fractions where the real columns have whole numbers.
    hours = table["day_of_week"].astype(float).round() * 24 + table["hour"].astype(float).round()
    started = MONDAY + pd.to_timedelta(hours * 60 + table["minute"].astype(float).round(), unit="min")
    seconds = np.maximum(table["duration_s"].astype(float).round(), 1.0)
    trips = {"started_at": started, "ended_at": started + pd.to_timedelta(seconds, unit="s"), "duration_s": seconds}
    # Ends are given by station alone; its position comes from the real trips.
    for end in ("start", "end"):
        ids = table[end].astype(str)
        position = places.reindex(ids)
        trips |= {
            f"{end}_station_id": ids,
            f"{end}_lat": position["lat"].to_numpy(),
            f"{end}_lng": position["lng"].to_numpy(),
        }
    if "birth_year" in table:
        trips["birth_year"] = table["birth_year"].astype(float).round()
    trips |= {column: table[column].astype(str) for column in ATTRIBUTES if column in table and column != "birth_year"}
    return pd.DataFrame(trips)
