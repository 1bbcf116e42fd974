"""Stations: where they are, which ends in the open belong to them, and the grid cells that stand for the others."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rasterize.distance import METRES_PER_DEGREE
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.formats.column_rules import CELL_PREFIX
from rasterize.ingest.all_parts import AllParts
from rasterize.ingest.ends import End
from rasterize.ingest.options import StopOptions
from rasterize.strokes.frame import Frame
from rasterize.strokes.resolution import choose_resolution

BATCH_ROWS = 65_536  # ends at a time from DuckDB; not swept
_CELL_ROW = 1 << 32  # a cell's row and column in one number: row times this, plus column
_OPEN_ENDS = pa.schema([("lat", pa.float64()), ("lng", pa.float64()), ("n", pa.int64()), ("station", pa.int64())])


@dataclass(frozen=True, kw_only=True)
class Stops:
    """The stops: stations and cells that are no one-offs, and which of them each end of a trip belongs to.

    Attributes
    ----------
    frame
        The frame that the cells are pixels of.
    reason
        Why the frame has so many pixels; empty where that was asked for.
    table
        id, name, lat, lng of each of the S stops; stations first, then cells.
    of_station : int64 [W + 1]
        Stop of each station in `AllParts.words`; -1 for a one-off, and -1 at last.
    of_open
        Function from points without a station, lat and lng [P], to their stops, int64 [P]; -1 for none.
    """

    frame: Frame
    reason: str
    table: pd.DataFrame
    of_station: NDArray
    of_open: Callable[[NDArray, NDArray], NDArray]

    def find(self, end: End) -> NDArray:
        """Return the stop of each of the different ends, int64 [E]; -1 for a one-off and for missing coordinates."""
        stops = self.of_station.take(end.station)
        is_open = (end.station < 0) & np.isfinite(end.lat + end.lng)
        if is_open.any():
            stops[is_open] = self.of_open(end.lat[is_open], end.lng[is_open])
        return stops


def find_stops(connection: duckdb.DuckDBPyConnection, all_parts: AllParts, options: StopOptions) -> Stops:
    """Find the stops of all trips, and the frame around them.

    An end without a station belongs to the nearest one within `snap_m`, else to a cell of the frame.

    Parameters
    ----------
    connection
        DuckDB with the table `points`, see `AllParts.screen`; gets the table `open_ends`.
    all_parts
        All rows, screened.
    options
        How ends become stations or cells.

    Returns
    -------
    Stations and cells that are used often enough, and the frame.

    Raises
    ------
    InputError
        All trips touch one-off stops.
    """
    # Stations first: ends in the open near one count as its uses.
    stations = _settle_stations(connection, all_parts.words)
    nearest = _make_nearest(stations["lat"].to_numpy(), stations["lng"].to_numpy(), options.snap_m)
    _list_open_ends(connection, all_parts, nearest)

    # Number the stations that are no one-offs; both arrays give -1 for others, and for the index -1.
    is_used = _count_uses(connection, stations) >= options.min_uses
    used = stations[is_used]
    stop_of = np.append(np.where(is_used, np.cumsum(is_used) - 1, -1), -1)
    of_station = np.full(len(all_parts.words["station_id"]) + 1, -1)
    of_station[used["station"]] = np.arange(len(used))

    # Cells are pixels of the frame, so they come last.
    frame, reason = _choose_frame(connection, all_parts, used, options)
    cells = _count_cells(connection, frame, options)

    def find_open(lat: NDArray, lng: NDArray) -> NDArray:
        station, cell = nearest(lat, lng), _find_cells(lat, lng, frame, options)
        index = np.searchsorted(cells, cell)
        in_cell = np.where(np.append(cells, -1)[index] == cell, len(used) + index, -1)
        return np.where(station >= 0, stop_of[station], in_cell)

    table = pd.concat([used[["id", "name", "lat", "lng"]], _describe_cells(cells, frame, options)], ignore_index=True)
    return Stops(frame=frame, reason=reason, table=table, of_station=of_station, of_open=find_open)


def _settle_stations(connection: duckdb.DuckDBPyConnection, words: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return the stations (station, id, name, lat, lng, uses) in order of id, from the table `points`.

    The name is the most frequent one. The coordinates are the most frequent ones of the most frequent spot of about
    ten metres. So they are those of most trips, even if a station moved or if coordinates differ with every trip.
    """
    # Numbers of words back to words; sorting by text makes ties come out alike in every run.
    for kind, column in (("station_id", "station"), ("station_name", "name")):
        numbered = pa.table({column: np.arange(len(words[kind])), "text": pa.array(words[kind], pa.string())})
        connection.register(f"text_of_{column}", numbered)
    return connection.execute("""
        WITH spots AS (SELECT station, lat, lng, sum(n) AS n FROM points GROUP BY ALL),
        ranked AS (SELECT *, sum(n) OVER (PARTITION BY station, round(lat, 4), round(lng, 4)) AS near FROM spots),
        best AS (SELECT station, lat, lng FROM ranked
                 QUALIFY row_number() OVER (PARTITION BY station ORDER BY near DESC, n DESC, lat, lng) = 1),
        called AS (SELECT station, name, sum(n) AS n FROM points GROUP BY ALL),
        named AS (SELECT station, text AS name FROM called LEFT JOIN text_of_name USING (name)
                  QUALIFY row_number() OVER (PARTITION BY station ORDER BY (text IS NULL), n DESC, text) = 1),
        used AS (SELECT station, CAST(sum(n) AS BIGINT) AS uses FROM points GROUP BY station)
        SELECT station, text AS id, coalesce(name, text) AS name, lat, lng, uses
        FROM best JOIN named USING (station) JOIN used USING (station) JOIN text_of_station USING (station)
        ORDER BY station""").df()


