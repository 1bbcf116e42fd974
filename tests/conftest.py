"""Shared by all tests: helper modules, the folder of real trip files where it is there, examples without a clock."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault. Where CI is set, hypothesis tries the same examples in every run.
settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a clock")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real trip files; tests that use it are skipped by name where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not here")
    return SHARED_DATA
