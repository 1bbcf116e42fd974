"""The fast reader of CSV: Arrow turns plain text straight into typed columns. Other text is left to DuckDB."""

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
from rasterize.formats.recognise import Layout, recognise_layout, sniff_column
from rasterize.formats.source_format import NULLS, describe_csv, note_reading
from rasterize.formats.times import TimeFormat
from rasterize.ingest.cabspotting import is_cab_header
from rasterize.ingest.reading import SAMPLE_ROWS, Reading, Rows, Words
from rasterize.ingest.unpack import CHUNK_BYTES, SAMPLE_BYTES, SAMPLE_LINES, Packed, Unpacked, cut_header, open_text
from rasterize.trip_table import TEXT, WORD_KINDS, WORDS

if TYPE_CHECKING:
    from rasterize.ingest.options import IngestOptions

# Sizes are not swept; docs/benchmarks/ingest.md has the speed and the memory they lead to.
BLOCK_BYTES = 1 << 20  # of text that Arrow parses at a time: few enough to stay in the cache
GROUP_BLOCKS = 8  # that become one batch: so many rows that Python's own time does not matter
LOOK_BYTES = 1 << 17  # of text in which quotes are counted at a time: few enough to stay in the cache
_ARROW_TYPES = {"word": WORDS, "text": TEXT, "number": pa.float64(), "time": pa.timestamp("us")}
_QUOTE, _LINE_END, _RETURN = b'"\n\r'


class NotPlain(Exception):
    """The text is not plain: Arrow would read it otherwise than `rasterize.ingest.read_duckdb`, which has to do it."""


@contextmanager
def read_with_arrow(packed: Packed, options: "IngestOptions") -> Iterator[Reading]:
    """Open a text table for reading typed rows.

    Raises
    ------
    NotPlain
        At once, or while the batches are read: the rows so far must be thrown away.
    InputError
        No known dialect; times that cannot be used; a damaged file.
    """
    if packed.is_parquet or options.stations is not None:
        raise NotPlain
    with open_text(packed) as stream:
        # The first chunk shows the layout, the formats of times, and the look of the file.
        header, crlf, rest = cut_header(stream.read(CHUNK_BYTES))
        if not rest or is_cab_header(header):
            raise NotPlain
        names, delimiter = split_header(header)
        layout = recognise_layout(names, where=packed.name, columns=options.columns, dialect=options.dialect)
        times = _sniff_times(rest, layout, delimiter, where=packed.name, zone=options.time_zone)
        lines = rest[:SAMPLE_BYTES].decode(errors="replace").splitlines()[:SAMPLE_LINES]
        source = describe_csv(layout, header, lines, crlf=crlf) | note_reading(packed.name, times, options.columns)

        # Rows are typed when they are asked for.
        text = _WatchedText(rest, stream, delimiter, crlf=crlf)
        words = {kind: Words() for kind in WORD_KINDS.values()}
        batches = _read_batches(text, layout, delimiter, words)
        yield Reading(name=packed.name, layout=layout, source=source, words=words, batches=batches)


def _sniff_times(text: bytes, layout: Layout, delimiter: str, *, where: str, zone: str | None) -> dict[str, TimeFormat]:
    """Find the formats of times in a text's first lines; raise `NotPlain` where Arrow would read them otherwise."""
    # Rows of whole lines: the last line of a chunk may be cut.
    whole = text[: text.rfind(b"\n") + 1] or text
    lines = whole.decode(errors="replace").splitlines()[:SAMPLE_ROWS]
    rows = list(csv.reader(lines, delimiter=delimiter))
    if any(len(row) != len(layout.header) for row in rows):
        raise NotPlain
    # A missing time is no value to sniff at.
    times = {}
    for name in ("started_at", "ended_at"):
        if positions := layout.positions(name):
            for row in rows:
                row[positions[0]] = None if row[positions[0]] in NULLS else row[positions[0]]
            times[name] = sniff_column(layout, name, rows, where=where, zone=zone)
    if not all(format_.is_plain for format_ in times.values()):
        raise NotPlain
    return times


class _WatchedText:
    """Text on its way to Arrow, watched for what Arrow takes without an error.

    Where a cell goes on behind its closing quote, Arrow reads on. Closing quotes should stand right before a border of
    cells. So that happened nowhere if half of all quotes stand there. Two kinds of quotes escape this count. A quote
    that opens a cell stands before a border if the cell begins with a delimiter. Any other quote is left in the text
    of a cell. `_Column` looks for both.

    A carriage return alone ends a line for Arrow, but for no other reader.
    """

    closed = False  # Arrow asks for it, as of any file

    def __init__(self, first: bytes, rest: Unpacked, delimiter: str, *, crlf: bool) -> None:
        self._first, self._rest, self._delimiter, self._crlf = first, rest, ord(delimiter), crlf
        self._last = _LINE_END  # the byte before
        self._quotes = self._closing = 0  # all quotes, and those right before a border
        self._returns = 0  # that stand alone

    def read(self, size: int) -> bytes:
        """Return the next bytes, as a file does."""
        chunk, self._first = (self._first, b"") if self._first else (self._rest.read(size), b"")
        self._returns += not self._crlf and b"\r" in chunk
        text = np.frombuffer(chunk, np.uint8)
        for begin in range(0, len(text), LOOK_BYTES):
            self._count(text[begin : begin + LOOK_BYTES])
        return chunk

    def _count(self, text: NDArray) -> None:
        """Count quotes, those right before a border, and carriage returns that stand alone, in bytes, uint8 [N]."""
        borders = (self._delimiter, _LINE_END, _RETURN)
        quotes = text == _QUOTE
        count = np.count_nonzero(quotes)
        if count or self._last == _QUOTE:
            # Most closing quotes stand before a delimiter, which is cheap to look for. Look for the other borders only
            # if these are fewer than half. A quote at the end of the text is counted with the next text.
            self._quotes += count
            closing = np.count_nonzero(quotes[:-1] & (text[1:] == self._delimiter))
            if 2 * closing < count - 1:
                closing = np.count_nonzero(quotes[:-1] & np.isin(text[1:], borders))
            self._closing += closing + (self._last == _QUOTE and text[0] in borders)
        # With Windows' ends of lines every return should stand before a line's end; without, `read` finds any.
        if self._crlf:
            returns = text == _RETURN
            self._returns += np.count_nonzero(returns) - np.count_nonzero(returns[:-1] & (text[1:] == _LINE_END))
            self._returns -= self._last == _RETURN and text[0] == _LINE_END
        self._last = text[-1]

    def check(self) -> None:
        """Raise `NotPlain` if the text that was read is not sound."""
        # A quote at the very end closes a cell.
        closing = self._closing + (self._last == _QUOTE)
        if self._returns or closing != self._quotes / 2:
            raise NotPlain


