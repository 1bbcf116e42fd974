"""The compare stage: real and synthetic trips in, metrics.json and the report out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from decode.evaluate.measure import THIRDS, Measurement, join_thirds, measure_tables
from decode.options import CompareOptions
from rasterize.errors import InputError
from rasterize.files import write_json
from rasterize.formats.source_format import read_speed_limit
from rasterize.imageset import ImageSet
from rasterize.ingest.ingest import read_trips


def measure_for_run(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    options: CompareOptions | None = None,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    run: Path | None = None,
    seed: int = 0,
) -> Measurement:
    """Measure synthetic trips against real ones, by the stations and the speed limit of the run they come from.

    Parameters
    ----------
    real, synthetic : DataFrame
        Trips by internal names; see `measure_tables`.
    options : CompareOptions, optional
        How many rows are measured, and the speed limit.
    others : mapping of str to DataFrame, optional
        More synthetic trips by name, measured beside the first.
    run : Path, optional
        Run folder whose stations are known, and that noted what was ridden.
    seed : int
        Of every random choice.

    Returns
    -------
    Measurement
        The figures, and the tables that the report draws from.

    Raises
    ------
    InputError
        If the tables cannot be compared, or a file of the run is damaged.
    """
    options, stations = options or CompareOptions(), None
    if run is not None and (run / "stations.parquet").exists():
        stations = pd.read_parquet(run / "stations.parquet", columns=["station_id"])
    known_kmh = real.attrs.get("speed_limit_kmh")  # of `ImageSet.trips`
    if run is not None and (run / "images" / "spec.json").exists():
        known_kmh = read_speed_limit(ImageSet.open(run / "images").spec.source)
    limit_kmh = options.limit_kmh(known_kmh)
    return measure_tables(
        real, synthetic, others=others, stations=stations, seed=seed, rows_cap=options.rows, limit_kmh=limit_kmh
    )


def compare(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    out: Path,
    options: CompareOptions | None = None,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    run: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure synthetic trips against real ones and write the report.

    Parameters
    ----------
    real, synthetic, options, others, run, seed
        See `measure_for_run`; the report also shows pictures and settings of the run.
    out : Path
        Folder of the report; made if it is absent.

    Returns
    -------
    dict
        The figures, as in metrics.json.
    """
    measurement = measure_for_run(real, synthetic, options, others=others, run=run, seed=seed)
    write_report_folder(out, measurement, run=run)
    return measurement.figures


def write_report_folder(out: Path, measurement: Measurement, *, run: Path | None = None) -> None:
    """Write OUT/index.html, then OUT/metrics.json.

    The figures come last, so that they mark a finished report. Old figures go first: a broken run leaves no figures
    beside a report they do not fit.

    Parameters
    ----------
    out : Path
        Folder of the report; made if it is absent.
    measurement : Measurement
        What was measured.
    run : Path, optional
        Run folder whose pictures and settings the report shows.
    """
    from decode.evaluate.report import write_report  # matplotlib is slow to import

    (out / "metrics.json").unlink(missing_ok=True)
    write_report(out / "index.html", measurement, run=run)
    write_json(out / "metrics.json", measurement.figures)


def compare_files(
    tables: Sequence[str], options: CompareOptions, *, run: Path | None = None, seed: int = 0
) -> tuple[dict[str, Any], Path]:
    """Measure files of synthetic trips against files of real ones; write the report unless JSON alone is wanted.

    Parameters
    ----------
    tables : sequence of str
        The real trips and the synthetic ones; the synthetic ones alone where `options` name three real files.
    options : CompareOptions
        What is measured against, how, and where the report goes.
    run : Path, optional
        The run folder whose pictures and settings the report shows.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    figures : dict
        As in metrics.json.
    report : Path
        The page that was written, if it was.
    """
    real, synthetic = _read_sides(tables, options.thirds)
    more = {**_tables_beside_raw(run, tables[-1]), **options.also}
    others = {name: read_trips([path]) for name, path in more.items()}
    out = options.out or (run / "report" if run else Path("report"))
    if options.json:
        return measure_for_run(real, synthetic, options, others=others, run=run, seed=seed).figures, out
    return compare(real, synthetic, out, options, others=others, run=run, seed=seed), out / "index.html"


def _read_sides(tables: Sequence[str], thirds: Mapping[str, Path | None]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the real trips, from one file or from three, and the synthetic ones."""
    # Without thirds the first file holds the real trips. `CompareOptions` has refused one or two of the thirds.
    is_one_file = None in thirds.values()
    if len(tables) != (2 if is_one_file else 1):
        names = (
            "REAL and SYNTHETIC"
            if is_one_file
            else "SYNTHETIC alone, since --train, --holdout and --fresh are the real"
        )
        raise InputError(f"{len(tables)} files ({', '.join(tables)}); give {names}")
    if is_one_file:
        return read_trips([tables[0]]), read_trips([tables[1]])
    trips_of = {third: read_trips([path]) for third, path in zip(THIRDS, thirds.values(), strict=True)}
    return join_thirds(trips_of), read_trips([tables[0]])


def _tables_beside_raw(run: Path | None, measured: str) -> dict[str, str]:
    """Return the files of a run's calibrated and chosen trips, without the file that is measured already."""
    from decode.run import TABLES

    paths = {name: run / f"{name}.parquet" for name in TABLES[1:]} if run else {}
    return {n: str(path) for n, path in paths.items() if path.exists() and path.resolve() != Path(measured).resolve()}


def summarise(figures: dict[str, Any]) -> str:
    """Return the main figures as aligned lines: value, those of other synthetic trips, ceiling and floor."""
    columns = ["synthetic", *figures["others"], "ceiling", "floor"]
    lines = [f"{'':24}" + "".join(f"{column[:11]:>12}" for column in columns)]
    for name, figure in figures["metrics"].items():
        numbers = [figure["value"], *figure["others"].values(), figure["ceiling"], figure["floor"]]
        lines.append(f"{name:24}" + "".join(f"{'–' if n is None else format(n, '.4f'):>12}" for n in numbers))
    lines.append(f"valid trips: at most {figures['speed_limit_kmh']:g} km/h on the straight line")
    return "\n".join(lines)
