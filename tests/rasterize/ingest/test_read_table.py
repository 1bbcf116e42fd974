"""A table becomes a part once: an interrupted run goes on from the parts that are there."""

import json
import os

from rasterize.files import sha256
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import CleanOptions, IngestOptions
from rasterize.ingest.read_table import make_part
from rasterize.ingest.unpack import find_tables


def test_a_part_that_is_there_is_not_made_again(files, tmp_path):
    run, options = tmp_path / "run", IngestOptions()
    whole = ingest_files(files, tmp_path / "whole", options=options)
    part = make_part(find_tables(files[0])[0], run / "parts", options)
    record = json.loads(part.path.with_suffix(".json").read_text())
    part.path.with_suffix(".json").write_text(json.dumps(record | {"name": "as it was"}))
    ingested = ingest_files(files, run, options=options)
    assert [table["file"] for table in ingested.rejects["files"]] == ["as it was", "b.csv"]
    assert ingested.rejects["rejected"] == whole.rejects["rejected"] == {"unreadable time": 1}
    assert sha256(run / "trips.parquet") == sha256(tmp_path / "whole" / "trips.parquet")
    assert not (run / "parts").exists()


def test_a_part_follows_its_file_and_how_it_is_read(files, tmp_path):
    (table,) = find_tables(files[0])
    strict = IngestOptions(clean=CleanOptions(min_duration_s=300))
    paths = [make_part(table, tmp_path / "parts", options).path for options in (IngestOptions(), strict, strict)]
    assert paths[0] != paths[1] == paths[2]
    os.utime(files[0], (1e9, 1e9))
    assert make_part(table, tmp_path / "parts", strict).path not in paths