def _read_batches(text: _WatchedText, layout: Layout, delimiter: str, words: Mapping[str, Words]) -> Iterator[Rows]:
    """Yield rows with internal names, see `Reading.batches`; `NotPlain` comes at the latest after the last one."""
    columns = [_Column(column, layout, delimiter, words) for column in layout.columns]
    if not all(column.plain_kind for column in columns):
        raise NotPlain
    try:
        blocks = iter(_open_csv(text, columns, delimiter))
        # A batch of several blocks, each column in one piece and all its words in one dictionary.
        while group := list(islice(blocks, GROUP_BLOCKS)):
            table = pa.Table.from_batches(group).unify_dictionaries().combine_chunks()
            for batch in table.to_batches():
                yield _read_columns(batch, columns)
    except pa.ArrowInvalid as error:
        raise NotPlain from error
    text.check()


def _open_csv(text: _WatchedText, columns: Sequence["_Column"], delimiter: str) -> pyarrow.csv.CSVStreamingReader:
    """Open Arrow's reader on all columns: what is wrong with a row may show in one that we do not keep."""
    types = {f"c{position}": _ARROW_TYPES[column.plain_kind] for position, column in enumerate(columns)}
    return pyarrow.csv.open_csv(
        pa.PythonFile(text, "r"),
        read_options=pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, column_names=list(types)),
        parse_options=pyarrow.csv.ParseOptions(delimiter=delimiter, ignore_empty_lines=False),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=types, null_values=list(NULLS), strings_can_be_null=True
        ),
    )


def _read_columns(batch: pa.RecordBatch, columns: Sequence["_Column"]) -> Rows:
    """Return one batch with internal names; raise `NotPlain` if every cell of a row is missing."""
    # Such a row may be a blank line or one of delimiters alone, which DuckDB's reader tells apart.
    if all(values.null_count for values in batch.columns):
        present = np.zeros(len(batch), bool)
        for values in batch.columns:
            present |= values.is_valid().to_numpy(zero_copy_only=False)
        if not present.all():
            raise NotPlain
    rows = {}
    for values, column in zip(batch.columns, columns, strict=True):
        rows |= column.read(values)
    return rows


class _Column:
    """A column of plain cells that its rule reads, batch by batch."""

    def __init__(self, column: Column | None, layout: Layout, delimiter: str, words: Mapping[str, Words]) -> None:
        # A column that we do not keep is read as text, by a rule that looks for quotes.
        self.rule = column.rule if column and column.field else MadeUp()
        self.plain_kind = self.rule.plain_kind
        self._fields = [column.field] if column and column.field else []
        # Hubs that have only a name get it as their id too.
        if self._fields and not layout.positions(self._fields[0].replace("_name", "_id")):
            self._fields.append(self._fields[0].replace("_name", "_id"))
        self._words, self._delimiter = words, delimiter

    def read(self, values: pa.Array) -> Rows:
        """Return the columns that follow from it, see `Reading.batches`; none if we do not keep it."""
        if self.plain_kind == "word":
            return {field: self._words[WORD_KINDS[field]].number(values, self._read_word) for field in self._fields}
        if self.plain_kind == "text":
            result = self._read_texts(values)
        else:
            numbers = values.to_numpy(zero_copy_only=False)
            result = self.rule.read_numbers(numbers) if self.plain_kind == "number" else numbers.view(np.int64)
        return {"reported_duration_s" if field == "duration_s" else field: result for field in self._fields}

    def _read_word(self, word: str) -> str | None:
        """Return what a text means by the column's rule."""
        # Arrow may have read such a text otherwise than it is meant, see `_WatchedText`.
        if '"' in word or "\n" in word or word.startswith(self._delimiter):
            raise NotPlain
        return self.rule.read_word(word)

    def _read_texts(self, values: pa.StringArray) -> pa.StringArray:
        """Return texts, trimmed; raise `NotPlain` for the same ones as `_read_word`."""
        suspect = (pc.match_substring(values, '"'), pc.match_substring(values, "\n"))
        if any(pc.any(rows).as_py() for rows in (*suspect, pc.starts_with(values, self._delimiter))):
            raise NotPlain
        trimmed = pc.utf8_trim(values, " ")
        return pc.if_else(pc.equal(trimmed, ""), None, trimmed)
