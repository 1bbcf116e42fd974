"""Mode coverage on trips: how many OD pairs of the training trips samples reach, by loss and packing, at equal time."""

import json
import re
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, fields
from functools import partial
from math import ceil
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray

from benchmarks.fidelity.ours import Recipe
from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER
from benchmarks.measure import heading, run_stage, short
from decode.evaluate.columns import count_both, cpc
from decode.evaluate.tables import tabulate
from pgan.config import LOSS_NAMES, PRESETS, TrainConfig, resolve_config
from rasterize.errors import InputError, exit_on_input_error
from rasterize.files import sha256, write_json
from rasterize.imageset import ImageSet

if TYPE_CHECKING:
    from pgan.steps.schedule import Growth

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

USUAL = Recipe().raster  # options of `rasterize`; those of a variant follow and override them
PACKS = (1, 2)
DECIDED_HERE = ("loss", "pack", "seed", "compile", "last_kimg")  # settings
REAL, FRESH = "real resample", "fresh real trips"
REPORTED = ("nimg", "skipped", "rollbacks", "diversity")  # of the last line of a run's stats.jsonl
Columns = Mapping[str, tuple[str, Callable[[float], str]]]  # titles, and how figures are written
COLUMNS: Columns = {
    "reached": ("pairs reached", short),
    "reached_by_trips": ("weighted by trips", short),
    "off_the_map": ("off the map", short),
    "od_cpc": ("OD CPC", short),
    "trips": ("trips", lambda count: f"{count:,.0f}"),
    "kimg": ("kimg shown", lambda kimg: f"{kimg:.1f}"),
    "cpu_seconds": ("CPU s of training", lambda seconds: f"{seconds:.0f}"),
}


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to draw and to train: what differs from the preset, and from the usual drawing."""

    name: str  # as in the table
    settings: tuple[tuple[str, Any], ...] = ()
    raster: tuple[tuple[str, str], ...] = ()  # options of `rasterize`

    def folder(self, home: Path) -> Path:
        """Its run folder in that of a seed."""
        return home / _as_file_name(self.name)

    def real(self, home: Path) -> Path:
        """The run folder with the images it trains on, which variants of the same drawing share."""
        return home / _as_file_name(" ".join(("real", *self.options)))

    @property
    def trips_per_image(self) -> int:
        """As it is drawn."""
        return int(dict(self.raster).get("trips-per-image", USUAL[USUAL.index("--trips-per-image") + 1]))

    @property
    def options(self) -> list[str]:
        """Those of `rasterize`, as it takes them."""
        return [f"--{name}={value}" for name, value in self.raster]

    @classmethod
    def read(cls, text: str) -> Self:
        """Read LOSS:PACK; raises `InputError` on anything else."""
        loss, _, pack = text.partition(":")
        if loss not in LOSS_NAMES or not pack.isdigit():
            raise InputError(
                f"--variant {text}: expected LOSS:PACK, for example {LOSS_NAMES[0]}:2; losses: {', '.join(LOSS_NAMES)}"
            )
        return cls.of_loss(loss, int(pack))

    @classmethod
    def of_loss(cls, loss: str, pack: int) -> Self:
        """A loss and a packing."""
        return cls(name=f"{loss}, pack {pack}", settings=(("loss", loss), ("pack", pack)))


def _as_file_name(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text)


@dataclass(frozen=True, kw_only=True)
class Terms:
    """What is the same for all variants."""

    preset: str
    settings: Mapping[str, Any]
    minutes: float  # of CPU time for the training steps
    trial: float  # CPU-seconds of steps per phase, by which the length of a run is chosen
    samples: int  # trips of each row
    decode: tuple[str, ...] = ()  # options of `decode`


@app.command()
def main(
    trips: Annotated[
        list[Path] | None, typer.Option(help="Trip files; Jersey City, January and February 2019, by default; repeat.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the runs and the figures.")] = Path("runs/coverage"),
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOSS:PACK", help="All losses with packing 1 and 2 by default; repeat.", show_default=False
        ),
    ] = None,
    minutes: Annotated[float, typer.Option(help="CPU time of each variant's training steps.")] = 10.0,
    preset: Annotated[str, typer.Option(help=f"Settings to start from: {', '.join(PRESETS)}.")] = "tiny",
    setting: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of training, for all variants; repeat.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Trips in each row, where so many were decoded.")] = 50_000,
    trial: Annotated[float, typer.Option(help="CPU-seconds of steps per phase that measure a variant's speed.")] = 5.0,
    seed: Annotated[list[int] | None, typer.Option(help="Of the split and all else; repeat.", show_default="0")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Variants at a time, one thread each.")] = 1,
) -> None:
    """Train, sample and decode every variant, unless that is done, and print one table."""
    terms = Terms(preset=preset, settings=read_settings(setting or []), minutes=minutes, trial=trial, samples=samples)
    variants = [Variant.read(text) for text in variant or []]
    variants = variants or [Variant.of_loss(loss, pack) for loss in LOSS_NAMES for pack in PACKS]
    files = trips or SETS[WINTER].files(SHARED_DATA)
    seeds = list(dict.fromkeys(seed or [0]))
    figures = measure_all(files, work, variants, terms, seeds=seeds, jobs=jobs)
    write_json(work / "figures.json", figures)
    print(f"{figures['heading']}\n\n{table(figures)}\n\nall figures: {work / 'figures.json'}")


def measure_all(
    files: Sequence[Path], work: Path, variants: Sequence[Variant], terms: Terms, *, seeds: Sequence[int], jobs: int
) -> dict[str, Any]:
    """Do what is not done yet, `jobs` variants at a time; returns the content of figures.json."""
    homes = {seed: work / f"seed-{seed}" for seed in seeds}
    for seed, home in homes.items():
        for real, options in {home / "real": [], **{one.real(home): one.options for one in variants}}.items():
            draw(files, real, options, seed=seed)
    pairs = [(one, seed) for seed in homes for one in variants]
    for one, seed in pairs:  # before hours are spent
        refuse_other_terms(one, homes[seed], terms, seed=seed)
    waiting = [(one, seed) for one, seed in pairs if not is_trained(one.folder(homes[seed]))]
    speeds = measure_speeds(waiting, homes, terms, jobs=jobs)
    last_kimg = {one: last_kimg_for(terms.minutes, speed, name=one.name) for one, speed in speeds.items()}
    for one, speed in speeds.items():
        _say(one.name, f"{speed.images_per_s:.0f} images per CPU-second, last phase {last_kimg[one]:.1f} kimg")
    do_all([partial(attend, one, homes[seed], terms, last_kimg.get(one), seed=seed) for one, seed in pairs], jobs)
    measured = {seed: measure_seed(home, variants, terms.samples, seed) for seed, home in homes.items()}
    names = (REAL, FRESH, *(one.name for one in variants))
    return {
        "heading": heading("torch", "numpy", "pandas"),
        "options": {"files": [path.name for path in files], "seeds": list(seeds), **vars(terms)},
        "training": {seed: count_training(home / "real") for seed, home in homes.items()},
        "rows": {name: [{"seed": seed, **rows[name]} for seed, rows in measured.items()] for name in names},
    }


def read_settings(pairs: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE texts → settings of `TrainConfig`; raises `InputError` on one that is unknown or decided here."""
    types = {field.name: field.type for field in fields(TrainConfig)}
    found = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals:
            raise InputError(f"--setting {pair}: expected NAME=VALUE, for example --setting learning_rate=0.01")
        if name in DECIDED_HERE:
            raise InputError(f"--setting {pair}: the benchmark decides on {', '.join(DECIDED_HERE)}; leave it out")
        if name not in types:
            raise InputError(f"--setting {pair}: there is no setting '{name}'; settings: {', '.join(types)}")
        try:
            found[name] = types[name](text)
        except ValueError as error:
            raise InputError(f"--setting {pair}: '{text}' is no {types[name].__name__}; give one") from error
    return found


