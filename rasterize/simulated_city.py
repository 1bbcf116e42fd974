"""Simulated City: bike-share trips of a town that does not exist, for the demo and the tests, as a Citi Bike CSV."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rasterize.distance import METRES_PER_DEGREE
from rasterize.files import write_atomically

NAME = "Simulated City"
CENTRE_LAT, CENTRE_LNG = 42.0, -40.0  # in the middle of the Atlantic, so that nobody takes it for a real town
HALF_WIDTH_M, HALF_HEIGHT_M = 3_000.0, 2_600.0
RIVER_HALF_WIDTH_M = 180.0
BRIDGES_M = (-1_700.0, 100.0, 1_500.0)  # northings of the only ways across
FIRST_DAY = np.datetime64("2019-06-03", "ms")  # a Monday
FIRST_STATION_ID = 3001
FILLER_YEAR = 1969  # what Citi Bike has for customers who do not tell their birth year
_STATION_COLUMNS = ("id", "name", "latitude", "longitude")
HEADER = (
    *("tripduration", "starttime", "stoptime"),
    *(f"{end} station {column}" for end in ("start", "end") for column in _STATION_COLUMNS),
    *("bikeid", "usertype", "birth year", "gender"),
)
_STREETS = ("Alder", "Birch", "Cedar", "Dogwood", "Elm", "Fir", "Grove", "Hazel", "Ivy", "Juniper", "Laurel", "Maple")


@dataclass(frozen=True)
class _Stations:
    """Stations of the town: metres east and north of its centre, and who comes there."""

    east: NDArray  # [S]
    north: NDArray  # [S]
    homes: NDArray  # [S], weight of a station as a home
    work: NDArray  # [S], as a place of work
    fun: NDArray  # [S], as a place to spend an afternoon

    def lat_lng(self) -> tuple[NDArray, NDArray]:
        """Degrees, rounded to centimetres."""
        lat = CENTRE_LAT + self.north / METRES_PER_DEGREE
        lng = CENTRE_LNG + self.east / METRES_PER_DEGREE / np.cos(np.radians(CENTRE_LAT))
        return lat.round(7), lng.round(7)

    def names(self) -> list[str]:
        """Crossings of a street and an avenue, openly simulated."""
        return [
            f"{_STREETS[i % len(_STREETS)]} St & {i // len(_STREETS) + 1} Ave (simulated)"
            for i in range(len(self.east))
        ]


def write_city(path: Path, *, trips: int = 30_000, stations: int = 30, days: int = 28, seed: int = 0) -> None:
    """Write trips of Simulated City as CSV in Citi Bike's columns, quotes and date format of 2019, atomically.

    The town has a river with three bridges, a centre where people work, commuters in the morning and evening of
    working days, outings on the others, subscribers and customers, and gravity between stations. One row in about 600
    is bad in one of five ways: coordinates (0, 0), a duration of 234 days, no end station, an end before the start,
    the depot as the end.

    Parameters
    ----------
    trips
        Rows that are good trips; bad ones come on top.
    stations
        At least 2.
    days
        From Monday, 3 June 2019.
    seed
        The same seed gives the same file.
    """
    assert trips > 0 and stations >= 2 and days > 0
    rng = np.random.default_rng(seed)
    places = _found_stations(stations, rng)
    table = _ride(places, trips, days, rng)
    lines = _as_lines(places, table, rng)
    _spoil(lines, max(1, trips // 3000), rng)
    lines.sort(key=lambda cells: cells[1])
    header = ",".join(f'"{name}"' for name in HEADER)
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([header, *map(",".join, lines)]) + "\n", encoding="utf-8", newline="")


# ---- the town


def _river_east(north: NDArray) -> NDArray:
    """Where the middle of the river runs, metres east."""
    return 500.0 + 450.0 * np.sin(north / 1_100.0)


def _found_stations(count: int, rng: np.random.Generator) -> _Stations:
    """Stations on dry land, spread out: of many random points always the one farthest from all others."""
    points = rng.uniform(-1, 1, (200 + 40 * count, 2)) * [HALF_WIDTH_M, HALF_HEIGHT_M]
    points = points[np.abs(points[:, 0] - _river_east(points[:, 1])) > RIVER_HALF_WIDTH_M]
    chosen = [0]
    gap = np.full(len(points), np.inf)
    while len(chosen) < count:
        gap = np.minimum(gap, np.hypot(*(points - points[chosen[-1]]).T))
        # a little noise, and sparser stations towards the edge
        chosen.append(int(np.argmax(gap * rng.uniform(0.7, 1, len(gap)) / (1 + np.hypot(*points.T) / 4_000))))
    east, north = points[chosen].T
    out = np.hypot(east + 600, north) / 1_500  # distance from the business district
    popularity = rng.lognormal(0, 0.5, (3, count))
    return _Stations(
        east=east,
        north=north,
        homes=popularity[0] * (0.3 + np.minimum(out, 1.5)),
        work=popularity[1] * (0.05 + np.exp(-(out**2))),
        fun=popularity[2] * (0.3 + np.exp(-np.abs(east - _river_east(north)) / 600)),  # the river banks
    )


def _ways(places: _Stations) -> NDArray:
    """Metres to ride between all pairs of stations, over the best bridge where the river lies between.  # [S, S]"""
    point = places.east + 1j * places.north
    direct = np.abs(point[:, None] - point[None, :])
    heads = _river_east(np.array(BRIDGES_M)) + 1j * np.array(BRIDGES_M)
    to_bridge = np.abs(point[:, None] - heads[None, :])  # [S, bridges]
    over = (to_bridge[:, None, :] + to_bridge[None, :, :]).min(axis=-1)
    west = places.east < _river_east(places.north)
    return 1.25 * np.where(west[:, None] == west[None, :], direct, over)


