"""The raster stage: trip files → clean trips, stations and an image set, in one run folder."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, count_dates
from rasterize.errors import InputError
from rasterize.files import sha256, write_json
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
from rasterize.ingest.ingest import Ingested, IngestOptions, ingest
from rasterize.ingest.unpack import find_files
from rasterize.pictures import colour_density, draw_density, write_contact_sheet, write_png
from rasterize.strokes.channels import Channel, Factor, attribute_values, choose_attributes
from rasterize.strokes.frame import Frame
from rasterize.strokes.places import make_places, merge_stations, trip_places
from rasterize.strokes.spec import Drawing, Place, Spec
from rasterize.trip_table import TripFile

USUAL_TRIPS = 4  # per image: ahead of 1, and level with 16 (docs/fidelity.md)
SAME_SPOT_PX = 1e-3
STORE_BATCH = 4096  # images drawn at a time when they are stored
FITTED_TRIPS = 1_000_000  # at most, that channels are fitted to
ENCODE_BATCH = 250_000  # trips encoded at a time
Table = pd.DataFrame | TripFile


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """How trips become images.

    `trips_per_image` None is four, and one where trips have waypoints: several bent strokes are told apart only where
    their routes are known. `attributes` overrides the default way of single attributes ("hour" → "factor", a channel
    kind, or "off"). `store_mb` is the size up to which images.npy is written; training draws from strokes.npz in
    any case.
    """

    trips_per_image: int | None = None
    mode: str = "abod"
    blob_sigma_px: float = 0.7
    blob_gain: float = 3.0
    stroke_sigma_px: float = 0.0
    layout: str = "map"
    merge_px: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    store_mb: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trips_per_image is not None and self.trips_per_image < 1:
            raise InputError(f"trips per image must be 1 or more, not {self.trips_per_image}")
        if self.merge_px < 0:
            raise InputError(f"--merge-px must be 0 or more, not {self.merge_px}")

    def settled(self, *, bent: bool) -> "RasterOptions":
        """The options for trips with waypoints or without."""
        usual = 1 if bent else USUAL_TRIPS
        return self if self.trips_per_image is not None else replace(self, trips_per_image=usual)

    @property
    def drawing(self) -> Drawing:
        """How strokes are drawn, once settled; levels are scaled by √K, since few of the K strokes cross one pixel."""
        return Drawing(
            mode=self.mode,
            blob_sigma_px=self.blob_sigma_px,
            blob_gain=self.blob_gain,
            stroke_sigma_px=self.stroke_sigma_px,
            layout=self.layout,
            level_scale=float(np.sqrt(self.trips_per_image)),
        )


@dataclass(frozen=True, kw_only=True)
class Rastered:
    """What the stage made: the ingest's counts, the image set, and how many places it shows."""

    ingested: Ingested
    images: ImageSet
    stored: bool


def raster(
    paths: Sequence[str],
    run: Path,
    *,
    ingest_options: IngestOptions,
    options: RasterOptions,
    workers: int | None = None,
    scheduler: str | None = None,
) -> Rastered:
    """Read, clean and draw trips; `workers` and `scheduler` say where they are read, see `rasterize.workers.run_parts`.

    Writes into `run`: trips.parquet, stations.parquet, rejects.json, raster.json (the resolved config), and in images/:
    strokes.npz, labels.npy, images.npy (if small), contact_sheet.png, density.png, and spec.json last.
    """
    folder = run / "images"
    begin_image_set(folder)
    ingested = ingest(paths, run, options=ingest_options, workers=workers, scheduler=scheduler)
    stations = gpd.read_parquet(run / "stations.parquet")
    place_of = _find_places(stations, ingested.frame, options)
    train = TripFile(run / "trips.parquet", split="A")
    spec, strokes, labels = _encode(train, stations, place_of, ingested.frame, ingested.source, options)
    write_strokes(folder, strokes)
    stored = _store_images(folder, spec, strokes, options.store_mb)
    del strokes  # of millions of trips they are large
    density = draw_density(spec, _encode_ends(TripFile(run / "trips.parquet"), stations, place_of))
    write_png(folder / "density.png", colour_density(density))
    files = {path.name: sha256(path) for path in find_files(paths)}
    stations_file = str(ingest_options.stations) if ingest_options.stations else None
    reading = {**asdict(ingest_options), "stations": stations_file}
    resolved = {**asdict(options), "trips_per_image": spec.trips_per_image}
    write_json(run / "raster.json", {"ingest": reading, "raster": resolved, "files": files})
    images = ImageSet(folder, spec, labels)
    write_contact_sheet(folder / "contact_sheet.png", images)
    write_labels_and_spec(folder, spec, labels)
    return Rastered(ingested=ingested, images=images, stored=stored)


