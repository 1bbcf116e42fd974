"""How benchmarks measure: a stage that fails is an error of one line."""

import pytest

from benchmarks.measure import run_stage
from rasterize.errors import InputError


def test_a_stage_that_fails_is_told(tmp_path):
    with pytest.raises(InputError, match="train.log: `python -m pgan` ended with exit code 2.*'vast' is unknown"):
        run_stage("pgan", "train", "--run", str(tmp_path), "--preset", "vast", log=tmp_path / "train.log")
