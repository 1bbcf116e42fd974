"""Start times ↔ the readings of the clock that a picture holds."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.clock import DAYS, count_dates, draw_start_times, read_clock

CALENDAR = {"2019-01-05": 5, "2019-01-07": 30, "2019-01-08": 10, "2019-01-14": 10}  # Sat, Mon, Tue, Mon


@given(st.lists(st.tuples(st.integers(0, 23), st.sampled_from(["Saturday", "Monday", "Tuesday"])), min_size=1))
def test_times_have_the_readings_they_were_made_from(rows):
    readings = pd.DataFrame(rows, columns=["hour", "day_of_week"]).astype(str)
    times = draw_start_times(readings, CALENDAR, np.random.default_rng(0))
    assert read_clock(times, "hour").tolist() == readings["hour"].tolist()
    assert read_clock(times, "day_of_week").tolist() == readings["day_of_week"].tolist()
    assert set(count_dates(times)) <= set(CALENDAR)


@given(st.lists(st.floats(0, 24, exclude_max=True), min_size=1))
def test_the_time_of_day_comes_back_to_the_millisecond(hours):
    readings = pd.DataFrame({"time_of_day": hours})
    times = draw_start_times(readings, CALENDAR, np.random.default_rng(0))
    assert (read_clock(times, "time_of_day") - readings["time_of_day"]).abs().max() <= 1 / 3_600_000 + 1e-9


def test_dates_follow_the_calendar_within_a_day_of_the_week():
    readings = pd.DataFrame({"day_of_week": ["Monday"] * 4000})
    dates = count_dates(draw_start_times(readings, CALENDAR, np.random.default_rng(0)))
    assert set(dates) == {"2019-01-07", "2019-01-14"}
    assert dates["2019-01-07"] / 4000 == pytest.approx(0.75, abs=0.035)  # 5 standard errors


@pytest.mark.parametrize("day", [None, "Friday"])
def test_a_day_the_calendar_lacks_or_that_is_missing_may_be_any(day):
    times = draw_start_times(pd.DataFrame({"day_of_week": [day] * 200}), CALENDAR, np.random.default_rng(0))
    assert set(count_dates(times)) == set(CALENDAR)


def test_count_dates_is_sorted_iso():
    times = pd.to_datetime(pd.Series(["2019-02-01 10:00", "2019-01-31 23:59", "2019-02-01 11:00"]))
    assert list(count_dates(times).items()) == [("2019-01-31", 1), ("2019-02-01", 2)]


def test_days_are_named_from_monday():
    week = pd.Series(pd.date_range("2019-01-07", periods=7))
    assert tuple(read_clock(week, "day_of_week")) == DAYS
