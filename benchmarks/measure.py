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
    """Units of work per CPU-second, peak memory of the process in MiB, and whatever else the case tells."""

    rate: float
    peak_mib: float
    extra: dict[str, Any]


def rate_of(work: Callable[[], object], count: int, *, runs: int = 3) -> float:
    """Units per CPU-second of this process, the best of some runs after one to warm up."""
    work()
    spent = []
    for _ in range(runs):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return count / min(spent)


def measure(case: Callable[..., tuple[float, dict[str, Any]]], *arguments: Any) -> Measured:
    """Run a case, which gives its rate and more, in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        rate, extra, peak = pool.apply(_run, (case, arguments))
    return Measured(rate, peak, extra)


def _run(case: Callable[..., tuple[float, dict[str, Any]]], arguments: tuple) -> tuple[float, dict[str, Any], float]:
    rate, extra = case(*arguments)
    return rate, extra, peak_mib()


def run_stage(module: str, *arguments: str, log: Path) -> dict[str, float]:
    """Run one of our commands on one thread, its words to `log`; returns the CPU and wall seconds it took.

    Raises `InputError` if it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with log.open("wb") as words:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=words,
            stderr=subprocess.STDOUT,
        )
        _, status, usage = os.wait4(process.pid, 0)  # unlike getrusage: of this child alone
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        last = "; ".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-2:])
        raise InputError(f"{log}: `python -m {module}` ended with exit code {process.returncode} ({last}); see there")
    return {"cpu_seconds": usage.ru_utime + usage.ru_stime, "wall_seconds": time.perf_counter() - begin}


def peak_mib() -> float:
    """Peak resident memory of this process; `ru_maxrss` would count that of the process it was started by."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024


def short(value: float, decimals: int = 3) -> str:
    """A number for a table, without the zero before its point."""
    text = f"{value:.{decimals}f}"
    return text.replace("0.", ".", 1) if abs(value) < 1 else text


def heading(*packages: str) -> str:
    """Date, machine and versions."""
    versions = ", ".join(f"{name} {version(name)}" for name in packages)
    return f"{date.today()}, {platform.machine()}, Python {platform.python_version()}, {versions}"


def print_heading(*packages: str) -> None:
    """Print it, and an empty line."""
    print(f"{heading(*packages)}\n")
