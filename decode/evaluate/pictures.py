"""Measures of pictures: the codec draws synthetic trips, several to a picture, and real trips in the same way."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from decode.evaluate.columns import w1
from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.pen import Pen
from rasterize.strokes.places import Place
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# All set by hand, not swept.
SIDE_PX = 32
TRIPS_PER_PICTURE = 8
MOST_PICTURES = 1500  # per table: distances between all of them grow with the square
FEWEST_PICTURES = 20
PROJECTIONS = 256
NEIGHBOURS = 5
POOL_PX = 4
ACTIVE_LEVEL = 0.25  # of a pixel, over all planes: a stroke that only cuts its corner leaves it idle


@dataclass(frozen=True, kw_only=True)
class RealPictures:
    """The real pictures that the pictures of every synthetic table are measured against.

    They are ABOD pictures of 32 × 32 px with 8 trips each. Trips that share a picture do so by chance.

    Attributes
    ----------
    holdout : DataFrame
        Located real trips, in random order.
    stations : DataFrame
        `lat` and `lng` in degrees, WGS 84; the index is the station id. The frame covers all of them.
    seed : int
        Of the random directions.
    """

    holdout: pd.DataFrame
    stations: pd.DataFrame
    seed: int

    def measure_table(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Measure metric 18 of a located table in random order; None where there are too few pictures."""
        real, pictures = self._pictures, self._draw(table)
        if min(len(real), len(pictures)) < FEWEST_PICTURES:
            names = ("picture_swd", "picture_density", "picture_coverage", "picture_mass", "picture_active_cells")
            return dict.fromkeys(names)
        density, coverage = density_and_coverage(pool_levels(pictures), pool_levels(real))
        return {
            "picture_swd": sliced_distance(pictures, real, self.seed),
            "picture_density": density,
            "picture_coverage": coverage,
            "picture_mass": relative_w1(pictures.sum(axis=(1, 2, 3)), real.sum(axis=(1, 2, 3))),
            "picture_active_cells": relative_w1(active_share(pictures), active_share(real)),
        }

    @cached_property
    def _pictures(self) -> NDArray:
        """Draw the held-out trips."""
        return self._draw(self.holdout)

    @cached_property
    def _pen(self) -> Pen:
        """Prepare the pen that draws all tables."""
        frame = Frame.around(self.stations["lat"], self.stations["lng"], height=SIDE_PX, width=SIDE_PX)
        return Pen(make_station_spec(self.stations, frame))

    def _draw(self, table: pd.DataFrame) -> NDArray:
        """Draw 8 trips to a picture in the order of rows, float32 [M, 4, 32, 32]; rows left over are not drawn."""
        ends = index_ends(table, self.stations)
        count = min(len(ends) // TRIPS_PER_PICTURE, MOST_PICTURES)
        offsets = np.arange(count + 1) * TRIPS_PER_PICTURE
        return self._pen.draw(Strokes.straight(ends[: offsets[-1]], offsets=offsets))


def make_station_spec(stations: pd.DataFrame, frame: Frame) -> StrokeSpec:
    """Return the spec of ABOD pictures in which every station is a place, in the order of rows."""
    return StrokeSpec(
        frame=frame,
        drawing=Drawing(),
        channels=(),
        factors=(),
        places=tuple(Place(lat=a, lng=b, stations=()) for a, b in zip(stations["lat"], stations["lng"], strict=True)),
        trips_per_image=TRIPS_PER_PICTURE,
    )


def index_ends(table: pd.DataFrame, stations: pd.DataFrame) -> NDArray:
    """Return the rows of `stations` where trips start and end, int [N, 2], without trips from or to unknown ones."""
    ends = np.stack([stations.index.get_indexer(table[end]) for end in ("start", "end")], axis=1)
    return ends[(ends >= 0).all(axis=1)]


def sliced_distance(pictures: NDArray, real: NDArray, seed: int) -> float:
    """Return the sliced Wasserstein distance of pictures, all planes together.

    Parameters
    ----------
    pictures : (M, C, H, W) float32
        Levels of the synthetic pictures.
    real : (N, C, H, W) float32
        Levels of the real ones.
    seed : int
        Of the directions.

    Returns
    -------
    float
        In standard deviations of the real projections: 0 is best.

    Notes
    -----
    Rabin et al. 2011. Each plane is taken in its real standard deviation. Whole pictures are projected on 256 random
    directions. The figure is the mean earth mover's distance along them.
    """
    # A plane does not count more because its levels are higher.
    scale = real.std(axis=(0, 2, 3), keepdims=True)
    scale[scale == 0] = 1

    # Project on random directions and compare along each.
    directions = np.random.default_rng([seed, 5]).normal(size=(PROJECTIONS, real[0].size)).astype(np.float32)
    a, b = ((images / scale).reshape(len(images), -1) @ directions.T for images in (pictures, real))
    return float(np.mean([w1(x, y) / (y.std() or 1.0) for x, y in zip(a.T, b.T, strict=True)]))


def pool_levels(pictures: NDArray) -> NDArray:
    """Sum levels over 4 × 4 pixels and flatten them: [M, C, H, W] → [M, C · H · W / 16]."""
    count, planes, height, width = pictures.shape
    blocks = pictures.reshape(count, planes, height // POOL_PX, POOL_PX, width // POOL_PX, POOL_PX)
    return blocks.sum(axis=(3, 5)).reshape(count, -1)


def density_and_coverage(points: NDArray, real: NDArray) -> tuple[float, float]:
    """Return the fidelity and the diversity of points [M, D] beside real ones [N, D].

    Each real point has a ball that reaches to its fifth nearest real one, border included. Density is the number of
    balls in which a point lies, over 5. It is about 1 for fresh real points, and above 1 where points crowd into what
    is common. Coverage is the share of balls that hold a point. It is about 1 − 2⁻⁵ for fresh real points (Naeem et al.
    2020, with 5 neighbours).
    """
    # Index 0 is the point itself, at distance 0.
    radius = np.partition(cdist(real, real), NEIGHBOURS, axis=1)[:, NEIGHBOURS]
    inside = cdist(points, real) <= radius
    return float(inside.sum() / (NEIGHBOURS * len(points))), float(inside.any(axis=0).mean())


def active_share(pictures: NDArray) -> NDArray:
    """Return each picture's share of pixels with more than a trace of any trip: [M, C, H, W] → [M]."""
    return (pictures.sum(axis=1) > ACTIVE_LEVEL).mean(axis=(1, 2))


def relative_w1(values: NDArray, real: NDArray) -> float:
    """Return the earth mover's distance between two samples, over the mean of the real one, which is above 0."""
    return float(w1(values, real) / real.mean())
