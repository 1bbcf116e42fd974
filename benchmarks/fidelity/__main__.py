"""`python -m benchmarks.fidelity`: one split of Jersey City, every generator, one judge, one table."""

from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from benchmarks.fidelity.codec import fresh_through_codec
from benchmarks.fidelity.external import EXTERNALS, external_rivals, fit, install, version_in
from benchmarks.fidelity.ours import make_ours
from benchmarks.fidelity.rivals import RIVALS
from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER, trip_set
from benchmarks.fidelity.split import (
    check_same_split,
    split_trips,
    to_trips,
    training_table,
)
from benchmarks.measure import print_heading, short
from decode.evaluate.measure import measure_tables
from decode.run import TABLES
from rasterize.errors import InputError, exit_on_input_error
from rasterize.files import write_json
from rasterize.flags import name_and_file

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

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
    """Judge every generator on the same thirds of the same trips, and print one table."""
    chosen, wanted = trip_set(trips), external_rivals(external or [])
    files, folder = chosen.files(data), work / trips / f"seed-{seed}"
    real = split_trips(files, folder, seed)
    train, places = training_table(real)
    judged = min(len(train), chosen.most_judged)
    runs = list(run or [])
    if ours:
        spent = make_ours(files, folder / "ours", chosen.recipe, rows=judged, seed=seed)
        print(f"ours: {', '.join(f'{name} {seconds / 60:.1f}' for name, seconds in spent.items())} minutes\n")
        runs.insert(0, f"ours={folder / 'ours'}")
    rows = {**_our_rows(runs, real, files, seed), **_file_rows(row or [])}
    for name, synthesise in RIVALS.items():
        rows[name] = to_trips(synthesise(train, places, np.random.default_rng(seed)), places)
    for name, rival in wanted.items():
        python = install(work / "environment")
        title = f"{rival.title} ({rival.package} {version_in(python, rival.package)})"
        rows[title] = known_ends(title, to_trips(fit(python, name, train, folder, seed=seed), places))
    figures = _measure_rows(real, rows, judged, seed)
    write_json(folder / "figures.json", figures)
    print_heading("numpy", "pandas", "scikit-learn", "scipy")
    print(f"{figures['n']:,} trips in every table, seed {seed}; columns {', '.join(figures['columns'])}\n")
    print(table(figures))
    if unmeasured := [rival.title for name, rival in EXTERNALS.items() if name not in wanted]:
        print(f"\nnot measured: {', '.join(unmeasured)}; --external fits them")
    print(f"\nall figures: {folder / 'figures.json'}")


def _our_rows(runs: list[str], real: pd.DataFrame, files: list[Path], seed: int) -> dict[str, pd.DataFrame]:
    """Synthetic trips of run folders, raw and, where there are, calibrated and chosen."""
    rows = {}
    for text in runs:
        name, equals, path = text.partition("=")
        folder, name = (Path(path), name) if equals else (Path(text), "PGAN Trips")
        check_same_split(real, folder, files, seed)
        if not (folder / "synthetic.parquet").exists():
            raise InputError(f"{folder}: no synthetic.parquet; run `make decode RUN={folder}` first")
        for kind in TABLES:
            if (folder / f"{kind}.parquet").exists():
                rows[f"{name}, {'raw' if kind == TABLES[0] else kind}"] = pd.read_parquet(folder / f"{kind}.parquet")
        if (folder / "images" / "spec.json").exists():
            fresh = real[real["split"] == "C"]
            rows[f"{name}, its codec alone on fresh trips"] = fresh_through_codec(folder, fresh, seed)
    return rows


def known_ends(title: str, trips: pd.DataFrame) -> pd.DataFrame:
    """The trips between stations that there are; says how many are not (TabularARGN masks values that are rare)."""
    known = trips[["start_lat", "end_lat"]].notna().all(axis=1)
    if not known.all():
        print(f"{title}: {(~known).sum()} of {len(trips)} rows are left out, at no station of the real trips\n")
    return trips[known]


def _file_rows(pairs: list[str]) -> dict[str, pd.DataFrame]:
    from rasterize.ingest.ingest import read_trips

    return {name: read_trips([path]) for name, path in (name_and_file("--row", pair) for pair in pairs)}


def _measure_rows(real: pd.DataFrame, rows: dict[str, pd.DataFrame], judged: int, seed: int) -> dict[str, Any]:
    """Figures of every row; the first of `measure_tables` is fresh real trips, which are its ceiling too."""
    first, *others = rows
    figures = measure_tables(
        real, rows[first], others={name: rows[name] for name in others}, seed=seed, rows_cap=judged
    ).figures
    measured = {first: "value"}
    table = {"fresh real trips": {name: figure["ceiling"] for name, figure in figures["metrics"].items()}}
    for name in rows:
        table[name] = {
            metric: figure["value"] if name in measured else figure["others"][name]
            for metric, figure in figures["metrics"].items()
        }
    floor = {name: figure["floor"] for name, figure in figures["metrics"].items()}
    return {key: figures[key] for key in ("n", "seed", "columns", "absent")} | {"rows": table, "floor": floor}


def table(figures: dict[str, Any]) -> str:
    """The figures of every row in Markdown."""
    lines = [f"| | {' | '.join(COLUMNS.values())} |", f"|---|{'---:|' * len(COLUMNS)}"]
    for name, values in figures["rows"].items():
        cells = [_cell(metric, values[metric]) for metric in COLUMNS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _cell(metric: str, value: float | None) -> str:
    if value is None:
        return "–"
    return short(value, 4 if metric in ("hour_of_week_jsd", "ims") else 3)


if __name__ == "__main__":
    exit_on_input_error(app)
