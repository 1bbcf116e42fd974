"""Rivals that are not installed with this project: each is fitted in an environment made for it in the work folder."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from rasterize.errors import InputError
from rasterize.files import write_atomically

PACKAGES = ("mostlyai-engine", "ctgan")
# They come along, need another build of torch where that is one for CPUs, and nothing here uses them.
UNWANTED = ("torchvision", "torchaudio")
SCRIPT = Path(__file__).with_name("external_fit.py")


@dataclass(frozen=True, kw_only=True)
class External:
    """A generator in a library of its own."""

    title: str
    package: str


# by their names in `external_fit.py`
EXTERNALS: Mapping[str, External] = {
    "tabular-argn": External(title="TabularARGN", package="mostlyai-engine"),
    "tvae": External(title="TVAE", package="ctgan"),
    "ctgan": External(title="CTGAN", package="ctgan"),
}


def external_rivals(names: Sequence[str]) -> dict[str, External]:
    """Those of these names; `InputError` on one that is not there."""
    for name in names:
        if name not in EXTERNALS:
            raise InputError(f"--external {name}: unknown; there are {', '.join(EXTERNALS)}")
    return {name: EXTERNALS[name] for name in names}


def install(environment: Path) -> Path:
    """Make the environment unless it is there (some GB); returns its Python."""
    python, ready = environment / "bin" / "python", environment / "ready"
    if not ready.exists():
        _call([sys.executable, "-m", "venv", "--clear", str(environment)])
        _call([str(python), "-m", "pip", "install", "--quiet", *PACKAGES])
        _call([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED])
        ready.touch()
    return python


def version_in(python: Path, package: str) -> str:
    """The version of a package in that environment."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _call([str(python), "-c", code]).strip()


def fit(python: Path, rival: str, train: pd.DataFrame, folder: Path, *, seed: int) -> pd.DataFrame:
    """Rows drawn from a rival fitted on the training table; kept in `folder` and not made twice."""
    path = folder / f"{rival}.parquet"
    if not path.exists():
        train.to_parquet(folder / "train.parquet")
        with write_atomically(path) as temporary:
            files = [str(folder / "train.parquet"), str(temporary)]
            _call([str(python), str(SCRIPT), rival, *files, str(seed)])
    return pd.read_parquet(path)


def _call(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise InputError(f"`{' '.join(command)}` ended with code {done.returncode}: {' '.join(last)}; see its output")
    return done.stdout