# ---- the trips


@dataclass(frozen=True)
class _Trips:
    """One array per column, a value per trip."""

    start: NDArray  # index of the station
    end: NDArray
    started_at: NDArray  # datetime64[ms]
    duration_ms: NDArray
    customer: NDArray  # bool
    birth_year: NDArray
    gender: NDArray  # 0 unknown, 1 male, 2 female


def _ride(places: _Stations, n: int, days: int, rng: np.random.Generator) -> _Trips:
    """Who rides when, why, from where to where, and for how long."""
    weight_of_day = np.where(np.arange(days) % 7 < 5, 1.0, 0.8)
    day = rng.choice(days, n, p=weight_of_day / weight_of_day.sum())
    weekend = day % 7 >= 5
    customer = rng.random(n) < np.where(weekend, 0.26, 0.09)
    purpose = _purposes(weekend, customer, rng)
    round_trip = rng.random(n) < np.where(customer, 0.16, 0.033)
    ways = _ways(places)
    start, end = _origins_and_destinations(places, ways, purpose, rng)
    end = np.where(round_trip, start, end)
    seconds = _durations(ways[start, end], customer, round_trip, rng)
    hours = _hours(purpose, rng)
    started_at = FIRST_DAY + (day * 86_400_000 + (hours * 3_600_000).astype(np.int64)).astype("timedelta64[ms]")
    birth_year, gender = _riders(customer, rng)
    return _Trips(start, end, started_at, (seconds * 1000).astype(np.int64), customer, birth_year, gender)


_TO_WORK, _HOME, _ERRAND, _OUTING = range(4)


def _purposes(weekend: NDArray, customer: NDArray, rng: np.random.Generator) -> NDArray:
    """To work, home, errand or outing, by day and rider."""
    shares = np.select(
        [(weekend | customer)[:, None], np.ones((len(weekend), 1), bool)],
        [np.array([[0.03, 0.03, 0.19, 0.75]]), np.array([[0.36, 0.37, 0.22, 0.05]])],
    )
    return (rng.random(len(weekend))[:, None] > shares.cumsum(axis=1)).sum(axis=1).clip(max=_OUTING)


def _hours(purpose: NDArray, rng: np.random.Generator) -> NDArray:
    """Time of day in hours, [0, 24)."""
    middle = np.array([8.4, 17.8, 13.0, 14.8])[purpose]
    spread = np.array([0.75, 1.15, 4.2, 2.7])[purpose]
    return rng.normal(middle, spread) % 24


