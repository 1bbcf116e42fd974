"""Files of stations: coordinates may live apart from the trips, in any of the usual kinds of file."""

import json

import pandas as pd
import pytest

from rasterize.errors import InputError
from rasterize.ingest.ingest import read_trips
from rasterize.ingest.options import IngestOptions
from tests.trip_files import write_text

TRIPS = "from,to,begin,end\nA1,B2,2019-01-31 10:00,2019-01-31 10:20\nB2,A1,2019-01-31 11:00,2019-01-31 11:20\n"
COLUMNS = {"started_at": "begin", "ended_at": "end", "start_station_id": "from", "end_station_id": "to"}
GBFS = {
    "data": {
        "stations": [
            {"station_id": "17950", "short_name": "A1", "name": "Alder", "lat": 45.5, "lon": -73.6},
            {"station_id": "B2", "name": None, "lat": 45.51, "lon": -73.61},
            {"station_id": "C3", "lat": None, "lon": None},
        ]
    }
}
GEOJSON = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": "A1",
            "geometry": {"type": "Point", "coordinates": [-73.6, 45.5]},
            "properties": {"name": "Alder"},
        },
        {"type": "Feature", "geometry": {"type": "Point", "coordinates": [-73.61, 45.51]}, "properties": {"ID": "B2"}},
        {"type": "Feature", "geometry": None, "properties": {"ID": "C3"}},
    ],
}
FILES = {
    "s.json": json.dumps(GBFS),
    "s.geojson": json.dumps(GEOJSON),
    "s.csv": "Station ID,Name,Latitude,Long\nA1,Alder,45.5,-73.6\nB2,,45.51,-73.61\nC3,x,,\n",
}


@pytest.mark.parametrize("name", FILES)
def test_coordinates_may_live_apart(name, tmp_path):
    write_text(tmp_path / name, FILES[name])
    options = IngestOptions(columns=COLUMNS, stations=tmp_path / name)
    trips = read_trips([write_text(tmp_path / "t.csv", TRIPS)], options=options)
    assert trips[["start_lat", "start_lng"]].to_numpy().tolist() == [[45.5, -73.6], [45.51, -73.61]]
    assert trips["start_station_name"][0] == "Alder" and pd.isna(trips["end_station_name"][0])


@pytest.mark.parametrize("text", ["", "{}", "[1]", '{"data": {"stations": []}}', "a,b\n1,2\n", '{"features": [{}]}'])
def test_a_file_that_holds_no_stations_is_refused(text, tmp_path):
    trips, stations = write_text(tmp_path / "t.csv", TRIPS), write_text(tmp_path / "s.json", text)
    with pytest.raises(InputError, match=r"s.json: no stations with id and coordinates.*GBFS"):
        read_trips([trips], options=IngestOptions(columns=COLUMNS, stations=stations))


def test_stations_of_another_town_are_refused(tmp_path):
    trips = write_text(tmp_path / "t.csv", TRIPS)
    stations = write_text(tmp_path / "s.csv", "id,lat,lon\nZ9,45.5,-73.6\n")
    with pytest.raises(InputError, match="t.csv: none of its 2 rows has a station that the file of stations knows"):
        read_trips([trips], options=IngestOptions(columns=COLUMNS, stations=stations))
    with pytest.raises(InputError, match="no.csv: no such file of stations"):
        read_trips([trips], options=IngestOptions(columns=COLUMNS, stations=tmp_path / "no.csv"))


def test_a_column_map_with_stations_apart_reads_any_file(tmp_path):
    rows = ["from,to,left;x,took", "A1,B2,31.01.2019 10:00,12:30", "B2,A1,01.02.2019 11:00,0:11:00"]
    text = "\n".join([*rows, "B2,9,01.02.2019 11:00,0:11:00", ""])  # no duration h:mm:ss; fine; no such station
    path = write_text(tmp_path / "t.csv", text)
    stations = {"data": {"stations": [{"station_id": "a", "short_name": "A1", "name": "Ä", "lat": 45.5, "lon": -73.6}]}}
    stations["data"]["stations"].append({"station_id": "B2", "lat": 45.51, "lon": -73.61})
    (tmp_path / "s.json").write_text(json.dumps(stations))
    columns = {"started_at": "left;x", "duration_clock": "took", "start_station_id": "from", "end_station_id": "to"}
    options = IngestOptions(columns=columns, stations=tmp_path / "s.json")
    trips = read_trips([path], options=options)
    assert trips["start_station_id"].tolist() == ["B2"] and trips["duration_s"].tolist() == [660]
    assert trips["end_station_name"].tolist() == ["Ä"] and trips["start_lat"].tolist() == [45.51]
