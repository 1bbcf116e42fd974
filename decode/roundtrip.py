"""The codec alone, no GAN: trips → images (spoiled, if wanted) → trips, and how many pairs of places come back."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from decode.confidence import CONFIDENT, fit_confidence
from decode.estimate import choose_sample, estimate_degradation
from decode.options import RoundtripOptions
from decode.solver.decoder import Decoder
from decode.solver.degradation import DEGRADATIONS, Degradation, draw_degraded
from decode.solver.routes import Routes, read_routes
from decode.solver.solution import Solution, join_solutions, match_trips
from rasterize.ingest.ingest import Ingested, ingest_files
from rasterize.ingest.options import IngestOptions, StopOptions
from rasterize.strokes.channels import DEFAULT_ATTRIBUTES
from rasterize.strokes.options import RasterOptions
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes
from rasterize.strokes.table import encode_trips

BATCH = 512  # images drawn and decoded at a time


def roundtrip_files(paths: Sequence[str], options: RoundtripOptions, *, seed: int = 0) -> dict[str, Any]:
    """Draw random trips of any files as images, decode these, and measure how many trips come back.

    Parameters
    ----------
    paths : sequence of str
        Files, globs and folders of trips; they are read and cleaned into a temporary folder.
    options : RoundtripOptions
        How trips are drawn and spoiled; the decoder is not given this. Nothing is a label, so that any trips may
        share an image.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    dict
        - `precision`, `recall`: of directed pairs of places within each image, as multisets: two equal trips count
          twice. `undirected_precision`, `undirected_recall`: the same without direction.
        - `value_error`: median and 99th percentile of |level − painted level|; levels run from 0 to 1. Only rightly
          found pairs that stand once in their image count.
        - `confident`: share of found trips with a confidence of at least .9, and how many of these are right.
        - counts of `trips`, `images`, `stations` and `places`, `trips_per_image`, and the `resolution`.
    """
    labels_off = dict.fromkeys((name for name, kind in DEFAULT_ATTRIBUTES.items() if kind == "factor"), "off")
    drawing = RasterOptions(
        trips_per_image=options.trips_per_image,
        mode=options.mode,
        layout=options.layout,
        attributes=labels_off,
        seed=seed,
    )
    degradation = replace(DEGRADATIONS[options.noise], lost=options.lost)
    with TemporaryDirectory() as folder:
        reading = IngestOptions(stops=StopOptions(resolution=options.resolution), seed=seed)
        ingested = ingest_files(paths, Path(folder), options=reading)
        return _roundtrip_ingested(Path(folder), ingested, drawing, options.rows, degradation, options.routes)


def _roundtrip_ingested(
    run: Path,
    ingested: Ingested,
    options: RasterOptions,
    trips: int,
    degradation: Degradation,
    route_file: Path | None,
) -> dict[str, Any]:
    """Draw random trips of an ingested run folder, decode the images, and compare: the figures of `roundtrip_files`."""
    # Random trips → strokes.
    table = pd.read_parquet(run / "trips.parquet")
    table = table.sample(min(trips, len(table)), random_state=options.seed).assign(split="A")
    stations = gpd.read_parquet(run / "stations.parquet")
    spec, strokes, _, _ = encode_trips(table, stations, ingested.frame, ingested.source, options)
    routes = read_routes(route_file, spec) if route_file else None
    # Strokes → images → strokes.
    solution, confidence = _draw_and_decode(spec, strokes, degradation, routes, options.seed)
    # Which came back?
    directed, undirected = (
        match_trips(strokes, solution.image, solution.ends, ordered=ordered) for ordered in (True, False)
    )
    errors = _value_errors(strokes, solution)
    sure = (undirected if options.mode == "grey" else directed)[confidence >= CONFIDENT]
    return {
        "trips": len(table),
        "images": len(strokes.offsets) - 1,
        "trips_per_image": options.trips_per_image,
        "resolution": [spec.frame.height, spec.frame.width],
        "stations": len(stations),
        "places": len(spec.places),
        "precision": int(directed.sum()) / max(1, len(directed)),
        "recall": int(directed.sum()) / max(1, len(strokes.ends)),
        "undirected_precision": int(undirected.sum()) / max(1, len(undirected)),
        "undirected_recall": int(undirected.sum()) / max(1, len(strokes.ends)),
        "value_error": [float(q) for q in np.quantile(errors, [0.5, 0.99])] if len(errors) else None,
        "confident": [len(sure) / max(1, len(confidence)), float(sure.mean()) if len(sure) else None],
    }


def _draw_and_decode(
    spec: StrokeSpec, strokes: Strokes, degradation: Degradation, routes: Routes | None, seed: int
) -> tuple[Solution, NDArray]:
    """Draw trips as `degradation` says and decode them; return the solution, and the confidence of its trips."""
    count = len(strokes.offsets) - 1
    batches = [np.arange(first, min(first + BATCH, count)) for first in range(0, count, BATCH)]

    def draw(which: NDArray, stream: int) -> NDArray:
        return draw_degraded(spec, strokes.take(which), degradation, np.random.default_rng([seed, stream]))

    # The decoder looks at a sample first, as it does on a run folder.
    sample = draw(choose_sample(count, spec.trips_per_image), len(batches))
    estimate = estimate_degradation(sample, spec, routes=routes)
    decoder = Decoder(spec, degradation=estimate, routes=routes)
    # Batches keep memory small: no more images exist at a time.
    solutions = [decoder.solve(draw(which, stream)) for stream, which in enumerate(batches)]
    solution = join_solutions(
        [replace(one, image=one.image + which[0]) for one, which in zip(solutions, batches, strict=True)]
    )
    curve = fit_confidence(spec, estimate, solution.ends, routes=routes, seed=seed)
    return solution, curve.confidence(solution.evidence)


def _value_errors(strokes: Strokes, solution: Solution) -> NDArray:
    """Return |level − painted level| of pairs that are found and that stand once in their image, flat."""
    image = np.repeat(np.arange(len(strokes.offsets) - 1), np.diff(strokes.offsets))
    drawn, found = _single_rows(image, strokes.ends), _single_rows(solution.image, solution.ends)
    pairs = drawn.merge(found, on=["image", "origin", "destination"])
    return np.abs(strokes.values[pairs["row_x"]] - solution.values[pairs["row_y"]]).ravel()


def _single_rows(image: NDArray, ends: NDArray) -> pd.DataFrame:
    """Return image, ends and row of each trip that stands once in its image."""
    origin, destination = ends.T
    table = pd.DataFrame({"image": image, "origin": origin, "destination": destination, "row": range(len(ends))})
    return table.drop_duplicates(["image", "origin", "destination"], keep=False)
