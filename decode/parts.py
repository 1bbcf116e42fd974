"""Parts of an image set that are decoded each by itself, here or on other machines, and kept until all are done."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decode.solver.decoder import Decoder
from decode.solver.routes import Routes
from decode.solver.solution import Solution
from decode.trips import Plan, solve_range
from rasterize.files import write_atomically
from rasterize.imageset import ImageSet

BATCH = 2048  # images of a part


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some images of a set, how they are decoded, and where their solution goes; the file is whole or absent.

    `threads` is how many the solver may use: None is one per processor.
    """

    images: Path
    begin: int
    end: int
    plan: Plan
    routes: Routes | None
    threads: int | None
    path: Path


def find_parts(run: Path, plan: Plan, routes: Routes | None, *, threads: int | None) -> list[Part]:
    """The parts of `run`/fakes, in order.

    Their files are named after all that the solutions follow from: parts of an earlier, interrupted run are found again
    if nothing has changed, and removed if something has.
    """
    folder = (run / "fakes").absolute()
    name, count = _fingerprint(folder, plan, routes), len(ImageSet.open(folder))
    home = (run / "decoded").absolute()
    for other in home.glob("*") if home.exists() else ():
        if other.name != name:
            shutil.rmtree(other)
    (home / name).mkdir(parents=True, exist_ok=True)
    return [
        Part(
            images=folder,
            begin=begin,
            end=min(begin + BATCH, count),
            plan=plan,
            routes=routes,
            threads=threads,
            path=home / name / f"{begin:09d}.npz",
        )
        for begin in range(0, count, BATCH)
    ]


def _fingerprint(folder: Path, plan: Plan, routes: Routes | None) -> str:
    """A name for images and plan: sixteen hexadecimal digits."""
    stored = (folder / "images.npy").stat()
    told = {
        "images": ImageSet.open(folder).fingerprint,
        "stored": [stored.st_size, stored.st_mtime_ns],
        "degradation": plan.degradation.to_json(),
        "batch": BATCH,
    }
    digest = hashlib.sha256(json.dumps(told, sort_keys=True).encode())
    for array in (routes.ends, routes.offsets, routes.points) if routes else ():
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def solve_part(part: Part) -> Path:
    """Decode a part and write its solution, unless it is there; returns its file."""
    if not part.path.exists():
        images = ImageSet.open(part.images)
        decoder = Decoder(images.spec, degradation=part.plan.degradation, routes=part.routes, threads=part.threads)
        found = solve_range(images, decoder, part.begin, part.end)
        with write_atomically(part.path) as temporary:
            np.savez(temporary, **vars(found))
    return part.path


def read_solution(path: Path) -> Solution:
    """A solution that `solve_part` wrote."""
    with np.load(path) as arrays:
        return Solution(**{name: arrays[name] for name in arrays.files})
