"""The crowd: the rows of all parts judged together, batch by batch, for more rows than fit in memory."""

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
    """Some rows of a part, and what is against each."""

    part: int  # its number
    rows: pa.RecordBatch
    start: End
    end: End
    reasons: NDArray  # uint8 [N], see `clean.REASONS`
    numbers: Mapping[str, NDArray]  # in `AllParts.words` of each of the part's own words, by kind; one -1 more

    def column(self, name: str) -> NDArray:
        """A column of words as places in `AllParts.words`, int32 [N]; -1 where missing."""
        return self.numbers[WORD_KINDS[name]].take(self.rows[name].to_numpy())


class AllParts:
    """All rows of some parts, in the order of the parts.

    `words` are the texts of all parts, by kind and sorted; `End.station` and `End.name` are places in them. `box` is
    the area of the rows that are trips by themselves, None where there is no such row. Until `screen` was called,
    batches have only the reasons that rows have by themselves.
    """

    def __init__(self, parts: Sequence[Part], options: CleanOptions) -> None:
        self.parts = parts
        self.in_order = self.all_docked = True  # found by `screen`: are trips in order of time, all between stations?
        lat, lng = (clean.add_histograms([part.bins[axis] for part in parts]) for axis in ("lat", "lng"))
        self.box = clean.find_box(lat, lng, options)
        self._options = options
        self.speed_limit_kmh = options.limit_kmh(parts[0].vehicle)
        kinds = dict.fromkeys(WORD_KINDS.values())
        self.words = {kind: sorted({word for part in parts for word in part.words[kind]}) for kind in kinds}
        self._depots = np.array([clean.is_depot(name, options) for name in self.words["station_name"]] + [False])
        self._reasons: list[list[NDArray]] = []  # by part and batch, found by `screen`

    def batches(self) -> Iterator[Batch]:
        """All rows."""
        place = {kind: {word: place for place, word in enumerate(words)} for kind, words in self.words.items()}
        for number, part in enumerate(self.parts):
            numbers = {
                kind: np.array([*(place[kind][word] for word in words), -1], np.int32)
                for kind, words in part.words.items()
            }
            for count, rows in enumerate(part.batches()):
                ends = [_renumbered(End.from_arrow(rows[end]), numbers) for end in ("start", "end")]
                reasons = self._reasons[number][count] if self._reasons else rows["reason"].to_numpy()
                yield Batch(number, rows, *ends, reasons, numbers)

    def open_ends(self) -> Iterator[tuple[NDArray, NDArray, NDArray]]:
        """Latitudes and longitudes of the trips' ends without a station, and how often each is there."""
        for batch in () if self.all_docked else self.batches():
            for end in (batch.start, batch.end):
                counts = end.count(batch.reasons == 0)
                there = (end.station < 0) & (counts > 0)
                yield end.lat[there], end.lng[there], counts[there]

    def waypoints(self) -> Iterator[NDArray]:
        """The trips' waypoints inside the area, latitude and longitude, float64 [W, 2] of at least one."""
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
        """How many rows of each part have each reason, int64 [len(REASONS) + 1]; the first number is of trips."""
        reasons = self._reasons or [[batch["reason"].to_numpy() for batch in part.batches()] for part in self.parts]
        return [np.bincount(np.concatenate(of_part), minlength=len(clean.REASONS) + 1) for of_part in reasons]

    def screen(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Add the reasons of the crowd.

        Makes the table `points` (station, name, lat, lng, n) of the trips' ends that are at stations.
        """
        reader = pa.RecordBatchReader.from_batches(_POINTS, self._screened_ends())
        connection.register("judged_ends", reader)
        connection.execute(
            "CREATE TABLE points AS SELECT station, name, lat, lng, CAST(sum(n) AS BIGINT) AS n FROM judged_ends "
            "WHERE n > 0 AND station >= 0 GROUP BY ALL"
        )
        connection.unregister("judged_ends")

    def _screened_ends(self) -> Iterator[pa.RecordBatch]:
        """Judge batch after batch; the different ends, and how many trips have each."""
        reasons, latest = [[] for _ in self.parts], clean.NO_TIME
        for batch in self.batches():
            found = self._screen_batch(batch)
            reasons[batch.part].append(found)
            good = found == 0
            times = batch.rows["started_at"].to_numpy(zero_copy_only=False).view(np.int64)[good]
            if len(times):
                self.in_order &= bool(times[0] >= latest and (times[1:] >= times[:-1]).all())
                latest = times[-1]
            for end in (batch.start, batch.end):
                counts = end.count(good)
                self.all_docked &= not counts[end.station < 0].any()
                yield pa.record_batch([*end[1:], counts], schema=_POINTS)
        self._reasons = reasons

    def _screen_batch(self, batch: Batch) -> NDArray:
        start, end = batch.start, batch.end
        return clean.reasons_by_all_parts(
            batch.reasons,
            batch.rows["duration_s"].to_numpy(zero_copy_only=False),
            (start, end),
            depots=(self._depots.take(start.name), self._depots.take(end.name)),
            box=self.box,
            speed_limit_ms=self.speed_limit_kmh / 3.6,
        )


def _renumbered(end: End, numbers: Mapping[str, NDArray]) -> End:
    return end._replace(station=numbers["station_id"].take(end.station), name=numbers["station_name"].take(end.name))
