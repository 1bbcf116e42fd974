"""`python -m decode`: generated images → synthetic trips; some are chosen, all are measured."""

from json import dumps
from pathlib import Path
from typing import Annotated, Any

import typer

from decode.options import CompareOptions, DecodeOptions, RoundtripOptions
from rasterize.errors import InputError, exit_on_input_error
from rasterize.flags import (
    DEFAULT_RUN,
    RunOption,
    SchedulerOption,
    SeedOption,
    VersionOption,
    WorkersOption,
    make_options,
    with_setting_flags,
)

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, invoke_without_command=True)
STANDARD_OUTPUT = Path("-")


@app.callback()
@with_setting_flags(DecodeOptions)
def _main(
    context: typer.Context,
    *,
    run: RunOption = DEFAULT_RUN,
    seed: SeedOption = 0,
    workers: WorkersOption = None,
    scheduler: SchedulerOption = None,
    version: VersionOption = False,
    changes: dict[str, Any],
) -> None:
    """Decode the generated images of a run into synthetic trips.

    Writes synthetic.csv and synthetic.parquet. The CSV has exactly the columns,
    types, date format and value spellings of the input file. The parquet file
    has internal names and the confidence of each trip. Writes calibrated.csv
    and .parquet (--ranks), strokes.parquet (GeoParquet) and decode.json, too.
    """
    if context.invoked_subcommand is None:
        from decode.run import decode_run, describe

        options = make_options(DecodeOptions, changes)
        decoded = decode_run(run, options, workers=workers, scheduler=scheduler, seed=seed)
        typer.echo(describe(decoded, run))


@app.command("choose")
def _choose(
    rows: Annotated[int, typer.Option(help="How many trips are chosen; decode ten to twenty times as many.")],
    run: RunOption = DEFAULT_RUN,
    dialect: Annotated[str, typer.Option(help="Columns of the CSV: 'source' or 'internal'.")] = DecodeOptions.dialect,
    seed: SeedOption = 0,
) -> None:
    """Choose trips so that stations and labels are as frequent as in training.

    Those that a discriminator takes for real come first, if a jury has judged
    them (python -m pgan judge). Writes chosen.csv and chosen.parquet.
    """
    from decode.selection import select_run

    typer.echo(select_run(run, rows=rows, dialect=dialect, seed=seed))


@app.command("compare")
@with_setting_flags(CompareOptions)
def _compare(
    tables: Annotated[
        list[str],
        typer.Argument(
            metavar="[REAL] SYNTHETIC",
            help="Real trips (a run's trips.parquet knows its split; left out with --train), then synthetic ones: "
            "file, glob or folder.",
        ),
    ],
    *,
    run: Annotated[Path | None, typer.Option(help="Run folder whose pictures and settings the report shows.")] = None,
    seed: SeedOption = 0,
    changes: dict[str, Any],
) -> None:
    """Measure synthetic trips against real ones: metrics.json and one self-contained HTML report."""
    options = make_options(CompareOptions, changes)
    if options.json and (options.out or run):
        raise InputError("--json writes the figures alone: leave out --out and --run, or --json")
    from decode.evaluate.run import compare_files, summarise

    figures, report = compare_files(tables, options, run=run, seed=seed)
    if options.json:
        write_figures(options.json, figures)
    if options.json != STANDARD_OUTPUT:
        typer.echo(summarise(figures))
        typer.echo(f"figures: {options.json}" if options.json else f"report: {report}")


@app.command("roundtrip")
@with_setting_flags(RoundtripOptions)
def _roundtrip(
    trips: Annotated[list[str], typer.Argument(help="Files, globs or folders.")],
    *,
    seed: SeedOption = 0,
    changes: dict[str, Any],
) -> None:
    """Test the codec without a GAN: trips → images → trips, precision and recall of directed pairs of places."""
    options = make_options(RoundtripOptions, changes)
    from decode.roundtrip import roundtrip_files

    figures = roundtrip_files(trips, options, seed=seed)
    if options.json:
        write_figures(options.json, figures)
    if options.json != STANDARD_OUTPUT:
        typer.echo("\n".join(f"{name:24}{value}" for name, value in figures.items()))


def write_figures(path: Path, figures: dict[str, Any]) -> None:
    """Write figures as JSON to a file, or to standard output for `-`."""
    from rasterize.files import write_json

    if path == STANDARD_OUTPUT:
        typer.echo(dumps(figures, indent=1))
    else:
        write_json(path, figures)


if __name__ == "__main__":
    exit_on_input_error(app)
