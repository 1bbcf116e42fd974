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
from rasterize.strokes.table import strokes_to_trips


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a set of images is decoded: what its generator does to pictures, and what that makes of evidence."""

    degradation: Degradation
    calibration: ConfidenceCurve


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Synthetic trips in the internal names, their strokes' quality, and counts of what was left out, by reason."""

    trips: pd.DataFrame
    images: int
    rejected: Mapping[str, int]
    residual: NDArray
    plan: Plan


def make_plan(images: ImageSet, *, routes: Routes | None = None, seed: int = 0) -> Plan:
    """Learn from a sample of the images how they are to be decoded."""
    spec = images.spec
    sample = images.read(choose_sample(len(images), spec.trips_per_image))
    degradation = estimate_degradation(sample, spec, routes=routes)
    found = Decoder(spec, degradation=degradation, routes=routes).solve(sample)
    return Plan(
        degradation=degradation, calibration=fit_confidence(spec, degradation, found.ends, routes=routes, seed=seed)
    )


def solve_range(images: ImageSet, decoder: Decoder, begin: int, end: int) -> Solution:
    """Decode the images `begin` … `end`; `Solution.image` counts from the first of the set."""
    found = decoder.solve(images.read(np.arange(begin, min(end, len(images)))))
    return replace(found, image=found.image + begin)


def assemble(
    images: ImageSet, strokes: Solution, plan: Plan, *, routes: Routes | None = None, seed: int = 0
) -> Decoded:
    """The solution of all images → valid trips.

    Every row lies between known stations, ends after it starts and has a feasible speed; images and trips that cannot
    be used are counted by reason in `rejected`. Adds the columns `image`, `confidence` (chance that the trip was
    painted in its image, see `decode.confidence`) and `residual` (share of the image's norm that its trips leave
    unexplained).
    """
    rng = np.random.default_rng(seed)
    state = strokes.state
    rejected = {STATES[code]: int((state == code).sum()) for code in range(1, len(STATES)) if (state == code).any()}
    trips = strokes_to_trips(strokes, images.labels, images.spec, rng)
    trips["confidence"] = plan.calibration.confidence(strokes.evidence)
    if routes is not None:
        trips["waypoints"] = _waypoints(trips, strokes.route, routes, images.spec)
    kept, invalid = keep_valid(trips, read_speed_limit(images.spec.source))
    return Decoded(
        trips=kept, images=len(images), rejected={**rejected, **invalid}, residual=strokes.residual, plan=plan
    )


def _waypoints(trips: pd.DataFrame, route: NDArray, routes: Routes, spec: StrokeSpec) -> list[list[float]]:
    """Flat [lat, lng, …] of each trip: its route, or from start to end where none is known."""
    known = routes.waypoints(spec)
    straight = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy().tolist()
    return [known[k] if k >= 0 else ends for k, ends in zip(route.tolist(), straight, strict=True)]


def keep_valid(trips: pd.DataFrame, limit_kmh: float) -> tuple[pd.DataFrame, dict[str, int]]:
    """Return the trips that are no faster than the limit, in order of time, and the others counted by reason."""
    too_fast = is_too_fast(trips, limit_kmh)
    kept = trips[~too_fast].sort_values(["started_at", "trip_id"], ignore_index=True)
    return kept, ({f"faster than {limit_kmh:.0f} km/h": int(too_fast.sum())} if too_fast.any() else {})
