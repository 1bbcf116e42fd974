"""The clock at a trip's start: its readings, which enter a picture, and a start time drawn from them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = tuple(str(hour) for hour in range(24))
CLOCK_ATTRIBUTES = ("hour", "day_of_week", "time_of_day")


def read_clock(started_at: pd.Series, name: str) -> pd.Series:
    """Return one reading of the clock: `hour` ("0" … "23"), `day_of_week` ("Monday" …), else hours, 0 ≤ t < 24."""
    if name == "hour":
        return started_at.dt.hour.astype(str)
    if name == "day_of_week":
        return started_at.dt.day_of_week.map(dict(enumerate(DAYS)))
    return (started_at - started_at.dt.normalize()).dt.total_seconds() / 3600


def count_dates(started_at: pd.Series) -> dict[str, int]:
    """Count trips per ISO date, in order: the calendar of a spec."""
    counts = started_at.dt.floor("D").value_counts().sort_index()
    return {f"{date:%Y-%m-%d}": int(count) for date, count in counts.items()}


def draw_start_times(readings: pd.DataFrame, calendar: Mapping[str, int], rng: np.random.Generator) -> pd.Series:
    """Draw start times that have given readings; the inverse of `read_clock`.

    Parameters
    ----------
    readings : DataFrame of N rows
        Any of `hour`, `day_of_week` and `time_of_day`, as `read_clock` gives them; values may be missing.
    calendar : mapping of str to int
        Trips per ISO date.
    rng : numpy.random.Generator
        Chance, for what is finer than the readings.

    Returns
    -------
    (N,) Series of datetime64[us]
        Times, to the millisecond.
    """
    times = _draw_dates(readings, calendar, rng)
    hours = _draw_hours(readings, rng)
    milliseconds = np.minimum((hours * 3_600_000).astype(np.int64), 86_399_999)
    return pd.Series((times + milliseconds.astype("timedelta64[ms]")).astype("datetime64[us]"))


def _draw_dates(readings: pd.DataFrame, calendar: Mapping[str, int], rng: np.random.Generator) -> NDArray:
    """Draw dates from the calendar, among those of the right day of the week; datetime64[s] [N]."""
    dates = pd.to_datetime(pd.Series(list(calendar)))
    weights = np.array(list(calendar.values()), float)
    chosen = np.empty(len(readings), dtype="datetime64[s]")
    days = readings["day_of_week"].to_numpy(object) if "day_of_week" in readings else np.full(len(readings), None)
    for day in pd.unique(days):
        # Any date fits where the day is missing, or where the calendar has no such day.
        rows = np.flatnonzero(pd.isna(days) if pd.isna(day) else days == day)
        fits = np.ones(len(dates), bool) if pd.isna(day) else (read_clock(dates, "day_of_week") == day).to_numpy()
        fits = fits if fits.any() else np.ones(len(dates), bool)
        share = weights[fits] / weights[fits].sum()
        chosen[rows] = rng.choice(dates[fits].to_numpy("datetime64[s]"), size=len(rows), p=share)
    return chosen


def _draw_hours(readings: pd.DataFrame, rng: np.random.Generator) -> NDArray:
    """Draw the time of day in hours, evenly within what the readings leave open; float64 [N]."""
    if "time_of_day" in readings:
        hours = readings["time_of_day"].astype(float).to_numpy()
        return np.where(np.isnan(hours), rng.random(len(hours)) * 24, hours)
    whole = readings["hour"].astype(float).to_numpy() if "hour" in readings else rng.integers(0, 24, len(readings))
    return whole + rng.random(len(readings))
