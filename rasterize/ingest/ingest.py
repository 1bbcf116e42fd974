"""Trip files → clean trips and stations, batch by batch, for any number of rows."""

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json
from rasterize.ingest.all_parts import AllParts, Batch
from rasterize.ingest.ends import End
from rasterize.ingest.options import IngestOptions
from rasterize.ingest.parts import Part
from rasterize.ingest.read_duckdb import open_engine
from rasterize.ingest.read_table import make_part
from rasterize.ingest.rejects import check_enough, check_stops, count_rejects
from rasterize.ingest.stations import Stops, find_stops, write_stations
from rasterize.ingest.unpack import find_files, find_tables
from rasterize.strokes.frame import Frame
from rasterize.trip_table import COLUMN_TYPES, FIELDS, OF_ENDS, TEXT, WORD_KINDS
from rasterize.workers import run_parts

if TYPE_CHECKING:
    import pandas as pd

# Sizes are not swept; docs/benchmarks/ingest.md has the speed and the memory they lead to.
GROUP_ROWS = 250_000  # in a row group of trips.parquet: a group is held in memory while it is written
BATCH_ROWS = 65_536  # at a time from DuckDB when it sorts
MEMORY = "100MB"  # what DuckDB holds before it writes to the temporary folder
# `box_margin` in `read_trips`: what was clean once stays so, however few trips are left at its edge. Not swept.
WIDE_MARGIN = 1.0
_NUMBER = pa.int32()
# Columns that trips.parquet does not take from files: names stand in stations.parquet, the split is drawn anew.
_NOT_IN_TRIPS = {"start_station_name", "end_station_name", "split", "confidence"}


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What `ingest_files` found.

    Attributes
    ----------
    frame
        The frame around all stops.
    resolution_reason
        Why the frame has so many pixels; empty where that was asked for.
    n_trips
        How many trips are left.
    rejects
        What became of every row, as in rejects.json.
    source
        The look of the first file, for `rasterize.formats.source_format.format_trips`.
    """

    frame: Frame
    resolution_reason: str
    n_trips: int
    rejects: dict[str, Any]
    source: dict[str, Any]


def ingest_files(
    paths: Sequence[str | Path],
    run: Path,
    *,
    options: IngestOptions | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Ingested:
    """Read and clean trip files; write `trips.parquet`, `stations.parquet` and `rejects.json` to the run folder.

    While it works, the run folder has `parts`, a file for each table that was read. When the work is interrupted they
    stay, and are not made again.

    Parameters
    ----------
    paths
        Files, globs and folders.
    run
        The run folder; made when it is not there.
    options
        How files are read, cleaned and placed; None for the defaults.
    workers, scheduler
        Where the tables are read, see `rasterize.workers.run_parts`; the result is the same.

    Returns
    -------
    The frame, the rejects, and the look of the first file.

    Raises
    ------
    InputError
        A file that cannot be read, or too little left to work with.
    """
    options = options or IngestOptions()
    is_new = not run.exists()
    try:
        parts = _make_parts(paths, run / "parts", options, workers=workers, scheduler=scheduler)
        ingested = _write_run(parts, run, options)
    except InputError:
        # A refused file leaves an older run as it was, and a new one not at all.
        shutil.rmtree(run if is_new else run / "parts", ignore_errors=True)
        raise
    shutil.rmtree(run / "parts")
    return ingested


def read_trips(paths: Sequence[str | Path], *, options: IngestOptions | None = None) -> "pd.DataFrame":
    """Read trips of any files into a table, without frame, cells and the rule against one-off stops.

    Our own files (dialect "internal") are taken as they are but for rows that are no trips at all. Others are cleaned,
    with an area so wide that only gross errors lie outside.

    Parameters
    ----------
    paths
        Files, globs and folders.
    options
        How files are read and cleaned; None for the defaults.

    Returns
    -------
    DataFrame of all trips in order of time, with internal names and station names. Ends in the open have no station id.

    Raises
    ------
    InputError
        A file that cannot be read, or no trips left.
    """
    options = options or IngestOptions()
    rules = replace(options.clean, box_margin=max(WIDE_MARGIN, options.clean.box_margin))
    with tempfile.TemporaryDirectory(prefix="pgan-trips-") as folder, open_engine(MEMORY) as (connection, _):
        all_parts = AllParts(_make_parts(paths, Path(folder), options), rules)
        if any(part.dialect != "internal" for part in all_parts.parts):
            _screen(connection, all_parts)
        fields = _list_fields(all_parts.parts, leave_out=set())
        batches = (_take_as_is(batch, all_parts, fields) for batch in all_parts.batches())
        trips = _sort_by_time(connection, batches, pa.schema([(name, COLUMN_TYPES[name]) for name in fields])).df()
        if trips.empty:
            check_enough(count_rejects(all_parts), least=1)
        return trips


def _make_parts(
    paths: Sequence[str | Path],
    folder: Path,
    options: IngestOptions,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
) -> list[Part]:
    """Return the parts of all tables, in their order."""
    # Workers of a scheduler may stand in another folder.
    if scheduler is not None:
        paths, folder = [Path(path).absolute() for path in paths], folder.absolute()
        options = replace(options, stations=options.stations and options.stations.absolute())
    # A table is the unit of work; its part depends on nothing but the table and the options.
    tables = [table for file in find_files(paths) for table in find_tables(file)]
    make = partial(make_part, folder=folder, options=options)
    return run_parts(make, tables, workers=workers, scheduler=scheduler)


def _screen(connection: duckdb.DuckDBPyConnection, all_parts: AllParts) -> None:
    """Apply the rules over all parts; refuse parts in which no row is a trip."""
    if all_parts.box is None:
        check_enough(count_rejects(all_parts), least=1)
    all_parts.screen(connection)


def _write_run(parts: list[Part], run: Path, options: IngestOptions) -> Ingested:
    """Do all that needs the rows of all parts: their rules, the stops, and the files of the run folder."""
    with open_engine(MEMORY) as (connection, _):
        # Rows that are no trips are out; then ends become stops.
        all_parts = AllParts(parts, options.clean)
        _screen(connection, all_parts)
        check_enough(count_rejects(all_parts))
        stops = find_stops(connection, all_parts, options.stops)

        # Trips between stops are written, in order of time, and counted while they go by.
        kept = _Kept(all_parts, stops)
        with write_atomically(run / "trips.parquet") as temporary:
            batches = kept.batches()
            if not all_parts.in_order:
                batches = _sort_by_time(connection, batches, kept.schema).to_arrow_reader(BATCH_ROWS)
            _write_trips(temporary, batches, kept, options)
            rejects = count_rejects(all_parts, kept.counts)
            check_enough(rejects)
            check_stops(rejects, kept.starts + kept.ends)
    write_stations(run / "stations.parquet", stops, kept.starts, kept.ends)
    write_json(run / "rejects.json", rejects)
    return Ingested(
        frame=stops.frame,
        resolution_reason=stops.reason,
        n_trips=rejects["kept"],
        rejects=rejects,
        source={**parts[0].source, "speed_limit_kmh": all_parts.speed_limit_kmh},
    )


class _Kept:
    """The trips between stops, so without one-offs; counted while they go by."""

    def __init__(self, all_parts: AllParts, stops: Stops) -> None:
        self.fields = _list_fields(all_parts.parts)
        self.schema = pa.schema([(name, _NUMBER if name in WORD_KINDS else COLUMN_TYPES[name]) for name in self.fields])
        self.counts = [0] * len(all_parts.parts)
        self.starts, self.ends = (np.zeros(len(stops.table), np.int64) for _ in range(2))  # by stop
        self._all_parts, self._stops = all_parts, stops
        self._at = [np.append(stops.table[axis].to_numpy(), np.nan) for axis in ("lat", "lng")]
        words = all_parts.words | {"station_id": stops.table["id"]}
        self._words = {name: pa.array(words[kind], TEXT) for name, kind in WORD_KINDS.items()}

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield trips in the order of the files, their words as numbers, see `with_words`.

        Ends have the ids of their stops, and docked ones their coordinates too.
        """
        for batch in self._all_parts.batches():
            sides = {"start": batch.start, "end": batch.end}
            stops = {side: self._stops.find(end) for side, end in sides.items()}
            keep = (batch.reasons == 0) & np.logical_and(*(sides[side].spread(stops[side] >= 0) for side in sides))

            # Columns of the trips themselves, then those of their ends; count the uses of stops on the way.
            trips = _take_columns(batch, self.fields, keep)
            for (side, end), uses in zip(sides.items(), (self.starts, self.ends), strict=True):
                counts = end.count(keep)
                has_stop = stops[side] >= 0
                uses += np.bincount(stops[side][has_stop], counts[has_stop], len(uses)).astype(np.int64)
                trips |= self._make_end_columns(side, end, stops[side], keep)
            self.counts[batch.part] += int(keep.sum())
            yield pa.record_batch([trips[name] for name in self.fields], schema=self.schema)

    def _make_end_columns(self, side: str, end: End, stops: NDArray, keep: NDArray) -> dict[str, pa.Array]:
        """Return the columns of one side's ends that follow from their stops."""
        # An end in the open keeps its own coordinates.
        of_row = end.of_row[keep]
        lat, lng = (
            np.where(end.station < 0, own, of_stop[stops]).take(of_row)
            for own, of_stop in zip((end.lat, end.lng), self._at, strict=True)
        )
        station = stops.astype(np.int32).take(of_row)
        return {f"{side}_station_id": pa.array(station), f"{side}_lat": pa.array(lat), f"{side}_lng": pa.array(lng)}

    def with_words(self, trips: pa.RecordBatch) -> list[pa.Array]:
        """Return the columns of a batch, numbers of words replaced by the words."""
        return [
            _make_words(column.to_numpy(), self._words[name]) if name in WORD_KINDS else column
            for name, column in zip(self.fields, trips.columns, strict=True)
        ]


