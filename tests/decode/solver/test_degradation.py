"""Spoilt drawings: nothing spoilt is a clean drawing, each fault does what it says, and the JSON form keeps all."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode.solver.degradation import CLEAN, MEDIUM, Degradation, draw_degraded
from rasterize.strokes.pen import draw_images
from rasterize.strokes.strokes import Strokes
from tests.spec_examples import make_spec, random_strokes, scattered

SPEC = make_spec(scattered(9, side=24, rng=np.random.default_rng(0), apart=3), side=24, trips_per_image=3)
STROKES = random_strokes(SPEC, images=60, seed=1)


def _spoil(**faults):
    """Return the trips drawn with these faults, in units of a stroke."""
    return draw_degraded(SPEC, STROKES, Degradation(**faults), np.random.default_rng(2)) * SPEC.drawing.level_scale


@pytest.fixture(scope="module")
def clean():
    """Return the trips drawn without faults, in units of a stroke."""
    return draw_images(SPEC, STROKES) * SPEC.drawing.level_scale


def test_without_faults_it_is_the_drawing(clean):
    assert np.allclose(_spoil(), clean, atol=1e-5)


def test_bent_strokes_without_faults_are_the_drawing():
    bent = Strokes(
        offsets=np.array([0, 1]),
        ends=np.array([[0, 1]], np.int32),
        values=np.zeros((1, 0), np.float32),
        paths=np.array([[3, 3], [20, 4], [12, 18]], np.float32),
        path_offsets=np.array([0, 3]),
    )
    assert np.allclose(draw_degraded(SPEC, bent, CLEAN, np.random.default_rng(0)), draw_images(SPEC, bent), atol=1e-6)


def test_blur_keeps_the_mass(clean):
    inside = _spoil(blur_px=0.5)
    assert inside.sum() == pytest.approx(clean.sum(), rel=0.01)  # what lies beyond the frame is lost
    assert (inside**2).sum() < 0.8 * (clean**2).sum()


def test_gains_backgrounds_and_noise_are_added_plane_by_plane(clean):
    spoilt = _spoil(gains=(0.5, 0.6, 0.7, 0.8), backgrounds=(0.1, 0.0, -0.1, 0.2))
    expected = clean * np.array([0.5, 0.6, 0.7, 0.8])[:, None, None] + np.array([0.1, 0, -0.1, 0.2])[:, None, None]
    assert np.allclose(spoilt, expected, atol=1e-5)
    noise = _spoil(noise=0.2) - clean
    assert noise.std() == pytest.approx(0.2, rel=0.02) and abs(noise.mean()) < 0.002  # of 138,240 levels


def test_lost_blobs_are_missing_whole(clean):
    spoilt = _spoil(lost=0.25)
    assert np.allclose(spoilt[:, :2], clean[:, :2], atol=1e-5)
    share = 1 - spoilt[:, 2:].sum() / clean[:, 2:].sum()
    assert share == pytest.approx(0.25, abs=4 * (0.25 * 0.75 / 360) ** 0.5)


def test_cut_levels_put_back_leave_no_background():
    empty = draw_degraded(SPEC, STROKES.take(np.zeros(0, int)), MEDIUM, np.random.default_rng(0))
    assert empty.shape == (0, *SPEC.shape)
    rng = np.random.default_rng(3)
    for background in (-0.05, 0.0, 0.04):
        faults = replace(MEDIUM, backgrounds=(background,) * 4)
        levels = np.maximum(rng.normal(background, faults.noise, 100_000), 0)
        levels[levels == 0] = faults.cut_levels(4)[0]
        assert levels.mean() == pytest.approx(background, abs=4 * faults.noise / 100_000**0.5)


SHARE = st.floats(0, 1)


@given(SHARE, SHARE, SHARE, st.lists(SHARE, min_size=4, max_size=4), st.booleans())
def test_json_keeps_all(blur, noise, lost, gains, clipped):
    faults = Degradation(blur_px=blur, noise=noise, lost=lost, gains=tuple(gains), clipped=clipped)
    assert Degradation.from_json(faults.to_json()) == faults
