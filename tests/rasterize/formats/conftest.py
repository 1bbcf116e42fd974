"""What the tests of formats share: the looks that reading notes of a file of each dialect."""

import pytest

from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions, StopOptions
from tests.trip_files import DIALECT_FILES, write_text


@pytest.fixture(scope="session")
def sources(tmp_path_factory) -> dict[str, dict]:
    """What reading a file of each dialect notes of its look."""
    folder = tmp_path_factory.mktemp("sources")
    options = IngestOptions(stops=StopOptions(min_uses=1))
    return {
        kind: ingest_files([write_text(folder / "t.csv", text)], folder / "run", options=options).source
        for kind, text in DIALECT_FILES.items()
    }
