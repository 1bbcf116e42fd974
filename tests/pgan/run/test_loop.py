"""Training as a whole: it learns, resumes bit for bit whatever stopped it, and refuses what it cannot train on."""

import json
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import pgan.run.stopping
from pgan.config import PRESETS, TrainConfig
from pgan.run.checkpoint import list_checkpoints, load_newest
from pgan.run.loop import train
from pgan.run.run_record import make_identity
from pgan.run.setup import make_network_shape
from pgan.sampling import sample
from pgan.steps.schedule import Growth
from pgan.steps.state import TrainState
from pgan.steps.step import train_step
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from tests.pgan_runs import (
    CPU,
    FACTORS,
    ROOT,
    SMALL,
    DieAfter,
    StopAfter,
    assert_same_weights,
    bars,
    command,
    make_run,
    nursery,
    stats,
    wait_for,
)


def train_and_die(run: Path, config: TrainConfig, steps: int) -> None:
    """What a child does."""
    torch.set_num_threads(1)
    pgan.run.stopping.StopRequest = partial(DieAfter, steps)
    train(run, config, device=CPU)


def test_200_steps_are_100_and_a_kill_and_100_bit_for_bit(tmp_path):
    whole, killed = make_run(tmp_path / "whole"), make_run(tmp_path / "killed")
    slower = replace(SMALL, checkpoint_kimg=0.4, picture_kimg=0.1)  # one checkpoint, at step 100
    assert train(whole, slower, device=CPU)
    child = nursery().Process(target=train_and_die, args=(killed, slower, 150))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL and not (killed / "model" / "snapshot.pt").exists()
    assert [path.name[:9] for path in list_checkpoints(killed / "model")] == ["000000400", "000000000"]
    assert train(killed, slower, device=CPU)
    assert_same_weights(whole, killed)
    assert [line["nimg"] for line in stats(killed)] == [line["nimg"] for line in stats(whole)]


@pytest.mark.parametrize("loss", ["ns-r1", "wgan-gp", "rpgan-r1-r2"])
def test_any_stop_and_resume_is_bit_for_bit(tmp_path, monkeypatch, loss):
    whole, stopped = make_run(tmp_path / "whole"), make_run(tmp_path / "stopped")
    config = replace(SMALL, loss=loss, fade_kimg=0.04, last_kimg=0.1)
    assert train(whole, config, device=CPU)

    monkeypatch.setattr(pgan.run.stopping, "StopRequest", partial(StopAfter, 23))
    outcomes = [train(stopped, config, device=CPU)]
    while not outcomes[-1]:
        outcomes.append(train(stopped, config, device=CPU))
    assert len(outcomes) == 3  # 60 steps, 23 at a time
    assert_same_weights(whole, stopped)


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    run = make_run(tmp_path)
    long = replace(SMALL, last_kimg=20.0, checkpoint_kimg=1000.0, picture_kimg=0.05)
    process = subprocess.Popen(command(run, long), cwd=ROOT, stdout=subprocess.PIPE, text=True)
    wait_for((run / "model" / "progress" / "000000200.png").exists, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate()
    assert process.returncode == 130
    assert "the same command goes on" in output
    images = ImageSet.open(run / "images")
    state = TrainState(long, make_network_shape(long, images), device=CPU)
    assert load_newest(run / "model", state, identity=make_identity(long, images))
    assert state.nimg >= 200
    assert not (run / "model" / "snapshot.pt").exists()


def test_a_finished_run_has_everything_and_does_nothing_again(tmp_path, capsys):
    run = make_run(tmp_path)
    assert train(run, SMALL, device=CPU)
    model = run / "model"
    described = json.loads((model / "run.json").read_text())
    assert TrainConfig(**described["config"]) == SMALL
    assert described["image_set"]["fingerprint"] == ImageSet.open(run / "images").fingerprint
    assert [path.name for path in sorted((model / "progress").iterdir())] == [
        f"{nimg:09d}.png" for nimg in (0, 200, 400, 600, 800)
    ]
    assert (model / "timelapse.gif").read_bytes().startswith(b"GIF89a")
    assert stats(run)[-1]["nimg"] == 800 and stats(run)[-1]["skipped"] == 0
    assert list((model / "tensorboard").iterdir())
    before = {path: path.stat().st_mtime_ns for path in model.rglob("*")}
    assert train(run, SMALL, device=CPU)
    assert "finished" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in model.rglob("*")} == before


def test_bad_images_are_refused_before_anything_is_written(tmp_path):
    with pytest.raises(InputError, match="no finished image set"):
        train(tmp_path, SMALL, device=CPU)
    with pytest.raises(InputError, match="3 images are fewer than one batch of 4"):
        train(make_run(tmp_path / "few", count=3), SMALL, device=CPU)
    with pytest.raises(InputError, match="36x48 pixels cannot be reached"):
        train(make_run(tmp_path / "odd", height=36, width=48), SMALL, device=CPU)
    with pytest.raises(InputError, match="training has not finished"):
        sample(tmp_path, count=1, seed=0, device=CPU)
    assert not list(tmp_path.rglob("model"))


def test_commands_exit_with_two_and_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "pgan", "train", "--run", str(tmp_path), "--loss", "hinge"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "losses: ns-r1, wgan-gp, rpgan-r1-r2" in done.stderr


