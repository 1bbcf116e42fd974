"""Station coordinates that live apart from the trips: GBFS, GeoJSON or CSV."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import duckdb

from rasterize.errors import InputError
from rasterize.formats.dialects import normalise

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
