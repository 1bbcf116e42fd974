"""The codec alone, no GAN: trips → images → trips, and how many pairs of places come back."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.solve import solve
from rasterize.attributes import DEFAULT_ATTRIBUTES
from rasterize.imageset import Strokes, draw_images
from rasterize.raster import RasterOptions, encode_trips
from rasterize.read import Ingested, IngestOptions, ingest
from rasterize.spec import Spec
from rasterize.stations import PlaceOptions

BATCH = 512  # images drawn and decoded at a time


def roundtrip_files(
    paths: Sequence[str], *, shape: tuple[int, int], trips: int, trips_per_image: int, mode: str = "abod", seed: int = 0
) -> dict[str, Any]:
    """`roundtrip` of random trips of any files, read and cleaned into a temporary folder.

    Nothing is a label here, so that any trips may share an image.
    """
    labels_off = dict.fromkeys((name for name, kind in DEFAULT_ATTRIBUTES.items() if kind == "factor"), "off")
    with TemporaryDirectory() as folder:
        options = IngestOptions(places=PlaceOptions(height=shape[0], width=shape[1]), seed=seed)
        ingested = ingest(paths, Path(folder), options=options)
        options = RasterOptions(trips_per_image=trips_per_image, mode=mode, attributes=labels_off, seed=seed)
        return roundtrip(Path(folder), ingested, trips=trips, options=options)


def roundtrip(run: Path, ingested: Ingested, *, trips: int, options: RasterOptions) -> dict[str, Any]:
    """Draw random trips of an ingested run folder, decode the images, and compare.

    Precision and recall count pairs of places within each image, as multisets (two equal trips count twice): directed,
    and undirected for comparison. `value_error` is the median and the 99th percentile of |level − painted level| over
    rightly found pairs that stand once in their image; levels run from 0 to 1.
    """
    table = pd.read_parquet(run / "trips.parquet")
    table = table.sample(min(trips, len(table)), random_state=options.seed).assign(split="A")
    stations = gpd.read_parquet(run / "stations.parquet")
    spec, strokes, _, _ = encode_trips(table, stations, ingested.frame, ingested.source, options)
    directed, undirected, errors = Counter(), Counter(), []
    images = len(strokes.offsets) - 1
    for first in range(0, images, BATCH):
        which = np.arange(first, min(first + BATCH, images))
        true, found = _true_and_found(spec, strokes, which)
        directed.update(_count(true[:2], found[:2]))
        undirected.update(_count((true[0], np.sort(true[1], axis=1)), (found[0], np.sort(found[1], axis=1))))
        errors.append(_value_errors(true, found))
    error = np.concatenate(errors)
    return {
        "trips": len(table),
        "images": images,
        "trips_per_image": options.trips_per_image,
        "resolution": [spec.frame.height, spec.frame.width],
        "stations": len(stations),
        "places": len(spec.places),
        "precision": directed["both"] / max(1, directed["found"]),
        "recall": directed["both"] / max(1, directed["true"]),
        "undirected_precision": undirected["both"] / max(1, undirected["found"]),
        "undirected_recall": undirected["both"] / max(1, undirected["true"]),
        "value_error": [float(q) for q in np.quantile(error, [0.5, 0.99])] if len(error) else None,
    }


Rows = tuple[NDArray, NDArray, NDArray]  # image number [S], ends [S, 2], levels [S, P]


def _true_and_found(spec: Spec, strokes: Strokes, which: NDArray) -> tuple[Rows, Rows]:
    span = slice(strokes.offsets[which[0]], strokes.offsets[which[-1] + 1])
    image = np.repeat(np.arange(len(which)), np.diff(strokes.offsets[which[0] : which[-1] + 2]))
    found = solve(draw_images(spec, strokes, which), spec)
    return (image, strokes.ends[span], strokes.values[span]), (found.image, found.ends, found.values)


def _count(true: tuple[NDArray, NDArray], found: tuple[NDArray, NDArray]) -> dict[str, int]:
    multisets = [Counter(zip(image, *ends.T, strict=True)) for image, ends in (true, found)]
    both = (multisets[0] & multisets[1]).total()
    return {"true": multisets[0].total(), "found": multisets[1].total(), "both": both}


def _value_errors(true: Rows, found: Rows) -> NDArray:
    tables = []
    for image, ends, _ in (true, found):
        table = pd.DataFrame(
            {"image": image, "origin": ends[:, 0], "destination": ends[:, 1], "row": range(len(image))}
        )
        tables.append(table.drop_duplicates(["image", "origin", "destination"], keep=False))
    pairs = tables[0].merge(tables[1], on=["image", "origin", "destination"])
    return np.abs(true[2][pairs["row_x"]] - found[2][pairs["row_y"]]).ravel()
