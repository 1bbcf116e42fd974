"""The dialects: which publisher calls which column what."""

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
    """A publisher's columns and habits.

    Attributes
    ----------
    name
        What `--dialect` calls it.
    columns
        All columns that are known; a file may lack those that are not required.
    required
        Headers, as `normalise` gives them, without which the file cannot be read.
    zone
        Time zone of the wall clock, for times that count from 1970.
    step_s
        Times are rounded to so many seconds; durations are not.
    vehicle
        "bike", "scooter" or "taxi": how fast a trip can be.
    north_west
        Whether all its cities lie north of the equator and west of Greenwich.
    """

    name: str
    columns: tuple[Column, ...]
    required: frozenset[str]
    zone: str | None = None
    step_s: int = 1
    vehicle: str = "bike"
    north_west: bool = True


def normalise(header: str) -> str:
    """Return a header's letters and digits in lower case.

    So `Start Station ID`, `start_station_id` and `startstationid` are one header.
    """
    return re.sub(r"[^0-9a-z]", "", header.lower())


def _split_keys(text: str) -> frozenset[str]:
    """Return the words of a text as a set of headers."""
    return frozenset(text.split())


def make_columns(table: Mapping[str, tuple[str | None, Rule]]) -> tuple[Column, ...]:
    """Return the columns of a table from header to internal column and rule."""
    return tuple(Column(key, name, rule) for key, (name, rule) in table.items())


def _both_ends(pattern: str, name: str, rule: Rule) -> dict[str, tuple[str, Rule]]:
    """Return the same column for both ends of a trip.

    `{}` stands for "start" or "end", in the header and in the internal name.
    """
    return {pattern.format(end): (name.format(end), rule) for end in ("start", "end")}


