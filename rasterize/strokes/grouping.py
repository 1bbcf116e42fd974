"""Which trips share an image: those of equal labels."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def group_by_label(labels: NDArray, trips_per_image: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Put trips of equal labels together in images.

    Which trips share an image, and the order of images, is chance. The last image of each label may hold fewer trips.

    Parameters
    ----------
    labels : (N, F) int
        The label of each trip by factor.
    trips_per_image : int
        At most this many trips share an image.
    rng : numpy.random.Generator
        Which trips share an image, and in which order images stand.

    Returns
    -------
    order : (N,) int64
        Numbers of the trips, image by image.
    offsets : (images + 1,) int64
        Image n has the trips order[offsets[n]] … order[offsets[n + 1]].
    """
    # Shuffle the trips, then sort them by label; the sort is stable, so chance stays within a label.
    order = rng.permutation(len(labels))
    label = _number_labels(labels)[order]
    order = order[np.argsort(label, kind="stable")]

    # Cut each label's trips into images, and shuffle the images.
    begins, sizes = _cut_images(np.bincount(label), trips_per_image)
    images = rng.permutation(len(begins))
    begins, sizes = begins[images], sizes[images]

    # Bring the trips into the order of their images; int32 halves the memory of millions of trips.
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    rows = np.repeat((begins - offsets[:-1]).astype(np.int32), sizes)
    rows += np.arange(len(rows), dtype=np.int32)
    return order[rows], offsets


def _cut_images(trips: NDArray, trips_per_image: int) -> tuple[NDArray, NDArray]:
    """Cut runs of trips into images: where each image begins, and how many trips it holds, int32.

    `trips` [labels] is how many trips each label has; the runs follow each other.
    """
    images = -(-trips // trips_per_image)
    first_trip, first_image = np.cumsum(trips) - trips, np.cumsum(images) - images

    # Image i of a label begins i · trips_per_image after the label's first trip.
    begins = np.repeat((first_trip - first_image * trips_per_image).astype(np.int32), images)
    begins += np.arange(len(begins), dtype=np.int32) * trips_per_image

    # It is full, or holds what is left of its label.
    left = np.repeat((first_trip + trips).astype(np.int32), images) - begins
    return begins, np.minimum(left, trips_per_image)


def _number_labels(labels: NDArray) -> NDArray:
    """Number the different rows of labels, in the order of their first, second, … label; int32 [N]."""
    number = np.zeros(len(labels), np.int32)
    for column in labels.T:
        # Append one factor, then make numbers dense again, so that they stay small for many factors.
        both = number * (int(column.max(initial=0)) + np.int64(1)) + column
        number = pd.factorize(both, sort=True)[0].astype(np.int32)
    return number