def do_all(tasks: Sequence[Callable[[], Any]], jobs: int) -> list[Any]:
    """The results of all tasks, `jobs` at a time; if one fails, those not begun are left out."""
    with ThreadPoolExecutor(jobs) as pool:
        futures = [pool.submit(task) for task in tasks]
        try:
            return [future.result() for future in futures]
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


# ---- the real trips


def draw(files: Sequence[Path], run: Path, more: Sequence[str] = (), *, seed: int) -> None:
    """Make the run folder with the split and the images that variants train on, unless it is there."""
    if not (run / "images" / "spec.json").exists():
        options = (*USUAL, *more, "--seed", str(seed))
        run_stage("rasterize", *map(str, files), "--run", str(run), *options, log=run.parent / "rasterize.log")
        return
    absent = [str(path) for path in files if not path.exists()]
    if absent:
        raise InputError(f"--trips {' '.join(absent)}: not there; give files that are")
    drawn = files_of(run)
    if drawn != {path.name: sha256(path) for path in files}:
        raise InputError(f"{run}: drawn from other trips ({', '.join(drawn)}); give another --work, or remove it")


def files_of(run: Path) -> dict[str, str]:
    """Names and SHA-256 of the files that a run was drawn from."""
    return json.loads((run / "raster.json").read_text(encoding="utf-8"))["files"]


