"""`python -m decode`: generated images → synthetic trips; some are chosen, all are judged."""

from pathlib import Path
from typing import Annotated

import typer

from rasterize.errors import InputError, exit_on_input_error
from rasterize.flags import name_and_file

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
            rich_help_panel="ConfidenceCurve",
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
    from decode.selection import select_run

    typer.echo(select_run(run, rows=rows, dialect=dialect, seed=seed))


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
        Path | None, typer.Option(help="Real trips held out, that measure_tables.", rich_help_panel="Three files")
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
    from decode.evaluate.measure import FEWEST_ROWS, measure_tables
    from decode.evaluate.run import compare, read_sides, summarise, tables_beside_raw
    from rasterize.files import write_json
    from rasterize.ingest.ingest import read_trips

    if rows < FEWEST_ROWS:
        raise InputError(f"--rows {rows}: a comparison needs at least {FEWEST_ROWS}")
    if json and (out or run):
        raise InputError("--json writes the figures alone: leave out --out and --run, or --json")
    real, synthetic = read_sides(tables, {"train": train, "holdout": holdout, "fresh": fresh})
    more = {**tables_beside_raw(run, tables[-1]), **dict(name_and_file("--also", pair) for pair in also or [])}
    others = {name: read_trips([path]) for name, path in more.items()}
    options = {"others": others, "seed": seed, "rows_cap": rows}
    if json:
        figures = measure_tables(real, synthetic, **options).figures
        write_json(json, figures)
    else:
        out = out or (run / "report" if run else Path("report"))
        figures = compare(real, synthetic, out, run=run, **options)
    typer.echo(summarise(figures))
    typer.echo(f"figures: {json}" if json else f"report: {out / 'index.html'}")


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
    from rasterize.flags import parse_resolution

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
