"""The whole loop through the commands: trips → images → GAN → fakes → synthetic trips → report, on a small city."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions
from rasterize.simulated_city import write_city

ROOT = Path(__file__).parents[2]
SHORT = ["--first-kimg", 6, "--fade-kimg", 2, "--last-kimg", 4, "--picture-kimg", 2]


def run(*arguments):
    done = subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder after every stage, at 16 px, trained far too briefly to be any good."""
    folder = tmp_path_factory.mktemp("run")
    write_city(folder / "city.csv", trips=3000, stations=8, seed=2)
    run("rasterize", folder / "city.csv", "--run", folder, "--resolution", 16, "-k", 1)
    run("pgan", "train", "--run", folder, "--preset", "tiny", "--device", "cpu", *SHORT)
    run("pgan", "sample", "--run", folder)
    run("decode", "--run", folder)
    run("pgan", "judge", "--run", folder, "--jury", 1, "--kimg", 1)
    run("decode", "choose", "--run", folder, "--rows", 100)
    run("decode", "compare", folder / "trips.parquet", folder / "synthetic.parquet", "--run", folder)
    return folder


def test_the_run_folder_is_complete(folder):
    for name in (
        "trips.parquet",
        "stations.parquet",
        "rejects.json",
        "images/spec.json",
        "model/run.json",
        "model/stats.jsonl",
        "model/timelapse.gif",
        "model/snapshot.pt",
        "fakes/spec.json",
        "synthetic.csv",
        "synthetic.parquet",
        "strokes.parquet",
        "redrawn/verdicts.npy",
        "chosen.csv",
        "chosen.parquet",
        "report/index.html",
        "report/metrics.json",
    ):
        assert (folder / name).stat().st_size > 0, name
    assert not [path for path in folder.rglob("*") if ".tmp" in path.name]


def test_chosen_trips_are_some_of_the_synthetic_ones_and_stand_in_the_report(folder):
    chosen, synthetic = (pd.read_parquet(folder / f"{name}.parquet") for name in ("chosen", "synthetic"))
    assert len(chosen) == 100 and set(chosen["trip_id"]) < set(synthetic["trip_id"])
    assert json.loads((folder / "report" / "metrics.json").read_text())["others"] == ["calibrated", "chosen"]


def test_every_fake_is_a_trip_or_a_counted_reject(folder):
    counts = json.loads((folder / "decode.json").read_text())
    assert counts["images"] == counts["trips"] + sum(counts["rejected"].values())
    assert counts["trips"] > 0.5 * counts["images"]


def test_the_csv_has_the_columns_of_the_input_and_reads_back_without_a_reject(folder, tmp_path):
    original, synthetic = pd.read_csv(folder / "city.csv"), pd.read_csv(folder / "synthetic.csv")
    assert list(synthetic.columns) == list(original.columns)
    assert len(synthetic) == json.loads((folder / "decode.json").read_text())["trips"]
    for column in ("usertype", "gender"):
        assert set(synthetic[column]) <= set(original[column])
    stations = ["start station id", "start station name", "start station latitude", "start station longitude"]
    known = set(original[stations].itertuples(index=False, name=None))
    assert set(synthetic[stations].itertuples(index=False, name=None)) <= known
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{4}"
    assert all(re.fullmatch(pattern, text) for text in synthetic["starttime"].head(50))
    read = ingest_files([str(folder / "synthetic.csv")], tmp_path, options=IngestOptions())
    assert read.rejects["kept"] == read.rejects["rows"] == len(synthetic)


def test_labels_of_fakes_follow_the_training_trips(folder):
    trips = pd.read_parquet(folder / "trips.parquet").query("split == 'A'")
    synthetic = pd.read_parquet(folder / "synthetic.parquet")
    share = [(table["user_type"] == "Subscriber").mean() for table in (trips, synthetic)]
    assert share[0] == pytest.approx(share[1], abs=0.03)


def test_the_report_shows_the_run_and_its_figures(folder):
    figures = json.loads((folder / "report" / "metrics.json").read_text())["metrics"]
    assert figures["validity"]["value"] == 1
    assert figures["od_cpc"]["floor"] < figures["od_cpc"]["ceiling"]
    page = (folder / "report" / "index.html").read_text()
    assert "Simulated City" in page or "simulated" in page
    assert "no formal guarantee" in page.lower()


def test_a_finished_run_is_not_trained_again(folder):
    before = (folder / "model" / "snapshot.pt").stat().st_mtime_ns
    run("pgan", "train", "--run", folder, "--preset", "tiny", "--device", "cpu", *SHORT)
    assert (folder / "model" / "snapshot.pt").stat().st_mtime_ns == before
