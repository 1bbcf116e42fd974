"""Stations: where they are, which ends in the open belong to them, and the grid cells that stand for the others."""

import csv
import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from rasterize.clean import Box
from rasterize.dialects import normalise
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.frame import METRES_PER_DEGREE, Frame
from rasterize.rules import CELL_PREFIX

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

_ENDS = ("start", "end")


@dataclass(frozen=True, kw_only=True)
class PlaceOptions:
    """How ends of trips become stations or cells."""

    height: int = 64  # of the frame, in pixels
    width: int = 64
    snap_m: float = 150.0  # an end without a station belongs to the nearest one this near …
    cell_px: int = 2  # … else to a grid cell of this many pixels a side
    min_uses: int = 2  # a station or cell with fewer starts and ends is a one-off

    def __post_init__(self) -> None:
        if self.snap_m < 0 or min(self.cell_px, self.height, self.width) < 1:
            raise InputError("snap_m must not be negative; cell_px, height and width must be at least 1")


def settle_stations(connection: "duckdb.DuckDBPyConnection") -> None:
    """Make the table `stations` (id, name, lat, lng, uses) from the docked ends of the accepted rows of `judged`.

    The name is the most frequent one; the coordinates are the most frequent ones of the most frequent spot of about
    ten metres, so that neither a moved station nor coordinates that differ with every trip pull them aside.
    """
    ends = " UNION ALL ".join(
        f"SELECT {end}_station_id AS id, {end}_station_name AS name, {end}_lat AS lat, {end}_lng AS lng "
        f"FROM judged WHERE reason IS NULL AND {end}_station_id IS NOT NULL"
        for end in _ENDS
    )
    connection.execute(f"""
        CREATE TABLE stations AS
        WITH points AS MATERIALIZED (SELECT id, name, lat, lng, count(*) AS n FROM ({ends}) GROUP BY ALL),
        spots AS (SELECT id, lat, lng, sum(n) AS n FROM points GROUP BY ALL),
        ranked AS (SELECT *, sum(n) OVER (PARTITION BY id, round(lat, 4), round(lng, 4)) AS near FROM spots),
        best AS (SELECT id, lat, lng FROM ranked
                 QUALIFY row_number() OVER (PARTITION BY id ORDER BY near DESC, n DESC, lat, lng) = 1),
        names AS (SELECT id, name FROM points GROUP BY id, name
                  QUALIFY row_number() OVER (PARTITION BY id ORDER BY (name IS NULL), sum(n) DESC, name) = 1),
        used AS (SELECT id, CAST(sum(n) AS BIGINT) AS uses FROM points GROUP BY id)
        SELECT id, coalesce(name, id) AS name, lat, lng, uses
        FROM best JOIN names USING (id) JOIN used USING (id) ORDER BY id""")


def locate_ends(connection: "duckdb.DuckDBPyConnection", box: Box, options: PlaceOptions) -> Frame:
    """Give every end of the accepted rows of `judged` its place; make the tables `places` and `open_ends`.

    `places` (id, name, lat, lng, uses) holds stations and cells that are no one-offs; `open_ends` (seq, side, place)
    the ends without a station: each belongs to the nearest station within `snap_m`, else to a cell of the frame.
    """
    settle_stations(connection)
    _snap_open_ends(connection, options.snap_m)
    connection.execute(f"""
        CREATE TABLE places AS
        SELECT id, name, lat, lng, uses + snapped AS uses FROM
        (SELECT s.*, coalesce(o.n, 0) AS snapped FROM stations s LEFT JOIN
         (SELECT place, count(*) AS n FROM open_ends WHERE place IS NOT NULL GROUP BY place) o ON o.place = s.id)
        WHERE uses + snapped >= {options.min_uses} ORDER BY id""")
    frame = _frame_around(connection, box, options)
    _add_cells(connection, frame, options)
    return frame


