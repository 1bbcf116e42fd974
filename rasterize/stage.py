"""Staging: every row of a file into DuckDB with internal names and types, and the first reason against it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rasterize import cabs, clean
from rasterize.clean import CleanOptions
from rasterize.dialects import COORDINATES, FIELDS, Layout, recognise
from rasterize.errors import InputError
from rasterize.rules import FIX_STEP_S
from rasterize.source import NULLS, describe_csv, describe_parquet
from rasterize.times import TimeFormat, sniff_times
from rasterize.unpack import Table, find_delimiter, split_line, unquote

if TYPE_CHECKING:
    import duckdb

    from rasterize.read import IngestOptions

SAMPLE_ROWS = 2000  # rows that decide on formats
_ALWAYS = {"trip_id", "started_at", "ended_at", "duration_s", *COORDINATES}
_ALWAYS |= {f"{end}_station_{what}" for end in ("start", "end") for what in ("id", "name")}


@dataclass(frozen=True, kw_only=True)
class Staged:
    """One file as it was staged."""

    name: str
    layout: Layout
    source: dict[str, Any]  # its look, see `rasterize.source`
    lost: dict[str, int]  # lines that were no rows, by reason

    def fills(self, name: str) -> bool:
        """Whether trips of this file have the internal column."""
        return name in _ALWAYS or bool(self.layout.places(name))


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """A table of trips as DuckDB sees it: `sql` has the columns c0, c1, … for `header`, of the given kinds."""

    sql: str
    header: tuple[str, ...]
    types: tuple[str, ...]

    def kind(self, place: int) -> str:
        """What the rules need to know of the type of a column."""
        type_name = self.types[place]
        if type_name == "VARCHAR":
            return "text"
        if type_name.startswith("TIMESTAMP") or type_name == "DATE":
            return "timestamp"
        if type_name in ("DOUBLE", "FLOAT") or type_name.startswith("DECIMAL"):
            return "float"
        return "integer" if type_name.endswith("INT") or type_name == "INTEGER" else "other"


def create_table(connection: "duckdb.DuckDBPyConnection") -> None:
    """The empty table `staged`; its rowid is the order of the rows in the files."""
    columns = ", ".join(f"{name} {kind}" for name, kind in FIELDS.items())
    connection.execute(f"CREATE TABLE staged (file INTEGER, {columns}, reason VARCHAR)")


def stage_table(
    connection: "duckdb.DuckDBPyConnection", table: Table, *, number: int, options: "IngestOptions"
) -> Staged:
    """Add the rows of a table to `staged` as file `number`.

    With `options.stations`, DuckDB's table `station_file` gives coordinates the trips lack.

    Raises
    ------
    InputError
        No rows; no known dialect; times or coordinates that cannot be used.
    """
    dialect, with_stations = options.dialect, options.stations is not None
    if cabs.is_cab_file(table):
        table, dialect = cabs.trips_of_cab(table), "cabspotting"
    scan = _scan_parquet(connection, table) if table.parquet else _scan_text(table)
    layout = recognise(
        scan.header, where=table.name, columns=options.columns, dialect=dialect, coordinates_apart=with_stations
    )
    sample = _sample(connection, scan)
    if not sample:
        raise InputError(f"{table.name}: a header but no rows; take the publisher's file again")
    formats = _time_formats(connection, scan, layout, sample, where=table.name, zone=options.time_zone)
    source = _look(table, scan, layout, sample) | {"file": table.name, "mapping": dict(options.columns)}
    source["times"] = {name: format_.to_json() for name, format_ in formats.items()}
    before = _count_rows(connection)
    connection.execute(
        _insert_sql(scan, layout, formats, number=number, cleaning=options.clean, with_stations=with_stations)
    )
    read = _count_rows(connection) - before
    _check_coordinates(connection, layout, number, where=table.name)
    unread = 0 if table.parquet else table.lines - read
    lost = {clean.UNREADABLE_LINE: table.unreadable + unread, clean.BLANK_LINE: table.blank}
    return Staged(name=table.name, layout=layout, source=source, lost=lost)


def _count_rows(connection: "duckdb.DuckDBPyConnection") -> int:
    return connection.execute("SELECT count(*) FROM staged").fetchone()[0]


def _scan_text(table: Table) -> _Scan:
    delimiter = find_delimiter(table.header)
    header = tuple(unquote(cell.strip()).strip() for cell in split_line(table.header, delimiter))
    columns = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(header)))
    sql = (
        f"read_csv({_text(str(table.path))}, auto_detect = false, header = false, delim = {_text(delimiter)}, "
        f"quote = '\"', escape = '\"', columns = {{{columns}}}, ignore_errors = true, nullstr = {list(NULLS)!r})"
    )
    return _Scan(sql=sql.replace("\\\\N", "\\N"), header=header, types=("VARCHAR",) * len(header))


def _scan_parquet(connection: "duckdb.DuckDBPyConnection", table: Table) -> _Scan:
    import duckdb

    sql = f"read_parquet({_text(str(table.path))})"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"{table.name}: no Parquet file ({str(error).splitlines()[0]}); download it again") from None
    columns = ", ".join(f"{_name(row[0])} AS c{place}" for place, row in enumerate(described))
    return _Scan(
        sql=f"(SELECT {columns} FROM {sql})",
        header=tuple(row[0] for row in described),
        types=tuple(row[1] for row in described),
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _name(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


def _sample(connection: "duckdb.DuckDBPyConnection", scan: _Scan) -> list[tuple[str | None, ...]]:
    """The first rows, as text."""
    columns = ", ".join(f"CAST(c{place} AS VARCHAR)" for place in range(len(scan.header)))
    return connection.execute(f"SELECT {columns} FROM {scan.sql} LIMIT {SAMPLE_ROWS}").fetchall()


def _look(table: Table, scan: _Scan, layout: Layout, sample: list[tuple[str | None, ...]]) -> dict[str, Any]:
    if not table.parquet:
        return describe_csv(layout, table.header, table.sample, crlf=table.crlf)
    values = {name: [row[i] or "" for row in sample] for i, name in enumerate(scan.header)}
    return describe_parquet(layout, dict(zip(scan.header, scan.types, strict=True)), values)


# ---- times: one format per file and column


def _time_formats(
    connection: "duckdb.DuckDBPyConnection",
    scan: _Scan,
    layout: Layout,
    sample: list[tuple[str | None, ...]],
    *,
    where: str,
    zone: str | None,
) -> dict[str, TimeFormat]:
    """The formats of started_at and ended_at."""
    formats = {}
    for name in ("started_at", "ended_at"):
        places = layout.places(name)
        if not places:
            continue
        named = f"{where}: column {' and '.join(repr(layout.header[place]) for place in places)}"
        if scan.kind(places[0]) == "timestamp":
            offset = "Z" if scan.types[places[0]].endswith("TIME ZONE") else ""
            formats[name] = TimeFormat(order="native", offset=offset, zone=zone)
            continue
        values = [" ".join(filter(None, (row[place] for place in places))) for row in sample]
        values = [value for value in values if value.strip()]
        if not values:
            raise InputError(f"{named}: empty in the first {len(sample)} rows; trips need their times")
        zoned = zone or layout.dialect.zone
        formats[name] = sniff_times(values, where=named, zone=zoned)
        if formats[name].order in ("mdy", "dmy"):
            values += _telling_dates(connection, scan, _joined(places), formats[name].separator)
            formats[name] = sniff_times(values, where=named, zone=zoned)
    return formats


def _joined(places: Sequence[int]) -> str:
    """SQL of a date and a time from their own columns, or of the one column of both."""
    return " || ' ' || ".join(f"c{place}" for place in places)


def _telling_dates(connection: "duckdb.DuckDBPyConnection", scan: _Scan, expression: str, separator: str) -> list[str]:
    """Dates from anywhere in the file with a number over 12, which shows what is the day."""
    found: list[str] = []
    for part in (1, 2):
        number = f"TRY_CAST(split_part({expression}, {_text(separator)}, {part}) AS INTEGER)"
        query = f"SELECT {expression} FROM {scan.sql} WHERE {number} BETWEEN 13 AND 31 LIMIT 10"
        found += [value for (value,) in connection.execute(query).fetchall()]
    return found


# ---- the rows


def _insert_sql(
    scan: _Scan,
    layout: Layout,
    formats: Mapping[str, TimeFormat],
    *,
    number: int,
    cleaning: CleanOptions,
    with_stations: bool,
) -> str:
    """SQL that reads, types and judges all rows: publisher's columns → internal ones → settled times → reason."""
    values = _field_expressions(scan, layout, formats)
    blank = f"coalesce({', '.join(f'CAST(c{i} AS VARCHAR)' for i in range(len(scan.header)))}) IS NULL"
    typed = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    settled = clean.settle_times_sql(layout.dialect.step_s)
    completed = ", ".join(_completed(name, with_stations) for name in FIELDS if name != "duration_s")
    kept = [name for name in FIELDS if name not in ("ended_at", "duration_s")]
    judged = ", ".join(f"{sql} AS {name}" for name, sql in settled.items())
    raw = f"SELECT {blank} AS blank, {typed} FROM {scan.sql}"
    whole = f"SELECT blank, told_s, {completed} FROM ({raw}) AS typed {_station_joins(with_stations)}"
    timed = f"SELECT blank, {', '.join(kept)}, {judged} FROM ({whole})"
    return f"INSERT INTO staged SELECT {number}, {', '.join(FIELDS)}, {clean.row_reason_sql(cleaning)} FROM ({timed})"


