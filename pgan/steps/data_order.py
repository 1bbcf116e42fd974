"""Which images make each batch: seeded epochs, and how often each label is shown."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class LabelLaw:
    """How often images are shown, by label: a combination in proportion to count^power, its images all alike.

    Images have widths on a line, a combination's images side by side. The positions of an epoch lie on that line at
    even steps from a random start (systematic sampling). So in every epoch each combination, and each image, gets its
    quota rounded up or down. Only training follows this law; `pgan.sampling` draws labels by their counts.

    Attributes
    ----------
    images : (N,) int64
        The images, combination by combination.
    ends : (N,) float64
        Where the width of each of `images` ends on the line; the first begins at 0.
    seed : int
        Seed of the starts of the epochs.
    """

    images: NDArray
    ends: NDArray
    seed: int

    @classmethod
    def of(cls, labels: ArrayLike, *, power: float, seed: int) -> Self | None:
        """Make the law for a set of images.

        Parameters
        ----------
        labels : (N, F) int
            Labels of the images.
        power : float
            1 shows images as they are, 0 shows all combinations of labels alike often.
        seed : int
            Seed of the starts of the epochs.

        Returns
        -------
        LabelLaw or None
            None where the law would show all images alike.
        """
        labels = np.asarray(labels)
        if power == 1 or labels.shape[1] == 0:
            return None
        # Each combination of labels gets a share of the line, and each of its images as much of that.
        _, combination, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
        widths = (counts / counts.max()) ** power / counts  # of one image; the quotient keeps great powers finite
        images = np.argsort(combination, kind="stable")
        return cls(images=images, ends=np.cumsum(widths[combination[images]]), seed=seed)

    def pick_images(self, epochs: NDArray, positions: NDArray) -> NDArray:
        """Return the images at some positions, 0 … N − 1, of their epochs."""
        # Systematic sampling: even steps from the random start of the epoch, each in the width of one image.
        starts = np.array([_draw_epoch_start(self.seed, int(epoch)) for epoch in epochs])
        on_line = (positions + starts) * (self.ends[-1] / len(self.images))
        return self.images[np.searchsorted(self.ends[:-1], on_line, "right")]


def pick_batch(nimg: int, *, batch: int, count: int, seed: int, law: LabelLaw | None = None) -> NDArray:
    """Choose the images of the batch that starts after `nimg` images; the same whenever it is asked.

    Parameters
    ----------
    nimg : int
        Images shown before this batch.
    batch : int
        Images of a batch.
    count : int
        Images of the set; each epoch is a seeded permutation of them all.
    seed : int
        Seed of the permutations.
    law : LabelLaw, optional
        How often images are shown by label. An epoch is then a permutation of the `count` positions of the law.

    Returns
    -------
    (batch,) int64
        Indices of images.
    """
    # A batch may reach into the next epoch.
    epochs, steps = np.divmod(np.arange(nimg, nimg + batch), count)
    positions = np.array([_shuffle_epoch(seed, int(epoch), count)[k] for epoch, k in zip(epochs, steps, strict=True)])
    return positions if law is None else law.pick_images(epochs, positions)


@lru_cache(maxsize=4)
def _shuffle_epoch(seed: int, epoch: int, count: int) -> NDArray:
    """Return the permutation of one epoch."""
    return np.random.default_rng([seed, epoch]).permutation(count)


@lru_cache(maxsize=4)
def _draw_epoch_start(seed: int, epoch: int) -> float:
    """Return where the positions of one epoch begin, 0 … 1 steps from the start of the line."""
    return np.random.default_rng([seed, epoch, 1]).random()
