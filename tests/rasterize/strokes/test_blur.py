"""Blobs and blurs: their mass, their centre and their variance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.strokes.blur import blob_table, gaussian_taps


@given(st.floats(4, 12), st.floats(4, 12))
def test_a_blob_keeps_its_mass_and_its_centre(x, y):
    at, weight = blob_table([x], [y], sigma_px=0.7, height=16, width=16)
    # five pixels wide: at most two 2-sided tails beyond 2 px / 0.7 px = 2.86 σ (0.43 %) are cut, on one side at worst
    assert weight.sum() == pytest.approx(1, abs=0.01)
    rows, columns = np.divmod(at[0], 16)
    centre = ((columns + 0.5) * weight[0]).sum() / weight.sum(), ((rows + 0.5) * weight[0]).sum() / weight.sum()
    assert centre == pytest.approx((x, y), abs=0.02)


def test_a_blob_at_the_border_stays_inside():
    at, weight = blob_table([0.2], [15.9], sigma_px=0.7, height=16, width=16)
    assert at.min() >= 0 and at.max() < 256 and 0 < weight.sum() < 1


@given(st.floats(0.3, 2), st.floats(0.3, 2))
def test_taps_have_their_variance_and_add_up(first, second):
    taps = gaussian_taps(first).astype(float)
    reach = np.arange(len(taps)) - len(taps) // 2
    # what lies beyond 3.5 σ is 0.05 % of a Gaussian's mass and 0.6 % of its variance
    assert taps.sum() == pytest.approx(1, abs=1e-6)
    assert (taps * reach**2).sum() == pytest.approx(first**2, rel=0.01)
    both, one = np.convolve(taps, gaussian_taps(second)), gaussian_taps(np.hypot(first, second))
    margin = (len(both) - len(one)) // 2
    assert np.abs(both[margin : margin + len(one)] - one).max() < 0.002
