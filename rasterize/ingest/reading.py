"""A table while it is read: typed batches of rows, whichever reader they come from."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.formats.recognise import Layout

# Rows of a table that decide on formats: enough for details such as padding and fractions. Not swept.
SAMPLE_ROWS = 2000
Rows = dict[str, Any]  # columns by internal name, see `Reading.batches`


class Words:
    """The different texts of a kind of columns, numbered in the order they come by."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}
        self._number_of: dict[str, int] = {}  # of each word as the file has it, before its meaning is asked

    def number(self, column: pa.DictionaryArray, meaning: Callable[[str], str | None] = str) -> NDArray:
        """Return the number of what each word means, int32 [N]; -1 where it means nothing, or is missing."""
        # Ask once for each word, not once for each row.
        words = column.dictionary.to_pylist()
        for word in words:
            if word not in self._number_of:
                text = meaning(word)
                self._number_of[word] = -1 if text is None else self.texts.setdefault(text, len(self.texts))
        # One -1 more at the end, which the index -1 of a missing cell reaches.
        indices = column.indices if column.null_count == 0 else column.indices.fill_null(-1)
        return np.array([*(self._number_of[word] for word in words), -1], np.int32).take(indices.to_numpy())


@dataclass(frozen=True, kw_only=True)
class Reading:
    """A table while it is read.

    Attributes
    ----------
    name
        The user's file, and the member of a zip.
    layout
        Which column holds what.
    source
        The look of the table, see `rasterize.formats.source_format`.
    words
        The texts of each kind of `WORD_KINDS`; filled while the batches go by.
    batches
        Rows, at least one per batch, as columns by internal name. Times are int64 (microseconds, `clean.NO_TIME`
        where missing), numbers float64 (NaN where missing). The columns of `WORD_KINDS` are int32: numbers of `words`,
        -1 where missing. Other texts and lists are Arrow arrays. `reported_duration_s` is the publisher's own
        duration. `blank`, bool, may say of which rows every cell is missing.
    lines
        Lines that should be rows; None for as many as there are rows.
    blank, unreadable
        Other lines, by what is wrong with them.
    """

    name: str
    layout: Layout
    source: Mapping[str, Any]
    words: Mapping[str, Words]
    batches: Iterator[Rows]
    lines: int | None = None
    blank: int = 0
    unreadable: int = 0
