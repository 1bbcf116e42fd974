"""Shared fixtures: helper modules of the tests, and the folder of real trip files where it is there."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real trip files; tests that use it are skipped by name where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not here")
    return SHARED_DATA