def _make_nearest(station_lat: NDArray, station_lng: NDArray, snap_m: float) -> Callable[[NDArray, NDArray], NDArray]:
    """Make a function from points to the numbers of the nearest stations, -1 beyond `snap_m` metres."""
    if len(station_lat) == 0:
        return lambda lat, lng: np.full(len(lat), -1)
    # Metres on a flat map; at the distance of `snap_m` the curvature does not matter.
    scale = np.array([METRES_PER_DEGREE, METRES_PER_DEGREE * np.cos(np.radians(station_lat.mean()))])
    tree = cKDTree(np.stack([station_lat, station_lng], axis=1) * scale)

    def nearest(lat: NDArray, lng: NDArray) -> NDArray:
        _, number = tree.query(np.stack([lat, lng], axis=1) * scale, distance_upper_bound=snap_m)
        return np.where(number < len(station_lat), number, -1)

    return nearest


def _list_open_ends(
    connection: duckdb.DuckDBPyConnection, all_parts: AllParts, nearest: Callable[[NDArray, NDArray], NDArray]
) -> None:
    """Make the table `open_ends` (lat, lng, n, station) of the trips' ends in the open; station is -1 near none."""

    def list_ends() -> Iterator[pa.RecordBatch]:
        for lat, lng, counts in all_parts.open_ends():
            yield pa.record_batch([lat, lng, counts, nearest(lat, lng)], schema=_OPEN_ENDS)

    connection.register("listed_ends", pa.RecordBatchReader.from_batches(_OPEN_ENDS, list_ends()))
    connection.execute("CREATE TABLE open_ends AS SELECT * FROM listed_ends")
    connection.unregister("listed_ends")


def _count_uses(connection: duckdb.DuckDBPyConnection, stations: pd.DataFrame) -> NDArray:
    """Count the ends that belong to each station, those in the open nearby included, int64 [S]."""
    open_ends = connection.execute("SELECT station, sum(n) FROM open_ends WHERE station >= 0 GROUP BY ALL").fetchall()
    uses = stations["uses"].to_numpy().copy()
    for number, count in open_ends:
        uses[number] += count
    return uses


