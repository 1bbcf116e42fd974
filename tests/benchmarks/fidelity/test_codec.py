"""The codec alone: fresh trips keep what is missing, and get other durations."""

import pandas as pd

from benchmarks.fidelity.codec import pass_through_codec
from rasterize.ingest.options import IngestOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions


def test_the_codec_alone_keeps_what_is_missing(tmp_path):
    write_city(tmp_path / "city.csv", trips=1800, stations=8)
    city = pd.read_csv(tmp_path / "city.csv", dtype=str)
    city.assign(**{"birth year": city["birth year"].mask(city["usertype"] == "Customer")}).to_csv(tmp_path / "city.csv")
    raster([str(tmp_path / "city.csv")], tmp_path, ingest_options=IngestOptions(), options=RasterOptions())
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    through = pass_through_codec(tmp_path, trips, seed=0)
    assert 20 < through["birth_year"].isna().sum() < 900
    pd.testing.assert_series_equal(through["birth_year"].isna(), trips["birth_year"].isna())
    assert (through["duration_s"] != trips["duration_s"]).mean() > 0.5
