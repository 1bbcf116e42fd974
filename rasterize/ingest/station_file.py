"""Station coordinates that live apart from the trips: GBFS, GeoJSON or CSV."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import duckdb

from rasterize.errors import InputError
from rasterize.formats.dialects import normalise

_Station = tuple[list[str], str | None, float, float]  # keys, name, lat, lng
_STATION_HELP = (
    "no stations with id and coordinates in it; give GBFS station_information, GeoJSON points with id and name, or a "
    "CSV with station_id, name, lat, lng"
)
# The names under which files give each, as `normalise` spells them; the first that holds something counts.
_HEADERS = {
    "key": ("stationid", "id", "shortname", "terminal"),
    "name": ("name", "stationname"),
    "lat": ("lat", "latitude"),
    "lng": ("lng", "lon", "long", "longitude"),
}


def load_station_file(connection: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Make the table `station_file` (key, name, lat, lng) from GBFS station_information, GeoJSON or CSV.

    A station is found by its id and by its short name, since trips may use either.

    Raises
    ------
    InputError
        No such file; not one of the three kinds; no ids or coordinates in it.
    """
    if not path.is_file():
        raise InputError(f"{path}: no such file of stations; give GBFS station_information, GeoJSON or CSV")
    # Whatever a file that holds no stations makes go wrong becomes one line for the user.
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8-sig")
        stations = _read_json(json.loads(text)) if text.lstrip()[:1] in ("{", "[") else _read_csv(text)
    except (ValueError, LookupError, TypeError, AttributeError, EOFError, OSError) as error:
        raise InputError(f"{path}: {_STATION_HELP} ({error})") from None
    # A station by each of its keys; the first station of a key keeps it.
    rows = {}
    for keys, name, lat, lng in stations:
        for key in keys:
            rows.setdefault(key, (key, name, lat, lng))
    if not rows:
        raise InputError(f"{path}: {_STATION_HELP}")
    connection.execute("CREATE TABLE station_file (key VARCHAR, name VARCHAR, lat DOUBLE, lng DOUBLE)")
    connection.executemany("INSERT INTO station_file VALUES (?, ?, ?, ?)", list(rows.values()))


def _read_json(value: Any) -> list[_Station]:
    """Read stations of GBFS (`data.stations`) or of GeoJSON points."""
    if isinstance(value, dict) and "features" in value:
        # GeoJSON gives longitude first.
        points = [feature for feature in value["features"] if (feature.get("geometry") or {}).get("type") == "Point"]
        stations = [
            _make_station({"id": point.get("id"), **point["properties"]}, *point["geometry"]["coordinates"][1::-1])
            for point in points
        ]
    else:
        records = value["data"]["stations"] if isinstance(value, dict) else value
        stations = [_make_station(record, record.get("lat"), record.get("lon")) for record in records]
    return [station for station in stations if station]


def _read_csv(text: str) -> list[_Station]:
    """Read stations of a CSV whose header names id, name, lat and lng in one of the usual ways."""
    stations = []
    for record in csv.DictReader(text.splitlines()):
        normal = {normalise(key): value for key, value in record.items() if key}
        lat, lng = (next((normal[key] for key in _HEADERS[axis] if normal.get(key)), None) for axis in ("lat", "lng"))
        if station := _make_station(normal, lat, lng):
            stations.append(station)
    return stations


def _make_station(record: dict[str, Any], lat: Any, lng: Any) -> _Station | None:
    """Return a station with all ids it goes by; None without id or coordinates."""
    normal = {normalise(key): value for key, value in record.items()}
    keys = [str(normal[key]).strip() for key in _HEADERS["key"] if normal.get(key) not in (None, "")]
    if not keys or lat is None or lng is None:
        return None
    name = next((normal[key] for key in _HEADERS["name"] if normal.get(key)), None)
    return keys, name, float(lat), float(lng)
