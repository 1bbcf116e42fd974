"""Specs of random stations, and random trips between them, for benchmarks to draw and decode."""

import numpy as np

from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes


def make_spec(*, side: int, stations: int, trips_per_image: int, apart_px: float = 3.0, seed: int = 0) -> StrokeSpec:
    """Make a spec of random stations in a square frame.

    Parameters
    ----------
    side : int
        Side of the images in pixels.
    stations : int
        Number of stations.
    trips_per_image : int
        Strokes in each image.
    apart_px : float
        Least distance between two stations in pixels.
    seed : int
        Seed of the stations.

    Returns
    -------
    StrokeSpec
        A spec without painted attributes and label factors.
    """
    rng, points = np.random.default_rng(seed), np.empty((0, 2))
    # Draw stations one by one, and leave out those too near to another.
    while len(points) < stations:
        # Two pixels of margin keep stations off the border.
        point = rng.uniform(2, side - 2, 2)
        if not len(points) or np.hypot(*(points - point).T).min() >= apart_px:
            points = np.vstack([points, point])
    return make_spec_at(points, side=side, trips_per_image=trips_per_image)


def make_spec_at(points: np.ndarray, *, side: int, trips_per_image: int) -> StrokeSpec:
    """Make a spec of stations at given points of a square frame.

    Parameters
    ----------
    points : (P, 2) float
        Column and row of each station in pixels.
    side : int
        Side of the images in pixels.
    trips_per_image : int
        Strokes in each image.

    Returns
    -------
    StrokeSpec
        A spec without painted attributes and label factors.
    """
    # Any degrees will do: a frame of one degree by one.
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


def make_random_strokes(spec: StrokeSpec, images: int, *, seed: int = 0) -> Strokes:
    """Make trips between any two stations at random; a trip may end where it began.

    Parameters
    ----------
    spec : StrokeSpec
        Its places are the ends; each image has `spec.trips_per_image` trips.
    images : int
        Number of images.
    seed : int
        Seed of the ends.

    Returns
    -------
    Strokes
        Straight strokes, grouped by image.
    """
    # Every image has the same number of trips, so offsets are evenly spaced.
    count = spec.trips_per_image
    ends = np.random.default_rng(seed).integers(0, len(spec.places), (images * count, 2))
    return Strokes.straight(ends, offsets=np.arange(images + 1) * count)
