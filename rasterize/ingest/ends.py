"""The starts or the ends of the rows of a batch, the different ones once each."""

from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.ingest.reading import Rows


class End(NamedTuple):
    """The starts, or the ends, of the rows of a batch: the different ones (E), and which one each row has.

    Most rows start where others do, so that much needs to be found out once per station only. Some ends may be listed
    more than once, or be no row's.
    """

    of_row: NDArray  # int64 [N]
    station: NDArray  # int32 [E], the number of the station's id, -1 in the open
    name: NDArray  # int32 [E], the number of its name, -1 for none
    lat: NDArray  # float64 [E], NaN where missing
    lng: NDArray

    def spread(self, values: NDArray) -> NDArray:
        """A value per end [E] → a value per row [N]."""
        return values.take(self.of_row)

    def count(self, rows: NDArray | slice) -> NDArray:
        """How many of some rows, bool [N], have each end, int64 [E]."""
        return np.bincount(self.of_row[rows], minlength=len(self.lat))

    @classmethod
    def fold(cls, station: NDArray, name: NDArray, lat: NDArray, lng: NDArray) -> Self:
        """Find the different ones among N ends: those of a station share the first one's if all is equal."""
        count = int(station.max(initial=-1)) + 1
        of_row = np.where(station < 0, count, station).astype(np.int64)
        first = np.zeros(count + 1, np.int64)  # row of each station, of none at last
        first[of_row[::-1]] = np.arange(len(of_row) - 1, -1, -1)
        equal = (name == name[first].take(of_row)) & (lat == lat[first].take(of_row))
        other = np.flatnonzero(~(equal & (lng == lng[first].take(of_row))))
        of_row[other] = np.arange(len(first), len(first) + len(other))
        return cls(of_row, *(values[np.concatenate([first, other])] for values in (station, name, lat, lng)))

    def to_arrow(self) -> pa.DictionaryArray:
        """One column: which end each row has, and the ends as its dictionary."""
        ends = pa.StructArray.from_arrays(self[1:], self._fields[1:])
        return pa.DictionaryArray.from_arrays(self.of_row.astype(np.int32), ends)

    @classmethod
    def from_arrow(cls, column: pa.DictionaryArray) -> Self:
        """The inverse of `to_arrow`."""
        of_row = column.indices.to_numpy().astype(np.int64)
        return cls(of_row, *(field.to_numpy() for field in column.dictionary.flatten()))


def fold_ends(rows: Rows) -> tuple[End, End]:
    """The starts and the ends of rows that are read."""
    missing = {"station_id": np.int32(-1), "station_name": np.int32(-1), "lat": np.nan, "lng": np.nan}
    count = len(rows["started_at"])
    start, end = (
        End.fold(*(rows.get(f"{end}_{what}", np.full(count, value)) for what, value in missing.items()))
        for end in ("start", "end")
    )
    return start, end
