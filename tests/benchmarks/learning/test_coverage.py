"""The coverage benchmark: shares by hand, one command that measures all, nothing done twice or taken for another."""

import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.learning.coverage import (
    DECIDED_HERE,
    FRESH,
    REAL,
    Terms,
    app,
    format_figures,
    measure_coverage,
    measure_seed,
    read_terms,
)
from benchmarks.learning.variants import Variant
from rasterize.errors import InputError
from rasterize.simulated_city import write_city

SMALL = {"max_maps": 16, "latent_size": 16, "dense_size": 64, "first_kimg": 0.4, "fade_kimg": 0.1}
SAMPLES = 1500
VARIANTS = {"ns-r1, pack 2": ("ns-r1", 2)}


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A file of trips of the simulated city."""
    path = tmp_path_factory.mktemp("coverage") / "city.csv"
    write_city(path, trips=2400, stations=10)
    return path


@pytest.fixture(scope="module")
def work(city):
    """A work folder after the benchmark has measured a variant; what an interrupted one had left is in its way."""
    work = city.with_name("work")
    unfinished = work / "seed-0" / "ns-r1-pack-2"
    unfinished.mkdir(parents=True)
    (unfinished / "model").write_text("half a run")
    run_coverage(city, work)
    return work


def run_coverage(city, work, *more, minutes="0.3"):
    """Run the coverage benchmark on a file of trips, and return what it prints."""
    options = ["--trips", str(city), "--work", str(work), "--minutes", minutes, "--trial", "0.2"]
    options += ["--samples", str(SAMPLES)]
    options += [text for loss, pack in VARIANTS.values() for text in ("--variant", f"{loss}:{pack}")]
    options += [text for name, value in SMALL.items() for text in ("--set", f"{name}={value}")]
    return CliRunner().invoke(app, [*options, "--jobs", "2", *more], catch_exceptions=False).stdout


def pairs(text):
    return pd.MultiIndex.from_tuples([tuple(pair) for pair in text.split()])


def test_shares_by_hand():
    thirds = {"A": pairs("ab ab ab ba ca"), "B": pairs("ab ab bc ca ca"), "C": pairs("cc ab")}
    samples = pairs("ab ab ab cc cb bc")  # cc and bc are real, though not of A; cb is not
    found = measure_coverage(samples, thirds, np.random.default_rng(0))
    assert found["reached"] == 1 / 3 and found["reached_by_trips"] == 3 / 5
    assert found["off_the_map"] == pytest.approx(1 / 6) and found["trips"] == 6
    whole = measure_coverage(pairs("ab ab ab cc bc"), thirds, np.random.default_rng(0))
    assert whole["od_cpc"] == 3 / 5
    assert measure_coverage(pairs("ab ab"), thirds, np.random.default_rng(0))["od_cpc"] is None


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("learning_rate", "--set learning_rate: expected NAME=VALUE"),
        ("rate=2", "no such setting; there are preset, minutes, trial, samples, batch, start_resolution"),
        ("batch=many", "--set batch=many: expected a whole number"),
        *((f"{name}=1", f"--set {name}=1: no such setting") for name in DECIDED_HERE),
    ],
)
def test_settings_that_cannot_be(city, tmp_path, pair, message):
    with pytest.raises(InputError, match=message):
        run_coverage(city, tmp_path, "--set", pair)


def test_settings_of_training_are_told_from_the_terms():
    terms = read_terms({"minutes": 3.0, "learning_rate": 0.01, "batch": 8})
    assert terms == Terms(minutes=3.0, settings={"batch": 8, "learning_rate": 0.01})


def test_one_command_measures_variants_and_references(work):
    figures = json.loads((work / "figures.json").read_text())
    assert list(figures["rows"]) == [REAL, FRESH, *VARIANTS] and "torch 2." in figures["heading"]
    real, fresh, *ours = (rows[0] for rows in figures["rows"].values())
    assert real["off_the_map"] == fresh["off_the_map"] == 0 and real["trips"] == SAMPLES
    assert 1 > real["reached_by_trips"] > real["reached"] > 0.9 and fresh["reached_by_trips"] < 1
    for row in ours:
        assert 0 < row["reached"] < real["reached"] and 0 < row["trips"] <= SAMPLES and 0 <= row["off_the_map"] < 1
        assert row["cpu_seconds"] > 1 and row["od_cpc"] < real["od_cpc"]
        shown = 500 + 1000 * row["last_kimg"]  # the phases before have 500 images
        assert shown <= 1000 * row["kimg"] < shown + 16
    text = format_figures(figures)
    assert "\n| real resample | ." in text and "\n| ns-r1, pack 2 | ." in text and "seeds 0" in text


def test_runs_are_those_asked_for(work):
    for loss, pack in VARIANTS.values():
        run = work / "seed-0" / f"{loss}-pack-{pack}"
        config = json.loads((run / "model" / "run.json").read_text())["config"]
        assert (config["loss"], config["pack"], config["max_maps"], config["compile"]) == (loss, pack, 16, "no")
        assert json.loads((run / "decode.json").read_text())["images"] == SAMPLES / 4  # each of four trips


def test_every_row_has_as_many_trips(work):
    variants = [Variant.from_loss(*one) for one in VARIANTS.values()]
    painted = [len(pd.read_parquet(one.folder(work / "seed-0") / "synthetic.parquet")) for one in variants]
    most = min(900, *(trips - 1 for trips in painted))  # how many a generator paints depends on the time it had
    rows = measure_seed(work / "seed-0", variants, most, 0)
    assert [row["trips"] for row in rows.values()] == [most] * (2 + len(VARIANTS))


def test_a_finished_variant_is_not_done_again(city, work):
    before = {path: path.stat().st_mtime_ns for path in work.glob("seed-0/*/*") if path.is_file()}
    assert "all figures" in run_coverage(city, work)
    assert {path: path.stat().st_mtime_ns for path in work.glob("seed-0/*/*") if path.is_file()} == before


def test_variants_of_other_terms_or_trips_are_refused(city, work, tmp_path):
    with pytest.raises(InputError, match=r"ns-r1-pack-2: trained with minutes 0.3 \(now 0.2\); give another --work"):
        run_coverage(city, work, minutes="0.2")
    with pytest.raises(InputError, match=r"gamma_scale 0.36 \(now 0.1\)"):
        run_coverage(city, work, "--set", "gamma_scale=0.1")
    other = tmp_path / "city.csv"
    write_city(other, trips=600, stations=10, seed=1)
    with pytest.raises(InputError, match="real: drawn from other trips"):
        run_coverage(other, work)


def test_several_seeds_show_mean_and_range():
    rows = {REAL: [{"reached": 0.8}, {"reached": 0.9}], "ns-r1, pack 1": [{"reached": 0.5}, {"reached": 0.5}]}
    options = vars(Terms(preset="tiny", settings={}, minutes=1, trial=1, samples=9)) | {"seeds": [0, 1]}
    text = format_figures({"options": options, "training": {0: {"trips": 5, "pairs": 3}}, "rows": rows})
    assert "| real resample | .850 (.800–.900) | – |" in text and "| ns-r1, pack 1 | .500 | – |" in text
