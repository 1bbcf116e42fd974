"""The frame: degrees ↔ pixels."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.strokes.frame import Frame

FRAME = Frame(west=-74.1, south=40.7, east=-74.0, north=40.8, height=64, width=32)


def test_pixel_zero_is_the_north_west_one():
    assert FRAME.to_pixels(40.8, -74.1) == (0.0, 0.0)
    x, y = FRAME.to_pixels(40.7, -74.0)
    assert (round(float(x), 9), round(float(y), 9)) == (32.0, 64.0)


def test_columns_grow_eastward_and_rows_southward():
    x, y = FRAME.to_pixels([40.75, 40.74], [-74.05, -74.04])
    assert x[1] > x[0] and y[1] > y[0]


@given(st.floats(-10, 74), st.floats(-10, 42))
def test_degrees_and_back(x, y):
    again = FRAME.to_pixels(*FRAME.to_degrees(x, y))
    assert np.allclose(again, (x, y), atol=1e-9)


def test_outside_and_missing_points_are_not_contained():
    assert FRAME.contains([40.75, 40.81, np.nan], [-74.05, -74.05, -74.05]).tolist() == [True, False, False]


@given(st.lists(st.tuples(st.floats(-60, 60), st.floats(-170, 170)), min_size=1, max_size=20))
def test_around_holds_all_points_inside_the_margin(points):
    lat, lng = np.array(points).T
    lat, lng = lat[0] + lat / 1e3, lng[0] + lng / 1e3
    frame = Frame.around(lat, lng, height=32, width=48, margin_px=2)
    x, y = frame.to_pixels(lat, lng)
    assert (x.min() > 2 - 1e-6) and (x.max() < 46 + 1e-6) and (y.min() > 2 - 1e-6) and (y.max() < 30 + 1e-6)


def test_around_has_square_pixels():
    frame = Frame.around([40.70, 40.75], [-74.08, -74.03], height=64, width=64)
    degree_lng = np.cos(np.radians(40.725))
    high, wide = (frame.north - frame.south) / 64, (frame.east - frame.west) / 64 * degree_lng
    assert high == pytest.approx(wide, rel=1e-9)
    assert frame.metres_per_pixel == pytest.approx(high * 111_195)


def test_json_and_back():
    assert Frame.from_json(FRAME.to_json()) == FRAME


def test_an_empty_frame_is_refused():
    with pytest.raises(ValueError, match="west < east"):
        Frame(west=1, south=0, east=1, north=1, height=8, width=8)
