"""How a run shows itself: a live line on a terminal, plain lines elsewhere, stats.jsonl and TensorBoard."""

import json
import sys
import time
from pathlib import Path
from typing import Any, Self

import torch
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from torch import Tensor

from pgan.steps.diversity import COLLAPSED
from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from pgan.steps.step import StepResult
from rasterize.files import write_atomically

PLAIN_SECONDS = 10.0  # between two plain lines; set by hand


class Reporter:
    """Collects the results of steps and, when asked, shows their means; use as a context manager."""

    def __init__(self, model: Path, schedule: Schedule, *, nimg: int) -> None:
        self._schedule = schedule
        self._model = model
        self._sums: dict[str, Tensor] = {}
        self._steps = 0
        self._since, self._since_nimg = time.perf_counter(), nimg
        self._printed = float("-inf")
        self._collapsed = False
        _drop_lines_after(model / "stats.jsonl", nimg)
        self._bar = _make_live_bar() if sys.stdout.isatty() else None
        self._in_notebook = "ipykernel" in sys.modules

    def __enter__(self) -> Self:
        from torch.utils.tensorboard import SummaryWriter  # slow to import

        self._stats = (self._model / "stats.jsonl").open("a", encoding="utf-8")
        self._board = SummaryWriter(str(self._model / "tensorboard"), purge_step=self._since_nimg)
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task("", total=self._schedule.total, rate="")
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar:
            self._bar.stop()
        elif self._in_notebook:
            print(flush=True)
        self._board.close()
        self._stats.close()

    def add(self, result: StepResult) -> None:
        """Remember one step, without waiting for the device."""
        for name, value in vars(result).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1

    def report(self, growth: Growth, state: TrainState) -> dict[str, Any]:
        """Show and store the means since the last report; return what was written to stats.jsonl.

        `diversity` is the spread of fakes as a share of that of reals, see `pgan.steps.diversity`.
        """
        # Means of the steps since the last report; this waits for the device.
        now = time.perf_counter()
        rate = (state.nimg - self._since_nimg) / max(now - self._since, 1e-9)
        means = {name: _round_number(total / max(self._steps, 1)) for name, total in self._sums.items()}
        record = {
            "nimg": state.nimg,
            "height": growth.height,
            "width": growth.width,
            "alpha": round(growth.alpha, 4),
            "fading": growth.fading,
            "images_per_s": round(rate, 1),
            "seconds_left": round(estimate_seconds_left(self._schedule, state.nimg, rate)),
            "learning_rate": float(f"{float(state.g_adam.param_groups[0]['lr']):.5g}"),
            "skipped": int(state.skipped),
            "rollbacks": state.rollbacks,
            "diversity": _divide(means.get("fake_spread"), means.get("real_spread")),
            **means,
        }
        # To the file, to TensorBoard and to the screen.
        self._stats.write(json.dumps(record, allow_nan=False) + "\n")
        self._stats.flush()
        self._write_board(record)
        self._show(record, growth, now)
        self._warn_of_collapse(record)
        # Begin anew.
        self._sums, self._steps = {}, 0
        self._since, self._since_nimg = now, state.nimg
        return record

    def _write_board(self, record: dict[str, Any]) -> None:
        """Write the numbers of a record to TensorBoard."""
        for name, value in record.items():
            if value is not None and name not in ("nimg", "width", "fading", "seconds_left"):
                self._board.add_scalar(name, value, record["nimg"])

    def _show(self, record: dict[str, Any], growth: Growth, now: float) -> None:
        """Show a record in the live line, or print it if the last line is old enough."""
        # The usual numbers, and those that only runs in trouble have.
        alpha = f" alpha {growth.alpha:.2f}" if growth.fading else ""
        rate = f"{record['images_per_s']:.0f} img/s, {_format_clock(record['seconds_left'])} left"
        if record["diversity"] is not None:
            rate += f", diversity {100 * record['diversity']:.0f} %"
        if record["skipped"]:
            rate += f", {record['skipped']} steps skipped"
        if record["rollbacks"]:
            rate += f", rolled back {record['rollbacks']}x"
        # A terminal has a bar. A notebook has a line that is written over, a log file a line now and then.
        share = min(1.0, record["nimg"] / self._schedule.total)
        line = f"{record['nimg'] / 1000:8.1f} kimg {100 * share:3.0f} %  {growth.phase}{alpha}  {rate}"
        if self._bar:
            self._bar.update(self._task, completed=record["nimg"], description=growth.phase + alpha, rate=rate)
        elif self._in_notebook:
            print(f"\r{'█' * round(20 * share):░<20} {line:<90}", end="", flush=True)
        elif now - self._printed >= PLAIN_SECONDS:
            self._print(line)
            self._printed = now

    def _warn_of_collapse(self, record: dict[str, Any]) -> None:
        """Warn once each time that diversity falls below COLLAPSED. In the first tenth of a run it has yet to rise."""
        begun = record["nimg"] < self._schedule.total / 10
        collapsed = not begun and record["diversity"] is not None and record["diversity"] < COLLAPSED
        if collapsed and not self._collapsed:
            share = f"{100 * record['diversity']:.0f} % (below {100 * COLLAPSED:.0f} %)"
            self._print(
                f"warning: at {record['nimg'] / 1000:.1f} kimg the diversity of fakes is {share} of that of reals; if "
                "that lasts, the generator has collapsed: train into another run folder with --pack 2, a higher "
                "--gamma-scale or --loss rpgan-r1-r2"
            )
        self._collapsed = collapsed

    def _print(self, line: str) -> None:
        """Print a line, above the live one if there is one."""
        if self._bar:
            self._bar.console.print(line)
        else:
            print(line, flush=True)


def _make_live_bar() -> Progress:
    """Make the live line of a terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        console=Console(),
    )


def estimate_seconds_left(schedule: Schedule, nimg: int, rate: float) -> float:
    """Estimate how long a run still takes; each further doubling is taken to cost twice as much per image.

    Parameters
    ----------
    schedule : Schedule
        The phases of the run.
    nimg : int
        Images shown.
    rate : float
        Images per second now.

    Returns
    -------
    float
        Seconds.
    """
    level = schedule.growth_at(nimg).level
    # Images ahead in each phase, counted as images of the size of now.
    ahead = (
        (phase.level, phase.begin + phase.length - max(phase.begin, nimg))
        for phase in schedule.phases()
        if phase.begin + phase.length > nimg
    )
    return sum(images * 2.0 ** (phase_level - level) for phase_level, images in ahead) / max(rate, 1e-9)


def _round_number(value: Tensor) -> float | None:
    """Return a number as JSON knows it; None for NaN and infinities."""
    return round(float(value), 5) if torch.isfinite(value) else None


def _divide(share: float | None, whole: float | None) -> float | None:
    """Return share / whole, rounded; None where one of them is not a number, or the whole is 0."""
    return round(share / whole, 4) if share is not None and whole else None


def _format_clock(seconds: float) -> str:
    """Write seconds as H:MM:SS or MM:SS."""
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _drop_lines_after(path: Path, nimg: int) -> None:
    """Drop the lines of stats.jsonl that a resumed run will write again, and what a kill cut short."""
    if not path.exists():
        return
    whole = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    # A line that a kill cut short does not end like one.
    kept = [line for line in whole if line.endswith("}\n") and _read_nimg(line) <= nimg]
    with write_atomically(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _read_nimg(line: str) -> float:
    """Return the images shown of a line of stats.jsonl; infinite for a line that is not whole."""
    try:
        return json.loads(line)["nimg"]
    except (json.JSONDecodeError, KeyError):  # cut short, then written on
        return float("inf")
