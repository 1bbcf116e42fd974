"""Simulated City: bike-share trips of a town that does not exist, as a Citi Bike CSV; for the demo and the tests."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rasterize.distance import METRES_PER_DEGREE
from rasterize.files import write_atomically

# Every figure of the town is made up, not fitted to a real one. They are set by hand so that its trips have the habits
# that tests/rasterize/test_simulated_city.py asks for.
NAME = "Simulated City"
TRIPS, STATIONS, DAYS = 30_000, 30, 28  # when nothing is said: four weeks of a small town
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
    """Stations of the town.

    Attributes
    ----------
    east, north : (S,) float
        Metres from the centre.
    homes, work, fun : (S,) float
        Weight of a station as a home, as a place of work, and as a place to spend an afternoon.
    """

    east: NDArray
    north: NDArray
    homes: NDArray
    work: NDArray
    fun: NDArray

    def lat_lng(self) -> tuple[NDArray, NDArray]:
        """Return latitudes and longitudes in degrees, rounded to centimetres."""
        lat = CENTRE_LAT + self.north / METRES_PER_DEGREE
        lng = CENTRE_LNG + self.east / METRES_PER_DEGREE / np.cos(np.radians(CENTRE_LAT))
        return lat.round(7), lng.round(7)

    def names(self) -> list[str]:
        """Return a crossing of a street and an avenue for each station, openly simulated."""
        return [
            f"{_STREETS[i % len(_STREETS)]} St & {i // len(_STREETS) + 1} Ave (simulated)"
            for i in range(len(self.east))
        ]


def write_city(path: Path, *, trips: int = TRIPS, stations: int = STATIONS, days: int = DAYS, seed: int = 0) -> None:
    """Write trips of Simulated City as CSV in Citi Bike's columns, quotes and date format of 2019, atomically.

    The town has a river with three bridges, and a centre where people work. There are commuters on working days,
    outings on the others, subscribers and customers, and gravity between stations. One row in about 600 is bad, in
    one of five ways. It has coordinates (0, 0), lasts 234 days, or has no end station. Or it ends before it starts, or
    at the depot.

    Parameters
    ----------
    path : Path
        The CSV file.
    trips : int
        Rows that are good trips; bad ones come on top.
    stations : int
        At least 2.
    days : int
        From Monday, 3 June 2019.
    seed : int
        The same seed gives the same file.
    """
    assert trips > 0 and stations >= 2 and days > 0
    rng = np.random.default_rng(seed)
    town = _found_stations(stations, rng)
    table = _draw_trips(town, trips, days, rng)

    # Good rows and bad ones, in the order of their start times.
    lines = _write_lines(town, table, rng)
    _spoil_rows(lines, max(1, trips // 3000), rng)
    lines.sort(key=lambda cells: cells[1])
    header = ",".join(f'"{name}"' for name in HEADER)
    with write_atomically(path) as temporary:
        temporary.write_text("\n".join([header, *map(",".join, lines)]) + "\n", encoding="utf-8", newline="")


# ---- the town


def find_river(north: NDArray) -> NDArray:
    """Return how far east of the centre the middle of the river runs, in metres."""
    return 500.0 + 450.0 * np.sin(north / 1_100.0)


def _found_stations(count: int, rng: np.random.Generator) -> _Stations:
    """Found stations on dry land, spread out: of many random points always the one farthest from all others."""
    # Candidates on dry land.
    points = rng.uniform(-1, 1, (200 + 40 * count, 2)) * [HALF_WIDTH_M, HALF_HEIGHT_M]
    points = points[np.abs(points[:, 0] - find_river(points[:, 1])) > RIVER_HALF_WIDTH_M]

    # Farthest-point sampling, with a little noise, and sparser towards the edge.
    chosen = [0]
    gap = np.full(len(points), np.inf)
    while len(chosen) < count:
        gap = np.minimum(gap, np.hypot(*(points - points[chosen[-1]]).T))
        chosen.append(int(np.argmax(gap * rng.uniform(0.7, 1, len(gap)) / (1 + np.hypot(*points.T) / 4_000))))
    east, north = points[chosen].T

    # Who comes there: work is in the business district, homes are around it, fun is on the river banks.
    out = np.hypot(east + 600, north) / 1_500  # distance from the business district
    popularity = rng.lognormal(0, 0.5, (3, count))
    return _Stations(
        east=east,
        north=north,
        homes=popularity[0] * (0.3 + np.minimum(out, 1.5)),
        work=popularity[1] * (0.05 + np.exp(-(out**2))),
        fun=popularity[2] * (0.3 + np.exp(-np.abs(east - find_river(north)) / 600)),
    )


def _measure_ways(town: _Stations) -> NDArray:
    """Return the metres to ride between all pairs of stations, over the best bridge across the river, [S, S]."""
    point = town.east + 1j * town.north
    direct = np.abs(point[:, None] - point[None, :])
    heads = find_river(np.array(BRIDGES_M)) + 1j * np.array(BRIDGES_M)
    to_bridge = np.abs(point[:, None] - heads[None, :])  # [S, bridges]

    # Streets make every way a quarter longer than the straight line.
    over = (to_bridge[:, None, :] + to_bridge[None, :, :]).min(axis=-1)
    west = town.east < find_river(town.north)
    return 1.25 * np.where(west[:, None] == west[None, :], direct, over)


# ---- the trips


@dataclass(frozen=True)
class _Trips:
    """N trips, column by column.

    Attributes
    ----------
    start, end : (N,) int
        Numbers of stations.
    started_at : (N,) datetime64[ms]
        When each trip began.
    duration_ms : (N,) int64
        How long it took, in milliseconds.
    customer : (N,) bool
        Whether the rider is a customer, not a subscriber.
    birth_year : (N,) int
        `FILLER_YEAR` where it is not given.
    gender : (N,) int
        0 unknown, 1 male, 2 female.
    """

    start: NDArray
    end: NDArray
    started_at: NDArray
    duration_ms: NDArray
    customer: NDArray
    birth_year: NDArray
    gender: NDArray


def _draw_trips(town: _Stations, n: int, days: int, rng: np.random.Generator) -> _Trips:
    """Draw who rides when, why, from where to where, and for how long."""
    # The day, and then the rider: more customers ride at weekends.
    weight_of_day = np.where(np.arange(days) % 7 < 5, 1.0, 0.8)
    day = rng.choice(days, n, p=weight_of_day / weight_of_day.sum())
    weekend = day % 7 >= 5
    customer = rng.random(n) < np.where(weekend, 0.26, 0.09)

    # Why, from where to where; round trips end where they began.
    purpose = _draw_purposes(weekend, customer, rng)
    round_trip = rng.random(n) < np.where(customer, 0.16, 0.033)
    ways = _measure_ways(town)
    start, end = _draw_ends(town, ways, purpose, rng)
    end = np.where(round_trip, start, end)

    # For how long, and at which time of the day.
    seconds = _draw_durations(ways[start, end], customer, round_trip, rng)
    hours = _draw_hours(purpose, rng)
    started_at = FIRST_DAY + (day * 86_400_000 + (hours * 3_600_000).astype(np.int64)).astype("timedelta64[ms]")
    birth_year, gender = _draw_riders(customer, rng)
    return _Trips(start, end, started_at, (seconds * 1000).astype(np.int64), customer, birth_year, gender)


_TO_WORK, _HOME, _ERRAND, _OUTING = range(4)


def _draw_purposes(weekend: NDArray, customer: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw what each trip is for, by day and rider: to work, home, an errand or an outing."""
    shares = np.select(
        [(weekend | customer)[:, None], np.ones((len(weekend), 1), bool)],
        [np.array([[0.03, 0.03, 0.19, 0.75]]), np.array([[0.36, 0.37, 0.22, 0.05]])],
    )
    return (rng.random(len(weekend))[:, None] > shares.cumsum(axis=1)).sum(axis=1).clip(max=_OUTING)


