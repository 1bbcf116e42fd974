"""The quick way to read a CSV: Arrow turns clean text straight into typed columns; odd text goes the careful way."""

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
from numpy.typing import NDArray

from rasterize.formats.column_rules import MadeUp
from rasterize.formats.csv_text import split_header
from rasterize.formats.dialects import Column
from rasterize.formats.recognise import Layout, recognise, sniff_column
from rasterize.formats.source_format import NULLS, describe_csv, note_reading
from rasterize.formats.times import TimeFormat
from rasterize.ingest.cabspotting import is_cab_header
from rasterize.ingest.reading import SAMPLE_ROWS, Reading, Rows, Words
from rasterize.ingest.unpack import CHUNK_BYTES, SAMPLE_BYTES, SAMPLE_LINES, Packed, Unpacked, cut_header, open_text
from rasterize.trip_table import TEXT, WORD_KINDS, WORDS

if TYPE_CHECKING:
    from rasterize.ingest.options import IngestOptions

BLOCK_BYTES = 1 << 20  # of text at a time: stays in the cache
GROUP_BLOCKS = 8  # that become one batch: so many rows that Python's own time does not matter
LOOK_BYTES = 1 << 17  # at which quotes are looked at a time: stays in the cache
_ARROW_TYPES = {"word": WORDS, "text": TEXT, "number": pa.float64(), "time": pa.timestamp("us")}
_QUOTE, _LINE_END, _RETURN = b'"\n\r'


class NotPlain(Exception):
    """The text is not such that Arrow would read it as `rasterize.ingest.read_duckdb` does; so that one has to."""


@contextmanager
def read_with_arrow(packed: Packed, options: "IngestOptions") -> Iterator[Reading]:
    """The typed rows of a text table.

    Raises
    ------
    Unclean
        At once, or while the batches are read: the rows so far must be thrown away.
    InputError
        No known dialect; times that cannot be used; a damaged file.
    """
    if packed.is_parquet or options.stations is not None:
        raise NotPlain
    with open_text(packed) as stream:
        header, crlf, rest = cut_header(stream.read(CHUNK_BYTES))
        if not rest or is_cab_header(header):
            raise NotPlain
        names, delimiter = split_header(header)
        layout = recognise(names, where=packed.name, columns=options.columns, dialect=options.dialect)
        times = _times(rest, layout, delimiter, where=packed.name, zone=options.time_zone)
        lines = rest[:SAMPLE_BYTES].decode(errors="replace").splitlines()[:SAMPLE_LINES]
        source = describe_csv(layout, header, lines, crlf=crlf) | note_reading(packed.name, times, options.columns)
        text = _Watched(rest, stream, delimiter, crlf=crlf)
        words = {kind: Words() for kind in WORD_KINDS.values()}
        batches = _typed_batches(text, layout, delimiter, words)
        yield Reading(name=packed.name, layout=layout, source=source, words=words, batches=batches)


def _times(text: bytes, layout: Layout, delimiter: str, *, where: str, zone: str | None) -> dict[str, TimeFormat]:
    """The formats of times in a text's first lines, where they are the kind that Arrow reads alike."""
    whole = text[: text.rfind(b"\n") + 1] or text
    lines = whole.decode(errors="replace").splitlines()[:SAMPLE_ROWS]
    rows = list(csv.reader(lines, delimiter=delimiter))
    if any(len(row) != len(layout.header) for row in rows):
        raise NotPlain
    times = {}
    for name in ("started_at", "ended_at"):
        if positions := layout.positions(name):
            for row in rows:
                row[positions[0]] = None if row[positions[0]] in NULLS else row[positions[0]]
            times[name] = sniff_column(layout, name, rows, where=where, zone=zone)
    if not all(format_.is_plain for format_ in times.values()):
        raise NotPlain
    return times


