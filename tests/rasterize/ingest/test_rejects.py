"""Rejects: every line is kept or counted for its reason, and too few trips are refused with the reasons."""

import zipfile

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rasterize.errors import InputError
from rasterize.ingest.ingest import ingest_files
from tests.trip_files import citibike, write_text


def test_trips_of_several_files_and_packings_add_up(tmp_path):
    city = write_text(tmp_path / "city.csv", citibike([*[{}] * 20, {"tripduration": 5}]))
    with zipfile.ZipFile(tmp_path / "c.zip", "w") as archive:
        archive.write(city, "in/city.csv")
        archive.writestr("__MACOSX/in/._city.csv", "rubbish")
    rejects = ingest_files([city, tmp_path / "c.zip"], tmp_path / "run").rejects
    assert rejects["kept"] == 40
    assert [(file["file"], file["rows"]) for file in rejects["files"]] == [("city.csv", 21), ("c.zip", 21)]
    assert rejects["rejected"] == {"too short": 2}
    assert [file["rejected"] for file in rejects["files"]] == [{"too short": 1}] * 2


GOOD, SHORT, LONG_LINE = citibike([{}]).splitlines()[1], "1,2,3", citibike([{}]).splitlines()[1] + ",more"
BAD_LINES = {"": "blank line", "," * 14: "blank line", SHORT: "unreadable line", LONG_LINE: "unreadable line"}
BAD_LINES |= {
    GOOD.replace("Exchange", '"Exchange'): "unreadable line",
    GOOD.replace("09.7110", "99"): "unreadable time",
}
BAD_LINES |= {GOOD.replace("Exchange", '"Ex"change'): "unreadable line"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from([*BAD_LINES, GOOD]), max_size=30))
def test_every_line_is_kept_or_rejected_for_its_reason(tmp_path, lines):
    lines = [GOOD, *lines, GOOD]
    header = citibike([]).splitlines()[0]
    path = write_text(tmp_path / "t.csv", "\n".join([header, *lines]) + "\n")
    rejects = ingest_files([path], tmp_path / "run").rejects
    expected = pd.Series([BAD_LINES[line] for line in lines if line != GOOD], dtype=object).value_counts()
    assert rejects["rejected"] == expected.to_dict()
    assert rejects["rows"] == len(lines) == rejects["kept"] + sum(rejects["rejected"].values())


AT_HOME = {"end station id": 3183, "end station latitude": 40.7162469, "end station longitude": -74.0334588}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([{}], "t.csv: 1 of 1 rows are left as trips, at least 2 are needed; rejected were: none; give more"),
        ([{"tripduration": 5}] * 2, "t.csv: 0 of 2 rows are left as trips.*: 2 too short; give more"),
        ([AT_HOME] * 2, "t.csv: all 2 trips are at one station; give trips between at least two"),
    ],
)
def test_too_few_trips_or_stops_are_refused(rows, message, tmp_path):
    with pytest.raises(InputError, match=message):
        ingest_files([write_text(tmp_path / "t.csv", citibike(rows))], tmp_path / "run")
    assert not (tmp_path / "run").exists()
