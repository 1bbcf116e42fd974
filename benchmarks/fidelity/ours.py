"""Our own row: the commands from trip files to chosen trips, each left out if it is done, and the time each took."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measure import run_stage
from rasterize.errors import InputError
from rasterize.files import write_json


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How our trips are made; a run made by another one is not taken for ours."""

    raster: tuple[str, ...] = ("--resolution", "16", "--layout", "lattice", "--trips-per-image", "4")
    train: tuple[str, ...] = (
        *("--preset", "tiny", "--first-kimg", "10", "--last-kimg", "240", "--compile", "no"),
        *("--checkpoint-kimg", "20", "--keep-checkpoints", "8"),
    )
    sample: tuple[str, ...] = ("--images", "80000", "--checkpoints", "8")
    decode: tuple[str, ...] = ("--ranks", "drawn", "--workers", "2")
    judge: tuple[str, ...] = ("--jury", "2", "--kimg", "150", "--workers", "2")


def make_ours(files: Sequence[Path], run: Path, recipe: Recipe, *, rows: int, seed: int) -> dict[str, float]:
    """Make `run`/chosen.parquet, `rows` trips, from trip files; returns the wall seconds of each stage.

    Raises `InputError` where `run` was made by another recipe.
    """
    by = json.loads(json.dumps({**vars(recipe), "rows": rows, "seed": seed}))
    record = run / "recipe.json"
    if record.exists() and json.loads(record.read_text(encoding="utf-8")) != by:
        raise InputError(f"{run}: made by another recipe ({record}); give another --work, or remove it")
    run.mkdir(parents=True, exist_ok=True)
    write_json(record, by)
    stages = stages_of(files, run, recipe, rows=rows, seed=seed)
    for name, (command, made) in stages.items():
        took = took_file(run, name)
        if not ((run / made).exists() and took.exists()):
            write_json(took, run_stage(*command, log=run / f"{name}.log"))
    return {name: json.loads(took_file(run, name).read_text(encoding="utf-8"))["wall_seconds"] for name in stages}


def took_file(run: Path, stage: str) -> Path:
    """Where the seconds of a stage are kept."""
    return run / f"{stage}-took.json"


def stages_of(
    files: Sequence[Path], run: Path, recipe: Recipe, *, rows: int, seed: int
) -> dict[str, tuple[tuple[str, ...], str]]:
    """Each stage's command, after `python -m`, and the file in `run` that says it is done."""
    seeded = ("--run", str(run), "--seed", str(seed))
    return {
        "rasterize": (("rasterize", *map(str, files), *seeded, *recipe.raster), "images/spec.json"),
        "train": (("pgan", "train", *seeded, *recipe.train), "model/snapshot.pt"),
        "sample": (("pgan", "sample", *seeded, *recipe.sample), "fakes/spec.json"),
        "decode": (("decode", *seeded, *recipe.decode), "synthetic.parquet"),
        "judge": (("pgan", "judge", *seeded, *recipe.judge), "redrawn/verdicts.npy"),
        "choose": (("decode", "choose", *seeded, "--rows", str(rows)), "chosen.parquet"),
    }
