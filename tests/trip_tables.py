"""Small tables of trips for tests of `decode.evaluate`, so made that right answers are known."""

import numpy as np
import pandas as pd

from decode.evaluate.tables import locate_stations, locate_trips, shuffle_columns, tabulate

COLUMNS = ["start", "end", "hour", "day_of_week", "minute", "duration_s", "user_type"]  # of `make_located_table`


def make_trips(rows):
    """Make trips from rows (start, end, started_at, seconds).

    Stations s0, s1, … lie on a row going north, 0.01 degrees apart.
    """
    start, end, started, seconds = zip(*rows, strict=True)
    started = pd.to_datetime(list(started))
    return pd.DataFrame(
        {
            "started_at": started,
            "ended_at": started + pd.to_timedelta(list(seconds), unit="s"),
            "duration_s": np.array(seconds, float),
            "start_station_id": list(start),
            "end_station_id": list(end),
            "start_lat": [40 + int(s[1:]) / 100 for s in start],
            "start_lng": 0.0,
            "end_lat": [40 + int(s[1:]) / 100 for s in end],
            "end_lng": 0.0,
        }
    )


def make_located_table(rows, *, seed, dependent=True):
    """Make a located table in which duration and user type follow from the distance.

    Parameters
    ----------
    rows : int
        How many trips.
    seed : int
        Of everything random.
    dependent : bool
        If false, every column is shuffled on its own.

    Returns
    -------
    DataFrame
        The columns of `COLUMNS`, located.
    """
    rng = np.random.default_rng(seed)
    start, end = rng.integers(0, 6, (2, rows))
    hours = rng.integers(0, 24, rows)
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 7, rows) * 24 + hours, unit="h")
    seconds = (120 + 300 * abs(start - end)) * rng.lognormal(0, 0.1, rows)
    trips = make_trips(list(zip([f"s{k}" for k in start], [f"s{k}" for k in end], started, seconds, strict=True)))
    trips["user_type"] = np.where(abs(start - end) + rng.normal(0, 0.5, rows) > 1.5, "long", "short")
    table = tabulate(trips, ["user_type"])
    return locate_trips(table if dependent else shuffle_columns(table, rng), locate_stations([trips]))


def street_trips(rows: int, *, seed: int) -> pd.DataFrame:
    """Make trips along a street of eight stations, with random thirds in `split`.

    The end depends on the start, duration on distance, and user type on the hour.
    """
    rng = np.random.default_rng(seed)
    start = rng.choice(8, rows, p=np.arange(1, 9) / 36)
    end = np.clip(start + rng.integers(-2, 3, rows), 0, 7)
    hour = np.where(start < 4, rng.integers(7, 10, rows), rng.integers(16, 23, rows))
    minutes = rng.integers(0, 28, rows) * 1440 + hour * 60 + rng.integers(0, 60, rows)
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(minutes, unit="min")
    seconds = np.round((200 + 250 * abs(start - end)) * rng.lognormal(0, 0.2, rows))
    trips = pd.DataFrame(
        {
            "started_at": started,
            "ended_at": started + pd.to_timedelta(seconds, unit="s"),
            "duration_s": seconds,
            "start_station_id": [f"p{k}" for k in start],
            "end_station_id": [f"p{k}" for k in end],
            "start_lat": 40 + start / 200,
            "start_lng": -74.0,
            "end_lat": 40 + end / 200,
            "end_lng": -74.0,
            "user_type": np.where(rng.random(rows) < hour / 30, "Customer", "Subscriber"),
            "gender": rng.choice(["male", "female", "unknown"], rows),
            "birth_year": pd.array(rng.integers(1950, 2002, rows), dtype="Int16"),
        }
    )
    trips["split"] = rng.choice(list("ABC"), rows)
    return trips


def take_third(trips: pd.DataFrame, split: str) -> pd.DataFrame:
    """Return one third of the trips, without the column that says so."""
    return trips[trips["split"] == split].drop(columns="split")


def take_values(figures: dict, key: str = "value") -> dict[str, float | None]:
    """Return one entry of every metric, by name."""
    return {name: figure[key] for name, figure in figures["metrics"].items()}


def city_trips(rows: int, *, seed: int) -> pd.DataFrame:
    """Make trips between nine stations of a street grid, some of them round trips."""
    rng = np.random.default_rng(seed)
    start, end = (rng.choice(9, rows, p=np.arange(1, 10) / 45) for _ in range(2))
    started = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 14 * 1440, rows), unit="min")
    seconds = rng.integers(300, 1800, rows).astype(float)
    table = {"started_at": started, "ended_at": started + pd.to_timedelta(seconds, unit="s"), "duration_s": seconds}
    for name, at in (("start", start), ("end", end)):
        table |= {f"{name}_station_id": at.astype(str), f"{name}_lat": 40 + at // 3 / 100, f"{name}_lng": at % 3 / 100}
    table["user_type"] = rng.choice(["Subscriber", "Customer <b>"], rows, p=[0.8, 0.2])
    table["birth_year"] = pd.array(rng.integers(1950, 2002, rows), dtype="Int16")
    return pd.DataFrame(table)
