"""Parts of an image set, each decoded by itself, here or on other machines, and kept until all are done."""

import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from decode.solver.decoder import Decoder
from decode.solver.routes import Routes
from decode.solver.solution import Solution
from decode.trips import DecodingPlan, solve_range
from rasterize.files import write_atomically
from rasterize.imageset import ImageSet

BATCH = 2048  # images of a part


@dataclass(frozen=True, kw_only=True)
class Part:
    """Some images of a set, how they are decoded, and where their solution goes.

    Attributes
    ----------
    images : Path
        Folder of the image set.
    begin, end : int
        The images `begin` … `end`.
    plan : DecodingPlan
        How they are decoded.
    routes : Routes or None
        Known routes.
    threads : int or None
        How many threads the solver may use; None is one per processor.
    path : Path
        File of the solution: whole or absent.
    """

    images: Path
    begin: int
    end: int
    plan: DecodingPlan
    routes: Routes | None
    threads: int | None
    path: Path


def find_parts(run: Path, plan: DecodingPlan, routes: Routes | None, *, threads: int | None) -> list[Part]:
    """Cut the images of a run into parts.

    Parameters
    ----------
    run : Path
        Run folder: images in `fakes`, solutions in `decoded`.
    plan : DecodingPlan
        How the images are decoded.
    routes : Routes or None
        Known routes.
    threads : int or None
        How many threads the solver may use in each part; None is one per processor.

    Returns
    -------
    list of Part
        In order of the images.

    Notes
    -----
    The folder of solutions is named after all that they follow from. So the parts of an interrupted run are found again
    if nothing has changed. If something has, they are removed.
    """
    folder = (run / "fakes").absolute()
    # Keep the parts of an interrupted run that did the very same; remove any others.
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


def _fingerprint(folder: Path, plan: DecodingPlan, routes: Routes | None) -> str:
    """Return a name for images, plan and routes: sixteen hexadecimal digits."""
    stored = (folder / "images.npy").stat()
    facts = {
        "images": ImageSet.open(folder).fingerprint,
        "stored": [stored.st_size, stored.st_mtime_ns],
        "degradation": plan.degradation.to_json(),
        "batch": BATCH,
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (routes.ends, routes.offsets, routes.points) if routes else ():
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def solve_part(part: Part) -> Path:
    """Decode a part and write its solution, unless it is there; return its file."""
    if not part.path.exists():
        images = ImageSet.open(part.images)
        decoder = Decoder(images.spec, degradation=part.plan.degradation, routes=part.routes, threads=part.threads)
        found = solve_range(images, decoder, part.begin, part.end)
        with write_atomically(part.path) as temporary:
            np.savez(temporary, **vars(found))
    return part.path


def read_solution(path: Path) -> Solution:
    """Return the solution that `solve_part` wrote."""
    with np.load(path) as arrays:
        return Solution(**{name: arrays[name] for name in arrays.files})
