"""Which images make each batch: seeded epochs, and how often each label is shown."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class LabelLaw:
    """How often images are shown, by label: a combination in proportion to count^power, its images all alike.

    Images have widths on a line, a combination's images side by side, and the places of an epoch lie on it at even
    steps from a random start (systematic sampling): in every epoch each combination, and each image, gets its quota
    rounded up or down. Only training follows this law; `pgan.sampling` draws labels by their counts.
    """

    images: NDArray  # combination by combination, int64 [N]
    ends: NDArray  # of their widths on the line, float64 [N]
    seed: int

    @classmethod
    def of(cls, labels: ArrayLike, *, power: float, seed: int) -> Self | None:
        """The law for images with `labels` [N, F]; None where it shows all images alike."""
        labels = np.asarray(labels)
        if power == 1 or labels.shape[1] == 0:
            return None
        _, combination, counts = np.unique(labels, axis=0, return_inverse=True, return_counts=True)
        widths = (counts / counts.max()) ** power / counts  # of one image; the quotient keeps great powers finite
        images = np.argsort(combination, kind="stable")
        return cls(images=images, ends=np.cumsum(widths[combination[images]]), seed=seed)

    def at(self, epochs: NDArray, places: NDArray) -> NDArray:
        """The images at some places, 0 … N − 1, of their epochs."""
        starts = np.array([_epoch_start(self.seed, int(epoch)) for epoch in epochs])
        on_line = (places + starts) * (self.ends[-1] / len(self.images))
        return self.images[np.searchsorted(self.ends[:-1], on_line, "right")]


def batch_indices(nimg: int, *, batch: int, count: int, seed: int, law: LabelLaw | None = None) -> NDArray:
    """Which images make the batch that starts at `nimg`: each epoch is a seeded permutation of all `count`.

    With a `law` it is one of the places that the law fills, as many.
    """
    epochs, steps = np.divmod(np.arange(nimg, nimg + batch), count)
    places = np.array([_epoch_order(seed, int(epoch), count)[k] for epoch, k in zip(epochs, steps, strict=True)])
    return places if law is None else law.at(epochs, places)


@lru_cache(maxsize=4)
def _epoch_order(seed: int, epoch: int, count: int) -> NDArray:
    return np.random.default_rng([seed, epoch]).permutation(count)


@lru_cache(maxsize=4)
def _epoch_start(seed: int, epoch: int) -> float:
    return np.random.default_rng([seed, epoch, 1]).random()
