"""Training steps beside the same nets and loss written plainly: images per second by preset and resolution."""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import print_heading
from pgan.config import PRESETS, TrainConfig
from pgan.cpu import prepare_cpu
from pgan.networks.layers import SLOPE, Conv, Dense
from pgan.networks.losses import LOSSES
from pgan.networks.shape import NetworkShape
from pgan.steps.compiled_passes import PassesByPhase
from pgan.steps.passes import Passes
from pgan.steps.schedule import Growth, Schedule, ema_decay_at, penalty_interval
from pgan.steps.state import TrainState
from pgan.steps.step import train_step

CHANNELS, FACTOR_SIZES = 6, (24, 7, 2, 3)  # as `make raster` makes them: two painted planes, four label factors
CPU_CASES = ("tiny:8", "tiny:16", "tiny:32", "tiny:64", "default:8:8", "paper:4:8")
CUDA_CASES = ("tiny:32", *(f"{preset}:{px}" for preset in ("default", "paper") for px in (32, 64, 128, 256)))


# ---- the baseline: eager, fp32, NCHW, one kernel per thought, penalties by differentiating twice, a wait per step


def _conv(x: Tensor, layer: Conv) -> Tensor:
    return F.conv2d(x, layer.weight * layer.scale, layer.bias, padding=layer.weight.shape[-1] // 2)


def _dense(x: Tensor, layer: Dense) -> Tensor:
    return F.linear(x, layer.weight * layer.scale, layer.bias)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _pixel_norm(x: Tensor) -> Tensor:
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


class PlainPasses(Passes):
    """The passes of `Passes`, from the same weights, as one would write them down first."""

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """See `Passes`."""
        g, level = self.generator, self.level
        x = _pixel_norm(z)
        if labels is not None:
            x = torch.cat([x, _pixel_norm(g.embedding(labels))], 1)
        for layer in g.hidden:
            x = _pixel_norm(_lrelu(_dense(x, layer)))
        x = _pixel_norm(_lrelu(_dense(x, g.dense).reshape(len(z), -1, g.shape.base_height, g.shape.base_width)))
        x = older = _pixel_norm(_lrelu(_conv(x, g.same)))
        for block in g.blocks[:level]:
            older, x = x, F.interpolate(x, scale_factor=2)
            x = _pixel_norm(_lrelu(_conv(x, block.up)))
            x = _pixel_norm(_lrelu(_conv(x, block.same)))
        images = _conv(x, g.to_image[level])
        if alpha is None:
            return images
        return (1 - alpha) * F.interpolate(_conv(older, g.to_image[level - 1]), scale_factor=2) + alpha * images

    def critic(self, images: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """Logits of one batch."""
        d, level = self.discriminator, self.level
        images = images.reshape(len(images) // d.shape.pack, -1, *images.shape[2:])
        x = _lrelu(_conv(images, d.from_image[level]))
        for k in range(level - 1, -1, -1):
            x = _lrelu(_conv(x, d.blocks[k].same))
            x = _lrelu(F.avg_pool2d(_conv(x, d.blocks[k].down), 2))
            if alpha is not None and k == level - 1:
                x = (1 - alpha) * _lrelu(_conv(F.avg_pool2d(images, 2), d.from_image[k])) + alpha * x
        size = d.shape.stddev_group if len(x) % d.shape.stddev_group == 0 else len(x)
        y = x.reshape(size, -1, *x.shape[1:])
        y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
        x = torch.cat([x, y.repeat(size).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)
        features = _lrelu(_dense(_lrelu(_conv(x, d.same)).flatten(1), d.dense))
        logits = _dense(features, d.out)[:, 0]
        if labels is None:
            return logits
        packed = labels.reshape(len(features), d.shape.pack, -1)
        wanted = sum(table(packed[:, k]) for k, table in enumerate(d.embeddings))
        return logits + (features * wanted).sum(1) / features.shape[1] ** 0.5

    def d_losses(self, reals, fakes, labels, alpha, mix=None, weight=None) -> tuple[Tensor, Tensor, Tensor]:
        """See `Passes`."""
        if weight is None:
            real, fake = self.critic(reals, labels, alpha), self.critic(fakes, labels, alpha)
            return self.loss.of_d(real, fake), real.mean(), fake.mean()
        real, fake, penalty = self.loss.score(_PlainCritic(self, labels, alpha), reals, fakes, mix)
        return self.loss.of_d(real, fake) + weight * penalty, real.mean(), fake.mean()

    def g_loss(self, reals, fakes, labels, alpha) -> Tensor:
        """See `Passes`."""
        real = self.critic(reals, labels, alpha) if self.loss.relative else None
        return self.loss.of_g(real, self.critic(fakes, labels, alpha))


@dataclass(frozen=True)
class _PlainCritic:
    passes: PlainPasses
    labels: Tensor | None
    alpha: Tensor | None

    def logits(self, *batches: Tensor) -> list[Tensor]:
        return [self.passes.critic(batch, self.labels, self.alpha) for batch in batches]

    def logits_and_gradients(self, *batches: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        gradients = []
        for batch in batches:
            images = batch.detach().requires_grad_(True)
            (logits,) = self.logits(images)
            gradients += torch.autograd.grad(logits.sum(), images, create_graph=True)
        return self.logits(*batches), gradients


def plain_step(
    state: TrainState, passes: PlainPasses, adams: Sequence, reals: Tensor, labels: Tensor | None, penalised
):
    """What `train_step` does, but for its statistics."""
    fakes = passes.fakes(state.draw_latents(), labels, None)
    extra = (state.draw_mixes(), torch.ones((), device=state.device)) if penalised else ()
    g_adam, d_adam = adams
    d_loss, _, _ = passes.d_losses(reals, fakes.detach(), labels, None, *extra)
    _plain_update(d_adam, d_loss)
    state.discriminator.requires_grad_(False)
    _plain_update(g_adam, passes.g_loss(reals, fakes, labels, None))
    state.discriminator.requires_grad_(True)
    decay = ema_decay_at(state.nimg, state.config)
    with torch.no_grad():
        for mean, now in zip(state.ema.parameters(), state.generator.parameters(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * now)


def _plain_update(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    if isfinite(loss.item()):
        adam.step()


# ---- the measurement

BASELINE, EAGER, COMPILED = "baseline", "eager", "compiled"


@dataclass
class Contestant:
    """A way to make a step, in a process of its own; seconds of the fastest step, without and with a penalty."""

    process: BaseProcess
    asked: Connection
    compiling: float
    best: list[float]

    @classmethod
    def start(cls, name: str, config: TrainConfig, resolution: int, *, threads: int) -> "Contestant":
        """Wait until it can make steps."""
        spawn = get_context("spawn")
        here, there = spawn.Pipe()
        process = spawn.Process(target=_make_steps, args=(there, name, config, resolution, threads), daemon=True)
        process.start()
        there.close()  # so that the end of the process is the end of the pipe
        return cls(process, here, here.recv(), [float("inf"), float("inf")])

    def step(self, *, penalised: bool) -> float:
        """Seconds of a step made now."""
        self.asked.send(penalised)
        return self.asked.recv()

    def end(self) -> None:
        """Let go of its process."""
        self.asked.send(None)
        self.process.join()

    def seconds(self, interval: int) -> float:
        """Of a step, on average."""
        return (self.best[0] * (interval - 1) + self.best[1]) / interval


def _make_steps(asked: Connection, name: str, config: TrainConfig, resolution: int, threads: int) -> None:
    """Tell the seconds it took to compile, then those of each step that is asked for, until None is.

    The baseline allocates memory as torch does by itself; ours prepares the process as `pgan train` does.
    """
    if name == BASELINE:
        torch.set_num_threads(threads)
    else:
        prepare_cpu(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step, compiling = steps_of(name, config, resolution, device)
    asked.send(compiling)
    for penalised in iter(asked.recv, None):
        asked.send(spent(partial(step, penalised), device))


def steps_of(
    name: str, config: TrainConfig, resolution: int, device: torch.device
) -> tuple[Callable[[bool], object], float]:
    """(A function that makes a step at full growth, with a penalty or without, and the seconds it took to compile.)"""
    shape = NetworkShape.of(config, (CHANNELS, resolution, resolution), factor_sizes=FACTOR_SIZES)
    schedule, growth = growth_of(config, resolution)
    reals = torch.randn(config.batch, CHANNELS, resolution, resolution, device=device)
    labels = torch.zeros((config.batch, len(FACTOR_SIZES)), dtype=torch.int64, device=device)
    state = TrainState(config, shape, device=device)
    nets = (state.generator, state.discriminator)
    if name == BASELINE:
        for net in nets:
            net.precision = None
        adams = [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, config.adam_beta2)) for net in nets]
        plain = PlainPasses(*nets, loss=config.loss, level=growth.level)
        return lambda penalised: plain_step(state, plain, adams, reals, labels, penalised), 0.0
    config = replace(config, compile="yes" if name == COMPILED else "no")
    say = partial(print, file=sys.stderr)
    passes_by_phase = PassesByPhase(*nets, config=config, schedule=schedule, device=device, say=say)
    begin = time.perf_counter()
    passes = passes_by_phase.at(growth, batch=config.batch)
    compiling = time.perf_counter() - begin

    def step(penalised: bool) -> None:
        state.nimg = 0 if penalised else config.batch  # the first of each interval has a penalty
        train_step(state, growth, reals=reals, labels=labels, passes=passes)

    return step, compiling


def growth_of(config: TrainConfig, resolution: int) -> tuple[Schedule, Growth]:
    """The schedule for square images, and its full growth."""
    schedule = Schedule.of(config, height=resolution, width=resolution)
    return schedule, replace(schedule.growth_at(schedule.total), progress=0.0)


def spent(work: Callable[[], object], device: torch.device) -> float:
    """Seconds: of the GPU's clock on the wall, of this process on a CPU, where others may be busy."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - begin
    begin = time.process_time()
    work()
    return time.process_time() - begin


def compare(config: TrainConfig, resolution: int, *, rounds: int, threads: int, compiled: bool) -> str:
    """A row of the table: all contestants in turns, so that a busy moment hits them alike."""
    names = (BASELINE, EAGER, COMPILED) if compiled else (BASELINE, EAGER)
    found = {name: Contestant.start(name, config, resolution, threads=threads) for name in names}
    _, growth = growth_of(config, resolution)
    interval = penalty_interval(growth, config) if LOSSES[config.loss].scaled else 1
    for number in range(rounds + 1):
        for one in found.values():
            for penalised in (False, True) if interval > 1 else (True,):
                seconds = one.step(penalised=penalised)
                if number:  # the first one warms up
                    one.best[penalised] = min(one.best[penalised], seconds)
    for one in found.values():
        one.end()
        one.best[0] = one.best[1] if interval == 1 else one.best[0]
    base = found[BASELINE].seconds(interval)
    cells = [f"{config.batch / base:,.0f}"]
    for name in (EAGER, COMPILED):
        seconds = found[name].seconds(interval) if name in found else float("nan")
        cells += [f"{config.batch / seconds:,.0f}", f"{base / seconds:.2f}"] if name in found else ["–", "–"]
    cells.append(f"{found[COMPILED].compiling:.0f}" if compiled else "–")
    return " | ".join(cells)


def main() -> None:
    """Print the table."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    cases = CUDA_CASES if device.type == "cuda" else CPU_CASES
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", default=cases, help=f"PRESET:PIXELS[:BATCH]; {' '.join(cases)}")
    parser.add_argument("--rounds", type=int, default=8, help="steps of each kind; the fastest counts")
    parser.add_argument("--loss", help="another loss than the preset's")
    parser.add_argument("--precision", default="auto", help="of our convolutions: fp32, bf16, auto")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--no-compile", action="store_true", help="leave the compiled step out: minutes per case on a CPU"
    )
    options = parser.parse_args()
    prepare_cpu(options.threads)  # the processes of the contestants find the environment that it sets
    print_heading("torch")
    name = torch.cuda.get_device_name() if device.type == "cuda" else f"CPU, threads: {options.threads}"
    print(f"{name}; images per second{'' if device.type == 'cuda' else ' of CPU time'} at full growth\n")
    print("| preset | loss | px | batch | baseline | eager | × | compiled | × | seconds to compile |")
    print("|---|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for case in options.cases:
        preset, pixels, *batch = case.split(":")
        config = PRESETS[preset]
        config = replace(config, loss=options.loss or config.loss, precision=options.precision)
        config = replace(config, batch=int(*batch) if batch else config.batch)
        measuring = {"rounds": options.rounds, "threads": options.threads, "compiled": not options.no_compile}
        row = compare(config, int(pixels), **measuring)
        print(f"| {preset} | {config.loss} | {pixels} | {config.batch} | {row} |", flush=True)


if __name__ == "__main__":
    main()
