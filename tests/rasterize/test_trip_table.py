"""The data model, and the table of a file that is read column by column."""

import pandas as pd

from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions
from rasterize.trip_table import ALWAYS, ARROW_TYPES, DATA_MODEL, OF_ENDS, TripFile


def test_every_column_has_a_type_and_a_meaning():
    assert set(DATA_MODEL) >= ALWAYS | OF_ENDS
    for name, field in DATA_MODEL.items():
        assert field.sql_type in ARROW_TYPES and field.meaning.endswith("."), name
        assert bool(field.unit) == (field.sql_type != "VARCHAR"), name


def test_a_file_of_trips_is_a_table_read_column_by_column(tmp_path):
    write_city(tmp_path / "city.csv", trips=1500, stations=12, days=14, seed=1)
    options = IngestOptions(stops=StopOptions(resolution=32))
    raster([str(tmp_path / "city.csv")], tmp_path, ingest_options=options, options=RasterOptions())
    path, trips = tmp_path / "trips.parquet", pd.read_parquet(tmp_path / "trips.parquet")
    for split, expected in ((None, trips), ("B", trips[trips["split"] == "B"].reset_index(drop=True))):
        file = TripFile(path, split)
        assert len(file) == len(expected) and list(file.columns) == list(trips) and "gender" in file
        for name in trips:
            assert file[name].astype(object).equals(expected[name].astype(object)), name
        assert list(file[["start_lat", "end_lat"]]) == ["start_lat", "end_lat"]
