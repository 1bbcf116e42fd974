"""Several workers are one run: shares of a batch, steps and training that follow one process, deaths, and resuming."""

import itertools
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

import pgan.run.loop
import pgan.run.stopping
import pgan.steps.distributed
from pgan.config import TrainConfig
from pgan.networks.layers import minibatch_stddev
from pgan.run.checkpoint import list_checkpoints
from pgan.run.loop import train
from pgan.run.setup import load_batch, make_network_shape, read_range_sample
from pgan.run.setup import make_run as set_up_run
from pgan.snapshot import load_snapshot
from pgan.steps.distributed import Workers, join_workers
from pgan.steps.state import COUNTERS, TrainState
from pgan.steps.step import train_step
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, ROOT, SMALL, StopAfter, command, make_run, nursery, stats

# 60 steps through a hold, a fade-in and a hold, packs of 2, groups of 4: two workers have one group each
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
    keep_checkpoints=100,
    learning_rate=1e-5,
)
WAY_APART = 0.1  # of the way that weights have gone


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(16, 1, 4, 2), (16, 1, 4, 4), (32, 2, 4, 2), (24, 3, 2, 4), (8, 1, 1, 8)]
)
def test_workers_share_out_a_batch_in_whole_packs_and_the_same_stddev_groups(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    parts = [Workers(index=index, count=count).share_of_batch(config) for index in range(count)]
    assert sorted(torch.cat(parts).tolist()) == list(range(batch))
    images = torch.randn(batch, 2, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)

    def judged(rows: torch.Tensor) -> torch.Tensor:
        return minibatch_stddev(rows.reshape(len(rows) // pack, -1, 3, 3), group)  # packed as D does

    whole = judged(images)
    for part in parts:
        packs = part[::pack] // pack
        torch.testing.assert_close(judged(images[part]), whole[packs], rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("batch", "pack", "group", "count"), [(12, 1, 4, 2), (16, 1, 4, 3), (16, 4, 4, 2), (6, 1, 4, 2)]
)
def test_a_batch_that_would_tear_a_group_is_refused(batch, pack, group, count):
    config = TrainConfig(batch=batch, pack=pack, stddev_group=group)
    with pytest.raises(
        InputError, match=rf"--batch {batch} .* {count} workers: .*a multiple of {group * pack * count}"
    ):
        Workers(index=0, count=count).share_of_batch(config)
    assert Workers().share_of_batch(config) is None


@pytest.mark.parametrize(("pack", "count"), [(1, 4), (2, 2)])
def test_what_workers_read_and_draw_is_the_whole_batch_bit_for_bit(pack, count, tmp_path):
    folder, config = make_run(tmp_path), replace(SHARED, pack=pack)
    images = ImageSet.open(folder / "images")

    def drawn(workers: Workers) -> tuple[torch.Tensor | None, list[torch.Tensor], torch.Tensor]:
        """(Rows of the batch, what is read and drawn for three steps, where the random stream stands then)."""
        state = TrainState(config, make_network_shape(config, images), device=CPU, workers=workers)
        run, found = set_up_run(folder / "model", config, images=images, state=state), []
        for state.nimg in (0, 16, 240):  # two in the hold, one in the fade-in
            found += [
                *load_batch(run, state, run.schedule.growth_at(state.nimg)),
                state.draw_latents(),
                state.draw_mixes(),
            ]
        return state.share, found, state.random.get_state()

    _, whole, stream = drawn(Workers())
    for part, found, end in (drawn(Workers(index=index, count=count)) for index in range(count)):
        assert len(part) == 16 // count
        assert all(torch.equal(one, all_of_it[part]) for one, all_of_it in zip(found, whole, strict=True))
        assert torch.equal(end, stream)


def be_a_worker(run: Path, work: Callable[[], object], index: int, count: int, port: int, patience: float) -> None:
    """What a child does: work as one of `count` workers, and write down what went wrong."""
    torch.set_num_threads(1)
    place = {"RANK": index, "LOCAL_RANK": index, "WORLD_SIZE": count, "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    os.environ.update({name: str(value) for name, value in place.items()})
    pgan.steps.distributed.PATIENCE = timedelta(seconds=patience)
    try:
        work()
    except InputError as error:
        (run / f"ending-{index}").write_text(str(error))


def start_workers(run: Path, work: Callable[[], object], *, count: int = 2, patience: float = 300.0) -> list:
    """Children that are workers; `patience` only guards against hanging where none is to be lost."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = [
        nursery().Process(target=be_a_worker, args=(run, work, index, count, port, patience)) for index in range(count)
    ]
    for child in children:
        child.start()
    return children


def run_workers(run: Path, work: Callable[[], object], *, count: int = 2) -> None:
    children = start_workers(run, work, count=count)
    for child in children:
        child.join()
    assert [child.exitcode for child in children] == [0] * count
    assert not [path.read_text() for path in run.glob("ending-*")]


# Images shown before a step: with the penalty at 4 px, without; both in the fade-in; both in the hold at 8 px.
MOMENTS = (0, 16, 256, 272, 480, 496)


def gradients_of(adam: torch.optim.Adam) -> list[torch.Tensor]:
    """Of its last step, by each weight that had one; as the first beta is 0, they are what it keeps."""
    return [adam.state[weight]["exp_avg"].clone() for weight in adam.param_groups[0]["params"] if weight in adam.state]


def step_in_float64(folder: Path, config: TrainConfig) -> None:
    """What a child does: at each moment one step, all in float64; writes losses, gradients and the random stream."""
    torch.set_default_dtype(torch.float64)
    images = ImageSet.open(folder / "images")
    with join_workers(CPU) as workers:
        state = TrainState(config, make_network_shape(config, images), device=CPU, workers=workers)
        state.generator.precision = state.discriminator.precision = torch.float64
        state.fit_range(read_range_sample(images, config.seed))
        run, found = set_up_run(folder / "model", config, images=images, state=state), []
        for state.nimg in MOMENTS:
            growth = run.schedule.growth_at(state.nimg)
            reals, labels = load_batch(run, state, growth)
            result = train_step(state, growth, reals=reals.double(), labels=labels)
            by_weight = [gradients_of(adam) for adam in (state.d_adam, state.g_adam)]
            counters = {name: float(getattr(state, name)) for name in COUNTERS}
            found.append(([result.d_loss, result.g_loss], by_weight, counters, state.random.get_state()))
        torch.save(found, folder / f"steps-{workers.count}-{workers.index}.pt")


@pytest.mark.parametrize(("pack", "group"), [(1, 4), (2, 4), (2, 1)])
@pytest.mark.parametrize("loss", ["ns-r1", "wgan-gp", "rpgan-r1-r2"])
def test_a_step_of_two_workers_has_the_gradients_of_one_process(loss, pack, group, tmp_path):
    """Rounding is 2^-53: half a million additions in another order change a sum by 1e-10 of its terms at most.

    The penalty alone is added up in float32. Its rounding is 2^-24: a hundred additions, 1e-5. A worker that averaged
    nothing, or read other rows, would be off by a share of 1.
    """
    folder = make_run(tmp_path)
    levels = np.random.default_rng(0).normal(size=(64, 1, 8, 8)).astype(np.float16)
    np.save(folder / "images" / "images.npy", levels)  # no zeros: where a leaky ReLU has its kink, rounding decides
    # so low a rate changes no weight: all steps are by the same networks, and G's does not depend on D's step
    config = replace(SHARED, loss=loss, pack=pack, stddev_group=group, learning_rate=1e-30)
    for count in (1, 2):
        run_workers(folder, partial(step_in_float64, folder, config), count=count)
    whole, first, second = (torch.load(folder / f"steps-{name}.pt") for name in ("1-0", "2-0", "2-1"))
    for nimg, one, *others in zip(MOMENTS, whole, first, second, strict=True):
        penalised = loss == "wgan-gp" or nimg % 32 == 0
        near = 1e-5 if penalised else 1e-10
        for other in others:
            torch.testing.assert_close(other[0], one[0], rtol=near, atol=0)
            for gradients, expected in zip(other[1], one[1], strict=True):
                assert len(gradients) == len(expected) > 5
                largest = max(float(gradient.abs().max()) for gradient in expected)
                torch.testing.assert_close(gradients, expected, rtol=0, atol=near * largest)
            assert other[2] == one[2] and one[2]["nimg"] == nimg + 16 and one[2]["skipped"] == 0
            assert torch.equal(other[3], one[3])
        torch.testing.assert_close(*(other[1] for other in others), rtol=0, atol=0)  # workers agree to a bit


def newest(run: Path, *, first: bool = False) -> dict:
    """What the newest checkpoint holds, or the first one."""
    return torch.load(list_checkpoints(run / "model")[-1 if first else 0], weights_only=True)


def way(weights: dict, begun: dict) -> torch.Tensor:
    """How far all weights of a network have gone, as one vector."""
    return torch.cat([(weight - begun[name]).flatten() for name, weight in weights.items()])


def assert_same_way(one: torch.Tensor, other: torch.Tensor) -> None:
    assert (other - one).norm() < WAY_APART * one.norm()


def assert_followed(whole: Path, shared: Path, config: TrainConfig) -> None:
    """Two runs are one: to a bit in what they count and draw, and as near as Adam's steps are short in their weights.

    A step of Adam, the t-th since it forgot, moves a weight by √t times the rate at most: its first beta is 0, and its
    second moment has this step's gradient in it, with the weight of one in t or more. So that is as far as N steps
    can lead two runs apart, on any machine, twice the sum; storing a weight as float32 adds 2^-24 of it at each step.

    At so low a rate both see the same networks all the time, so their gradients are the same but for rounding. Only
    weights whose gradients are nothing but rounding step apart, and those are few: together the weights go the same
    way. A run on other batches or latents leaves it by a third of its length and more.
    """
    one, other = newest(whole), newest(shared)
    assert {name: other[name] for name in COUNTERS} == {name: one[name] for name in COUNTERS}
    assert torch.equal(other["random"], one["random"])
    exact = ("nimg", "height", "width", "alpha", "fading", "skipped", "rollbacks", "learning_rate")
    assert [[line[n] for n in exact] for line in stats(shared)] == [[line[n] for n in exact] for line in stats(whole)]

    steps = one["nimg"] // config.batch
    apart = 2 * config.learning_rate * sum(t**0.5 for t in range(1, steps + 1))
    begun, begun_too = newest(whole, first=True), newest(shared, first=True)
    assert begun["nimg"] == begun_too["nimg"] == 0
    for network in ("generator", "discriminator", "ema"):
        for name, weight in one[network].items():
            assert torch.equal(begun_too[network][name], begun[network][name])
            rounding = steps * 2**-24 * float(weight.abs().max())
            torch.testing.assert_close(other[network][name], weight, rtol=0, atol=apart + rounding)
        assert_same_way(*(way(end[network], begun[network]) for end in (one, other)))
    assert_same_way(*(way(end["generator"], end["ema"]) for end in (one, other)))  # how far the mean is behind
    ends = [load_snapshot(run / "model").generator.state_dict() for run in (whole, shared)]
    assert all(torch.equal(ends[0][name], weight) for name, weight in one["ema"].items())
    assert all(torch.equal(ends[1][name], weight) for name, weight in other["ema"].items())


@pytest.mark.parametrize("loss", ["ns-r1", "wgan-gp", "rpgan-r1-r2"])
def test_two_workers_follow_one_process(loss, tmp_path):
    whole, shared, config = make_run(tmp_path / "whole"), make_run(tmp_path / "shared"), replace(SHARED, loss=loss)
    run_workers(shared, partial(train, shared, config, device=CPU))
    assert train(whole, config, device=CPU)
    assert_followed(whole, shared, config)


def train_and_be_lost(run: Path, config: TrainConfig, number: int) -> None:
    """What a child does: train, and as the second worker get a signal before the 65th step."""
    step, steps = pgan.run.loop.train_step, itertools.count(1)

    def maybe_lost(*state, **batch):
        if next(steps) == 65 and os.environ["RANK"] == "1":
            os.kill(os.getpid(), number)
        return step(*state, **batch)

    pgan.run.loop.train_step = maybe_lost
    train(run, config, device=CPU)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=["killed", "hanging"])
def test_a_lost_worker_ends_the_others_and_one_process_goes_on_alone(number, tmp_path):
    shared = make_run(tmp_path / "shared")
    long = replace(SHARED, last_kimg=1.2)  # 105 steps
    children = start_workers(shared, partial(train_and_be_lost, shared, long, number), patience=30.0)
    children[0].join(300)  # a guard against hanging
    assert children[0].exitcode is not None, "the other worker hangs"
    assert children[1].is_alive() == (number == signal.SIGSTOP)
    children[1].kill()
    children[1].join()
    assert children[1].exitcode == -signal.SIGKILL
    assert "another worker has died or does not answer" in (shared / "ending-0").read_text()
    saved = list_checkpoints(shared / "model")
    assert saved[0].name.startswith("000000960-")
    if number == signal.SIGKILL:
        assert train(shared, long, device=CPU)
        assert set(saved) < set(list_checkpoints(shared / "model"))  # it went on, and made none of them again
        whole = make_run(tmp_path / "whole")
        assert train(whole, long, device=CPU)
        assert_followed(whole, shared, long)


def test_torchrun_goes_on_with_what_one_process_began(tmp_path, monkeypatch):
    whole, shared = make_run(tmp_path / "whole"), make_run(tmp_path / "shared")
    assert train(whole, SHARED, device=CPU)
    with monkeypatch.context() as patch:
        patch.setattr(pgan.run.stopping, "StopRequest", partial(StopAfter, 23))
        assert not train(shared, SHARED, device=CPU)
    begun = list_checkpoints(shared / "model")
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    flags = ["--run-folder" if word == "--run" else word for word in command(shared, SHARED)[1:]]
    done = subprocess.run([sys.executable, *torchrun, *flags], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on") == 1, "worker 0 alone speaks"
    assert set(begun) < set(list_checkpoints(shared / "model"))
    assert_followed(whole, shared, SHARED)
