"""Pictures for people: the density of all trips."""

import numpy as np
import pytest

from rasterize.pictures import draw_density, draw_flows
from tests.spec_examples import make_spec


def test_density_counts_every_trip():
    rng = np.random.default_rng(2)
    spec = make_spec(rng.uniform(2, 14, (7, 2)))
    ends = rng.integers(0, 7, (500, 2))
    lengths = np.hypot(*(4 * (spec.place_xy[ends[:, 0]] - spec.place_xy[ends[:, 1]])).T)
    density = draw_density(spec, ends, side_px=64)
    assert density.shape == (64, 64)
    blob = 0.01 * (ends[:, 0] == ends[:, 1]).sum()  # tails of a blob that are cut
    assert density.sum() == pytest.approx(lengths.sum() + (ends[:, 0] == ends[:, 1]).sum(), abs=blob + 0.01)


def test_flows_between_coordinates_are_those_between_places():
    rng = np.random.default_rng(2)
    spec = make_spec(rng.uniform(2, 14, (7, 2)))
    ends = rng.integers(0, 7, (500, 2))
    lat, lng = (np.array([getattr(place, axis) for place in spec.places])[ends].ravel() for axis in ("lat", "lng"))
    pairs = np.arange(1000).reshape(-1, 2)  # two points of its own for each trip
    flows = draw_flows(spec.frame, lat, lng, pairs, np.ones(500))
    assert np.allclose(flows, draw_density(spec, ends, side_px=16), atol=1e-4)
