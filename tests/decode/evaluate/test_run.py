"""The compare stage: the command, the files it reads, what it writes and in which order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from decode.__main__ import app
from decode.evaluate.measure import join_thirds
from decode.evaluate.run import compare
from rasterize.errors import InputError
from tests.trip_tables import city_trips, street_trips, take_third, take_values

# ---- the function --------------------------------------------------------------------------------------------------


@pytest.fixture
def run(tmp_path) -> Path:
    """Make a run folder that knows one station more than the trips do."""
    run = tmp_path / "run"
    run.mkdir()
    stations = [*map(str, range(9)), "depot"]
    pd.DataFrame({"station_id": stations, "name": "Grove St"}).to_parquet(run / "stations.parquet")
    return run


def trips_from_depot(rows: int, *, seed: int) -> pd.DataFrame:
    """Return city trips of which three in ten start at a station that no real trip uses."""
    trips = city_trips(rows, seed=seed)
    trips.loc[np.arange(rows) % 10 < 3, "start_station_id"] = "depot"
    return trips


def test_compare_knows_the_stations_of_the_run(run, tmp_path):
    real, synthetic = city_trips(300, seed=3), trips_from_depot(100, seed=4)

    def measure_validity(**options) -> float:
        """Return the share of valid rows."""
        return compare(real, synthetic, tmp_path / "report", **options)["metrics"]["validity"]["value"]

    assert measure_validity() == pytest.approx(0.7)
    assert measure_validity(run=run) == 1


def test_compare_writes_figures_last(run, tmp_path):
    index, numbers = (tmp_path / "new" / name for name in ("index.html", "metrics.json"))
    real, synthetic = city_trips(300, seed=3), city_trips(100, seed=4)
    figures = compare(real, synthetic, tmp_path / "new", run=run)
    assert json.loads(numbers.read_text()) == json.loads(json.dumps(figures))
    assert index.stat().st_mtime_ns <= numbers.stat().st_mtime_ns

    # a report that cannot be written leaves no figures, old or new
    (run / "rejects.json").write_text("{")
    with pytest.raises(InputError, match=r"rejects.json: damaged"):
        compare(real, synthetic, tmp_path / "new", run=run)
    assert index.exists() and not numbers.exists()


# ---- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real() -> pd.DataFrame:
    """Return real trips of the street, with their thirds."""
    return street_trips(1200, seed=1)


@pytest.fixture(scope="module")
def files(real, tmp_path_factory) -> dict[str, str]:
    """Write each third to a file of its own, all three to one, and fresh trips, 150 rows of each."""
    folder = tmp_path_factory.mktemp("files")
    parts = {name: take_third(real, name).head(150) for name in "ABC"}
    tables = {**parts, "real": join_thirds(parts), "new": take_third(street_trips(900, seed=2), "A").head(150)}
    for name, table in tables.items():
        table.to_parquet(folder / f"{name}.parquet")
    return {name: str(folder / f"{name}.parquet") for name in tables}


def run_compare(*arguments: str):
    """Run `python -m decode compare` in this process."""
    return CliRunner().invoke(app, ["compare", *arguments])


def test_three_files_are_measured_like_one_with_a_split(files, tmp_path):
    first, second = str(tmp_path / "three.json"), str(tmp_path / "one.json")
    three = ["--train", files["A"], "--holdout", files["B"], "--fresh", files["C"], files["new"]]
    done = run_compare(*three, "--json", first, "--also", f"copied={files['A']}", "--rows", "120")
    assert done.exit_code == 0, done.output
    assert "copied" in done.output.splitlines()[0] and f"figures: {first}" in done.output
    assert run_compare(files["real"], files["new"], "--json", second, "--rows", "120").exit_code == 0
    figures, others = (json.loads(Path(path).read_text()) for path in (first, second))
    assert figures["n"] == 120 and figures["others"] == ["copied"]
    for key in ("value", "ceiling", "floor"):
        assert take_values(figures, key) == take_values(others, key)
    assert figures["metrics"]["ims"]["others"]["copied"] > 0.7 > figures["metrics"]["ims"]["value"]
    assert [path.name for path in tmp_path.iterdir()].count("index.html") == 0


def test_calibrated_trips_of_a_run_are_shown_beside_its_raw_ones(files, tmp_path):
    shutil.copy(files["C"], tmp_path / "calibrated.parquet")
    run = ["--run", str(tmp_path), "--rows", "60"]
    assert run_compare(files["real"], files["new"], *run).exit_code == 0
    figures = json.loads((tmp_path / "report" / "metrics.json").read_text())
    assert figures["others"] == ["calibrated"]
    assert 'data-label="calibrated"' in (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert run_compare(files["real"], str(tmp_path / "calibrated.parquet"), *run).exit_code == 0
    assert json.loads((tmp_path / "report" / "metrics.json").read_text())["others"] == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["A", "B", "--train", "A", "--holdout", "B"], "go together; there is no --fresh"),
        (["A"], "give REAL and SYNTHETIC"),
        (["A", "B", "--train", "A", "--holdout", "B", "--fresh", "C"], "give SYNTHETIC alone"),
        (["real", "new", "--rows", "3"], "--rows 3"),
        (["real", "new", "--json", "x", "--out", "y"], "leave out --out"),
        (["real", "new", "--also", "B"], "expected NAME=VALUE"),
    ],
)
def test_options_that_contradict_each_other_are_refused(files, arguments, words):
    done = run_compare(*[files.get(word, word) for word in arguments])
    assert isinstance(done.exception, InputError) and words in str(done.exception)
