"""The codec on real trips: what the issue of 20,000 trips demands, on a sample that keeps the suite quick."""

import pytest

from decode.options import RoundtripOptions
from decode.roundtrip import roundtrip_files


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
