"""Trips ↔ strokes: a table of trips to strokes and labels, and decoded strokes back to a table.

Read `encode_training_trips` first, then its inverse `decode_strokes`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, count_dates, draw_start_times
from rasterize.distance import trip_metres
from rasterize.errors import InputError
from rasterize.spec import Factor
from rasterize.strokes.channels import Channel, choose_attributes, plane_slices, read_attribute
from rasterize.strokes.frame import Frame
from rasterize.strokes.grouping import group_by_label
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.places import (
    Place,
    draw_apart,
    find_trip_places,
    list_stations,
    make_places,
    merge_stations,
)
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes
from rasterize.trip_table import TripFile

Table = pd.DataFrame | TripFile

SAME_SPOT_PX = 1e-3  # on a lattice only stations nearer than this share a place, as those at the very same spot
FITTED_TRIPS = 1_000_000  # at most, that channels are fitted to: bounds memory, not swept
ENCODE_BATCH = 250_000  # trips encoded at a time: bounds memory; the result is the same for any size
# Without a painted duration it is drawn between these multiples of the time at 3 m/s. Chosen by hand, not swept.
DEFAULT_DURATION_S = (1.0, 3.0)
WALKING_M_PER_S = 3.0


# ---- trips → strokes -------------------------------------------------------------------------------------------------


def encode_training_trips(
    train: Table,
    stations: gpd.GeoDataFrame,
    place_of: NDArray,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[StrokeSpec, Strokes, NDArray]:
    """Turn training trips into a spec fitted to them, strokes and labels, column by column.

    Parameters
    ----------
    train : DataFrame or TripFile
        N clean trips in the internal names, see `rasterize.trip_table`.
    stations : GeoDataFrame of S rows
        The stations of a run folder.
    place_of : (S,) int64
        The place of each station, from `find_places`.
    frame : Frame
        The frame of the images.
    source : mapping
        How the file was written, for the spec.
    options : RasterOptions
        The settings of the codec.

    Returns
    -------
    spec : StrokeSpec
        The meaning of the images.
    strokes : Strokes
        The N trips, grouped into images.
    labels : (images, F) int16
        The labels of each image.

    Raises
    ------
    InputError
        Trips with waypoints on a lattice; an attribute that there is not.
    """
    # Fit the spec, then label the trips.
    options = options.settled(bent="waypoints" in train)
    spec = _fit_spec(train, stations, place_of, frame, source, options)
    labels = encode_labels(train, spec.factors)

    # Group trips of equal labels into images; from here on trips stand in the order of their images.
    rng = np.random.default_rng(options.seed)
    order, offsets = group_by_label(labels, options.trips_per_image, rng)

    # Encode each trip: its path, its ends, its painted values.
    paths, path_offsets = _encode_waypoints(train, frame, order)
    ends = encode_ends(train, stations, place_of, order)
    values = encode_values(
        train, spec.channels, rng, order, lambda rows: spec.trip_features(ends[rows], labels[order[rows]])
    )
    strokes = Strokes(offsets=offsets, ends=ends, values=values, paths=paths, path_offsets=path_offsets)
    return spec, strokes, labels[order[offsets[:-1]]]


def _fit_spec(
    train: Table,
    stations: gpd.GeoDataFrame,
    place_of: NDArray,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> StrokeSpec:
    """Fit places, calendar, channels and factors to training trips."""
    # What does not depend on attributes: places and the calendar.
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
    if spec.bent and options.layout != "map":
        raise InputError(f"--layout {options.layout}: trips with waypoints can be drawn on the map alone")

    # Fit channels to at most FITTED_TRIPS trips, evenly over the table, and their features.
    def fit_on(factors: Sequence[Factor]) -> tuple[NDArray, pd.DataFrame]:
        rows = np.unique(np.linspace(0, len(train) - 1, FITTED_TRIPS).astype(np.int64))
        ends, labels = encode_ends(train, stations, place_of, rows), encode_labels(train, factors, rows)
        return rows, replace(spec, factors=factors).trip_features(ends, labels)

    channels, factors = choose_attributes(train, options.attributes, fit_on)
    return replace(spec, channels=channels, factors=factors)


def encode_trips(
    trips: pd.DataFrame,
    stations: gpd.GeoDataFrame,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[StrokeSpec, Strokes, NDArray, NDArray]:
    """Turn the training trips of a table in memory into a spec, strokes and labels; find the places of all trips.

    Parameters
    ----------
    trips : DataFrame of N rows
        Clean trips in the internal names; those of split A train, or all of them where there is no split.
    stations, frame, source, options
        See `encode_training_trips`.

    Returns
    -------
    spec, strokes, labels
        See `encode_training_trips`.
    ends : (N, 2) int32
        Origin and destination place of every trip.
    """
    place_of = find_places(stations, frame, options)
    train = trips[trips["split"] == "A"].reset_index(drop=True) if "split" in trips else trips
    encoded = encode_training_trips(train, stations, place_of, frame, source, options)
    return *encoded, encode_ends(trips, stations, place_of)


def find_places(stations: gpd.GeoDataFrame, frame: Frame, options: RasterOptions) -> NDArray:
    """Find the place of each station; a lattice keeps all apart but those at one spot.

    Parameters
    ----------
    stations : GeoDataFrame of S rows
        The stations of a run folder.
    frame : Frame
        The frame of the images.
    options : RasterOptions
        With `layout` and `merge_px`.

    Returns
    -------
    (S,) int64
        Numbers of places.
    """
    return merge_stations(stations, frame, merge_px=options.merge_px if options.layout == "map" else SAME_SPOT_PX)


def _count_places(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray) -> tuple[Place, ...]:
    """Make places as `make_places` does, from the flows between stations, of which there are fewer than trips."""
    # Flows: how many trips run between each pair of stations.
    columns = ["start_station_id", "end_station_id"]
    flows = trips[columns].groupby(columns, observed=True).size().rename("trips").reset_index()
    flows[columns] = flows[columns].astype(str)
    starts, ends = (flows.groupby(column)["trips"].sum() for column in columns)
    trips_of = flows.set_index(columns)["trips"]

    # `make_places` has counted each flow once: put the trips in the place of these counts.
    places = []
    for place in make_places(stations, place_of, flows):
        inside = tuple(
            replace(station, starts=int(starts.get(station.id, 0)), ends=int(ends.get(station.id, 0)))
            for station in place.stations
        )
        loops = tuple((a, b, int(trips_of[inside[a].id, inside[b].id])) for a, b, _ in place.loops)
        places.append(replace(place, stations=inside, loops=loops))
    return tuple(places)


def encode_ends(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray, order: NDArray | None = None) -> NDArray:
    """Encode the ends of trips as places.

    Parameters
    ----------
    trips : DataFrame or TripFile
        With `start_station_id` and `end_station_id`.
    stations : GeoDataFrame of S rows
        The stations of a run folder.
    place_of : (S,) int64
        The place of each station, from `find_places`.
    order : (N,) int64, optional
        Which rows, and in which order; all of them by default.

    Returns
    -------
    (N, 2) int32
        Origin and destination place.
    """
    columns = ["start_station_id", "end_station_id"]
    places = np.empty((len(trips) if order is None else len(order), 2), np.int32)
    for side, column in enumerate(columns):
        values = trips[column]
        for rows in _split_batches(len(places)):
            # Look up each station once, not for every trip.
            number, ids = pd.factorize(values.iloc[rows if order is None else order[rows]])
            of_id = find_trip_places(pd.DataFrame(dict.fromkeys(columns, ids)), stations, place_of)
            places[rows, side] = of_id[number, side]
    return places


def encode_labels(trips: Table, factors: Sequence[Factor], order: NDArray | None = None) -> NDArray:
    """Encode the label factors of trips.

    Parameters
    ----------
    trips : DataFrame or TripFile
        Trips in the internal names.
    factors : sequence of Factor
        F factors, fitted.
    order : (N,) int64, optional
        Which rows, and in which order; all of them by default.

    Returns
    -------
    (N, F) int16
        The label of each trip by factor.

    Raises
    ------
    InputError
        A trip has a value that its factor does not list.
    """
    labels = np.empty((len(trips) if order is None else len(order), len(factors)), np.int16)
    for column, factor in enumerate(factors):
        for rows, values in _read_batches(trips, factor.name, order):
            # Encode each value once, not for every trip.
            number, different = pd.factorize(values, use_na_sentinel=False)
            labels[rows, column] = factor.encode(pd.Series(different))[number]
    return labels


def encode_values(
    trips: Table,
    channels: Sequence[Channel],
    rng: np.random.Generator,
    order: NDArray | None = None,
    features: Callable[[slice], pd.DataFrame] = lambda rows: None,
) -> NDArray:
    """Encode the painted attributes of trips.

    Parameters
    ----------
    trips : DataFrame or TripFile
        N trips in the internal names.
    channels : sequence of Channel
        Channels of P planes in all, fitted.
    rng : numpy.random.Generator
        Chance, for channels that spread equal values.
    order : (N,) int64, optional
        The order of the rows; their own by default.
    features : callable, optional
        Given a slice of the order, returns the features of these trips, see `StrokeSpec.trip_features`. Conditional
        channels need them.

    Returns
    -------
    (N, P) float32
        The level of each painted plane.
    """
    levels = np.empty((len(trips), sum(channel.planes for channel in channels)), np.float32)
    for channel, planes in plane_slices(channels):
        for rows, values in _read_batches(trips, channel.column, order):
            levels[rows, planes] = channel.encode(values, rng, features(rows))
    return levels


def _encode_waypoints(trips: Table, frame: Frame, order: NDArray) -> tuple[NDArray, NDArray]:
    """Encode waypoints, in the order given: `paths` and `path_offsets` of `Strokes`."""
    if "waypoints" not in trips:
        return np.zeros((0, 2), np.float32), np.zeros(len(trips) + 1, np.int64)
    points = [np.asarray(path, float).reshape(-1, 2) for path in trips["waypoints"].iloc[order]]
    flat = np.concatenate(points)
    paths = np.stack(frame.to_pixels(flat[:, 0], flat[:, 1]), axis=1).astype(np.float32)
    return paths, np.concatenate([[0], np.cumsum([len(path) for path in points])])


def _read_batches(trips: Table, name: str, order: NDArray | None = None) -> Iterator[tuple[slice, pd.Series]]:
    """Yield one attribute of each trip, in the order given, batch by batch."""
    column = "started_at" if name in CLOCK_ATTRIBUTES else name
    values = trips[column]
    for rows in _split_batches(len(values) if order is None else len(order)):
        batch = values.iloc[rows if order is None else order[rows]].reset_index(drop=True)
        yield rows, read_attribute(pd.DataFrame({column: batch}), name)


def _split_batches(count: int) -> Iterator[slice]:
    """Yield slices of at most `ENCODE_BATCH` rows."""
    return (slice(first, min(first + ENCODE_BATCH, count)) for first in range(0, count, ENCODE_BATCH))


# ---- strokes → trips -------------------------------------------------------------------------------------------------


class DecodedStrokes(Protocol):
    """Strokes read back from images, in the order of their images.

    Attributes
    ----------
    image : (S,) int64
        The image each stroke was found in.
    ends : (S, 2) int32
        Origin and destination place.
    values : (S, P) float32
        A level per painted plane.
    residual : (N,) float32
        Share of each image's norm that its strokes leave unexplained.
    """

    image: NDArray
    ends: NDArray
    values: NDArray
    residual: NDArray


def decode_strokes(
    strokes: DecodedStrokes, labels: NDArray, spec: StrokeSpec, rng: np.random.Generator
) -> pd.DataFrame:
    """Turn strokes and their images' labels into a table; the inverse of `encode_training_trips`.

    Parameters
    ----------
    strokes : DecodedStrokes
        S strokes of N images.
    labels : (N, F) int
        The labels of each image.
    spec : StrokeSpec
        The meaning of the images.
    rng : numpy.random.Generator
        Chance, for what images do not tell: the station of a merged place, the date, the second.

    Returns
    -------
    DataFrame of S rows
        Trips in the internal names, valid or not, with `image` and `residual`; see `rasterize.trip_table`.
    """
    # Ends: a direction where pictures have none, then a station of each place.
    stations = pd.DataFrame([vars(station) for station in list_stations(spec.places)])
    chosen = draw_apart(_orient_ends(strokes.ends, spec, rng), spec.places, rng)
    table = pd.DataFrame({"trip_id": [f"synthetic-{number}" for number in range(len(chosen))]})
    for side, rows in (("start", chosen[:, 0]), ("end", chosen[:, 1])):
        station = stations.iloc[rows].reset_index(drop=True)
        table[f"{side}_station_id"], table[f"{side}_station_name"] = station["id"], station["name"]
        table[f"{side}_lat"], table[f"{side}_lng"] = station["lat"], station["lng"]

    # Times: from the readings of the clock, and a duration.
    readings = decode_attributes(strokes, labels, spec)
    duration = _decode_durations(table, readings, rng)
    table.insert(1, "started_at", draw_start_times(readings, spec.calendar, rng))
    table.insert(2, "ended_at", table["started_at"] + pd.to_timedelta(duration, unit="s").astype("timedelta64[us]"))
    table.insert(3, "duration_s", duration)

    # All other attributes, and where the trip was found.
    for name in readings.columns.difference([*CLOCK_ATTRIBUTES, "duration_s"], sort=False):
        table[name] = readings[name]
    if "birth_year" in table:
        table["birth_year"] = table["birth_year"].round().astype("Int16")
    table["image"] = strokes.image
    table["residual"] = strokes.residual[strokes.image]
    return table


def decode_attributes(strokes: DecodedStrokes, labels: NDArray, spec: StrokeSpec) -> pd.DataFrame:
    """Decode painted levels and labels.

    Parameters
    ----------
    strokes : DecodedStrokes
        S strokes of N images.
    labels : (N, F) int
        The labels of each image.
    spec : StrokeSpec
        The meaning of the images.

    Returns
    -------
    DataFrame of S rows
        A column per channel and factor, in its own unit.
    """
    readings, features = {}, spec.trip_features(strokes.ends, labels[strokes.image])
    for channel, planes in plane_slices(spec.channels):
        readings[channel.column] = channel.decode(strokes.values[:, planes], features)
    for column, factor in enumerate(spec.factors):
        readings[factor.name] = factor.decode(labels[strokes.image, column])
    return pd.DataFrame(readings, index=range(len(strokes.image)))


def _orient_ends(ends: NDArray, spec: StrokeSpec, rng: np.random.Generator) -> NDArray:
    """Give each stroke of a grey picture a direction, by the starts and ends observed at its two places."""
    if spec.drawing.mode != "grey":
        return ends

    # Odds of each direction: starts of its origin times ends of its destination; one is added for unused stations.
    starts = np.array([sum(station.starts for station in place.stations) + 1 for place in spec.places], float)
    stops = np.array([sum(station.ends for station in place.stations) + 1 for place in spec.places], float)
    forward, backward = starts[ends[:, 0]] * stops[ends[:, 1]], starts[ends[:, 1]] * stops[ends[:, 0]]
    turn = rng.random(len(ends)) * (forward + backward) > forward
    return np.where(turn[:, None], ends[:, ::-1], ends)


def _decode_durations(table: pd.DataFrame, readings: pd.DataFrame, rng: np.random.Generator) -> pd.Series:
    """Return painted durations, to the whole second; where there is none, a leisurely time for the distance."""
    guess = np.maximum(trip_metres(table) / WALKING_M_PER_S, 120) * rng.uniform(*DEFAULT_DURATION_S, len(table))
    painted = readings["duration_s"] if "duration_s" in readings else pd.Series(np.nan, index=table.index)
    return painted.fillna(pd.Series(guess)).clip(lower=1).round()