def count_training(run: Path) -> dict[str, int]:
    """How many trips train, and how many OD pairs they have."""
    trained = od_pairs(read_thirds(run)["A"])
    return {"trips": len(trained), "pairs": len(trained.unique())}


def read_thirds(run: Path) -> dict[str, pd.DataFrame]:
    """The real trips by split: A trains, B judges, C is fresh."""
    real = pd.read_parquet(run / "trips.parquet")
    return {third: real[real["split"] == third] for third in "ABC"}


# ---- equal time


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Of a variant's training steps, by CPU time."""

    images_per_s: float  # in the last phase
    seconds_before: float  # that the phases before it take


def measure_speeds(
    waiting: Sequence[tuple[Variant, int]], homes: Mapping[int, Path], terms: Terms, *, jobs: int
) -> dict[Variant, Speed]:
    """The speeds of variants that wait with their seeds: tried in as many processes at a time as will train."""
    if not waiting:
        return {}
    seeds: dict[Variant, int] = {}
    for one, seed in waiting:  # speed does not depend on it
        seeds.setdefault(one, seed)
    alike: dict[Path, list[Variant]] = {}
    for one, seed in seeds.items():
        alike.setdefault(one.real(homes[seed]), []).append(one)
    found = {}
    for run, drawn_alike in alike.items():
        configs = [resolve_config(terms.preset, changes_of(one, terms, seed=seeds[one])) for one in drawn_alike]
        with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as fresh:
            tried = [fresh.submit(try_phases, run, configs, terms.trial) for _ in range(jobs)]
            rates, before = np.mean([one.result() for one in tried], axis=0)
        for one, rate, seconds in zip(drawn_alike, rates, before, strict=True):
            found[one] = Speed(images_per_s=float(rate), seconds_before=float(seconds))
    return found


def try_phases(
    run: Path, configs: Sequence[TrainConfig], seconds: float, clock: Callable[[], float] = time.process_time
) -> tuple[NDArray, NDArray]:
    """Images per CPU-second in the last phase, and CPU-seconds that the phases before take, [configs] each.

    Real steps of each phase, `seconds` long on average, all configs in turns, so that a busy moment hits them alike.
    To be called in a process of its own, which it prepares as `pgan train` does.
    """
    from pgan.cpu import prepare_cpu
    from pgan.steps.schedule import Schedule, penalty_interval

    prepare_cpu(1)
    images = ImageSet.open(run / "images")
    steps = [make_step(config, images) for config in configs]
    schedule = Schedule.of(configs[0], height=images.shape[1], width=images.shape[2])
    rates, before = np.zeros(len(configs)), np.zeros(len(configs))
    for _, _, begin, length in schedule.phases():
        growth = schedule.growth_at(ceil(begin))
        turn = penalty_interval(growth, configs[0])
        rates = configs[0].batch * _steps_per_second([partial(step, growth) for step in steps], seconds, turn, clock)
        before += 0.0 if growth.last else length / rates
    return rates, before


def make_step(config: TrainConfig, images: ImageSet) -> Callable[["Growth"], None]:
    """A function that makes the next step of a fresh run, at a moment of growth."""
    import torch  # the benchmark itself does without

    from pgan.run.setup import load_batch, make_network_shape, make_run, read_range_sample
    from pgan.steps.state import TrainState
    from pgan.steps.step import train_step

    state = TrainState(config, make_network_shape(config, images), device=torch.device("cpu"))
    state.fit_range(read_range_sample(images, config.seed))
    run = make_run(images.folder.parent / "model", config, images=images, state=state)

    def step(growth: "Growth") -> None:
        reals, labels = load_batch(run, state, growth)
        train_step(state, growth, reals=reals, labels=labels)

    return step


