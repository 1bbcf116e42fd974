"""Images from a trained run: latents and labels through G_ema, back in levels, streamed into an image set."""

from collections.abc import Iterator
from json import loads
from pathlib import Path

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from pgan.checkpoint import Snapshot, load_snapshot
from pgan.pyramid import in_levels
from rasterize.errors import InputError
from rasterize.imageset import Spec, write_image_set

BATCH = 64


def share_out(counts: ArrayLike, total: int, *, rng: np.random.Generator) -> NDArray:
    """Split `total` over cells in proportion to `counts`: each gets its quota rounded up or down, int64 like `counts`.

    Systematic sampling (one random start, equal steps along the cumulated counts): the expectation of every cell is its
    quota, also where quotas are far below one, where the largest-remainder rule would starve rare cells. If `total`
    is the sum of the counts, they are met exactly.
    """
    counts = np.asarray(counts, np.int64)
    edges = np.concatenate([[0], np.cumsum(counts)])  # exact: integers
    # picks lie at (k + start) · sum / total, k = 0 … total − 1; below an edge e are ceil(e · total / sum − start)
    start = rng.random()
    below = np.ceil(edges * (total / edges[-1]) - start).astype(np.int64)
    below[0], below[-1] = 0, total
    return np.diff(below)


def draw_labels(snapshot: Snapshot, count: int, *, rng: np.random.Generator) -> NDArray:
    """Labels for `count` images in the proportions of the training images, shuffled: int64 [count, F]."""
    shares = share_out(snapshot.label_counts.numpy(), count, rng=rng)
    return rng.permutation(np.repeat(snapshot.label_rows.numpy(), shares, axis=0))


def generate(snapshot: Snapshot, labels: NDArray, *, seed: int, device: torch.device) -> Iterator[NDArray]:
    """Levels of one image per row of `labels`, in batches [n, C, H, W] float32."""
    generator, scales = snapshot.generator.to(device), snapshot.scales[-1].to(device)
    random = torch.Generator().manual_seed(seed)
    for start in range(0, len(labels), BATCH):
        wanted = torch.from_numpy(labels[start : start + BATCH])
        z = torch.randn((len(wanted), generator.shape.latent_size), generator=random)
        with torch.no_grad():
            images = generator(z.to(device), wanted.to(device), generator.shape.levels - 1)
        yield in_levels(images, scales).cpu().numpy()


def sample(run_folder: Path, *, count: int | None, seed: int, device: torch.device) -> int:
    """Write RUN/fakes from RUN/model/snapshot.pt: `count` images, or as many as were trained on; returns how many."""
    snapshot = load_snapshot(run_folder / "model")
    count = int(snapshot.label_counts.sum()) if count is None else count
    if count < 1:
        raise InputError(f"--images {count}: at least one image is needed")
    labels = draw_labels(snapshot, count, rng=np.random.default_rng(seed))
    spec = Spec.from_json(loads(snapshot.spec), f"{run_folder}/model/snapshot.pt")
    write_image_set(run_folder / "fakes", spec, generate(snapshot, labels, seed=seed, device=device), labels)
    return count
