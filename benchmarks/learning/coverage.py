"""Mode coverage: how many OD pairs of the training trips samples reach, by loss and packing, at equal time."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import field, fields, make_dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER
from benchmarks.learning.variants import (
    Columns,
    Terms,
    Variant,
    choose_last_kimg,
    draw_real_trips,
    finish_variant,
    format_table,
    is_trained,
    measure_speeds,
    print_progress,
    read_thirds,
    refuse_other_terms,
    run_tasks,
)
from benchmarks.measure import format_heading, format_short
from decode.evaluate.columns import count_both, cpc
from decode.evaluate.tables import tabulate
from pgan.config import LOSS_NAMES, TrainConfig
from rasterize.errors import exit_on_input_error
from rasterize.files import write_json
from rasterize.flags import make_options, with_setting_flags

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

PACKS = (1, 2)
DECIDED_HERE = ("loss", "pack", "seed", "compile", "last_kimg")  # settings of training; the rest may be changed
REAL, FRESH = "real resample", "fresh real trips"
COLUMNS: Columns = {
    "reached": ("pairs reached", format_short),
    "reached_by_trips": ("weighted by trips", format_short),
    "off_the_map": ("off the map", format_short),
    "od_cpc": ("OD CPC", format_short),
    "trips": ("trips", lambda count: f"{count:,.0f}"),
    "kimg": ("kimg shown", lambda kimg: f"{kimg:.1f}"),
    "cpu_seconds": ("CPU s of training", lambda seconds: f"{seconds:.0f}"),
}


# Each setting of training that users may change, by `--set` alone.
TrainSettings = make_dataclass(
    "TrainSettings",
    [
        (setting.name, setting.type, field(default=setting.default, metadata={**setting.metadata, "rare": True}))
        for setting in fields(TrainConfig)
        if setting.name not in DECIDED_HERE
    ],
)


@app.command()
@with_setting_flags(Terms, TrainSettings)
def main(
    *,
    trips: Annotated[
        list[Path] | None, typer.Option(help="Trip files; by default Jersey City, January and February 2019; repeat.")
    ] = None,
    work: Annotated[Path, typer.Option(help="Folder for the runs and the figures.")] = Path("runs/coverage"),
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LOSS:PACK", help="All losses with packing 1 and 2 by default; repeat.", show_default=False
        ),
    ] = None,
    seed: Annotated[list[int] | None, typer.Option(help="Of the split and all else; repeat.", show_default="0")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Variants at a time, one thread each.")] = 1,
    changes: dict[str, Any],
) -> None:
    """Train, sample and decode every variant, unless that is done, and print one table."""
    terms = read_terms(changes)
    variants = [Variant.parse(text) for text in variant or []]
    variants = variants or [Variant.from_loss(loss, pack) for loss in LOSS_NAMES for pack in PACKS]
    files = trips or SETS[WINTER].files(SHARED_DATA)
    seeds = list(dict.fromkeys(seed or [0]))
    figures = measure_all(files, work, variants, terms, seeds=seeds, jobs=jobs)
    write_json(work / "figures.json", figures)
    print(f"{figures['heading']}\n\n{format_figures(figures)}\n\nall figures: {work / 'figures.json'}")


def read_terms(changes: Mapping[str, Any]) -> Terms:
    """Return the terms that a user set, with the settings of training among `changes`."""
    names = [setting.name for setting in fields(TrainSettings)]
    return make_options(Terms, changes, settings={name: changes[name] for name in names if name in changes})


def measure_all(
    files: Sequence[Path], work: Path, variants: Sequence[Variant], terms: Terms, *, seeds: Sequence[int], jobs: int
) -> dict[str, Any]:
    """Draw, train, sample, decode and measure all variants, as far as that is not done.

    Parameters
    ----------
    files : sequence of Path
        Trip files.
    work : Path
        Folder for the runs, with one folder per seed.
    variants : sequence of Variant
        What to compare.
    terms : Terms
        What is the same for all variants.
    seeds : sequence of int
        Seeds of the split and everything else; each variant is trained once per seed.
    jobs : int
        Variants at a time, one thread each.

    Returns
    -------
    dict
        The content of figures.json; `rows` has a list of figures for each row, one per seed.
    """
    homes = {seed: work / f"seed-{seed}" for seed in seeds}
    for seed, home in homes.items():
        drawings = {variant.real_folder(home): variant.raster_flags for variant in variants}
        for run, flags in {home / "real": [], **drawings}.items():
            draw_real_trips(files, run, flags, seed=seed)

    # Refuse what was trained on other terms before hours are spent.
    pairs = [(variant, seed) for seed in homes for variant in variants]
    for variant, seed in pairs:
        refuse_other_terms(variant, homes[seed], terms, seed=seed)

    # Choose the length of each run, so that all take the same time.
    waiting = [(variant, seed) for variant, seed in pairs if not is_trained(variant.folder(homes[seed]))]
    speeds = measure_speeds(waiting, homes, terms, jobs=jobs)
    last_kimg = {one: choose_last_kimg(terms.minutes, speed, name=one.name) for one, speed in speeds.items()}
    for variant, speed in speeds.items():
        length = f"last phase {last_kimg[variant]:.1f} kimg"
        print_progress(variant.name, f"{speed.images_per_s:.0f} images per CPU-second, {length}")

    # Do what is not done, then measure everything that is there.
    tasks = [
        partial(finish_variant, variant, homes[seed], terms, last_kimg.get(variant), seed=seed)
        for variant, seed in pairs
    ]
    run_tasks(tasks, jobs)
    measured = {seed: measure_seed(home, variants, terms.samples, seed) for seed, home in homes.items()}
    names = (REAL, FRESH, *(variant.name for variant in variants))
    return {
        "heading": format_heading("torch", "numpy", "pandas"),
        "options": {"files": [path.name for path in files], "seeds": list(seeds), **vars(terms)},
        "training": {seed: count_training(home / "real") for seed, home in homes.items()},
        "rows": {name: [{"seed": seed, **rows[name]} for seed, rows in measured.items()] for name in names},
    }


# ---- the figures


def count_training(run: Path) -> dict[str, int]:
    """Return how many trips train, and how many OD pairs they have."""
    trained = list_od_pairs(read_thirds(run)["A"])
    return {"trips": len(trained), "pairs": len(trained.unique())}


def list_od_pairs(trips: pd.DataFrame) -> pd.MultiIndex:
    """Return the start and end station of each trip."""
    return pd.MultiIndex.from_frame(tabulate(trips, ())[["start", "end"]])


def measure_coverage(
    samples: pd.MultiIndex, thirds: Mapping[str, pd.MultiIndex], rng: np.random.Generator
) -> dict[str, Any]:
    """Measure how the OD pairs of samples lie to those of the real trips, by split.

    Parameters
    ----------
    samples : pd.MultiIndex
        Start and end station of each sampled trip.
    thirds : mapping of str to pd.MultiIndex
        The same of the real trips, by split.
    rng : np.random.Generator
        Draws as many samples as A has trips, for `od_cpc`.

    Returns
    -------
    dict
        - `trips`: number of samples.
        - `reached`: share of A's pairs that samples have.
        - `reached_by_trips`: share of A's trips that lie on such pairs.
        - `off_the_map`: share of samples on pairs that no real trip has.
        - `od_cpc`: common part of the flows of as many samples as A has trips, against B; None of fewer.
    """
    # Flows depend on the number of trips, so both sides of the CPC have as many as train.
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
    """Measure the real trips and all variants of one seed.

    Parameters
    ----------
    home : Path
        The folder of the seed.
    variants : sequence of Variant
        Variants that are trained, sampled and decoded there.
    samples : int
        Trips in each row, where so many were decoded.
    seed : int
        Seed of what is drawn.

    Returns
    -------
    dict of str to dict
        Figures of each row by its name; real trips come first.
    """
    thirds = {third: list_od_pairs(trips) for third, trips in read_thirds(home / "real").items()}
    rows = {}
    # References: real trips, drawn with replacement as often as there are samples.
    for name, third in ((REAL, "A"), (FRESH, "C")):
        rng = np.random.default_rng(seed)
        again = rng.integers(0, len(thirds[third]), samples)
        rows[name] = measure_coverage(thirds[third][again], thirds, rng)
    # Variants: images may show more trips than were asked for, so the samples are cut at random.
    for variant in variants:
        folder, rng = variant.folder(home), np.random.default_rng(seed)
        synthetic = list_od_pairs(pd.read_parquet(folder / "synthetic.parquet"))
        synthetic = synthetic[rng.permutation(len(synthetic))[:samples]]
        cost = json.loads((folder / "trained.json").read_text(encoding="utf-8"))
        rows[variant.name] = measure_coverage(synthetic, thirds, rng) | cost
    return rows


def format_figures(figures: Mapping[str, Any]) -> str:
    """Return what was measured, and all rows in Markdown."""
    options, training = figures["options"], figures["training"].values()
    sizes = " / ".join(f"{one['trips']:,} trips between {one['pairs']:,} OD pairs" for one in training)
    return (
        f"{options['samples']:,} samples of each row; training: {sizes}; preset {options['preset']}, "
        f"{options['minutes']:g} CPU-minutes, seeds {', '.join(map(str, options['seeds']))}\n\n"
        f"{format_table(figures['rows'], COLUMNS)}"
    )


if __name__ == "__main__":
    exit_on_input_error(app)