def _snap_open_ends(connection: "duckdb.DuckDBPyConnection", snap_m: float) -> None:
    """Make `open_ends` (seq, side, lat, lng, place): all ends without a station; `place` NULL where none is near."""
    ends = " UNION ALL ".join(
        f"SELECT seq, '{end}' AS side, {end}_lat AS lat, {end}_lng AS lng "
        f"FROM judged WHERE reason IS NULL AND {end}_station_id IS NULL"
        for end in _ENDS
    )
    stations = connection.execute("SELECT id, lat, lng FROM stations ORDER BY id").df()
    nearest = _nearest_station(stations, snap_m)
    connection.create_function(
        "nearest_station", nearest, ["DOUBLE", "DOUBLE"], "VARCHAR", type="arrow", null_handling="special"
    )
    connection.execute(f"CREATE TABLE open_ends AS SELECT *, nearest_station(lat, lng) AS place FROM ({ends})")
    connection.remove_function("nearest_station")


def _nearest_station(stations: "pd.DataFrame", snap_m: float) -> Any:
    """A function from columns of lat and lng to a column of station ids, null beyond `snap_m` metres."""
    import pyarrow as pa
    from scipy.spatial import cKDTree

    squeeze = np.cos(np.radians(stations["lat"].mean())) if len(stations) else 1.0
    scale = np.array([METRES_PER_DEGREE, METRES_PER_DEGREE * squeeze])
    tree = cKDTree(stations[["lat", "lng"]].to_numpy() * scale) if len(stations) else None
    ids = np.array([*stations["id"], None], dtype=object)

    def nearest(lat, lng):  # Arrow columns; DuckDB evaluates annotations, so there are none
        if tree is None:
            return pa.nulls(len(lat), pa.string())
        points = np.stack([lat.to_numpy(), lng.to_numpy()], axis=1) * scale
        _, places = tree.query(points, distance_upper_bound=snap_m)  # too far: the index past the last station
        return pa.array(ids[places], pa.string())

    return nearest


def _frame_around(connection: "duckdb.DuckDBPyConnection", box: Box, options: PlaceOptions) -> Frame:
    """The frame of all stations, ends in the open, and waypoints inside the area."""
    stations = connection.execute("SELECT lat, lng FROM places").fetchnumpy()
    lat, lng = list(stations["lat"]), list(stations["lng"])
    queries = ["SELECT lat, lng FROM open_ends"]
    if connection.execute("SELECT count(waypoints) FROM judged WHERE reason IS NULL").fetchone()[0]:
        fixes = "SELECT waypoints, unnest(range(1, len(waypoints), 2)) AS i FROM judged WHERE reason IS NULL"
        points = f"SELECT waypoints[i] AS lat, waypoints[i + 1] AS lng FROM ({fixes})"
        queries.append(f"SELECT * FROM ({points}) WHERE {box.holds('lat', 'lng')}")
    for query in queries:
        bounds = connection.execute(f"SELECT min(lat), max(lat), min(lng), max(lng) FROM ({query})").fetchone()
        if bounds[0] is not None:
            lat += bounds[:2]
            lng += bounds[2:]
    if not lat:
        raise InputError("no station is used often enough: all trips touch one-off places; give more trips")
    return Frame.around(lat, lng, height=options.height, width=options.width)


def _add_cells(connection: "duckdb.DuckDBPyConnection", frame: Frame, options: PlaceOptions) -> None:
    """Fill the open places of `open_ends` with cells of the frame, and add the cells to `places`."""
    rows_per_degree = frame.height / (frame.north - frame.south) / options.cell_px
    cols_per_degree = frame.width / (frame.east - frame.west) / options.cell_px
    row = f"CAST(floor(({frame.north!r} - lat) * {rows_per_degree!r}) AS INTEGER)"
    col = f"CAST(floor((lng - {frame.west!r}) * {cols_per_degree!r}) AS INTEGER)"
    connection.execute(f"UPDATE open_ends SET place = '{CELL_PREFIX}' || {row} || ':' || {col} WHERE place IS NULL")
    cells = connection.execute(
        f"SELECT place, count(*) AS uses FROM open_ends WHERE place LIKE '{CELL_PREFIX}%' GROUP BY place "
        f"HAVING uses >= {options.min_uses} ORDER BY place"
    ).fetchall()
    rows = []
    for place, uses in cells:
        row, col = map(int, place.removeprefix(CELL_PREFIX).split(":"))
        lat, lng = frame.to_degrees((col + 0.5) * options.cell_px, (row + 0.5) * options.cell_px)
        rows.append((place, f"cell {row},{col}", float(lat), float(lng), uses))
    if rows:
        connection.executemany("INSERT INTO places VALUES (?, ?, ?, ?, ?)", rows)


