"""The coverage benchmark: shares by hand, runs of equal time, nothing done twice or taken for another."""

import json
from itertools import count

import numpy as np
import pandas as pd
import pytest
from torch.utils.flop_counter import FlopCounterMode
from typer.testing import CliRunner

from benchmarks.fidelity.sets import SETS, WINTER
from benchmarks.fidelity.split import check_same_split, split_trips
from benchmarks.learning.coverage import (
    FRESH,
    REAL,
    Speed,
    Terms,
    Variant,
    app,
    changes_of,
    coverage,
    do_all,
    draw,
    last_kimg_for,
    measure_seed,
    measure_speeds,
    read_settings,
    table,
    try_phases,
)
from benchmarks.measure import run_stage
from pgan.config import resolve_config
from rasterize.errors import InputError
from rasterize.simulated_city import write_city

SMALL = ("max_maps=16", "latent_size=16", "dense_size=64", "first_kimg=0.4", "fade_kimg=0.1")
SAMPLES = 1500
VARIANTS = {"ns-r1, pack 2": ("ns-r1", 2)}


@pytest.fixture(scope="module")
def city(tmp_path_factory):
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
    asked(city, work)
    return work


def asked(city, work, *more, minutes="0.3"):
    options = ["--trips", str(city), "--work", str(work), "--minutes", minutes, "--trial", "0.2"]
    options += ["--samples", str(SAMPLES)]
    options += [text for loss, pack in VARIANTS.values() for text in ("--variant", f"{loss}:{pack}")]
    options += [text for setting in SMALL for text in ("--setting", setting)]
    return CliRunner().invoke(app, [*options, "--jobs", "2", *more], catch_exceptions=False).stdout


def pairs(text):
    return pd.MultiIndex.from_tuples([tuple(pair) for pair in text.split()])


def test_shares_by_hand():
    thirds = {"A": pairs("ab ab ab ba ca"), "B": pairs("ab ab bc ca ca"), "C": pairs("cc ab")}
    samples = pairs("ab ab ab cc cb bc")  # cc and bc are real, though not of A; cb is not
    found = coverage(samples, thirds, np.random.default_rng(0))
    assert found["reached"] == 1 / 3 and found["reached_by_trips"] == 3 / 5
    assert found["off_the_map"] == pytest.approx(1 / 6) and found["trips"] == 6
    whole = coverage(pairs("ab ab ab cc bc"), thirds, np.random.default_rng(0))
    assert whole["od_cpc"] == 3 / 5
    assert coverage(pairs("ab ab"), thirds, np.random.default_rng(0))["od_cpc"] is None


def test_the_last_phase_fills_the_time_that_is_left():
    assert last_kimg_for(10, Speed(images_per_s=250, seconds_before=100), name="ns-r1") == 125
    with pytest.raises(InputError, match="--minutes 1: .* take 1.5 minutes with ns-r1; give more, or shorten them"):
        last_kimg_for(1, Speed(images_per_s=250, seconds_before=90), name="ns-r1")


def test_speeds_are_measured_once_per_variant(work):
    lazy, eager = Variant.of_loss("ns-r1", 1), Variant.of_loss("wgan-gp", 1)
    terms = Terms(preset="tiny", settings=read_settings(SMALL), minutes=1, trial=0.05, samples=1)
    waiting, homes = [(lazy, 0), (eager, 0), (lazy, 1)], {0: work / "seed-0"}
    speeds = measure_speeds(waiting, homes, terms, jobs=1)
    assert list(speeds) == [lazy, eager]
    assert all(speed.images_per_s > 0 and speed.seconds_before > 0 for speed in speeds.values())
    assert measure_speeds([], homes, terms, jobs=1) == {}


def test_speeds_are_those_of_real_steps_in_each_phase(work):
    """By a clock that counts floating-point operations."""
    lazy, eager = Variant.of_loss("ns-r1", 1), Variant.of_loss("wgan-gp", 1)
    settings = read_settings(["max_maps=16", "first_kimg=0.2", "fade_kimg=4", "penalty_steps_to_32px=8"])
    terms = Terms(preset="tiny", settings=settings, minutes=1, trial=0.3, samples=1)
    configs = [resolve_config(terms.preset, changes_of(one, terms, seed=0)) for one in (lazy, eager)]
    with FlopCounterMode(display=False) as counter:
        rates, before = try_phases(lazy.real(work / "seed-0"), configs, 1.0, clock=counter.get_total_flops)
    assert rates[1] < rates[0]  # WGAN-GP has a penalty in every step
    assert all(0.4 < seconds * rate / 4200 < 2.5 for rate, seconds in zip(rates, before, strict=True))