class _Watched:
    """Text on its way to Arrow, watched for what it takes without a word.

    Where a cell goes on behind its closing quote, Arrow reads on. That happened nowhere if half of all quotes stand
    right before a border of cells: a quote that opens a cell stands there only if the cell begins with a delimiter, and
    any other quote is left in the text of a cell; `_Column` looks for both. And a carriage return may end a line by
    itself, which it does for nobody else.
    """

    closed = False

    def __init__(self, first: bytes, rest: Unpacked, delimiter: str, *, crlf: bool) -> None:
        self._first, self._rest, self._delimiter, self._crlf = first, rest, ord(delimiter), crlf
        self._last = _LINE_END  # the byte before
        self._quotes = self._closing = 0
        self._returns = 0  # that stand alone

    def read(self, size: int) -> bytes:
        """The next bytes, as a file gives them."""
        chunk, self._first = (self._first, b"") if self._first else (self._rest.read(size), b"")
        self._returns += not self._crlf and b"\r" in chunk
        text = np.frombuffer(chunk, np.uint8)
        for begin in range(0, len(text), LOOK_BYTES):
            self._look(text[begin : begin + LOOK_BYTES])
        return chunk

    def _look(self, text: NDArray) -> None:
        """Count quotes, and those right before a border, in uint8 [N]; and carriage returns that stand alone."""
        borders = (self._delimiter, _LINE_END, _RETURN)
        quotes = text == _QUOTE
        count = np.count_nonzero(quotes)
        if count or self._last == _QUOTE:
            self._quotes += count
            closing = np.count_nonzero(quotes[:-1] & (text[1:] == self._delimiter))
            if 2 * closing < count - 1:  # also at ends of lines
                closing = np.count_nonzero(quotes[:-1] & np.isin(text[1:], borders))
            self._closing += closing + (self._last == _QUOTE and text[0] in borders)
        if self._crlf:
            returns = text == _RETURN
            self._returns += np.count_nonzero(returns) - np.count_nonzero(returns[:-1] & (text[1:] == _LINE_END))
            self._returns -= self._last == _RETURN and text[0] == _LINE_END
        self._last = text[-1]

    def check(self) -> None:
        """Raise `NotPlain` if the text that was read is not sound."""
        closing = self._closing + (self._last == _QUOTE)
        if self._returns or closing != self._quotes / 2:
            raise NotPlain


def _typed_batches(text: _Watched, layout: Layout, delimiter: str, words: Mapping[str, Words]) -> Iterator[Rows]:
    """Rows with internal names, see `Reading.batches`; `NotPlain` at the latest after the last one."""
    columns = [_Column(column, layout, delimiter, words) for column in layout.columns]
    if not all(column.straight for column in columns):
        raise NotPlain
    try:
        blocks = iter(_open_csv(text, columns, delimiter))
        while group := list(islice(blocks, GROUP_BLOCKS)):
            table = pa.Table.from_batches(group).unify_dictionaries().combine_chunks()
            for batch in table.to_batches():
                yield _typed(batch, columns)
    except pa.ArrowInvalid as error:
        raise NotPlain from error
    text.check()


def _open_csv(text: _Watched, columns: Sequence["_Column"], delimiter: str) -> pyarrow.csv.CSVStreamingReader:
    """A reader of all columns: what is wrong with a row may show in one that we do not keep."""
    types = {f"c{position}": _ARROW_TYPES[column.straight] for position, column in enumerate(columns)}
    return pyarrow.csv.open_csv(
        pa.PythonFile(text, "r"),
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, column_names=list(types)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, null_values=list(NULLS), strings_can_be_null=True
        ),
    )


def _typed(batch: pa.RecordBatch, columns: Sequence["_Column"]) -> Rows:
    """One batch with internal names; a row of which every cell is missing is not for us to judge."""
    if all(values.null_count for values in batch.columns):
        there = np.zeros(len(batch), bool)
        for values in batch.columns:
            there |= values.is_valid().to_numpy(zero_copy_only=False)
        if not there.all():
            raise NotPlain
    rows = {}
    for values, column in zip(batch.columns, columns, strict=True):
        rows |= column.read(values)
    return rows


class _Column:
    """A column that is read straight by its rule, batch by batch."""

    def __init__(self, column: Column | None, layout: Layout, delimiter: str, words: Mapping[str, Words]) -> None:
        self.rule = column.rule if column and column.field else MadeUp()
        self.straight = self.rule.straight
        self._fields = [column.field] if column and column.field else []
        if self._fields and not layout.positions(self._fields[0].replace("_name", "_id")):
            self._fields.append(self._fields[0].replace("_name", "_id"))  # of hubs that have only a name
        self._words, self._delimiter = words, delimiter

    def read(self, values: pa.Array) -> Rows:
        """The columns that follow from it, see `Reading.batches`; none if we do not keep it."""
        if self.straight == "word":
            return {field: self._words[WORD_KINDS[field]].number(values, self._read_word) for field in self._fields}
        if self.straight == "text":
            read = self._read_texts(values)
        else:
            numbers = values.to_numpy(zero_copy_only=False)
            read = self.rule.read_numbers(numbers) if self.straight == "number" else numbers.view(np.int64)
        return {"reported_duration_s" if field == "duration_s" else field: read for field in self._fields}

    def _read_word(self, word: str) -> str | None:
        if '"' in word or "\n" in word or word.startswith(self._delimiter):
            raise NotPlain  # Arrow may have read it otherwise than it is meant, see `_Watched`
        return self.rule.read_word(word)

    def _read_texts(self, values: pa.StringArray) -> pa.StringArray:
        looks = (pc.match_substring(values, '"'), pc.match_substring(values, "\n"))
        if any(pc.any(look).as_py() for look in (*looks, pc.starts_with(values, self._delimiter))):
            raise NotPlain
        trimmed = pc.utf8_trim(values, " ")
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed)
