"""From decoded strokes to a synthetic trip table: stations, times, attributes, and what could not be used."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.confidence import ConfidenceCurve, fit_confidence
from decode.estimate import choose_sample, estimate_degradation
from decode.solver.decoder import Decoder
from decode.solver.degradation import Degradation
from decode.solver.routes import Routes
from decode.solver.solution import STATES, Solution
from rasterize.distance import is_too_fast
from rasterize.formats.source_format import read_speed_limit
from rasterize.imageset import ImageSet
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.table import decode_strokes


@dataclass(frozen=True, kw_only=True)
class DecodingPlan:
    """How a set of images is decoded.

    Attributes
    ----------
    degradation : Degradation
        What the generator does to pictures.
    confidence_curve : ConfidenceCurve
        What the evidence for a trip says of its chance to be right.
    """

    degradation: Degradation
    confidence_curve: ConfidenceCurve


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Synthetic trips, and what became of the images.

    Attributes
    ----------
    trips : pandas.DataFrame
        Valid trips in the internal names.
    images : int
        How many images were decoded.
    rejected : mapping of str to int
        Images and trips that could not be used, counted by reason.
    residual : (N,) float32
        Share of each image's norm that its trips leave unexplained.
    plan : DecodingPlan
        How the images were decoded.
    """

    trips: pd.DataFrame
    images: int
    rejected: Mapping[str, int]
    residual: NDArray
    plan: DecodingPlan


def make_plan(images: ImageSet, *, routes: Routes | None = None, seed: int = 0) -> DecodingPlan:
    """Learn from a sample of the images how they are to be decoded.

    Parameters
    ----------
    images : ImageSet
        Generated images.
    routes : Routes, optional
        Known routes.
    seed : int
        Of the trips that the decoder paints to check itself.

    Returns
    -------
    DecodingPlan
        The same for the same images, routes and seed.
    """
    spec = images.spec
    sample = images.read(choose_sample(len(images), spec.trips_per_image))
    degradation = estimate_degradation(sample, spec, routes=routes)
    found = Decoder(spec, degradation=degradation, routes=routes).solve(sample)
    curve = fit_confidence(spec, degradation, found.ends, routes=routes, seed=seed)
    return DecodingPlan(degradation=degradation, confidence_curve=curve)


def solve_range(images: ImageSet, decoder: Decoder, begin: int, end: int) -> Solution:
    """Decode some images of a set.

    Parameters
    ----------
    images : ImageSet
        The whole set.
    decoder : Decoder
        Made for its spec.
    begin, end : int
        Decode the images `begin` … `end`; an `end` beyond the set is its end.

    Returns
    -------
    Solution
        Its `image` counts from the first image of the set.
    """
    found = decoder.solve(images.read(np.arange(begin, min(end, len(images)))))
    return replace(found, image=found.image + begin)


def assemble(
    images: ImageSet, strokes: Solution, plan: DecodingPlan, *, routes: Routes | None = None, seed: int = 0
) -> Decoded:
    """Turn the solution of all images into valid trips.

    Parameters
    ----------
    images : ImageSet
        The decoded images, with their labels.
    strokes : Solution
        What decoding all of them gave.
    plan : DecodingPlan
        How they were decoded.
    routes : Routes, optional
        Known routes; trips then have the column `waypoints`.
    seed : int
        Of stations within a place, times within an hour, and whatever else the images do not tell.

    Returns
    -------
    Decoded
        Every trip lies between known stations, ends after it starts and has a feasible speed. Its column `image` says
        which image it was painted in, `confidence` the chance that it was. `residual` is the share of the image's norm
        that its trips leave unexplained.
    """
    rng = np.random.default_rng(seed)
    # Count the images that could not be decoded.
    state = strokes.state
    rejected = {STATES[code]: int((state == code).sum()) for code in range(1, len(STATES)) if (state == code).any()}
    # Strokes → trips, with their confidence and their waypoints.
    trips = decode_strokes(strokes, images.labels, images.spec, rng)
    trips["confidence"] = plan.confidence_curve.confidence(strokes.evidence)
    if routes is not None:
        trips["waypoints"] = _list_waypoints(trips, strokes.route, routes, images.spec)
    kept, invalid = keep_valid(trips, read_speed_limit(images.spec.source))
    return Decoded(
        trips=kept, images=len(images), rejected={**rejected, **invalid}, residual=strokes.residual, plan=plan
    )


def _list_waypoints(trips: pd.DataFrame, route: NDArray, routes: Routes, spec: StrokeSpec) -> list[list[float]]:
    """Return flat [lat, lng, …] of each trip: its route, or from start to end where none is known."""
    known = routes.waypoints(spec)
    straight = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy().tolist()
    return [known[k] if k >= 0 else ends for k, ends in zip(route.tolist(), straight, strict=True)]


def keep_valid(trips: pd.DataFrame, limit_kmh: float) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the trips that are no faster than the limit, in order of time, and the others counted by reason."""
    too_fast = is_too_fast(trips, limit_kmh)
    kept = trips[~too_fast].sort_values(["started_at", "trip_id"], ignore_index=True)
    return kept, ({f"faster than {limit_kmh:.0f} km/h": int(too_fast.sum())} if too_fast.any() else {})