# Publishers that keep the date and the time of day in columns of their own.
_DATE_AND_TIME: dict[str, tuple[str, Rule]] = {
    "startdate": ("started_at", Time(half="date")),
    "starttime": ("started_at", Time(half="time")),
    "enddate": ("ended_at", Time(half="date")),
    "endtime": ("ended_at", Time(half="time")),
}
# New York and Jersey City from 2013 to January 2021; the spelling of headers changed in between.
_CITIBIKE_2013 = Dialect(
    name="citibike-2013",
    columns=make_columns(
        {
            "tripduration": ("duration_s", Duration()),
            "starttime": ("started_at", Time()),
            "stoptime": ("ended_at", Time()),
            **_both_ends("{}stationid", "{}_station_id", Station()),
            **_both_ends("{}stationname", "{}_station_name", Station()),
            **_both_ends("{}stationlatitude", "{}_lat", Degrees()),
            **_both_ends("{}stationlongitude", "{}_lng", Degrees()),
            "bikeid": ("bike_id", MadeUp("count", spread=1000)),
            "usertype": ("user_type", Rule()),
            "birthyear": ("birth_year", Year()),
            "gender": ("gender", Gender()),
        }
    ),
    required=_split_keys(
        "starttime stoptime startstationid startstationlatitude startstationlongitude "
        "endstationid endstationlatitude endstationlongitude"
    ),
)
# Citi Bike since February 2021; Chicago's Divvy and other Lyft systems use the same columns.
_CITIBIKE_2021 = Dialect(
    name="citibike-2021",
    columns=make_columns(
        {
            "rideid": ("trip_id", MadeUp("hex")),
            "rideabletype": ("rideable_type", Rule()),
            "startedat": ("started_at", Time()),
            "endedat": ("ended_at", Time()),
            **_both_ends("{}stationname", "{}_station_name", Station()),
            **_both_ends("{}stationid", "{}_station_id", Station()),
            **_both_ends("{}lat", "{}_lat", Degrees()),
            **_both_ends("{}lng", "{}_lng", Degrees()),
            "membercasual": ("user_type", Rule()),
        }
    ),
    required=_split_keys(
        "rideid startedat endedat startstationid endstationid startlat startlng endlat endlng membercasual"
    ),
)
# Portland. Hubs have a name but no id, and none is named where a trip ends in the open.
_BIKETOWN = Dialect(
    name="biketown",
    columns=make_columns(
        {
            "routeid": ("trip_id", MadeUp("count")),
            "paymentplan": ("user_type", Rule()),
            **_both_ends("{}hub", "{}_station_name", Station()),
            **_both_ends("{}latitude", "{}_lat", Degrees()),
            **_both_ends("{}longitude", "{}_lng", Degrees()),
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
    required=_split_keys(
        "starthub startlatitude startlongitude startdate starttime endhub endlatitude endlongitude enddate endtime"
    ),
)
# Louisville's dockless scooters: no stations, times cut to a quarter of an hour, coordinates to three decimals.
_LOUISVILLE = Dialect(
    name="louisville",
    columns=make_columns(
        {
            "tripid": ("trip_id", MadeUp("uuid")),
            **_DATE_AND_TIME,
            "tripduration": ("duration_s", Duration(60.0)),
            "tripdistance": (None, Derived("miles")),
            **_both_ends("{}latitude", "{}_lat", Degrees()),
            **_both_ends("{}longitude", "{}_lng", Degrees()),
            "dayofweek": (None, Derived("day_of_week")),
            "hournum": (None, Derived("hour")),
        }
    ),
    required=_split_keys(
        "startdate starttime enddate endtime tripduration startlatitude startlongitude endlatitude endlongitude "
        "dayofweek hournum"
    ),
    step_s=900,
)
# Chicago's scooter pilot of 2019: times cut to the hour, coordinates are centroids of areas.
_CHICAGO = Dialect(
    name="chicago-scooters",
    columns=make_columns(
        {
            "tripid": ("trip_id", MadeUp("uuid")),
            "starttime": ("started_at", Time()),
            "endtime": ("ended_at", Time()),
            "tripdistance": (None, Derived("metres")),
            "tripduration": ("duration_s", Duration()),
            "accuracy": (None, Ignored("0")),
            **_both_ends("{}centroidlatitude", "{}_lat", Degrees()),
            **_both_ends("{}centroidlongitude", "{}_lng", Degrees()),
            "startcentroidlocation": (None, Derived("point_start")),
            "endcentroidlocation": (None, Derived("point_end")),
        }
    ),
    required=_split_keys(
        "starttime endtime tripduration startcentroidlatitude startcentroidlongitude endcentroidlatitude "
        "endcentroidlongitude"
    ),
    step_s=3600,
)
# Porto's taxis (ECML/PKDD challenge of 2015): a fix every 15 seconds, and no end but that of the polyline.
_PORTO = Dialect(
    name="porto",
    columns=make_columns(
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
# San Francisco's cabs of 2008. Files have no header: `rasterize.ingest.cabspotting` turns them into these columns.
_CABSPOTTING = Dialect(
    name="cabspotting",
    columns=make_columns(
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
# Every internal name with its rule: for our own files, and for columns that the user names.
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
# What `--column` takes: the internal names, and other ways to give a time or a duration.
MAPPED_COLUMNS: dict[str, tuple[str, Rule]] = {
    **{name: (name, rule) for name, rule in _OWN_RULES.items()},
    "started_date": ("started_at", Time(half="date")),
    "started_time": ("started_at", Time(half="time")),
    "ended_date": ("ended_at", Time(half="date")),
    "ended_time": ("ended_at", Time(half="time")),
    "duration_min": ("duration_s", Duration(60.0)),
    "duration_clock": ("duration_s", Duration(clock=True)),
    "waypoints": ("waypoints", Polyline()),
}
# Our own trips.parquet, and any table with its names of columns.
_INTERNAL = Dialect(
    name="internal",
    columns=make_columns(
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
    for dialect in (_CITIBIKE_2013, _CITIBIKE_2021, _BIKETOWN, _LOUISVILLE, _CHICAGO, _PORTO, _CABSPOTTING, _INTERNAL)
}
