"""Variants of drawing and training: each is trained for the same CPU time, sampled and decoded; tables of figures."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.fidelity.ours import Recipe
from benchmarks.measure import run_stage
from pgan.config import LOSS_NAMES, PRESETS, TrainConfig, resolve_config
from rasterize.errors import InputError
from rasterize.files import sha256, write_json
from rasterize.flags import setting
from rasterize.imageset import ImageSet

if TYPE_CHECKING:
    from pgan.steps.schedule import Growth

RASTER_OPTIONS = Recipe().raster  # of `rasterize`; those of a variant follow and override them
REPORTED_STATS = ("nimg", "skipped", "rollbacks", "diversity")  # of the last line of a run's stats.jsonl
Columns = Mapping[str, tuple[str, Callable[[float], str]]]  # figure -> (title of the column, how to write the figure)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to draw and to train: what differs from the preset, and from the usual drawing."""

    name: str  # as in the table
    settings: tuple[tuple[str, Any], ...] = ()
    raster: tuple[tuple[str, str], ...] = ()  # options of `rasterize`

    def folder(self, home: Path) -> Path:
        """Return the variant's run folder in `home`, the folder of one seed."""
        return home / _make_file_name(self.name)

    def real_folder(self, home: Path) -> Path:
        """Return the run folder with the images it trains on; variants of the same drawing share it."""
        return home / _make_file_name(" ".join(("real", *self.raster_flags)))

    @property
    def trips_per_image(self) -> int:
        """The most trips that one of its images shows."""
        usual = RASTER_OPTIONS[RASTER_OPTIONS.index("--trips-per-image") + 1]
        return int(dict(self.raster).get("trips-per-image", usual))

    @property
    def raster_flags(self) -> list[str]:
        """Its options of `rasterize`, as the command line takes them."""
        return [f"--{name}={value}" for name, value in self.raster]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read LOSS:PACK; raises `InputError` on anything else."""
        loss, _, pack = text.partition(":")
        if loss not in LOSS_NAMES or not pack.isdigit():
            raise InputError(
                f"--variant {text}: expected LOSS:PACK, for example {LOSS_NAMES[0]}:2; losses: {', '.join(LOSS_NAMES)}"
            )
        return cls.from_loss(loss, int(pack))

    @classmethod
    def from_loss(cls, loss: str, pack: int) -> Self:
        """Return the variant that changes the loss and the packing."""
        return cls(name=f"{loss}, pack {pack}", settings=(("loss", loss), ("pack", pack)))


def _make_file_name(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same for all variants."""

    preset: str = setting("tiny", f"Settings to start from: {', '.join(PRESETS)}.")
    settings: Mapping[str, Any]  # of training
    minutes: float = setting(10.0, "CPU time of each variant's training steps.")
    trial: float = setting(5.0, "CPU-seconds of steps per phase that measure a variant's speed.")
    samples: int = setting(50_000, "Trips in each row, where so many were decoded.")
    decode: tuple[str, ...] = ()  # options of `decode`

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise InputError(f"--samples {self.samples}: each row needs trips; give 1 or more")


def run_tasks(tasks: Sequence[Callable[[], Any]], jobs: int) -> list[Any]:
    """Return the results of all tasks, run `jobs` at a time; after a failure no task is begun."""
    # Threads are enough: each task waits for a process of its own.
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ---- the real trips


def draw_real_trips(files: Sequence[Path], run: Path, more: Sequence[str] = (), *, seed: int) -> None:
    """Make the run folder with the split and the images that variants train on, unless it is there.

    Parameters
    ----------
    files : sequence of Path
        Trip files of the user.
    run : Path
        The run folder.
    more : sequence of str
        Options of `rasterize` that override `RASTER_OPTIONS`.
    seed : int
        Seed of the split.

    Raises
    ------
    InputError
        If a file is absent, or the folder was drawn from other files.
    """
    if not (run / "images" / "spec.json").exists():
        options = (*RASTER_OPTIONS, *more, "--seed", str(seed))
        run_stage("rasterize", *map(str, files), "--run", str(run), *options, log=run.parent / "rasterize.log")
        return
    # A folder that is there must hold these very trips.
    absent = [str(path) for path in files if not path.exists()]
    if absent:
        raise InputError(f"--trips {' '.join(absent)}: not there; give files that are")
    hashes = _read_file_hashes(run)
    if hashes != {path.name: sha256(path) for path in files}:
        raise InputError(f"{run}: drawn from other trips ({', '.join(hashes)}); give another --work, or remove it")


