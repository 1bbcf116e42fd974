"""Trips → images → trips without the GAN: on the simulated city, and on real trips where these are here.

20,000 real trips are in docs/benchmarks/codec.md; here a sample keeps the suite quick.
"""

import pytest

from decode.options import RoundtripOptions
from decode.roundtrip import roundtrip_files
from rasterize.simulated_city import write_city


@pytest.fixture(scope="module")
def city(tmp_path_factory):
    """Write 600 trips of the simulated city."""
    path = tmp_path_factory.mktemp("roundtrip") / "city.csv"
    write_city(path, trips=600)
    return [str(path)]


@pytest.mark.parametrize(("layout", "trips_per_image"), [("map", 1), ("map", 4), ("map", 16), ("lattice", 16)])
def test_the_simulated_city_comes_back_exactly(city, layout, trips_per_image):
    options = RoundtripOptions(resolution=64, rows=480, trips_per_image=trips_per_image, layout=layout)
    figures = roundtrip_files(city, options)
    assert figures["trips"] == 480 and figures["images"] == 480 // trips_per_image
    assert figures["precision"] == 1.0 and figures["recall"] == 1.0
    assert figures["value_error"][1] < 0.001


def test_the_simulated_city_comes_back_from_crowded_images(city):
    figures = roundtrip_files(city, RoundtripOptions(resolution=64, rows=480, trips_per_image=32))
    assert figures["precision"] >= 0.999 and figures["recall"] >= 0.999
    assert figures["value_error"][1] < 0.01


def test_the_simulated_city_comes_back_from_merged_places(city):
    figures = roundtrip_files(city, RoundtripOptions(resolution=8, rows=480, trips_per_image=1))
    assert figures["places"] < figures["stations"]
    assert figures["precision"] >= 0.99 and figures["recall"] >= 0.99


def test_grey_pictures_of_the_simulated_city_lose_the_direction_only(city):
    figures = roundtrip_files(city, RoundtripOptions(rows=480, trips_per_image=1, mode="grey"))
    assert figures["undirected_recall"] > 0.97 and figures["recall"] < 0.7


@pytest.mark.parametrize("trips_per_image", [1, 4, 16, 32])
def test_jersey_city_comes_back(shared_data, trips_per_image):
    files = [str(shared_data / "citibike-jc" / "JC-201901*")]
    figures = roundtrip_files(files, RoundtripOptions(rows=4000, trips_per_image=trips_per_image))
    assert figures["precision"] >= 0.999 and figures["recall"] >= 0.999
    assert figures["value_error"][1] < 0.01


def test_new_york_comes_back_from_merged_places(shared_data):
    files = [str(shared_data / "citibike-nyc" / "nyc-652k-trips.parquet")]
    figures = roundtrip_files(files, RoundtripOptions(resolution=128, rows=3200))
    assert figures["places"] < figures["stations"]
    assert figures["precision"] >= 0.99 and figures["recall"] >= 0.99


def test_grey_pictures_lose_the_direction_only(shared_data):
    files = [str(shared_data / "citibike-jc" / "JC-201902*")]
    figures = roundtrip_files(files, RoundtripOptions(rows=1000, trips_per_image=1, mode="grey"))
    assert figures["undirected_recall"] > 0.97 and figures["recall"] < 0.7
