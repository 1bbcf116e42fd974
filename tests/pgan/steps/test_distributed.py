"""Several ranks are one run: shares of a batch, training that follows the one-process run, deaths, and resuming."""

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
import torch

import pgan.steps.distributed
from pgan.config import TrainConfig
from pgan.networks.layers import minibatch_stddev
from pgan.run.checkpoint import list_checkpoints
from pgan.run.loop import train
from pgan.steps.distributed import Workers
from rasterize.errors import InputError
from tests.pgan_runs import CPU, ROOT, SMALL, command, make_run, nursery, stats, wait_for, weights


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(16, 1, 4, 2), (16, 1, 4, 4), (32, 2, 4, 2), (24, 3, 2, 4), (8, 1, 1, 8)]
)
def test_ranks_share_out_a_batch_in_whole_packs_and_the_same_stddev_groups(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    parts = [Workers(index=rank, count=count).share_of_batch(config) for rank in range(count)]
    assert sorted(torch.cat(parts).tolist()) == list(range(batch))
    images = torch.randn(batch, 2, 3, 3, generator=torch.Generator().manual_seed(0))

    def judged(rows: torch.Tensor) -> torch.Tensor:
        return minibatch_stddev(rows.reshape(len(rows) // pack, -1, 3, 3), group)  # packed as D does

    whole = judged(images)
    for part in parts:
        packs = part[::pack] // pack
        torch.testing.assert_close(judged(images[part]), whole[packs], rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(12, 1, 4, 2), (16, 1, 4, 3), (16, 4, 4, 2), (6, 1, 4, 2)]
)
def test_a_batch_that_would_tear_a_group_is_refused(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    multiple = group * pack * count
    with pytest.raises(InputError, match=rf"--batch {batch} .* {count} workers: .*a multiple of {multiple}"):
        Workers(index=0, count=count).share_of_batch(config)
    assert Workers().share_of_batch(config) is None


# 60 steps through a hold, a fade-in and a hold, packs of 2, groups of 4: two ranks have one group each
SHARED = replace(
    SMALL,
    batch=16,
    pack=2,
    dense_size=16,
    first_kimg=0.24,
    fade_kimg=0.24,
    last_kimg=0.48,
    penalty_steps_to_32px=2,
    checkpoint_kimg=0.16,
)
# Of a weight. The order of a sum over a batch is all that differs: measured 1e-5 at most after 200 steps; a step of
# Adam is 1e-3. In a relative game, what D adds to reals and fakes alike cancels: some of its gradients are nothing but
# rounding, which Adam makes whole steps of (measured 2e-3).
TOLERANCE = {"ns-r1": 1e-4, "wgan-gp": 1e-4, "rpgan-r1-r2": 5e-3}


def be_a_rank(run: Path, config: TrainConfig, rank: int, count: int, port: int, patience: float) -> None:
    """What a child does: train as one of `count` ranks, and write down what went wrong."""
    torch.set_num_threads(1)
    place = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    pgan.steps.distributed.PATIENCE = timedelta(seconds=patience)
    try:
        train(run, config, device=CPU)
    except InputError as error:
        (run / f"ending-{rank}").write_text(str(error))


def start_ranks(run: Path, config: TrainConfig, *, count: int = 2, patience: float = 45.0) -> list:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        nursery().Process(target=be_a_rank, args=(run, config, rank, count, port, patience)) for rank in range(count)
    ]
    for child in children:
        child.start()
    return children


def assert_followed(whole: Path, shared: Path, *, loss: str = "ns-r1") -> None:
    one, other = weights(whole), weights(shared)
    assert one.keys() == other.keys()
    apart = {name: float((one[name] - other[name]).abs().max()) for name in one if "adam" not in name}
    assert not {name: distance for name, distance in apart.items() if distance > TOLERANCE[loss]}


@pytest.mark.parametrize("loss", ["ns-r1", "wgan-gp", "rpgan-r1-r2"])
def test_two_ranks_follow_one_process(loss, tmp_path):
    torch.set_num_threads(1)
    whole, shared, config = make_run(tmp_path / "whole"), make_run(tmp_path / "shared"), replace(SHARED, loss=loss)
    children = start_ranks(shared, config)
    assert train(whole, config, device=CPU)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0, 0]
    assert not list(shared.glob("ending-*"))
    assert_followed(whole, shared, loss=loss)
    assert stats(shared)[-1]["d_loss"] == pytest.approx(stats(whole)[-1]["d_loss"], abs=1e-3)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_lost_rank_ends_the_others_and_one_process_goes_on_alone(number, tmp_path):
    torch.set_num_threads(1)
    shared = make_run(tmp_path / "shared")
    long = replace(SHARED, last_kimg=1.2)
    children = start_ranks(shared, long, patience=5.0)
    while len(list_checkpoints(shared / "model")) < 2:
        assert all(child.is_alive() for child in children)
    os.kill(children[1].pid, number)
    children[0].join(60)
    assert children[0].exitcode is not None, "the other rank hangs"
    children[1].kill()
    children[1].join()
    assert "another worker has died or does not answer" in (shared / "ending-0").read_text()
    if number == signal.SIGKILL:
        assert train(shared, long, device=CPU)
        whole = make_run(tmp_path / "whole")
        assert train(whole, long, device=CPU)
        assert_followed(whole, shared)


def test_torchrun_goes_on_with_what_one_process_began(tmp_path):
    torch.set_num_threads(1)
    whole, shared = make_run(tmp_path / "whole"), make_run(tmp_path / "shared")
    assert train(whole, SHARED, device=CPU)
    alone = subprocess.Popen(command(shared, SHARED), cwd=ROOT, stdout=subprocess.DEVNULL)
    wait_for(lambda: len(list_checkpoints(shared / "model")) > 2, alone)
    alone.kill()
    alone.wait()
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    flags = ["--run-folder" if word == "--run" else word for word in command(shared, SHARED)[1:]]
    done = subprocess.run([sys.executable, *torchrun, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on") == 1, "rank 0 alone speaks"
    assert_followed(whole, shared)
