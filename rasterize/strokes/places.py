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
    """A station of a place: identity, true position in degrees, and how many trips started and ended there."""

    id: str
    name: str
    lat: float
    lng: float
    starts: int
    ends: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """What the picture can tell apart: one station, or several closer than a pixel.

    `loops` counts the trips inside the place by (start, end) station index; only a merged place needs it.
    """

    lat: float
    lng: float
    stations: tuple[Station, ...]
    loops: tuple[tuple[int, int, int], ...] = ()


def merge_stations(stations: gpd.GeoDataFrame, frame: Frame, *, merge_px: float = 1.0) -> NDArray:
    """The place of each station, int64 [stations].

    The most used station founds a place and takes in all free stations nearer than `merge_px`; then the next. Founders
    are therefore at least `merge_px` apart.
    """
    x, y = frame.to_pixels(stations.geometry.y, stations.geometry.x)
    neighbours = cKDTree(np.stack([x, y], axis=1)).query_ball_point(np.stack([x, y], axis=1), merge_px * (1 - 1e-9))
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
    """Places with their stations' uses in `trips` and, where several share one, its loops."""
    loops = _count_loops(stations, place_of, trips)
    starts = trips["start_station_id"].astype(str).value_counts()
    ends = trips["end_station_id"].astype(str).value_counts()
    places = []
    for index in range(place_of.max() + 1):
        members = stations[place_of == index].sort_values("uses", ascending=False, kind="stable")
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
        rank = {station.id: k for k, station in enumerate(inside)}
        pairs = tuple((rank[a], rank[b], count) for a, b, count in loops.get(index, ())) if len(inside) > 1 else ()
        places.append(Place(lat=float(founder.y), lng=float(founder.x), stations=inside, loops=pairs))
    return tuple(places)


def _count_loops(
    stations: gpd.GeoDataFrame, place_of: NDArray, trips: pd.DataFrame
) -> dict[int, list[tuple[str, str, int]]]:
    place = pd.Series(place_of, index=stations["station_id"].astype(str).to_numpy())
    ends = trips[["start_station_id", "end_station_id"]].astype(str)
    start, end = ends["start_station_id"].map(place), ends["end_station_id"].map(place)
    inside = ends.assign(place=start)[start.to_numpy() == end.to_numpy()]
    loops: dict[int, list[tuple[str, str, int]]] = {}
    for (index, a, b), count in inside.groupby(["place", "start_station_id", "end_station_id"]).size().items():
        loops.setdefault(int(index), []).append((a, b, int(count)))
    return loops


def trip_places(trips: pd.DataFrame, stations: gpd.GeoDataFrame, place_of: NDArray) -> NDArray:
    """Origin and destination place of each trip, int32 [N, 2]."""
    place = pd.Series(place_of, index=stations["station_id"].astype(str).to_numpy())
    ends = [trips[column].astype(str).map(place).to_numpy() for column in ("start_station_id", "end_station_id")]
    return np.stack(ends, axis=1).astype(np.int32)


def draw_apart(ends: NDArray, places: Sequence[Place], rng: np.random.Generator) -> NDArray:
    """The inverse of `trip_places`: a station for each end, as an index into `all_stations`, int64 [N, 2].

    Chance follows the observed starts and ends of the place's stations, and for trips inside one place its loops.
    """
    first = np.concatenate([[0], np.cumsum([len(place.stations) for place in places])])
    chosen = first[ends]
    for index, place in enumerate(places):
        if len(place.stations) == 1:
            continue
        inside = (ends[:, 0] == index) & (ends[:, 1] == index)
        for side, uses in ((0, "starts"), (1, "ends")):
            rows = np.flatnonzero((ends[:, side] == index) & ~inside)
            weight = np.array([getattr(station, uses) for station in place.stations], float) + 1e-9
            chosen[rows, side] += rng.choice(len(weight), size=len(rows), p=weight / weight.sum())
        rows = np.flatnonzero(inside)
        loops = np.array(place.loops or [(0, 0, 1)])
        chosen[rows] += loops[rng.choice(len(loops), size=len(rows), p=loops[:, 2] / loops[:, 2].sum()), :2]
    return chosen


def all_stations(places: Sequence[Place]) -> tuple[Station, ...]:
    """The stations of all places, place by place: what `draw_apart` points into."""
    return tuple(station for place in places for station in place.stations)


def place_from_json(value: Mapping[str, Any]) -> Place:
    return Place(
        lat=value["lat"],
        lng=value["lng"],
        stations=tuple(Station(**station) for station in value["stations"]),
        loops=tuple((start, end, count) for start, end, count in value["loops"]),
    )
