"""What stays as it is while a run trains, and how it is put together."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pgan.config import TrainConfig
from pgan.networks.pyramid import shrink_reals
from pgan.networks.shape import NetworkShape
from pgan.run.pictures import COLUMNS
from pgan.run.run_record import make_identity
from pgan.steps.data_order import LabelLaw, pick_batch
from pgan.steps.distributed import Workers
from pgan.steps.reals import RealImages
from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from rasterize.errors import InputError
from rasterize.imageset import ImageSet

RANGE_SAMPLE = 4096  # reals from which their range is estimated; set by hand, not swept
GRID_CELLS = 5 * COLUMNS


@dataclass(frozen=True, kw_only=True)
class Run:
    """What stays as it is while a run trains.

    Attributes
    ----------
    model : Path
        The model folder.
    config : TrainConfig
        All settings.
    identity : mapping
        What must be the same for the run to go on; see `make_identity`.
    images : ImageSet
        What it learns from.
    schedule : Schedule
        Its phases.
    workers : Workers
        This process among those that train the run.
    share : (batch / workers,) int64, or slice
        This worker's rows of a batch.
    reals : RealImages
        The images as batches on the device.
    law : LabelLaw or None
        How often images are shown by label; None shows all alike.
    grid_latents, grid_labels : (GRID_CELLS, latent_size) float32 and (GRID_CELLS, F) int64
        What progress pictures show; labels are None where images have none.
    """

    model: Path
    config: TrainConfig
    identity: Mapping[str, Any]
    images: ImageSet
    schedule: Schedule
    workers: Workers
    share: np.ndarray | slice
    reals: RealImages
    law: LabelLaw | None
    grid_latents: Tensor
    grid_labels: Tensor | None


def choose_device(name: str) -> torch.device:
    """Return the device of that name; `auto` is CUDA where there is one (under torchrun, the worker's own).

    Raises `InputError` on one that is unknown or not there.
    """
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(f"device '{name}' is unknown; devices: auto, cpu, cuda, cuda:0, ...") from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not here; torch sees {torch.cuda.device_count()} CUDA devices; use cpu")
    return device


def make_network_shape(config: TrainConfig, images: ImageSet) -> NetworkShape:
    """Choose the sizes of the networks for an image set.

    Raises `InputError` on too few images, or on a size that cannot be reached by doubling.
    """
    if len(images) < config.batch:
        raise InputError(
            f"{images.folder}: {len(images)} images are fewer than one batch of {config.batch}; "
            "make more images or train with a smaller --batch"
        )
    return NetworkShape.of(config, images.shape, factor_sizes=[len(factor.values) for factor in images.factors])


def load_batch(run: Run, state: TrainState, growth: Growth) -> tuple[Tensor, Tensor | None]:
    """Load this worker's share of the batch to show next.

    Parameters
    ----------
    run : Run
        Has the images and their order.
    state : TrainState
        Tells how many images were shown.
    growth : Growth
        The moment of growth.

    Returns
    -------
    reals : (n, C, h, w) float32
        Standardised reals at this level, faded like the output of G.
    labels : (n, F) int64, or None
        Their labels; None where images have none.
    """
    # The order is a function of the images shown, so the batch after this one is known too.
    batch, seed = run.config.batch, run.config.seed
    rows, following = (
        pick_batch(nimg, batch=batch, count=len(run.images), seed=seed, law=run.law)[run.share]
        for nimg in (state.nimg, state.nimg + batch)
    )
    levels, labels = run.reals.load_batch(rows, following=following)
    reals = shrink_reals(levels, state.scales, level=growth.level, alpha=growth.alpha if growth.fading else None)
    return reals, labels


def _read_labels(images: ImageSet, rows: np.ndarray, *, device: torch.device) -> Tensor | None:
    """Read the labels of some images, int64 [n, F]; None where images have none."""
    return torch.from_numpy(images.labels[rows].astype(np.int64)).to(device) if images.factors else None


def read_range_sample(images: ImageSet, seed: int) -> Tensor:
    """Read up to RANGE_SAMPLE full-size reals [N, C, H, W]; raises `InputError` if some are not finite."""
    rows = np.sort(np.random.default_rng(seed).permutation(len(images))[:RANGE_SAMPLE])
    sample = images.read(rows)
    if not np.isfinite(sample).all():
        raise InputError(f"{images.folder}: some levels are not finite numbers; make the images again")
    return torch.from_numpy(sample)


def make_run(model: Path, config: TrainConfig, *, images: ImageSet, state: TrainState) -> Run:
    """Put together what stays as it is while a run trains; this writes nothing.

    Parameters
    ----------
    model : Path
        The model folder.
    config : TrainConfig
        All settings.
    images : ImageSet
        What the run learns from.
    state : TrainState
        What will be trained: it has the device and the workers.

    Returns
    -------
    Run
        All that a training loop needs beside `state`.
    """
    # Labels of real images and fixed latents, for pictures that differ by what was learnt alone.
    rows = np.random.default_rng(config.seed).integers(0, len(images), GRID_CELLS)
    latents = torch.randn((GRID_CELLS, config.latent_size), generator=torch.Generator().manual_seed(config.seed + 1))
    return Run(
        model=model,
        config=config,
        identity=make_identity(config, images),
        images=images,
        schedule=Schedule.of(config, height=images.shape[1], width=images.shape[2]),
        workers=state.workers,
        share=slice(None) if state.share is None else state.share.cpu().numpy(),
        reals=RealImages(images, state.device),
        law=LabelLaw.of(images.labels, power=config.label_power, seed=config.seed),
        grid_latents=latents.to(state.device),
        grid_labels=_read_labels(images, rows, device=state.device),
    )