def _list_fields(parts: Sequence[Part], leave_out: set[str] = frozenset(_NOT_IN_TRIPS)) -> list[str]:
    """Return the internal columns that at least one part has."""
    return [name for name in FIELDS if name not in leave_out and any(name in part.fields for part in parts)]


def _take_columns(batch: Batch, fields: Sequence[str], keep: NDArray) -> dict[str, pa.Array]:
    """Return columns of some rows but those of the ends, words as numbers; what the part does not have is missing."""
    columns = {}
    for name in fields:
        if name in OF_ENDS:
            continue
        if name not in batch.rows.schema.names:
            missing = np.full(np.count_nonzero(keep), -1, np.int32)
            columns[name] = pa.array(missing) if name in WORD_KINDS else pa.nulls(len(missing), COLUMN_TYPES[name])
        elif name in WORD_KINDS:
            columns[name] = pa.array(batch.column(name)[keep])
        else:
            columns[name] = batch.rows[name].filter(pa.array(keep))
    return columns


def _make_words(numbers: NDArray, words: pa.Array) -> pa.DictionaryArray:
    """Return numbers of words, int32 [N], as the words; -1 is missing."""
    missing = numbers < 0
    return pa.DictionaryArray.from_arrays(pa.array(numbers, mask=missing if missing.any() else None), words)


