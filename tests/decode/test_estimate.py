"""What a generator does to pictures, estimated from its images alone."""

from dataclasses import replace

import numpy as np
import pytest

from decode.estimate import choose_sample, estimate_degradation
from decode.solver.degradation import MEDIUM, MILD, Degradation, draw_degraded
from rasterize.strokes.pen import draw_images
from tests.spec_examples import make_spec, random_strokes, scattered

FAINT = Degradation(
    blur_px=0.8,
    jitter_px=0.2,
    gain_sd=0.2,
    noise=0.05,
    gains=(0.7, 0.75, 0.6, 0.65),
    backgrounds=(0.05, 0.04, 0.03, -0.02),
)


def _degraded_images(degradation, *, trips_per_image, images, mode="abod", seed=0):
    """Draw random trips between 40 places and spoil the images; return the spec and the images."""
    rng = np.random.default_rng(seed)
    spec = make_spec(scattered(40, side=64, rng=rng, apart=3), side=64, mode=mode, trips_per_image=trips_per_image)
    strokes = random_strokes(spec, images=images, seed=seed)
    return spec, draw_degraded(spec, strokes, degradation, rng)


@pytest.mark.parametrize("trips_per_image", [1, 16])
@pytest.mark.parametrize("true", [MEDIUM, FAINT], ids=["medium", "faint"])
def test_faults_are_found_again(true, trips_per_image):
    spec, images = _degraded_images(true, trips_per_image=trips_per_image, images=1600 // trips_per_image // 4)
    found = estimate_degradation(images, spec)
    # Measured over seeds: blur within .06 px, gains within 8 %, noise and backgrounds within .003.
    assert found.total_blur_px == pytest.approx(true.total_blur_px, abs=0.12)
    assert found.blur_px == pytest.approx(true.blur_px, abs=0.15)
    assert np.allclose(found.gains, true.gains or 1, rtol=0.15)
    assert found.noise == pytest.approx(true.noise, abs=0.006)
    assert np.allclose(found.backgrounds, true.backgrounds or 0, atol=0.006)
    assert found.clipped == true.clipped
    assert found.gain_sd == pytest.approx(true.gain_sd, abs=0.08)
    assert found.lost < 0.06


def test_lost_blobs_are_noticed():
    spec, images = _degraded_images(replace(MILD, lost=0.1), trips_per_image=4, images=100)
    assert estimate_degradation(images, spec).lost == pytest.approx(0.1, abs=0.04)


def test_clean_images_are_clean():
    spec, images = _degraded_images(Degradation(), trips_per_image=8, images=40)
    found = estimate_degradation(images, spec)
    assert found.total_blur_px == 0 and found.noise < 0.001 and found.lost == 0
    assert np.allclose(found.gains, 1, atol=1e-3) and np.allclose(found.backgrounds, 0, atol=1e-3)


def test_clean_images_are_clean_however_full():
    rng = np.random.default_rng(0)
    spec = make_spec(scattered(25, side=64, rng=rng, apart=8), side=64, trips_per_image=32)
    found = estimate_degradation(draw_images(spec, random_strokes(spec, images=30, seed=0)), spec)
    assert found.noise < 0.001 and np.allclose(found.gains, 1, atol=2e-3)


def test_faint_doubles_of_single_trips_are_not_taken_for_the_trips():
    spec, images = _degraded_images(Degradation(), trips_per_image=1, images=200)
    doubled = 0.6 * images + 0.4 * images[np.random.default_rng(0).permutation(len(images))]
    mixed = np.where(np.arange(len(images))[:, None, None, None] % 2, images, doubled)
    assert np.allclose(estimate_degradation(mixed, spec).gains[2:], 1, atol=0.25)


@pytest.mark.parametrize("level", [-0.08, -0.14])
def test_backgrounds_may_be_far_below_zero(level):
    true = replace(MEDIUM, backgrounds=(level,) * 4)
    spec, images = _degraded_images(true, trips_per_image=16, images=60)
    found = estimate_degradation(images, spec)
    assert found.noise == pytest.approx(0.08, abs=0.01)
    assert np.allclose(found.backgrounds, level, atol=0.02) and np.allclose(found.gains, 1, rtol=0.15)


def test_a_grey_set_has_a_blur_and_a_gain_too():
    spec, images = _degraded_images(
        replace(MEDIUM, jitter_px=0, gains=(0.8,)), trips_per_image=1, images=200, mode="grey"
    )
    found = estimate_degradation(images, spec)
    assert found.blur_px == pytest.approx(0.6, abs=0.1) and found.gains[0] == pytest.approx(0.8, rel=0.1)


@pytest.mark.parametrize("fill", [0.0, np.nan, 1e4])
def test_sets_without_a_trip_give_a_guess(fill):
    spec, images = _degraded_images(Degradation(), trips_per_image=2, images=8)
    found = estimate_degradation(np.full_like(images, fill), spec)
    assert np.isfinite([found.blur_px, found.noise, *found.gains]).all()


def test_the_sample_covers_the_set():
    assert choose_sample(0, 1).tolist() == []
    assert choose_sample(10, 16).tolist() == list(range(10))
    chosen = choose_sample(100_000, 16)
    assert chosen[0] == 0 and chosen[-1] == 99_999 and len(chosen) == 187