def _read_file_hashes(run: Path) -> dict[str, str]:
    """Return the SHA-256 of each file that a run was drawn from, by the file's name."""
    return json.loads((run / "raster.json").read_text(encoding="utf-8"))["files"]


def read_thirds(run: Path) -> dict[str, pd.DataFrame]:
    """Return the real trips by split: A trains, B measures, C is fresh."""
    real = pd.read_parquet(run / "trips.parquet")
    return {third: real[real["split"] == third] for third in "ABC"}


# ---- equal time


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast a variant makes its training steps, by CPU time."""

    images_per_s: float  # in the last phase
    seconds_before: float  # that the phases before it take


def measure_speeds(
    waiting: Sequence[tuple[Variant, int]], homes: Mapping[int, Path], terms: Terms, *, jobs: int
) -> dict[Variant, Speed]:
    """Time the training steps of variants, in as many processes at a time as will train.

    Parameters
    ----------
    waiting : sequence of (Variant, int)
        Variants that are not trained yet, with their seeds.
    homes : mapping of int to Path
        The folder of each seed.
    terms : Terms
        Preset, settings and length of the trial.
    jobs : int
        Processes at a time.

    Returns
    -------
    dict of Variant to Speed
        One speed per variant, the mean over the processes.
    """
    # The speed does not depend on the seed, so one seed per variant is enough.
    seeds: dict[Variant, int] = {}
    for variant, seed in waiting:
        seeds.setdefault(variant, seed)
    # Variants that share their images take turns, so that a busy moment slows all of them.
    by_images: dict[Path, list[Variant]] = {}
    for variant, seed in seeds.items():
        by_images.setdefault(variant.real_folder(homes[seed]), []).append(variant)

    speeds = {}
    for run, variants in by_images.items():
        settings = [_merge_settings(variant, terms, seed=seeds[variant]) for variant in variants]
        configs = [resolve_config(terms.preset, changes) for changes in settings]
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
            trials = [pool.submit(_time_phases, run, configs, terms.trial) for _ in range(jobs)]
            rates, before = np.mean([trial.result() for trial in trials], axis=0)
        for variant, rate, seconds in zip(variants, rates, before, strict=True):
            speeds[variant] = Speed(images_per_s=float(rate), seconds_before=float(seconds))
    return speeds


def _time_phases(
    run: Path, configs: Sequence[TrainConfig], seconds: float, clock: Callable[[], float] = time.process_time
) -> tuple[NDArray, NDArray]:
    """Return images per CPU-second in the last phase, and CPU-seconds of the phases before, [configs] each.

    Each phase is tried by its real steps, `seconds` long on average. All configs take turns, so that a busy moment
    slows all of them. Call this in a process of its own: it prepares the process as `pgan train` does.
    """
    from pgan.cpu import prepare_cpu
    from pgan.steps.schedule import Schedule, penalty_interval

    prepare_cpu(1)
    images = ImageSet.open(run / "images")
    steps = [_make_step(config, images) for config in configs]
    schedule = Schedule.of(configs[0], height=images.shape[1], width=images.shape[2])
    # Try each phase in order; the rates that remain are those of the last one.
    rates, before = np.zeros(len(configs)), np.zeros(len(configs))
    for _, _, begin, length in schedule.phases():
        growth = schedule.growth_at(ceil(begin))
        # A turn is as long as the penalty's interval, so that each turn has one penalty.
        turn = penalty_interval(growth, configs[0])
        in_phase = [partial(step, growth) for step in steps]
        rates = configs[0].batch * _measure_step_rates(in_phase, seconds, turn, clock)
        before += 0.0 if growth.last else length / rates
    return rates, before


def _make_step(config: TrainConfig, images: ImageSet) -> Callable[["Growth"], None]:
    """Return a function that makes the next training step of a fresh run, at a moment of growth."""
    import torch  # the benchmark itself does without

    from pgan.run.setup import load_batch, make_network_shape, make_run, read_range_sample
    from pgan.steps.state import TrainState
    from pgan.steps.step import train_step

    # A run as `pgan train` begins it, without its files.
    state = TrainState(config, make_network_shape(config, images), device=torch.device("cpu"))
    state.fit_range(read_range_sample(images, config.seed))
    run = make_run(images.folder.parent / "model", config, images=images, state=state)

    def step(growth: "Growth") -> None:
        reals, labels = load_batch(run, state, growth)
        train_step(state, growth, reals=reals, labels=labels)

    return step


def _measure_step_rates(
    steps: Sequence[Callable[[], None]], seconds: float, turn: int, clock: Callable[[], float]
) -> NDArray:
    """Return the steps per second of each function in `steps`; each makes `turn` steps at a time."""
    spent, rounds = np.zeros(len(steps)), -1
    while rounds < 1 or spent.mean() < seconds:
        for index, step in enumerate(steps):
            begin = clock()
            for _ in range(turn):
                step()
            spent[index] += clock() - begin
        rounds += 1
        if rounds == 0:  # the first round warms up
            spent[:] = 0.0
    return rounds * turn / spent


def choose_last_kimg(minutes: float, speed: Speed, *, name: str) -> float:
    """Return the length of the last phase that makes training take the given time.

    Parameters
    ----------
    minutes : float
        CPU time of all training steps.
    speed : Speed
        The speed of the variant.
    name : str
        Name of the variant, for the error message.

    Returns
    -------
    float
        Thousands of images, to three decimals.

    Raises
    ------
    InputError
        If the phases before the last take all the time.
    """
    seconds, before = 60 * minutes - speed.seconds_before, speed.seconds_before / 60
    if seconds <= 0:
        raise InputError(
            f"--minutes {minutes:g}: the phases before the last take {before:.2g} minutes with {name}; give more, or "
            "shorten them: --set first_kimg=1 --set fade_kimg=1"
        )
    return round(seconds * speed.images_per_s / 1000, 3)


# ---- a variant: trained, sampled, decoded


def finish_variant(variant: Variant, home: Path, terms: Terms, last_kimg: float | None, *, seed: int) -> None:
    """Train, sample and decode a variant in its run folder, as far as that is not done.

    Parameters
    ----------
    variant : Variant
        What to train.
    home : Path
        The folder of the seed.
    terms : Terms
        What is the same for all variants.
    last_kimg : float or None
        Length of the last phase in thousands of images; None where the variant is trained already.
    seed : int
        Seed of training, samples and decoding.
    """
    folder = variant.folder(home)
    if not is_trained(folder):
        assert last_kimg is not None, "the speed of a variant that waits was measured"
        changes = _merge_settings(variant, terms, seed=seed)
        _train_variant(folder, variant.real_folder(home), terms, changes, last_kimg=last_kimg)
    _decode_samples(folder, ceil(terms.samples / variant.trips_per_image), terms.decode, seed=seed)


def is_trained(folder: Path) -> bool:
    """Return whether the variant in a run folder was trained to its end."""
    return (folder / "trained.json").exists()


def _merge_settings(variant: Variant, terms: Terms, *, seed: int) -> dict[str, Any]:
    """Return the settings in which a run differs from the preset, except for its length."""
    return {**terms.settings, **dict(variant.settings), "seed": seed, "compile": "no"}


def _describe_request(real: Path, terms: Terms, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return everything that a trained variant follows from, as JSON."""
    config = resolve_config(terms.preset, changes).to_json()
    changed = {name: value for name, value in config.items() if name != "last_kimg"}
    return {"minutes": terms.minutes, **changed, "images": real.name, "files": _read_file_hashes(real)}


