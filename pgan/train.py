"""Train a progressive GAN on an image set: one straight loop, from wherever the run stands to its end."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pgan.checkpoint import (
    Snapshot,
    count_labels,
    describe_run,
    load_checkpoint,
    refuse_other_run,
    save_checkpoint,
    save_snapshot,
)
from pgan.config import TrainConfig
from pgan.networks import NetworkShape
from pgan.pictures import COLUMNS, caption_of, grid_picture, save_picture, save_timelapse
from pgan.progress import Reporter
from pgan.pyramid import reals_at, standardised
from pgan.schedule import Growth, Schedule, batch_indices
from pgan.state import TrainState
from pgan.step import train_step
from rasterize.errors import InputError
from rasterize.files import write_json
from rasterize.imageset import ImageSet

RANGE_SAMPLE = 4096  # reals from which their range is estimated
REPORT_IMAGES = 1000
GRID_CELLS = 5 * COLUMNS
MOST_SKIPPED = 50  # non-finite steps in a row before giving up


@dataclass(frozen=True, kw_only=True)
class Run:
    """What stays as it is while a run trains."""

    model: Path
    config: TrainConfig
    images: ImageSet
    schedule: Schedule
    grid_latents: Tensor
    grid_labels: Tensor | None


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one; raises `InputError` on a device that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device '{name}' is unknown; devices: auto, cpu, cuda, cuda:0, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not here; torch sees {torch.cuda.device_count()} CUDA devices; use cpu")
    return device


def network_shape(config: TrainConfig, images: ImageSet) -> NetworkShape:
    """The networks for an image set; raises `InputError` on too few images or a size out of reach."""
    if len(images) < config.batch:
        raise InputError(
            f"{images.folder}: {len(images)} images are fewer than one batch of {config.batch}; "
            "make more images or train with a smaller --batch"
        )
    return NetworkShape.of(config, images.shape, factor_sizes=[len(factor.values) for factor in images.factors])


def train(run_folder: Path, config: TrainConfig, *, device: torch.device) -> bool:
    """Train on RUN/images into RUN/model, going on from a checkpoint if there is one; says whether it got to the end.

    Writes run.json, reals.png, checkpoint.pt, progress/NIMG.png, stats.jsonl, tensorboard/, timelapse.gif and, last of
    all, snapshot.pt. Raises `InputError` on images that cannot be trained on and on a folder that holds another run.
    """
    images = ImageSet.open(run_folder / "images")
    shape, model = network_shape(config, images), run_folder / "model"
    refuse_other_run(model, config, images=images)
    if (model / "snapshot.pt").exists():
        print(f"{model}: finished; `python -m pgan sample --run {run_folder}` makes images, remove it to train afresh")
        return True
    state = TrainState(config, shape, device=device)
    if not load_checkpoint(model, state):
        state.fit_range(_sample_of(images, config.seed))
        write_json(model / "run.json", describe_run(config, images, state=state))
    run = _make_run(model, config, images=images, device=device)
    with stop_on_signals() as stop:
        _loop(run, state, stop)
    if state.nimg < run.schedule.total:
        print(f"stopped at {state.nimg / 1000:.1f} kimg and saved; the same command goes on from there", flush=True)
        return False
    _finish(run, state)
    return True


def _loop(run: Run, state: TrainState, stop: "StopRequest") -> None:
    config, schedule = run.config, run.schedule
    with Reporter(run.model, schedule, nimg=state.nimg) as reporter:
        if state.nimg == 0:
            _save_reals(run, state)
            _save_progress_picture(run, state)
        while state.nimg < schedule.total and not stop.asked:
            growth = schedule.growth_at(state.nimg)
            reals, labels = load_batch(run, state, growth)
            result = train_step(state, growth, reals=reals, labels=labels)
            reporter.add(result)
            _stop_if_lost(run, state)
            ended = state.nimg >= schedule.total
            if ended or _crossed(state.nimg, config.batch, REPORT_IMAGES):
                reporter.report(growth, nimg=state.nimg, skipped=state.skipped)
            if ended or _crossed(state.nimg, config.batch, config.picture_kimg * 1000):
                _save_progress_picture(run, state)
            if _crossed(state.nimg, config.batch, config.checkpoint_kimg * 1000) and not state.skipped_in_a_row:
                save_checkpoint(run.model, state)
    save_checkpoint(run.model, state)


def _crossed(nimg: int, batch: int, every: float) -> bool:
    """Whether the last batch passed a multiple of `every` images."""
    return nimg // every > (nimg - batch) // every


def load_batch(run: Run, state: TrainState, growth: Growth) -> tuple[Tensor, Tensor | None]:
    """The batch to show next: standardised reals [batch, C, h, w], faded; labels [batch, F]."""
    which = batch_indices(state.nimg, batch=run.config.batch, count=len(run.images), seed=run.config.seed)
    levels = torch.from_numpy(run.images.read(which)).to(state.device)
    reals = reals_at(levels, state.scales, level=growth.level, alpha=growth.alpha if growth.fading else None)
    return reals, _labels(run.images, which, device=state.device)


def _labels(images: ImageSet, which: np.ndarray, *, device: torch.device) -> Tensor | None:
    return torch.from_numpy(images.labels[which].astype(np.int64)).to(device) if images.factors else None


def _sample_of(images: ImageSet, seed: int) -> Tensor:
    which = np.sort(np.random.default_rng(seed).permutation(len(images))[:RANGE_SAMPLE])
    sample = images.read(which)
    if not np.isfinite(sample).all():
        raise InputError(f"{images.folder}: some levels are not finite numbers; make the images again")
    return torch.from_numpy(sample)


def _make_run(model: Path, config: TrainConfig, *, images: ImageSet, device: torch.device) -> Run:
    which = np.random.default_rng(config.seed).integers(0, len(images), GRID_CELLS)
    latents = torch.randn((GRID_CELLS, config.latent_size), generator=torch.Generator().manual_seed(config.seed + 1))
    return Run(
        model=model,
        config=config,
        images=images,
        schedule=Schedule.of(config, height=images.shape[1], width=images.shape[2]),
        grid_latents=latents.to(device),
        grid_labels=_labels(images, which, device=device),
    )


def _save_reals(run: Run, state: TrainState) -> None:
    which = np.random.default_rng(run.config.seed).integers(0, len(run.images), GRID_CELLS)
    _, height, width = run.images.shape
    reals = standardised(torch.from_numpy(run.images.read(which)), state.scales[-1].cpu())
    picture = grid_picture(reals, height=height, width=width, caption=f"real   {height}x{width} px")
    save_picture(picture, run.model / "reals.png")


@torch.no_grad()
def _save_progress_picture(run: Run, state: TrainState) -> None:
    growth = run.schedule.growth_at(state.nimg)
    alpha = growth.alpha if growth.fading else None
    fakes = state.ema(run.grid_latents, run.grid_labels, growth.level, alpha).cpu()
    _, height, width = run.images.shape
    picture = grid_picture(fakes, height=height, width=width, caption=caption_of(growth, state.nimg))
    save_picture(picture, run.model / "progress" / f"{state.nimg:09d}.png")


def _stop_if_lost(run: Run, state: TrainState) -> None:
    """Stop loudly once nothing has been learnt for long; the checkpoint stays at the last sound weights."""
    if state.skipped_in_a_row >= MOST_SKIPPED:
        raise InputError(
            f"{run.model}: {MOST_SKIPPED} steps in a row were not finite, at {state.nimg / 1000:.1f} kimg; train into "
            f"another run folder with a lower --learning-rate (now {run.config.learning_rate:g}) "
            f"or a higher --gamma-scale (now {run.config.gamma_scale:g})"
        )


def _finish(run: Run, state: TrainState) -> None:
    save_timelapse(run.model / "progress", run.model / "timelapse.gif")
    rows, counts = count_labels(run.images.labels)
    snapshot = Snapshot(
        generator=state.ema.cpu(),
        scales=state.scales.cpu(),
        spec=json.dumps(run.images.spec.to_json()),
        label_rows=rows,
        label_counts=counts,
    )
    save_snapshot(run.model, snapshot)
    print(f"{run.model}: trained on {state.nimg / 1000:.1f} kimg, {state.skipped} steps skipped", flush=True)


class StopRequest:
    """Whether somebody asked to stop at the next step."""

    def __init__(self) -> None:
        self.asked = False


@contextmanager
def stop_on_signals() -> Iterator[StopRequest]:
    """Turn the first SIGINT or SIGTERM into a request to stop between two steps; a second one acts at once."""
    request = StopRequest()
    before = {}

    def ask(number: int, _frame: object) -> None:
        request.asked = True
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, ask)
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
