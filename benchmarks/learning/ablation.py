"""What the design leaves open, one change at a time, at equal training time: drawing, labels, networks, averaging."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER
from benchmarks.learning.coverage import measure_all
from benchmarks.learning.variants import Columns, Terms, Variant, format_table
from benchmarks.measure import format_short
from decode.evaluate.measure import measure_tables
from rasterize.errors import InputError, exit_on_input_error
from rasterize.files import write_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

BASE = "base"
# The base stays as it was when the variants were measured (docs/experiments.md), whatever the preset becomes.
SETTINGS = {"loss": "rpgan-r1-r2", "first_kimg": 10.0, "hold_kimg": 10.0}
ATTRIBUTE = "attribute"


def _change_base(name: str, *, raster: tuple[tuple[str, str], ...] = (), **settings: Any) -> Variant:
    """Return the base with these options and settings changed."""
    return Variant(name=name, raster=raster, settings=tuple(settings.items()))


# One change each; those at 32 px also vary the layout and the trips per image.
VARIANTS = (
    _change_base(BASE),
    _change_base("1 trip per image", raster=(("trips-per-image", "1"),)),
    _change_base("16 trips per image", raster=(("trips-per-image", "16"),)),
    _change_base("32 px", raster=(("resolution", "32"),)),
    _change_base("32 px, stations where they are", raster=(("resolution", "32"), ("layout", "map"))),
    _change_base(
        "32 px, stations where they are, 1 trip per image",
        raster=(("resolution", "32"), ("layout", "map"), ("trips-per-image", "1")),
    ),
    _change_base("strokes of sigma 0.7 px", raster=(("stroke-sigma", "0.7"),)),
    _change_base("grey, without direction", raster=(("mode", "grey"),)),
    _change_base("hour painted, not a label", raster=((ATTRIBUTE, "hour=off"), (ATTRIBUTE, "time_of_day=cyclic"))),
    _change_base(
        "user type and gender painted", raster=((ATTRIBUTE, "user_type=category"), (ATTRIBUTE, "gender=category"))
    ),
    _change_base(
        "ranks among all trips", raster=((ATTRIBUTE, "duration_s=quantile"), (ATTRIBUTE, "birth_year=quantile"))
    ),
    _change_base("latent of 16", latent_size=16),
    _change_base("latent of 256", latent_size=256),
    _change_base("averaged generator, half-life 0.5 kimg", ema_half_life_kimg=0.5),
    _change_base("averaged generator, half-life 8 kimg", ema_half_life_kimg=8.0),
    _change_base("loss ns-r1", loss="ns-r1"),
    _change_base("packs of 2", pack=2),
)
# Figure -> title of its column, and how it is written.
COLUMNS: Columns = {
    "reached_by_trips": ("trips on pairs reached", format_short),
    "od_cpc": ("OD CPC", format_short),
    "start_hour_jsd": ("start×hour JSD", format_short),
    "bivariate_accuracy": ("biv. acc.", format_short),
    "c2st_auc": ("C2ST AUC", format_short),
    "tstr_duration_r2": ("duration R²", format_short),
    "tstr_user_type_auc": ("user-type AUC", format_short),
    "kimg": ("kimg shown", lambda kimg: f"{kimg:.0f}"),
}


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds citibike-jc/.")] = SHARED_DATA,
    work: Annotated[Path, typer.Option(help="Folder for the runs and the figures.")] = Path("runs/ablation"),
    variant: Annotated[list[str] | None, typer.Option(help="Only these, by name; repeat.")] = None,
    minutes: Annotated[float, typer.Option(help="CPU time of each variant's training steps.")] = 4.0,
    seed: Annotated[list[int] | None, typer.Option(help="Of the split and all else; repeat.", show_default="0")] = None,
    jobs: Annotated[int, typer.Option(min=1, help="Variants at a time, one thread each.")] = 1,
) -> None:
    """Train, sample, decode and measure every variant, unless that is done, and print one table."""
    by_name = {known.name: known for known in VARIANTS}
    for name in variant or []:
        if name not in by_name:
            raise InputError(f"--variant {name}: unknown; there are {'; '.join(by_name)}")
    # The terms are those of the table in docs/experiments.md.
    terms = Terms(
        preset="tiny",
        settings=SETTINGS,
        minutes=minutes,
        trial=2.0,
        samples=25_000,
        decode=("--ranks", "drawn"),
    )
    variants, seeds = [by_name[name] for name in variant or by_name], list(dict.fromkeys(seed or [0]))
    figures = measure_all(SETS[WINTER].files(data), work, variants, terms, seeds=seeds, jobs=jobs)
    # Beside the coverage of its flows, each variant gets the figures of its calibrated trips.
    for chosen in variants:
        for row in figures["rows"][chosen.name]:
            row |= measure_variant(chosen, work / f"seed-{row['seed']}", row["seed"])
    write_json(work / "figures.json", figures)
    print(f"{figures['heading']}\n\n{minutes:g} CPU-minutes each\n\n{format_figures(figures, variants)}")
    print(f"\nall figures: {work / 'figures.json'}")


def measure_variant(variant: Variant, home: Path, seed: int) -> dict[str, float | None]:
    """Measure a variant's calibrated trips, as many as trained.

    Parameters
    ----------
    variant : Variant
        A variant that is decoded.
    home : Path
        The folder of the seed, with the real trips and the run of the variant.
    seed : int
        Seed of the measurement.

    Returns
    -------
    dict of str to float or None
        Those figures of the report that the table shows.
    """
    run = variant.folder(home)
    real, trips = pd.read_parquet(home / "real" / "trips.parquet"), pd.read_parquet(run / "calibrated.parquet")
    figures = measure_tables(real, trips, seed=seed).figures["metrics"]
    return {name: figures[name]["value"] for name in COLUMNS if name in figures}


def format_figures(figures: Mapping[str, Any], variants: Sequence[Variant]) -> str:
    """Return a row for each variant in Markdown."""
    return format_table({variant.name: figures["rows"][variant.name] for variant in variants}, COLUMNS)


if __name__ == "__main__":
    exit_on_input_error(app)
