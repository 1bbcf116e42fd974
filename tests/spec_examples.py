"""Small specs for tests: places given in pixels of a 16 × 16 frame."""

import numpy as np
import pandas as pd

from decode.solver.decoder import Decoder
from decode.trips import assemble, make_plan, solve_range
from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.places import Place, Station
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes


def make_spec(xy, *, side=16, mode="abod", trips_per_image=1, channels=(), factors=(), bent=False):
    """A spec with one station per point (x, y), named p0, p1, …"""
    frame = Frame(west=-74.0, south=40.0, east=-74.0 + side / 500, north=40.0 + side / 500, height=side, width=side)
    lat, lng = frame.to_degrees(*np.asarray(xy, float).T)
    places = tuple(
        Place(
            lat=a,
            lng=b,
            stations=(Station(id=f"p{k}", name=f"Place {k}", lat=a, lng=b, starts=k + 1, ends=k + 2),),
        )
        for k, (a, b) in enumerate(zip(lat.tolist(), lng.tolist(), strict=True))
    )
    return StrokeSpec(
        frame=frame,
        drawing=Drawing(mode=mode, level_scale=float(trips_per_image) ** 0.5),
        channels=tuple(channels),
        factors=tuple(factors),
        places=places,
        trips_per_image=trips_per_image,
        bent=bent,
        calendar={f"2019-01-{day:02}": 1 + day % 3 for day in range(7, 21)},
    )


def scattered(count, *, side, rng, apart=1.0):
    """Random points (x, y) at least `apart` pixels from each other and 2 pixels inside the frame."""
    points = []
    while len(points) < count:
        point = rng.uniform(2, side - 2, 2)
        if all(np.hypot(*(point - other)) >= apart for other in points):
            points.append(point)
    return np.array(points)


def random_strokes(spec, *, images, seed=0, values=None):
    """`spec.trips_per_image` trips in each image, between any two places, round trips included."""
    rng = np.random.default_rng(seed)
    count = spec.trips_per_image
    ends = rng.integers(0, len(spec.places), (images * count, 2))
    return Strokes.straight(ends, values=values, offsets=np.arange(images + 1) * count)


def make_trips(count, rng):
    """A table of trips in the internal names between stations p0 … p4, with every attribute the defaults know."""
    start = pd.Timestamp("2019-01-07") + pd.to_timedelta(rng.integers(0, 14 * 86_400, count), unit="s")
    duration = rng.integers(61, 5000, count).astype(float)
    return pd.DataFrame(
        {
            "started_at": start,
            "ended_at": start + pd.to_timedelta(duration, unit="s"),
            "duration_s": duration,
            "start_station_id": [f"p{k}" for k in rng.integers(0, 5, count)],
            "end_station_id": [f"p{k}" for k in rng.integers(0, 5, count)],
            "user_type": rng.choice(["Subscriber", "Customer"], count, p=[0.8, 0.2]),
            "gender": rng.choice(["male", "female", "unknown"], count),
            "birth_year": pd.array(rng.choice([1969, *range(1950, 2002)], count), dtype="Int16"),
        }
    )


def decode_images(images, *, routes=None, seed=0):
    """Decode an image set in one go: plan, solve, assemble."""
    plan = make_plan(images, routes=routes, seed=seed)
    decoder = Decoder(images.spec, degradation=plan.degradation, routes=routes)
    return assemble(images, solve_range(images, decoder, 0, len(images)), plan, routes=routes, seed=seed)
