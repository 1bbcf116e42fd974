"""Times: every format is recognised from what it writes, and reads back what it wrote."""

from datetime import datetime, timedelta

import duckdb
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.formats.times import TimeFormat, sniff_times


def _read(format_: TimeFormat, values: list) -> list:
    """Return what the SQL of a format makes of texts."""
    with duckdb.connect() as connection:
        query = f"SELECT {format_.read('x')} AS t FROM (SELECT unnest(?) AS x)"
        return [time for (time,) in connection.execute(query, [values]).fetchall()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2019-01-01 03:09:09.7110", datetime(2019, 1, 1, 3, 9, 9, 711000)),
        ("2019-06-15T04:00:00.000", datetime(2019, 6, 15, 4)),
        ("2019-08-01 00:15", datetime(2019, 8, 1, 0, 15)),
        ("2019/08/01 07:15:09", datetime(2019, 8, 1, 7, 15, 9)),
        ("1/1/17 0:21", datetime(2017, 1, 1, 0, 21)),
        ("1/1/19 3:09 AM", datetime(2019, 1, 1, 3, 9)),
        ("12/31/19 12:09 PM", datetime(2019, 12, 31, 12, 9)),
        ("1/1/19 12:09 AM", datetime(2019, 1, 1, 0, 9)),
        ("07/03/18 17:48:39", datetime(2018, 7, 3, 17, 48, 39)),
        ("09/17/2019 02:00:00 PM", datetime(2019, 9, 17, 14)),
        ("8/1/2017 0:01", datetime(2017, 8, 1, 0, 1)),
        ("31.12.2019 23:05", datetime(2019, 12, 31, 23, 5)),
        ("03-04-2019 23:05", datetime(2019, 4, 3, 23, 5)),
    ],
)
def test_every_known_shape_reads_and_is_written_alike(text, expected):
    format_ = sniff_times([text], where="f: column t")
    assert _read(format_, [text]) == [expected]
    assert format_.write(pd.Series([expected])).tolist() == [text]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("1385853406", "Europe/Lisbon", datetime(2013, 11, 30, 23, 16, 46)),
        ("1385853406", "America/New_York", datetime(2013, 11, 30, 18, 16, 46)),
        ("1385853406", None, datetime(2013, 11, 30, 23, 16, 46)),
        ("1385853406123", "America/New_York", datetime(2013, 11, 30, 18, 16, 46, 123000)),
        ("2019-06-15T04:00:00Z", "America/New_York", datetime(2019, 6, 15, 0)),
        ("2019-06-15 04:00:00 UTC", "America/New_York", datetime(2019, 6, 15, 0)),
        ("2019-06-15 04:00:00+02:00", "Europe/Lisbon", datetime(2019, 6, 15, 3)),
        ("2019-06-15 04:00:00-04:00", None, datetime(2019, 6, 15, 4)),
    ],
)
def test_instants_become_the_wall_clock_of_the_zone(text, zone, expected):
    format_ = sniff_times([text], where="f: column t", zone=zone)
    assert _read(format_, [text]) == [expected]
    assert [str(value) for value in format_.write(pd.Series([expected]))] == [text]


FORMATS = st.builds(
    TimeFormat,
    order=st.sampled_from(["ymd", "mdy", "dmy"]),
    separator=st.sampled_from("-/."),
    joint=st.just(" "),
    year_digits=st.sampled_from([2, 4]),
    pad_date=st.booleans(),
    pad_hour=st.booleans(),
    seconds=st.just(True),
    fraction=st.integers(0, 6),
    half=st.sampled_from(["", " AM", "AM"]),
).filter(lambda f: f.order != "ymd" or f.year_digits == 4)
TIMES = st.lists(st.datetimes(datetime(2001, 1, 1), datetime(2068, 12, 31)), min_size=1, max_size=5)
TELLING = [datetime(2019, 1, 31, 1, 2, 3, 456789), datetime(2019, 2, 3, 12, 0)]  # a day over 12, short and long numbers


@settings(max_examples=60)
@given(FORMATS, TIMES)
def test_a_format_is_recognised_from_its_own_writing_and_reads_it_back(format_, times):
    times = [*times, *TELLING]
    written = format_.write(pd.Series(times)).tolist()
    assert sniff_times(written, where="f: column t") == format_
    step = timedelta(microseconds=10 ** (6 - format_.fraction))
    assert _read(format_, written) == [time - (time - datetime(2000, 1, 1)) % step for time in times]


@settings(max_examples=30)
@given(TIMES, st.sampled_from(["Europe/Lisbon", "America/New_York", "Asia/Kolkata"]), st.sampled_from(["epoch", "Z"]))
def test_instants_round_trip_in_any_zone(times, zone, kind):
    instants = pd.Series(times).dt.floor("s").dt.tz_localize("UTC")
    clocks = instants.dt.tz_convert(zone).dt.tz_localize(None)
    offset = {} if kind == "epoch" else {"offset": "Z"}
    format_ = TimeFormat(order="epoch" if kind == "epoch" else "ymd", zone=zone, **offset)
    written = [str(value) for value in format_.write(clocks)]
    twice = clocks.dt.tz_localize(zone, ambiguous=False).ne(clocks.dt.tz_localize(zone, ambiguous=True))
    assert all(a == b or two for a, b, two in zip(_read(format_, written), clocks, twice, strict=True))


def test_month_comes_first_with_slashes_unless_the_column_shows_otherwise():
    assert sniff_times(["03/04/2019 10:00"], where="f: column t").order == "mdy"
    assert sniff_times(["03/04/2019 10:00", "13/04/2019 10:00"], where="f: column t").order == "dmy"
    assert sniff_times(["03.04.2019 10:00"], where="f: column t").order == "dmy"
    assert sniff_times(["03.04.2019 10:00", "03.14.2019 10:00"], where="f: column t").order == "mdy"


@pytest.mark.parametrize("text", ["04:50.2", "09:09", "59:59.9"])
def test_destroyed_times_are_refused_with_column_example_and_remedy(text):
    with pytest.raises(InputError, match=rf"f.csv: column 't': the times are destroyed.*'{text}'.*original file"):
        sniff_times([text] * 3, where="f.csv: column 't'")


def test_what_is_no_time_is_refused():
    with pytest.raises(InputError, match=r"f.csv: column 't': no times that can be read.*'soon'.*known are"):
        sniff_times(["soon", "later"], where="f.csv: column 't'")


def test_a_format_survives_json():
    format_ = TimeFormat(order="mdy", fraction=4, half=" AM", zone="Europe/Lisbon")
    assert TimeFormat.from_json(format_.to_json()) == format_