def encode_trips(
    trips: pd.DataFrame,
    stations: gpd.GeoDataFrame,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[Spec, Strokes, NDArray, NDArray]:
    """Clean trips → the spec, the strokes and labels of the training trips (split A), and the places of all trips."""
    place_of = _find_places(stations, frame, options)
    train = trips[trips["split"] == "A"].reset_index(drop=True) if "split" in trips else trips
    return *_encode(train, stations, place_of, frame, source, options), _encode_ends(trips, stations, place_of)


def _find_places(stations: gpd.GeoDataFrame, frame: Frame, options: RasterOptions) -> NDArray:
    """The place of each station; on a lattice all are far enough apart but those at one spot."""
    return merge_stations(stations, frame, merge_px=options.merge_px if options.layout == "map" else SAME_SPOT_PX)


def _encode(
    train: Table,
    stations: gpd.GeoDataFrame,
    place_of: NDArray,
    frame: Frame,
    source: Mapping[str, Any],
    options: RasterOptions,
) -> tuple[Spec, Strokes, NDArray]:
    """Training trips → the spec, strokes and labels, column by column."""
    options = options.settled(bent="waypoints" in train)
    spec = Spec(
        frame=frame,
        drawing=options.drawing,
        channels=(),
        factors=(),
        places=_count_places(train, stations, place_of),
        trips_per_image=options.trips_per_image,
        bent="waypoints" in train,
        calendar=count_dates(train["started_at"]),
        source=source,
    )

    def known(factors: Sequence[Factor]) -> tuple[NDArray, pd.DataFrame]:
        rows = np.unique(np.linspace(0, len(train) - 1, FITTED_TRIPS).astype(np.int64))
        ends, labels = _encode_ends(train, stations, place_of, rows), encode_labels(train, factors, rows)
        return rows, replace(spec, factors=factors).known_of(ends, labels)

    channels, factors = choose_attributes(train, options.attributes, known)
    spec = replace(spec, channels=channels, factors=factors)
    if spec.bent and options.layout != "map":
        raise InputError(f"--layout {options.layout}: trips with waypoints can be drawn on the map alone")
    rng = np.random.default_rng(options.seed)
    labels = encode_labels(train, factors)
    order, offsets = group_by_label(labels, options.trips_per_image, rng)
    paths, path_offsets = _waypoints(train, frame, order)
    ends = _encode_ends(train, stations, place_of, order)
    strokes = Strokes(
        offsets=offsets,
        ends=ends,
        values=encode_values(train, channels, rng, order, lambda rows: spec.known_of(ends[rows], labels[order[rows]])),
        paths=paths,
        path_offsets=path_offsets,
    )
    return spec, strokes, labels[order[offsets[:-1]]]


def _batches(count: int) -> Iterator[slice]:
    return (slice(first, min(first + ENCODE_BATCH, count)) for first in range(0, count, ENCODE_BATCH))


def _readings(trips: Table, name: str, order: NDArray | None = None) -> Iterator[tuple[slice, pd.Series]]:
    """One attribute of each trip, in the order given, batch by batch."""
    column = "started_at" if name in CLOCK_ATTRIBUTES else name
    values = trips[column]
    for rows in _batches(len(values) if order is None else len(order)):
        some = values.iloc[rows if order is None else order[rows]].reset_index(drop=True)
        yield rows, attribute_values(pd.DataFrame({column: some}), name)


def _encode_ends(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray, order: NDArray | None = None) -> NDArray:
    """Origin and destination place of each trip, in the order given, int32 [N, 2]."""
    columns = ["start_station_id", "end_station_id"]
    places = np.empty((len(trips) if order is None else len(order), 2), np.int32)
    for side, column in enumerate(columns):
        values = trips[column]
        for rows in _batches(len(places)):
            number, ids = pd.factorize(values.iloc[rows if order is None else order[rows]])
            of_id = trip_places(pd.DataFrame(dict.fromkeys(columns, ids)), stations, place_of)
            places[rows, side] = of_id[number, side]
    return places


def _count_places(trips: Table, stations: gpd.GeoDataFrame, place_of: NDArray) -> tuple[Place, ...]:
    """`make_places` from the flows between stations, of which there are fewer than trips."""
    columns = ["start_station_id", "end_station_id"]
    flows = trips[columns].groupby(columns, observed=True).size().rename("trips").reset_index()
    flows[columns] = flows[columns].astype(str)
    starts, ends = (flows.groupby(column)["trips"].sum() for column in columns)
    trips_of = flows.set_index(columns)["trips"]
    places = []
    for place in make_places(stations, place_of, flows):
        inside = tuple(
            replace(station, starts=int(starts.get(station.id, 0)), ends=int(ends.get(station.id, 0)))
            for station in place.stations
        )
        loops = tuple((a, b, int(trips_of[inside[a].id, inside[b].id])) for a, b, _ in place.loops)
        places.append(replace(place, stations=inside, loops=loops))
    return tuple(places)


def encode_labels(trips: Table, factors: Sequence[Factor], order: NDArray | None = None) -> NDArray:
    """The label of each trip by factor, in the order given, int16 [N, F]."""
    labels = np.empty((len(trips) if order is None else len(order), len(factors)), np.int16)
    for place, factor in enumerate(factors):
        for rows, values in _readings(trips, factor.name, order):
            number, found = pd.factorize(values, use_na_sentinel=False)
            labels[rows, place] = factor.encode(pd.Series(found))[number]
    return labels


def encode_values(
    trips: Table,
    channels: Sequence[Channel],
    rng: np.random.Generator,
    order: NDArray | None = None,
    known: Callable[[slice], pd.DataFrame] = lambda rows: None,
) -> NDArray:
    """The level of each painted plane per trip, in the order given, float32 [N, P].

    `known` tells what else is known of some of the trips, see `Spec.known_of`.
    """
    levels = np.empty((len(trips), sum(channel.planes for channel in channels)), np.float32)
    first = 0
    for channel in channels:
        for rows, values in _readings(trips, channel.column, order):
            levels[rows, first : first + channel.planes] = channel.encode(values, rng, known(rows))
        first += channel.planes
    return levels


def redraw_trips(folder: Path, spec: Spec, trips: pd.DataFrame, *, seed: int = 0) -> None:
    """Draw decoded trips as an image set of the same meaning, each trip in an image of its own, in their order."""
    ends, labels = spec.places_of(trips), encode_labels(trips, spec.factors)
    values = encode_values(
        trips, spec.channels, np.random.default_rng(seed), known=lambda rows: spec.known_of(ends[rows], labels[rows])
    )
    begin_image_set(folder)
    write_strokes(folder, Strokes.straight(ends, values=values))
    write_labels_and_spec(folder, replace(spec, trips_per_image=1), labels)


def group_by_label(labels: NDArray, trips_per_image: int, rng: np.random.Generator) -> tuple[NDArray, NDArray]:
    """Put trips of equal labels together, up to `trips_per_image` in an image.

    Returns the order of trips, int64 [N], and the offsets of images in it, int64 [images + 1]. Which trips share an
    image, and the order of images, is chance. The last image of each label may hold fewer trips.
    """
    order = rng.permutation(len(labels))
    label = _number_labels(labels)[order]
    order = order[np.argsort(label, kind="stable")]
    begins, sizes = _cut_images(np.bincount(label), trips_per_image)
    images = rng.permutation(len(begins))
    begins, sizes = begins[images], sizes[images]
    offsets = np.concatenate([[0], np.cumsum(sizes, dtype=np.int64)])
    rows = np.repeat((begins - offsets[:-1]).astype(np.int32), sizes)
    rows += np.arange(len(rows), dtype=np.int32)
    return order[rows], offsets


def _cut_images(trips: NDArray, trips_per_image: int) -> tuple[NDArray, NDArray]:
    """Where images begin, and how many trips they hold, where so many trips of each label follow each other; int32."""
    images = -(-trips // trips_per_image)
    first_trip, first_image = np.cumsum(trips) - trips, np.cumsum(images) - images
    begins = np.repeat((first_trip - first_image * trips_per_image).astype(np.int32), images)
    begins += np.arange(len(begins), dtype=np.int32) * trips_per_image
    left = np.repeat((first_trip + trips).astype(np.int32), images) - begins
    return begins, np.minimum(left, trips_per_image)


def _number_labels(labels: NDArray) -> NDArray:
    """A number for each row of labels, int32 [N], in the order of the rows' first, second, … label."""
    number = np.zeros(len(labels), np.int32)
    for column in labels.T:
        both = number * (int(column.max(initial=0)) + np.int64(1)) + column
        number = pd.factorize(both, sort=True)[0].astype(np.int32)
    return number


def _waypoints(trips: Table, frame: Frame, order: NDArray) -> tuple[NDArray, NDArray]:
    if "waypoints" not in trips:
        return np.zeros((0, 2), np.float32), np.zeros(len(trips) + 1, np.int64)
    points = [np.asarray(path, float).reshape(-1, 2) for path in trips["waypoints"].iloc[order]]
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
