"""Discriminator-guided selection: a jury of discriminators learns to tell reals from redrawn fakes, G held still."""

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

BATCH = 64  # images of each side in a step; set by hand, not swept
READ = 512  # images judged at a time; set by hand
# Of AdamW. Set by hand, not swept; a rate that falls is no better (docs/experiments.md, "The choice").
RATE, DECAY = 2e-3, 1e-3
FOLLOW = 0.01  # share of the weights' mean that is renewed at each step; set by hand, not swept
# Share of the images that a discriminator does not learn from: they say which of its weights are best.
# Set by hand, not swept.
HELD_OUT = 1 / 6
MOST_HELD_OUT = 10_000  # set by hand
ROUND = 400  # steps between two looks at held-out images; set by hand, not swept
# Times as wide a last hidden layer as the D of training has. Tried by hand: it tells held-out images better after as
# many images; other factors were not swept.
WIDER = 3
FEWEST = 5 * BATCH  # set by hand


@dataclass(frozen=True, kw_only=True)
class HeldOutScore:
    """How well a discriminator tells images that it has not learnt from.

    Attributes
    ----------
    kimg : float
        Thousands of reals that it had learnt from by then.
    loss : float
        Mean cross-entropy in nats; log 2 = .693 is guessing.
    auc : float
        .5 is guessing, 1 is certainty.
    """

    kimg: float
    loss: float
    auc: float

    def __str__(self) -> str:
        return f"{self.kimg:8.1f} kimg  held-out images: loss {self.loss:.4f}, AUC {self.auc:.3f}"


def ask_jury(
    run_folder: Path, *, jury: int, kimg: float, seed: int, device: torch.device, workers: int | None = None
) -> list[HeldOutScore]:
    """Let a jury of discriminators judge RUN/redrawn, and write RUN/redrawn/verdicts.npy.

    A verdict is a logarithm: of how much likelier an image is among real ones than among redrawn ones.

    Parameters
    ----------
    run_folder : Path
        Holds images/, a finished model/, and redrawn/: fakes drawn anew by the codec from what they show.
    jury : int
        How many discriminators; each holds out other images, and the verdict is the mean of theirs.
    kimg : float
        Thousands of reals that each learns from.
    seed : int
        Seed of the jury and of what it sees.
    device : torch.device
        Where to compute.
    workers : int, optional
        Processes that share the jury; None for this one alone. The result is the same.

    Returns
    -------
    list of HeldOutScore
        How well each of them tells. verdicts.npy is float32 [N], one for each image of RUN/redrawn.

    Raises
    ------
    InputError
        The two image sets do not mean the same, or are too small; or a verdict is not finite.

    Notes
    -----
    Train D to the end on fakes that do not change. Then its logit at x is log p_real(x) / p_fake(x). Fakes may be
    chosen by it (discriminator rejection sampling, Azadi et al. 2019; Metropolis-Hastings GAN, Turner et al. 2019).

    Fakes are redrawn so that D looks at what is in the images, and not at how they are painted. D begins afresh: the D
    of training knows all training images by heart. None would be left to tell when it begins to memorise.
    """
    if jury < 1:
        raise InputError(f"--jury {jury}: at least one discriminator must judge")
    reals, fakes = _open_sides(run_folder)
    _refuse_unlike(reals, fakes)

    # Train each discriminator, here or in workers, and take the mean of their logits.
    threads = torch.get_num_threads()
    train_member = partial(_train_member, run_folder, kimg=kimg, seed=seed, device=device, threads=threads)
    verdicts, scores = zip(*run_parts(train_member, range(jury), workers=workers), strict=True)
    verdicts = np.mean(verdicts, axis=0)

    if not np.isfinite(verdicts).all():
        raise InputError(f"{fakes.folder}: the jury's verdicts are not finite; judge again with another --seed")
    with write_atomically(fakes.folder / "verdicts.npy") as temporary:
        np.save(temporary, verdicts)
    return list(scores)


def _refuse_unlike(reals: ImageSet, fakes: ImageSet) -> None:
    """Raise `InputError` unless the images of both sets mean the same, and are enough to learn from."""
    if (fakes.shape, fakes.factors) != (reals.shape, reals.factors):
        raise InputError(
            f"{fakes.folder}: images of {fakes.shape} with labels {[factor.name for factor in fakes.factors]}, but "
            f"{reals.folder} has {reals.shape} with {[factor.name for factor in reals.factors]}; decode again"
        )
    for images in (reals, fakes):
        if len(images) < FEWEST:
            raise InputError(
                f"{images.folder}: {len(images)} images; a discriminator needs at least {FEWEST} of each to judge"
            )


def _open_sides(run_folder: Path) -> tuple[ImageSet, ImageSet]:
    """Open reals and fakes, each image with one stroke."""
    return ImageSet.open(run_folder / "images").one_by_one(), ImageSet.open(run_folder / "redrawn")