def _field_expressions(scan: _Scan, layout: Layout, formats: Mapping[str, TimeFormat]) -> dict[str, str]:
    """SQL of each internal column in terms of c0, c1, …; `told_s` is the publisher's own duration."""
    values = {name: f"CAST(NULL AS {kind})" for name, kind in FIELDS.items()}
    for name in values:
        places = layout.places(name)
        if name in formats:
            values[name] = formats[name].read(_joined(places))
        elif places:
            values[name] = layout.columns[places[0]].rule.read(f"c{places[0]}", scan.kind(places[0]))
    values["told_s"] = values.pop("duration_s")
    if layout.places("waypoints") and not layout.places("duration_s") and "ended_at" not in formats:
        values["told_s"] = f"(len({values['waypoints']}) / 2 - 1) * {FIX_STEP_S}"
    for end in ("start", "end"):  # hubs that have only a name
        if not layout.places(f"{end}_station_id"):
            values[f"{end}_station_id"] = values[f"{end}_station_name"]
    return values


def _completed(name: str, with_stations: bool) -> str:
    """SQL of an internal column, with coordinates from waypoints or the file of stations where it has none."""
    end, _, what = name.partition("_")
    choices = [f"typed.{name}"]
    if with_stations and (what in ("lat", "lng", "station_name")):
        choices.append(f"{end}_file.{what.removeprefix('station_')}")
    if what in ("lat", "lng"):
        places = {"start_lat": "1", "start_lng": "2", "end_lat": "-2", "end_lng": "-1"}
        choices.append(f"typed.waypoints[{places[name]}]")
    return f"coalesce({', '.join(choices)}) AS {name}"


