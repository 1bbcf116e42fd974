"""The charts of the report: maps, densities, and colours that the page decides on."""

import numpy as np
import pandas as pd
import pytest

from decode.evaluate.charts import draw_density_maps, draw_hour_of_week, fit_map_frame
from decode.evaluate.pictures import index_ends, make_station_spec
from rasterize.pictures import draw_density
from rasterize.strokes.frame import Frame


def test_density_is_the_length_of_all_trips():
    frame = Frame(west=0.0, south=0.0, east=8.0, north=8.0, height=8, width=8)
    stations = pd.DataFrame({"lat": [7.5, 7.5, 2.5], "lng": [0.5, 3.5, 5.5]}, index=["a", "b", "c"])
    trips = pd.DataFrame({"start": ["a", "a", "c", "x"], "end": ["b", "b", "c", "a"]})
    spec = make_station_spec(stations, frame)
    density = draw_density(spec, index_ends(trips, stations), side_px=8)

    # a round trip counts one pixel, spread around its station; tails are cut off
    round_trip = density[3:8, 3:8]
    assert round_trip.sum() == pytest.approx(1, abs=0.01) and round_trip.argmax() == 12

    # two trips of three pixels each, from and to pixel centres; a trip from an unknown station is not drawn
    expected = np.zeros((8, 8))
    expected[0, :4] = [1.0, 2.0, 2.0, 1.0]
    density[3:8, 3:8] = 0
    np.testing.assert_allclose(density, expected, atol=1e-6)


def test_both_maps_have_one_scale():
    """Draw twice as many trips: the map of the real ones gives the scale."""
    rng = np.random.default_rng(0)
    stations = pd.DataFrame({"lat": 40 + rng.random(9) / 10, "lng": rng.random(9) / 10}, index=list("abcdefghi"))
    few = pd.DataFrame(rng.choice(stations.index, (200, 2)), columns=["start", "end"])
    many = pd.concat([few, few])
    (real, synthetic), top = draw_density_maps(few, many, stations)
    assert real.html.partition("src")[2] != synthetic.html.partition("src")[2]
    (busy, same), double = draw_density_maps(many, many, stations)
    assert double == pytest.approx(2 * top) and busy.html.partition("src")[2] == same.html.partition("src")[2]
    assert busy.html.partition("src")[2] == real.html.partition("src")[2]


def test_map_frame_is_no_taller_than_needed_and_holds_all():
    stations = pd.DataFrame({"lat": [40.0, 40.001, 40.002], "lng": [0.0, 0.05, 0.1]})
    frame = fit_map_frame(stations)
    assert frame.width > 2.5 * frame.height
    assert frame.contains(stations["lat"], stations["lng"]).all()


def test_svg_takes_its_colours_from_the_page():
    table = pd.DataFrame({"day_of_week": [0, 6], "hour": [0, 23]})
    svg = str(draw_hour_of_week(table, table).html)
    assert "var(--real)" in svg and "var(--synthetic)" in svg and "var(--ink)" in svg
    assert "<text" in svg and "<metadata" not in svg
    assert str(draw_hour_of_week(table, table).html) == svg  # the same data, the same file
