"""Which found trips were drawn: as multisets within each image, with and without direction."""

import numpy as np

from decode.solver.solution import match_trips
from rasterize.strokes.strokes import Strokes


def test_two_equal_found_need_two_equal_drawn():
    strokes = Strokes.straight([[0, 1], [2, 3], [2, 3]], offsets=[0, 1, 3])
    image, ends = np.array([0, 0, 1, 1, 1]), np.array([[0, 1], [0, 1], [3, 2], [2, 3], [2, 3]])
    assert match_trips(strokes, image, ends).tolist() == [True, False, False, True, True]
    assert match_trips(strokes, image, ends, ordered=False).tolist() == [True, False, True, True, False]


def test_nothing_found_matches_nothing():
    nothing = np.zeros(0, int), np.zeros((0, 2), int)
    assert match_trips(Strokes.straight([[0, 1]]), *nothing).tolist() == []
