"""Compiled, eager and plain steps are one and the same; what is compiled, what is not, and what if it cannot be."""

import shutil
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.speed.training import PlainPasses
from pgan.config import TrainConfig
from pgan.networks.losses import LOSSES
from pgan.networks.shape import NetworkShape
from pgan.steps.compiled_passes import CPU_STEPS_WORTH, CompiledPasses, PassesByPhase, is_worth_compiling, try_passes
from pgan.steps.passes import Passes
from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from pgan.steps.step import train_step

CPU = torch.device("cpu")
SMALL = TrainConfig(batch=4, base_maps=16, max_maps=8, latent_size=8, label_size=4, dense_size=8, stddev_group=2)
PHASES = [(0, False), (1, True), (1, False), (2, True), (2, False)]
SCHEDULE = Schedule.of(SMALL, height=16, width=16)


@pytest.fixture(autouse=True)
def forget_compiled():
    yield
    torch.compiler.reset()


def growth_at(level: int, fading: bool) -> Growth:
    side = 4 * 2**level
    return Growth(
        level=level, height=side, width=side, alpha=0.3 if fading else 1.0, fading=fading, last=False, progress=0.3
    )


def new_state(**changes) -> TrainState:
    config = replace(SMALL, **changes)
    return TrainState(config, NetworkShape.of(config, (2, 16, 16), factor_sizes=(2,)), device=CPU)


def float64_state(**changes) -> TrainState:
    """One that convolves in float64 too, for tests under the fixture of that name."""
    state = new_state(**changes)
    state.generator.precision = state.discriminator.precision = torch.float64
    return state


def assert_same_results(one: Passes, other: Passes, growth: Growth, *, penalised: bool) -> None:
    """Losses and all gradients, in float64; to 1e-5, as penalties alone are added up in float32."""
    assert one.generator.dense.weight.dtype == torch.float64
    first, second = (try_passes(passes, growth, batch=4, penalised=penalised, device=CPU) for passes in (one, other))
    assert len(first) == len(second) > 15
    near = 1e-5 if penalised else 1e-10
    torch.testing.assert_close(first, second, rtol=near, atol=near)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("level", "fading"), PHASES)
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_compiled_losses_and_gradients_are_the_eager_ones(loss, level, fading):
    """Traced into one graph each and run as traced: all of compiling but the code generation."""
    state = float64_state()
    nets = (state.generator, state.discriminator)
    eager = Passes(*nets, loss=loss, level=level)
    compiled = CompiledPasses(*nets, loss=loss, level=level, backend="aot_eager")
    for penalised in (False, True) if (loss, level) == ("ns-r1", 1) else (True,):
        assert_same_results(eager, compiled, growth_at(level, fading), penalised=penalised)


@pytest.mark.usefixtures("float64")
@pytest.mark.skipif(not shutil.which("g++"), reason="no C++ compiler here")
def test_compiled_code_computes_the_same():
    state = float64_state()
    nets = (state.generator, state.discriminator)
    passes_by_phase = [kind(*nets, loss="rpgan-r1-r2", level=0) for kind in (Passes, CompiledPasses)]
    assert_same_results(*passes_by_phase, growth_at(0, False), penalised=True)


