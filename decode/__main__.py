"""`python -m decode`: generated images → synthetic trips; some are chosen, all are judged."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rasterize.errors import InputError, exit_on_input_error

if TYPE_CHECKING:
    import pandas as pd

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)

Seed = Annotated[int, typer.Option(help="Of everything drawn by chance.")]
Dialect = Annotated[str, typer.Option(help="Of the CSV: 'source' is that of the input file, 'internal' our own names.")]
Routes = Annotated[
    Path | None,
    typer.Option(
        help="Known routes, for strokes that bend: lines (GeoParquet, GeoJSON) or a table of trips (Parquet)."
    ),
]


@app.callback()
def main(
    context: typer.Context,
    run: Annotated[Path, typer.Option(help="Run folder; reads its fakes/.")] = Path("runs/default"),
    dialect: Dialect = "source",
    routes: Routes = None,
    ranks: Annotated[
        str,
        typer.Option(
            help="How calibrated.csv puts painted durations and birth years right: drawn as in training trips alike, "
            "the generator has no say in them; spread as there, in the order painted; painted: no such file.",
            rich_help_panel="Calibration",
        ),
    ] = "drawn",
    workers: Annotated[
        int | None, typer.Option(help="Decode in so many processes.", rich_help_panel="Machines")
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Decode on the workers of this Dask scheduler, HOST:PORT.", rich_help_panel="Machines"),
    ] = None,
    seed: Seed = 0,
) -> None:
    """Decode the generated images of a run into synthetic trips.

    Writes synthetic.csv (exactly the columns, types, date format and value
    spellings of the input file), synthetic.parquet (internal names, with the
    confidence of each trip), calibrated.csv and .parquet (--ranks),
    strokes.parquet (GeoParquet) and decode.json.
    """
    if context.invoked_subcommand is None:
        from decode.run import decode_run

        done = decode_run(
            run,
            dialect=dialect,
            route_file=routes,
            ranks=ranks,
            workers=workers,
            scheduler=scheduler,
            seed=seed,
        )
        typer.echo(done)


@app.command("choose")
def choose_command(
    rows: Annotated[int, typer.Option(help="How many trips are chosen; decode ten to twenty times as many.")],
    run: Annotated[Path, typer.Option(help="Run folder; reads what `python -m decode --run RUN` made.")] = Path(
        "runs/default"
    ),
    dialect: Dialect = "source",
    seed: Seed = 0,
) -> None:
    """Choose trips so that stations and labels are as frequent as in training.

    Those that a D takes for real, if it has judged them (python -m pgan judge),
    come first. Writes chosen.csv and chosen.parquet.
    """
    from decode.selection import choose_run

    typer.echo(choose_run(run, rows=rows, dialect=dialect, seed=seed))


@app.command("compare")
def compare_command(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="[REAL] SYNTHETIC",
            help="Real trips (a run's trips.parquet knows its split; left out with --train), then synthetic ones: "
            "file, glob or folder.",
        ),
    ],
    train: Annotated[Path | None, typer.Option(help="Real trips that trained.", rich_help_panel="Three files")] = None,
    holdout: Annotated[
        Path | None, typer.Option(help="Real trips held out, that judge.", rich_help_panel="Three files")
    ] = None,
    fresh: Annotated[
        Path | None, typer.Option(help="More real trips, that show the ceiling.", rich_help_panel="Three files")
    ] = None,
    also: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FILE",
            help="More synthetic trips, judged beside the first as RUN/calibrated.parquet is; charts show the last; "
            "repeat.",
        ),
    ] = None,
    run: Annotated[Path | None, typer.Option(help="Run folder whose pictures and settings the report shows.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for index.html and metrics.json; default RUN/report, or report if there is no RUN."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the figures to this file, and no report.")] = None,
    rows: Annotated[int, typer.Option(help="Cut every table to so many trips at most; figures depend on it.")] = 20_000,
    seed: Seed = 0,
) -> None:
    """Judge synthetic trips against real ones: metrics.json and one self-contained HTML report."""
    from decode.evaluate.judge import FEWEST_ROWS, compare, judge
    from rasterize.files import write_json
    from rasterize.ingest.ingest import read_trips

    if rows < FEWEST_ROWS:
        raise InputError(f"--rows {rows}: a comparison needs at least {FEWEST_ROWS}")
    if json and (out or run):
        raise InputError("--json writes the figures alone: leave out --out and --run, or --json")
    real, synthetic = _real_and_synthetic(tables, {"train": train, "holdout": holdout, "fresh": fresh})
    more = {**_beside_raw(run, tables[-1]), **dict(name_and_file("--also", pair) for pair in also or [])}
    others = {name: read_trips([path]) for name, path in more.items()}
    options = {"others": others, "seed": seed, "rows_cap": rows}
    if json:
        figures = judge(real, synthetic, **options).figures
        write_json(json, figures)
    else:
        out = out or (run / "report" if run else Path("report"))
        figures = compare(real, synthetic, out, run=run, **options)
    typer.echo(summary(figures))
    typer.echo(f"figures: {json}" if json else f"report: {out / 'index.html'}")


def _real_and_synthetic(tables: list[str], thirds: dict[str, Path | None]) -> "tuple[pd.DataFrame, pd.DataFrame]":
    """The real trips, from one file or from three, and the synthetic ones."""
    from decode.evaluate.judge import THIRDS, join_thirds
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


def _beside_raw(run: Path | None, judged: str) -> dict[str, str]:
    """The calibrated and the chosen trips of a run, shown beside its raw ones without being asked for."""
    from decode.run import TABLES

    paths = {name: run / f"{name}.parquet" for name in TABLES[1:]} if run else {}
    return {n: str(path) for n, path in paths.items() if path.exists() and path.resolve() != Path(judged).resolve()}


def name_and_file(option: str, pair: str) -> tuple[str, str]:
    """NAME=FILE of an option → both; raises `InputError` on anything else."""
    name, equals, path = pair.partition("=")
    if not (name and equals and path):
        raise InputError(f"{option} {pair}: expected NAME=FILE")
    return name, path


def summary(figures: dict) -> str:
    """The main figures as aligned lines: value, those of other synthetic trips, ceiling, floor."""
    columns = ["synthetic", *figures["others"], "ceiling", "floor"]
    lines = [f"{'':24}" + "".join(f"{column[:11]:>12}" for column in columns)]
    for name, figure in figures["metrics"].items():
        numbers = [figure["value"], *figure["others"].values(), figure["ceiling"], figure["floor"]]
        lines.append(f"{name:24}" + "".join(f"{'–' if n is None else format(n, '.4f'):>12}" for n in numbers))
    return "\n".join(lines)


@app.command("roundtrip")
def roundtrip_command(
    trips: Annotated[list[str], typer.Argument(help="Files, globs or folders.")],
    resolution: Annotated[str, typer.Option(help="Side in pixels, or ROWSxCOLUMNS.")] = "64",
    trips_per_image: Annotated[int, typer.Option("--trips-per-image", "-k")] = 16,
    count: Annotated[int, typer.Option("--trips", help="How many random trips to draw.")] = 20_000,
    mode: Annotated[str, typer.Option(help="abod or grey.")] = "abod",
    layout: Annotated[str, typer.Option(help="map or lattice.")] = "map",
    noise: Annotated[
        str, typer.Option(help="none, mild or medium: how a generator would spoil the images; the decoder is not told.")
    ] = "none",
    lost: Annotated[float, typer.Option(help="Share of end blobs to leave out.")] = 0.0,
    routes: Routes = None,
    json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
    seed: Seed = 0,
) -> None:
    """Test the codec without a GAN: trips → images → trips, precision and recall of directed pairs of places."""
    from dataclasses import replace
    from json import dumps

    from decode.roundtrip import roundtrip_files
    from decode.solver.degradation import DEGRADATIONS
    from rasterize.__main__ import parse_resolution

    if count < 1:
        raise InputError(f"--trips {count}: give at least 1")
    if noise not in DEGRADATIONS:
        raise InputError(f"--noise {noise}: give one of {', '.join(DEGRADATIONS)}")
    if not 0 <= lost < 1:
        raise InputError(f"--lost {lost}: give a share from 0 to less than 1")
    figures = roundtrip_files(
        trips,
        shape=parse_resolution(resolution),
        trips=count,
        trips_per_image=trips_per_image,
        mode=mode,
        layout=layout,
        degradation=replace(DEGRADATIONS[noise], lost=lost),
        routes=routes,
        seed=seed,
    )
    typer.echo(dumps(figures, indent=1) if json else "\n".join(f"{name:24}{value}" for name, value in figures.items()))


if __name__ == "__main__":
    exit_on_input_error(app)
