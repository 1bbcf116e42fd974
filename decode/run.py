"""The decode stage on a run folder: fakes/ → synthetic.parquet, synthetic.csv, strokes.parquet and decode.json."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely import linestrings

from decode.confidence import CONFIDENT
from decode.parts import find_parts, read_solution, solve_part
from decode.rank_mapping import RANKS, USUAL_RANKS, has_ranks, spread_ranks
from decode.solver.routes import read_routes
from decode.solver.solution import join_solutions
from decode.trips import Decoded, assemble, make_plan
from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json
from rasterize.formats.source_format import write_trips_csv
from rasterize.imageset import ImageSet
from rasterize.run import redraw_trips
from rasterize.workers import run_parts

TABLES = ("synthetic", "calibrated", "chosen")  # as painted; `--ranks` put right; `choose`: some of these
OUTPUTS = (*(f"{table}.{kind}" for table in TABLES for kind in ("parquet", "csv")), "strokes.parquet", "decode.json")


def decode_run(
    run: Path,
    *,
    dialect: str = "source",
    route_file: Path | None = None,
    ranks: str = USUAL_RANKS,
    workers: int | None = None,
    scheduler: str | None = None,
    seed: int = 0,
) -> str:
    """Decode `run`/fakes and write the synthetic trips; returns what there is to say about them.

    The images are solved in parts, each a file in `run`/decoded until all is done; when the work is interrupted they
    stay, and the same call goes on from there. `workers` and `scheduler` say where, see `rasterize.workers.run_parts`;
    the result is the same. calibrated.parquet and .csv are written too, unless `ranks` stay as painted or nothing is
    painted as one; synthetic.parquet last. Raises `InputError` when there is nothing to decode or nothing valid came
    out.
    """
    if ranks not in RANKS:
        raise InputError(f"--ranks {ranks}: give one of {', '.join(RANKS)}")
    if dialect not in ("source", "internal"):
        raise InputError(
            f"--dialect {dialect}: give 'source' (the columns of the input file) or 'internal' (our own names)"
        )
    images = ImageSet.open(run / "fakes")
    for name in OUTPUTS:
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "redrawn", ignore_errors=True)
    routes = read_routes(route_file, images.spec) if route_file else None
    plan = make_plan(images, routes=routes, seed=seed)
    is_alone = workers is None and scheduler is None
    parts = find_parts(run, plan, routes, threads=None if is_alone else 1)
    paths = run_parts(solve_part, parts, workers=workers, scheduler=scheduler)
    solution = join_solutions([read_solution(path) for path in paths])
    decoded = assemble(images, solution, plan, routes=routes, seed=seed)
    if decoded.trips.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in decoded.rejected.items())
        raise InputError(f"{run / 'fakes'}: no valid trip in {decoded.images} images ({reasons}); train longer")
    tables = {"synthetic": decoded.trips}
    if ranks != RANKS[0] and has_ranks(images.spec):
        even = spread_ranks(solution, images.labels, images.spec, drawn=ranks == "drawn", seed=seed)
        tables["calibrated"] = assemble(images, even, plan, routes=routes, seed=seed).trips
    if not images.spec.bent:
        redraw_trips(run / "redrawn", images.spec, tables.get("calibrated", decoded.trips), seed=seed)
    write_json(run / "decode.json", counts(decoded))
    _write_strokes(run / "strokes.parquet", decoded.trips)
    for name, trips in reversed(tables.items()):
        write_table(run / name, trips, images.spec.source if dialect == "source" else {}, seed=seed)
    shutil.rmtree(run / "decoded", ignore_errors=True)
    return describe(decoded, run)


def counts(decoded: Decoded) -> dict:
    """The stage's counts as a JSON object."""
    confidence = decoded.trips["confidence"]
    return {
        "images": decoded.images,
        "trips": len(decoded.trips),
        "rejected": dict(decoded.rejected),
        "median_confidence": float(confidence.median()),
        "confident_share": float((confidence >= CONFIDENT).mean()),
        "median_residual": float(np.median(decoded.residual)),
        "degradation": decoded.plan.degradation.to_json(),
        "calibration": decoded.plan.calibration.to_json(),
    }


def redrawn_table(run: Path) -> Path:
    """The table that was redrawn: calibrated trips where there are, else raw ones; raises `InputError` without any."""
    for name in ("calibrated", "synthetic"):
        if (run / f"{name}.parquet").exists():
            return run / f"{name}.parquet"
    raise InputError(f"{run}: no synthetic.parquet; decode first: `python -m decode --run {run}`")


def write_table(path: Path, trips: pd.DataFrame, source: Mapping[str, Any], *, seed: int) -> None:
    """`path`.csv, as `source` says if it does, and then `path`.parquet."""
    if source:
        write_trips_csv(path.with_suffix(".csv"), trips, source, seed=seed)
    else:
        with write_atomically(path.with_suffix(".csv")) as temporary:
            trips.to_csv(temporary, index=False)
    with write_atomically(path.with_suffix(".parquet")) as temporary:
        trips.to_parquet(temporary, index=False)


def _write_strokes(path: Path, trips: pd.DataFrame) -> None:
    ends = trips[["start_lng", "start_lat", "end_lng", "end_lat"]].to_numpy().reshape(-1, 2, 2)
    columns = trips[["trip_id", "image", "confidence", "residual"]]
    with write_atomically(path) as temporary:
        gpd.GeoDataFrame(columns, geometry=linestrings(ends), crs="EPSG:4326").to_parquet(temporary)


def describe(decoded: Decoded, run: Path) -> str:
    """The stage's counts as a few lines for a person."""
    figures = counts(decoded)
    lines = [f"{figures['images']:,} images → {figures['trips']:,} valid synthetic trips"]
    lines += [f"{count:8,}  {reason}" for reason, count in decoded.rejected.items()]
    faults = decoded.plan.degradation
    lines.append(
        f"{figures['confident_share']:.0%} of the trips are at least {CONFIDENT:.0%} sure to be what was painted; "
        f"the generator blurs by {faults.blur_px:.2f} px, misses ends by {faults.jitter_px:.2f} px, "
        f"paints {np.mean(faults.gains or 1):.2f} times as strong as drawn, with noise of {faults.noise:.2f}"
    )
    wrote = " and ".join(str(run / f"{name}.csv") for name in TABLES if (run / f"{name}.csv").exists())
    return "\n".join([*lines, f"wrote {wrote}, and .parquet"])
