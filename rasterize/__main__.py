"""`python -m rasterize`: trip files → a run folder with clean trips, stations and an image set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rasterize.errors import InputError, exit_on_input_error
from rasterize.flags import (
    DEFAULT_RUN,
    RunOption,
    SchedulerOption,
    SeedOption,
    VersionOption,
    WorkersOption,
    with_setting_flags,
)
from rasterize.ingest.options import CleanOptions, IngestOptions, StopOptions
from rasterize.strokes.options import RasterOptions

if TYPE_CHECKING:
    from rasterize.run import Rastered

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
SETTINGS = (RasterOptions, StopOptions, IngestOptions, CleanOptions)


@app.command()
@with_setting_flags(*SETTINGS)
def _main(
    trips: Annotated[
        list[str] | None,
        typer.Argument(help="Files, globs or folders: .csv, .csv.gz, .zip, .parquet.", show_default=False),
    ] = None,
    *,
    run: RunOption = DEFAULT_RUN,
    simulate: Annotated[
        Path | None, typer.Option(help="Write trips of the simulated city to this CSV file, and stop.")
    ] = None,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    version: VersionOption = False,
    changes: dict[str, Any],
) -> None:
    """Turn trip files into a run folder: clean trips, stations, and pictures of the trips.

    Writes trips.parquet, stations.parquet, rejects.json, raster.json and
    images/ (spec.json last). Trips are split at random: a third trains,
    the rest measures the result (--train-share).
    """
    if simulate:
        from rasterize.simulated_city import write_city

        write_city(simulate, seed=seed)
        typer.echo(f"wrote trips of a simulated city to {simulate}")
        return
    if not trips:
        raise InputError("no trip files given; name files, globs or folders, or make some: --simulate FILE")
    from rasterize.run import make_stage_options, raster

    ingest_options, options = make_stage_options(changes, seed=seed)
    made = raster(trips, run, ingest_options=ingest_options, options=options, workers=workers, scheduler=scheduler)
    print_summary(made, run)


def print_summary(made: "Rastered", run: Path) -> None:
    """Print what became of the rows, and where the pictures are."""
    from rich.console import Console
    from rich.table import Table

    rejects, images, console = made.ingested.rejects, made.images, Console()
    table = Table("rows", "", title=f"{rejects['rows']:,} rows read", title_justify="left")
    table.columns[0].justify = "right"
    for reason, count in sorted(rejects["rejected"].items(), key=lambda item: -item[1]):
        table.add_row(f"{count:,}", reason)
    table.add_row(f"{rejects['kept']:,}", "kept", style="bold")
    console.print(table)
    console.print(f"speed limit: {made.ingested.source['speed_limit_kmh']:g} km/h on the straight line")
    if made.ingested.resolution_reason:
        console.print(f"resolution {made.ingested.resolution_reason}")
    channels, height, width = images.shape
    console.print(
        f"{len(images):,} training images of {height} × {width} px and {channels} channels "
        f"({', '.join(images.spec.plane_names)}), {images.spec.trips_per_image} trip(s) each, "
        f"between {len(images.spec.places)} places, {images.spec.frame.metres_per_pixel:.0f} m to the pixel"
    )
    if images.factors:
        console.print(f"labels: {', '.join(f'{factor.name} ({len(factor.values)})' for factor in images.factors)}")
    if not made.stored:
        console.print("images.npy would be large and was not written; images are drawn from strokes.npz when needed")
    console.print(f"look at {run / 'images' / 'contact_sheet.png'} and {run / 'images' / 'density.png'}")


if __name__ == "__main__":
    exit_on_input_error(app)
