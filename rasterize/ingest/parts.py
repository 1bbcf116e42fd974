"""A part: the rows of one table, typed and each judged by itself, in a file of its own; what every later step reads."""

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

    The batches have internal columns the table fills, those of `WORD_KINDS` as numbers of `words`, -1 where missing;
    `start` and `end` instead of those of the ends, see `End`; and `reason`, uint8: 0, or why the row is no trip (see
    `clean.REASONS`) as far as the row itself tells.
    """

    path: Path
    name: str
    dialect: str
    vehicle: str
    fields: tuple[str, ...]  # internal columns that trips of the table have
    source: dict[str, Any]
    lost: dict[str, int]  # lines that were no rows, by reason
    words: dict[str, list[str]]  # by kind
    bins: dict[str, Histogram]  # of lat and lng, of both ends of the rows without a reason

    def batches(self) -> Iterator[pa.RecordBatch]:
        """The rows, in the order of the table."""
        with pa.OSFile(str(self.path), "rb") as file, pa.ipc.open_stream(file) as stream:
            yield from stream


def find_part(path: Path) -> Part | None:
    """The part at `path` (of the batches), if it is there and whole."""
    beside = path.with_suffix(".json")
    if not (beside.exists() and path.exists()):
        return None
    told = loads(beside.read_text(encoding="utf-8"))
    bins = {axis: tuple(np.array(values, np.int64) for values in pair) for axis, pair in told.pop("bins").items()}
    return Part(path=path, bins=bins, fields=tuple(told.pop("fields")), **told)


def write_part(path: Path, reading: Reading, options: CleanOptions) -> Part:
    """Judge the rows of a table and write them as a part.

    Raises
    ------
    InputError
        No rows with coordinates; latitude and longitude swapped.
    """
    tally = _Tally(reading.layout)
    with write_atomically(path) as temporary:
        _write_batches(temporary, reading, tally, options)
        tally.check(where=reading.name)
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
    _write_beside(part)
    return part


def _write_beside(part: Part) -> None:
    told = {key: value for key, value in vars(part).items() if key != "path"}
    told["bins"] = {axis: [values.tolist() for values in pair] for axis, pair in part.bins.items()}
    write_json(part.path.with_suffix(".json"), told)


def _write_batches(path: Path, reading: Reading, tally: "_Tally", options: CleanOptions) -> None:
    """Write all rows as a stream of batches; an empty table is refused."""
    writer = None
    with pa.OSFile(str(path), "wb") as file:
        for rows in reading.batches:
            ends = fold_ends(rows)
            rows = screen_rows(rows, ends, step_s=reading.layout.dialect.step_s, options=options)
            tally.add(ends, rows["reason"])
            batch = _as_batch(rows, ends)
            writer = writer or pa.ipc.new_stream(file, batch.schema)
            writer.write_batch(batch)
        if writer is None:
            raise InputError(f"{reading.name}: a header but no rows; take the publisher's file again")
        writer.close()


def screen_rows(rows: Rows, ends: Sequence[End], *, step_s: int, options: CleanOptions) -> Rows:
    """Rows with `ended_at` and `duration_s` settled, and with `reason`, uint8 [N]."""
    started = rows["started_at"]
    ended = rows.get("ended_at", np.full(len(started), clean.NO_TIME))
    told = rows.get("reported_duration_s", np.full(len(started), np.nan))
    with np.errstate(invalid="ignore", over="ignore"):
        ended, duration, contradiction = clean.settle_times(started, ended, told, step_s=step_s)
        reason = clean.row_reasons(
            started,
            duration,
            contradiction,
            no_place=_either(ends, lambda end: ~np.isfinite(end.lat + end.lng)),
            at_zero=_either(ends, lambda end: (end.lat == 0) | (end.lng == 0)),
            options=options,
        )
    if "blank" in rows:
        reason[rows["blank"]] = clean.REASONS.index(clean.BLANK_LINE) + 1
    return {**rows, "ended_at": ended, "duration_s": duration, "reason": reason}


def _either(ends: Sequence[End], rule: Callable[[End], NDArray]) -> NDArray:
    """Rows of which the start or the end keeps the rule, bool [N]."""
    start, end = (end.spread(rule(end)) for end in ends)
    return start | end


def _as_batch(rows: Rows, ends: Sequence[End]) -> pa.RecordBatch:
    """Internal columns in their order and Arrow types, the ends, and the reason."""
    own = [name for name in FIELDS if name in rows and name not in OF_ENDS]
    columns = {name: _as_arrow(rows[name], COLUMN_TYPES[name]) for name in own}
    start, end = (end.to_arrow() for end in ends)
    return pa.record_batch({**columns, "start": start, "end": end, "reason": pa.array(rows["reason"])})


def _as_arrow(values: NDArray | pa.Array, type_: pa.DataType) -> pa.Array:
    """A column for the part; NaN and NaT stay, none is left in a clean trip."""
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
        self.there = dict.fromkeys(COORDINATES, 0)
        self.example: list[float] = []
        self._bins: dict[str, list[Histogram]] = {"lat": [], "lng": []}

    def add(self, ends: tuple[End, End], reason: NDArray) -> None:
        """Count one batch."""
        self.rows += len(reason)
        good = [end.count(reason == 0) for end in ends]
        for axis, histograms in self._bins.items():
            degrees = np.concatenate([getattr(end, axis) for end in ends])
            histograms.append(clean.count_bins(degrees, np.concatenate(good)))
        for side, end in zip(("start", "end"), ends, strict=True):
            all_rows = end.count(slice(None))
            for axis, degrees in (("lat", end.lat), ("lng", end.lng)):
                self.there[f"{side}_{axis}"] += int(all_rows[np.isfinite(degrees)].sum())
            if side == "start":
                self._look_for_swapped(end, all_rows)

    def _look_for_swapped(self, start: End, rows: NDArray) -> None:
        wrong = (start.lat < -60) | (start.lat > 75)  # nobody shares bikes there
        if self.layout.dialect.north_west:
            wrong |= (start.lat < 0) & (start.lng > 0)
        self.swapped += int(rows[wrong].sum())
        known = np.flatnonzero(np.isfinite(start.lat + start.lng) & (rows > 0))
        if len(known) and not self.example:
            self.example = [float(degrees[known[0]]) for degrees in (start.lat, start.lng)]

    def histograms(self) -> dict[str, Histogram]:
        """All bins of latitudes and longitudes."""
        return {axis: clean.add_histograms(histograms) for axis, histograms in self._bins.items()}

    def check(self, *, where: str) -> None:
        """Refuse a table of which no row has coordinates, and one whose latitude and longitude are swapped."""
        for name, count in self.there.items():
            if not count:
                raise InputError(f"{where}: {self._missing(name)}")
        if 2 * self.swapped > self.there["start_lat"]:
            lat, lng = self.example
            raise InputError(
                f"{where}: latitude and longitude are swapped; {self._header_of('start_lat')} holds {lat}, "
                f"{self._header_of('start_lng')} {lng}; swap the names in the header"
            )

    def _missing(self, name: str) -> str:
        if self.layout.positions(name):
            return (
                f"column {self._header_of(name)} is empty in all {self.rows} rows; trips without coordinates cannot be "
                "drawn; take a version of the file that has them, or give the places of its stations with --stations "
                "FILE"
            )
        return (
            f"none of its {self.rows} rows has a station that the file of stations knows, so {name} is missing; use "
            "ids of the same kind in both"
        )

    def _header_of(self, name: str) -> str:
        positions = self.layout.positions(name)
        return f"'{self.layout.header[positions[0]]}'" if positions else name
