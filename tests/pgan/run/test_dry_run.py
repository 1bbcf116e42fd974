"""A dry run says what a run would be and leaves no trace; run.json says what a run was."""

import json
import platform
import subprocess
import sys
from hashlib import sha256

import pytest
import torch

from pgan.config import PRESETS
from pgan.networks.shape import NetworkShape
from pgan.run.dry_run import count_parameters_at
from pgan.run.loop import train
from pgan.steps.state import make_networks
from rasterize.errors import InputError
from tests.pgan_runs import CPU, ROOT, SMALL, make_run


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


def test_run_json_has_all_it_takes_to_repeat_a_run_and_other_bytes_of_images_are_another_run(tmp_path):
    run = make_run(tmp_path)
    brief = {"first_kimg": 0.0, "fade_kimg": 0.0, "last_kimg": 0.01}
    config = type(SMALL)(**SMALL.to_json() | brief)
    train(run, config, device=CPU)
    record = json.loads((run / "model" / "run.json").read_text())
    assert record["config"] == config.to_json() and record["seed"] == config.seed
    assert record["versions"]["python"] == platform.python_version()
    assert record["versions"]["torch"] == torch.__version__
    assert {"pgan-trips", "numpy", "torchvision"} <= record["versions"].keys()
    assert (record["device"], record["workers"]) == ("cpu", 1)
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (record["git_commit"] or "").removesuffix("-dirty") == head.stdout.strip()
    images = run / "images" / "images.npy"
    assert record["image_set"]["sha256"]["images.npy"] == sha256(images.read_bytes()).hexdigest()
    data = bytearray(images.read_bytes())
    data[-1] ^= 1  # shape, labels and spec stay the same
    images.write_bytes(data)
    with pytest.raises(InputError, match="holds another run: image set sha256 was"):
        train(run, config, device=CPU)
