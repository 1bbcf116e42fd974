"""Strokes and blobs against hand-written arrays and closed forms."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rasterize.pictures import draw_density
from rasterize.strokes.blur import blob_table, gaussian_taps
from rasterize.strokes.pen import Pen, draw_images
from rasterize.strokes.strokes import Strokes
from rasterize.strokes.trace import trace
from tests.spec_examples import make_spec

inside = st.floats(0, 10, allow_nan=False)


def stroke_lengths(x0, y0, x1, y1, *, height, width):
    """The exact length of one segment inside each pixel, [height, width]; its sum is the length inside the frame."""
    size = height + width + 4
    pixels, lengths, middles = np.empty(size, np.int64), np.empty(size), np.empty(size)
    count = trace(x0, y0, x1, y1, height, width, pixels, lengths, middles)
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


def test_a_and_b_hold_length_and_direction():
    spec = make_spec([(2.5, 4.5), (12.5, 4.5)])
    image = draw_images(spec, Strokes.straight([[0, 1]]))[0]
    assert (image[0] + image[1])[4].sum() == pytest.approx(10)
    columns = np.arange(16) + 0.5
    share = image[1, 4, 3:12] / (image[0] + image[1])[4, 3:12]
    assert share == pytest.approx((columns[3:12] - 2.5) / 10, abs=1e-6)  # B's share is the position along the trip
    back = draw_images(spec, Strokes.straight([[1, 0]]))[0]
    assert np.allclose(back[[1, 0, 3, 2]], image, atol=1e-6)


def test_strokes_add_up():
    spec = make_spec([(2.5, 4.5), (12.5, 9.5), (7.1, 13.2)], trips_per_image=3)
    ends = np.array([[0, 1], [0, 1], [2, 0]])
    together = draw_images(spec, Strokes.straight(ends, offsets=[0, 3]))[0]
    alone = draw_images(spec, Strokes.straight(ends))
    assert np.allclose(together, alone.sum(0), atol=1e-5)


def test_a_round_trip_is_blobs_only():
    image = draw_images(make_spec([(5.3, 4.5), (12.5, 4.5)]), Strokes.straight([[0, 0]]))[0]
    assert not image[:2].any()
    assert np.array_equal(image[2], image[3]) and image[2].sum() == pytest.approx(3, abs=0.03)
    grey = draw_images(make_spec([(5.3, 4.5), (12.5, 4.5)], mode="grey"), Strokes.straight([[0, 0], [0, 1]]))
    assert grey[0].sum() == pytest.approx(3, abs=0.03)
    assert grey[1].sum() == pytest.approx(7.2, abs=1e-4)


def test_a_polyline_is_as_long_as_its_pieces_and_turns_from_a_to_b():
    spec = make_spec([(2.5, 2.5), (12.5, 9.5)], bent=True)
    path = np.array([[2.5, 2.5], [12.5, 2.5], [12.5, 2.5], [12.5, 9.5]], np.float32)
    strokes = Strokes(
        offsets=np.array([0, 1]),
        ends=np.array([[0, 1]], np.int32),
        values=np.zeros((1, 0), np.float32),
        paths=path,
        path_offsets=np.array([0, 4]),
    )
    image = draw_images(spec, strokes)[0]
    assert (image[0] + image[1]).sum() == pytest.approx(17, abs=1e-4)
    assert image[1].sum() == pytest.approx(8.5, abs=1e-4)  # Σ w t is half the length of any path
    assert image[0, 2, 3] > image[1, 2, 3] and image[1, 8, 12] > image[0, 8, 12]


def test_drawing_does_not_depend_on_the_batch():
    rng = np.random.default_rng(0)
    spec = make_spec(rng.uniform(2, 14, (9, 2)), trips_per_image=4)
    strokes = Strokes.straight(rng.integers(0, 9, (40, 2)), offsets=np.arange(0, 41, 4))
    whole = draw_images(spec, strokes)
    assert np.array_equal(whole[[7, 2]], draw_images(spec, strokes, [7, 2]))


def test_mass_per_length_is_one_at_every_angle_in_float32_too():
    angles = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    tips = 32.3 + 27 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    spec = make_spec([(32.3, 32.3), *tips], side=64)
    images = draw_images(spec, Strokes.straight([[0, k] for k in range(1, 721)]))
    mass = images[:, :2].sum(axis=(1, 2, 3), dtype=float) / 27
    assert mass.mean() == pytest.approx(1, abs=1e-5) and mass.std() < 1e-5  # float32 has 7 digits


def test_strokes_from_the_table_and_traced_ones_are_the_same():
    rng = np.random.default_rng(1)
    spec = make_spec(rng.uniform(2, 14, (9, 2)), trips_per_image=4)
    strokes = Strokes.straight(rng.integers(0, 9, (40, 2)), offsets=np.arange(0, 41, 4))
    pen = Pen(spec)
    tabled = pen.draw(strokes)
    assert len(pen.atlas.starts) == 82
    pen.atlas = pen.atlas._replace(starts=np.zeros(1, np.int64))
    assert np.array_equal(pen.draw(strokes), tabled)


def test_weights_scale_strokes_and_each_end():
    spec = make_spec([(2.5, 4.5), (12.5, 9.5)])
    strokes, pen = Strokes.straight([[0, 1]]), Pen(spec)
    plain, weighted = pen.draw(strokes)[0], pen.draw(strokes, weights=[[0.5, 2.0, 0.0]])[0]
    assert np.allclose(weighted, plain * np.array([0.5, 0.5, 2, 0])[:, None, None], atol=1e-6)


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


def test_thick_strokes_are_thin_ones_blurred_and_blobs_stay():
    thin = make_spec([(4.5, 7.5), (12.1, 9.2)], side=16)
    thick = replace(thin, drawing=replace(thin.drawing, stroke_sigma_px=0.8))
    strokes = Strokes.straight([[0, 1]])
    sharp, soft = draw_images(thin, strokes)[0], draw_images(thick, strokes)[0]
    assert np.array_equal(sharp[2:], soft[2:])
    taps = gaussian_taps(0.8)
    for plane in (0, 1):
        rows = np.apply_along_axis(np.convolve, 1, sharp[plane], taps, mode="same")
        both = np.apply_along_axis(np.convolve, 0, rows, taps, mode="same")
        assert np.allclose(soft[plane], both, atol=1e-6)
    assert soft[:2].sum() == pytest.approx(sharp[:2].sum(), abs=1e-4)


def test_density_counts_every_trip():
    rng = np.random.default_rng(2)
    spec = make_spec(rng.uniform(2, 14, (7, 2)))
    ends = rng.integers(0, 7, (500, 2))
    lengths = np.hypot(*(4 * (spec.place_xy[ends[:, 0]] - spec.place_xy[ends[:, 1]])).T)
    density = draw_density(spec, ends, side_px=64)
    assert density.shape == (64, 64)
    blob = 0.01 * (ends[:, 0] == ends[:, 1]).sum()  # tails of a blob that are cut
    assert density.sum() == pytest.approx(lengths.sum() + (ends[:, 0] == ends[:, 1]).sum(), abs=blob + 0.01)
