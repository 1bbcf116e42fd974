"""The starts or the ends of the rows of a batch, the different ones once each."""

from typing import NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.ingest.reading import Rows


class End(NamedTuple):
    """The starts, or the ends, of the N rows of a batch: the E different ones, and which one each row has.

    Most rows start where others do. So whatever follows from a station is computed once, not once per row. Some ends
    may be listed more than once, or belong to no row.

    Attributes
    ----------
    of_row : int64 [N]
        Index of each row's end in the other arrays.
    station : int32 [E]
        Number of the station's id; -1 in the open.
    name : int32 [E]
        Number of the station's name; -1 for none.
    lat, lng : float64 [E]
        Degrees (WGS 84); NaN where missing.
    """

    of_row: NDArray
    station: NDArray
    name: NDArray
    lat: NDArray
    lng: NDArray

    def spread(self, values: NDArray) -> NDArray:
        """Turn a value per end [E] into a value per row [N]."""
        return values.take(self.of_row)

    def count(self, rows: NDArray | slice) -> NDArray:
        """Count how many of some rows, bool [N], have each end, int64 [E]."""
        return np.bincount(self.of_row[rows], minlength=len(self.lat))

    @classmethod
    def fold(cls, station: NDArray, name: NDArray, lat: NDArray, lng: NDArray) -> Self:
        """Find the different ones among N ends.

        Parameters
        ----------
        station, name : int32 [N]
            Numbers of ids and names; -1 where there is none.
        lat, lng : float64 [N]
            Degrees; NaN where missing.

        Returns
        -------
        One end for each station, which is that of its first row. Rows that differ from it keep an end of their own.
        """
        # Row of each station's first end. The ends in the open share one more entry, the last.
        count = int(station.max(initial=-1)) + 1
        of_row = np.where(station < 0, count, station).astype(np.int64)
        first = np.zeros(count + 1, np.int64)
        first[of_row[::-1]] = np.arange(len(of_row) - 1, -1, -1)

        # Rows that are not equal to the first one of their station; NaN is equal to nothing.
        equal = (name == name[first].take(of_row)) & (lat == lat[first].take(of_row))
        other = np.flatnonzero(~(equal & (lng == lng[first].take(of_row))))
        of_row[other] = np.arange(len(first), len(first) + len(other))
        return cls(of_row, *(values[np.concatenate([first, other])] for values in (station, name, lat, lng)))

    def to_arrow(self) -> pa.DictionaryArray:
        """Return one column: which end each row has, with the ends as its dictionary."""
        ends = pa.StructArray.from_arrays(self[1:], self._fields[1:])
        return pa.DictionaryArray.from_arrays(self.of_row.astype(np.int32), ends)

    @classmethod
    def from_arrow(cls, column: pa.DictionaryArray) -> Self:
        """Return the ends that `to_arrow` made a column of."""
        of_row = column.indices.to_numpy().astype(np.int64)
        return cls(of_row, *(field.to_numpy() for field in column.dictionary.flatten()))


def fold_ends(rows: Rows) -> tuple[End, End]:
    """Return the starts and the ends of rows that were read."""
    missing = {"station_id": np.int32(-1), "station_name": np.int32(-1), "lat": np.nan, "lng": np.nan}
    count = len(rows["started_at"])
    start, end = (
        End.fold(*(rows.get(f"{end}_{what}", np.full(count, value)) for what, value in missing.items()))
        for end in ("start", "end")
    )
    return start, end
