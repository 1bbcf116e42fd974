"""Speed and exactness of the codec: drawing, decoding and reading, each beside a rival; prints a Markdown table."""

import platform
import time
from collections.abc import Callable
from datetime import date
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numba
import numpy as np
import pandas as pd
from skimage.transform import probabilistic_hough_line

from decode.solve import solve
from rasterize.city import write_city
from rasterize.frame import Frame
from rasterize.imageset import Strokes, draw_images
from rasterize.read import IngestOptions, ingest
from rasterize.spec import Drawing, Place, Spec

SIDE, STATIONS = 64, 60


def rate(work: Callable[[], object], count: int) -> float:
    """How many per CPU-second, the best of three after one to warm up."""
    work()
    spent = []
    for _ in range(3):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return count / min(spent)


def make_case(trips_per_image: int, images: int) -> tuple[Spec, Strokes]:
    """Random trips between random stations at least 3 pixels apart."""
    rng, points = np.random.default_rng(0), []
    while len(points) < STATIONS:
        point = rng.uniform(2, SIDE - 2, 2)
        if all(np.hypot(*(point - other)) > 3 for other in points):
            points.append(point)
    frame = Frame(west=0, south=0, east=1, north=1, height=SIDE, width=SIDE)
    lat, lng = frame.to_degrees(*np.array(points).T)
    spec = Spec(
        frame=frame,
        drawing=Drawing(),
        channels=(),
        factors=(),
        places=tuple(Place(lat=a, lng=b, stations=()) for a, b in zip(lat, lng, strict=True)),
        trips_per_image=trips_per_image,
    )
    ends = rng.integers(0, STATIONS, (images * trips_per_image, 2))
    return spec, Strokes.straight(ends, offsets=np.arange(images + 1) * trips_per_image)


def draw_with_opencv(spec: Spec, strokes: Strokes, images: int) -> None:
    """The rival: anti-aliased `cv2.line` on a plane of its own per stroke, summed (cv2.line alone overwrites)."""
    xy = np.rint(spec.place_xy * 8).astype(int)
    for image in range(images):
        total = np.zeros((SIDE, SIDE), np.float32)
        for origin, destination in strokes.ends[strokes.offsets[image] : strokes.offsets[image + 1]]:
            plane = np.zeros((SIDE, SIDE), np.uint8)
            cv2.line(plane, xy[origin].tolist(), xy[destination].tolist(), 255, 1, cv2.LINE_AA, 3)
            total += plane


def bench_drawing() -> tuple[str, float, str, float]:
    """Images of 16 trips and 4 channels; the rival draws one channel."""
    spec, strokes = make_case(16, 1000)
    ours = rate(lambda: draw_images(spec, strokes), 1000)
    return (
        "draw 64 px, 4 channels, 16 trips (images)",
        ours,
        "cv2.line summed, 1 channel",
        rate(lambda: draw_with_opencv(spec, strokes, 200), 200),
    )


def bench_decoding() -> tuple[str, float, str, float]:
    """Clean images of 16 trips; the rival finds segments and does not know the stations."""
    spec, strokes = make_case(16, 400)
    images = draw_images(spec, strokes)
    found = solve(images, spec)
    assert found.residual.max() < 0.05, "a clean picture was not explained"
    grey = images[:, 0] + images[:, 1]
    ours = rate(lambda: solve(images, spec), 400)
    return (
        "decode 64 px, 60 stations, 16 trips (images)",
        ours,
        "skimage probabilistic Hough",
        rate(lambda: [probabilistic_hough_line(image > 0.2, threshold=5, line_length=4) for image in grey[:40]], 40),
    )


def bench_reading() -> tuple[str, float, str, float]:
    """Citi Bike CSV → clean trips.parquet; the rival only parses the file and its dates."""
    rows = 300_000
    with TemporaryDirectory() as folder:
        path = Path(folder) / "city.csv"
        write_city(path, trips=rows)
        ours = rate(lambda: ingest([str(path)], Path(folder), options=IngestOptions()), rows)
        theirs = rate(lambda: pd.read_csv(path, parse_dates=["starttime", "stoptime"]), rows)
    return "read and clean Citi Bike CSV (rows)", ours, "pandas.read_csv with dates", theirs


def main() -> None:
    """Print the table; drawing on one thread, since threads that wait for work count as CPU time too."""
    numba.set_num_threads(1)
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "duckdb", "pandas", "scikit-image"))
    print(f"{date.today()}, Python {platform.python_version()}, {packages}\n")
    print("| what | per CPU-second | rival | its rate | ratio |\n|---|---:|---|---:|---:|")
    for bench in (bench_drawing, bench_decoding, bench_reading):
        what, ours, rival, theirs = bench()
        print(f"| {what} | {ours:,.0f} | {rival} | {theirs:,.0f} | {ours / theirs:.1f} |", flush=True)


if __name__ == "__main__":
    main()
