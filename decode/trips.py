"""From decoded strokes to a synthetic trip table: stations, times, attributes, and what could not be used."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.solve import STATES, Solution, solve
from rasterize.clean import CleanOptions
from rasterize.clock import CLOCK_ATTRIBUTES, start_times
from rasterize.dialects import DIALECTS
from rasterize.frame import trip_metres
from rasterize.imageset import ImageSet
from rasterize.places import all_stations, draw_apart
from rasterize.spec import Spec

BATCH = 2048  # images decoded at a time
DEFAULT_DURATION_S = (1.0, 3.0)  # without a painted duration: drawn between these multiples of the time at 3 m/s
WALKING_M_PER_S = 3.0


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Synthetic trips in the internal names, their strokes' quality, and counts of what was left out, by reason."""

    trips: pd.DataFrame
    images: int
    rejected: Mapping[str, int]
    residual: NDArray


def decode_images(images: ImageSet, *, seed: int = 0) -> Decoded:
    """Decode an image set into valid trips.

    Every row lies between known stations, ends after it starts and has a feasible speed; images and trips that cannot
    be used are counted by reason in `rejected`. Adds the columns `image`, `confidence` (share of the stroke's
    energy that its own pixels hold, 0 … 1) and `residual` (share of the image's norm that its trips leave unexplained).
    """
    rng = np.random.default_rng(seed)
    batches = [_solve_batch(images, begin) for begin in range(0, len(images), BATCH)]
    state = np.concatenate([batch.state for batch in batches])
    residual = np.concatenate([batch.residual for batch in batches])
    strokes = Solution(
        image=np.concatenate([batch.image for batch in batches]),
        ends=np.concatenate([batch.ends for batch in batches]),
        confidence=np.concatenate([batch.confidence for batch in batches]),
        values=np.concatenate([batch.values for batch in batches]),
        residual=residual,
        state=state,
    )
    rejected = {STATES[code]: int((state == code).sum()) for code in range(1, len(STATES)) if (state == code).any()}
    trips = strokes_to_trips(strokes, images.labels, images.spec, rng)
    kept, invalid = keep_valid(trips, speed_limit_of(images.spec.source))
    return Decoded(trips=kept, images=len(images), rejected={**rejected, **invalid}, residual=residual)


def _solve_batch(images: ImageSet, begin: int) -> Solution:
    index = np.arange(begin, min(begin + BATCH, len(images)))
    found = solve(images.read(index), images.spec)
    return Solution(**{**vars(found), "image": found.image + begin})


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
    table["image"], table["confidence"] = strokes.image, strokes.confidence
    table["residual"] = strokes.residual[strokes.image]
    return table


def decode_attributes(strokes: Solution, labels: NDArray, spec: Spec) -> pd.DataFrame:
    """Painted levels and labels → attribute values, one row per stroke."""
    readings, plane = {}, 0
    for channel in spec.channels:
        readings[channel.column] = channel.decode(strokes.values[:, plane : plane + channel.planes])
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
