"""Our own row: the commands from trip files to chosen trips, and the time each took; what is done is left out."""

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
    """Make `run`/chosen.parquet from trip files, as far as that is not done.

    Parameters
    ----------
    files : sequence of Path
        Trip files.
    run : Path
        The run folder.
    recipe : Recipe
        Options of each stage.
    rows : int
        Trips to choose.
    seed : int
        Seed of every stage.

    Returns
    -------
    dict of str to float
        Wall seconds of each stage, those of earlier calls included.

    Raises
    ------
    InputError
        If `run` was made by another recipe, or a stage fails.
    """
    # The recipe is kept as JSON, in which tuples are lists.
    by = json.loads(json.dumps({**vars(recipe), "rows": rows, "seed": seed}))
    record = run / "recipe.json"
    if record.exists() and json.loads(record.read_text(encoding="utf-8")) != by:
        raise InputError(f"{run}: made by another recipe ({record}); give another --work, or remove it")
    run.mkdir(parents=True, exist_ok=True)
    write_json(record, by)
    # A stage is done when its result and its time are there.
    stages = list_stages(files, run, recipe, rows=rows, seed=seed)
    for name, (command, made) in stages.items():
        time_file = locate_time_file(run, name)
        if not ((run / made).exists() and time_file.exists()):
            write_json(time_file, run_stage(*command, log=run / f"{name}.log"))
    times = {name: json.loads(locate_time_file(run, name).read_text(encoding="utf-8")) for name in stages}
    return {name: spent["wall_seconds"] for name, spent in times.items()}


def locate_time_file(run: Path, stage: str) -> Path:
    """Return the path of the file that keeps the seconds of a stage."""
    return run / f"{stage}-took.json"


def list_stages(
    files: Sequence[Path], run: Path, recipe: Recipe, *, rows: int, seed: int
) -> dict[str, tuple[tuple[str, ...], str]]:
    """List the stages from trip files to chosen trips, in order.

    Parameters
    ----------
    files : sequence of Path
        Trip files.
    run : Path
        The run folder.
    recipe : Recipe
        Options of each stage.
    rows : int
        Trips to choose.
    seed : int
        Seed of every stage.

    Returns
    -------
    dict of str to (tuple of str, str)
        By name of the stage: its command after `python -m`, and the file in `run` that says it is done.
    """
    # Every stage reads and writes the same run folder.
    seeded = ("--run", str(run), "--seed", str(seed))
    return {
        "rasterize": (("rasterize", *map(str, files), *seeded, *recipe.raster), "images/spec.json"),
        "train": (("pgan", "train", *seeded, *recipe.train), "model/snapshot.pt"),
        "sample": (("pgan", "sample", *seeded, *recipe.sample), "fakes/spec.json"),
        "decode": (("decode", *seeded, *recipe.decode), "synthetic.parquet"),
        "judge": (("pgan", "judge", *seeded, *recipe.judge), "redrawn/verdicts.npy"),
        "choose": (("decode", "choose", *seeded, "--rows", str(rows)), "chosen.parquet"),
    }
