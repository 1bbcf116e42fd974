"""The benchmark of training steps: every contestant in a process of its own, and a row for the table."""

from dataclasses import replace

import pytest

from benchmarks.speed.training import compare
from pgan.config import PRESETS


def test_a_row_has_the_baseline_and_ours():
    config = replace(PRESETS["tiny"], batch=4, max_maps=8, dense_size=16, latent_size=8, stddev_group=2)
    baseline, eager, ratio, *rest = compare(config, 8, rounds=1, threads=1, compiled=False).split(" | ")
    baseline, eager = (float(cell.replace(",", "")) for cell in (baseline, eager))
    assert baseline > 0 and eager > 0 and rest == ["–", "–", "–"]
    assert float(ratio) == pytest.approx(eager / baseline, rel=0.05)
