"""Trips and strokes, both ways: a table of trips to strokes and labels, and decoded strokes back to a table."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, count_dates, start_times
from rasterize.distance import trip_metres
from rasterize.errors import InputError
from rasterize.spec import Factor
from rasterize.strokes.channels import Channel, attribute_values, choose_attributes, plane_slices
from rasterize.strokes.frame import Frame
from rasterize.strokes.grouping import group_by_label
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.places import Place, all_stations, draw_apart, make_places, merge_stations, trip_places
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes
from rasterize.trip_table import TripFile

SAME_SPOT_PX = 1e-3
FITTED_TRIPS = 1_000_000  # at most, that channels are fitted to
ENCODE_BATCH = 250_000  # trips encoded at a time
Table = pd.DataFrame | TripFile


DEFAULT_DURATION_S = (1.0, 3.0)  # without a painted duration: drawn between these multiples of the time at 3 m/s
WALKING_M_PER_S = 3.0


def encode_trips(
    trips: pd.DataFrame,
    stations: gpd.GeoDataFrame,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[StrokeSpec, Strokes, NDArray, NDArray]:
    """Clean trips → the spec, the strokes and labels of the training trips (split A), and the places of all trips."""
    place_of = _find_places(stations, frame, options)
    train = trips[trips["split"] == "A"].reset_index(drop=True) if "split" in trips else trips
    return *_encode(train, stations, place_of, frame, source, options), _encode_ends(trips, stations, place_of)


def _find_places(stations: gpd.GeoDataFrame, frame: Frame, options: RasterOptions) -> NDArray:
    """The place of each station; on a lattice all are far enough apart but those at one spot."""
    return merge_stations(stations, frame, merge_px=options.merge_px if options.layout == "map" else SAME_SPOT_PX)


def _encode(
    train: Table,
    stations: gpd.GeoDataFrame,
    place_of: NDArray,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[StrokeSpec, Strokes, NDArray]:
    """Training trips → the spec, strokes and labels, column by column."""
    options = options.settled(bent="waypoints" in train)
    spec = StrokeSpec(
        frame=frame,
        drawing=options.drawing,
        channels=(),
        factors=(),
        places=_count_places(train, stations, place_of),
        trips_per_image=options.trips_per_image,
        bent="waypoints" in train,
        calendar=count_dates(train["started_at"]),
        source=source,
    )

    def fit_on(factors: Sequence[Factor]) -> tuple[NDArray, pd.DataFrame]:
        rows = np.unique(np.linspace(0, len(train) - 1, FITTED_TRIPS).astype(np.int64))
        ends, labels = _encode_ends(train, stations, place_of, rows), encode_labels(train, factors, rows)
        return rows, replace(spec, factors=factors).trip_features(ends, labels)

    channels, factors = choose_attributes(train, options.attributes, fit_on)
    spec = replace(spec, channels=channels, factors=factors)
    if spec.bent and options.layout != "map":
        raise InputError(f"--layout {options.layout}: trips with waypoints can be drawn on the map alone")
    rng = np.random.default_rng(options.seed)
    labels = encode_labels(train, factors)
    order, offsets = group_by_label(labels, options.trips_per_image, rng)
    paths, path_offsets = _waypoints(train, frame, order)
    ends = _encode_ends(train, stations, place_of, order)
    strokes = Strokes(
        offsets=offsets,
        ends=ends,
        values=encode_values(
            train, channels, rng, order, lambda rows: spec.trip_features(ends[rows], labels[order[rows]])
        ),
        paths=paths,
        path_offsets=path_offsets,
    )
    return spec, strokes, labels[order[offsets[:-1]]]


def _batches(count: int) -> Iterator[slice]:
    return (slice(first, min(first + ENCODE_BATCH, count)) for first in range(0, count, ENCODE_BATCH))


def _readings(trips: Table, name: str, order: NDArray | None = None) -> Iterator[tuple[slice, pd.Series]]:
    """One attribute of each trip, in the order given, batch by batch."""
    column = "started_at" if name in CLOCK_ATTRIBUTES else name
    values = trips[column]
    for rows in _batches(len(values) if order is None else len(order)):
        some = values.iloc[rows if order is None else order[rows]].reset_index(drop=True)
        yield rows, attribute_values(pd.DataFrame({column: some}), name)


def _encode_ends(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray, order: NDArray | None = None) -> NDArray:
    """Origin and destination place of each trip, in the order given, int32 [N, 2]."""
    columns = ["start_station_id", "end_station_id"]
    places = np.empty((len(trips) if order is None else len(order), 2), np.int32)
    for side, column in enumerate(columns):
        values = trips[column]
        for rows in _batches(len(places)):
            number, ids = pd.factorize(values.iloc[rows if order is None else order[rows]])
            of_id = trip_places(pd.DataFrame(dict.fromkeys(columns, ids)), stations, place_of)
            places[rows, side] = of_id[number, side]
    return places


def _count_places(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray) -> tuple[Place, ...]:
    """`make_places` from the flows between stations, of which there are fewer than trips."""
    columns = ["start_station_id", "end_station_id"]
    flows = trips[columns].groupby(columns, observed=True).size().rename("trips").reset_index()
    flows[columns] = flows[columns].astype(str)
    starts, ends = (flows.groupby(column)["trips"].sum() for column in columns)
    trips_of = flows.set_index(columns)["trips"]
    places = []
    for place in make_places(stations, place_of, flows):
        inside = tuple(
            replace(station, starts=int(starts.get(station.id, 0)), ends=int(ends.get(station.id, 0)))
            for station in place.stations
        )
        loops = tuple((a, b, int(trips_of[inside[a].id, inside[b].id])) for a, b, _ in place.loops)
        places.append(replace(place, stations=inside, loops=loops))
    return tuple(places)


def encode_labels(trips: Table, factors: Sequence[Factor], order: NDArray | None = None) -> NDArray:
    """The label of each trip by factor, in the order given, int16 [N, F]."""
    labels = np.empty((len(trips) if order is None else len(order), len(factors)), np.int16)
    for place, factor in enumerate(factors):
        for rows, values in _readings(trips, factor.name, order):
            number, found = pd.factorize(values, use_na_sentinel=False)
            labels[rows, place] = factor.encode(pd.Series(found))[number]
    return labels


def encode_values(
    trips: Table,
    channels: Sequence[Channel],
    rng: np.random.Generator,
    order: NDArray | None = None,
    features: Callable[[slice], pd.DataFrame] = lambda rows: None,
) -> NDArray:
    """The level of each painted plane per trip, in the order given, float32 [N, P].

    `features` tells what else is known of some of the trips, see `StrokeSpec.trip_features`.
    """
    levels = np.empty((len(trips), sum(channel.planes for channel in channels)), np.float32)
    for channel, planes in plane_slices(channels):
        for rows, values in _readings(trips, channel.column, order):
            levels[rows, planes] = channel.encode(values, rng, features(rows))
    return levels


def _waypoints(trips: Table, frame: Frame, order: NDArray) -> tuple[NDArray, NDArray]:
    if "waypoints" not in trips:
        return np.zeros((0, 2), np.float32), np.zeros(len(trips) + 1, np.int64)
    points = [np.asarray(path, float).reshape(-1, 2) for path in trips["waypoints"].iloc[order]]
    flat = np.concatenate(points)
    sizes = np.array([len(path) for path in points])
    return np.stack(frame.to_pixels(flat[:, 0], flat[:, 1]), axis=1).astype(np.float32), np.concatenate(
        [[0], np.cumsum(sizes)]
    )


class DecodedStrokes(Protocol):
    """Strokes read back from images, in the order of their images.

    Attributes
    ----------
    image
        The image each stroke was found in, int64 [S].
    ends
        Origin and destination place, int32 [S, 2].
    values
        A level per painted plane, float32 [S, P].
    residual
        Share of each image's norm that its strokes leave unexplained, float32 [N].
    """

    image: NDArray
    ends: NDArray
    values: NDArray
    residual: NDArray


def strokes_to_trips(
    strokes: DecodedStrokes, labels: NDArray, spec: StrokeSpec, rng: np.random.Generator
) -> pd.DataFrame:
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


def decode_attributes(strokes: DecodedStrokes, labels: NDArray, spec: StrokeSpec) -> pd.DataFrame:
    """Painted levels and labels → attribute values, one row per stroke."""
    readings, features = {}, spec.trip_features(strokes.ends, labels[strokes.image])
    for channel, planes in plane_slices(spec.channels):
        readings[channel.column] = channel.decode(strokes.values[:, planes], features)
    for column, factor in enumerate(spec.factors):
        readings[factor.name] = factor.decode(labels[strokes.image, column])
    return pd.DataFrame(readings, index=range(len(strokes.image)))


def orient(ends: NDArray, spec: StrokeSpec, rng: np.random.Generator) -> NDArray:
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
