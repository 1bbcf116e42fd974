"""The dialects: which publisher calls which column what, and how a file's header gives its dialect away."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

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
from rasterize.trip_table import COORDINATES


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
