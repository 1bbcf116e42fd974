"""What tests of rasterize share: a small file of the simulated city, and the whole stage on it."""

import pytest

from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """A file of 1,500 trips of the simulated city."""
    path = tmp_path_factory.mktemp("city") / "simulated.csv"
    write_city(path, trips=1500, stations=12, days=14, seed=1)
    return path


def rasterized(city, run, *, trips_per_image=1, **ingest):
    """The raster stage on 32 × 32 pixels."""
    options = RasterOptions(trips_per_image=trips_per_image)
    return raster(
        [str(city)],
        run,
        ingest_options=IngestOptions(stops=StopOptions(resolution=32), **ingest),
        options=options,
    )
