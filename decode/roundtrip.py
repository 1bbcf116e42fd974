"""The codec alone, no GAN: trips → images (spoiled, if wanted) → trips, and how many pairs of places come back."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.confidence import CONFIDENT, fit_confidence, is_right
from decode.estimate import choose_sample, estimate_degradation
from decode.options import RoundtripOptions
from decode.solver.decoder import Decoder
from decode.solver.degradation import CLEAN, DEGRADATIONS, Degradation, draw_degraded
from decode.solver.routes import Routes, read_routes
from decode.solver.solution import Solution, join_solutions
from rasterize.ingest.ingest import Ingested, ingest_files
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.strokes.channels import DEFAULT_ATTRIBUTES
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes
from rasterize.strokes.table import encode_trips

BATCH = 512  # images drawn and decoded at a time


def roundtrip_files(paths: Sequence[str], options: RoundtripOptions, *, seed: int = 0) -> dict[str, Any]:
    """Run `roundtrip` on random trips of any files, read and cleaned into a temporary folder.

    Nothing is a label here, so that any trips may share an image.

    Parameters
    ----------
    paths : sequence of str
        Files, globs and folders of trips.
    options : RoundtripOptions
        How trips are drawn and spoiled.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    dict
        See `roundtrip`.
    """
    labels_off = dict.fromkeys((name for name, kind in DEFAULT_ATTRIBUTES.items() if kind == "factor"), "off")
    with TemporaryDirectory() as folder:
        reading = IngestOptions(stops=StopOptions(resolution=options.resolution), seed=seed)
        ingested = ingest_files(paths, Path(folder), options=reading)
        drawing = RasterOptions(
            trips_per_image=options.trips_per_image,
            mode=options.mode,
            layout=options.layout,
            attributes=labels_off,
            seed=seed,
        )
        degradation = replace(DEGRADATIONS[options.noise], lost=options.lost)
        return roundtrip(
            Path(folder),
            ingested,
            trips=options.rows,
            options=drawing,
            degradation=degradation,
            route_file=options.routes,
        )


def roundtrip(
    run: Path,
    ingested: Ingested,
    *,
    trips: int,
    options: RasterOptions,
    degradation: Degradation = CLEAN,
    route_file: Path | None = None,
) -> dict[str, Any]:
    """Draw random trips of an ingested run folder as `degradation` says, decode the images, and compare.

    The decoder is not told of the degradation. Precision and recall count pairs of places within each image, as
    multisets (two equal trips count twice): directed, and undirected for comparison. `value_error` is the median and
    the 99th percentile of |level − painted level| over rightly found pairs that stand once in their image; levels run
    from 0 to 1. `confident` is the share of found trips with a confidence of at least .9, and how many of these are
    right.
    """
    table = pd.read_parquet(run / "trips.parquet")
    table = table.sample(min(trips, len(table)), random_state=options.seed).assign(split="A")
    stations = gpd.read_parquet(run / "stations.parquet")
    spec, strokes, _, _ = encode_trips(table, stations, ingested.frame, ingested.source, options)
    routes = read_routes(route_file, spec) if route_file else None
    true, found, confidence = _draw_and_decode(spec, strokes, degradation, routes, options.seed)
    directed, undirected = _count(true, found), _count(_undirected(true), _undirected(found))
    errors = _value_errors(true, found)
    right = is_right(strokes, found, ordered=options.mode != "grey")[confidence >= CONFIDENT]
    return {
        "trips": len(table),
        "images": len(strokes.offsets) - 1,
        "trips_per_image": options.trips_per_image,
        "resolution": [spec.frame.height, spec.frame.width],
        "stations": len(stations),
        "places": len(spec.places),
        "precision": directed["both"] / max(1, directed["found"]),
        "recall": directed["both"] / max(1, directed["true"]),
        "undirected_precision": undirected["both"] / max(1, undirected["found"]),
        "undirected_recall": undirected["both"] / max(1, undirected["true"]),
        "value_error": [float(q) for q in np.quantile(errors, [0.5, 0.99])] if len(errors) else None,
        "confident": [len(right) / max(1, len(confidence)), float(right.mean()) if len(right) else None],
    }


class _Rows(NamedTuple):
    """Trips by image: image number [S], ends [S, 2], levels [S, P]."""

    image: NDArray
    ends: NDArray
    values: NDArray


def _draw_and_decode(
    spec: StrokeSpec, strokes: Strokes, degradation: Degradation, routes: Routes | None, seed: int
) -> tuple[_Rows, Solution, NDArray]:
    """The drawn trips, the found ones, and the confidence of these."""
    count = len(strokes.offsets) - 1
    parts = [np.arange(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]

    def draw(which: NDArray, part: int) -> NDArray:
        return draw_degraded(spec, strokes.take(which), degradation, np.random.default_rng([seed, part]))

    sample = draw(choose_sample(count, spec.trips_per_image), len(parts))
    estimate = estimate_degradation(sample, spec, routes=routes)
    decoder = Decoder(spec, degradation=estimate, routes=routes)
    solutions = [decoder.solve(draw(which, part)) for part, which in enumerate(parts)]
    found = join_solutions(
        [replace(one, image=one.image + which[0]) for one, which in zip(solutions, parts, strict=True)]
    )
    calibration = fit_confidence(spec, estimate, found.ends, routes=routes, seed=seed)
    image = np.repeat(np.arange(count), np.diff(strokes.offsets))
    return _Rows(image, strokes.ends, strokes.values), found, calibration.confidence(found.evidence)


def _undirected(rows: _Rows | Solution) -> _Rows:
    return _Rows(rows.image, np.sort(rows.ends, axis=1), rows.values)


def _count(true: _Rows, found: _Rows | Solution) -> dict[str, int]:
    multisets = [Counter(zip(rows.image.tolist(), *rows.ends.T.tolist(), strict=True)) for rows in (true, found)]
    both = (multisets[0] & multisets[1]).total()
    return {"true": multisets[0].total(), "found": multisets[1].total(), "both": both}


def _value_errors(true: _Rows, found: Solution) -> NDArray:
    tables = []
    for rows in (true, found):
        origin, destination = rows.ends.T
        table = pd.DataFrame(
            {"image": rows.image, "origin": origin, "destination": destination, "row": range(len(origin))}
        )
        tables.append(table.drop_duplicates(["image", "origin", "destination"], keep=False))
    pairs = tables[0].merge(tables[1], on=["image", "origin", "destination"])
    return np.abs(true.values[pairs["row_x"]] - found.values[pairs["row_y"]]).ravel()
