"""The commands as a person runs them: bad input gives one line and exit code 2, and leaves nothing finished behind."""

import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from rasterize.imageset import write_image_set
from rasterize.jit import ANNOUNCEMENT
from rasterize.simulated_city import write_city
from tests.spec_examples import make_spec

ROOT = Path(__file__).parents[2]
HEADER = (
    "ride_id,rideable_type,started_at,ended_at,start_station_name,start_station_id,end_station_name,end_station_id,"
    "start_lat,start_lng,end_lat,end_lng,member_casual"
)
ROW = "A,classic_bike,2021-03-03 10:{m:02}:07,2021-03-03 10:{n:02}:40,X,{s},Y,{e},{a},{b},{c},{d},member"


def run(*arguments):
    return subprocess.run(
        [sys.executable, "-m", *map(str, arguments)], capture_output=True, text=True, cwd=ROOT, check=False
    )


def assert_refused(done, *words):
    assert done.returncode == 2, done.stderr + done.stdout
    lines = [line for line in done.stderr.splitlines() if line.strip() and line != ANNOUNCEMENT]
    assert len(lines) == 1 and lines[0].startswith("error: "), done.stderr
    for word in words:
        assert word in lines[0], lines[0]


def trip_rows(count, *, same=False, swapped=False):
    rows = []
    for number in range(count):
        start, end = (40.70 + number % 3 / 100, -74.04), (40.70 + (number + 1) % 3 / 100, -74.03)
        start, end = (start[::-1], end[::-1]) if swapped else (start, end)
        s, e = ("S", "S") if same else (f"S{number % 3}", f"E{(number + 1) % 3}")
        end = start if same else end
        rows.append(ROW.format(m=number % 20, n=30 + number % 20, s=s, e=e, a=start[0], b=start[1], c=end[0], d=end[1]))
    return rows