@pytest.mark.usefixtures("float64")
@pytest.mark.parametrize(("level", "fading"), PHASES)
@pytest.mark.parametrize("pack", [1, 2])
@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_the_baseline_of_the_benchmark_computes_the_same(loss, pack, level, fading):
    state = float64_state(pack=pack)
    passes_by_phase = [
        kind(state.generator, state.discriminator, loss=loss, level=level) for kind in (Passes, PlainPasses)
    ]
    for penalised in (False, True):
        assert_same_results(*passes_by_phase, growth_at(level, fading), penalised=penalised)


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs no C++ compiler on CUDA")
def test_without_a_compiler_training_goes_on_uncompiled_and_says_so(tmp_path, monkeypatch):
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor, "force_disable_caches", True)
    monkeypatch.setattr(inductor.cpp, "cxx", (None, str(tmp_path / "no-such-compiler")))
    monkeypatch.setattr(inductor, "compile_threads", 1)
    state, said = new_state(compile="yes"), []
    passes_by_phase = PassesByPhase(
        state.generator, state.discriminator, config=state.config, schedule=SCHEDULE, device=CPU, say=said.append
    )
    assert type(passes_by_phase.at(growth_at(0, False), batch=4)) is Passes
    assert type(passes_by_phase.at(growth_at(1, True), batch=4)) is Passes
    (line,) = said
    assert line.startswith("hold 4x4: could not be compiled (") and line.endswith("training goes on uncompiled")


def test_passes_are_kept_through_their_phase():
    state = new_state(compile="no")
    passes_by_phase = PassesByPhase(
        state.generator, state.discriminator, config=state.config, schedule=SCHEDULE, device=CPU
    )
    first = passes_by_phase.at(growth_at(1, True), batch=4)
    assert passes_by_phase.at(replace(growth_at(1, True), alpha=0.9), batch=4) is first
    assert (
        passes_by_phase.at(growth_at(1, False), batch=4).level == 1
        and passes_by_phase.at(growth_at(1, False), batch=4) is not first
    )
    assert passes_by_phase.at(growth_at(2, True), batch=4).level == 2


@pytest.mark.parametrize(
    ("setting", "device", "kimg", "expected"),
    [
        ("auto", "cuda", 1.0, True),
        ("auto", "cpu", SMALL.batch * CPU_STEPS_WORTH / 1000 - 1, False),
        ("auto", "cpu", SMALL.batch * CPU_STEPS_WORTH / 1000, True),
        ("auto", "mps", 1e6, False),
        ("yes", "cpu", 1.0, True),
        ("no", "cuda", 1e6, False),
    ],
)
def test_what_is_compiled(setting, device, kimg, expected):
    config = replace(SMALL, compile=setting, hold_kimg=kimg)
    schedule = Schedule.of(config, height=16, width=16)
    found = is_worth_compiling(growth_at(1, False), config, schedule=schedule, device=torch.device(device))
    assert found is expected


class Waits(TorchDispatchMode):
    """Counts the times that a number is fetched from a tensor, but for those that live on the CPU on purpose."""

    def __init__(self, *free):
        super().__init__()
        self.count, self.free = 0, {tensor.untyped_storage().data_ptr() for tensor in free}

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is torch.ops.aten._local_scalar_dense.default:
            self.count += args[0].untyped_storage().data_ptr() not in self.free
        assert function is not torch.ops.aten.nonzero.default
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_step_does_not_wait_for_the_device(loss):
    state, labels = new_state(loss=loss), torch.zeros(4, 1, dtype=torch.int64)
    with Waits(state.energies) as waits:
        train_step(state, growth_at(1, True), reals=torch.zeros(4, 2, 8, 8), labels=labels)
        assert waits.count == 0
        assert bool(state.skipped == 0)
        assert waits.count == 1


def test_a_step_left_out_leaves_adam_as_it_was():
    state, labels, growth = new_state(), torch.zeros(4, 1, dtype=torch.int64), growth_at(1, False)
    train_step(state, growth, reals=torch.ones(4, 2, 8, 8), labels=labels)
    adams = (state.g_adam, state.d_adam)
    before = [value.clone() for adam in adams for one in adam.state.values() for value in one.values()]
    train_step(state, growth, reals=torch.full((4, 2, 8, 8), float("nan")), labels=labels)
    after = [value for adam in (state.d_adam,) for one in adam.state.values() for value in one.values()]
    assert int(state.skipped) == 1
    assert before[-len(after) :] and all(torch.equal(a, b) for a, b in zip(before[-len(after) :], after, strict=True))
