"""`python -m benchmarks.fidelity`: one split of the trips, every generator, the same metrics, one table."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.fidelity.codec import pass_through_codec
from benchmarks.fidelity.external import (
    EXTERNALS,
    External,
    choose_externals,
    fit_external,
    install_packages,
    read_version,
)
from benchmarks.fidelity.ours import make_ours
from benchmarks.fidelity.rivals import RIVALS
from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER, TripSet, choose_trip_set
from benchmarks.fidelity.split import (
    check_same_split,
    make_training_table,
    make_trips,
    split_trips,
)
from benchmarks.measure import format_short, print_heading
from decode.evaluate.measure import measure_tables
from decode.run import TABLES
from rasterize.errors import InputError, exit_on_input_error
from rasterize.files import write_json
from rasterize.flags import parse_pairs

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

# Figure of the report -> title of its column.
COLUMNS = {
    "od_cpc": "OD CPC",
    "hour_of_week_jsd": "dow×hour JSD",
    "start_hour_jsd": "start×hour JSD",
    "duration_ks": "duration KS",
    "bivariate_accuracy": "biv. acc.",
    "c2st_auc": "C2ST AUC",
    "c2st_distance_auc": "C2ST + distance",
    "tstr_duration_r2": "duration R²",
    "tstr_user_type_auc": "user-type AUC",
    "tstr_demand_r": "demand r",
    "validity": "validity",
    "dcr_share": "DCR share",
    "ims": "IMS",
    "membership_auc": "membership AUC",
}


@app.command()
def main(
    trips: Annotated[str, typer.Option(help=f"Which trips: {', '.join(SETS)}.")] = WINTER,
    data: Annotated[Path, typer.Option(help="Folder that holds citibike-jc/ and citibike-nyc/.")] = SHARED_DATA,
    work: Annotated[Path, typer.Option(help="Folder for the split, what was drawn, and the figures.")] = Path(
        "runs/fidelity"
    ),
    run: Annotated[
        list[str] | None,
        typer.Option(
            metavar="[NAME=]RUN",
            help="Another run folder of ours, on this very split: a row from each table in it; repeat.",
        ),
    ] = None,
    row: Annotated[
        list[str] | None, typer.Option(metavar="NAME=FILE", help="A row from a file of synthetic trips; repeat.")
    ] = None,
    ours: Annotated[bool, typer.Option(help="Make our own row too, as far as it is not there (half an hour).")] = True,
    external: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RIVAL",
            help=f"Fit a rival from elsewhere too (3 GB to install): {', '.join(EXTERNALS)}; repeat.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the split, and of every generator.")] = 0,
) -> None:
    """Measure every generator on the same thirds of the same trips, and print one table."""
    trip_set, externals = choose_trip_set(trips), choose_externals(external or [])
    files, folder = trip_set.files(data), work / trips / f"seed-{seed}"
    real = split_trips(files, folder, seed)
    train, places = make_training_table(real)
    rows_cap = min(len(train), trip_set.most_measured)
    runs = list(run or [])
    if ours:
        runs.insert(0, f"ours={_make_our_run(files, folder / 'ours', trip_set, rows=rows_cap, seed=seed)}")
    # Rows by title: ours, files, rivals from here, rivals from elsewhere.
    rows = {**_read_our_rows(runs, real, files, seed), **_read_file_rows(row or [])}
    for title, synthesise in RIVALS.items():
        rows[title] = make_trips(synthesise(train, places, np.random.default_rng(seed)), places)
    for name in externals:
        python = install_packages(work / "environment")
        title = _make_title(externals[name], python)
        rows[title] = keep_known_ends(title, make_trips(fit_external(python, name, train, folder, seed=seed), places))
    figures = _measure_rows(real, rows, rows_cap, seed)
    write_json(folder / "figures.json", figures)
    _print_figures(figures, folder / "figures.json", absent=[name for name in EXTERNALS if name not in externals])


def _make_our_run(files: list[Path], run: Path, trip_set: TripSet, *, rows: int, seed: int) -> Path:
    """Make what our run folder still lacks, print the minutes of its stages, and return it."""
    spent = make_ours(files, run, trip_set.recipe, rows=rows, seed=seed)
    print(f"ours: {', '.join(f'{name} {seconds / 60:.1f}' for name, seconds in spent.items())} minutes\n")
    return run


def _make_title(rival: External, python: Path) -> str:
    return f"{rival.title} ({rival.package} {read_version(python, rival.package)})"


def _print_figures(figures: dict[str, Any], path: Path, *, absent: list[str]) -> None:
    """Print the table with its heading, and which rivals are absent from it."""
    print_heading("numpy", "pandas", "scikit-learn", "scipy")
    print(f"{figures['n']:,} trips in every table, seed {figures['seed']}; columns {', '.join(figures['columns'])}\n")
    print(format_figures(figures))
    if absent:
        print(f"\nnot measured: {', '.join(EXTERNALS[name].title for name in absent)}; --external fits them")
    print(f"\nall figures: {path}")


def _read_our_rows(runs: list[str], real: pd.DataFrame, files: list[Path], seed: int) -> dict[str, pd.DataFrame]:
    """Read the synthetic trips of run folders: raw and, where they are there, calibrated and chosen."""
    rows = {}
    for text in runs:
        pair = parse_pairs("--run", [text]) if "=" in text else {"PGAN Trips": text}
        name, folder = next((name, Path(path)) for name, path in pair.items())
        check_same_split(real, folder, files, seed)
        if not (folder / "synthetic.parquet").exists():
            raise InputError(f"{folder}: no synthetic.parquet; run `make decode RUN={folder}` first")
        for kind in TABLES:
            if (folder / f"{kind}.parquet").exists():
                rows[f"{name}, {'raw' if kind == TABLES[0] else kind}"] = pd.read_parquet(folder / f"{kind}.parquet")
        # One more row says what the codec of the run costs by itself.
        if (folder / "images" / "spec.json").exists():
            fresh = real[real["split"] == "C"]
            rows[f"{name}, its codec alone on fresh trips"] = pass_through_codec(folder, fresh, seed)
    return rows


def keep_known_ends(title: str, trips: pd.DataFrame) -> pd.DataFrame:
    """Return the trips between stations that exist, and print how many others there are.

    TabularARGN masks rare values, which gives trips to no station.
    """
    is_known = trips[["start_lat", "end_lat"]].notna().all(axis=1)
    if not is_known.all():
        print(f"{title}: {(~is_known).sum()} of {len(trips)} rows are left out, at no station of the real trips\n")
    return trips[is_known]


def _read_file_rows(pairs: list[str]) -> dict[str, pd.DataFrame]:
    """Read the synthetic trips of NAME=FILE texts."""
    from rasterize.ingest.ingest import read_trips

    return {name: read_trips([path]) for name, path in parse_pairs("--row", pairs).items()}


def _measure_rows(real: pd.DataFrame, rows: dict[str, pd.DataFrame], rows_cap: int, seed: int) -> dict[str, Any]:
    """Measure every row. Fresh real trips get a row of their own: they are the ceiling of each metric."""
    # One call measures all rows, so that all meet the same random cuts and classifiers.
    first, *others = rows
    figures = measure_tables(
        real, rows[first], others={name: rows[name] for name in others}, seed=seed, rows_cap=rows_cap
    ).figures
    # Turn the figures round: metrics by row.
    table = {"fresh real trips": {name: figure["ceiling"] for name, figure in figures["metrics"].items()}}
    for name in rows:
        table[name] = {
            metric: figure["value"] if name == first else figure["others"][name]
            for metric, figure in figures["metrics"].items()
        }
    floor = {name: figure["floor"] for name, figure in figures["metrics"].items()}
    return {key: figures[key] for key in ("n", "seed", "columns", "absent")} | {"rows": table, "floor": floor}


def format_figures(figures: dict[str, Any]) -> str:
    """Return the figures of every row in Markdown."""
    lines = [f"| | {' | '.join(COLUMNS.values())} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name, values in figures["rows"].items():
        cells = [_format_cell(metric, values[metric]) for metric in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _format_cell(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    return format_short(value, 4 if metric in ("hour_of_week_jsd", "ims") else 3)


if __name__ == "__main__":
    exit_on_input_error(app)
