"""`python -m rasterize`: trip files → a run folder with clean trips, stations and an image set."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rasterize.errors import InputError, exit_on_input_error
from rasterize.flags import parse_pairs, parse_resolution

if TYPE_CHECKING:
    from rasterize.run import Rastered

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

READING, CLEANING, DRAWING, MACHINES = "Reading", "Cleaning", "Drawing", "Machines"
Trips = Annotated[
    list[str] | None,
    typer.Argument(help="Files, globs or folders: .csv, .csv.gz, .zip, .parquet.", show_default=False),
]
Run = Annotated[Path, typer.Option(help="Run folder to write to.")]
Seed = Annotated[int, typer.Option(help="Of the split, of grouping, of the simulated city.")]
TimeZone = Annotated[
    str | None,
    typer.Option(help="Wall clock for times in UTC or with an offset, e.g. America/New_York.", rich_help_panel=READING),
]
Column = Annotated[
    list[str] | None,
    typer.Option(help="INTERNAL=HEADER for a file of no known dialect; repeat.", rich_help_panel=READING),
]
Stations = Annotated[
    Path | None,
    typer.Option(help="Station coordinates: GBFS station_information, GeoJSON or CSV.", rich_help_panel=READING),
]
DialectName = Annotated[
    str | None, typer.Option(help="Name of the dialect, when the header does not tell.", rich_help_panel=READING)
]


@app.command()
def main(
    trips: Trips = None,
    run: Run = Path("runs/default"),
    simulate: Annotated[
        Path | None, typer.Option(help="Write trips of the simulated city to this CSV file, and stop.")
    ] = None,
    resolution: Annotated[
        str, typer.Option(help="Side in pixels, ROWSxCOLUMNS, or auto.", rich_help_panel=DRAWING)
    ] = "32",
    endpoint_error: Annotated[
        float,
        typer.Option(
            help="Of ends a generator paints, px; auto resolution keeps stations apart by 6.", rich_help_panel=DRAWING
        ),
    ] = 0.35,
    trips_per_image: Annotated[
        int | None,
        typer.Option(
            "--trips-per-image",
            "-k",
            help="How many share an image.",
            show_default="4; 1 where trips have waypoints",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    mode: Annotated[
        str, typer.Option(help="abod keeps direction; grey is the original idea.", rich_help_panel=DRAWING)
    ] = "abod",
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            help="How a column enters: NAME=factor, linear, quantile, conditional, cyclic, category or off; repeat.",
            rich_help_panel=DRAWING,
        ),
    ] = None,
    stroke_sigma: Annotated[
        float, typer.Option(help="Width of strokes, a Gaussian's standard deviation in px.", rich_help_panel=DRAWING)
    ] = 0.0,
    layout: Annotated[
        str,
        typer.Option(
            help="map, or lattice: stations on an even grid, of which few pixels hold many.", rich_help_panel=DRAWING
        ),
    ] = "map",
    merge_px: Annotated[
        float, typer.Option(help="Stations closer than this become one place.", rich_help_panel=DRAWING)
    ] = 1.0,
    store_mb: Annotated[
        int, typer.Option(help="Write images.npy too if it is no larger than this.", rich_help_panel=DRAWING)
    ] = 256,
    seed: Seed = 0,
    column: Column = None,
    stations: Stations = None,
    dialect: DialectName = None,
    time_zone: TimeZone = None,
    train_share: Annotated[
        float, typer.Option(help="Of the trips; the rest judges.", show_default="1/3", rich_help_panel=READING)
    ] = 1 / 3,
    snap_m: Annotated[
        float, typer.Option(help="A free-floating end this near to a station is there.", rich_help_panel=READING)
    ] = 150.0,
    cell_px: Annotated[int, typer.Option(help="Grid cell for other free-floating ends.", rich_help_panel=READING)] = 2,
    min_duration: Annotated[float, typer.Option(help="Drop shorter trips; seconds.", rich_help_panel=CLEANING)] = 60.0,
    max_duration: Annotated[
        float, typer.Option(help="Drop longer trips; seconds.", rich_help_panel=CLEANING)
    ] = 10_800.0,
    min_uses: Annotated[int, typer.Option(help="Drop stations used less often.", rich_help_panel=CLEANING)] = 2,
    depot_names: Annotated[
        str | None,
        typer.Option(help="Drop stations so named; regular expression, '' drops none.", rich_help_panel=CLEANING),
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Read files in so many processes.", rich_help_panel=MACHINES)
    ] = None,
    scheduler: Annotated[
        str | None,
        typer.Option(help="Read files on the workers of this Dask scheduler, HOST:PORT.", rich_help_panel=MACHINES),
    ] = None,
) -> None:
    """Turn trip files into a run folder: clean trips, stations, and pictures of the trips.

    Writes trips.parquet, stations.parquet, rejects.json, raster.json and
    images/ (spec.json last). Trips are split at random: a third trains,
    the rest judges the result (--train-share).
    """
    if simulate:
        from rasterize.simulated_city import write_city

        write_city(simulate, seed=seed)
        typer.echo(f"wrote trips of a simulated city to {simulate}")
        return

    from rasterize.ingest.options import DEPOT_NAMES, CleanOptions, IngestOptions, StopOptions
    from rasterize.run import raster
    from rasterize.strokes.options import RasterOptions

    height, width = parse_resolution(resolution)
    clean = CleanOptions(
        min_duration_s=min_duration,
        max_duration_s=max_duration,
        depot_names=DEPOT_NAMES if depot_names is None else depot_names,
    )
    ingest_options = IngestOptions(
        clean=clean,
        stops=StopOptions(
            height=height,
            width=width,
            endpoint_error_px=endpoint_error,
            snap_m=snap_m,
            cell_px=cell_px,
            min_uses=min_uses,
        ),
        time_zone=time_zone,
        columns=parse_pairs("--column", column),
        stations=stations,
        dialect=dialect,
        train_share=train_share,
        seed=seed,
    )
    options = RasterOptions(
        trips_per_image=trips_per_image,
        mode=mode,
        stroke_sigma_px=stroke_sigma,
        layout=layout,
        merge_px=merge_px,
        attributes=parse_pairs("--attribute", attribute),
        store_mb=store_mb,
        seed=seed,
    )
    if not trips:
        raise InputError("no trip files given; name files, globs or folders, or make some: --simulate FILE")
    made = raster(trips, run, ingest_options=ingest_options, options=options, workers=workers, scheduler=scheduler)
    print_summary(made, run)


def print_summary(made: "Rastered", run: Path) -> None:
    """Say what became of the rows, and where the pictures are."""
    from rich.console import Console
    from rich.table import Table

    rejects, images = made.ingested.rejects, made.images
    table = Table("rows", "", title=f"{rejects['rows']:,} rows read", title_justify="left")
    table.columns[0].justify = "right"
    for reason, count in sorted(rejects["rejected"].items(), key=lambda item: -item[1]):
        table.add_row(f"{count:,}", reason)
    table.add_row(f"{rejects['kept']:,}", "kept", style="bold")
    console = Console()
    console.print(table)
    channels, height, width = images.shape
    if made.ingested.resolution_reason:
        console.print(f"resolution {made.ingested.resolution_reason}")
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