def test_each_phase_is_tried_in_turns_of_its_penalty_interval(work):
    """Whenever the clock is read a second has passed, so that a turn of steps takes one."""
    settings = read_settings(["max_maps=16", "first_kimg=0.2", "fade_kimg=4", "penalty_steps_to_32px=8"])
    terms = Terms(preset="tiny", settings=settings, minutes=1, trial=0.3, samples=1)
    one = Variant.of_loss("ns-r1", 1)
    config = resolve_config(terms.preset, changes_of(one, terms, seed=0))
    rates, before = try_phases(one.real(work / "seed-0"), [config, config], 2.5, clock=count(0.0).__next__)
    assert rates.tolist() == [16 * 8] * 2
    assert before.tolist() == [200 / (16 * 8) + 4000 / (16 * 8)] * 2


@pytest.mark.parametrize(
    ("pair", "message"),
    [
        ("learning_rate", "expected NAME=VALUE"),
        ("pack=2", "decides on loss, pack"),
        ("rate=2", "no setting 'rate'; settings: loss"),
        ("batch=many", "'many' is no int"),
    ],
)
def test_settings_that_cannot_be(pair, message):
    with pytest.raises(InputError, match=message):
        read_settings([pair])
    assert read_settings(["learning_rate=0.01", "batch=8"]) == {"learning_rate": 0.01, "batch": 8}


@pytest.mark.parametrize("text", ["ns-r1", "ns-r1:", "hinge:1", "ns-r1:x"])
def test_variants_that_cannot_be(text):
    assert Variant.read("wgan-gp:2") == Variant.of_loss("wgan-gp", 2)
    with pytest.raises(InputError, match=f"--variant {text}: expected LOSS:PACK"):
        Variant.read(text)


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
    text = table(figures)
    assert "\n| real resample | ." in text and "\n| ns-r1, pack 2 | ." in text and "seeds 0" in text


def test_runs_are_those_asked_for(work):
    for loss, pack in VARIANTS.values():
        run = work / "seed-0" / f"{loss}-pack-{pack}"
        config = json.loads((run / "model" / "run.json").read_text())["config"]
        assert (config["loss"], config["pack"], config["max_maps"], config["compile"]) == (loss, pack, 16, "no")
        assert json.loads((run / "decode.json").read_text())["images"] == SAMPLES / 4  # each of four trips


def test_every_row_has_as_many_trips(work):
    variants = [Variant.of_loss(*one) for one in VARIANTS.values()]
    painted = [len(pd.read_parquet(one.folder(work / "seed-0") / "synthetic.parquet")) for one in variants]
    most = min(900, *(trips - 1 for trips in painted))  # how many a generator paints depends on the time it had
    rows = measure_seed(work / "seed-0", variants, most, 0)
    assert [row["trips"] for row in rows.values()] == [most] * (2 + len(VARIANTS))


def test_a_finished_variant_is_not_done_again(city, work):
    before = {path: path.stat().st_mtime_ns for path in work.glob("seed-0/*/*") if path.is_file()}
    assert "all figures" in asked(city, work)
    assert {path: path.stat().st_mtime_ns for path in work.glob("seed-0/*/*") if path.is_file()} == before


def test_variants_of_other_terms_or_trips_are_refused(city, work, tmp_path):
    with pytest.raises(InputError, match=r"ns-r1-pack-2: trained with minutes 0.3 \(now 0.2\); give another --work"):
        asked(city, work, minutes="0.2")
    with pytest.raises(InputError, match=r"gamma_scale 0.36 \(now 0.1\)"):
        asked(city, work, "--setting", "gamma_scale=0.1")
    other = tmp_path / "city.csv"
    write_city(other, trips=600, stations=10, seed=1)
    with pytest.raises(InputError, match="real: drawn from other trips"):
        asked(other, work)


def test_a_stage_that_fails_is_told(tmp_path):
    with pytest.raises(InputError, match="train.log: `python -m pgan` ended with exit code 2.*'vast' is unknown"):
        run_stage("pgan", "train", "--run", str(tmp_path), "--preset", "vast", log=tmp_path / "train.log")


def test_after_a_failure_nothing_new_is_begun():
    done = []

    def fail():
        raise InputError("no")

    with pytest.raises(InputError, match="no"):
        do_all([fail, *(lambda k=k: done.append(k) for k in range(50))], 1)
    assert len(done) < 50


def test_several_seeds_show_mean_and_range():
    rows = {REAL: [{"reached": 0.8}, {"reached": 0.9}], "ns-r1, pack 1": [{"reached": 0.5}, {"reached": 0.5}]}
    options = vars(Terms(preset="tiny", settings={}, minutes=1, trial=1, samples=9)) | {"seeds": [0, 1]}
    text = table({"options": options, "training": {0: {"trips": 5, "pairs": 3}}, "rows": rows})
    assert "| real resample | .850 (.800–.900) | – |" in text and "| ns-r1, pack 1 | .500 | – |" in text


def test_thirds_are_those_of_the_fidelity_benchmark(shared_data, tmp_path):
    files = SETS[WINTER].files(shared_data)
    draw(files, tmp_path / "real", seed=3)
    check_same_split(split_trips(files, tmp_path / "split", 3), tmp_path / "real", files, 3)
