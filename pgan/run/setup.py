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
from pgan.steps.data_order import LabelLaw, batch_indices
from pgan.steps.distributed import Workers
from pgan.steps.reals import RealImages
from pgan.steps.schedule import Growth, Schedule
from pgan.steps.state import TrainState
from rasterize.errors import InputError
from rasterize.imageset import ImageSet

RANGE_SAMPLE = 4096  # reals from which their range is estimated
GRID_CELLS = 5 * COLUMNS


@dataclass(frozen=True, kw_only=True)
class Run:
    """What stays as it is while a run trains."""

    model: Path
    config: TrainConfig
    identity: Mapping[str, Any]
    images: ImageSet
    schedule: Schedule
    ranks: Workers
    part: np.ndarray | slice  # rows of a batch that are this rank's
    reals: RealImages
    law: LabelLaw | None
    grid_latents: Tensor
    grid_labels: Tensor | None


def choose_device(name: str) -> torch.device:
    """`auto` is CUDA where there is one (under torchrun, the rank's); raises `InputError` on one that is not there."""
    if name == "auto":
        name = f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu"
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


def load_batch(run: Run, state: TrainState, growth: Growth) -> tuple[Tensor, Tensor | None]:
    """This rank's part of the batch to show next: standardised reals [n, C, h, w], faded; labels [n, F]."""
    batch, seed = run.config.batch, run.config.seed
    which, following = (
        batch_indices(nimg, batch=batch, count=len(run.images), seed=seed, law=run.law)[run.part]
        for nimg in (state.nimg, state.nimg + batch)
    )
    levels, labels = run.reals.batch(which, following=following)
    reals = shrink_reals(levels, state.scales, level=growth.level, alpha=growth.alpha if growth.fading else None)
    return reals, labels


def _labels(images: ImageSet, which: np.ndarray, *, device: torch.device) -> Tensor | None:
    return torch.from_numpy(images.labels[which].astype(np.int64)).to(device) if images.factors else None


def read_range_sample(images: ImageSet, seed: int) -> Tensor:
    """Up to RANGE_SAMPLE full-size reals [N, C, H, W]; raises `InputError` if some are not finite."""
    which = np.sort(np.random.default_rng(seed).permutation(len(images))[:RANGE_SAMPLE])
    sample = images.read(which)
    if not np.isfinite(sample).all():
        raise InputError(f"{images.folder}: some levels are not finite numbers; make the images again")
    return torch.from_numpy(sample)


def make_run(model: Path, config: TrainConfig, *, images: ImageSet, state: TrainState) -> Run:
    """What stays as it is while `state` trains on `images` into `model`; writes nothing."""
    which = np.random.default_rng(config.seed).integers(0, len(images), GRID_CELLS)
    latents = torch.randn((GRID_CELLS, config.latent_size), generator=torch.Generator().manual_seed(config.seed + 1))
    return Run(
        model=model,
        config=config,
        identity=make_identity(config, images),
        images=images,
        schedule=Schedule.of(config, height=images.shape[1], width=images.shape[2]),
        ranks=state.ranks,
        part=slice(None) if state.part is None else state.part.cpu().numpy(),
        reals=RealImages(images, state.device),
        law=LabelLaw.of(images.labels, power=config.label_power, seed=config.seed),
        grid_latents=latents.to(state.device),
        grid_labels=_labels(images, which, device=state.device),
    )
