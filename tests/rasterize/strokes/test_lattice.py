"""Stations on a lattice: apart, inside, still neighbours, and trips between them come back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from decode.options import RoundtripOptions
from decode.roundtrip import roundtrip_files
from rasterize.errors import InputError
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.lattice import LEAST_PITCH_PX, lattice_xy
from rasterize.strokes.options import RasterOptions


@settings(max_examples=30)
@given(st.integers(1, 64), st.sampled_from([(16, 16), (16, 24), (48, 32)]), st.integers(0, 99))
def test_places_are_apart_and_inside(count, shape, seed):
    height, width = shape
    xy = lattice_xy(np.random.default_rng(seed).uniform(0, 9, (count, 2)), height=height, width=width)
    assert (xy > 0).all() and (xy < (width, height)).all()
    assert count < 2 or pdist(xy).min() >= LEAST_PITCH_PX


def test_a_lattice_stays_as_it_is_and_neighbours_stay_near():
    cells = np.stack(np.meshgrid(np.arange(6), np.arange(6)), axis=2).reshape(-1, 2).astype(float)
    np.testing.assert_allclose(lattice_xy(cells, height=12, width=12), 2 * cells + 1)
    crowded = np.random.default_rng(0).normal(0, 1, (120, 2)) ** 3
    moved = lattice_xy(crowded, height=32, width=32)
    ranks = np.argsort(np.argsort(crowded, axis=0), axis=0)
    assert np.corrcoef(pdist(ranks), pdist(moved))[0, 1] > 0.9


def test_too_many_places_are_refused_with_a_size_that_holds_them():
    points = np.random.default_rng(0).uniform(0, 16, (200, 2))
    with pytest.raises(InputError, match="use --resolution 32"):
        lattice_xy(points, height=16, width=16)
    assert len(lattice_xy(points, height=32, width=32)) == 200


@pytest.mark.parametrize("trips_per_image", [1, 8])
def test_trips_come_back_from_a_lattice(tmp_path, trips_per_image):
    write_city(tmp_path / "city.csv", trips=1200, stations=40)
    options = RoundtripOptions(resolution=16, rows=1000, trips_per_image=trips_per_image, layout="lattice")
    figures = roundtrip_files([str(tmp_path / "city.csv")], options)
    assert figures["precision"] > 0.995 and figures["recall"] > 0.995


def test_all_stations_have_a_place_of_their_own_and_the_map_is_kept_for_density(tmp_path):
    write_city(tmp_path / "city.csv", trips=1200, stations=40)
    options = IngestOptions(stops=StopOptions(resolution=16))
    made = raster(
        [str(tmp_path / "city.csv")], tmp_path, ingest_options=options, options=RasterOptions(layout="lattice")
    )
    assert len(made.images.spec.places) == 40
    with pytest.raises(InputError, match="--layout spiral is unknown; layouts: map, lattice"):
        raster([str(tmp_path / "city.csv")], tmp_path, ingest_options=options, options=RasterOptions(layout="spiral"))