def write_stations(connection: "duckdb.DuckDBPyConnection", path: Path) -> int:
    """Write GeoParquet of all places of the table `kept`, with their starts and ends; gives how many."""
    import geopandas

    counts = " UNION ALL ".join(
        f"SELECT {end}_station_id AS id, {int(end == 'start')} AS starts, {int(end == 'end')} AS ends FROM kept"
        for end in _ENDS
    )
    table = connection.execute(f"""
        SELECT id AS station_id, name, lat, lng, CAST(starts AS BIGINT) AS starts, CAST(ends AS BIGINT) AS ends
        FROM (SELECT id, sum(starts) AS starts, sum(ends) AS ends FROM ({counts}) GROUP BY id)
        JOIN places USING (id) ORDER BY id""").df()
    table["uses"] = table["starts"] + table["ends"]
    points = geopandas.points_from_xy(table.pop("lng"), table.pop("lat"))
    with write_atomically(path) as temporary:
        geopandas.GeoDataFrame(table, geometry=points, crs="EPSG:4326").to_parquet(temporary)
    return len(table)


# ---- coordinates that live apart


def load_station_file(connection: "duckdb.DuckDBPyConnection", path: Path) -> None:
    """Make the table `station_file` (key, name, lat, lng) from GBFS station_information, GeoJSON or CSV.

    A station is found by its id and by its short name, since trips may use either.

    Raises
    ------
    InputError
        No such file; not one of the three kinds; no ids or coordinates in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of stations; give GBFS station_information, GeoJSON or CSV")
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        stations = _stations_of_json(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else _stations_of_csv(text)
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, OSError) as error:
        raise InputError(f"{path}: {_STATION_HELP} ({error})") from None
    rows = {}
    for keys, name, lat, lng in stations:
        for key in keys:
            rows.setdefault(key, (key, name, lat, lng))
    if not rows:
        raise InputError(f"{path}: {_STATION_HELP}")
    connection.execute("CREATE TABLE station_file (key VARCHAR, name VARCHAR, lat DOUBLE, lng DOUBLE)")
    connection.executemany("INSERT INTO station_file VALUES (?, ?, ?, ?)", list(rows.values()))


_Stations = list[tuple[list[str], str | None, float, float]]  # keys, name, lat, lng
_STATION_HELP = (
    "no stations with id and coordinates in it; give GBFS station_information, GeoJSON points with id and name, or a "
    "CSV with station_id, name, lat, lng"
)
_HEADERS = {
    "key": ("stationid", "id", "shortname", "terminal"),
    "name": ("name", "stationname"),
    "lat": ("lat", "latitude"),
    "lng": ("lng", "lon", "long", "longitude"),
}


def _stations_of_json(value: Any) -> _Stations:
    """Stations of GBFS (`data.stations`) or of GeoJSON points."""
    if isinstance(value, dict) and "features" in value:
        points = [feature for feature in value["features"] if (feature.get("geometry") or {}).get("type") == "Point"]
        found = [
            _station({"id": point.get("id"), **point["properties"]}, *point["geometry"]["coordinates"][1::-1])
            for point in points
        ]
    else:
        records = value["data"]["stations"] if isinstance(value, dict) else value
        found = [_station(record, record.get("lat"), record.get("lon")) for record in records]
    return [station for station in found if station]


def _stations_of_csv(text: str) -> _Stations:
    """Stations of a CSV whose header names id, name, lat and lng in one of the usual ways."""
    stations = []
    for record in csv.DictReader(text.splitlines()):
        normal = {normalise(key): value for key, value in record.items() if key}
        lat, lng = (next((normal[key] for key in _HEADERS[axis] if normal.get(key)), None) for axis in ("lat", "lng"))
        if station := _station(normal, lat, lng):
            stations.append(station)
    return stations


def _station(record: dict[str, Any], lat: Any, lng: Any) -> tuple[list[str], str | None, float, float] | None:
    """One station with all ids it goes by; None without id or coordinates."""
    normal = {normalise(key): value for key, value in record.items()}
    keys = [str(normal[key]).strip() for key in _HEADERS["key"] if normal.get(key) not in (None, "")]
    if not keys or lat is None or lng is None:
        return None
    name = next((normal[key] for key in _HEADERS["name"] if normal.get(key)), None)
    return keys, name, float(lat), float(lng)