def _steps_per_second(
    steps: Sequence[Callable[[], None]], seconds: float, turn: int, clock: Callable[[], float]
) -> NDArray:
    """Of each one's time; in turns of so many steps, after one to warm up."""
    spent, rounds = np.zeros(len(steps)), -1
    while rounds < 1 or spent.mean() < seconds:
        for k, step in enumerate(steps):
            begin = clock()
            for _ in range(turn):
                step()
            spent[k] += clock() - begin
        rounds += 1
        if rounds == 0:
            spent[:] = 0.0
    return rounds * turn / spent


def last_kimg_for(minutes: float, speed: Speed, *, name: str) -> float:
    """Length of the last phase that makes training take so many minutes; raises `InputError` if it has no time left."""
    seconds, before = 60 * minutes - speed.seconds_before, speed.seconds_before / 60
    if seconds <= 0:
        raise InputError(
            f"--minutes {minutes:g}: the phases before the last take {before:.2g} minutes with {name}; give more, or "
            "shorten them: --setting first_kimg=1 --setting fade_kimg=1"
        )
    return round(seconds * speed.images_per_s / 1000, 3)


# ---- a variant: trained, sampled, decoded


def attend(variant: Variant, home: Path, terms: Terms, last_kimg: float | None, *, seed: int) -> None:
    """Train, sample and decode a variant in its run folder, as far as that is not done."""
    folder = variant.folder(home)
    if not is_trained(folder):
        assert last_kimg is not None, "the speed of a variant that waits was measured"
        train_variant(folder, variant.real(home), terms, changes_of(variant, terms, seed=seed), last_kimg=last_kimg)
    decode_samples(folder, ceil(terms.samples / variant.trips_per_image), terms.decode, seed=seed)


def is_trained(folder: Path) -> bool:
    """Whether a variant has come to its end."""
    return (folder / "trained.json").exists()


def changes_of(variant: Variant, terms: Terms, *, seed: int) -> dict[str, Any]:
    """The settings in which a run differs from the preset, but for its length."""
    return {**terms.settings, **dict(variant.settings), "seed": seed, "compile": "no"}


def asked_of(real: Path, terms: Terms, changes: Mapping[str, Any]) -> dict[str, Any]:
    """All that a trained variant follows from, as JSON."""
    config = resolve_config(terms.preset, changes).to_json()
    changed = {name: value for name, value in config.items() if name != "last_kimg"}
    return {"minutes": terms.minutes, **changed, "images": real.name, "files": files_of(real)}


def refuse_other_terms(variant: Variant, home: Path, terms: Terms, *, seed: int) -> None:
    """Raise `InputError` where a variant that was trained earlier is not the one asked for."""
    asked, path = asked_of(variant.real(home), terms, changes_of(variant, terms, seed=seed)), variant.folder(home)
    if not is_trained(path):
        return
    trained = json.loads((path / "trained.json").read_text(encoding="utf-8"))["asked"]
    names = [name for name in {**trained, **asked} if trained.get(name) != asked.get(name)]
    if names:
        differ = ", ".join(f"{name} {trained.get(name)} (now {asked.get(name)})" for name in names)
        raise InputError(f"{path}: trained with {differ}; give another --work, or remove it to train it again")


