"""kill -9 at any moment, in the middle of a save too: a valid checkpoint is always there, and the end is the same."""

import os
import random
import signal
import time
from contextlib import redirect_stdout
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch

import pgan.run.stopping
from pgan.config import TrainConfig
from pgan.run.checkpoint import list_checkpoints, load_newest
from pgan.run.loop import train
from pgan.run.run_record import make_identity
from pgan.run.setup import make_network_shape
from pgan.steps.state import TrainState
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, SMALL, assert_same_weights, make_run, nursery, stats

KILLS = 20
STEPS = 14  # of a child, which then waits to be killed: 20 of them cannot come to the end, however fast the machine
# 300 steps, a checkpoint every 2: much of the time goes into saving
OFTEN = replace(SMALL, dense_size=16, last_kimg=0.9, checkpoint_kimg=0.008, picture_kimg=0.4)


class Waits:
    """No request to stop: after so many steps the process leaves a mark and waits."""

    def __init__(self, mark: Path) -> None:
        self.mark, self.steps = mark, 0

    @property
    def asked(self) -> bool:
        """Whether to stop: no."""
        self.steps += 1
        if self.steps > STEPS:
            self.mark.touch()
            signal.pause()
        return False


def train_quietly(run: Path, config: TrainConfig) -> None:
    """What a child does."""
    torch.set_num_threads(1)
    pgan.run.stopping.StopRequest = partial(Waits, run / "waits")
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        train(run, config, device=CPU)


def halfway(model: Path) -> bool:
    """Whether a checkpoint is being written just now."""
    try:
        return any(path.name.startswith(".") and path.suffix == ".pt" for path in (model / "checkpoints").iterdir())
    except FileNotFoundError:
        return False


def kill_some_time(child, model: Path, *, seconds: float, in_save: bool) -> bool:
    """Let a child train for a while, wait for a save to begin if asked, and kill it; False if it ended by itself."""
    mark, before = model.parent / "waits", list_checkpoints(model)[:1]
    mark.unlink(missing_ok=True)
    child.start()
    while list_checkpoints(model)[:1] == before and child.is_alive():  # until it trains: else nothing goes on
        time.sleep(0.001)
    end = time.monotonic() + seconds
    while child.is_alive() and not mark.exists() and (time.monotonic() < end or (in_save and not halfway(model))):
        pass
    child.kill()
    child.join()
    return child.exitcode == -9


def test_killed_at_20_random_moments_it_ends_as_if_nothing_had_happened(tmp_path):
    torch.set_num_threads(1)
    whole, killed = make_run(tmp_path / "whole"), make_run(tmp_path / "killed")
    assert train(whole, OFTEN, device=CPU)
    model, moments = killed / "model", random.Random(0)
    images = ImageSet.open(killed / "images")
    state, identity = TrainState(OFTEN, make_network_shape(OFTEN, images), device=CPU), make_identity(OFTEN, images)
    kills, caught = 0, 0
    while kills < KILLS:
        child = nursery().Process(target=train_quietly, args=(killed, OFTEN))
        if not kill_some_time(child, model, seconds=moments.uniform(0, 0.1), in_save=kills % 2 == 0):
            pytest.fail(f"the run was over after {kills} kills, exit code {child.exitcode}")
        kills += 1
        caught += halfway(model)
        newest = list_checkpoints(model)[0]
        assert load_newest(model, state, identity=identity) == newest, "what a kill left was refused"
    assert caught > 0, "no kill hit a save"
    assert state.nimg < 0.9 * 1300
    assert train(killed, OFTEN, device=CPU)
    assert_same_weights(whole, killed)
    assert [line["nimg"] for line in stats(killed)] == [line["nimg"] for line in stats(whole)]
    assert not [path for path in model.rglob("*") if ".tmp" in path.name]
    assert len(list_checkpoints(model)) == OFTEN.keep_checkpoints
