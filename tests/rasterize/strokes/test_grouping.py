"""Trips of equal labels share images."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rasterize.strokes.grouping import _number_labels, group_by_label


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=80),
    st.integers(1, 7),
)
def test_images_hold_each_trip_once_and_one_label(labels, trips_per_image):
    labels = np.array(labels, np.int16)
    order, offsets = group_by_label(labels, trips_per_image, np.random.default_rng(0))
    assert sorted(order) == list(range(len(labels)))
    assert offsets[0] == 0 and offsets[-1] == len(labels)
    sizes = np.diff(offsets)
    assert sizes.min() >= 1 and sizes.max() <= trips_per_image
    for begin, end in zip(offsets, offsets[1:], strict=False):
        assert len(np.unique(labels[order[begin:end]], axis=0)) == 1
    _, counts = np.unique(labels, axis=0, return_counts=True)
    assert len(sizes) == sum(-(-count // trips_per_image) for count in counts)  # only the last of a label is not full


def test_without_labels_images_are_full():
    order, offsets = group_by_label(np.zeros((10, 0), np.int16), 4, np.random.default_rng(0))
    assert sorted(np.diff(offsets)) == [2, 4, 4] and sorted(order) == list(range(10))


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2), st.integers(0, 1)), min_size=1, max_size=60))
def test_labels_are_numbered_in_the_order_of_their_rows(labels):
    labels = np.array(labels, np.int16)
    _, expected = np.unique(labels, axis=0, return_inverse=True)
    assert _number_labels(labels).tolist() == expected.reshape(-1).tolist()
