"""Discriminator-guided selection: with G held still, a jury of Ds learns to tell reals from redrawn fakes."""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from pgan.cpu import prepare_cpu
from pgan.networks.discriminator import Discriminator
from pgan.networks.pyramid import standardise
from pgan.snapshot import load_snapshot
from pgan.steps.reals import RealImages
from pgan.steps.state import make_networks, move_average
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.imageset import ImageSet
from rasterize.workers import run_parts

BATCH, READ = 64, 512  # images of each side in a step; images judged at a time
RATE, DECAY = 2e-3, 1e-3  # of AdamW
FOLLOW = 0.01  # share of the weights' mean that is renewed at each step
HELD_OUT = 1 / 6  # share of the images that a D does not learn from: they say which of its weights are best
MOST_HELD_OUT = 10_000
ROUND = 400  # steps between two looks at held-out images
WIDER = 3  # times as wide a last hidden layer as the D of the game has: there it tells how frequent what it sees is
FEWEST = 5 * BATCH


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """How well a D tells images that it has not learnt from, after `kimg` thousand reals.

    `loss` is its mean cross-entropy, in nats (log 2 = .693 is guessing); `auc` .5 is guessing, 1 is certainty.
    """

    kimg: float
    loss: float
    auc: float

    def __str__(self) -> str:
        return f"{self.kimg:8.1f} kimg  held out: loss {self.loss:.4f}, AUC {self.auc:.3f}"


def ask_jury(
    run_folder: Path, *, jury: int, kimg: float, seed: int, device: torch.device, workers: int | None = None
) -> list[HeldOutScore]:
    """Write RUN/redrawn/verdicts.npy: for each of its trips the log of how much likelier it is among the real ones.

    A D is trained as in the game, but on fakes that do not change, and to the end: it then is the ratio of the two
    densities, by which fakes may be chosen (discriminator rejection sampling, Azadi et al. 2019; Metropolis-Hastings
    GAN, Turner et al. 2019). Redrawn fakes are drawn by the codec from what was decoded, so that D looks at what is in
    the images and not at how they are painted. It begins afresh: the D of the game knows all training images by heart,
    so that none is left to tell when it stops learning and begins to memorise. Each of the `jury` holds out other
    images; the verdict is the mean of theirs. `workers` processes share them, None is this one alone; the result is the
    same. Raises `InputError` on sets that do not mean the same or are too small.
    """
    if jury < 1:
        raise InputError(f"--jury {jury}: at least one D must judge")
    reals, fakes = _open_sides(run_folder)
    refuse_unlike(reals, fakes)
    threads = torch.get_num_threads()
    learn = partial(_train_member, run_folder, kimg=kimg, seed=seed, device=device, threads=threads)
    verdicts, scores = zip(*run_parts(learn, range(jury), workers=workers), strict=True)
    verdicts = np.mean(verdicts, axis=0)
    if not np.isfinite(verdicts).all():
        raise InputError(f"{fakes.folder}: the jury's verdicts are not finite; judge again with another --seed")
    with write_atomically(fakes.folder / "verdicts.npy") as temporary:
        np.save(temporary, verdicts)
    return list(scores)


def refuse_unlike(reals: ImageSet, fakes: ImageSet) -> None:
    """Raise `InputError` unless the images of both sets mean the same, and are enough to learn from."""
    if (fakes.shape, fakes.factors) != (reals.shape, reals.factors):
        raise InputError(
            f"{fakes.folder}: images of {fakes.shape} with labels {[factor.name for factor in fakes.factors]}, but "
            f"{reals.folder} has {reals.shape} with {[factor.name for factor in reals.factors]}; decode again"
        )
    for images in (reals, fakes):
        if len(images) < FEWEST:
            raise InputError(f"{images.folder}: {len(images)} images; D needs at least {FEWEST} of each to judge")


def _open_sides(run_folder: Path) -> tuple[ImageSet, ImageSet]:
    """Reals and fakes, one trip to an image."""
    return ImageSet.open(run_folder / "images").one_by_one(), ImageSet.open(run_folder / "redrawn")


