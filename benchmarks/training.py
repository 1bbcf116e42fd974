"""Training steps beside the same nets and loss written plainly: images per second by preset and resolution."""

import argparse
import gc
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.measure import print_heading
from pgan.compiling import Games
from pgan.config import PRESETS, TrainConfig
from pgan.game import Game
from pgan.losses import LOSSES
from pgan.networks import SLOPE, Conv, Dense, NetworkShape
from pgan.schedule import Schedule, ema_decay_at, penalty_interval
from pgan.state import TrainState
from pgan.step import train_step

CHANNELS, FACTOR_SIZES = 6, (24, 7, 2, 3)  # as `make raster` makes them: two painted planes, four label factors
CPU_CASES = ("tiny:8", "tiny:16", "tiny:32", "default:8:8", "paper:4:8")
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


class PlainGame(Game):
    """The passes of `Game`, from the same weights, as one would write them down first."""

    def fakes(self, z: Tensor, labels: Tensor | None, alpha: Tensor | None) -> Tensor:
        """See `Game`."""
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
        """See `Game`."""
        if weight is None:
            real, fake = self.critic(reals, labels, alpha), self.critic(fakes, labels, alpha)
            return self.loss.of_d(real, fake), real.mean(), fake.mean()
        real, fake, penalty = self.loss.judge(_PlainCritic(self, labels, alpha), reals, fakes, mix)
        return self.loss.of_d(real, fake) + weight * penalty, real.mean(), fake.mean()

    def g_loss(self, reals, fakes, labels, alpha) -> Tensor:
        """See `Game`."""
        real = self.critic(reals, labels, alpha) if self.loss.relative else None
        return self.loss.of_g(real, self.critic(fakes, labels, alpha))


@dataclass(frozen=True)
class _PlainCritic:
    game: PlainGame
    labels: Tensor | None
    alpha: Tensor | None

    def logits(self, *batches: Tensor) -> list[Tensor]:
        return [self.game.critic(batch, self.labels, self.alpha) for batch in batches]

    def logits_and_gradients(self, *batches: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        gradients = []
        for batch in batches:
            images = batch.detach().requires_grad_(True)
            (logits,) = self.logits(images)
            gradients += torch.autograd.grad(logits.sum(), images, create_graph=True)
        return self.logits(*batches), gradients


def plain_step(state: TrainState, game: PlainGame, adams: Sequence, reals: Tensor, labels: Tensor | None, penalised):
    """What `train_step` does, but for its statistics."""
    fakes = game.fakes(state.latents(), labels, None)
    extra = (state.mixes(), torch.ones((), device=state.device)) if penalised else ()
    g_adam, d_adam = adams
    d_loss, _, _ = game.d_losses(reals, fakes.detach(), labels, None, *extra)
    _plain_update(d_adam, d_loss)
    state.discriminator.requires_grad_(False)
    _plain_update(g_adam, game.g_loss(reals, fakes, labels, None))
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


@dataclass
class Contestant:
    """A way to make a step; seconds of the fastest one, without and with a penalty."""

    step: Callable[[bool], object]
    best: list[float]

    def seconds(self, interval: int) -> float:
        """Of a step, on average."""
        return (self.best[0] * (interval - 1) + self.best[1]) / interval


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


def contestants(config: TrainConfig, resolution: int, device: torch.device, *, compiled: bool):
    """Baseline, eager and compiled steps at full growth, and the seconds it took to compile."""
    shape = NetworkShape.of(config, (CHANNELS, resolution, resolution), factor_sizes=FACTOR_SIZES)
    schedule = Schedule.of(config, height=resolution, width=resolution)
    growth = replace(schedule.growth_at(schedule.total), progress=0.0)
    reals = torch.randn(config.batch, CHANNELS, resolution, resolution, device=device)
    labels = torch.zeros((config.batch, len(FACTOR_SIZES)), dtype=torch.int64, device=device)
    found, compiling = {}, float("nan")

    def ours(state: TrainState, game: Game) -> Callable[[bool], object]:
        def step(penalised: bool) -> None:
            state.nimg = 0 if penalised else config.batch  # the first of each interval has a penalty
            train_step(state, growth, reals=reals, labels=labels, game=game)

        return step

    for name in ("baseline", "eager", "compiled") if compiled else ("baseline", "eager"):
        state = TrainState(config, shape, device=device)
        nets = (state.generator, state.discriminator)
        if name == "baseline":
            for net in nets:
                net.precision = None
            adams = [torch.optim.Adam(net.parameters(), lr=1e-3, betas=(0.0, config.adam_beta2)) for net in nets]
            game = PlainGame(*nets, loss=config.loss, level=growth.level)
            step = lambda penalised, s=state, g=game, a=adams: plain_step(s, g, a, reals, labels, penalised)  # noqa: E731
        else:
            games = Games(
                *nets,
                config=replace(config, compile="yes" if name == "compiled" else "no"),
                schedule=schedule,
                device=device,
                say=lambda line: print(line, file=sys.stderr),
            )
            begin = time.perf_counter()
            step = ours(state, games.at(growth, batch=config.batch))
            compiling = time.perf_counter() - begin
        found[name] = Contestant(step, [float("inf"), float("inf")])
    return found, compiling, growth


def compare(config: TrainConfig, resolution: int, device: torch.device, *, rounds: int, compiled: bool) -> str:
    """A row of the table: all contestants in turns, so that a busy moment hits them alike."""
    found, compiling, growth = contestants(config, resolution, device, compiled=compiled)
    interval = penalty_interval(growth, config) if LOSSES[config.loss].scaled else 1
    for number in range(rounds + 1):
        for one in found.values():
            for penalised in (False, True) if interval > 1 else (True,):
                seconds = spent(lambda one=one, penalised=penalised: one.step(penalised), device)
                if number:  # the first one warms up
                    one.best[penalised] = min(one.best[penalised], seconds)
    if interval == 1:
        for one in found.values():
            one.best[0] = one.best[1]
    base = found["baseline"].seconds(interval)
    cells = [f"{config.batch / base:,.0f}"]
    for name in ("eager", "compiled"):
        seconds = found[name].seconds(interval) if name in found else float("nan")
        cells += [f"{config.batch / seconds:,.0f}", f"{base / seconds:.2f}"] if name in found else ["–", "–"]
    cells.append(f"{compiling:.0f}" if compiled else "–")
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
    torch.set_num_threads(options.threads)
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
        row = compare(config, int(pixels), device, rounds=options.rounds, compiled=not options.no_compile)
        print(f"| {preset} | {config.loss} | {pixels} | {config.batch} | {row} |", flush=True)
        gc.collect()


if __name__ == "__main__":
    main()
