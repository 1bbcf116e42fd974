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

PLAIN_SECONDS = 10.0  # between two plain lines


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
        _forget_after(model / "stats.jsonl", nimg)
        self._bar = _live_bar() if sys.stdout.isatty() else None

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
        self._board.close()
        self._stats.close()

    def add(self, result: StepResult) -> None:
        """Remember one step, without waiting for the device."""
        for name, value in vars(result).items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._steps += 1

    def report(self, growth: Growth, state: TrainState) -> dict[str, Any]:
        """Show and store the means since the last report; returns what was written to stats.jsonl.

        `diversity` is the spread of fakes as a share of that of reals, see `pgan.steps.diversity`.
        """
        now = time.perf_counter()
        rate = (state.nimg - self._since_nimg) / max(now - self._since, 1e-9)
        means = {name: _plain(total / max(self._steps, 1)) for name, total in self._sums.items()}
        record = {
            "nimg": state.nimg,
            "height": growth.height,
            "width": growth.width,
            "alpha": round(growth.alpha, 4),
            "fading": growth.fading,
            "images_per_s": round(rate, 1),
            "seconds_left": round(seconds_left(self._schedule, state.nimg, rate)),
            "learning_rate": float(f"{float(state.g_adam.param_groups[0]['lr']):.5g}"),
            "skipped": int(state.skipped),
            "rollbacks": state.rollbacks,
            "diversity": _share(means.get("fake_spread"), means.get("real_spread")),
            **means,
        }
        self._stats.write(json.dumps(record, allow_nan=False) + "\n")
        self._stats.flush()
        self._write_board(record)
        self._show(record, growth, now)
        self._warn_of_collapse(record)
        self._sums, self._steps = {}, 0
        self._since, self._since_nimg = now, state.nimg
        return record

    def _write_board(self, record: dict[str, Any]) -> None:
        for name, value in record.items():
            if value is not None and name not in ("nimg", "width", "fading", "seconds_left"):
                self._board.add_scalar(name, value, record["nimg"])

    def _show(self, record: dict[str, Any], growth: Growth, now: float) -> None:
        alpha = f" alpha {growth.alpha:.2f}" if growth.fading else ""
        rate = f"{record['images_per_s']:.0f} img/s, {_clock(record['seconds_left'])} left"
        if record["diversity"] is not None:
            rate += f", diversity {100 * record['diversity']:.0f} %"
        if record["skipped"]:
            rate += f", {record['skipped']} steps skipped"
        if record["rollbacks"]:
            rate += f", rolled back {record['rollbacks']}x"
        if self._bar:
            self._bar.update(self._task, completed=record["nimg"], description=growth.phase + alpha, rate=rate)
        elif now - self._printed >= PLAIN_SECONDS:
            share = 100 * min(1.0, record["nimg"] / self._schedule.total)
            self._print(f"{record['nimg'] / 1000:8.1f} kimg {share:3.0f} %  {growth.phase}{alpha}  {rate}")
            self._printed = now

    def _warn_of_collapse(self, record: dict[str, Any]) -> None:
        """Once each time that diversity falls below COLLAPSED; in the first tenth of a run it has yet to rise."""
        begun = record["nimg"] < self._schedule.total / 10
        collapsed = not begun and record["diversity"] is not None and record["diversity"] < COLLAPSED
        if collapsed and not self._collapsed:
            share = f"{100 * record['diversity']:.0f} % (below {100 * COLLAPSED:.0f} %)"
            self._print(
                f"warning: at {record['nimg'] / 1000:.1f} kimg the diversity of fakes is {share} of that of reals; if "
                "that lasts, G has collapsed: train into another run folder with --pack 2, a higher --gamma-scale or "
                "--loss rpgan-r1-r2"
            )
        self._collapsed = collapsed

    def _print(self, line: str) -> None:
        if self._bar:
            self._bar.console.print(line)
        else:
            print(line, flush=True)


def _live_bar() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:3.0f} %"),
        TextColumn("{task.fields[rate]}"),
        console=Console(),
    )


def seconds_left(schedule: Schedule, nimg: int, rate: float) -> float:
    """An estimate: `rate` images/s now, and each further doubling costs twice as much per image."""
    level = schedule.growth_at(nimg).level
    ahead = (
        (phase_level, begin + length - max(begin, nimg))
        for phase_level, _, begin, length in schedule.phases()
        if begin + length > nimg
    )
    return sum(images * 2.0 ** (phase_level - level) for phase_level, images in ahead) / max(rate, 1e-9)


def _plain(value: Tensor) -> float | None:
    """A number as JSON knows it; None for NaN and infinities."""
    return round(float(value), 5) if torch.isfinite(value) else None


def _share(part: float | None, whole: float | None) -> float | None:
    return round(part / whole, 4) if part is not None and whole else None


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _forget_after(path: Path, nimg: int) -> None:
    """Drop the lines of stats.jsonl that a resumed run will write again, and what a kill cut short."""
    if not path.exists():
        return
    whole = path.read_text(encoding="utf-8", errors="replace").splitlines(keepends=True)
    kept = [line for line in whole if line.endswith("}\n") and _nimg_of(line) <= nimg]
    with write_atomically(path) as temporary:
        temporary.write_text("".join(kept), encoding="utf-8")


def _nimg_of(line: str) -> float:
    try:
        return json.loads(line)["nimg"]
    except (json.JSONDecodeError, KeyError):  # cut short, then written on
        return float("inf")