def refuse_other_terms(variant: Variant, home: Path, terms: Terms, *, seed: int) -> None:
    """Check that a variant trained earlier is the one that is asked for now.

    Parameters
    ----------
    variant : Variant
        The variant that is asked for.
    home : Path
        The folder of the seed.
    terms : Terms
        What is asked of all variants.
    seed : int
        Seed of training.

    Raises
    ------
    InputError
        If it was trained with other settings, for another time, or on other images.
    """
    folder = variant.folder(home)
    asked = _describe_request(variant.real_folder(home), terms, _merge_settings(variant, terms, seed=seed))
    if not is_trained(folder):
        return
    # Say each setting that differs, as it was and as it is now.
    trained = json.loads((folder / "trained.json").read_text(encoding="utf-8"))["asked"]
    names = [name for name in {**trained, **asked} if trained.get(name) != asked.get(name)]
    if names:
        differ = ", ".join(f"{name} {trained.get(name)} (now {asked.get(name)})" for name in names)
        raise InputError(f"{folder}: trained with {differ}; give another --work, or remove it to train it again")


def _train_variant(folder: Path, real: Path, terms: Terms, changes: Mapping[str, Any], *, last_kimg: float) -> None:
    """Train to the end of the last phase, then write trained.json: what was asked, its cost and its outcome.

    The cost of an interrupted run is not known, so it is begun anew.
    """
    # Begin with an empty folder that shares the images of the drawing.
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "images").symlink_to(Path("..", real.name, "images"), target_is_directory=True)
    flags = [f"--set={name}={value}" for name, value in {**changes, "last_kimg": last_kimg}.items()]
    command = ("pgan", "train", "--run", str(folder), "--preset", terms.preset, "--device", "cpu", *flags)
    spent = run_stage(*command, log=folder / "train.log")
    # This file marks the variant as trained, so it comes last.
    asked = _describe_request(real, terms, changes)
    write_json(folder / "trained.json", {"asked": asked, "last_kimg": last_kimg, **spent, **_read_outcome(folder)})
    print_progress(str(folder), f"trained in {spent['cpu_seconds']:.0f} CPU-seconds")