def _origins_and_destinations(
    places: _Stations, ways: NDArray, purpose: NDArray, rng: np.random.Generator
) -> tuple[NDArray, NDArray]:
    """Gravity: pairs by weight of origin and destination and an exponential of the way between."""
    pushes = (places.homes, places.work, places.homes + places.fun, places.fun)
    pulls = (places.work, places.homes, places.work + places.fun, places.fun)
    start, end = np.empty(len(purpose), int), np.empty(len(purpose), int)
    for kind, (push, pull) in enumerate(zip(pushes, pulls, strict=True)):
        flow = push[:, None] * pull[None, :] * np.exp(-ways / 1_800.0)
        np.fill_diagonal(flow, 0)
        mine = np.flatnonzero(purpose == kind)
        pair = rng.choice(flow.size, len(mine), p=flow.ravel() / flow.sum())
        start[mine], end[mine] = np.unravel_index(pair, flow.shape)
    return start, end


def _durations(metres: NDArray, customer: NDArray, round_trip: NDArray, rng: np.random.Generator) -> NDArray:
    """Seconds: subscribers ride straight, customers stroll; a round trip has its own length. Between 61 s and 3 h."""
    speed = np.where(customer, 2.3, 3.5)
    noise = np.exp(rng.normal(0, np.where(customer, 0.4, 0.18)))
    straight = 45 + metres / speed * noise
    stroll = np.where(customer, 1_700, 700) * np.exp(rng.normal(0, 0.5, len(metres)))
    return np.where(round_trip, stroll, straight).clip(61, 10_700)


def _riders(customer: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Birth year and gender; many customers tell neither."""
    n = len(customer)
    year = rng.normal(np.where(customer, 1989, 1983), np.where(customer, 8, 10)).round().astype(int).clip(1935, 2003)
    untold = customer & (rng.random(n) < 0.45)
    shares = np.where(untold[:, None], [[0.95, 0.98]], np.where(customer[:, None], [[0.1, 0.62]], [[0.04, 0.76]]))
    gender = (rng.random(n)[:, None] > shares).sum(axis=1)
    return np.where(untold, FILLER_YEAR, year), gender


# ---- the file


def _as_lines(places: _Stations, trips: _Trips, rng: np.random.Generator) -> list[list[str]]:
    """A list of cells per trip, spelled and quoted as Citi Bike did in 2019."""
    lat, lng = places.lat_lng()
    stations = [
        (str(FIRST_STATION_ID + i), f'"{name}"', repr(float(lat[i])), repr(float(lng[i])))
        for i, name in enumerate(places.names())
    ]
    columns = (
        (trips.duration_ms // 1000).astype(str).tolist(),
        _as_text(trips.started_at),
        _as_text(trips.started_at + trips.duration_ms.astype("timedelta64[ms]")),
        trips.start.tolist(),
        trips.end.tolist(),
        rng.integers(20_000, 20_400, len(trips.start)).astype(str).tolist(),
        np.where(trips.customer, '"Customer"', '"Subscriber"').tolist(),
        trips.birth_year.astype(str).tolist(),
        trips.gender.astype(str).tolist(),
    )
    return [
        [duration, started, ended, *stations[start], *stations[end], *rest]
        for duration, started, ended, start, end, *rest in zip(*columns, strict=True)
    ]


def _as_text(times: NDArray) -> list[str]:
    """Quoted, with four digits after the second, the last one 0."""
    return [f'"{text.replace("T", " ")}0"' for text in np.datetime_as_string(times, unit="ms").tolist()]


def _spoil(lines: list[list[str]], count: int, rng: np.random.Generator) -> None:
    """Add `count` bad rows of each kind, made from good ones."""
    depot = ["3999", f'"{NAME} Depot"', repr(CENTRE_LAT), repr(CENTRE_LNG)]
    nowhere = ["3998", '"Temporary (simulated)"', "0", "0"]
    missing = ["", "", "", ""]
    picks = rng.choice(len(lines), (5, count)).tolist()
    for kind, rows in enumerate(picks):
        for row in rows:
            cells = list(lines[row])
            if kind < 3:
                cells[7:11] = (depot, nowhere, missing)[kind]
            elif kind == 3:
                cells[0], cells[2] = str(234 * 86_400), _later(cells[1], days=234)
            else:
                cells[2] = _later(cells[1], days=-1)
            lines.append(cells)


def _later(quoted: str, *, days: int) -> str:
    time = np.datetime64(quoted.strip('"')[:-1].replace(" ", "T"), "ms") + np.timedelta64(days, "D")
    return _as_text(np.array([time]))[0]
