"""The tables that metrics compare: one row per trip, columns binned and located alike."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.distance import trip_metres
from rasterize.strokes.frame import Frame

CATEGORIES = ("start", "end", "user_type", "gender", "rideable_type")
ATTRIBUTES = ("user_type", "birth_year", "gender", "rideable_type")  # a publisher may have none of them
TILES = 8  # per side, for OD flows
AREAS = 4  # per side, for grouping
MISSING = "(missing)"


def tabulate(trips: pd.DataFrame, attributes: Iterable[str] = ATTRIBUTES) -> pd.DataFrame:
    """The columns trips are compared on, one row per trip, in order.

    start, end : station ids. hour, minute, day_of_week (Monday 0) : of the local start. duration_s : whole seconds.
    `attributes` : copied; categories as text with `MISSING`, birth_year as float with NaN.
    """
    started = pd.to_datetime(trips["started_at"])
    table = {
        "start": _as_text(trips["start_station_id"]),
        "end": _as_text(trips["end_station_id"]),
        "hour": started.dt.hour.to_numpy(),
        "day_of_week": started.dt.day_of_week.to_numpy(),
        "minute": started.dt.minute.to_numpy(),
        "duration_s": trips["duration_s"].to_numpy(float).round(),
    }
    for column in attributes:
        is_category = column in CATEGORIES
        table[column] = _as_text(trips[column]) if is_category else pd.to_numeric(trips[column]).to_numpy(float)
    return pd.DataFrame(table)


def _as_text(values: pd.Series) -> NDArray:
    return values.astype(object).where(values.notna(), MISSING).astype(str).to_numpy(object)


def shuffle_columns(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every column shuffled on its own: right margins, no dependence left."""
    return pd.DataFrame({column: rng.permutation(table[column].to_numpy()) for column in table})


def locate_stations(trips: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Where each station lies: the median of its coordinates in the first table that knows it. Index id; lat, lng."""
    found = []
    for table in trips:
        ends = [
            table[[f"{end}_station_id", f"{end}_lat", f"{end}_lng"]].set_axis(["id", "lat", "lng"], axis=1)
            for end in ("start", "end")
        ]
        both = pd.concat(ends).dropna()
        found.append(both.assign(id=both["id"].astype(str)).groupby("id")[["lat", "lng"]].median())
    every = pd.concat(found)
    return every[~every.index.duplicated()]


def locate(table: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the stations: start_lat … end_lng, distance_km, tiles (8 × 8) and start_area (4 × 4)."""
    table = table.copy()
    for end in ("start", "end"):
        at = places.reindex(table[end])
        table[f"{end}_lat"], table[f"{end}_lng"] = at["lat"].to_numpy(), at["lng"].to_numpy()
        table[f"{end}_tile"] = _tile(at, places, TILES)
        table[f"{end}_area"] = _tile(at, places, AREAS)
    table["distance_km"] = distance_km(table)
    return table


def _tile(at: pd.DataFrame, places: pd.DataFrame, side: int) -> NDArray:
    frame = Frame.around(places["lat"], places["lng"], height=side, width=side, margin_px=0)
    x, y = frame.to_pixels(at["lat"], at["lng"])
    column, row = (np.clip(np.nan_to_num(v, nan=-1.0), -1, side - 1e-9).astype(int) for v in (x, y))
    return row * side + column


def distance_km(trips: pd.DataFrame) -> NDArray:
    """Straight-line distance from start to end in kilometres; NaN if unknown."""
    return trip_metres(trips) / 1000
