"""Measures of pictures: synthetic trips drawn by the codec, several to a picture, beside real trips drawn alike."""

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
    """Located held-out trips in random order, drawn as ABOD pictures of 8 trips, and what other tables are measured by.

    The frame covers all `places`, 32 × 32 px. Trips that share a picture do so by chance.
    """

    holdout: pd.DataFrame
    places: pd.DataFrame
    seed: int

    def measure(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Metric 18 of a located table in random order; None where it or the real one fills too few pictures."""
        real, pictures = self._pictures, self._draw(table)
        if min(len(real), len(pictures)) < FEWEST_PICTURES:
            names = ("picture_swd", "picture_density", "picture_coverage", "picture_mass", "picture_active_cells")
            return dict.fromkeys(names)
        density, coverage = density_and_coverage(pool(pictures), pool(real))
        return {
            "picture_swd": sliced_distance(pictures, real, self.seed),
            "picture_density": density,
            "picture_coverage": coverage,
            "picture_mass": relative_w1(pictures.sum(axis=(1, 2, 3)), real.sum(axis=(1, 2, 3))),
            "picture_active_cells": relative_w1(active_share(pictures), active_share(real)),
        }

    @cached_property
    def _pictures(self) -> NDArray:
        return self._draw(self.holdout)

    @cached_property
    def _pen(self) -> Pen:
        lat, lng = self.places["lat"], self.places["lng"]
        spec = StrokeSpec(
            frame=Frame.around(lat, lng, height=SIDE_PX, width=SIDE_PX),
            drawing=Drawing(),
            channels=(),
            factors=(),
            places=tuple(Place(lat=a, lng=b, stations=()) for a, b in zip(lat, lng, strict=True)),
            trips_per_image=TRIPS_PER_PICTURE,
        )
        return Pen(spec)

    def _draw(self, table: pd.DataFrame) -> NDArray:
        """Pictures of 8 trips each, in the order of rows, float32 [M, 4, 32, 32]; rows left over are not drawn."""
        ends = np.stack([self.places.index.get_indexer(table[end]) for end in ("start", "end")], axis=1)
        ends = ends[(ends >= 0).all(axis=1)]
        count = min(len(ends) // TRIPS_PER_PICTURE, MOST_PICTURES)
        offsets = np.arange(count + 1) * TRIPS_PER_PICTURE
        return self._pen.draw(Strokes.straight(ends[: offsets[-1]], offsets=offsets))


def sliced_distance(pictures: NDArray, real: NDArray, seed: int) -> float:
    """Sliced Wasserstein distance of pictures [M, C, H, W], all planes together (Rabin et al. 2011).

    Whole pictures, each plane in its real standard deviation, are projected on 256 random directions; the figure is the
    mean earth mover's distance there, in standard deviations of the real projections: 0 is best.
    """
    scale = real.std(axis=(0, 2, 3), keepdims=True)
    scale[scale == 0] = 1
    directions = np.random.default_rng([seed, 5]).normal(size=(PROJECTIONS, real[0].size)).astype(np.float32)
    a, b = ((images / scale).reshape(len(images), -1) @ directions.T for images in (pictures, real))
    return float(np.mean([w1(x, y) / (y.std() or 1.0) for x, y in zip(a.T, b.T, strict=True)]))


def pool(pictures: NDArray) -> NDArray:
    """Levels summed over 4 × 4 pixels, flat: [M, C, H, W] → [M, C · H · W / 16]."""
    count, planes, height, width = pictures.shape
    blocks = pictures.reshape(count, planes, height // POOL_PX, POOL_PX, width // POOL_PX, POOL_PX)
    return blocks.sum(axis=(3, 5)).reshape(count, -1)


def density_and_coverage(points: NDArray, real: NDArray) -> tuple[float, float]:
    """Fidelity and diversity of points [M, D] beside real ones [N, D] (Naeem et al. 2020, with 5 neighbours).

    Each real point has a ball that reaches to its fifth nearest real one, border included. Density: in how many balls
    a point lies, over 5; about 1 for fresh real points, above it where points crowd into what is common. Coverage: the
    share of balls that hold a point; about 1 − 2⁻⁵.
    """
    radius = np.partition(cdist(real, real), NEIGHBOURS, axis=1)[:, NEIGHBOURS]  # the nearest is the point itself
    inside = cdist(points, real) <= radius
    return float(inside.sum() / (NEIGHBOURS * len(points))), float(inside.any(axis=0).mean())


def active_share(pictures: NDArray) -> NDArray:
    """Share of the pixels of each picture [M, C, H, W] that hold more than a trace of any trip, [M]."""
    return (pictures.sum(axis=1) > ACTIVE_LEVEL).mean(axis=(1, 2))


def relative_w1(values: NDArray, real: NDArray) -> float:
    """Earth mover's distance between two samples, over the mean of the real one, which is above 0."""
    return float(w1(values, real) / real.mean())
