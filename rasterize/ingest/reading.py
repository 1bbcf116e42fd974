"""A table while it is read: typed batches of rows, whichever reader they come from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.formats.recognise import Layout

SAMPLE_ROWS = 2000  # of a table, that decide on formats
Rows = dict[str, Any]  # see `Reading.batches`


class Words:
    """The different texts of a kind of columns, numbered in the order they come by."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self._known: dict[str, int] = {}  # numbers of the words themselves

    def number(self, column: pa.DictionaryArray, meaning: Callable[[str], str | None] = str) -> NDArray:
        """The number of what each word means, int32 [N]; -1 where it means nothing, or is missing."""
        words = column.dictionary.to_pylist()
        for word in words:
            if word not in self._known:
                text = meaning(word)
                self._known[word] = -1 if text is None else self.texts.setdefault(text, len(self.texts))
        indices = column.indices if column.null_count == 0 else column.indices.fill_null(-1)
        return np.array([*(self._known[word] for word in words), -1], np.int32).take(indices.to_numpy())


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A table while it is read.

    `batches`, of at least one row each, hold columns by internal name: times as int64 (microseconds, `clean.NO_TIME`
    where missing), numbers as float64 (NaN where missing), the columns of `WORD_KINDS` as int32 (-1 where missing, else
    a number of `words`), other texts and lists as Arrow arrays. The publisher's duration is `reported_duration_s`;
    `blank`, bool, may tell of rows of which every cell is missing.
    """

    name: str
    layout: Layout
    source: Mapping[str, Any]  # its look, see `rasterize.formats.source_format`
    words: Mapping[str, Words]  # by kind; filled while the batches go by
    batches: Iterator[Rows]
    lines: int | None = None  # that should be rows; None: as many as there are rows
    blank: int = 0  # other lines, by what is wrong with them
    unreadable: int = 0
