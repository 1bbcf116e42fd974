"""Reals on the device, resident or read, are those of the image set."""

import numpy as np
import pytest
import torch

from pgan.steps.reals import RealImages
from rasterize.imageset import ImageSet
from tests.pgan_runs import make_run

CPU = torch.device("cpu")


@pytest.mark.parametrize("budget", [0, 10**9])
def test_batches_are_those_of_the_image_set(tmp_path, budget):
    images = ImageSet.open(make_run(tmp_path, count=40, channels=2) / "images")
    reals = RealImages(images, CPU, budget=budget)
    assert reals.resident is (budget > 0)
    for which in (np.array([3, 1, 39]), np.array([1, 1])):
        levels, labels = reals.load_batch(which, following=np.array([1, 1]))
        assert levels.dtype == torch.float32 and labels.dtype == torch.int64
        np.testing.assert_array_equal(levels.numpy(), images.read(which))
        np.testing.assert_array_equal(labels.numpy(), images.labels[which])


def test_images_without_factors_have_no_labels(tmp_path):
    images = ImageSet.open(make_run(tmp_path, count=8, factors=()) / "images")
    assert RealImages(images, CPU).load_batch(np.array([0]))[1] is None
