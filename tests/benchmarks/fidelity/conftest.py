"""A simulated city for the tests of the fidelity benchmark: read, split into thirds, and as a training table."""

import pandas as pd
import pytest

from benchmarks.fidelity.split import make_training_table
from rasterize.ingest.ingest import ingest_files
from rasterize.simulated_city import write_city


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    """A run folder of the simulated city, split into thirds."""
    folder = tmp_path_factory.mktemp("fidelity")
    write_city(folder / "city.csv", trips=1800, stations=8)
    ingest_files([folder / "city.csv"], folder / "run")
    return folder / "run"


@pytest.fixture(scope="package")
def real(run):
    """The trips of that run."""
    return pd.read_parquet(run / "trips.parquet")


@pytest.fixture(scope="package")
def training(real):
    """Their training table, and the position of each station."""
    return make_training_table(real)