def _choose_frame(
    connection: duckdb.DuckDBPyConnection, all_parts: AllParts, stations: pd.DataFrame, options: StopOptions
) -> tuple[Frame, str]:
    """Return a frame around stations, ends in the open and waypoints of the area, and why it has its resolution."""
    # Corners are enough of what may be many points.
    points = [stations[["lat", "lng"]].to_numpy()]
    (corners,) = connection.execute("SELECT min(lat), min(lng), max(lat), max(lng) FROM open_ends").fetchall()
    if corners[0] is not None:
        points.append(np.reshape(corners, (2, 2)))
    for path in all_parts.waypoints():
        points.append(np.stack([path.min(axis=0), path.max(axis=0)]))
    lat, lng = np.concatenate(points).T
    if len(lat) == 0:
        raise InputError("no station is used often enough: all trips touch one-off places; give more trips")

    def make_frame(side: int) -> Frame:
        return Frame.around(lat, lng, height=side, width=side)

    # As asked, or as the spacing of stations needs.
    height, width = options.shape
    if height is not None and width is not None:
        return Frame.around(lat, lng, height=height, width=width), ""
    station_lat, station_lng = stations["lat"].to_numpy(), stations["lng"].to_numpy()
    side, reason = choose_resolution(station_lat, station_lng, make_frame, error_px=options.endpoint_error_px)
    return make_frame(side), reason


def _count_cells(connection: duckdb.DuckDBPyConnection, frame: Frame, options: StopOptions) -> NDArray:
    """Return the cells that enough open ends near no station lie in, see `_find_cells`, int64 in ascending order."""
    # Count in batches, then add up the counts of all batches.
    cells, counts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for batch in connection.sql("SELECT lat, lng, n FROM open_ends WHERE station < 0").to_arrow_reader(BATCH_ROWS):
        lat, lng, n = (batch[name].to_numpy() for name in ("lat", "lng", "n"))
        batch_cells, index = np.unique(_find_cells(lat, lng, frame, options), return_inverse=True)
        cells.append(batch_cells)
        counts.append(np.bincount(index, n, len(batch_cells)))
    all_cells, index = np.unique(np.concatenate(cells), return_inverse=True)
    return all_cells[np.bincount(index, np.concatenate(counts), len(all_cells)) >= options.min_uses]


def _find_cells(lat: NDArray, lng: NDArray, frame: Frame, options: StopOptions) -> NDArray:
    """Return the cell of the frame that each point lies in, row and column in one number (`_CELL_ROW`), int64 [N]."""
    # Rows grow southward, columns eastward.
    rows_per_degree = frame.height / (frame.north - frame.south) / options.cell_px
    cols_per_degree = frame.width / (frame.east - frame.west) / options.cell_px
    row = np.floor((frame.north - lat) * rows_per_degree).astype(np.int64)
    return row * _CELL_ROW + np.floor((lng - frame.west) * cols_per_degree).astype(np.int64)


def _describe_cells(cells: NDArray, frame: Frame, options: StopOptions) -> pd.DataFrame:
    """Return cells as stops: id, name, and the coordinates of their centres."""
    rows, cols = cells // _CELL_ROW, cells % _CELL_ROW
    lat, lng = frame.to_degrees((cols + 0.5) * options.cell_px, (rows + 0.5) * options.cell_px)
    ids = [f"{CELL_PREFIX}{row}:{col}" for row, col in zip(rows, cols, strict=True)]
    names = [f"cell {row},{col}" for row, col in zip(rows, cols, strict=True)]
    return pd.DataFrame({"id": ids, "name": names, "lat": lat, "lng": lng})


def write_stations(path: Path, stops: Stops, starts: NDArray, ends: NDArray) -> None:
    """Write GeoParquet of the stops that are used, in order of id.

    Parameters
    ----------
    path
        The file to write.
    stops
        The S stops.
    starts, ends : int64 [S]
        How many trips start and end at each.
    """
    table = stops.table.rename(columns={"id": "station_id"}).assign(starts=starts, ends=ends, uses=starts + ends)
    table = table[table["uses"] > 0].sort_values("station_id", ignore_index=True)
    points = gpd.points_from_xy(table.pop("lng"), table.pop("lat"))
    with write_atomically(path) as temporary:
        gpd.GeoDataFrame(table, geometry=points, crs="EPSG:4326").to_parquet(temporary)