def _take_as_is(batch: Batch, all_parts: AllParts, fields: Sequence[str]) -> pa.RecordBatch:
    """Return the trips of a batch, ends as the file has them."""
    keep = batch.reasons == 0
    trips = _take_columns(batch, fields, keep)
    for side, end in (("start", batch.start), ("end", batch.end)):
        of_row = end.of_row[keep]
        for what, values in zip(("station_id", "station_name", "lat", "lng"), end[1:], strict=True):
            trips[f"{side}_{what}"] = pa.array(values.take(of_row))
    for name in fields:
        if name in WORD_KINDS:
            trips[name] = _make_words(trips[name].to_numpy(), pa.array(all_parts.words[WORD_KINDS[name]], TEXT))
    return pa.record_batch([trips[name] for name in fields], schema=pa.schema([(n, COLUMN_TYPES[n]) for n in fields]))


def _sort_by_time(
    connection: duckdb.DuckDBPyConnection, batches: Iterable[pa.RecordBatch], schema: pa.Schema
) -> duckdb.DuckDBPyRelation:
    """Return all rows in order of `started_at`; those of one time stay in their order."""

    # DuckDB sorts on disk where memory ends. The running number makes it keep the order of equal times.
    def number_rows() -> Iterator[pa.RecordBatch]:
        count = 0
        for batch in batches:
            yield batch.append_column("seq", pa.array(np.arange(count, count + len(batch))))
            count += len(batch)

    reader = pa.RecordBatchReader.from_batches(schema.append(pa.field("seq", pa.int64())), number_rows())
    connection.register("unordered", reader)
    return connection.sql("SELECT * EXCLUDE (seq) FROM unordered ORDER BY started_at, seq")


def _write_trips(path: Path, batches: Iterable[pa.RecordBatch], kept: _Kept, options: IngestOptions) -> None:
    """Write trips with their words and a random `split`, in row groups of one size."""
    # A draws first, what is left is shared by B and C. Draws depend on the order of trips alone.
    rng = np.random.default_rng(options.seed)
    splits, cuts = pa.array(["A", "B", "C"]), [options.train_share, (1 + options.train_share) / 2]
    schema = pa.schema([(name, COLUMN_TYPES[name]) for name in (*kept.fields, "split")])
    with pq.ParquetWriter(path, schema, **_make_parquet_options(schema.names)) as writer:
        for trips in _cut_row_groups(batches, GROUP_ROWS):
            chance = rng.random(len(trips))
            split = (chance >= cuts[0]).astype(np.int32) + (chance >= cuts[1])
            columns = [*kept.with_words(trips), _make_words(split, splits)]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=GROUP_ROWS)


def _make_parquet_options(names: Sequence[str]) -> dict[str, Any]:
    """Return options that make a file small and cheap to write.

    Values that come again are written by number, times by their difference to the one before.
    """
    times = ("started_at", "ended_at")
    return {
        "use_dictionary": [name for name in names if name not in (*times, "trip_id", "waypoints")],
        "column_encoding": dict.fromkeys(times, "DELTA_BINARY_PACKED"),
        "compression": "snappy",
        "write_statistics": ["started_at"],
        # Arrow's own schema would make readers take words for categories.
        "store_schema": False,
    }


def _cut_row_groups(batches: Iterable[pa.RecordBatch], size: int) -> Iterator[pa.Table]:
    """Yield the same rows, `size` at a time, each column in one piece."""
    held: list[pa.RecordBatch] = []
    for batch in batches:
        held.append(batch)
        while (count := sum(map(len, held))) >= size:
            rest = held.pop()
            cut = len(rest) - (count - size)
            yield pa.Table.from_batches([*held, rest.slice(0, cut)]).combine_chunks()
            held = [rest.slice(cut)]
    if any(map(len, held)):
        yield pa.Table.from_batches(held).combine_chunks()
