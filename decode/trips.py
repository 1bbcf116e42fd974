"""From decoded strokes to a synthetic trip table: stations, times, attributes, and what could not be used."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.confidence import Calibration, calibrate
from decode.estimate import choose_sample, estimate_degradation
from decode.solver.decoder import STATES, Decoder, Solution
from decode.solver.degradation import Degradation
from decode.solver.routes import Routes
from rasterize.clock import CLOCK_ATTRIBUTES, start_times
from rasterize.formats.dialects import DIALECTS
from rasterize.imageset import ImageSet
from rasterize.ingest.clean import CleanOptions
from rasterize.strokes.frame import trip_metres
from rasterize.strokes.places import all_stations, draw_apart
from rasterize.strokes.spec import Spec

DEFAULT_DURATION_S = (1.0, 3.0)  # without a painted duration: drawn between these multiples of the time at 3 m/s
WALKING_M_PER_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How a set of images is decoded: what its generator does to pictures, and what that makes of evidence."""

    degradation: Degradation
    calibration: Calibration


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
    return Plan(degradation=degradation, calibration=calibrate(spec, degradation, found.ends, routes=routes, seed=seed))


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
    kept, invalid = keep_valid(trips, speed_limit_of(images.spec.source))
    return Decoded(
        trips=kept, images=len(images), rejected={**rejected, **invalid}, residual=strokes.residual, plan=plan
    )


def _waypoints(trips: pd.DataFrame, route: NDArray, routes: Routes, spec: Spec) -> list[list[float]]:
    """Flat [lat, lng, …] of each trip: its route, or from start to end where none is known."""
    known = routes.waypoints(spec)
    straight = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy().tolist()
    return [known[k] if k >= 0 else ends for k, ends in zip(route.tolist(), straight, strict=True)]


def strokes_to_trips(strokes: Solution, labels: NDArray, spec: Spec, rng: np.random.Generator) -> pd.DataFrame:
    """Strokes and their images' labels → a table in the internal names, valid or not."""
    stations = pd.DataFrame([vars(station) for station in all_stations(spec.places)])
    chosen = draw_apart(orient(strokes.ends, spec, rng), spec.places, rng)
    table = pd.DataFrame({"trip_id": [f"synthetic-{number}" for number in range(len(chosen))]})
    for side, rows in (("start", chosen[:, 0]), ("end", chosen[:, 1])):
        station = stations.iloc[rows].reset_index(drop=True)
        table[f"{side}_station_id"], table[f"{side}_station_name"] = station["id"], station["name"]
        table[f"{side}_lat"], table[f"{side}_lng"] = station["lat"], station["lng"]
    readings = decode_attributes(strokes, labels, spec)
    duration = _durations(table, readings, rng)
    table.insert(1, "started_at", start_times(readings, spec.calendar, rng))
    table.insert(2, "ended_at", table["started_at"] + pd.to_timedelta(duration, unit="s").astype("timedelta64[us]"))
    table.insert(3, "duration_s", duration)
    for name in readings.columns.difference([*CLOCK_ATTRIBUTES, "duration_s"], sort=False):
        table[name] = readings[name]
    if "birth_year" in table:
        table["birth_year"] = table["birth_year"].round().astype("Int16")
    table["image"] = strokes.image
    table["residual"] = strokes.residual[strokes.image]
    return table


def decode_attributes(strokes: Solution, labels: NDArray, spec: Spec) -> pd.DataFrame:
    """Painted levels and labels → attribute values, one row per stroke."""
    readings, plane = {}, 0
    known = spec.known_of(strokes.ends, labels[strokes.image])
    for channel in spec.channels:
        readings[channel.column] = channel.decode(strokes.values[:, plane : plane + channel.planes], known)
        plane += channel.planes
    for column, factor in enumerate(spec.factors):
        readings[factor.name] = factor.decode(labels[strokes.image, column])
    return pd.DataFrame(readings, index=range(len(strokes.image)))


def orient(ends: NDArray, spec: Spec, rng: np.random.Generator) -> NDArray:
    """A grey picture holds no direction: give each stroke one by the starts and ends observed at its two places."""
    if spec.drawing.mode != "grey":
        return ends
    starts = np.array([sum(station.starts for station in place.stations) + 1 for place in spec.places], float)
    stops = np.array([sum(station.ends for station in place.stations) + 1 for place in spec.places], float)
    forward, backward = starts[ends[:, 0]] * stops[ends[:, 1]], starts[ends[:, 1]] * stops[ends[:, 0]]
    turn = rng.random(len(ends)) * (forward + backward) > forward
    return np.where(turn[:, None], ends[:, ::-1], ends)


def _durations(table: pd.DataFrame, readings: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Painted durations, to the whole second; where there is none, a leisurely time for the distance."""
    guess = np.maximum(trip_metres(table) / WALKING_M_PER_S, 120) * rng.uniform(*DEFAULT_DURATION_S, len(table))
    painted = readings["duration_s"] if "duration_s" in readings else pd.Series(np.nan, index=table.index)
    return painted.fillna(pd.Series(guess)).clip(lower=1).round()


def speed_limit_of(source: Mapping[str, Any]) -> float:
    """The fastest trip that cleaning lets pass in files of the source's dialect, in metres per second."""
    dialect = DIALECTS.get(source.get("dialect"))
    return CleanOptions().speed_limit_ms(dialect.vehicle if dialect else "bike")


def keep_valid(trips: pd.DataFrame, speed_limit_ms: float) -> tuple[pd.DataFrame, dict[str, int]]:
    """The valid trips, and the others counted by reason."""
    too_fast = trip_metres(trips) > speed_limit_ms * trips["duration_s"]
    kept = trips[~too_fast].sort_values(["started_at", "trip_id"], ignore_index=True)
    return kept, ({f"faster than {speed_limit_ms * 3.6:.0f} km/h": int(too_fast.sum())} if too_fast.any() else {})
