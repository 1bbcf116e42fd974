"""Specs and strokes that benchmarks draw and decode."""

import numpy as np

from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes


def make_spec(*, side: int, stations: int, trips_per_image: int, apart_px: float = 3.0, seed: int = 0) -> StrokeSpec:
    """A spec of random stations in a square frame, at least `apart_px` from each other."""
    rng, points = np.random.default_rng(seed), np.empty((0, 2))
    while len(points) < stations:
        point = rng.uniform(2, side - 2, 2)
        if not len(points) or np.hypot(*(points - point).T).min() >= apart_px:
            points = np.vstack([points, point])
    return spec_of(points, side=side, trips_per_image=trips_per_image)


def spec_of(points: np.ndarray, *, side: int, trips_per_image: int) -> StrokeSpec:
    """A spec of stations at `points` [P, 2] in pixels."""
    frame = Frame(west=0, south=0, east=1, north=1, height=side, width=side)
    lat, lng = frame.to_degrees(*points.T)
    return StrokeSpec(
        frame=frame,
        drawing=Drawing(),
        channels=(),
        factors=(),
        places=tuple(Place(lat=a, lng=b, stations=()) for a, b in zip(lat, lng, strict=True)),
        trips_per_image=trips_per_image,
    )


def random_strokes(spec: StrokeSpec, images: int, *, seed: int = 0) -> Strokes:
    """Trips between any two stations, `spec.trips_per_image` in each image."""
    count = spec.trips_per_image
    ends = np.random.default_rng(seed).integers(0, len(spec.places), (images * count, 2))
    return Strokes.straight(ends, offsets=np.arange(images + 1) * count)
