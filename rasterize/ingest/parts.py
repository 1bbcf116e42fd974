"""A part: the rows of one table, typed and each screened by itself, in a file that every later step reads."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from json import loads
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json
from rasterize.formats.recognise import Layout
from rasterize.ingest import clean
from rasterize.ingest.clean import Histogram
from rasterize.ingest.ends import End, fold_ends
from rasterize.ingest.options import CleanOptions
from rasterize.ingest.reading import Reading, Rows
from rasterize.trip_table import ALWAYS, COLUMN_TYPES, COORDINATES, FIELDS, OF_ENDS


@dataclass(frozen=True, kw_only=True)
class Part:
    """A finished part: a stream of Arrow batches in `path`, the rest of this in a JSON file beside it.

    The batches have the internal columns that the table fills. Those of `WORD_KINDS` are numbers of `words`, -1 where
    missing. Columns of the ends are replaced by `start` and `end`, see `End`. `reason`, uint8, is 0 for a trip, else
    what the row itself shows against it, see `clean.REASONS`.

    Attributes
    ----------
    path
        The stream of batches.
    name
        The user's file, and the member of a zip.
    dialect, vehicle
        See `rasterize.formats.dialects.Dialect`.
    fields
        Internal columns that trips of the table have.
    source
        The look of the table, see `rasterize.formats.source_format`.
    lost
        Lines that were no rows, by reason.
    words
        Texts of each kind, in the order of their numbers.
    bins
        Histograms of `lat` and `lng`, of both ends of the rows without a reason.
    """

    path: Path
    name: str
    dialect: str
    vehicle: str
    fields: tuple[str, ...]
    source: dict[str, Any]
    lost: dict[str, int]
    words: dict[str, list[str]]
    bins: dict[str, Histogram]

    def batches(self) -> Iterator[pa.RecordBatch]:
        """Yield the rows, in the order of the table."""
        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as stream:
            yield from stream


def find_part(path: Path) -> Part | None:
    """Return the part whose batches are at `path`, if it is there and whole."""
    beside = path.with_suffix(".json")
    if not (beside.exists() and path.exists()):
        return None
    record = loads(beside.read_text(encoding="utf-8"))
    bins = {axis: tuple(np.array(values, np.int64) for values in pair) for axis, pair in record.pop("bins").items()}
    return Part(path=path, bins=bins, fields=tuple(record.pop("fields")), **record)


def write_part(path: Path, reading: Reading, options: CleanOptions) -> Part:
    """Screen the rows of a table and write them as a part.

    Parameters
    ----------
    path
        Where the batches go; a JSON file beside them makes the part whole.
    reading
        The table, of which no batch was read yet.
    options
        How rows are screened.

    Returns
    -------
    The part, on disk.

    Raises
    ------
    InputError
        No rows with coordinates; latitude and longitude swapped.
    """
    tally = _Tally(reading.layout)
    with write_atomically(path) as temporary:
        _write_batches(temporary, reading, tally, options)
        tally.check(where=reading.name)
    # Rows are known to be missing only where the reader counted lines.
    unread = 0 if reading.lines is None else reading.lines - tally.rows
    dialect = reading.layout.dialect
    part = Part(
        path=path,
        name=reading.name,
        dialect=dialect.name,
        vehicle=dialect.vehicle,
        fields=tuple(name for name in FIELDS if name in ALWAYS or reading.layout.positions(name)),
        source=dict(reading.source),
        lost={clean.UNREADABLE_LINE: reading.unreadable + unread, clean.BLANK_LINE: reading.blank},
        words={kind: list(words.texts) for kind, words in reading.words.items()},
        bins=tally.histograms(),
    )
    _write_record(part)
    return part


def _write_record(part: Part) -> None:
    """Write all but the batches to a JSON file beside them, which makes the part whole."""
    record = {key: value for key, value in vars(part).items() if key != "path"}
    record["bins"] = {axis: [values.tolist() for values in pair] for axis, pair in part.bins.items()}
    write_json(part.path.with_suffix(".json"), record)


def _write_batches(path: Path, reading: Reading, tally: "_Tally", options: CleanOptions) -> None:
    """Write all rows as a stream of batches; refuse an empty table."""
    writer = None
    with pa.OSFile(str(path), "wb") as file:
        for rows in reading.batches:
            ends = fold_ends(rows)
            rows = _screen_rows(rows, ends, step_s=reading.layout.dialect.step_s, options=options)
            tally.add(ends, rows["reason"])
            batch = _make_batch(rows, ends)
            # The first batch shows which columns the table has.
            writer = writer or pa.ipc.new_stream(file, batch.schema)
            writer.write_batch(batch)
        if writer is None:
            raise InputError(f"{reading.name}: a header but no rows; take the publisher's file again")
        writer.close()


def _screen_rows(rows: Rows, ends: Sequence[End], *, step_s: int, options: CleanOptions) -> Rows:
    """Settle `ended_at` and `duration_s` of rows, and add `reason`, uint8 [N]."""
    started = rows["started_at"]
    ended = rows.get("ended_at", np.full(len(started), clean.NO_TIME))
    reported = rows.get("reported_duration_s", np.full(len(started), np.nan))
    with np.errstate(invalid="ignore", over="ignore"):
        ended, duration, contradiction = clean.settle_times(started, ended, reported, step_s=step_s)
        reason = clean.screen_by_row(
            started,
            duration,
            contradiction,
            missing_end=_find_rows(ends, lambda end: ~np.isfinite(end.lat + end.lng)),
            at_zero=_find_rows(ends, lambda end: (end.lat == 0) | (end.lng == 0)),
            options=options,
        )
    if "blank" in rows:
        reason[rows["blank"]] = clean.REASONS.index(clean.BLANK_LINE) + 1
    return {**rows, "ended_at": ended, "duration_s": duration, "reason": reason}


def _find_rows(ends: Sequence[End], rule: Callable[[End], NDArray]) -> NDArray:
    """Return which rows have a start or an end that the rule holds for, bool [N]."""
    start, end = (end.spread(rule(end)) for end in ends)
    return start | end


def _make_batch(rows: Rows, ends: Sequence[End]) -> pa.RecordBatch:
    """Put the columns in their order and Arrow types, then the ends and the reason."""
    own = [name for name in FIELDS if name in rows and name not in OF_ENDS]
    columns = {name: _convert_column(rows[name], COLUMN_TYPES[name]) for name in own}
    start, end = (end.to_arrow() for end in ends)
    return pa.record_batch({**columns, "start": start, "end": end, "reason": pa.array(rows["reason"])})


def _convert_column(values: NDArray | pa.Array, type_: pa.DataType) -> pa.Array:
    """Return a column for the part; NaN and NaT stay, since no clean trip has any."""
    if isinstance(values, pa.Array):
        return values
    if pa.types.is_timestamp(type_):
        return pa.Array.from_buffers(type_, len(values), [None, pa.py_buffer(values)])
    if pa.types.is_integer(type_):
        missing = np.isnan(values)
        return pa.array(np.where(missing, 0, values).astype(np.int16), mask=missing)
    return pa.array(values)


class _Tally:
    """What is counted while the rows of a table go by."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.rows = self.swapped = 0
        self.present = dict.fromkeys(COORDINATES, 0)  # rows that have each
        self.example: list[float] = []  # latitude and longitude of the first start
        self._bins: dict[str, list[Histogram]] = {"lat": [], "lng": []}

    def add(self, ends: tuple[End, End], reason: NDArray) -> None:
        """Count one batch."""
        self.rows += len(reason)
        # Histograms of the trips, for the area; then which coordinates are there at all, in any row.
        good = [end.count(reason == 0) for end in ends]
        for axis, histograms in self._bins.items():
            degrees = np.concatenate([getattr(end, axis) for end in ends])
            histograms.append(clean.count_bins(degrees, np.concatenate(good)))
        for side, end in zip(("start", "end"), ends, strict=True):
            all_rows = end.count(slice(None))
            for axis, degrees in (("lat", end.lat), ("lng", end.lng)):
                self.present[f"{side}_{axis}"] += int(all_rows[np.isfinite(degrees)].sum())
            if side == "start":
                self._count_swapped(end, all_rows)

    def _count_swapped(self, start: End, rows: NDArray) -> None:
        """Count the rows, int64 [E] of each start, whose start makes sense only the other way round."""
        # Nobody shares bikes south of 60° S or north of 75° N.
        wrong = (start.lat < -60) | (start.lat > 75)
        if self.layout.dialect.north_west:
            wrong |= (start.lat < 0) & (start.lng > 0)
        self.swapped += int(rows[wrong].sum())
        known = np.flatnonzero(np.isfinite(start.lat + start.lng) & (rows > 0))
        if len(known) and not self.example:
            self.example = [float(degrees[known[0]]) for degrees in (start.lat, start.lng)]

    def histograms(self) -> dict[str, Histogram]:
        """Return the histograms of all latitudes and of all longitudes."""
        return {axis: clean.add_histograms(histograms) for axis, histograms in self._bins.items()}

    def check(self, *, where: str) -> None:
        """Raise `InputError` where no row has coordinates, or where latitude and longitude are swapped."""
        for name, count in self.present.items():
            if not count:
                raise InputError(f"{where}: {self._describe_missing(name)}")
        if 2 * self.swapped > self.present["start_lat"]:
            lat, lng = self.example
            raise InputError(
                f"{where}: latitude and longitude are swapped; {self._name_column('start_lat')} holds {lat}, "
                f"{self._name_column('start_lng')} {lng}; swap the names in the header"
            )

    def _describe_missing(self, name: str) -> str:
        """Return what to say of a coordinate that no row has."""
        if self.layout.positions(name):
            return (
                f"column {self._name_column(name)} is empty in all {self.rows} rows; trips without coordinates cannot "
                "be drawn; take a version of the file that has them, or give the coordinates of its stations with "
                "--stations FILE"
            )
        return (
            f"none of its {self.rows} rows has a station that the file of stations knows, so {name} is missing; use "
            "ids of the same kind in both"
        )

    def _name_column(self, name: str) -> str:
        """Return the publisher's name of an internal column, for an error."""
        positions = self.layout.positions(name)
        return f"'{self.layout.header[positions[0]]}'" if positions else name