@pytest.mark.parametrize(
    ("channels", "height", "width", "factors"), [(1, 8, 8, ()), (3, 8, 12, FACTORS), (6, 16, 8, ())]
)
def test_any_channels_and_frames_train_and_sample(tmp_path, channels, height, width, factors):
    run = make_run(tmp_path, channels=channels, height=height, width=width, factors=factors)
    train(run, replace(SMALL, first_kimg=0.01, fade_kimg=0.02, hold_kimg=0.01, last_kimg=0.02, pack=2), device=CPU)
    assert sample(run, count=70, seed=1, device=CPU) == 70
    fakes = ImageSet.open(run / "fakes")
    assert len(fakes) == 70 and fakes.shape == (channels, height, width)
    assert np.isfinite(fakes.read(range(70))).all()


def test_it_learns_bars_and_their_labels(tmp_path):
    run = make_run(tmp_path, count=256)
    config = replace(
        PRESETS["tiny"],
        start_resolution=4,
        batch=8,
        first_kimg=1.0,
        fade_kimg=1.0,
        last_kimg=4.0,
        max_maps=16,
        latent_size=8,
        ema_half_life_kimg=0.3,
    )
    train(run, config, device=CPU)
    sample(run, count=200, seed=0, device=CPU)
    fakes = ImageSet.open(run / "fakes")
    patterns = np.stack([bars(64, 1, 8, 8)[0][bars(64, 1, 8, 8)[1][:, 0] == side][0] for side in (0, 1)])
    images = fakes.read(range(200))
    distance = np.square(images[:, None] - patterns).mean((2, 3, 4))  # [N, side]
    nearest = distance.argmin(1)
    untrained = 0.25  # of a blank image: a quarter of the pixels is wrong
    assert np.median(distance.min(1)) < untrained / 4
    assert (nearest == fakes.labels[:, 0]).mean() > 0.9
    assert 0.3 < nearest.mean() < 0.7


def test_a_step_that_is_not_finite_is_left_out_and_counted(tmp_path):
    images = ImageSet.open(make_run(tmp_path) / "images")
    state = TrainState(SMALL, make_network_shape(SMALL, images), device=CPU)
    growth = Growth(level=1, height=8, width=8, alpha=1.0, fading=False, last=True, progress=0.5)
    before = [parameter.clone() for parameter in state.discriminator.parameters()]
    labels = torch.zeros(4, 2, dtype=torch.int64)
    train_step(state, growth, reals=torch.full((4, 1, 8, 8), float("nan")), labels=labels)
    assert (state.skipped, state.skipped_in_a_row, state.nimg) == (1, 1, 4)
    assert all(torch.equal(a, b) for a, b in zip(before, state.discriminator.parameters(), strict=True))
    train_step(state, growth, reals=torch.zeros(4, 1, 8, 8), labels=labels)
    assert (state.skipped, state.skipped_in_a_row) == (1, 0)


def test_images_that_are_not_numbers_are_refused(tmp_path):
    path = make_run(tmp_path) / "images" / "images.npy"
    np.save(path, np.load(path) * np.float16(np.nan))
    with pytest.raises(InputError, match="not finite numbers; make the images again"):
        train(tmp_path, SMALL, device=CPU)


def spoil_while_training(run, monkeypatch, *, begin: int, end: float = float("inf"), stop: float = float("inf")):
    """From step `begin` to `end` the file of images holds NaN, as on a broken disk; from `stop` on, ask to stop."""
    path = run / "images" / "images.npy"
    images = np.load(path, mmap_mode="r+")
    good = images.copy()

    class Spoiler:
        def __init__(self):
            self.steps = 0

        @property
        def asked(self):
            images[:] = np.nan if begin <= self.steps < end else good
            self.steps += 1
            return self.steps > stop

    monkeypatch.setattr(pgan.run.stopping, "StopRequest", Spoiler)


# 125 steps, of which the 63rd and the last are reported, and every tenth is saved
STEADY = replace(SMALL, batch=16, dense_size=16, last_kimg=1.7, checkpoint_kimg=0.16, picture_kimg=2.0)


def test_after_many_bad_steps_in_a_row_a_run_goes_back_at_half_the_rate(tmp_path, monkeypatch, capsys):
    run = make_run(tmp_path)
    spoil_while_training(run, monkeypatch, begin=12, end=63, stop=100)  # found at step 63, back to step 10
    assert not train(run, STEADY, device=CPU)
    assert "back to 0.2 kimg, learning rate 0.0005 (rollback 1 of 3)" in capsys.readouterr().out
    monkeypatch.undo()
    assert train(run, STEADY, device=CPU)  # what was learnt of the rate is in the checkpoint
    lines = stats(run)
    assert [(line["nimg"], line["rollbacks"], line["skipped"]) for line in lines] == [(1008, 1, 51), (2000, 1, 51)]
    assert lines[-1]["learning_rate"] == pytest.approx(0.0005 * STEADY.final_rate_share, rel=0.01)


def test_a_run_that_no_rollback_helps_stops_and_says_what_to_change(tmp_path, monkeypatch):
    run = make_run(tmp_path)
    spoil_while_training(run, monkeypatch, begin=12)
    with pytest.raises(InputError, match="3 rollbacks to a learning rate of 0.000125 did not help; .*--learning-rate"):
        train(run, STEADY, device=CPU)
    assert list_checkpoints(run / "model")[0].name.startswith("000000160-")
