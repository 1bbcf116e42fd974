"""The tables of a tiny run stay the same to the byte, whatever is moved or renamed in the code.

Generated images stand for real ones here: the training images themselves. What a generator paints depends on the CPU,
in its last bits; what the codec draws and reads does not, but for painted durations, whose rounding may tip over.
"""

import csv
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from rasterize.imageset import ImageSet, write_image_set
from rasterize.simulated_city import write_city

ROOT = Path(__file__).parents[2]
LAST_BITS = ("tripduration", "stoptime", "birth year")  # of raw trips: painted, so their rounding may tip over
HASHES = {
    "city": "1c7ac57c59f6af429c9d12ee2027855f290849445309ca2cbfd5f3d9b161ed67",
    "synthetic": "bfd6768e67ded63c7007888ee22d2ef340089208e6e5fddcd69a9669f911d8d8",
    "calibrated": "2c73984067639553226e7277f1f99c53f5a06a33c088df50a8ac31cfc36ec91b",
    "chosen": "bcc59586a72267a295e0ffbdd3345d6a7a1208e354d3f8cc9edb29299f222872",
}


def run(*words):
    command = [sys.executable, "-m", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run folder whose generated images are the training images."""
    folder = tmp_path_factory.mktemp("run")
    write_city(folder / "city.csv", trips=1_200, stations=8, seed=5)
    run("rasterize", folder / "city.csv", "--run", folder, "--resolution", 32, "--seed", 3)
    images = ImageSet.open(folder / "images")
    write_image_set(folder / "fakes", images.spec, [images.read(range(len(images)))], images.labels)
    run("decode", "--run", folder, "--seed", 3)
    run("decode", "choose", "--run", folder, "--rows", 100, "--seed", 3)
    return folder


def digest(path: Path, leave_out: tuple[str, ...] = ()) -> str:
    """SHA-256 of a CSV's cells, some columns left out; of its bytes if none is."""
    if not leave_out:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    with path.open(newline="", encoding="utf-8") as file:
        rows = [[row[name] for name in row if name not in leave_out] for row in csv.DictReader(file)]
    return hashlib.sha256(repr(rows).encode()).hexdigest()


def test_the_simulated_city_is_the_same(folder):
    assert digest(folder / "city.csv") == HASHES["city"]


@pytest.mark.parametrize("table", ["calibrated", "chosen"])
def test_calibrated_and_chosen_trips_are_the_same_to_the_byte(table, folder):
    assert digest(folder / f"{table}.csv") == HASHES[table]


def test_raw_trips_are_the_same_but_for_the_last_bits_of_what_is_painted(folder):
    assert digest(folder / "synthetic.csv", LAST_BITS) == HASHES["synthetic"]
