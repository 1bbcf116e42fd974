"""Each phase is tried before training: too little memory is found there, and nothing else comes of it."""

import re
import resource
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pgan.config import TrainConfig
from pgan.networks.shape import NetworkShape
from pgan.run.checkpoint import list_checkpoints
from pgan.run.loop import train
from pgan.run.memory_check import check_memory
from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from pgan.steps.step import train_step
from pgan.tensor_files import to_bytes
from rasterize.errors import InputError
from tests.pgan_runs import CPU, SMALL, make_run, nursery

SCHEDULE = Schedule.of(SMALL, height=16, width=16)


def load(state: TrainState, growth: Growth) -> tuple[torch.Tensor, None]:
    random = torch.Generator().manual_seed(state.nimg)
    return torch.rand(SMALL.batch, 2, growth.height, growth.width, generator=random), None


def fresh_state(loss: str) -> TrainState:
    config = replace(SMALL, loss=loss)
    return TrainState(config, NetworkShape.of(config, (2, 16, 16), factor_sizes=()), device=CPU)


def run_steps(state: TrainState, count: int) -> None:
    for _ in range(count):
        growth = SCHEDULE.growth_at(state.nimg)
        reals, labels = load(state, growth)
        train_step(state, growth, reals=reals, labels=labels)


@pytest.mark.parametrize("loss", ["ns-r1", "wgan-gp"])
def test_training_is_the_same_to_a_bit_with_and_without_from_the_start_and_on_the_way(loss):
    torch.set_num_threads(1)
    tried, plain = fresh_state(loss), fresh_state(loss)
    for steps in (0, 35, 45):  # in the first hold, a fade-in, the next hold
        run_steps(tried, steps)
        run_steps(plain, steps)
        before = to_bytes(tried.state_dict())
        check_memory(tried, SCHEDULE, load)
        assert to_bytes(tried.state_dict()) == before == to_bytes(plain.state_dict())


def test_every_phase_ahead_is_tried_with_its_penalty_and_both_optimisers():
    state, seen = fresh_state("ns-r1"), []

    def watched(state: TrainState, growth: Growth) -> tuple[torch.Tensor, None]:
        seen.append((growth.phase, state.nimg))
        return load(state, growth)

    check_memory(state, SCHEDULE, watched)
    assert seen == [(phase, 0) for phase in ("hold 4x4", "fade-in 8x8", "hold 8x8", "fade-in 16x16", "hold 16x16")]
    seen.clear()
    state.nimg = 350  # in the hold at 8 px
    check_memory(state, SCHEDULE, watched)
    assert [phase for phase, _ in seen] == ["hold 8x8", "fade-in 16x16", "hold 16x16"] and state.nimg == 350


@pytest.mark.parametrize(
    ("says", "explained"),
    [
        ("could not create a primitive", True),
        ("could not create a primitive descriptor for a convolution", False),
        ("shapes do not match", False),
    ],
)
def test_only_want_of_memory_is_explained_as_such(says, explained):
    def fails(state: TrainState, growth: Growth) -> tuple[torch.Tensor, None]:
        raise RuntimeError(says)

    expected = f"out of memory in the phase hold 4x4, tried before training \\({says}\\)" if explained else f"^{says}$"
    with pytest.raises(InputError if explained else RuntimeError, match=expected):
        check_memory(fresh_state("ns-r1"), SCHEDULE, fails)


def train_in_little_memory(run: Path, config: TrainConfig, spare: int) -> None:
    """What a child does: train with `spare` bytes more than it has, and write down how it ended."""
    torch.set_num_threads(1)
    used = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmData"))
    limit = int(used.split()[1]) * 1024 + spare
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    try:
        train(run, config, device=CPU)
    except InputError as error:
        (run / "ending").write_text(str(error))


def test_too_little_memory_is_found_before_training_and_says_where_and_what_to_change(tmp_path):
    run = make_run(tmp_path, count=1024, height=32, width=32)
    # activations of many MB each: it is one of them that does not fit, not a few bytes within a library
    config = replace(SMALL, batch=1024, base_maps=512, max_maps=32)
    child = nursery().Process(target=train_in_little_memory, args=(run, config, 800 * 2**20))
    child.start()
    child.join()
    assert child.exitcode == 0
    ending = (run / "ending").read_text()
    found = re.match(r"out of memory in the phase \S+ (\d+)x\d+, .*--batch \(now 1024\) or --max-maps", ending)
    assert found and int(found[1]) > 4, ending  # the small phases fit
    assert [path.name[:9] for path in list_checkpoints(run / "model")] == ["000000000"]
