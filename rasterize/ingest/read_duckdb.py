"""The reader of any table: DuckDB gives internal names and types, to text only after a check line by line."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.errors import InputError
from rasterize.formats.column_rules import FIX_STEP_S
from rasterize.formats.csv_text import split_header
from rasterize.formats.recognise import Layout, recognise_layout, sniff_column
from rasterize.formats.source_format import NULLS, describe_csv, describe_parquet, note_reading
from rasterize.formats.times import TimeFormat
from rasterize.ingest import cabspotting
from rasterize.ingest.reading import SAMPLE_ROWS, Reading, Rows, Words
from rasterize.ingest.station_file import load_station_file
from rasterize.ingest.unpack import Packed, Table, unpack_table
from rasterize.trip_table import FIELDS, WORD_KINDS

if TYPE_CHECKING:
    from rasterize.ingest.options import IngestOptions

# What DuckDB may hold, of which it takes a share for each file it reads. Not swept; docs/benchmarks/ingest.md has the
# memory of the whole.
READING_MEMORY = "250MB"
THREADS = 2  # of DuckDB: each needs memory of its own
BATCH_ROWS = 65_536  # at a time from DuckDB to Arrow; not swept


@dataclass(frozen=True, kw_only=True)
class _Scan:
    """A table of trips as DuckDB sees it: `sql` has the columns c0, c1, … for `header`, of the given kinds."""

    sql: str
    header: tuple[str, ...]
    types: tuple[str, ...]

    def kind(self, position: int) -> str:
        """Return what rules need to know of the type of a column, see `rasterize.formats.column_rules.Rule.read`."""
        type_name = self.types[position]
        if type_name == "VARCHAR":
            return "text"
        if type_name.startswith("TIMESTAMP") or type_name == "DATE":
            return "timestamp"
        if type_name in ("DOUBLE", "FLOAT") or type_name.startswith("DECIMAL"):
            return "float"
        return "integer" if type_name.endswith("INT") or type_name == "INTEGER" else "other"


@contextmanager
def open_engine(memory: str) -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """Open DuckDB with bounded memory, and a temporary folder for unpacked files.

    What does not fit in memory goes to a folder beside that one. Both are removed at the end.
    """
    with tempfile.TemporaryDirectory(prefix="pgan-trips-") as name:
        folder = Path(name, "unpacked")
        folder.mkdir()
        config = {"memory_limit": memory, "threads": THREADS, "temp_directory": str(Path(name, "spilled"))}
        with closing(duckdb.connect(config=config)) as connection:
            yield connection, folder


@contextmanager
def read_with_duckdb(packed: Packed, options: "IngestOptions") -> Iterator[Reading]:
    """Open any table for reading typed rows; text is checked line by line first.

    With `options.stations`, DuckDB's table `station_file` gives coordinates the trips lack.
    """
    with open_engine(READING_MEMORY) as (connection, folder):
        if options.stations:
            load_station_file(connection, options.stations)
            # DuckDB may swap the two sides of a join, and rows then lose their order.
            connection.execute("SET disabled_optimizers = 'build_side_probe_side'")
        yield _read_table(connection, unpack_table(packed, folder), options)


def _read_table(connection: duckdb.DuckDBPyConnection, table: Table, options: "IngestOptions") -> Reading:
    """Describe a table and prepare the query that reads its rows."""
    # A cab's file becomes a table of trips first.
    dialect, with_stations = options.dialect, options.stations is not None
    if not table.parquet and cabspotting.is_cab_header(table.header):
        table, dialect = cabspotting.convert_cab_table(table), "cabspotting"

    # What the header says, then what the first rows say.
    scan = _scan_parquet(connection, table) if table.parquet else _scan_text(table)
    layout = recognise_layout(
        scan.header, where=table.name, columns=options.columns, dialect=dialect, coordinates_apart=with_stations
    )
    sample = _read_sample(connection, scan)
    if not sample:
        raise InputError(f"{table.name}: a header but no rows; take the publisher's file again")
    formats = _sniff_formats(connection, scan, layout, sample, where=table.name, zone=options.time_zone)

    # Rows are typed when they are asked for.
    words = {kind: Words() for kind in WORD_KINDS.values()}
    return Reading(
        name=table.name,
        layout=layout,
        source=_describe_look(table, scan, layout, sample) | note_reading(table.name, formats, options.columns),
        words=words,
        batches=_read_rows(connection, _write_query(scan, layout, formats, with_stations=with_stations), words),
        lines=None if table.parquet else table.lines,
        blank=table.blank,
        unreadable=table.unreadable,
    )


def _scan_text(table: Table) -> _Scan:
    """Return the scan of a checked text, all of it as text."""
    header, delimiter = split_header(table.header)
    columns = ", ".join(f"'c{position}': 'VARCHAR'" for position in range(len(header)))
    path, delim = _quote_text(str(table.path)), _quote_text(delimiter)
    sql = (
        f"read_csv({path}, auto_detect = false, header = false, delim = {delim}, "
        f"quote = '\"', escape = '\"', columns = {{{columns}}}, ignore_errors = true, nullstr = {list(NULLS)!r})"
    )
    return _Scan(sql=sql.replace("\\\\N", "\\N"), header=header, types=("VARCHAR",) * len(header))


def _scan_parquet(connection: duckdb.DuckDBPyConnection, table: Table) -> _Scan:
    """Return the scan of a Parquet file, with its own types."""
    sql = f"read_parquet({_quote_text(str(table.path))})"
    try:
        described = connection.execute(f"DESCRIBE SELECT * FROM {sql}").fetchall()
    except duckdb.Error as error:
        raise InputError(f"{table.name}: no Parquet file ({str(error).splitlines()[0]}); download it again") from None
    columns = ", ".join(f"{_quote_name(row[0])} AS c{position}" for position, row in enumerate(described))
    return _Scan(
        sql=f"(SELECT {columns} FROM {sql})",
        header=tuple(row[0] for row in described),
        types=tuple(row[1] for row in described),
    )


def _quote_text(value: str) -> str:
    """Return SQL of a text."""
    return "'" + value.replace("'", "''") + "'"


def _quote_name(value: str) -> str:
    """Return SQL of the name of a column."""
    return '"' + value.replace('"', '""') + '"'


def _read_sample(connection: duckdb.DuckDBPyConnection, scan: _Scan) -> list[tuple[str | None, ...]]:
    """Return the first rows, as text."""
    columns = ", ".join(f"CAST(c{position} AS VARCHAR)" for position in range(len(scan.header)))
    return connection.execute(f"SELECT {columns} FROM {scan.sql} LIMIT {SAMPLE_ROWS}").fetchall()


def _describe_look(table: Table, scan: _Scan, layout: Layout, sample: list[tuple[str | None, ...]]) -> dict[str, Any]:
    """Describe the look of the table."""
    if not table.parquet:
        return describe_csv(layout, table.header, table.sample, crlf=table.crlf)
    values = {name: [row[i] or "" for row in sample] for i, name in enumerate(scan.header)}
    return describe_parquet(layout, dict(zip(scan.header, scan.types, strict=True)), values)


# ---- times: one format per file and column


def _sniff_formats(
    connection: duckdb.DuckDBPyConnection,
    scan: _Scan,
    layout: Layout,
    sample: list[tuple[str | None, ...]],
    *,
    where: str,
    zone: str | None,
) -> dict[str, TimeFormat]:
    """Find the formats of started_at and ended_at."""
    formats = {}
    for name in ("started_at", "ended_at"):
        positions = layout.positions(name)
        if not positions:
            continue
        if scan.kind(positions[0]) == "timestamp":
            offset = "Z" if scan.types[positions[0]].endswith("TIME ZONE") else ""
            formats[name] = TimeFormat(order="native", offset=offset, zone=zone)
            continue
        formats[name] = sniff_column(layout, name, sample, where=where, zone=zone)
        # Whether the day or the month comes first may show only further down in the file.
        if formats[name].order in ("mdy", "dmy"):
            more = _find_telling_dates(connection, scan, _join_columns(positions), formats[name].separator)
            formats[name] = sniff_column(layout, name, sample, where=where, zone=zone, more=more)
    return formats


def _join_columns(positions: Sequence[int]) -> str:
    """Return SQL of a date and a time from their own columns, or of the one column of both."""
    return " || ' ' || ".join(f"c{position}" for position in positions)


def _find_telling_dates(
    connection: duckdb.DuckDBPyConnection, scan: _Scan, expression: str, separator: str
) -> list[str]:
    """Find dates anywhere in the file with a number over 12, which shows what is the day."""
    dates: list[str] = []
    for position in (1, 2):
        number = f"TRY_CAST(split_part({expression}, {_quote_text(separator)}, {position}) AS INTEGER)"
        query = f"SELECT {expression} FROM {scan.sql} WHERE {number} BETWEEN 13 AND 31 LIMIT 10"
        dates += [value for (value,) in connection.execute(query).fetchall()]
    return dates


# ---- the rows


def _write_query(scan: _Scan, layout: Layout, formats: Mapping[str, TimeFormat], *, with_stations: bool) -> str:
    """Return SQL that reads and types all rows.

    It gives internal columns, but `reported_duration_s` instead of `duration_s`. `blank` says where all cells miss.
    """
    # First the publisher's cells by their rules, then what follows from other columns.
    values = _write_expressions(scan, layout, formats)
    blank = f"coalesce({', '.join(f'CAST(c{i} AS VARCHAR)' for i in range(len(scan.header)))}) IS NULL"
    typed = ", ".join(f"{sql} AS {name}" for name, sql in values.items())
    raw = f"SELECT {blank} AS blank, {typed} FROM {scan.sql}"
    completed = ", ".join(_complete_column(name, with_stations) for name in FIELDS if name != "duration_s")
    return f"SELECT blank, reported_duration_s, {completed} FROM ({raw}) AS typed {_join_stations(with_stations)}"


def _write_expressions(scan: _Scan, layout: Layout, formats: Mapping[str, TimeFormat]) -> dict[str, str]:
    """Return SQL of each internal column in terms of c0, c1, …"""
    values = {name: f"CAST(NULL AS {kind})" for name, kind in FIELDS.items()}
    for name in values:
        positions = layout.positions(name)
        if name in formats:
            values[name] = formats[name].read(_join_columns(positions))
        elif positions:
            values[name] = layout.columns[positions[0]].rule.read(f"c{positions[0]}", scan.kind(positions[0]))

    # The publisher's own duration; waypoints give one where nothing else does, by their number.
    values["reported_duration_s"] = values.pop("duration_s")
    if layout.positions("waypoints") and not layout.positions("duration_s") and "ended_at" not in formats:
        values["reported_duration_s"] = f"(len({values['waypoints']}) / 2 - 1) * {FIX_STEP_S}"

    # Hubs that have only a name get it as their id too.
    for end in ("start", "end"):
        if not layout.positions(f"{end}_station_id"):
            values[f"{end}_station_id"] = values[f"{end}_station_name"]
    return values


def _complete_column(name: str, with_stations: bool) -> str:
    """Return SQL of an internal column, from waypoints or the file of stations where the trips have none."""
    end, _, what = name.partition("_")
    choices = [f"typed.{name}"]
    if with_stations and (what in ("lat", "lng", "station_name")):
        choices.append(f"{end}_file.{what.removeprefix('station_')}")
    if what in ("lat", "lng"):
        positions = {"start_lat": "1", "start_lng": "2", "end_lat": "-2", "end_lng": "-1"}
        choices.append(f"typed.waypoints[{positions[name]}]")
    return f"coalesce({', '.join(choices)}) AS {name}"


def _join_stations(with_stations: bool) -> str:
    """Return SQL that joins the file of stations to both ends, if there is one."""
    if not with_stations:
        return ""
    return " ".join(
        f"LEFT JOIN station_file AS {end}_file ON {end}_file.key = typed.{end}_station_id" for end in ("start", "end")
    )


def _read_rows(connection: duckdb.DuckDBPyConnection, query: str, words: Mapping[str, Words]) -> Iterator[Rows]:
    """Yield the result of the query as `Reading.batches`."""
    for batch in connection.sql(query).to_arrow_reader(BATCH_ROWS):
        yield {name: _read_column(batch[name], words.get(WORD_KINDS.get(name))) for name in batch.schema.names}


def _read_column(values: pa.Array, words: Words | None) -> NDArray | pa.Array:
    """Return a column as `Reading.batches` has it."""
    if words is not None:
        return words.number(values.dictionary_encode())
    if pa.types.is_timestamp(values.type):
        return values.to_numpy(zero_copy_only=False).view(np.int64)
    if pa.types.is_boolean(values.type):
        return values.to_numpy(zero_copy_only=False)
    if pa.types.is_floating(values.type) or pa.types.is_integer(values.type):
        return values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values
