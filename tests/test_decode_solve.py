"""The decoder on pictures it must read exactly, on damaged ones, and on nonsense."""

from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter
from spec_examples import make_spec, scattered

from decode.solve import STATES, solve
from rasterize.attributes import LinearChannel
from rasterize.imageset import Strokes, draw_images

PAINTED = (LinearChannel(column="duration_s", low=0, high=1), LinearChannel(column="birth_year", low=0, high=1))


def picture(*, places, side, trips_per_image, images, seed, mode="abod", painted=()):
    rng = np.random.default_rng(seed)
    xy = scattered(places, side=side, rng=rng)
    spec = make_spec(xy, side=side, mode=mode, trips_per_image=trips_per_image, channels=painted)
    ends = rng.integers(0, places, (images * trips_per_image, 2))
    values = rng.uniform(0.2, 1, (len(ends), len(painted)))
    offsets = np.arange(images + 1) * trips_per_image
    strokes = Strokes.straight(ends, values=values, offsets=offsets)
    return spec, strokes, draw_images(spec, strokes)


def hits(strokes, found, *, ordered=True):
    image = np.repeat(np.arange(len(strokes.offsets) - 1), np.diff(strokes.offsets))
    sort = np.asarray if ordered else (lambda ends: np.sort(ends, axis=1))
    true = Counter(zip(image, *sort(strokes.ends).T, strict=True))
    decoded = Counter(zip(found.image, *sort(found.ends).T, strict=True))
    both = (true & decoded).total()
    return both / true.total(), both / max(1, decoded.total())


@pytest.mark.parametrize("trips_per_image", [1, 4, 16, 32])
def test_clean_pictures_are_read_exactly(trips_per_image):
    spec, strokes, images = picture(
        places=51, side=64, trips_per_image=trips_per_image, images=-(-640 // trips_per_image), seed=1
    )
    found = solve(images, spec)
    recall, precision = hits(strokes, found)
    assert recall >= 0.998 and precision >= 0.998  # the bar is .999 on 20,000 trips; 640 have a standard error of .001
    assert (found.state == 0).all() and found.residual.max() < 0.2
    assert found.confidence.mean() > 0.99


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_trips_to_images_to_trips(places, trips_per_image, seed):
    spec, strokes, images = picture(places=places, side=16, trips_per_image=trips_per_image, images=4, seed=seed)
    found = solve(images, spec)
    assert found.residual.max() < 0.12  # at worst two strokes of a crowded picture are exchanged
    recall, precision = hits(strokes, found)
    assert recall > 0.7 and precision > 0.7


def test_collinear_trips_are_told_apart():
    spec = make_spec([(3, 8), (8, 8), (13, 8)], trips_per_image=2)
    both = [[[0, 1], [1, 2]], [[0, 2], [1, 1]]]
    for ends in both:
        found = solve(draw_images(spec, Strokes.straight(ends, offsets=[0, 2])), spec)
        assert sorted(map(tuple, found.ends)) == sorted(map(tuple, ends))


@pytest.mark.parametrize("trips_per_image", [1, 3])
def test_painted_values_come_back(trips_per_image):
    spec, strokes, images = picture(
        places=20, side=32, trips_per_image=trips_per_image, images=50, seed=2, painted=PAINTED
    )
    found = solve(images, spec)
    true = {(i, *ends): [] for i, ends in zip(found.image, map(tuple, found.ends), strict=True)}
    image = np.repeat(np.arange(50), trips_per_image)
    for i, ends, values in zip(image, strokes.ends, strokes.values, strict=True):
        true.get((i, *ends), []).append(values)
    alone = [
        np.abs(value - true[(i, *ends)][0]).max()
        for i, ends, value in zip(found.image, found.ends, found.values, strict=True)
        if len(true[(i, *ends)]) == 1
    ]
    assert len(alone) > 40 and np.quantile(alone, 0.95) < 0.01


def test_painted_values_come_back_from_faint_and_blurred_strokes():
    spec, strokes, images = picture(places=12, side=32, trips_per_image=1, images=60, seed=9, painted=PAINTED)
    blurred = 0.7 * gaussian_filter(images, (0, 0, 0.8, 0.8))
    found = solve(blurred, spec)
    right = (found.ends == strokes.ends[found.image]).all(axis=1)
    assert right.mean() > 0.95
    errors = np.abs(found.values - strokes.values[found.image])[right]
    assert errors.max() < 0.02


def test_grey_pictures_give_undirected_pairs():
    spec, strokes, images = picture(places=20, side=64, trips_per_image=1, images=60, seed=3, mode="grey")
    recall, precision = hits(strokes, solve(images, spec), ordered=False)
    assert recall == precision == 1


def test_the_pair_of_a_faded_noisy_stroke_is_found():
    spec, strokes, images = picture(places=20, side=32, trips_per_image=1, images=200, seed=4)
    noisy = 0.6 * images + np.random.default_rng(5).normal(0, 0.08, images.shape)
    found = solve(noisy.astype(np.float32), spec)
    recall, _ = hits(strokes, found)
    assert recall > 0.97
    clean = solve(0.6 * images, spec)
    assert clean.confidence.min() > 0.999  # faintness alone is no doubt
    assert 0.3 < np.median(found.confidence) < 0.95 and found.confidence.min() >= 0


def test_a_missing_destination_blob_is_made_up_for_by_the_stroke():
    spec, strokes, images = picture(places=20, side=64, trips_per_image=3, images=60, seed=6)
    long_enough = np.hypot(*(spec.place_xy[strokes.ends[:, 0]] - spec.place_xy[strokes.ends[:, 1]]).T) > 6
    images[:, 3] = 0
    found = solve(images, spec)
    image = np.repeat(np.arange(60), 3)
    true = set(zip(image[long_enough], *strokes.ends[long_enough].T, strict=True))
    got = set(zip(found.image, *found.ends.T, strict=True))
    assert len(true & got) / len(true) > 0.9


def test_nonsense_is_counted_not_decoded():
    spec, _, images = picture(places=10, side=16, trips_per_image=4, images=4, seed=7)
    images[0] = 0
    images[1, 2, 3, 4] = np.nan
    images[2] = 1e4
    found = solve(images, spec)
    assert [STATES[code] for code in found.state[:3]] == ["blank image", "image not finite", STATES[3]]
    assert set(found.image) == {3}


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.01, 1.0, 30.0]), st.sampled_from([1, 4]))
def test_any_image_gives_valid_strokes_or_a_counted_state(seed, scale, trips_per_image):
    rng = np.random.default_rng(seed)
    spec = make_spec(scattered(12, side=16, rng=rng), trips_per_image=trips_per_image, channels=PAINTED)
    found = solve((scale * rng.normal(size=(8, *spec.shape))).astype(np.float32), spec)
    assert found.ends.min(initial=0) >= 0 and found.ends.max(initial=0) < 12
    assert np.isfinite(found.values).all() and np.isfinite(found.residual).all()
    assert set(found.image) == set(np.flatnonzero(found.state == 0))


def test_the_answer_does_not_depend_on_the_batch():
    spec, _, images = picture(places=20, side=32, trips_per_image=4, images=20, seed=8)
    whole, half = solve(images, spec), solve(images[10:], spec)
    assert np.array_equal(whole.ends[whole.image >= 10], half.ends)