def _train_member(
    run_folder: Path, member: int, *, kimg: float, seed: int, device: torch.device, threads: int
) -> tuple[NDArray, HeldOutScore]:
    """The verdicts of one of the jury, float32 [N], and how well it tells."""
    prepare_cpu(threads)  # of a worker, too
    snapshot = load_snapshot(run_folder / "model")
    scales, shape = snapshot.scales[-1].to(device), snapshot.generator.shape
    # each image by itself: no packs, no deviation of a group
    shape = replace(shape, pack=1, stddev_group=1, dense_size=WIDER * shape.dense_size)
    network = make_networks(shape, seed=seed + member)[1].to(device)
    sides = [_Side.of(images, scales, member=member, seed=seed) for images in _open_sides(run_folder)]
    best, found = _learn(network, *sides, kimg=kimg, seed=seed + member)
    network.load_state_dict(best)
    print(f"D {member + 1}: {found}", flush=True)
    return np.concatenate(list(_logits(network, sides[1], np.arange(sides[1].count)))), found


@dataclass(frozen=True, kw_only=True)
class _Side:
    """Reals or fakes: their images on the device, and which one D learns from and which it does not."""

    images: RealImages
    scales: Tensor
    learnt: NDArray
    held_out: NDArray

    @classmethod
    def of(cls, images: ImageSet, scales: Tensor, *, member: int, seed: int) -> "_Side":
        held_out = min(MOST_HELD_OUT, round(HELD_OUT * len(images)))
        order = np.roll(np.random.default_rng(seed).permutation(len(images)), -member * held_out)
        reals = RealImages(images, scales.device)
        return cls(images=reals, scales=scales, learnt=order[held_out:], held_out=order[:held_out])

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.learnt) + len(self.held_out)

    def batch(self, which: NDArray) -> tuple[Tensor, Tensor | None]:
        """Standardised images [n, C, H, W] and labels [n, F]; None without factors."""
        levels, labels = self.images.batch(which)
        return standardise(levels, self.scales), labels


def _learn(
    network: Discriminator, reals: _Side, fakes: _Side, *, kimg: float, seed: int
) -> tuple[dict[str, Tensor], HeldOutScore]:
    """Train; those weights, a running mean over steps, by which held-out images are told best."""
    rng, level = np.random.default_rng(seed), network.shape.levels - 1
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY)
    steps = max(1, round(1000 * kimg / BATCH))
    mean, weights, found = deepcopy(network), network.state_dict(), None
    for step in range(1, steps + 1):
        sides = [side.batch(rng.choice(side.learnt, BATCH)) for side in (reals, fakes)]
        images, labels = zip(*sides, strict=True)
        both = None if labels[0] is None else torch.cat(labels)
        real, fake = network(torch.cat(images), both, level, parts=2).chunk(2)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        move_average(mean, network, FOLLOW)
        if step % ROUND and step < steps:
            continue
        now = _measure(mean, reals, fakes, kimg=step * BATCH / 1000)
        print(now, flush=True)
        if found is None or now.loss < found.loss:
            weights, found = deepcopy(mean.state_dict()), now
    return weights, found


def _measure(network: Discriminator, reals: _Side, fakes: _Side, *, kimg: float) -> HeldOutScore:
    """How well held-out images are told."""
    real, fake = (np.concatenate(list(_logits(network, side, side.held_out))) for side in (reals, fakes))
    loss = (np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()) / 2
    below = np.searchsorted(np.sort(fake), real, "left") + np.searchsorted(np.sort(fake), real, "right")
    return HeldOutScore(kimg=kimg, loss=float(loss), auc=float(below.mean() / 2 / len(fake)))


@torch.no_grad()
def _logits(network: Discriminator, side: _Side, which: NDArray) -> Iterator[NDArray]:
    """float32 [n], batch by batch."""
    for begin in range(0, len(which), READ):
        images, labels = side.batch(which[begin : begin + READ])
        yield network(images, labels, network.shape.levels - 1).float().cpu().numpy()
