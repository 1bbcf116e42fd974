"""`pgan-trips`: one name for all commands, and one demo for make and for people without make."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from decode.console import VERBS, demo_steps
from rasterize import __version__

ROOT = Path(__file__).parents[2]


def run(*words):
    command = [sys.executable, "-m", "decode.console", *words]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def test_version_and_usage():
    for words in (["--version"], ["train", "--version"]):
        assert run(*words).stdout == f"pgan-trips {__version__}\n"
    assert all(f"\n  {verb} " in run().stdout for verb in (*VERBS, "demo"))


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_is_a_command_of_a_module(verb):
    done = run(verb, "--help")
    assert done.returncode == 0 and "Usage:" in done.stdout, done.stderr


def test_help_names_the_command_that_was_called():
    installed = Path(sys.executable).with_name("pgan-trips")
    for verb in ("train", "raster", "choose"):
        done = subprocess.run([installed, verb, "--help"], capture_output=True, text=True, cwd=ROOT, check=False)
        assert f"Usage: pgan-trips {verb} [OPTIONS]" in done.stdout


def test_the_demo_takes_nothing_but_a_run_folder():
    assert run("demo", "--help").stdout.startswith("Usage: pgan-trips demo [RUN]")
    assert run("demo", "runs/demo", "--resolution", "32").returncode == 2


def test_a_refusal_is_one_line_and_exit_code_2(tmp_path):
    done = run("decode", "--run", str(tmp_path))
    assert done.returncode == 2 and done.stderr.startswith("error: ") and len(done.stderr.splitlines()) == 1
    assert run("paint").returncode == 2 and "no such verb" in run("paint").stderr


@pytest.mark.parametrize("package", ["rasterize", "pgan", "decode"])
def test_each_module_tells_its_version(package):
    done = subprocess.run(
        [sys.executable, "-m", package, "--version"], capture_output=True, text=True, cwd=ROOT, check=False
    )
    assert done.stdout == f"pgan-trips {__version__}\n", done.stderr


def test_the_demo_of_make_is_that_of_the_console(tmp_path):
    make = ["make", "--dry-run", "--always-make", "demo", "READY=setup.cfg", "CITY=runs/demo/simulated-city.csv"]
    printed = subprocess.run(make, capture_output=True, text=True, cwd=ROOT, check=True).stdout
    steps = [tuple(words.split()) for words in re.findall(r"-m ((?:rasterize|pgan|decode) .*)", printed)]
    assert list(dict.fromkeys(steps)) == demo_steps()
