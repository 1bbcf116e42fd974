"""What the design leaves open, one change at a time, at equal training time: drawing, labels, networks, averaging."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer

from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER
from benchmarks.learning.coverage import Columns, Terms, Variant, measure_all, table_of
from benchmarks.measure import short
from decode.evaluate.measure import measure_tables
from rasterize.errors import InputError, exit_on_input_error
from rasterize.files import write_json

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

BASE = "base"
# of the base, which stays as it was when the variants were measured, whatever the preset becomes
SETTINGS = {"loss": "rpgan-r1-r2", "first_kimg": 10.0, "hold_kimg": 10.0}
ATTRIBUTE = "attribute"


def _changed(name: str, *, raster: tuple[tuple[str, str], ...] = (), **settings: Any) -> Variant:
    """The base, but for these options and settings."""
    return Variant(name=name, raster=raster, settings=tuple(settings.items()))


VARIANTS = (
    _changed(BASE),
    _changed("1 trip per image", raster=(("trips-per-image", "1"),)),
    _changed("16 trips per image", raster=(("trips-per-image", "16"),)),
    _changed("32 px", raster=(("resolution", "32"),)),
    _changed("32 px, stations where they are", raster=(("resolution", "32"), ("layout", "map"))),
    _changed(
        "32 px, stations where they are, 1 trip per image",
        raster=(("resolution", "32"), ("layout", "map"), ("trips-per-image", "1")),
    ),
    _changed("strokes of sigma 0.7 px", raster=(("stroke-sigma", "0.7"),)),
    _changed("grey, without direction", raster=(("mode", "grey"),)),
    _changed("hour painted, not a label", raster=((ATTRIBUTE, "hour=off"), (ATTRIBUTE, "time_of_day=cyclic"))),
    _changed(
        "user type and gender painted", raster=((ATTRIBUTE, "user_type=category"), (ATTRIBUTE, "gender=category"))
    ),
    _changed("ranks among all trips", raster=((ATTRIBUTE, "duration_s=quantile"), (ATTRIBUTE, "birth_year=quantile"))),
    _changed("latent of 16", latent_size=16),
    _changed("latent of 256", latent_size=256),
    _changed("G_ema of half-life 0.5 kimg", ema_half_life_kimg=0.5),
    _changed("G_ema of half-life 8 kimg", ema_half_life_kimg=8.0),
    _changed("loss ns-r1", loss="ns-r1"),
    _changed("packs of 2", pack=2),
)
COLUMNS: Columns = {
    "reached_by_trips": ("trips on pairs reached", short),
    "od_cpc": ("OD CPC", short),
    "start_hour_jsd": ("start×hour JSD", short),
    "bivariate_accuracy": ("biv. acc.", short),
    "c2st_auc": ("C2ST AUC", short),
    "tstr_duration_r2": ("duration R²", short),
    "tstr_user_type_auc": ("user-type AUC", short),
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
    """Train, sample, decode and judge every variant, unless that is done, and print one table."""
    known = {one.name: one for one in VARIANTS}
    for name in variant or []:
        if name not in known:
            raise InputError(f"--variant {name}: unknown; there are {'; '.join(known)}")
    terms = Terms(
        preset="tiny",
        settings=SETTINGS,
        minutes=minutes,
        trial=2.0,
        samples=25_000,
        decode=("--ranks", "drawn"),
    )
    variants, seeds = [known[name] for name in variant or known], list(dict.fromkeys(seed or [0]))
    figures = measure_all(SETS[WINTER].files(data), work, variants, terms, seeds=seeds, jobs=jobs)
    for one in variants:
        for row in figures["rows"][one.name]:
            row |= measured(one, work / f"seed-{row['seed']}", row["seed"])
    write_json(work / "figures.json", figures)
    print(f"{figures['heading']}\n\n{minutes:g} CPU-minutes each\n\n{table(figures, variants)}")
    print(f"\nall figures: {work / 'figures.json'}")


def measured(variant: Variant, home: Path, seed: int) -> dict[str, float | None]:
    """Figures of its calibrated trips, as many as trained."""
    run = variant.folder(home)
    real, trips = pd.read_parquet(home / "real" / "trips.parquet"), pd.read_parquet(run / "calibrated.parquet")
    figures = measure_tables(real, trips, seed=seed).figures["metrics"]
    return {name: figures[name]["value"] for name in COLUMNS if name in figures}


def table(figures: Mapping[str, Any], variants: Sequence[Variant]) -> str:
    """A row for each variant in Markdown."""
    return table_of({one.name: figures["rows"][one.name] for one in variants}, COLUMNS)


if __name__ == "__main__":
    exit_on_input_error(app)
