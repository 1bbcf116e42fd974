"""The raster stage: the run folder it leaves."""

import json

import numpy as np
import pandas as pd
import pytest

from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from rasterize.ingest.options import IngestOptions
from rasterize.run import raster
from rasterize.strokes.options import RasterOptions
from tests.rasterize.conftest import rasterized


def test_the_run_folder_holds_what_later_stages_need(city, tmp_path):
    made = rasterized(city, tmp_path)
    trips = pd.read_parquet(tmp_path / "trips.parquet")
    images = ImageSet.open(tmp_path / "images")
    assert len(images) == (trips["split"] == "A").sum() == len(np.load(tmp_path / "images" / "images.npy"))
    for name in ("stations.parquet", "raster.json", "images/contact_sheet.png", "images/density.png"):
        assert (tmp_path / name).stat().st_size > 0
    rejects = json.loads((tmp_path / "rejects.json").read_text())
    assert rejects["kept"] == len(trips) and rejects["kept"] + sum(rejects["rejected"].values()) == rejects["rows"]
    config = json.loads((tmp_path / "raster.json").read_text())
    assert config["raster"]["trips_per_image"] == 1 and len(config["files"]["simulated.csv"]) == 64
    assert made.stored and not list(tmp_path.rglob("*.tmp*"))


def test_stored_and_drawn_images_agree_to_half_precision(city, tmp_path):
    rasterized(city, tmp_path, trips_per_image=4)
    images = ImageSet.open(tmp_path / "images")
    stored = np.load(tmp_path / "images" / "images.npy").astype(np.float32)
    assert np.allclose(images.read(np.arange(len(images))), stored, rtol=2**-11, atol=1e-6)
    assert images.labels.shape == (len(stored), 4)


def test_the_same_seed_gives_the_same_images(city, tmp_path):
    fingerprints = []
    for name, seed in (("a", 0), ("b", 0), ("c", 5)):
        rasterized(city, tmp_path / name, seed=seed)
        fingerprints.append(ImageSet.open(tmp_path / name / "images").fingerprint)
    assert fingerprints[0] == fingerprints[1] != fingerprints[2]


def test_a_stage_that_fails_leaves_nothing_finished(city, tmp_path):
    rasterized(city, tmp_path)
    with pytest.raises(InputError):
        raster([str(tmp_path / "none.csv")], tmp_path, ingest_options=IngestOptions(), options=RasterOptions())
    with pytest.raises(InputError, match="no finished image set"):
        ImageSet.open(tmp_path / "images")


def test_options_are_checked():
    with pytest.raises(InputError, match="1 or more"):
        RasterOptions(trips_per_image=0)
    with pytest.raises(InputError, match="modes: abod, grey"):
        _ = RasterOptions(trips_per_image=1, mode="colour").drawing
