"""The rows of all parts screened together, batch by batch, for more rows than fit in memory."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from rasterize.ingest import clean
from rasterize.ingest.ends import End
from rasterize.ingest.options import CleanOptions
from rasterize.ingest.parts import Part
from rasterize.trip_table import WORD_KINDS

_POINTS = pa.schema(
    [("station", pa.int32()), ("name", pa.int32()), ("lat", pa.float64()), ("lng", pa.float64()), ("n", pa.int64())]
)


class Batch(NamedTuple):
    """N rows of a part, and what is against each.

    Attributes
    ----------
    part
        Number of the part.
    rows
        Columns as in the part, see `rasterize.ingest.parts.Part`.
    start, end
        The ends of the rows, with numbers of `AllParts.words`.
    reasons : uint8 [N]
        0 for a trip, else why the row is none, see `clean.REASONS`.
    numbers : int32 [W + 1] of each kind of words
        Number in `AllParts.words` of each of the part's own W words; -1 at last.
    """

    part: int
    rows: pa.RecordBatch
    start: End
    end: End
    reasons: NDArray
    numbers: Mapping[str, NDArray]

    def column(self, name: str) -> NDArray:
        """Return a column of words as numbers of `AllParts.words`, int32 [N]; -1 where missing."""
        return self.numbers[WORD_KINDS[name]].take(self.rows[name].to_numpy())


class AllParts:
    """All rows of some parts, in the order of the parts.

    Until `screen` was called, batches have only the reasons that rows have by themselves.

    Attributes
    ----------
    parts
        The parts.
    words
        The texts of all parts, by kind and sorted; `End.station` and `End.name` are indices of them.
    box
        The area of the rows that are trips by themselves; None where there is no such row.
    speed_limit_kmh
        The fastest a trip can be, as the crow flies.
    in_order
        Whether trips are in order of time; known after `screen`.
    all_docked
        Whether all trips are between stations; known after `screen`.
    """

    def __init__(self, parts: Sequence[Part], options: CleanOptions) -> None:
        self.parts = parts
        self.in_order = self.all_docked = True
        lat, lng = (clean.add_histograms([part.bins[axis] for part in parts]) for axis in ("lat", "lng"))
        self.box = clean.find_box(lat, lng, options)
        self.speed_limit_kmh = options.limit_kmh(parts[0].vehicle)
        kinds = dict.fromkeys(WORD_KINDS.values())
        self.words = {kind: sorted({word for part in parts for word in part.words[kind]}) for kind in kinds}
        # One more at the end: an end without a name is no depot.
        self._depots = np.array([clean.is_depot(name, options) for name in self.words["station_name"]] + [False])
        self._reasons: list[list[NDArray]] = []  # by part and batch, as `screen` finds them

    def batches(self) -> Iterator[Batch]:
        """Yield all rows."""
        index = {kind: {word: number for number, word in enumerate(words)} for kind, words in self.words.items()}
        for part_number, part in enumerate(self.parts):
            # A part numbers its words in the order they came by; all parts number them in order of text.
            numbers = {
                kind: np.array([*(index[kind][word] for word in words), -1], np.int32)
                for kind, words in part.words.items()
            }
            for count, rows in enumerate(part.batches()):
                ends = [_renumber(End.from_arrow(rows[end]), numbers) for end in ("start", "end")]
                reasons = self._reasons[part_number][count] if self._reasons else rows["reason"].to_numpy()
                yield Batch(part_number, rows, *ends, reasons, numbers)

    def open_ends(self) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Yield latitudes and longitudes of the trips' ends without a station, and how many trips have each."""
        for batch in () if self.all_docked else self.batches():
            for end in (batch.start, batch.end):
                counts = end.count(batch.reasons == 0)
                is_open = (end.station < 0) & (counts > 0)
                yield end.lat[is_open], end.lng[is_open], counts[is_open]

    def waypoints(self) -> Iterator[NDArray]:
        """Yield the trips' waypoints inside the area, latitude and longitude, float64 [W, 2] with W at least 1."""
        if not any("waypoints" in part.fields for part in self.parts):
            return
        for batch in self.batches():
            if "waypoints" in batch.rows.schema.names:
                paths = batch.rows["waypoints"].filter(pa.array(batch.reasons == 0))
                points = paths.flatten().to_numpy(zero_copy_only=False).reshape(-1, 2)
                points = points[self.box.holds(*points.T)]
                if len(points):
                    yield points

    def count(self) -> list[NDArray]:
        """Count the rows of each part by reason, int64 [len(REASONS) + 1]; the first number is of trips."""
        reasons = self._reasons or [[batch["reason"].to_numpy() for batch in part.batches()] for part in self.parts]
        return [np.bincount(np.concatenate(of_part), minlength=len(clean.REASONS) + 1) for of_part in reasons]

    def screen(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the reasons that only all parts together give.

        Makes the table `points` (station, name, lat, lng, n) of the trips' ends that are at stations.
        """
        reader = pa.RecordBatchReader.from_batches(_POINTS, self._screen_ends())
        connection.register("screened_ends", reader)
        connection.execute(
            "CREATE TABLE points AS SELECT station, name, lat, lng, CAST(sum(n) AS BIGINT) AS n FROM screened_ends "
            "WHERE n > 0 AND station >= 0 GROUP BY ALL"
        )
        connection.unregister("screened_ends")

    def _screen_ends(self) -> Iterator[pa.RecordBatch]:
        """Screen batch after batch; yield the different ends, and how many trips have each."""
        reasons, latest = [[] for _ in self.parts], clean.NO_TIME
        for batch in self.batches():
            result = self._screen_batch(batch)
            reasons[batch.part].append(result)
            is_trip = result == 0

            # Files that are in order of time already need no sorting later.
            times = batch.rows["started_at"].to_numpy(zero_copy_only=False).view(np.int64)[is_trip]
            if len(times):
                self.in_order &= bool(times[0] >= latest and (times[1:] >= times[:-1]).all())
                latest = times[-1]

            for end in (batch.start, batch.end):
                counts = end.count(is_trip)
                self.all_docked &= not counts[end.station < 0].any()
                yield pa.record_batch([*end[1:], counts], schema=_POINTS)
        # Only now: until the last batch is screened, `batches` gives the reasons of rows by themselves.
        self._reasons = reasons

    def _screen_batch(self, batch: Batch) -> NDArray:
        """Return the reasons against the rows of a batch, uint8 [N]."""
        start, end = batch.start, batch.end
        return clean.screen_by_all_parts(
            batch.reasons,
            batch.rows["duration_s"].to_numpy(zero_copy_only=False),
            (start, end),
            depots=(self._depots.take(start.name), self._depots.take(end.name)),
            box=self.box,
            speed_limit_ms=self.speed_limit_kmh / 3.6,
        )


def _renumber(end: End, numbers: Mapping[str, NDArray]) -> End:
    """Return ends with numbers of all parts' words instead of the part's own."""
    return end._replace(station=numbers["station_id"].take(end.station), name=numbers["station_name"].take(end.name))
