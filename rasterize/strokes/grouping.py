"""Which trips share an image: those of equal labels."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def group_by_label(labels: NDArray, trips_per_image: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Put trips of equal labels together, up to `trips_per_image` in an image.

    Returns the order of trips, int64 [N], and the offsets of images in it, int64 [images + 1]. Which trips share an
    image, and the order of images, is chance. The last image of each label may hold fewer trips.
    """
    order = rng.permutation(len(labels))
    label = _number_labels(labels)[order]
    order = order[np.argsort(label, kind="stable")]
    begins, sizes = _cut_images(np.bincount(label), trips_per_image)
    images = rng.permutation(len(begins))
    begins, sizes = begins[images], sizes[images]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    rows = np.repeat((begins - offsets[:-1]).astype(np.int32), sizes)
    rows += np.arange(len(rows), dtype=np.int32)
    return order[rows], offsets


def _cut_images(trips: NDArray, trips_per_image: int) -> tuple[NDArray, NDArray]:
    """Where images begin, and how many trips they hold, where so many trips of each label follow each other; int32."""
    images = -(-trips // trips_per_image)
    first_trip, first_image = np.cumsum(trips) - trips, np.cumsum(images) - images
    begins = np.repeat((first_trip - first_image * trips_per_image).astype(np.int32), images)
    begins += np.arange(len(begins), dtype=np.int32) * trips_per_image
    left = np.repeat((first_trip + trips).astype(np.int32), images) - begins
    return begins, np.minimum(left, trips_per_image)


def _number_labels(labels: NDArray) -> NDArray:
    """A number for each row of labels, int32 [N], in the order of the rows' first, second, … label."""
    number = np.zeros(len(labels), np.int32)
    for column in labels.T:
        both = number * (int(column.max(initial=0)) + np.int64(1)) + column
        number = pd.factorize(both, sort=True)[0].astype(np.int32)
    return number
