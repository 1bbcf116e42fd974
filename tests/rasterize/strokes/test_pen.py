"""Whole images against closed forms: strokes, their width, blobs, painted planes."""

from dataclasses import replace

import numpy as np
import pytest

from rasterize.strokes.blur import gaussian_taps
from rasterize.strokes.pen import Pen, draw_images
from rasterize.strokes.strokes import Strokes
from tests.spec_examples import make_spec


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
