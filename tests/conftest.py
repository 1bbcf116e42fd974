"""Shared by all tests: helper modules, the folder of real trip files where it is there, examples without a clock."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A busy machine is no fault. Where CI is set, hypothesis tries the same examples in every run.
settings.register_profile("without a clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("without a clock")

SHARED_DATA = Path(__file__).parents[2] / "shared" / "data"


@pytest.fixture
def one_thread():
    """Torch computes on one thread: results are the same to a bit only with the same number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def float64():
    """New tensors are float64, so that another order of sums changes nothing that a tolerance of float32 can see."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real trip files; tests that use it are skipped by name where it is not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("shared/data is not here")
    return SHARED_DATA
