"""Stations ↔ places: stations closer than a pixel are one place in the picture, and are drawn apart again by share."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rasterize.strokes.frame import Frame


@dataclass(frozen=True, kw_only=True)
class Station:
    """A station of a place, where it truly is.

    Attributes
    ----------
    id, name : str
        As the publisher has them.
    lat, lng : float
        Position, in degrees.
    starts, ends : int
        How many training trips started and ended there.
    """

    id: str
    name: str
    lat: float
    lng: float
    starts: int
    ends: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the picture can tell apart: one station, or several closer than a pixel.

    Attributes
    ----------
    lat, lng : float
        Position of its most used station, in degrees.
    stations : tuple of Station
        The most used first.
    loops : tuple of (start, end, count)
        How many trips run inside the place, by index into `stations`. Empty where there is a single station.
    """

    lat: float
    lng: float
    stations: tuple[Station, ...]
    loops: tuple[tuple[int, int, int], ...] = ()


def merge_stations(stations: gpd.GeoDataFrame, frame: Frame, *, merge_px: float = 1.0) -> NDArray:
    """Merge stations that the picture cannot tell apart into places.

    The most used station founds a place and takes in all free stations nearer than `merge_px`; then the next. So
    founders are at least `merge_px` apart.

    Parameters
    ----------
    stations : GeoDataFrame of S rows
        With `uses`, how many trips start or end there.
    frame : Frame
        The frame of the picture.
    merge_px : float
        Stations nearer than this are merged, in pixels.

    Returns
    -------
    (S,) int64
        The place of each station. Places are numbered in the order they are founded.
    """
    # Neighbours of each station, nearer than merge_px (not at that very distance).
    x, y = frame.to_pixels(stations.geometry.y, stations.geometry.x)
    neighbours = cKDTree(np.stack([x, y], axis=1)).query_ball_point(np.stack([x, y], axis=1), merge_px * (1 - 1e-9))

    # Found places greedily, the most used station first.
    order = np.argsort(-stations["uses"].to_numpy(), kind="stable")
    place = np.full(len(stations), -1)
    founded = 0
    for station in order:
        if place[station] >= 0:
            continue
        free = [other for other in neighbours[station] if place[other] < 0]
        place[free] = founded
        founded += 1
    return place


def make_places(stations: gpd.GeoDataFrame, place_of: NDArray, trips: pd.DataFrame) -> tuple[Place, ...]:
    """Make places, and count how `trips` use their stations.

    Parameters
    ----------
    stations : GeoDataFrame of S rows
        With `station_id`, `name` and `uses`.
    place_of : (S,) int64
        The place of each station, from `merge_stations`.
    trips : DataFrame
        With `start_station_id` and `end_station_id`.

    Returns
    -------
    tuple of Place
        In the order of their numbers.
    """
    loops = _count_loops(stations, place_of, trips)
    starts = trips["start_station_id"].astype(str).value_counts()
    ends = trips["end_station_id"].astype(str).value_counts()
    places = []
    for number in range(place_of.max() + 1):
        # The stations of this place, the most used first: it gives the place its position.
        members = stations[place_of == number].sort_values("uses", ascending=False, kind="stable")
        founder = members.geometry.iloc[0]
        inside = tuple(
            Station(
                id=str(row.station_id),
                name=str(row.name_),
                lat=float(row.geometry.y),
                lng=float(row.geometry.x),
                starts=int(starts.get(str(row.station_id), 0)),
                ends=int(ends.get(str(row.station_id), 0)),
            )
            for row in members.rename(columns={"name": "name_"}).itertuples(index=False)
        )

        # Trips inside the place, which ends alone do not tell apart.
        index = {station.id: k for k, station in enumerate(inside)}
        pairs = tuple((index[a], index[b], count) for a, b, count in loops.get(number, ())) if len(inside) > 1 else ()
        places.append(Place(lat=float(founder.y), lng=float(founder.x), stations=inside, loops=pairs))
    return tuple(places)


def _count_loops(
    stations: gpd.GeoDataFrame, place_of: NDArray, trips: pd.DataFrame
) -> dict[int, list[tuple[str, str, int]]]:
    """Count the trips that stay inside one place, by their stations' ids."""
    place = pd.Series(place_of, index=stations["station_id"].astype(str).to_numpy())
    ends = trips[["start_station_id", "end_station_id"]].astype(str)
    start, end = ends["start_station_id"].map(place), ends["end_station_id"].map(place)
    inside = ends.assign(place=start)[start.to_numpy() == end.to_numpy()]
    loops: dict[int, list[tuple[str, str, int]]] = {}
    for (number, a, b), count in inside.groupby(["place", "start_station_id", "end_station_id"]).size().items():
        loops.setdefault(int(number), []).append((a, b, int(count)))
    return loops


def find_trip_places(trips: pd.DataFrame, stations: gpd.GeoDataFrame, place_of: NDArray) -> NDArray:
    """Find origin and destination place of trips.

    Parameters
    ----------
    trips : DataFrame of N rows
        With `start_station_id` and `end_station_id`.
    stations : GeoDataFrame of S rows
        With `station_id`.
    place_of : (S,) int64
        The place of each station, from `merge_stations`.

    Returns
    -------
    (N, 2) int32
        Numbers of places.
    """
    place = pd.Series(place_of, index=stations["station_id"].astype(str).to_numpy())
    ends = [trips[column].astype(str).map(place).to_numpy() for column in ("start_station_id", "end_station_id")]
    return np.stack(ends, axis=1).astype(np.int32)


def draw_apart(ends: NDArray, places: Sequence[Place], rng: np.random.Generator) -> NDArray:
    """Draw a station for each end of trips between places; the inverse of `find_trip_places`.

    Chance follows the observed starts and ends of the place's stations, and for trips inside one place its loops.

    Parameters
    ----------
    ends : (N, 2) int
        Origin and destination place of each trip.
    places : sequence of Place
        The places of the picture.
    rng : numpy.random.Generator
        Chance.

    Returns
    -------
    (N, 2) int64
        Origin and destination station, as an index into `list_stations(places)`.
    """
    # The first station of each place, which is the only one of most.
    first = np.concatenate([[0], np.cumsum([len(place.stations) for place in places])])
    chosen = first[ends]
    for number, place in enumerate(places):
        if len(place.stations) == 1:
            continue

        # Ends of trips to and from elsewhere: by the stations' own starts or ends.
        inside = (ends[:, 0] == number) & (ends[:, 1] == number)
        for side, uses in ((0, "starts"), (1, "ends")):
            rows = np.flatnonzero((ends[:, side] == number) & ~inside)
            weight = np.array([getattr(station, uses) for station in place.stations], float) + 1e-9
            chosen[rows, side] += rng.choice(len(weight), size=len(rows), p=weight / weight.sum())

        # Trips inside the place: both stations at once, by its loops.
        rows = np.flatnonzero(inside)
        loops = np.array(place.loops or [(0, 0, 1)])
        chosen[rows] += loops[rng.choice(len(loops), size=len(rows), p=loops[:, 2] / loops[:, 2].sum()), :2]
    return chosen


def list_stations(places: Sequence[Place]) -> tuple[Station, ...]:
    """Return the stations of all places, place by place: what `draw_apart` points into."""
    return tuple(station for place in places for station in place.stations)


def place_from_json(value: Mapping[str, Any]) -> Place:
    """Read a place of a spec's JSON object."""
    return Place(
        lat=value["lat"],
        lng=value["lng"],
        stations=tuple(Station(**station) for station in value["stations"]),
        loops=tuple((start, end, count) for start, end, count in value["loops"]),
    )