def train_variant(folder: Path, real: Path, terms: Terms, changes: Mapping[str, Any], *, last_kimg: float) -> None:
    """Train to the end of the last phase; writes trained.json last of all: what was asked, what it took and came to.

    What a run that was interrupted had cost is not known, so it is begun anew.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "images").symlink_to(Path("..", real.name, "images"), target_is_directory=True)
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**changes, "last_kimg": last_kimg}.items()]
    command = ("pgan", "train", "--run", str(folder), "--preset", terms.preset, "--device", "cpu", *flags)
    spent = run_stage(*command, log=folder / "train.log")
    record = {"asked": asked_of(real, terms, changes), "last_kimg": last_kimg, **spent, **_outcome(folder)}
    write_json(folder / "trained.json", record)
    _say(str(folder), f"trained in {spent['cpu_seconds']:.0f} CPU-seconds")


def _outcome(folder: Path) -> dict[str, Any]:
    """The end of a run as it reported it, and the versions that trained it."""
    last = json.loads((folder / "model" / "stats.jsonl").read_text(encoding="utf-8").splitlines()[-1])
    run = json.loads((folder / "model" / "run.json").read_text(encoding="utf-8"))
    trained_by = {"versions": run["versions"], "git_commit": run["git_commit"]}
    return {name: last[name] for name in REPORTED} | {"kimg": last["nimg"] / 1000} | trained_by


def decode_samples(folder: Path, images: int, options: Sequence[str], *, seed: int) -> None:
    """Make `folder`/synthetic.parquet from so many samples, unless it is there."""
    decoded, record = folder / "synthetic.parquet", folder / "decode.json"
    if decoded.exists() and json.loads(record.read_text(encoding="utf-8"))["images"] == images:
        return
    same = ("--run", str(folder), "--seed", str(seed))
    run_stage("pgan", "sample", *same, "--images", str(images), "--device", "cpu", log=folder / "sample.log")
    run_stage("decode", *same, "--workers", "1", *options, log=folder / "decode.log")
    _say(str(folder), f"decoded {images:,} samples")


def _say(what: str, line: str) -> None:
    print(f"{what}: {line}", file=sys.stderr, flush=True)


# ---- the figures


def od_pairs(trips: pd.DataFrame) -> pd.MultiIndex:
    """Start and end station of each trip."""
    return pd.MultiIndex.from_frame(tabulate(trips, ())[["start", "end"]])


def coverage(samples: pd.MultiIndex, thirds: Mapping[str, pd.MultiIndex], rng: np.random.Generator) -> dict[str, Any]:
    """How the OD pairs of samples lie to those of the training trips (A), the judge's (B) and fresh ones (C).

    reached : share of A's pairs that samples have. reached_by_trips : of A's trips, those on such pairs. off_the_map :
    share of samples on pairs that no real trip has. od_cpc : of as many samples as A has trips, drawn at random,
    against B; None of fewer.
    """
    trained = thirds["A"]
    wanted = rng.permutation(len(samples))[: len(trained)]
    cut, holdout = (pairs.to_frame(index=False) for pairs in (samples[wanted], thirds["B"]))
    return {
        "trips": len(samples),
        "reached": float(trained.unique().isin(samples).mean()),
        "reached_by_trips": float(trained.isin(samples).mean()),
        "off_the_map": float(1 - samples.isin(trained.append([thirds["B"], thirds["C"]])).mean()),
        "od_cpc": cpc(*count_both(cut, holdout)) if len(wanted) == len(trained) else None,
    }


def measure_seed(home: Path, variants: Sequence[Variant], samples: int, seed: int) -> dict[str, dict[str, Any]]:
    """The figures of every row: real trips drawn again as often as there are samples, and as many of each variant."""
    thirds = {third: od_pairs(trips) for third, trips in read_thirds(home / "real").items()}
    rows = {}
    for name, third in ((REAL, "A"), (FRESH, "C")):
        rng = np.random.default_rng(seed)
        again = rng.integers(0, len(thirds[third]), samples)
        rows[name] = coverage(thirds[third][again], thirds, rng)
    for variant in variants:
        folder = variant.folder(home)
        synthetic, rng = od_pairs(pd.read_parquet(folder / "synthetic.parquet")), np.random.default_rng(seed)
        synthetic = synthetic[rng.permutation(len(synthetic))[:samples]]  # images may show more trips than real ones
        cost = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        rows[variant.name] = coverage(synthetic, thirds, rng) | cost
    return rows


def table(figures: Mapping[str, Any]) -> str:
    """What was measured, and all rows in Markdown."""
    options, training = figures["options"], figures["training"].values()
    sizes = " / ".join(f"{one['trips']:,} trips between {one['pairs']:,} OD pairs" for one in training)
    return (
        f"{options['samples']:,} samples of each row; training: {sizes}; preset {options['preset']}, "
        f"{options['minutes']:g} CPU-minutes, seeds {', '.join(map(str, options['seeds']))}\n\n"
        f"{table_of(figures['rows'], COLUMNS)}"
    )


def table_of(rows: Mapping[str, Sequence[Mapping[str, Any]]], columns: Columns) -> str:
    """Rows by name, each of one or more seeds, in Markdown: the mean over seeds and, of several, the range."""
    lines = [f"| | {' | '.join(title for title, _ in columns.values())} |", f"|---|{'---:|' * len(columns)}"]
    for name, seeds in rows.items():
        cells = [_cell([row.get(column) for row in seeds], text) for column, (_, text) in columns.items()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(values: Sequence[float | None], text: Callable[[float], str]) -> str:
    if None in values:
        return "–"
    low, high = text(min(values)), text(max(values))
    return text(float(np.mean(values))) + (f" ({low}–{high})" if low != high else "")


if __name__ == "__main__":
    exit_on_input_error(app)
