"""The compare stage: real and synthetic trips in, metrics.json and the report out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from decode.evaluate.measure import ROWS_CAP, measure_tables
from rasterize.errors import InputError
from rasterize.files import write_json


def compare(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    out: Path,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    stations: pd.DataFrame | None = None,
    run: Path | None = None,
    seed: int = 0,
    rows_cap: int = ROWS_CAP,
) -> dict[str, Any]:
    """Judge synthetic trips against real ones; writes `out`/metrics.json and `out`/index.html, returns the figures.

    run : the run folder, whose pictures and settings the report shows, and whose stations are known if `stations` are
    not given. Everything else, and the errors: see `measure_tables`.
    """
    from decode.evaluate.report import write_report  # matplotlib is slow to import

    if stations is None and run is not None and (run / "stations.parquet").exists():
        stations = pd.read_parquet(run / "stations.parquet", columns=["station_id"])
    measurement = measure_tables(real, synthetic, others=others, stations=stations, seed=seed, rows_cap=rows_cap)
    (out / "metrics.json").unlink(missing_ok=True)  # written last: it marks a finished report
    write_report(out / "index.html", measurement, run=run)
    write_json(out / "metrics.json", measurement.figures)
    return measurement.figures


def read_sides(tables: list[str], thirds: dict[str, Path | None]) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """The real trips, from one file or from three, and the synthetic ones."""
    from decode.evaluate.measure import THIRDS, join_thirds
    from rasterize.ingest.ingest import read_trips

    absent = [f"--{name}" for name, path in thirds.items() if path is None]
    if 0 < len(absent) < len(thirds):
        raise InputError(f"--train, --holdout and --fresh go together; there is no {' and no '.join(absent)}")
    wanted = 2 if absent else 1
    if len(tables) != wanted:
        names = "REAL and SYNTHETIC" if absent else "SYNTHETIC alone, since --train, --holdout and --fresh are the real"
        raise InputError(f"{len(tables)} files ({', '.join(tables)}); give {names}")
    if absent:
        return read_trips([tables[0]]), read_trips([tables[1]])
    parts = {third: read_trips([path]) for third, path in zip(THIRDS, thirds.values(), strict=True)}
    return join_thirds(parts), read_trips([tables[0]])


def tables_beside_raw(run: Path | None, judged: str) -> dict[str, str]:
    """The calibrated and the chosen trips of a run, shown beside its raw ones without being asked for."""
    from decode.run import TABLES

    paths = {name: run / f"{name}.parquet" for name in TABLES[1:]} if run else {}
    return {n: str(path) for n, path in paths.items() if path.exists() and path.resolve() != Path(judged).resolve()}


def summarise(figures: dict) -> str:
    """The main figures as aligned lines: value, those of other synthetic trips, ceiling, floor."""
    columns = ["synthetic", *figures["others"], "ceiling", "floor"]
    lines = [f"{'':24}" + "".join(f"{column[:11]:>12}" for column in columns)]
    for name, figure in figures["metrics"].items():
        numbers = [figure["value"], *figure["others"].values(), figure["ceiling"], figure["floor"]]
        lines.append(f"{name:24}" + "".join(f"{'–' if n is None else format(n, '.4f'):>12}" for n in numbers))
    return "\n".join(lines)
