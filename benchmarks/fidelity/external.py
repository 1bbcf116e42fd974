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
# They come along with the packages, and nothing here uses them. They do not fit a build of torch for CPUs.
UNWANTED = ("torchvision", "torchaudio")
SCRIPT = Path(__file__).with_name("external_fit.py")


@dataclass(frozen=True, kw_only=True)
class External:
    """A generator in a library of its own."""

    title: str
    package: str


# The keys are the names in `external_fit.py`.
EXTERNALS: Mapping[str, External] = {
    "tabular-argn": External(title="TabularARGN", package="mostlyai-engine"),
    "tvae": External(title="TVAE", package="ctgan"),
    "ctgan": External(title="CTGAN", package="ctgan"),
}


def choose_externals(names: Sequence[str]) -> dict[str, External]:
    """Return the rivals of these names; `InputError` on an unknown name."""
    for name in names:
        if name not in EXTERNALS:
            raise InputError(f"--external {name}: unknown; there are {', '.join(EXTERNALS)}")
    return {name: EXTERNALS[name] for name in names}


def install_packages(environment: Path) -> Path:
    """Make the environment unless it is there (some GB), and return its Python."""
    # The file `ready` comes last, so that an interrupted installation is begun anew.
    python, ready = environment / "bin" / "python", environment / "ready"
    if not ready.exists():
        _run_command([sys.executable, "-m", "venv", "--clear", str(environment)])
        _run_command([str(python), "-m", "pip", "install", "--quiet", *PACKAGES])
        _run_command([str(python), "-m", "pip", "uninstall", "--quiet", "--yes", *UNWANTED])
        ready.touch()
    return python


def read_version(python: Path, package: str) -> str:
    """Return the version of a package in the environment of this Python."""
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return _run_command([str(python), "-c", code]).strip()


def fit_external(python: Path, rival: str, train: pd.DataFrame, folder: Path, *, seed: int) -> pd.DataFrame:
    """Fit a rival on the training table, and sample as many rows; what is in `folder` already is not made again.

    Parameters
    ----------
    python : Path
        Python of the environment that `install_packages` made.
    rival : str
        A key of `EXTERNALS`.
    train : pd.DataFrame
        The training table.
    folder : Path
        Takes the training table and the result.
    seed : int
        Seed of fitting and sampling.

    Returns
    -------
    pd.DataFrame
        Sampled rows, with the columns of `train`.
    """
    path = folder / f"{rival}.parquet"
    if not path.exists():
        # The rival runs in a process of its own environment, so tables go by files.
        train.to_parquet(folder / "train.parquet")
        with write_atomically(path) as temporary:
            files = [str(folder / "train.parquet"), str(temporary)]
            _run_command([str(python), str(SCRIPT), rival, *files, str(seed)])
    return pd.read_parquet(path)


def _run_command(command: list[str]) -> str:
    """Return what a command prints; `InputError` with its last line if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
        raise InputError(f"`{' '.join(command)}` ended with code {done.returncode}: {' '.join(last)}; see its output")
    return done.stdout
