"""Confidence is a chance: of the trips it is sure of, so many are right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decode.confidence import ConfidenceCurve, fit_confidence
from decode.estimate import estimate_degradation
from decode.solver.decoder import Decoder
from decode.solver.degradation import CLEAN, MEDIUM, MILD, Degradation, draw_degraded
from decode.solver.solution import match_trips
from tests.spec_examples import make_spec, random_strokes, scattered

ROUGH = Degradation(blur_px=0.9, jitter_px=0.6, gain_sd=0.25, noise=0.12, clipped=True)


def _decode(degradation, *, places=60, trips_per_image=16, images=60, seed=3):
    """Paint random trips, decode them; return the solution, its confidence curve, and which trips are right."""
    rng = np.random.default_rng(seed)
    spec = make_spec(scattered(places, side=64, rng=rng, apart=3), side=64, trips_per_image=trips_per_image)
    strokes = random_strokes(spec, images=images, seed=seed)
    levels = draw_degraded(spec, strokes, degradation, rng)
    estimate = estimate_degradation(levels, spec)
    found = Decoder(spec, degradation=estimate).solve(levels)
    curve = fit_confidence(spec, estimate, found.ends)
    return found, curve, match_trips(strokes, found.image, found.ends)


@pytest.mark.parametrize(
    ("degradation", "trips_per_image"),
    [(MEDIUM, 16), (replace(MILD, lost=0.1), 16), (ROUGH, 4)],
    ids=["medium", "mild with lost blobs", "rough"],
)
def test_trips_it_is_sure_of_are_right(degradation, trips_per_image):
    found, curve, right = _decode(degradation, trips_per_image=trips_per_image, images=1000 // trips_per_image)
    confidence = curve.confidence(found.evidence)
    sure = confidence >= 0.9
    assert right[sure].mean() >= 0.9
    assert sure.mean() > 0.5  # it is of use
    # What it says of itself holds: in bins of its own check, and on average over fresh trips.
    assert all(abs(said - share) < 0.3 for _, _, count, said, share in curve.reliability if count >= 50)
    assert confidence.mean() == pytest.approx(right.mean(), abs=0.05)


def test_unsure_trips_are_wrong_more_often():
    found, curve, right = _decode(ROUGH, trips_per_image=8, images=120)
    confidence = curve.confidence(found.evidence)
    assert right[confidence >= 0.9].mean() > right[confidence < 0.7].mean() + 0.2


def test_clean_pictures_leave_no_doubt():
    found, curve, right = _decode(CLEAN, places=30)
    assert right.all() and curve.confidence(found.evidence).min() > 0.99


def test_without_a_trip_nothing_is_sure():
    spec = make_spec([(3, 3), (12, 12)])
    assert fit_confidence(spec, CLEAN, np.zeros((0, 2), np.int32)).confidence(np.ones((1, 3)))[0] == 0.5


NUMBER = st.floats(-10, 10)


@given(NUMBER, st.floats(0, 10), st.floats(-10, 0), st.lists(st.tuples(*[st.floats(0, 1)] * 2), max_size=3))
def test_json_keeps_all_and_margins_never_speak_against(intercept, margin, unexplained, bins):
    rows = tuple((low, 1.0, 7, said, said) for low, said in bins)
    curve = ConfidenceCurve(intercept=intercept, margin=margin, unexplained=unexplained, reliability=rows)
    assert ConfidenceCurve.from_json(curve.to_json()) == curve
    lines = np.array([[0.1, 1, 0.5], [0.2, 1, 0.5], [0.2, 1, 0.4]])
    confidence = curve.confidence(lines)
    assert (np.diff(confidence) >= 0).all()
