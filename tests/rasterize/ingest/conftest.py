"""What the tests of parts share: two small files of trips."""

import pytest

from tests.trip_files import citibike, write_text


@pytest.fixture
def files(tmp_path):
    """Two files of eight good trips each; the second has one row more whose time cannot be read."""
    times = [{"starttime": f"2019-01-0{day} 10:00:00", "stoptime": f"2019-01-0{day} 10:03:21"} for day in range(1, 9)]
    first = write_text(tmp_path / "a.csv", citibike(times))
    return [first, write_text(tmp_path / "b.csv", citibike(times + [{"starttime": "never"}]))]