def _station_joins(with_stations: bool) -> str:
    if not with_stations:
        return ""
    return " ".join(
        f"LEFT JOIN station_file AS {end}_file ON {end}_file.key = typed.{end}_station_id" for end in ("start", "end")
    )


def _check_coordinates(connection: "duckdb.DuckDBPyConnection", layout: Layout, number: int, *, where: str) -> None:
    """Refuse a file of which no row has coordinates, and one whose columns of latitude and longitude are swapped."""
    counts = ", ".join(f"count({name})" for name in COORDINATES)
    wrong = "start_lat NOT BETWEEN -60 AND 75"  # nobody shares bikes there
    if layout.dialect.north_west:
        wrong += " OR (start_lat < 0 AND start_lng > 0)"
    *there, n, swapped, lat, lng = connection.execute(
        f"SELECT {counts}, count(*), count(*) FILTER ({wrong}), any_value(start_lat), any_value(start_lng) "
        f"FROM staged WHERE file = {number}"
    ).fetchone()
    for name, count in zip(COORDINATES, there, strict=True):
        if n and not count:
            raise InputError(f"{where}: {_missing_coordinates(layout, name, n)}")
    if 2 * swapped > there[0]:
        raise InputError(
            f"{where}: latitude and longitude are swapped; {_header_of(layout, 'start_lat')} holds {lat}, "
            f"{_header_of(layout, 'start_lng')} {lng}; swap the names in the header"
        )


def _missing_coordinates(layout: Layout, name: str, n: int) -> str:
    if layout.places(name):
        return (
            f"column {_header_of(layout, name)} is empty in all {n} rows; trips without coordinates cannot be drawn; "
            "take a version of the file that has them, or give the places of its stations with --stations FILE"
        )
    return (
        f"none of its {n} rows has a station that the file of stations knows, so {name} is missing; use ids of the "
        "same kind in both"
    )


def _header_of(layout: Layout, name: str) -> str:
    places = layout.places(name)
    return f"'{layout.header[places[0]]}'" if places else name
