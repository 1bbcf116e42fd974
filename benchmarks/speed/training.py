"""Training steps beside the same nets and loss written plainly: images per second by preset and resolution."""

import argparse
import sys
import time
from collections.abc import Callable, Mapping, Sequence
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
# PRESET:PIXELS[:BATCH]; where steps take seconds, a smaller batch than the preset's
CPU_CASES = ("tiny:8", "tiny:16", "tiny:32", "tiny:64", "default:8:8", "paper:4:8")
CUDA_CASES = ("tiny:32", *(f"{preset}:{px}" for preset in ("default", "paper") for px in (32, 64, 128, 256)))


# ---- the baseline: eager, fp32, NCHW, a kernel per operation, penalties by differentiating twice, a wait per step


def _conv(x: Tensor, layer: Conv) -> Tensor:
    return F.conv2d(x, layer.weight * layer.scale, layer.bias, padding=layer.weight.shape[-1] // 2)


def _dense(x: Tensor, layer: Dense) -> Tensor:
    return F.linear(x, layer.weight * layer.scale, layer.bias)


def _lrelu(x: Tensor) -> Tensor:
    return F.leaky_relu(x, SLOPE)


def _pixel_norm(x: Tensor) -> Tensor:
    return x / torch.sqrt(x.pow(2).mean(1, keepdim=True) + 1e-8)


class PlainPasses(Passes):
    """The passes of `Passes`, from the same weights, as one would write them down first.

    Parameters and results of each pass are those of `Passes`.
    """

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """Return the images of the generator, see `Passes.fakes`.

        Parameters
        ----------
        z : (N, latent_size) float32
            Latents.
        labels : (N, factors) int64 or None
            Index of each factor's value.
        alpha : 0-dim tensor or None
            Share of the new level while it fades in.

        Returns
        -------
        (N, C, h, w) float32
            Images in standardised levels.
        """
        # Map latents and labels to the smallest features.
        g, level = self.generator, self.level
        x = _pixel_norm(z)
        if labels is not None:
            x = torch.cat([x, _pixel_norm(g.embedding(labels))], 1)
        for layer in g.hidden:
            x = _pixel_norm(_lrelu(_dense(x, layer)))
        x = _pixel_norm(_lrelu(_dense(x, g.dense).reshape(len(z), -1, g.shape.base_height, g.shape.base_width)))
        # Grow level by level; while the last one fades in, the level before it is mixed in.
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
        """Return the logits of one batch.

        Parameters
        ----------
        images : (N, C, h, w) float32
            Real or fake images in standardised levels.
        labels : (N, factors) int64 or None
            Index of each factor's value.
        alpha : 0-dim tensor or None
            Share of the new level while it fades in.

        Returns
        -------
        (N / pack,) float32
            One logit for each pack of images.
        """
        # Shrink level by level; while the first one fades in, the level after it is mixed in.
        d, level = self.discriminator, self.level
        images = images.reshape(len(images) // d.shape.pack, -1, *images.shape[2:])
        x = _lrelu(_conv(images, d.from_image[level]))
        for below in range(level - 1, -1, -1):
            x = _lrelu(_conv(x, d.blocks[below].same))
            x = _lrelu(F.avg_pool2d(_conv(x, d.blocks[below].down), 2))
            if alpha is not None and below == level - 1:
                x = (1 - alpha) * _lrelu(_conv(F.avg_pool2d(images, 2), d.from_image[below])) + alpha * x
        # Add the standard deviation over groups of the minibatch as a channel (Karras et al. 2018).
        size = d.shape.stddev_group if len(x) % d.shape.stddev_group == 0 else len(x)
        y = x.reshape(size, -1, *x.shape[1:])
        y = ((y - y.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
        x = torch.cat([x, y.repeat(size).reshape(-1, 1, 1, 1).expand(-1, 1, *x.shape[2:])], 1)
        # Project the labels on the features (Miyato & Koyama 2018).
        features = _lrelu(_dense(_lrelu(_conv(x, d.same)).flatten(1), d.dense))
        logits = _dense(features, d.out)[:, 0]
        if labels is None:
            return logits
        packed = labels.reshape(len(features), d.shape.pack, -1)
        projected = sum(table(packed[:, index]) for index, table in enumerate(d.embeddings))
        return logits + (features * projected).sum(1) / features.shape[1] ** 0.5

    def d_losses(self, reals, fakes, labels, alpha, mix=None, weight=None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the loss of the discriminator, see `Passes.d_losses`.

        Parameters
        ----------
        reals, fakes : (N, C, h, w) float32
            Images in standardised levels.
        labels, alpha
            As in `critic`.
        mix : (N, 1, 1, 1) float32 or None
            Share of the fakes in images between both, where a penalty asks for them.
        weight : 0-dim tensor or None
            Weight of the penalty; None leaves it out.

        Returns
        -------
        tuple of three 0-dim tensors
            The loss, the mean logit of reals, the mean logit of fakes.
        """
        if weight is None:
            real, fake = self.critic(reals, labels, alpha), self.critic(fakes, labels, alpha)
            return self.loss.of_d(real, fake), real.mean(), fake.mean()
        real, fake, penalty = self.loss.score(_PlainCritic(self, labels, alpha), reals, fakes, mix)
        return self.loss.of_d(real, fake) + weight * penalty, real.mean(), fake.mean()

    def g_loss(self, reals, fakes, labels, alpha) -> Tensor:
        """Return the loss of the generator, see `Passes.g_loss`.

        Parameters
        ----------
        reals, fakes : (N, C, h, w) float32
            Images in standardised levels; reals count in relative training only.
        labels, alpha
            As in `critic`.

        Returns
        -------
        0-dim tensor
            The loss.
        """
        real = self.critic(reals, labels, alpha) if self.loss.relative else None
        return self.loss.of_g(real, self.critic(fakes, labels, alpha))


@dataclass(frozen=True)
class _PlainCritic:
    """The discriminator of `PlainPasses` as losses ask for it: a `pgan.networks.losses.Critic`."""

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


def _take_plain_step(
    state: TrainState, passes: PlainPasses, adams: Sequence, reals: Tensor, labels: Tensor | None, penalised: bool
) -> None:
    """Make a training step as `train_step` does, without its statistics."""
    # Discriminator: penalties have weight 1, since the weight costs no time.
    fakes = passes.fakes(state.draw_latents(), labels, None)
    extra = (state.draw_mixes(), torch.ones((), device=state.device)) if penalised else ()
    g_adam, d_adam = adams
    d_loss, _, _ = passes.d_losses(reals, fakes.detach(), labels, None, *extra)
    _update_plainly(d_adam, d_loss)
    # Generator, through a discriminator that stays as it is.
    state.discriminator.requires_grad_(False)
    _update_plainly(g_adam, passes.g_loss(reals, fakes, labels, None))
    state.discriminator.requires_grad_(True)
    # Moving average of the generator.
    decay = ema_decay_at(state.nimg, state.config)
    with torch.no_grad():
        for mean, now in zip(state.ema.parameters(), state.generator.parameters(), strict=True):
            mean.copy_(decay * mean + (1 - decay) * now)


def _update_plainly(adam: torch.optim.Adam, loss: Tensor) -> None:
    adam.zero_grad()
    loss.backward()
    if isfinite(loss.item()):
        adam.step()


# ---- the measurement

BASELINE, EAGER, COMPILED = "baseline", "eager", "compiled"


@dataclass
class Contestant:
    """A way to make a step, in a process of its own.

    Attributes
    ----------
    process : BaseProcess
        Makes a step when asked.
    requests : Connection
        Takes whether the next step has a penalty; gives the seconds of the step.
    compiling_s : float
        Seconds it took to compile.
    best_s : list of two float
        Seconds of the fastest step without a penalty, and of the fastest with one.
    """

    process: BaseProcess
    requests: Connection
    compiling_s: float
    best_s: list[float]

    @classmethod
    def start(cls, name: str, config: TrainConfig, resolution: int, *, threads: int) -> "Contestant":
        """Start the process, and wait until it can make steps.

        Parameters
        ----------
        name : str
            `BASELINE`, `EAGER` or `COMPILED`.
        config : TrainConfig
            Settings of training.
        resolution : int
            Side of the images in pixels.
        threads : int
            CPU threads of the process.

        Returns
        -------
        Contestant
            Ready, with no step timed yet.
        """
        spawn = get_context("spawn")
        ours, theirs = spawn.Pipe()
        process = spawn.Process(target=_serve_steps, args=(theirs, name, config, resolution, threads), daemon=True)
        process.start()
        theirs.close()  # so that the end of the process is the end of the pipe
        return cls(process, ours, ours.recv(), [float("inf"), float("inf")])

    def time_step(self, *, penalised: bool) -> None:
        """Let the process make a step, and keep its seconds if it is the fastest of its kind."""
        self.requests.send(penalised)
        self.best_s[penalised] = min(self.best_s[penalised], self.requests.recv())

    def forget_times(self) -> None:
        """Forget the steps that warmed up."""
        self.best_s = [float("inf"), float("inf")]

    def end(self) -> None:
        """End the process."""
        self.requests.send(None)
        self.process.join()

    def mean_seconds(self, interval: int) -> float:
        """Return the seconds of a step on average, where one step in `interval` has a penalty."""
        if interval == 1:
            return self.best_s[1]
        return (self.best_s[0] * (interval - 1) + self.best_s[1]) / interval


def _serve_steps(requests: Connection, name: str, config: TrainConfig, resolution: int, threads: int) -> None:
    """Send the seconds it took to compile, then those of each step that is asked for, until None comes.

    The baseline allocates memory as torch does by itself; ours prepares the process as `pgan train` does.
    """
    if name == BASELINE:
        torch.set_num_threads(threads)
    else:
        prepare_cpu(threads)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    step, compiling = _make_step(name, config, resolution, device)
    requests.send(compiling)
    for penalised in iter(requests.recv, None):
        requests.send(_measure_seconds(partial(step, penalised), device))


def _make_step(
    name: str, config: TrainConfig, resolution: int, device: torch.device
) -> tuple[Callable[[bool], object], float]:
    """Return a function that makes a step at full growth, and the seconds it took to compile.

    The function takes whether the step has a penalty.
    """
    shape = NetworkShape.of(config, (CHANNELS, resolution, resolution), factor_sizes=FACTOR_SIZES)
    schedule, growth = _find_full_growth(config, resolution)
    reals = torch.randn(config.batch, CHANNELS, resolution, resolution, device=device)
    labels = torch.zeros((config.batch, len(FACTOR_SIZES)), dtype=torch.int64, device=device)
    # Both kinds of step start from a fresh run, at full growth.
    state = TrainState(config, shape, device=device)
    nets = (state.generator, state.discriminator)
    if name == BASELINE:
        for net in nets:
            net.precision = None
        adams = [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, config.adam_beta2)) for net in nets]
        plain = PlainPasses(*nets, loss=config.loss, level=growth.level)
        return lambda penalised: _take_plain_step(state, plain, adams, reals, labels, penalised), 0.0
    # Ours, as `pgan train` steps: compiled where it is asked for.
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


def _find_full_growth(config: TrainConfig, resolution: int) -> tuple[Schedule, Growth]:
    """Return the schedule for square images, and its full growth."""
    schedule = Schedule.of(config, height=resolution, width=resolution)
    return schedule, replace(schedule.growth_at(schedule.total), progress=0.0)


def _measure_seconds(work: Callable[[], object], device: torch.device) -> float:
    """Return the seconds that work takes: wall time on a GPU, CPU time of this process where there is none."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        begin = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - begin
    begin = time.process_time()
    work()
    return time.process_time() - begin


def time_contestants(
    config: TrainConfig, resolution: int, *, rounds: int, threads: int, compiled: bool
) -> dict[str, tuple[float, float]]:
    """Time the steps of all contestants, in turns, so that a busy moment slows all of them.

    Parameters
    ----------
    config : TrainConfig
        Settings of training.
    resolution : int
        Side of the images in pixels.
    rounds : int
        Timed steps of each kind, with a penalty and without; the fastest of each counts.
    threads : int
        CPU threads of each process.
    compiled : bool
        Whether the compiled step takes part.

    Returns
    -------
    dict of str to tuple of two float
        By name of the contestant: seconds of a step on average, and seconds it took to compile.
    """
    names = (BASELINE, EAGER, COMPILED) if compiled else (BASELINE, EAGER)
    contestants = {name: Contestant.start(name, config, resolution, threads=threads) for name in names}
    _, growth = _find_full_growth(config, resolution)
    interval = penalty_interval(growth, config) if LOSSES[config.loss].scaled else 1
    for number in range(rounds + 1):
        for contestant in contestants.values():
            for penalised in (False, True) if interval > 1 else (True,):
                contestant.time_step(penalised=penalised)
            if number == 0:  # the first round warms up
                contestant.forget_times()
    for contestant in contestants.values():
        contestant.end()
    return {name: (one.mean_seconds(interval), one.compiling_s) for name, one in contestants.items()}


def format_row(batch: int, times: Mapping[str, tuple[float, float]]) -> str:
    """Return a row's cells: images per second of each contestant, how often the baseline's, seconds to compile."""
    base, _ = times[BASELINE]
    cells = [f"{batch / base:,.0f}"]
    for name in (EAGER, COMPILED):
        seconds, _ = times.get(name, (float("nan"), 0.0))
        cells += [f"{batch / seconds:,.0f}", f"{base / seconds:.2f}"] if name in times else ["–", "–"]
    cells.append(f"{times[COMPILED][1]:.0f}" if COMPILED in times else "–")
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
        row = format_row(config.batch, time_contestants(config, int(pixels), **measuring))
        print(f"| {preset} | {config.loss} | {pixels} | {config.batch} | {row} |", flush=True)


if __name__ == "__main__":
    main()
