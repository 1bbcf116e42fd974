"""The raster stage: trip files → clean trips, stations and an image set, in one run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd

from rasterize.files import sha256, write_json
from rasterize.flags import make_options
from rasterize.imageset import (
    STORED_TYPE,
    ImageSet,
    begin_image_set,
    write_images,
    write_labels_and_spec,
    write_strokes,
)
from rasterize.ingest.ingest import Ingested, ingest_files
from rasterize.ingest.options import CleanOptions, IngestOptions, StopOptions
from rasterize.ingest.unpack import find_files
from rasterize.jit import announce_compiling
from rasterize.pictures import colour_density, draw_contact_sheet, draw_density, write_png
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.pen import draw_images
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes
from rasterize.strokes.table import encode_ends, encode_labels, encode_training_trips, encode_values, find_places
from rasterize.trip_table import TripFile

SHEET_IMAGES = 60  # on the contact sheet
STORE_BATCH = 4096  # images drawn at a time when they are stored


@dataclass(frozen=True, kw_only=True)
class Rastered:
    """What the stage made: the ingest's counts, the image set, and whether its images are stored."""

    ingested: Ingested
    images: ImageSet
    stored: bool


def make_stage_options(changes: Mapping[str, Any], *, seed: int = 0) -> tuple[IngestOptions, RasterOptions]:
    """Return the options of both halves of the stage from what was set, name by name; all else as by default."""
    clean, stops = make_options(CleanOptions, changes), make_options(StopOptions, changes)
    ingest_options = make_options(IngestOptions, changes, clean=clean, stops=stops, seed=seed)
    return ingest_options, make_options(RasterOptions, changes, seed=seed)


def raster(
    paths: Sequence[str],
    run: Path,
    *,
    ingest_options: IngestOptions,
    options: RasterOptions,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Rastered:
    """Read, clean and draw trips into a run folder.

    Writes trips.parquet, stations.parquet, rejects.json and raster.json (the resolved settings). In images/ it writes
    strokes.npz, labels.npy, images.npy (if small), contact_sheet.png, density.png, and spec.json last.

    Parameters
    ----------
    paths : sequence of str
        Files, globs and folders.
    run : Path
        The run folder; made when it is not there.
    ingest_options : IngestOptions
        How files are read, cleaned and placed.
    options : RasterOptions
        How trips become images.
    workers, scheduler : int, str, optional
        Where files are read, see `rasterize.workers.run_parts`; the result is the same.

    Returns
    -------
    Rastered

    Raises
    ------
    InputError
        A file that cannot be read, options that cannot be, or too few trips.
    """
    announce_compiling()
    folder = run / "images"
    begin_image_set(folder)
    ingested = ingest_files(paths, run, options=ingest_options, workers=workers, scheduler=scheduler)
    stations = gpd.read_parquet(run / "stations.parquet")
    place_of = find_places(stations, ingested.frame, options)
    train = TripFile(run / "trips.parquet", split="A")
    spec, strokes, labels = encode_training_trips(train, stations, place_of, ingested.frame, ingested.source, options)
    write_strokes(folder, strokes)
    stored = _store_images(folder, spec, strokes, options.store_mb)
    del strokes  # of millions of trips they are large
    density = draw_density(spec, encode_ends(TripFile(run / "trips.parquet"), stations, place_of))
    write_png(folder / "density.png", colour_density(density))
    files = {path.name: sha256(path) for path in find_files(paths)}
    stations_file = str(ingest_options.stations) if ingest_options.stations else None
    reading = {**asdict(ingest_options), "stations": stations_file}
    resolved = asdict(options) | asdict(spec.drawing) | {"trips_per_image": spec.trips_per_image}
    write_json(run / "raster.json", {"ingest": reading, "raster": resolved, "files": files})
    images = ImageSet(folder, spec, labels)
    shown = images.read(np.arange(min(SHEET_IMAGES, len(images))))
    write_png(folder / "contact_sheet.png", draw_contact_sheet(shown, spec))
    write_labels_and_spec(folder, spec, labels)
    return Rastered(ingested=ingested, images=images, stored=stored)


def redraw_trips(folder: Path, spec: StrokeSpec, trips: pd.DataFrame, *, seed: int = 0) -> None:
    """Draw decoded trips as an image set of the same meaning, in their order, each in its own image.

    Parameters
    ----------
    folder : Path
        The image set to write.
    spec : StrokeSpec
        Of the images the trips were decoded from.
    trips : DataFrame
        Internal names, one row per trip.
    seed : int
        Seed of where ties of painted ranks fall.
    """
    ends, labels = spec.find_ends(trips), encode_labels(trips, spec.factors)
    values = encode_values(
        trips,
        spec.channels,
        np.random.default_rng(seed),
        features=lambda rows: spec.trip_features(ends[rows], labels[rows]),
    )
    begin_image_set(folder)
    write_strokes(folder, Strokes.straight(ends, values=values))
    write_labels_and_spec(folder, replace(spec, trips_per_image=1), labels)


def _store_images(folder: Path, spec: StrokeSpec, strokes: Strokes, store_mb: int) -> bool:
    count = len(strokes.offsets) - 1
    path = folder / "images.npy"
    if count * np.prod(spec.shape) * np.dtype(STORED_TYPE).itemsize > store_mb * 2**20:
        path.unlink(missing_ok=True)
        return False
    batches = (
        draw_images(spec, strokes, np.arange(at, min(at + STORE_BATCH, count))) for at in range(0, count, STORE_BATCH)
    )
    write_images(path, batches, count=count, shape=spec.shape)
    return True
