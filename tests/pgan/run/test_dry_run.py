"""A dry run says what a run would be, and leaves no trace."""

import json
import subprocess
import sys

import pytest
import torch

from pgan.config import PRESETS
from pgan.networks.shape import NetworkShape
from pgan.run.dry_run import count_parameters_at
from pgan.steps.state import make_networks
from tests.pgan_runs import ROOT, SMALL, make_run


def test_a_dry_run_prints_settings_phases_and_sizes_and_writes_nothing(tmp_path):
    run = make_run(tmp_path, height=16, width=16)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    done = subprocess.run(
        [sys.executable, "-m", "pgan", "train", "--run", str(run), "--dry-run", "--batch", "64"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    plan = json.loads(done.stdout)
    assert plan["config"]["batch"] == 64
    assert plan["config"]["learning_rate"] == pytest.approx(2 * PRESETS["tiny"].learning_rate)
    assert [(size["height"], size["width"]) for size in plan["resolutions"]] == [(8, 8), (16, 16)]
    assert [phase["phase"] for phase in plan["phases"]] == ["hold 8x8", "fade-in 16x16", "hold 16x16"]
    assert all(size["gamma"] > 0 for size in plan["resolutions"])
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_parameters_at_a_level_are_those_that_get_a_gradient_there():
    shape = NetworkShape.of(SMALL, (2, 16, 16), factor_sizes=(2, 3))
    generator, discriminator = make_networks(shape, seed=0)
    labels = torch.zeros(4, 2, dtype=torch.int64)
    for level in range(shape.levels):
        for network in (generator, discriminator):
            network.zero_grad()
        images = generator(torch.randn(4, SMALL.latent_size), labels, level)
        discriminator(images, labels, level).sum().backward()
        for network in (generator, discriminator):
            used = sum(weight.numel() for weight in network.parameters() if weight.grad is not None)
            assert count_parameters_at(network, level) == used
