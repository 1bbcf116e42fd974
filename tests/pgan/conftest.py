"""What tests of pgan share: one thread, and a finished run to be copied."""

import pytest
import torch

from pgan.run.loop import train
from tests.pgan_runs import CPU, SHORT, make_run


@pytest.fixture(autouse=True)
def on_one_thread(one_thread):
    """Compute with one thread: only then a run is repeated bit for bit."""


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """A finished run under `SHORT`, to be copied and then damaged."""
    torch.set_num_threads(1)
    run = make_run(tmp_path_factory.mktemp("finished"))
    assert train(run, SHORT, device=CPU)
    return run
