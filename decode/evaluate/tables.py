"""The tables that metrics compare: one row per trip, columns binned and located alike."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.distance import trip_metres
from rasterize.strokes.frame import Frame

CATEGORIES = ("start", "end", "user_type", "gender", "rideable_type")
ATTRIBUTES = ("user_type", "birth_year", "gender", "rideable_type")  # a publisher may have none of them
TILES = 8  # per side, for flows between stations; set by hand, not swept
AREAS = 4  # per side, for grouping; set by hand, not swept
MISSING = "(missing)"


def tabulate(trips: pd.DataFrame, attributes: Iterable[str] = ATTRIBUTES) -> pd.DataFrame:
    """Return the columns that trips are compared on, one row per trip, in order.

    Parameters
    ----------
    trips : DataFrame, N rows
        Trips by internal names.
    attributes : iterable of str
        Attribute columns to copy.

    Returns
    -------
    DataFrame, N rows
        `start` and `end`: station ids. `hour`, `minute` and `day_of_week` (Monday is 0): of the local start.
        `duration_s`: whole seconds. Then the attributes: text with `MISSING`, or `birth_year` as float with NaN.
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
    # Attributes: categories as text, years as numbers.
    for column in attributes:
        is_category = column in CATEGORIES
        table[column] = _as_text(trips[column]) if is_category else pd.to_numeric(trips[column]).to_numpy(float)
    return pd.DataFrame(table)


def _as_text(values: pd.Series) -> NDArray:
    """Return the values as text, missing ones as `MISSING`."""
    return values.astype(object).where(values.notna(), MISSING).astype(str).to_numpy(object)


def shuffle_columns(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Shuffle every column on its own: each keeps its values, and nothing depends on anything else."""
    return pd.DataFrame({column: rng.permutation(table[column].to_numpy()) for column in table})


def locate_stations(trips: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Return `lat` and `lng` by station id: the median of its coordinates in the first table that knows it."""
    # Coordinates of one station differ a little from trip to trip: take the median.
    medians = []
    for table in trips:
        ends = [
            table[[f"{end}_station_id", f"{end}_lat", f"{end}_lng"]].set_axis(["id", "lat", "lng"], axis=1)
            for end in ("start", "end")
        ]
        both = pd.concat(ends).dropna()
        medians.append(both.assign(id=both["id"].astype(str)).groupby("id")[["lat", "lng"]].median())

    # The first table that knows a station decides.
    stations = pd.concat(medians)
    return stations[~stations.index.duplicated()]


def locate_trips(table: pd.DataFrame, stations: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the stations: start_lat … end_lng, tiles (8 × 8), areas (4 × 4) and distance_km."""
    table = table.copy()
    for end in ("start", "end"):
        points = stations.reindex(table[end])
        table[f"{end}_lat"], table[f"{end}_lng"] = points["lat"].to_numpy(), points["lng"].to_numpy()
        table[f"{end}_tile"] = _tile(points, stations, TILES)
        table[f"{end}_area"] = _tile(points, stations, AREAS)
    table["distance_km"] = distance_km(table)
    return table


def _tile(points: pd.DataFrame, stations: pd.DataFrame, side: int) -> NDArray:
    """Return the tile of each point on a square of `side` × `side` around all stations; negative if unknown."""
    frame = Frame.around(stations["lat"], stations["lng"], height=side, width=side, margin_px=0)
    x, y = frame.to_pixels(points["lat"], points["lng"])
    # The easternmost and the southernmost station lie on the border: they belong to the last tile.
    column, row = (np.clip(np.nan_to_num(v, nan=-1.0), -1, side - 1e-9).astype(int) for v in (x, y))
    return row * side + column


def distance_km(trips: pd.DataFrame) -> NDArray:
    """Return the straight-line distance from start to end in kilometres, float64 [N]; NaN if unknown."""
    return trip_metres(trips) / 1000
