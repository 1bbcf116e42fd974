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
from decode.options import DecodeOptions
from decode.parts import find_parts, read_solution, solve_part
from decode.rank_mapping import has_ranks, spread_ranks
from decode.solver.routes import read_routes
from decode.solver.solution import join_solutions
from decode.trips import Decoded, assemble, make_plan
from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json
from rasterize.formats.source_format import write_trips_csv
from rasterize.imageset import ImageSet
from rasterize.run import redraw_trips
from rasterize.strokes.spec import StrokeSpec
from rasterize.workers import run_parts

TABLES = ("synthetic", "calibrated", "chosen")  # as painted; `--ranks` put right; `choose`: some of these
OUTPUTS = (*(f"{table}.{kind}" for table in TABLES for kind in ("parquet", "csv")), "strokes.parquet", "decode.json")


def decode_run(
    run: Path,
    options: DecodeOptions | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    seed: int = 0,
) -> Decoded:
    """Decode RUN/fakes and write the synthetic trips.

    Writes synthetic.csv and .parquet (as painted), calibrated.csv and .parquet (see `DecodeOptions.ranks`), redrawn/,
    strokes.parquet and decode.json. The images are solved in parts, each a file in RUN/decoded until all is done. After
    an interruption the same call goes on from there.

    Parameters
    ----------
    run : Path
        The run folder.
    options : DecodeOptions, optional
        How trips are read back, put right and written.
    workers, scheduler : int, str, optional
        Where parts are solved, see `rasterize.workers.run_parts`; the result is the same.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    Decoded
        The trips as painted, with what was left out and why.

    Raises
    ------
    InputError
        There is nothing to decode, or nothing valid came out.
    """
    options = options or DecodeOptions()
    images = ImageSet.open(run / "fakes")
    routes = read_routes(options.routes, images.spec) if options.routes else None
    for name in OUTPUTS:
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "redrawn", ignore_errors=True)
    plan = make_plan(images, routes=routes, seed=seed)

    # Solve the images part by part; one process alone may use all threads.
    is_alone = workers is None and scheduler is None
    parts = find_parts(run, plan, routes, threads=None if is_alone else 1)
    paths = run_parts(solve_part, parts, workers=workers, scheduler=scheduler)
    solution = join_solutions([read_solution(path) for path in paths])
    decoded = assemble(images, solution, plan, routes=routes, seed=seed)
    if decoded.trips.empty:
        reasons = ", ".join(f"{count} {reason}" for reason, count in decoded.rejected.items())
        raise InputError(f"{run / 'fakes'}: no valid trip in {decoded.images} images ({reasons}); train longer")

    # The calibrated table: the same trips, their painted ranks made even.
    tables = {"synthetic": decoded.trips}
    if options.ranks != "painted" and has_ranks(images.spec):
        even = spread_ranks(solution, images.labels, images.spec, drawn=options.ranks == "drawn", seed=seed)
        tables["calibrated"] = assemble(images, even, plan, routes=routes, seed=seed).trips
    _write_outputs(run, images.spec, decoded, tables, options, seed=seed)
    shutil.rmtree(run / "decoded", ignore_errors=True)
    return decoded


def _write_outputs(
    run: Path,
    spec: StrokeSpec,
    decoded: Decoded,
    tables: Mapping[str, pd.DataFrame],
    options: DecodeOptions,
    *,
    seed: int,
) -> None:
    """Write all files of the stage; synthetic.parquet last, for it marks the stage as finished."""
    if not spec.bent:
        redraw_trips(run / "redrawn", spec, tables.get("calibrated", decoded.trips), seed=seed)
    write_json(run / "decode.json", counts(decoded))
    _write_strokes(run / "strokes.parquet", decoded.trips)
    for name, trips in reversed(tables.items()):
        write_table(run / name, trips, spec.source if options.dialect == "source" else {}, seed=seed)


def counts(decoded: Decoded) -> dict[str, Any]:
    """Return the stage's counts as a JSON object."""
    confidence = decoded.trips["confidence"]
    return {
        "images": decoded.images,
        "trips": len(decoded.trips),
        "rejected": dict(decoded.rejected),
        "median_confidence": float(confidence.median()),
        "confident_share": float((confidence >= CONFIDENT).mean()),
        "median_residual": float(np.median(decoded.residual)),
        "degradation": decoded.plan.degradation.to_json(),
        "calibration": decoded.plan.confidence_curve.to_json(),
    }


def redrawn_table(run: Path) -> Path:
    """Return the table that was redrawn: calibrated, else raw trips; raises `InputError` where there are none."""
    for name in ("calibrated", "synthetic"):
        if (run / f"{name}.parquet").exists():
            return run / f"{name}.parquet"
    raise InputError(f"{run}: no synthetic.parquet; decode first: `python -m decode --run {run}`")


def write_table(path: Path, trips: pd.DataFrame, source: Mapping[str, Any], *, seed: int) -> None:
    """Write PATH.csv, in the look of the source if there is one, and then PATH.parquet.

    Parameters
    ----------
    path : Path
        Without a suffix.
    trips : DataFrame
        Internal names, one row per trip.
    source : Mapping
        The look of the input file, see `rasterize.formats.source_format`; empty for internal names.
    seed : int
        Seed of made-up ids.
    """
    if source:
        write_trips_csv(path.with_suffix(".csv"), trips, source, seed=seed)
    else:
        with write_atomically(path.with_suffix(".csv")) as temporary:
            trips.to_csv(temporary, index=False)
    with write_atomically(path.with_suffix(".parquet")) as temporary:
        trips.to_parquet(temporary, index=False)


def _write_strokes(path: Path, trips: pd.DataFrame) -> None:
    """Write the trips as lines between their stations, GeoParquet."""
    ends = trips[["start_lng", "start_lat", "end_lng", "end_lat"]].to_numpy().reshape(-1, 2, 2)
    columns = trips[["trip_id", "image", "confidence", "residual"]]
    with write_atomically(path) as temporary:
        gpd.GeoDataFrame(columns, geometry=linestrings(ends), crs="EPSG:4326").to_parquet(temporary)


def describe(decoded: Decoded, run: Path) -> str:
    """Return the stage's counts as a few lines for a person."""
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