CASES = {
    "empty file": ([], ["x.csv", "empty"]),
    "header only": ([HEADER], ["x.csv"]),
    "one trip": ([HEADER, *trip_rows(1)], ["give more trips"]),
    "one station": ([HEADER, *trip_rows(50, same=True)], ["station"]),
    "swapped coordinates": ([HEADER, *trip_rows(50, swapped=True)], ["x.csv", "swapped"]),
    "missing column": ([HEADER.replace("started_at", "begun"), *trip_rows(50)], ["x.csv", "begun"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_trip_files(case, tmp_path):
    lines, words = CASES[case]
    path = tmp_path / "x.csv"
    path.write_text("\n".join(lines) + ("\n" if lines else ""))
    assert_refused(run("rasterize", path, "--run", tmp_path / "run"), *words)
    assert not (tmp_path / "run" / "images" / "spec.json").exists()


def test_nothing_is_trained_on_an_unfinished_image_set(tmp_path):
    assert_refused(run("pgan", "train", "--run", tmp_path, "--preset", "tiny"), "no finished image set")


def test_a_truncated_zip(tmp_path):
    write_city(tmp_path / "city.csv", trips=500, stations=5)
    with zipfile.ZipFile(tmp_path / "whole.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(tmp_path / "city.csv", "city.csv")
    whole = (tmp_path / "whole.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(whole[: len(whole) // 2])
    assert_refused(run("rasterize", tmp_path / "cut.zip", "--run", tmp_path / "run"), "cut.zip")


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--column", "started_at"], "expected NAME=VALUE"),
        (["--column", "shoe_size=Start date"], "shoe_size"),
        (["--column", "started_at=No such header"], "No such header"),
        (["--resolution", "huge"], "--resolution huge"),
        (["--attribute", "hour=sideways"], "hour=sideways"),
        (["--mode", "rgb"], "modes: abod, grey"),
        (["-k", "0"], "1 or more"),
        (["--stations", "nowhere.json"], "nowhere.json"),
        (["--time-zone", "Mars/Base"], "Mars/Base"),
    ],
)
def test_bad_options_of_rasterize(arguments, word, tmp_path):
    write_city(tmp_path / "city.csv", trips=300, stations=5)
    assert_refused(run("rasterize", tmp_path / "city.csv", "--run", tmp_path / "run", *arguments), word)
    assert not (tmp_path / "run" / "images" / "spec.json").exists()


def test_no_files_and_absent_files(tmp_path):
    assert_refused(run("rasterize", "--run", tmp_path), "no trip files")
    assert_refused(run("rasterize", tmp_path / "absent.csv", "--run", tmp_path), "absent.csv")


def test_decode_without_fakes_and_with_foreign_ones(tmp_path):
    assert_refused(run("decode", "--run", tmp_path), "no finished image set")
    spec = make_spec([(3, 3), (12, 12)])
    write_image_set(tmp_path / "fakes", spec, [np.zeros((3, 4, 16, 16))], np.zeros((3, 0)))
    assert_refused(run("decode", "--run", tmp_path), "3 blank image")
    assert not (tmp_path / "synthetic.parquet").exists()
    path = tmp_path / "fakes" / "spec.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 7}))
    assert_refused(run("decode", "--run", tmp_path), "spec version 7")


def test_decode_roundtrip_prints_json(tmp_path):
    write_city(tmp_path / "city.csv", trips=600, stations=8)
    words = [
        "decode",
        "roundtrip",
        tmp_path / "city.csv",
        "--resolution",
        "64",
        "-k",
        "4",
        "--rows",
        "300",
        "--json",
        "-",
    ]
    done = run(*words)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert figures["trips"] == 300 and figures["precision"] >= 0.99 and figures["recall"] >= 0.99
    spoilt = json.loads(run(*words, "--noise", "medium", "--lost", "0.1").stdout)
    assert 0.9 < spoilt["recall"] < 1 and spoilt["value_error"][0] > 10 * figures["value_error"][0]
    assert_refused(run(*words, "--noise", "loud"), "--noise loud", "none, mild, medium")


@pytest.fixture
def ready(tmp_path):
    """What make takes for the environment, newer than setup.cfg, so that it is not made again."""
    (tmp_path / "ready").touch()
    return f"READY={tmp_path / 'ready'}"


def test_make_goes_from_trips_to_chosen_ones(ready, tmp_path):
    make = [
        "make",
        "--dry-run",
        "raster",
        "train",
        "decode",
        "choose",
        "report",
        ready,
        f"RUN={tmp_path}/run",
    ]
    make += ["TRIPS=setup.cfg", "SAMPLE=--images 99", "DECODE=--ranks drawn", "JUDGE=--jury 2", "ROWS=7"]
    printed = subprocess.run(make, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    run = f"--run {tmp_path}/run"
    told = ["rasterize setup.cfg", f"pgan train {run}", f"pgan sample {run} --images 99", f"decode {run} --ranks drawn"]
    told += [f"pgan judge {run} --jury 2", f"decode choose {run} --rows 7", "decode compare"]
    places = [printed.index(f"-m {command}") for command in told]
    assert places == sorted(places)


def test_make_hands_more_flags_on_and_makes_nothing_twice(ready, tmp_path):
    write_city(tmp_path / "city.csv", trips=600, stations=8)
    broken = f"--stations '{tmp_path}/none.json'"
    make = ["make", "raster", f"PYTHON={sys.executable}", ready, f"TRIPS={tmp_path}/city.csv"]
    make += [f"RUN={tmp_path}/run", "RESOLUTION=auto"]

    def run_make(flags):
        return subprocess.run([*make, f"RASTER={flags}"], capture_output=True, text=True, cwd=ROOT, check=False)

    assert "none.json" in run_make(broken).stderr
    first = run_make("--time-zone 'America/New_York' --workers 2")
    assert first.returncode == 0 and "resolution 16 px" in first.stdout, first.stderr
    assert "-m rasterize" not in run_make("--time-zone 'America/New_York' --workers 2").stdout
    assert "-m rasterize" in run_make("--stroke-sigma 0.7").stdout
    spec = json.loads((tmp_path / "run" / "images" / "spec.json").read_text())
    assert spec["drawing"]["stroke_sigma_px"] == 0.7
