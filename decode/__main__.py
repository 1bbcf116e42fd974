"""`python -m decode`: generated images → synthetic trips; `compare` judges them, `roundtrip` tests the codec alone."""

from pathlib import Path
from typing import Annotated

import typer

from rasterize.errors import InputError, exit_on_input_error

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)

Seed = Annotated[int, typer.Option(help="Of everything drawn by chance.")]
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
    dialect: Annotated[
        str, typer.Option(help="Of synthetic.csv: 'source' is that of the input file, 'internal' our own names.")
    ] = "source",
    routes: Routes = None,
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
    confidence of each trip), strokes.parquet (GeoParquet) and decode.json.
    """
    if context.invoked_subcommand is None:
        from decode.run import decode_run

        typer.echo(decode_run(run, dialect=dialect, route_file=routes, workers=workers, scheduler=scheduler, seed=seed))


@app.command("compare")
def compare_command(
    real: Annotated[
        str, typer.Argument(help="Real trips: file, glob or folder; a run's trips.parquet knows its split.")
    ],
    synthetic: Annotated[str, typer.Argument(help="Synthetic trips: synthetic.parquet, or any known dialect.")],
    run: Annotated[Path | None, typer.Option(help="Run folder whose pictures and settings the report shows.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder for index.html and metrics.json; default RUN/report.")
    ] = None,
    seed: Seed = 0,
) -> None:
    """Judge synthetic trips against real ones: metrics.json and one self-contained HTML report."""
    from decode.compare import compare
    from rasterize.read import read_trips

    out = out or (run / "report" if run else Path("report"))
    figures = compare(read_trips([real]), read_trips([synthetic]), out, run=run, seed=seed)
    typer.echo(summary(figures))
    typer.echo(f"report: {out / 'index.html'}")


def summary(figures: dict) -> str:
    """The main figures as aligned lines: value, ceiling, floor."""
    lines = [f"{'':24}{'synthetic':>10}{'ceiling':>10}{'floor':>10}"]
    for name, figure in figures["metrics"].items():
        numbers = [figure.get(key) for key in ("value", "ceiling", "floor")]
        lines.append(f"{name:24}" + "".join(f"{'–' if n is None else format(n, '.4f'):>10}" for n in numbers))
    return "\n".join(lines)


@app.command("roundtrip")
def roundtrip_command(
    trips: Annotated[list[str], typer.Argument(help="Files, globs or folders.")],
    resolution: Annotated[str, typer.Option(help="Side in pixels, or ROWSxCOLUMNS.")] = "64",
    trips_per_image: Annotated[int, typer.Option("--trips-per-image", "-k")] = 16,
    count: Annotated[int, typer.Option("--trips", help="How many random trips to draw.")] = 20_000,
    mode: Annotated[str, typer.Option(help="abod or grey.")] = "abod",
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

    from decode.degradation import DEGRADATIONS
    from decode.roundtrip import roundtrip_files
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
        degradation=replace(DEGRADATIONS[noise], lost=lost),
        routes=routes,
        seed=seed,
    )
    typer.echo(dumps(figures, indent=1) if json else "\n".join(f"{name:24}{value}" for name, value in figures.items()))


if __name__ == "__main__":
    exit_on_input_error(app)
