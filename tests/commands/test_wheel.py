"""The package as people install it: a wheel, used outside the repository."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the wheel's files; what it requires comes from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in ("rasterize", "pgan", "decode"):
        shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder / "source")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", folder / "dist", folder / "source"], check=True)
    (wheel,) = (folder / "dist").glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", "--target", folder / "site", wheel], check=True)
    return folder / "site"


def run(installed, cwd, *words):
    environment = {**os.environ, "PYTHONPATH": str(installed)}
    return subprocess.run(
        [sys.executable, *map(str, words)], capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def test_it_works_outside_the_repository(installed, tmp_path):
    where = run(
        installed, tmp_path, "-c", "import decode, pgan, rasterize; print(rasterize.raster.__code__.co_filename)"
    )
    assert where.stdout.startswith(str(installed)), where.stderr
    script = installed / "bin" / "pgan-trips"
    assert run(installed, tmp_path, script, "--version").stdout.startswith("pgan-trips ")
    assert run(installed, tmp_path, script, "raster", "--simulate", "city.csv").returncode == 0
    done = run(installed, tmp_path, script, "raster", "city.csv", "--run", "run", "--resolution", "16")
    assert done.returncode == 0 and (tmp_path / "run" / "images" / "spec.json").exists(), done.stderr
    trips = tmp_path / "run" / "trips.parquet"  # the report needs its template
    done = run(installed, tmp_path, script, "compare", trips, trips, "--rows", "200", "--out", "report")
    assert done.returncode == 0 and (tmp_path / "report" / "index.html").exists(), done.stderr


def test_it_is_typed_and_lists_its_names(installed):
    for package in ("rasterize", "pgan", "decode"):
        assert (installed / package / "py.typed").exists() and (installed / package / "__init__.pyi").exists()
