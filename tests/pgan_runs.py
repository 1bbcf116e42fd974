"""Small training runs for tests: images of bars, their settings, and what came out."""

import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from pgan.config import TrainConfig
from pgan.networks.discriminator import Discriminator
from pgan.networks.generator import Generator
from pgan.networks.shape import NetworkShape
from pgan.run.checkpoint import list_checkpoints
from pgan.snapshot import load_snapshot
from pgan.steps.state import make_networks
from rasterize.imageset import write_image_set
from rasterize.spec import Factor
from rasterize.strokes.channels import LinearChannel
from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place, Station
from rasterize.strokes.spec import StrokeSpec

ROOT = Path(__file__).parents[1]
CPU = torch.device("cpu")
FACTORS = (Factor(name="side", values=("left", "right")), Factor(name="day", values=("mon", "tue", "wed")))
SMALL = TrainConfig(
    loss="ns-r1",
    batch=4,
    base_maps=32,
    max_maps=16,
    latent_size=8,
    label_size=4,
    first_kimg=0.1,
    fade_kimg=0.2,
    hold_kimg=0.1,
    last_kimg=0.5,  # 0.8 kimg in all: 200 steps
    penalty_steps_to_32px=3,
    picture_kimg=0.2,
    checkpoint_kimg=0.04,
)
SHORT = replace(SMALL, first_kimg=0.04, fade_kimg=0.04, last_kimg=0.04)  # 30 steps, checkpoints after 0, 10, 20 and 30


def make_small_networks(image_shape, factor_sizes=(), **changes) -> tuple[NetworkShape, Generator, Discriminator]:
    """Make networks of a few maps for images [C, H, W], with some settings changed."""
    config = TrainConfig(**{"batch": 4, "base_maps": 32, "max_maps": 16, "latent_size": 8, "label_size": 6} | changes)
    shape = NetworkShape.of(config, image_shape, factor_sizes=factor_sizes)
    return shape, *make_networks(shape, seed=0)


def bars(count: int, channels: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Images of one bright bar, left or right as the first label says."""
    random = np.random.default_rng(0)
    labels = np.stack([random.integers(0, 2, count), random.integers(0, 3, count)], axis=1)
    images = np.zeros((count, channels, height, width), np.float32)
    images[labels[:, 0] == 0, :, :, : width // 4] = 1
    images[labels[:, 0] == 1, :, :, -width // 4 :] = 1
    return images, labels


def make_run(folder: Path, *, count=64, channels=1, height=8, width=8, factors=FACTORS) -> Path:
    """A run folder with an image set of bars."""
    place = Place(lat=0.5, lng=0.5, stations=(Station(id="a", name="a", lat=0.5, lng=0.5, starts=1, ends=1),))
    spec = StrokeSpec(
        frame=Frame(west=0, south=0, east=1, north=1, height=height, width=width),
        drawing=Drawing(mode="grey"),
        channels=tuple(LinearChannel(column=f"c{k}", low=0, high=1) for k in range(channels - 1)),
        factors=factors,
        places=(place,),
    )
    images, labels = bars(count, channels, height, width)
    write_image_set(folder / "images", spec, [images], labels[:, : len(factors)])
    return folder


def copy_run(run: Path, folder: Path) -> Path:
    """Copy a run folder into another folder."""
    return Path(shutil.copytree(run, folder / "run"))


def command(run: Path, config: TrainConfig) -> list[str]:
    """`python -m pgan train` with every setting of a config as a flag."""
    flags = [text for name, value in config.to_json().items() for text in ("--set", f"{name}={value}")]
    return [sys.executable, "-m", "pgan", "train", "--run", str(run), "--threads", "1", "--device", "cpu", *flags]


def wait_for(come: Callable[[], object], process: subprocess.Popen) -> None:
    """Wait until something has come about that a process in training brings about."""
    while not come():
        assert process.poll() is None, "training ended before it was to be stopped"
        time.sleep(0.01)


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All that training changed: networks and moments of the newest checkpoint, and the snapshot."""
    saved = torch.load(list_checkpoints(run / "model")[0], weights_only=True)
    snapshot = load_snapshot(run / "model").generator.state_dict()
    networks = {f"{net}.{name}": w for net in ("generator", "discriminator") for name, w in saved[net].items()}
    moments = {
        f"{adam}.{k}.{n}": w
        for adam in ("g_adam", "d_adam")
        for k, s in saved[adam]["state"].items()
        for n, w in s.items()
    }
    return networks | moments | {f"snapshot.{name}": w for name, w in snapshot.items()}


def assert_same_weights(one: Path, other: Path) -> None:
    first, second = weights(one), weights(other)
    assert first.keys() == second.keys()
    differ = [name for name in first if not torch.equal(first[name], second[name])]
    assert not differ


def stats(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "model" / "stats.jsonl").read_text().splitlines()]


def nursery() -> multiprocessing.context.ForkServerContext:
    """Children are forked from a process that has imported torch but never computed: a cold start takes seconds."""
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # what is preloaded must be found
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.pgan_runs", "pgan.run.loop", "torch.utils.tensorboard"])
    return context


class StopAfter:
    """A request to stop after so many steps, counted anew each time one is made."""

    def __init__(self, most: int) -> None:
        self.steps, self.most = 0, most

    @property
    def asked(self) -> bool:
        """Whether to stop before the next step."""
        self.steps += 1
        return self.steps > self.most


class DieAfter(StopAfter):
    """No request to stop: after so many steps the process kills itself, however busy the machine is."""

    @property
    def asked(self) -> bool:
        """Whether to stop: no."""
        if super().asked:
            os.kill(os.getpid(), signal.SIGKILL)
        return False
