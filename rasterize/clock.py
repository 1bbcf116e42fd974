"""When a trip starts: the readings of its clock that enter a picture, and a start time put together from them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
HOURS = tuple(str(hour) for hour in range(24))
CLOCK_ATTRIBUTES = ("hour", "day_of_week", "time_of_day")


def clock_values(started_at: pd.Series, name: str) -> pd.Series:
    """One reading: `hour` ("0" … "23"), `day_of_week` ("Monday" …) or `time_of_day` (hours, 0 ≤ t < 24)."""
    if name == "hour":
        return started_at.dt.hour.astype(str)
    if name == "day_of_week":
        return started_at.dt.day_of_week.map(dict(enumerate(DAYS)))
    return (started_at - started_at.dt.normalize()).dt.total_seconds() / 3600


def count_dates(started_at: pd.Series) -> dict[str, int]:
    """The calendar of a spec: trips per ISO date, in order."""
    counts = started_at.dt.floor("D").value_counts().sort_index()
    return {f"{date:%Y-%m-%d}": int(count) for date, count in counts.items()}


def start_times(readings: pd.DataFrame, calendar: Mapping[str, int], rng: np.random.Generator) -> pd.Series:
    """Start times, to the millisecond, that have the given readings; the inverse of `clock_values`.

    The date is drawn from the calendar among those of the right day of the week (all, if that is not known); what is
    finer than the readings is drawn evenly.
    """
    dates = pd.to_datetime(pd.Series(list(calendar)))
    weights = np.array(list(calendar.values()), float)
    chosen = np.empty(len(readings), dtype="datetime64[s]")
    days = readings["day_of_week"].to_numpy(object) if "day_of_week" in readings else np.full(len(readings), None)
    for day in pd.unique(days):
        rows = np.flatnonzero(pd.isna(days) if pd.isna(day) else days == day)
        fits = np.ones(len(dates), bool) if pd.isna(day) else (clock_values(dates, "day_of_week") == day).to_numpy()
        fits = fits if fits.any() else np.ones(len(dates), bool)
        share = weights[fits] / weights[fits].sum()
        chosen[rows] = rng.choice(dates[fits].to_numpy("datetime64[s]"), size=len(rows), p=share)
    if "time_of_day" in readings:
        hours = readings["time_of_day"].astype(float).to_numpy()
        hours = np.where(np.isnan(hours), rng.random(len(hours)) * 24, hours)
    else:
        whole = readings["hour"].astype(float).to_numpy() if "hour" in readings else rng.integers(0, 24, len(readings))
        hours = whole + rng.random(len(readings))
    milliseconds = np.minimum((hours * 3_600_000).astype(np.int64), 86_399_999)
    return pd.Series((chosen + milliseconds.astype("timedelta64[ms]")).astype("datetime64[us]"))