def _read_outcome(folder: Path) -> dict[str, Any]:
    """Return the end of a run as it reported it, and the versions that trained it."""
    last = json.loads((folder / "model" / "stats.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    run = json.loads((folder / "model" / "run.json").read_text(encoding="utf-8"))
    trained_by = {"versions": run["versions"], "git_commit": run["git_commit"]}
    return {name: last[name] for name in REPORTED_STATS} | {"kimg": last["nimg"] / 1000} | trained_by


def _decode_samples(folder: Path, images: int, options: Sequence[str], *, seed: int) -> None:
    """Make `folder`/synthetic.parquet from so many sampled images, unless it is there."""
    decoded, record = folder / "synthetic.parquet", folder / "decode.json"
    if decoded.exists() and json.loads(record.read_text(encoding="utf-8"))["images"] == images:
        return
    # Another number of images is sampled and decoded anew.
    same = ("--run", str(folder), "--seed", str(seed))
    run_stage("pgan", "sample", *same, "--images", str(images), "--device", "cpu", log=folder / "sample.log")
    run_stage("decode", *same, "--workers", "1", *options, log=folder / "decode.log")
    print_progress(str(folder), f"decoded {images:,} samples")


def print_progress(what: str, line: str) -> None:
    """Print a line on what was done to the standard error, where it does not mix with the table."""
    print(f"{what}: {line}", file=sys.stderr, flush=True)


# ---- tables


def format_table(rows: Mapping[str, Sequence[Mapping[str, Any]]], columns: Columns) -> str:
    """Return rows by name in Markdown: the mean over the seeds, and the range where they differ."""
    lines = [f"| | {' | '.join(title for title, _ in columns.values())} |", f"|---|{'---:|' * len(columns)}"]
    for name, seeds in rows.items():
        cells = [_format_cell([row.get(column) for row in seeds], text) for column, (_, text) in columns.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_cell(values: Sequence[float | None], text: Callable[[float], str]) -> str:
    if None in values:
        return "–"
    low, high = text(min(values)), text(max(values))
    return text(float(np.mean(values))) + (f" ({low}–{high})" if low != high else "")
