"""The dialects: which publisher calls which column what, and how a file's header gives its dialect away."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rasterize.errors import InputError
from rasterize.formats.column_rules import (
    Degrees,
    Derived,
    Duration,
    FlatList,
    Gender,
    Ignored,
    MadeUp,
    Number,
    Polyline,
    Rule,
    Station,
    Time,
    Year,
)

# Internal columns in the order of trips.parquet, with their SQL types; names of stations stay in stations.parquet.
FIELDS = {
    "trip_id": "VARCHAR",
    "started_at": "TIMESTAMP",
    "ended_at": "TIMESTAMP",
    "duration_s": "DOUBLE",
    "start_station_id": "VARCHAR",
    "start_station_name": "VARCHAR",
    "end_station_id": "VARCHAR",
    "end_station_name": "VARCHAR",
    "start_lat": "DOUBLE",
    "start_lng": "DOUBLE",
    "end_lat": "DOUBLE",
    "end_lng": "DOUBLE",
    "user_type": "VARCHAR",
    "gender": "VARCHAR",
    "birth_year": "SMALLINT",
    "rideable_type": "VARCHAR",
    "bike_id": "VARCHAR",
    "waypoints": "DOUBLE[]",
    "split": "VARCHAR",
    "confidence": "DOUBLE",
}
COORDINATES = ("start_lat", "start_lng", "end_lat", "end_lng")


@dataclass(frozen=True)
class Column:
    """One column of a dialect: its header (see `normalise`), the internal column it fills, and the rule between."""

    key: str
    field: str | None = None
    rule: Rule = Ignored()


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A publisher's columns, and what only the publisher's habits tell."""

    name: str
    columns: tuple[Column, ...]
    required: frozenset[str]  # headers without which the file cannot be read
    zone: str | None = None  # of times that count from 1970
    step_s: int = 1  # times are rounded to this; durations are not
    vehicle: str = "bike"  # or "taxi": how fast a trip can be
    north_west: bool = True  # all its cities lie north of the equator and west of Greenwich


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A dialect laid over the header of one file: `columns[i]` explains `header[i]`, None where nothing does."""

    dialect: Dialect
    header: tuple[str, ...]
    columns: tuple[Column | None, ...]

    def places(self, name: str) -> list[int]:
        """Where in the header the internal column `name` stands; two places for a date and a time apart."""
        return [i for i, column in enumerate(self.columns) if column is not None and column.field == name]

    def fields(self) -> list[str]:
        """The internal columns this file fills."""
        return [name for name in FIELDS if self.places(name)]


def normalise(header: str) -> str:
    """`Start Station ID`, `start_station_id` and `startstationid` are one header: letters and digits, lower case."""
    return re.sub(r"[^0-9a-z]", "", header.lower())


def _keys(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _columns(table: Mapping[str, tuple[str | None, Rule]]) -> tuple[Column, ...]:
    return tuple(Column(key, name, rule) for key, (name, rule) in table.items())


def _ends(pattern: str, name: str, rule: Rule) -> dict[str, tuple[str, Rule]]:
    """The same column for both ends of a trip: `{}` is start or end in the header and in the internal name."""
    return {pattern.format(end): (name.format(end), rule) for end in ("start", "end")}


_DATE_AND_TIME: dict[str, tuple[str, Rule]] = {
    "startdate": ("started_at", Time(half="date")),
    "starttime": ("started_at", Time(half="time")),
    "enddate": ("ended_at", Time(half="date")),
    "endtime": ("ended_at", Time(half="time")),
}
_CITIBIKE_2013 = Dialect(
    name="citibike-2013",
    columns=_columns(
        {
            "tripduration": ("duration_s", Duration()),
            "starttime": ("started_at", Time()),
            "stoptime": ("ended_at", Time()),
            **_ends("{}stationid", "{}_station_id", Station()),
            **_ends("{}stationname", "{}_station_name", Station()),
            **_ends("{}stationlatitude", "{}_lat", Degrees()),
            **_ends("{}stationlongitude", "{}_lng", Degrees()),
            "bikeid": ("bike_id", MadeUp("count", spread=1000)),
            "usertype": ("user_type", Rule()),
            "birthyear": ("birth_year", Year()),
            "gender": ("gender", Gender()),
        }
    ),
    required=_keys(
        "starttime stoptime startstationid startstationlatitude startstationlongitude "
        "endstationid endstationlatitude endstationlongitude"
    ),
)
_CITIBIKE_2021 = Dialect(
    name="citibike-2021",
    columns=_columns(
        {
            "rideid": ("trip_id", MadeUp("hex")),
            "rideabletype": ("rideable_type", Rule()),
            "startedat": ("started_at", Time()),
            "endedat": ("ended_at", Time()),
            **_ends("{}stationname", "{}_station_name", Station()),
            **_ends("{}stationid", "{}_station_id", Station()),
            **_ends("{}lat", "{}_lat", Degrees()),
            **_ends("{}lng", "{}_lng", Degrees()),
            "membercasual": ("user_type", Rule()),
        }
    ),
    required=_keys("rideid startedat endedat startstationid endstationid startlat startlng endlat endlng membercasual"),
)
_BIKETOWN = Dialect(
    name="biketown",
    columns=_columns(
        {
            "routeid": ("trip_id", MadeUp("count")),
            "paymentplan": ("user_type", Rule()),
            **_ends("{}hub", "{}_station_name", Station()),
            **_ends("{}latitude", "{}_lat", Degrees()),
            **_ends("{}longitude", "{}_lng", Degrees()),
            **_DATE_AND_TIME,
            "triptype": (None, Ignored()),
            "bikeid": ("bike_id", MadeUp("count", spread=1000)),
            "bikename": (None, Ignored()),
            "distancemiles": (None, Derived("miles")),
            "duration": ("duration_s", Duration(clock=True)),
            "rentalaccesspath": (None, Ignored("unknown")),
            "multiplerental": (None, Ignored("FALSE")),
        }
    ),
    required=_keys(
        "starthub startlatitude startlongitude startdate starttime endhub endlatitude endlongitude enddate endtime"
    ),
)
_LOUISVILLE = Dialect(
    name="louisville",
    columns=_columns(
        {
            "tripid": ("trip_id", MadeUp("uuid")),
            **_DATE_AND_TIME,
            "tripduration": ("duration_s", Duration(60.0)),
            "tripdistance": (None, Derived("miles")),
            **_ends("{}latitude", "{}_lat", Degrees()),
            **_ends("{}longitude", "{}_lng", Degrees()),
            "dayofweek": (None, Derived("day_of_week")),
            "hournum": (None, Derived("hour")),
        }
    ),
    required=_keys(
        "startdate starttime enddate endtime tripduration startlatitude startlongitude endlatitude endlongitude "
        "dayofweek hournum"
    ),
    step_s=900,
)
_CHICAGO = Dialect(
    name="chicago-scooters",
    columns=_columns(
        {
            "tripid": ("trip_id", MadeUp("uuid")),
            "starttime": ("started_at", Time()),
            "endtime": ("ended_at", Time()),
            "tripdistance": (None, Derived("metres")),
            "tripduration": ("duration_s", Duration()),
            "accuracy": (None, Ignored("0")),
            **_ends("{}centroidlatitude", "{}_lat", Degrees()),
            **_ends("{}centroidlongitude", "{}_lng", Degrees()),
            "startcentroidlocation": (None, Derived("point_start")),
            "endcentroidlocation": (None, Derived("point_end")),
        }
    ),
    required=_keys(
        "starttime endtime tripduration startcentroidlatitude startcentroidlongitude endcentroidlatitude "
        "endcentroidlongitude"
    ),
    step_s=3600,
)
_PORTO = Dialect(
    name="porto",
    columns=_columns(
        {
            "tripid": ("trip_id", MadeUp("count")),
            "calltype": ("user_type", Rule()),
            "taxiid": ("bike_id", MadeUp("count", spread=450)),
            "timestamp": ("started_at", Time()),
            "daytype": (None, Ignored("A")),
            "missingdata": (None, Ignored("False")),
            "polyline": ("waypoints", Polyline()),
        }
    ),
    required=frozenset({"timestamp", "polyline"}),
    zone="Europe/Lisbon",
    vehicle="taxi",
)
CABSPOTTING = Dialect(  # its files have no header: `rasterize.ingest.cabspotting` turns them into these columns
    name="cabspotting",
    columns=_columns(
        {
            "started": ("started_at", Time()),
            "ended": ("ended_at", Time()),
            "fixes": ("waypoints", FlatList()),
        }
    ),
    required=frozenset({"started", "ended", "fixes"}),
    zone="America/Los_Angeles",
    vehicle="taxi",
)
# What `--column` takes, and the columns of our own files: every internal name, and a date and a time apart.
_OWN_RULES: dict[str, Rule] = {
    "trip_id": MadeUp("count"),
    "started_at": Time(),
    "ended_at": Time(),
    "duration_s": Duration(),
    **dict.fromkeys(("start_station_id", "start_station_name", "end_station_id", "end_station_name"), Station()),
    **dict.fromkeys(COORDINATES, Degrees()),
    "user_type": Rule(),
    "gender": Gender(),
    "birth_year": Year(),
    "rideable_type": Rule(),
    "bike_id": MadeUp("count", spread=1000),
}
_MAPPED: dict[str, tuple[str, Rule]] = {
    **{name: (name, rule) for name, rule in _OWN_RULES.items()},
    "started_date": ("started_at", Time(half="date")),
    "started_time": ("started_at", Time(half="time")),
    "ended_date": ("ended_at", Time(half="date")),
    "ended_time": ("ended_at", Time(half="time")),
    "duration_min": ("duration_s", Duration(60.0)),
    "duration_clock": ("duration_s", Duration(clock=True)),
    "waypoints": ("waypoints", Polyline()),
}
_INTERNAL = Dialect(
    name="internal",
    columns=_columns(
        {normalise(name): (name, rule) for name, rule in _OWN_RULES.items()}
        | {
            "waypoints": ("waypoints", FlatList()),
            "split": ("split", Rule()),
            "confidence": ("confidence", Number()),
        }
    ),
    required=frozenset({"startedat", "endedat", "durations", *map(normalise, COORDINATES)}),
    north_west=False,
)
DIALECTS = {
    dialect.name: dialect
    for dialect in (_CITIBIKE_2013, _CITIBIKE_2021, _BIKETOWN, _LOUISVILLE, _CHICAGO, _PORTO, CABSPOTTING, _INTERNAL)
}


def recognise(
    header: Sequence[str],
    *,
    where: str,
    columns: Mapping[str, str] | None = None,
    dialect: str | None = None,
    coordinates_apart: bool = False,
) -> Layout:
    """The layout of a file from its header.

    Parameters
    ----------
    header
        Names of the columns as in the file.
    where
        The file, for errors.
    columns
        A column map, internal name → header; takes the place of a dialect.
    dialect
        Name of a dialect, where the header should not decide.
    coordinates_apart
        Coordinates come from a file of stations; the trips need not have them.

    Raises
    ------
    InputError
        No dialect fits; a column is missing; the map or the dialect names something that is not there.
    """
    if columns:
        chosen = _mapped_dialect(header, columns, where, coordinates_apart)
    elif dialect is not None:
        chosen = _named_dialect(dialect)
    else:
        chosen = _likeliest_dialect(header, where)
    apart = {column.key for column in chosen.columns if coordinates_apart and column.field in COORDINATES}
    missing = chosen.required - apart - set(map(normalise, header))
    if missing:
        raise InputError(
            f"{where}: no column {_listed(sorted(missing))} (dialect '{chosen.name}'). {_file_has(header)} "
            f'{_known_dialects()}; for any other file name its columns, such as --column started_at="Start date"'
        )
    return _lay_over(chosen, header)


def _lay_over(dialect: Dialect, header: Sequence[str]) -> Layout:
    """Each header with its column; of two equal headers the first one counts."""
    by_key = {column.key: column for column in dialect.columns}
    return Layout(
        dialect=dialect,
        header=tuple(header),
        columns=tuple(by_key.pop(normalise(name), None) for name in header),
    )


def _named_dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise InputError(f"dialect '{name}': not known; known are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def _likeliest_dialect(header: Sequence[str], where: str) -> Dialect:
    """Of the dialects whose required columns are all there the one with most columns; else the nearest one."""
    keys = set(map(normalise, header))

    def likeness(dialect: Dialect) -> tuple[float, int]:
        there = len(dialect.required & keys) / len(dialect.required)
        return there, len(keys & {column.key for column in dialect.columns})

    best = max(DIALECTS.values(), key=likeness)
    if likeness(best)[0] < 0.5:
        raise InputError(
            f"{where}: the header is of no known dialect. {_file_has(header)} {_known_dialects()}; for any other file "
            'name its columns, such as --column started_at="Start date"'
        )
    return best


def _mapped_dialect(header: Sequence[str], columns: Mapping[str, str], where: str, coordinates_apart: bool) -> Dialect:
    """A dialect made from a column map; internal names the header itself has need no mapping."""
    unknown = [name for name in columns if name not in _MAPPED]
    if unknown:
        raise InputError(f"--column {unknown[0]}=…: no such internal column; there are {', '.join(_MAPPED)}")
    absent = [name for name in columns.values() if normalise(name) not in map(normalise, header)]
    if absent:
        raise InputError(f"{where}: no column {_listed(absent)} as --column says. {_file_has(header)}")
    taken = {normalise(name) for name in columns.values()}
    own = {name: name for name in header if name in _MAPPED and name not in columns and normalise(name) not in taken}
    table = {normalise(there): _MAPPED[name] for name, there in (own | dict(columns)).items()}
    filled = {name for name, _ in table.values()}
    needed = {"started_at"} if "waypoints" in filled or coordinates_apart else {"started_at", *COORDINATES}
    lacking = sorted(needed - filled) + ([] if filled & {"ended_at", "duration_s", "waypoints"} else ["ended_at"])
    if lacking:
        raise InputError(
            f"{where}: the column map lacks {_listed(lacking)}; add --column {lacking[0]}=… {_file_has(header)}"
        )
    return Dialect(name="columns", columns=_columns(table), required=frozenset(), north_west=False)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _file_has(header: Sequence[str]) -> str:
    return f"The file has: {_listed(header)}."


def _known_dialects() -> str:
    return f"Known dialects: {', '.join(DIALECTS)}"
