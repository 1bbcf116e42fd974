"""The ablation benchmark: every variant can be drawn and trained, and is measured."""

import pandas as pd
import pytest
from typer.testing import CliRunner

from benchmarks.learning.ablation import BASE, COLUMNS, SETTINGS, VARIANTS, app, format_figures, measure_variant
from benchmarks.learning.variants import RASTER_OPTIONS
from benchmarks.measure import format_short
from pgan.config import resolve_config
from rasterize.__main__ import app as rasterize
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.ingest.ingest import ingest_files
from rasterize.simulated_city import write_city


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A data folder with two months of a simulated city."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "citibike-jc").mkdir()
    for seed, month in enumerate(("01", "02")):
        write_city(folder / "citibike-jc" / f"JC-2019{month}-trips.csv", trips=1_200, stations=8, seed=seed)
    return folder


@pytest.fixture(scope="module")
def drawn(data, tmp_path_factory):
    """Draws the trips with some options; returns the image set."""
    files = [str(path) for path in (data / "citibike-jc").iterdir()]

    def draw(*options):
        run = tmp_path_factory.mktemp("drawn")
        asked = [*files, f"--run={run}", *RASTER_OPTIONS, *options]
        CliRunner().invoke(rasterize, asked, catch_exceptions=False)
        return ImageSet.open(run / "images")

    return draw


def test_every_variant_changes_what_its_name_says(drawn):
    usual = drawn(*VARIANTS[0].raster_flags).spec
    assert VARIANTS[0].name == BASE and usual.trips_per_image == VARIANTS[0].trips_per_image > 1
    for variant in VARIANTS:
        assert resolve_config("tiny", SETTINGS | dict(variant.settings)).latent_size
        assert bool(variant.settings) + bool(variant.raster) == (variant.name != BASE)
        if variant.raster:
            spec = drawn(*variant.raster_flags).spec
            assert spec != usual and spec.trips_per_image == variant.trips_per_image, variant.name


def test_calibrated_trips_are_judged_and_stand_in_the_table(data, tmp_path):
    variant = VARIANTS[1]
    ingest_files(list((data / "citibike-jc").iterdir()), tmp_path / "real")
    real = pd.read_parquet(tmp_path / "real" / "trips.parquet")
    variant.folder(tmp_path).mkdir()
    real[real["split"] == "C"].to_parquet(variant.folder(tmp_path) / "calibrated.parquet")
    row = measure_variant(variant, tmp_path, 0)
    assert row["c2st_auc"] < 0.6 and row["bivariate_accuracy"] > 0.8 and set(row) < set(COLUMNS)
    text = format_figures({"rows": {variant.name: [{**row, "kimg": 40.2, "reached_by_trips": 0.5}]}}, [variant])
    assert text.splitlines()[2].startswith(f"| {variant.name} | .500 | {format_short(row['od_cpc'])} |")
    assert text.endswith(" | 40 |")


def test_an_unknown_variant_is_refused(tmp_path):
    with pytest.raises(InputError, match="--variant 5 px: unknown; there are base; 1 trip per image"):
        CliRunner().invoke(app, ["--variant", "5 px", "--work", str(tmp_path)], catch_exceptions=False)
