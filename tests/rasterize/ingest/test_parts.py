"""Parts: a part is read back as it was written, or not at all; tables that cannot train anything are refused."""

import dataclasses

import numpy as np
import pytest

from rasterize.errors import InputError
from rasterize.ingest.options import IngestOptions
from rasterize.ingest.parts import find_part
from rasterize.ingest.read_table import make_part
from rasterize.ingest.unpack import find_tables
from tests.trip_files import citibike, write_text


def test_a_part_is_read_back_as_it_was_written(files, tmp_path):
    (table,) = find_tables(files[1])
    part = make_part(table, tmp_path, IngestOptions())
    again = find_part(part.path)
    for field in dataclasses.fields(part):
        written, read = getattr(part, field.name), getattr(again, field.name)
        if field.name == "bins":
            for axis in ("lat", "lng"):
                np.testing.assert_array_equal(written[axis], read[axis])
        else:
            assert written == read
    assert sum(len(batch) for batch in again.batches()) == 9


@pytest.mark.parametrize("suffix", [".json", ".arrows"])
def test_half_a_part_is_none(suffix, files, tmp_path):
    (table,) = find_tables(files[0])
    part = make_part(table, tmp_path, IngestOptions())
    assert find_part(part.path) is not None
    part.path.with_suffix(suffix).unlink()
    assert find_part(part.path) is None


@pytest.mark.parametrize(("lat", "lng"), [(-74.03, 40.71), (-8.61, 41.15)])
def test_swapped_coordinates_are_refused_where_all_rows_are(lat, lng, tmp_path):
    names = [f"{end} station {axis}" for end in ("start", "end") for axis in ("latitude", "longitude")]
    path = write_text(tmp_path / "t.csv", citibike([dict(zip(names, (lat, lng, lat + 0.01, lng), strict=True))] * 5))
    message = f"t.csv: latitude and longitude are swapped; 'start station latitude' holds {lat}"
    with pytest.raises(InputError, match=message):
        make_part(*find_tables(path), tmp_path / "parts", IngestOptions())
    assert not list((tmp_path / "parts").glob("*"))
