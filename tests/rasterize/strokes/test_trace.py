"""Segments over pixels against hand-written arrays: exact lengths, at every angle."""

import doctest

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.strokes import frame, trace
from rasterize.strokes.trace import trace_segment

inside = st.floats(0, 10, allow_nan=False)


def stroke_lengths(x0, y0, x1, y1, *, height, width):
    """The exact length of one segment inside each pixel, [height, width]; its sum is the length inside the frame."""
    size = height + width + 4
    pixels, lengths, middles = np.empty(size, np.int64), np.empty(size), np.empty(size)
    count = trace_segment(x0, y0, x1, y1, height, width, pixels, lengths, middles)
    image = np.zeros(height * width)
    np.add.at(image, pixels[:count], lengths[:count])
    return image.reshape(height, width)


def test_a_diagonal_and_a_straight_stroke_by_hand():
    image = stroke_lengths(1.5, 2.5, 4.5, 2.5, height=5, width=6)
    expected = np.zeros((5, 6))
    expected[2, 1:5] = [0.5, 1, 1, 0.5]
    assert np.allclose(image, expected, atol=1e-12)
    image = stroke_lengths(0.0, 0.0, 3.0, 3.0, height=4, width=4)
    assert np.allclose(image, np.diag([2**0.5] * 3 + [0]), atol=1e-12)


def test_a_knights_move_by_hand():
    image = stroke_lengths(0.0, 0.0, 2.0, 1.0, height=2, width=3)
    half = 5**0.5 / 2
    assert np.allclose(image, [[half, half, 0], [0, 0, 0]], atol=1e-12)


@given(inside, inside, inside, inside)
def test_mass_is_length_at_every_angle(x0, y0, x1, y1):
    image = stroke_lengths(x0, y0, x1, y1, height=10, width=10)
    on_border = max(x0, x1) == 10 or max(y0, y1) == 10  # the far border belongs to the pixel outside
    if not on_border:
        assert image.sum() == pytest.approx(np.hypot(x1 - x0, y1 - y0), abs=1e-9)
    assert image.max() <= 2**0.5 + 1e-9


@given(inside, inside, inside, inside)
def test_a_stroke_is_the_same_both_ways(x0, y0, x1, y1):
    there = stroke_lengths(x0, y0, x1, y1, height=10, width=10)
    back = stroke_lengths(x1, y1, x0, y0, height=10, width=10)
    assert np.allclose(there, back, atol=1e-6)


def test_what_lies_outside_is_not_drawn():
    image = stroke_lengths(-5.0, 2.5, 15.0, 2.5, height=5, width=10)
    assert image.sum() == pytest.approx(10)
    assert not stroke_lengths(-5.0, -5.0, -1.0, 20.0, height=5, width=10).any()


@pytest.mark.parametrize(("value", "module"), [(trace_segment, trace), (frame.Frame, frame)])
def test_examples_in_docstrings_are_right(value, module):
    runner = doctest.DocTestRunner()
    (example,) = (test for test in doctest.DocTestFinder(recurse=False).find(value, "example", globs={**vars(module)}))
    assert runner.run(example).failed == 0 and runner.tries > 3
