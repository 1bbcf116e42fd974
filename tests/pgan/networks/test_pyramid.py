"""Reals at every level: a common range, faded like G's output, and back in levels."""

import pytest
import torch

from pgan.networks.layers import downsample, upsample
from pgan.networks.pyramid import MARK, estimate_energies, estimate_scales, shrink_reals, standardise, to_levels


def sparse_images():
    images = torch.zeros(64, 3, 16, 16)
    random = torch.Generator().manual_seed(0)
    for image in images:
        row, column = torch.randint(0, 16, (2,), generator=random).tolist()
        image[0, row] = 0.5  # a stroke
        image[1, row, column] = -8.0  # a dot; the third channel stays empty
    return images


def test_marks_have_the_same_height_on_every_level_and_channel():
    images = sparse_images()
    scales = estimate_scales(images, 3)
    assert scales.shape == (3, 3)
    for level in range(3):
        reals = shrink_reals(images, scales, level=level, alpha=None)
        assert reals.shape == (64, 3, 4 * 2**level, 4 * 2**level)
        for channel in (0, 1):  # every stroke and every dot has one height here, whatever the level
            marks = reals[:, channel][reals[:, channel] != 0].abs()
            assert marks.tolist() == pytest.approx([MARK] * len(marks), rel=1e-5)
        assert not reals[:, 2].any()


def test_scales_are_the_energy_weighted_amplitude():
    images = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)).double()
    expected = (images.pow(4).sum() / images.pow(2).sum()).sqrt() / MARK
    assert estimate_scales(images, 1).item() == pytest.approx(expected.item())


def test_levels_come_back():
    images, scales = torch.randn(4, 2, 8, 8), torch.tensor([[1.0, 2.0], [3.0, 0.25]])
    torch.testing.assert_close(to_levels(standardise(images, scales[1]), scales[1]), images)


def test_the_fade_of_reals_is_a_box_mean_enlarged_and_mixed_in_the_common_range():
    images, scales = torch.randn(4, 2, 8, 8), torch.tensor([[1.0, 2.0], [3.0, 0.25]])
    sharp = images / scales[1][:, None, None]
    blunt = upsample(downsample(images) / scales[0][:, None, None])
    torch.testing.assert_close(shrink_reals(images, scales, level=1, alpha=0.0), blunt)
    torch.testing.assert_close(shrink_reals(images, scales, level=1, alpha=1.0), sharp)
    torch.testing.assert_close(shrink_reals(images, scales, level=1, alpha=0.25), 0.75 * blunt + 0.25 * sharp)
    torch.testing.assert_close(shrink_reals(images, scales, level=1, alpha=None), sharp)


def test_energy_is_the_mean_squared_distance_from_the_mean_real():
    images, scales = torch.randn(5, 2, 8, 8), torch.tensor([[1.0, 2.0], [3.0, 0.25]])
    energies = estimate_energies(images, scales)
    for level in (0, 1):
        reals = shrink_reals(images, scales, level=level, alpha=None)
        apart = (reals[:, None] - reals[None]).square().sum((2, 3, 4)).mean() / 2  # mean over pairs: twice the variance
        assert energies[level].item() == pytest.approx(apart.item(), rel=1e-5)
