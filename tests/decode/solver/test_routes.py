"""Strokes that bend: back to their ends by blobs, and whole where routes are known."""

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely import linestrings

from decode.estimate import estimate_degradation
from decode.options import RoundtripOptions
from decode.roundtrip import roundtrip_files
from decode.solver.decoder import Decoder
from decode.solver.degradation import MILD, draw_degraded
from decode.solver.routes import Routes, read_routes
from rasterize.errors import InputError
from rasterize.imageset import ImageSet, write_image_set
from rasterize.strokes.pen import draw_images
from rasterize.strokes.strokes import Strokes
from tests.spec_examples import decode_images, make_spec, scattered


def _make_city(*, places=12, detours=2, trips_per_image=1, seed=0):
    """Return a spec, and `detours` bent routes between every two places."""
    rng = np.random.default_rng(seed)
    spec = make_spec(scattered(places, side=64, rng=rng, apart=8), side=64, trips_per_image=trips_per_image, bent=True)
    pairs = [(a, b) for a in range(places) for b in range(places) if a != b for _ in range(detours)]
    lines = []
    for a, b in pairs:
        bends = np.clip(spec.place_xy[[a, b]].mean(axis=0) + rng.normal(0, 9, (2, 2)), 1, 63)
        lines.append(np.vstack([spec.place_xy[a], bends, spec.place_xy[b]]))
    offsets = np.arange(len(lines) + 1) * 4
    return spec, Routes(np.array(pairs, np.int32), offsets, np.concatenate(lines).astype(np.float32))


def _draw_trips(routes, spec, *, images, seed=1):
    """Return trips on random routes, and the index of each one's route."""
    route = np.random.default_rng(seed).integers(0, len(routes.ends), images * spec.trips_per_image)
    offsets = np.arange(images + 1) * spec.trips_per_image
    return routes.along(Strokes.straight(routes.ends[route], offsets=offsets), route), route


def _found_share(strokes, route, found):
    """Return the share of drawn (image, route) that were found."""
    image = np.repeat(np.arange(len(strokes.offsets) - 1), np.diff(strokes.offsets))
    true = set(zip(image, route, strict=True))
    return len(true & set(zip(found.image, found.route, strict=True))) / len(true)


@pytest.mark.parametrize("trips_per_image", [1, 4])
def test_known_routes_are_told_apart(trips_per_image):
    spec, routes = _make_city(trips_per_image=trips_per_image)
    strokes, route = _draw_trips(routes, spec, images=160 // trips_per_image)
    found = Decoder(spec, routes=routes).solve(draw_images(spec, strokes))
    assert _found_share(strokes, route, found) == 1 and len(found.image) == len(route)


def test_known_routes_are_told_apart_in_spoilt_pictures():
    spec, routes = _make_city(trips_per_image=4)
    strokes, route = _draw_trips(routes, spec, images=60)
    levels = draw_degraded(spec, strokes, MILD, np.random.default_rng(2))
    estimate = estimate_degradation(levels, spec, routes=routes)
    found = Decoder(spec, degradation=estimate, routes=routes).solve(levels)
    assert _found_share(strokes, route, found) > 0.97


def test_without_routes_the_ends_are_found_by_their_blobs():
    spec, routes = _make_city()
    strokes, _ = _draw_trips(routes, spec, images=100)
    found = Decoder(spec).solve(draw_images(spec, strokes))
    assert np.array_equal(found.ends, strokes.ends) and (found.route == -1).all()


def test_a_trip_on_no_known_route_keeps_its_ends():
    spec, routes = _make_city(detours=1)
    strokes, route = _draw_trips(routes, spec, images=50)
    few = Routes(routes.ends[:20], routes.offsets[:21], routes.points[: routes.offsets[20]])
    found = Decoder(spec, routes=few).solve(draw_images(spec, strokes))
    assert np.array_equal(found.ends, strokes.ends)
    assert np.array_equal(found.route, np.where(route < 20, route, -1))


def test_trips_get_the_waypoints_of_their_routes(tmp_path):
    spec, routes = _make_city()
    strokes, route = _draw_trips(routes, spec, images=30)
    write_image_set(tmp_path, spec, [draw_images(spec, strokes)], np.zeros((30, 0), np.int16))
    trips = decode_images(ImageSet.open(tmp_path), routes=routes).trips
    known = routes.waypoints(spec)
    for row in trips.itertuples():
        assert row.waypoints == known[route[row.image]]
        assert np.allclose(
            row.waypoints[:2] + row.waypoints[-2:], [row.start_lat, row.start_lng, row.end_lat, row.end_lng]
        )


# ---- files


def _lines_in_degrees(routes, spec):
    """Return each route as an array of (lng, lat)."""
    return [np.reshape(flat, (-1, 2))[:, ::-1] for flat in routes.waypoints(spec)]


@pytest.mark.parametrize("name", ["routes.parquet", "routes.geojson", "trips.parquet"])
def test_files_of_routes_are_read(tmp_path, name):
    spec, routes = _make_city(places=4, detours=1)
    lines, path = _lines_in_degrees(routes, spec), tmp_path / name
    if name == "trips.parquet":
        pd.DataFrame({"waypoints": [line[:, ::-1].ravel() for line in lines] + [None]}).to_parquet(path)
    else:
        frame = gpd.GeoDataFrame(geometry=[linestrings(line) for line in lines[::-1]], crs="EPSG:4326")
        frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path)
    found = read_routes(path, spec)
    assert np.array_equal(found.ends, routes.ends) and np.array_equal(found.offsets, routes.offsets)
    assert np.allclose(found.points, routes.points, atol=0.01)  # six digits of a degree


def test_routes_that_are_none_are_refused(tmp_path):
    spec, _ = _make_city(places=4)
    with pytest.raises(InputError, match="no such file; give lines"):
        read_routes(tmp_path / "absent.geojson", spec)
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 but not really")
    with pytest.raises(InputError, match="no Parquet file"):
        read_routes(tmp_path / "broken.parquet", spec)
    (tmp_path / "broken.geojson").write_text("{]")
    with pytest.raises(InputError, match="cannot be read"):
        read_routes(tmp_path / "broken.geojson", spec)
    far = gpd.GeoDataFrame(geometry=[linestrings([[0, 0], [1, 1]])], crs="EPSG:4326")
    far.to_file(tmp_path / "far.geojson")
    with pytest.raises(InputError, match="none of its 1 lines starts and ends within 2 pixels"):
        read_routes(tmp_path / "far.geojson", spec)


def test_porto_comes_back(shared_data):
    files = [str(shared_data / "gps" / "porto-train-sample-500.csv.gz")]
    figures = roundtrip_files(files, RoundtripOptions(rows=500, trips_per_image=1))
    assert figures["precision"] >= 0.99 and figures["recall"] >= 0.99
