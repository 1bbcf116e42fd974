"""How a benchmark measures: each case or command in a process of its own, by CPU time and peak memory."""

import multiprocessing
import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rasterize.errors import InputError


@dataclass(frozen=True)
class Measured:
    """What a case came to.

    Attributes
    ----------
    rate : float
        Units of work per CPU-second.
    peak_mib : float
        Peak memory of the process in MiB.
    extra : dict
        Whatever else the case returns.
    """

    rate: float
    peak_mib: float
    extra: dict[str, Any]


def measure_rate(work: Callable[[], object], count: int, *, runs: int = 3) -> float:
    """Measure how fast this process works, by CPU time.

    Parameters
    ----------
    work : callable
        Does `count` units of work; it is called once more, first, to warm up.
    count : int
        Units of work in one call.
    runs : int
        Calls that are timed; the fastest counts.

    Returns
    -------
    float
        Units per CPU-second.
    """
    # The first call warms up: it compiles, loads and fills caches.
    work()
    spent = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return count / min(spent)


def run_case(case: Callable[..., tuple[float, dict[str, Any]]], *arguments: Any) -> Measured:
    """Run a case in a fresh process; the case returns its rate and more."""
    # A spawned process, unlike a forked one, does not start with the memory of this one.
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rate, extra, peak = pool.apply(_run_and_read_peak, (case, arguments))
    return Measured(rate, peak, extra)


def _run_and_read_peak(
    case: Callable[..., tuple[float, dict[str, Any]]], arguments: tuple
) -> tuple[float, dict[str, Any], float]:
    rate, extra = case(*arguments)
    return rate, extra, _read_peak_mib()


def run_stage(module: str, *arguments: str, log: Path) -> dict[str, float]:
    """Run one of our commands on one thread.

    Parameters
    ----------
    module : str
        What follows `python -m`.
    *arguments : str
        Arguments of the command.
    log : Path
        File that takes what the command prints.

    Returns
    -------
    dict of str to float
        `cpu_seconds` and `wall_seconds` of the command.

    Raises
    ------
    InputError
        If the command fails.
    """
    # One thread, so that CPU seconds compare with those of other stages.
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)  # unlike getrusage: of this child alone
    # The log has the whole message; its end says what went wrong.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "; ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:])
        raise InputError(f"{log}: `python -m {module}` ended with exit code {process.returncode} ({last}); see there")
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "wall_seconds": time.perf_counter() - begin}


def _read_peak_mib() -> float:
    """Return the peak resident memory of this process; `ru_maxrss` would include that of its parent."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def format_short(value: float, decimals: int = 3) -> str:
    """Return a number for a table, without the zero before its point."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def format_heading(*packages: str) -> str:
    """Return the date, the machine and the versions of Python and some packages."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, {versions}"


def print_heading(*packages: str) -> None:
    """Print the heading of `format_heading`, and an empty line."""
    print(f"{format_heading(*packages)}\n")
