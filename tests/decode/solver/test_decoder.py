"""The decoder on pictures it must read exactly, on damaged ones, and on nonsense."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from decode.estimate import estimate_degradation
from decode.solver.decoder import Decoder
from decode.solver.degradation import CLEAN, MEDIUM, MILD, draw_degraded
from decode.solver.solution import EVIDENCE, STATES, match_trips
from rasterize.strokes.channels import LinearChannel
from rasterize.strokes.pen import draw_images
from rasterize.strokes.strokes import Strokes
from tests.spec_examples import make_spec, random_strokes, scattered

PAINTED = (LinearChannel(column="duration_s", low=0, high=1), LinearChannel(column="birth_year", low=0, high=1))


def _draw_random(*, places, side, trips_per_image, images, seed, mode="abod", painted=()):
    """Draw random trips between random places; return the spec, the strokes and the images."""
    rng = np.random.default_rng(seed)
    xy = scattered(places, side=side, rng=rng)
    spec = make_spec(xy, side=side, mode=mode, trips_per_image=trips_per_image, channels=painted)
    ends = rng.integers(0, places, (images * trips_per_image, 2))
    values = rng.uniform(0.2, 1, (len(ends), len(painted)))
    offsets = np.arange(images + 1) * trips_per_image
    strokes = Strokes.straight(ends, values=values, offsets=offsets)
    return spec, strokes, draw_images(spec, strokes)


def _recall_and_precision(strokes, found, *, ordered=True):
    """Return the share of drawn trips that were found, and the share of found trips that were drawn."""
    right = match_trips(strokes, found.image, found.ends, ordered=ordered).sum()
    return right / len(strokes.ends), right / max(1, len(found.ends))


@pytest.mark.parametrize("trips_per_image", [1, 4, 16, 32])
def test_clean_pictures_are_read_exactly(trips_per_image):
    spec, strokes, images = _draw_random(
        places=51, side=64, trips_per_image=trips_per_image, images=-(-640 // trips_per_image), seed=1
    )
    found = Decoder(spec).solve(images)
    recall, precision = _recall_and_precision(strokes, found)
    # The bar is .999 on 20,000 trips; 640 have a standard error of .001.
    assert recall >= 0.998 and precision >= 0.998
    assert (found.state == 0).all() and found.residual.max() < 0.2
    # A trip that could be left out or exchanged would have no margin.
    assert (found.evidence[:, EVIDENCE.index("margin")] > 0.01).mean() > 0.99


@settings(max_examples=25)
@given(st.integers(2, 12), st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_trips_to_images_to_trips(places, trips_per_image, seed):
    spec, strokes, images = _draw_random(places=places, side=16, trips_per_image=trips_per_image, images=4, seed=seed)
    found = Decoder(spec).solve(images)
    assert found.residual.max() < 0.12  # at worst two strokes of a crowded picture are exchanged
    recall, precision = _recall_and_precision(strokes, found)
    assert recall > 0.7 and precision > 0.7


def test_collinear_trips_are_told_apart():
    spec = make_spec([(3, 8), (8, 8), (13, 8)], trips_per_image=2)
    both = [[[0, 1], [1, 2]], [[0, 2], [1, 1]]]
    for ends in both:
        found = Decoder(spec).solve(draw_images(spec, Strokes.straight(ends, offsets=[0, 2])))
        assert sorted(map(tuple, found.ends)) == sorted(map(tuple, ends))


@pytest.mark.parametrize("trips_per_image", [1, 3])
def test_painted_values_come_back(trips_per_image):
    spec, strokes, images = _draw_random(
        places=20, side=32, trips_per_image=trips_per_image, images=50, seed=2, painted=PAINTED
    )
    found = Decoder(spec).solve(images)
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
    spec, strokes, images = _draw_random(places=12, side=32, trips_per_image=1, images=60, seed=9, painted=PAINTED)
    blurred = 0.7 * gaussian_filter(images, (0, 0, 0.8, 0.8))
    found = Decoder(spec).solve(blurred)
    right = (found.ends == strokes.ends[found.image]).all(axis=1)
    assert right.mean() > 0.95
    errors = np.abs(found.values - strokes.values[found.image])[right]
    assert errors.max() < 0.02


def test_grey_pictures_give_undirected_pairs():
    spec, strokes, images = _draw_random(places=20, side=64, trips_per_image=1, images=60, seed=3, mode="grey")
    recall, precision = _recall_and_precision(strokes, Decoder(spec).solve(images), ordered=False)
    assert recall == precision == 1


def test_the_pair_of_a_faded_noisy_stroke_is_found():
    spec, strokes, images = _draw_random(places=20, side=32, trips_per_image=1, images=200, seed=4)
    noisy = 0.6 * images + np.random.default_rng(5).normal(0, 0.08, images.shape)
    found = Decoder(spec).solve(noisy.astype(np.float32))
    recall, _ = _recall_and_precision(strokes, found)
    assert recall > 0.97
    faded = Decoder(spec).solve(0.6 * images)
    unexplained = EVIDENCE.index("unexplained")
    assert faded.evidence[:, unexplained].max() < 1e-3  # faintness alone is no doubt
    assert (found.evidence[:, unexplained] > 0.1).all()


def test_a_missing_destination_blob_is_made_up_for_by_the_stroke():
    spec, strokes, images = _draw_random(places=20, side=64, trips_per_image=3, images=60, seed=6)
    long_enough = np.hypot(*(spec.place_xy[strokes.ends[:, 0]] - spec.place_xy[strokes.ends[:, 1]]).T) > 6
    images[:, 3] = 0
    found = Decoder(spec).solve(images)
    image = np.repeat(np.arange(60), 3)
    true = set(zip(image[long_enough], *strokes.ends[long_enough].T, strict=True))
    got = set(zip(found.image, *found.ends.T, strict=True))
    assert len(true & got) / len(true) > 0.9


def _draw_spoilt(degradation, *, trips_per_image, images, seed):
    """Draw trips between 60 places at least 3 px apart, as the bars of noisy decoding say, and spoil the images."""
    rng = np.random.default_rng(seed)
    spec = make_spec(scattered(60, side=64, rng=rng, apart=3), side=64, trips_per_image=trips_per_image)
    strokes = random_strokes(spec, images=images, seed=seed)
    return spec, strokes, draw_degraded(spec, strokes, degradation, rng)


@pytest.mark.parametrize(
    ("degradation", "trips_per_image", "images", "precision_bar", "recall_bar"),
    [
        (MEDIUM, 1, 1000, 0.97, 0.97),
        (MEDIUM, 4, 250, 0.97, 0.97),
        (MEDIUM, 16, 80, 0.97, 0.97),
        (MEDIUM, 32, 60, 0.97, 0.97),
        (replace(MILD, lost=0.1), 16, 80, 0.99, 0.97),
    ],
    ids=["medium 1", "medium 4", "medium 16", "medium 32", "mild, blobs lost, 16"],
)
def test_spoilt_pictures_are_read_without_being_told_how(
    degradation, trips_per_image, images, precision_bar, recall_bar
):
    spec, strokes, levels = _draw_spoilt(degradation, trips_per_image=trips_per_image, images=images, seed=1)
    found = Decoder(spec, degradation=estimate_degradation(levels, spec)).solve(levels)
    recall, precision = _recall_and_precision(strokes, found)
    assert recall >= recall_bar and precision >= precision_bar


def test_thick_strokes_are_read_exactly():
    rng = np.random.default_rng(12)
    spec = make_spec(scattered(40, side=64, rng=rng, apart=2), side=64, trips_per_image=8)
    spec = replace(spec, drawing=replace(spec.drawing, stroke_sigma_px=0.9))
    strokes = random_strokes(spec, images=60, seed=12)
    assert _recall_and_precision(strokes, Decoder(spec).solve(draw_images(spec, strokes))) == (1, 1)


def test_many_places_take_no_memory_for_all_their_pairs():
    rng = np.random.default_rng(13)
    spec = make_spec(rng.uniform(2, 126, (2000, 2)), side=128, trips_per_image=4)
    decoder = Decoder(spec)
    assert decoder.model.atlas.halves.size == 0 and decoder.model.norms.size == 0  # 4 million pairs
    strokes = random_strokes(spec, images=40, seed=13)
    recall, precision = _recall_and_precision(strokes, decoder.solve(draw_images(spec, strokes)))
    assert recall > 0.95 and precision > 0.95  # places stand closer than a pixel


def test_nonsense_is_counted_not_decoded():
    spec, _, images = _draw_random(places=10, side=16, trips_per_image=4, images=4, seed=7)
    images[0] = 0
    images[1, 2, 3, 4] = np.nan
    images[2] = 1e4
    found = Decoder(spec).solve(images)
    assert [STATES[code] for code in found.state[:3]] == ["blank image", "image not finite", STATES[3]]
    assert set(found.image) == {3}


NONSENSE = {
    "noise": lambda rng, shape: rng.normal(0, 10 ** rng.uniform(-2, 1.5), shape),
    "bright noise": lambda rng, shape: rng.random(shape) * 30,
    "blank": lambda rng, shape: np.zeros(shape),
    "saturated": lambda rng, shape: np.full(shape, rng.choice([1.0, 1e4, 1e18])),
    "sparks": lambda rng, shape: (rng.random(shape) < 0.1) * 3.0,
    "not a number": lambda rng, shape: np.where(rng.random(shape) < 0.01, np.nan, rng.random(shape)),
    "infinite": lambda rng, shape: np.where(rng.random(shape) < 0.01, -np.inf, rng.random(shape)),
    "nearly blank": lambda rng, shape: np.abs(rng.normal(0, 0.05, shape)),
}


@pytest.mark.parametrize("mode", ["abod", "grey"])
@pytest.mark.parametrize("trips_per_image", [1, 4, 32])
@pytest.mark.parametrize("degradation", [CLEAN, replace(MEDIUM, lost=0.1)], ids=["as clean", "as spoilt"])
def test_any_image_gives_valid_strokes_or_a_counted_state(mode, trips_per_image, degradation):
    """1,008 images: 12 combinations of 84, of eight kinds in turn."""
    rng = np.random.default_rng(trips_per_image)
    xy = scattered(12, side=16, rng=rng)
    spec = make_spec(xy, mode=mode, trips_per_image=trips_per_image, channels=PAINTED)
    kinds = list(NONSENSE)
    images = np.array([NONSENSE[kinds[k % len(kinds)]](rng, spec.shape) for k in range(84)], np.float32)
    found = Decoder(spec, degradation=degradation).solve(images)
    assert found.ends.min(initial=0) >= 0 and found.ends.max(initial=0) < 12
    for numbers in (found.values, found.evidence, found.residual):
        assert np.isfinite(numbers).all()
    assert set(found.image) == set(np.flatnonzero(found.state == 0))
    finite = np.isfinite(images).all(axis=(1, 2, 3))
    assert ((found.state == STATES.index("image not finite")) == ~finite).all()
    assert (found.state[np.arange(84) % len(kinds) == kinds.index("blank")] == STATES.index("blank image")).all()


@pytest.mark.parametrize("degradation", [CLEAN, MEDIUM], ids=["clean", "spoilt"])
def test_the_answer_does_not_depend_on_the_batch(degradation):
    spec, strokes, images = _draw_random(places=20, side=32, trips_per_image=4, images=20, seed=8, painted=PAINTED)
    images = draw_degraded(spec, strokes, degradation, np.random.default_rng(8))
    images[9] *= 1000
    decoder = Decoder(spec, degradation=degradation)
    whole, half = decoder.solve(images), decoder.solve(images[10:])
    later = whole.image >= 10
    assert np.array_equal(whole.ends[later], half.ends) and np.array_equal(whole.values[later], half.values)
    assert np.array_equal(whole.residual[10:], half.residual)


@pytest.mark.parametrize(
    "degradation", [CLEAN, MEDIUM, replace(MEDIUM, blur_px=2.0)], ids=["clean", "medium", "blurred"]
)
def test_what_reaches_over_the_border_stays_in_memory(degradation):
    corners = [(0.2, 0.2), (15.8, 0.2), (0.2, 15.8), (15.8, 15.8), (8, 0.1), (8, 8)]
    spec = make_spec(corners, trips_per_image=2, channels=PAINTED)
    decoder = Decoder(spec, degradation=degradation)
    reach, model = len(decoder.model.twice) // 2, decoder.model
    painted = model.sharp_at[model.sharp > 0]
    assert reach == 0 or (painted // model.atlas.width).min() >= reach and (painted % model.atlas.width).min() >= reach
    strokes = random_strokes(spec, images=40)
    found = decoder.solve(draw_degraded(spec, strokes, degradation, np.random.default_rng(0)))
    assert _recall_and_precision(strokes, found)[0] > 0.2 and np.isfinite(found.values).all()