def _draw_hours(purpose: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw the time of day by purpose, in hours, [0, 24)."""
    middle = np.array([8.4, 17.8, 13.0, 14.8])[purpose]
    spread = np.array([0.75, 1.15, 4.2, 2.7])[purpose]
    return rng.normal(middle, spread) % 24


def _draw_ends(town: _Stations, ways: NDArray, purpose: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw ends by gravity: weight of origin × weight of destination × an exponential of the way between."""
    pushes = (town.homes, town.work, town.homes + town.fun, town.fun)
    pulls = (town.work, town.homes, town.work + town.fun, town.fun)
    start, end = np.empty(len(purpose), int), np.empty(len(purpose), int)
    for kind, (push, pull) in enumerate(zip(pushes, pulls, strict=True)):
        # All flows of one purpose, without round trips; then as many pairs as it has trips.
        flow = push[:, None] * pull[None, :] * np.exp(-ways / 1_800.0)
        np.fill_diagonal(flow, 0)
        mine = np.flatnonzero(purpose == kind)
        pair = rng.choice(flow.size, len(mine), p=flow.ravel() / flow.sum())
        start[mine], end[mine] = np.unravel_index(pair, flow.shape)
    return start, end


def _draw_durations(metres: NDArray, customer: NDArray, round_trip: NDArray, rng: np.random.Generator) -> NDArray:
    """Draw durations in seconds, between 61 s and 3 h: subscribers ride straight, customers stroll."""
    speed = np.where(customer, 2.3, 3.5)
    noise = np.exp(rng.normal(0, np.where(customer, 0.4, 0.18)))

    # A trip takes its way at some speed; a round trip has a duration of its own.
    straight = 45 + metres / speed * noise
    stroll = np.where(customer, 1_700, 700) * np.exp(rng.normal(0, 0.5, len(metres)))
    return np.where(round_trip, stroll, straight).clip(61, 10_700)


def _draw_riders(customer: NDArray, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Draw birth year and gender; many customers tell neither."""
    n = len(customer)
    year = rng.normal(np.where(customer, 1989, 1983), np.where(customer, 8, 10)).round().astype(int).clip(1935, 2003)
    untold = customer & (rng.random(n) < 0.45)
    shares = np.where(untold[:, None], [[0.95, 0.98]], np.where(customer[:, None], [[0.1, 0.62]], [[0.04, 0.76]]))
    gender = (rng.random(n)[:, None] > shares).sum(axis=1)
    return np.where(untold, FILLER_YEAR, year), gender


# ---- the file


def _write_lines(town: _Stations, trips: _Trips, rng: np.random.Generator) -> list[list[str]]:
    """Write each trip as a list of cells, spelled and quoted as Citi Bike did in 2019."""
    lat, lng = town.lat_lng()
    stations = [
        (str(FIRST_STATION_ID + i), f'"{name}"', repr(float(lat[i])), repr(float(lng[i])))
        for i, name in enumerate(town.names())
    ]
    columns = (
        (trips.duration_ms // 1000).astype(str).tolist(),
        _write_times(trips.started_at),
        _write_times(trips.started_at + trips.duration_ms.astype("timedelta64[ms]")),
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


def _write_times(times: NDArray) -> list[str]:
    """Write times with quotes and four digits after the second, the last one 0."""
    return [f'"{text.replace("T", " ")}0"' for text in np.datetime_as_string(times, unit="ms").tolist()]


def _spoil_rows(lines: list[list[str]], count: int, rng: np.random.Generator) -> None:
    """Add `count` bad rows of each kind, made from good ones."""
    depot = ["3999", f'"{NAME} Depot"', repr(CENTRE_LAT), repr(CENTRE_LNG)]
    nowhere = ["3998", '"Temporary (simulated)"', "0", "0"]
    missing = ["", "", "", ""]

    # Three kinds have a bad end station, one takes 234 days, one ends a day too early.
    picks = rng.choice(len(lines), (5, count)).tolist()
    for kind, rows in enumerate(picks):
        for row in rows:
            cells = list(lines[row])
            if kind < 3:
                cells[7:11] = (depot, nowhere, missing)[kind]
            elif kind == 3:
                cells[0], cells[2] = str(234 * 86_400), _move_later(cells[1], days=234)
            else:
                cells[2] = _move_later(cells[1], days=-1)
            lines.append(cells)


def _move_later(quoted: str, *, days: int) -> str:
    """Move a quoted time by some days."""
    time = np.datetime64(quoted.strip('"')[:-1].replace(" ", "T"), "ms") + np.timedelta64(days, "D")
    return _write_times(np.array([time]))[0]