def _train_member(
    run_folder: Path, member: int, *, kimg: float, seed: int, device: torch.device, threads: int
) -> tuple[NDArray, HeldOutScore]:
    """Train one of the jury; return its verdicts, float32 [N], and how well it tells."""
    prepare_cpu(threads)  # of a worker, too
    snapshot = load_snapshot(run_folder / "model")
    scales, shape = snapshot.scales[-1].to(device), snapshot.generator.shape
    # A discriminator like that of training, but it judges each image by itself: no packs, no deviation of a group.
    shape = replace(shape, pack=1, stddev_group=1, dense_size=WIDER * shape.dense_size)
    network = make_networks(shape, seed=seed + member)[1].to(device)
    # Train it on most images of both sides.
    sides = [_Side.of(images, scales, member=member, seed=seed) for images in _open_sides(run_folder)]
    best, score = _train(network, *sides, kimg=kimg, seed=seed + member)
    print(f"discriminator {member + 1}: {score}", flush=True)
    # Judge all fakes with its best weights.
    network.load_state_dict(best)
    fakes = sides[1]
    return np.concatenate(list(_judge(network, fakes, np.arange(fakes.count)))), score


@dataclass(frozen=True, kw_only=True)
class _Side:
    """The images of one side, reals or fakes.

    Attributes
    ----------
    images : RealImages
        All of them, as batches on the device.
    scales : (C,) float32
        What standardises them.
    learnt, held_out : (n,) int64
        Which ones D learns from, and which it does not.
    """

    images: RealImages
    scales: Tensor
    learnt: NDArray
    held_out: NDArray

    @classmethod
    def of(cls, images: ImageSet, scales: Tensor, *, member: int, seed: int) -> "_Side":
        """Hold out some of the images, others for each member of the jury."""
        held_out = min(MOST_HELD_OUT, round(HELD_OUT * len(images)))
        order = np.roll(np.random.default_rng(seed).permutation(len(images)), -member * held_out)
        return cls(
            images=RealImages(images, scales.device),
            scales=scales,
            learnt=order[held_out:],
            held_out=order[:held_out],
        )

    @property
    def count(self) -> int:
        """How many images there are."""
        return len(self.learnt) + len(self.held_out)

    def load_batch(self, rows: NDArray) -> tuple[Tensor, Tensor | None]:
        """Load standardised images [n, C, H, W] and labels [n, F]; None without factors."""
        levels, labels = self.images.load_batch(rows)
        return standardise(levels, self.scales), labels


def _train(
    network: Discriminator, reals: _Side, fakes: _Side, *, kimg: float, seed: int
) -> tuple[dict[str, Tensor], HeldOutScore]:
    """Train a discriminator; return those weights, a mean over steps, with the lowest loss on held-out images."""
    rng, level = np.random.default_rng(seed), network.shape.levels - 1
    adam = torch.optim.AdamW(network.parameters(), lr=RATE, betas=(0.9, 0.99), weight_decay=DECAY)
    steps = max(1, round(1000 * kimg / BATCH))
    mean, weights, best = deepcopy(network), network.state_dict(), None
    for step in range(1, steps + 1):
        # One step of D with the non-saturating loss, reals and fakes judged together.
        sides = [side.load_batch(rng.choice(side.learnt, BATCH)) for side in (reals, fakes)]
        images, labels = zip(*sides, strict=True)
        both = None if labels[0] is None else torch.cat(labels)
        real, fake = network(torch.cat(images), both, level, batches=2).chunk(2)
        loss = F.softplus(-real).mean() + F.softplus(fake).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        # Follow with the mean of the weights.
        move_average(mean, network, FOLLOW)
        # Now and then look at held-out images, and keep the mean that tells them best.
        if step % ROUND and step < steps:
            continue
        score = _score_held_out(mean, reals, fakes, kimg=step * BATCH / 1000)
        print(score, flush=True)
        if best is None or score.loss < best.loss:
            weights, best = deepcopy(mean.state_dict()), score
    return weights, best


def _score_held_out(network: Discriminator, reals: _Side, fakes: _Side, *, kimg: float) -> HeldOutScore:
    """Measure how well held-out images are told."""
    real, fake = (np.concatenate(list(_judge(network, side, side.held_out))) for side in (reals, fakes))
    loss = (np.logaddexp(0, -real).mean() + np.logaddexp(0, fake).mean()) / 2
    # AUC: the share of pairs in which the real has the higher logit; a tie counts half.
    below = np.searchsorted(np.sort(fake), real, "left") + np.searchsorted(np.sort(fake), real, "right")
    return HeldOutScore(kimg=kimg, loss=float(loss), auc=float(below.mean() / 2 / len(fake)))


@torch.no_grad()
def _judge(network: Discriminator, side: _Side, rows: NDArray) -> Iterator[NDArray]:
    """Yield the logits of some images, float32 [n], batch by batch."""
    for begin in range(0, len(rows), READ):
        images, labels = side.load_batch(rows[begin : begin + READ])
        yield network(images, labels, network.shape.levels - 1).float().cpu().numpy()
