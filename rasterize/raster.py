"""The raster stage: trip files → clean trips, stations and an image set, in one run folder."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.attributes import Channel, Factor, attribute_values, choose_attributes
from rasterize.clock import count_dates
from rasterize.errors import InputError
from rasterize.files import sha256, write_json
from rasterize.frame import Frame
from rasterize.imageset import (
    STORED_TYPE,
    ImageSet,
    Strokes,
    begin_image_set,
    draw_images,
    write_images,
    write_labels_and_spec,
    write_strokes,
)
from rasterize.pictures import colour_density, draw_density, write_contact_sheet, write_png
from rasterize.places import make_places, merge_stations, trip_places
from rasterize.read import Ingested, IngestOptions, ingest
from rasterize.spec import Drawing, Spec
from rasterize.unpack import find_files

STORE_BATCH = 4096  # images drawn at a time when they are stored


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """How trips become images.

    `attributes` overrides the default way of single attributes ("hour" → "factor", a channel kind, or "off").
    `store_mb` is the size up to which images.npy is written; training draws from strokes.npz in any case.
    """

    trips_per_image: int = 1
    mode: str = "abod"
    blob_sigma_px: float = 0.7
    blob_gain: float = 3.0
    merge_px: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    store_mb: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trips_per_image < 1:
            raise InputError(f"trips per image must be 1 or more, not {self.trips_per_image}")
        if self.merge_px < 0:
            raise InputError(f"--merge-px must be 0 or more, not {self.merge_px}")

    @property
    def drawing(self) -> Drawing:
        """How strokes are drawn; levels are scaled by √K, since few of the K strokes cross one pixel."""
        return Drawing(
            mode=self.mode,
            blob_sigma_px=self.blob_sigma_px,
            blob_gain=self.blob_gain,
            level_scale=float(np.sqrt(self.trips_per_image)),
        )


@dataclass(frozen=True, kw_only=True)
class Rastered:
    """What the stage made: the ingest's counts, the image set, and how many places it shows."""

    ingested: Ingested
    images: ImageSet
    stored: bool


def raster(paths: Sequence[str], run: Path, *, ingest_options: IngestOptions, options: RasterOptions) -> Rastered:
    """Read, clean and draw trips.

    Writes into `run`: trips.parquet, stations.parquet, rejects.json, raster.json (the resolved config), and in images/:
    strokes.npz, labels.npy, images.npy (if small), contact_sheet.png, density.png, and spec.json last.
    """
    folder = run / "images"
    begin_image_set(folder)
    ingested = ingest(paths, run, options=ingest_options)
    trips = pd.read_parquet(run / "trips.parquet")
    stations = gpd.read_parquet(run / "stations.parquet")
    spec, strokes, labels, everyone = encode_trips(trips, stations, ingested.frame, ingested.source, options)
    write_strokes(folder, strokes)
    stored = _store_images(folder, spec, strokes, options.store_mb)
    write_png(folder / "density.png", colour_density(draw_density(spec, everyone)))
    files = {path.name: sha256(path) for path in find_files(paths)}
    stations_file = str(ingest_options.stations) if ingest_options.stations else None
    reading = {**asdict(ingest_options), "stations": stations_file}
    write_json(run / "raster.json", {"ingest": reading, "raster": asdict(options), "files": files})
    write_contact_sheet(folder / "contact_sheet.png", ImageSet(folder, spec, labels))
    write_labels_and_spec(folder, spec, labels)
    return Rastered(ingested=ingested, images=ImageSet.open(folder), stored=stored)


def encode_trips(
    trips: pd.DataFrame,
    stations: gpd.GeoDataFrame,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[Spec, Strokes, NDArray, NDArray]:
    """Clean trips → the spec, the strokes and labels of the training trips (split A), and the places of all trips."""
    place_of = merge_stations(stations, frame, merge_px=options.merge_px)
    train = trips[trips["split"] == "A"].reset_index(drop=True) if "split" in trips else trips
    channels, factors = choose_attributes(train, options.attributes)
    spec = Spec(
        frame=frame,
        drawing=options.drawing,
        channels=channels,
        factors=factors,
        places=make_places(stations, place_of, train),
        trips_per_image=options.trips_per_image,
        bent="waypoints" in train,
        calendar=count_dates(train["started_at"]),
        source=source,
    )
    rng = np.random.default_rng(options.seed)
    labels = encode_labels(train, factors)
    order, offsets = group_by_label(labels, options.trips_per_image, rng)
    train = train.iloc[order].reset_index(drop=True)
    paths, path_offsets = _waypoints(train, frame)
    strokes = Strokes(
        offsets=offsets,
        ends=trip_places(train, stations, place_of),
        values=encode_values(train, channels, rng),
        paths=paths,
        path_offsets=path_offsets,
    )
    return spec, strokes, labels[order][offsets[:-1]], trip_places(trips, stations, place_of)


def encode_labels(trips: pd.DataFrame, factors: Sequence[Factor]) -> NDArray:
    """The label of each trip by factor, int16 [N, F]."""
    columns = [factor.encode(attribute_values(trips, factor.name)) for factor in factors]
    return np.stack(columns, axis=1) if columns else np.zeros((len(trips), 0), np.int16)


def encode_values(trips: pd.DataFrame, channels: Sequence[Channel], rng: np.random.Generator) -> NDArray:
    """The level of each painted plane per trip, float32 [N, P]."""
    levels = [channel.encode(attribute_values(trips, channel.column), rng) for channel in channels]
    return np.concatenate([np.zeros((len(trips), 0)), *levels], axis=1).astype(np.float32)


def group_by_label(labels: NDArray, trips_per_image: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Put trips of equal labels together, up to `trips_per_image` in an image.

    Returns the order of trips, int64 [N], and the offsets of images in it, int64 [images + 1]. Which trips share an
    image, and the order of images, is chance. The last image of each label may hold fewer trips.
    """
    count = len(labels)
    shuffled = rng.permutation(count)
    _, label = (
        np.unique(labels[shuffled], axis=0, return_inverse=True) if labels.shape[1] else (0, np.zeros(count, int))
    )
    by_label = np.argsort(label.reshape(-1), kind="stable")
    label = label.reshape(-1)[by_label]
    new_label = np.flatnonzero(np.diff(label, prepend=-1))
    rank = np.arange(count) - np.repeat(new_label, np.diff(np.append(new_label, count)))
    begins = np.flatnonzero(rank % trips_per_image == 0)
    sizes = np.diff(np.append(begins, count))
    images = rng.permutation(len(begins))
    order = np.concatenate([np.arange(begins[i], begins[i] + sizes[i]) for i in images])
    return shuffled[by_label][order], np.concatenate([[0], np.cumsum(sizes[images])])


def _waypoints(trips: pd.DataFrame, frame: Frame) -> tuple[NDArray, NDArray]:
    if "waypoints" not in trips:
        return np.zeros((0, 2), np.float32), np.zeros(len(trips) + 1, np.int64)
    points = [np.asarray(path, float).reshape(-1, 2) for path in trips["waypoints"]]
    flat = np.concatenate(points)
    sizes = np.array([len(path) for path in points])
    return np.stack(frame.to_pixels(flat[:, 0], flat[:, 1]), axis=1).astype(np.float32), np.concatenate(
        [[0], np.cumsum(sizes)]
    )


def _store_images(folder: Path, spec: Spec, strokes: Strokes, store_mb: int) -> bool:
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
