"""Decoding beside HoughLinesP, LSD and skeleton graphs: speed, right trips, noise, many stations; prints tables."""

import argparse
import gzip
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve, label
from scipy.spatial import cKDTree
from skimage.morphology import skeletonize

from benchmarks.examples import make_random_strokes, make_spec, make_spec_at
from benchmarks.measure import measure_rate, print_heading, run_case
from decode.confidence import fit_confidence
from decode.estimate import choose_sample, estimate_degradation
from decode.solver.decoder import Decoder
from decode.solver.degradation import CLEAN, MEDIUM, MILD, Degradation, draw_degraded
from decode.solver.solution import match_trips
from rasterize.strokes.frame import Frame
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# The sizes of the tables in docs/benchmarks/codec.md; another size needs another table.
SIDE, STATIONS, TRIPS = 64, 60, 16
LOST = replace(MILD, lost=0.1)
# An end of a segment farther than this from every station belongs to none. Stations are 3 px apart; not swept.
REACH_PX = 3.0


def _make_case(
    degradation: Degradation, trips_per_image: int, images: int, seed: int = 0
) -> tuple[StrokeSpec, Strokes, NDArray]:
    """Make a spec, random trips between its stations, and their images with noise."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=trips_per_image, seed=seed)
    strokes = make_random_strokes(spec, images, seed=seed)
    return spec, strokes, draw_degraded(spec, strokes, degradation, np.random.default_rng(seed))


def _measure_ours(degradation: Degradation, trips_per_image: int, images: int) -> tuple[float, dict]:
    """Measure our decoder, which estimates the degradation of the images first, outside the clock."""
    spec, strokes, levels = _make_case(degradation, trips_per_image, images)
    estimate = estimate_degradation(levels[choose_sample(images, trips_per_image)], spec)
    decoder = Decoder(spec, degradation=estimate)
    rate = measure_rate(lambda: decoder.solve(levels), images)
    solution = decoder.solve(levels)
    right = match_trips(strokes, solution.image, solution.ends)
    # How many trips the decoder is sure of, and how many of these are right.
    confidence = fit_confidence(spec, estimate, solution.ends).confidence(solution.evidence)
    sure = confidence >= 0.9
    return rate, {
        "precision": float(right.mean()),
        "recall": float(right.sum() / len(strokes.ends)),
        "sure": float(sure.mean()),
        "sure_right": float(right[sure].mean()) if sure.any() else float("nan"),
        "blur": estimate.total_blur_px,
        "noise": estimate.noise,
    }


# ---- rivals: they find segments, whose ends are snapped to stations; A and B give the direction


def _measure_rival(find, degradation: Degradation, images: int) -> tuple[float, dict]:
    """Measure a method that finds segments [S, 4] (x0, y0, x1, y1) in a grey picture."""
    spec, strokes, levels = _make_case(degradation, TRIPS, images)
    # The rival sees one grey plane; the two planes only tell the direction afterwards.
    tree = cKDTree(spec.place_xy)

    def solve(image: NDArray) -> list[tuple[int, int]]:
        return _snap_to_stations(find(image[0] + image[1]), image, tree)

    rate = measure_rate(lambda: [solve(image) for image in levels], images, runs=1)
    # Compare directed pairs image by image, each as often as it occurs.
    pairs = [solve(image) for image in levels]
    image_of_pair = np.repeat(np.arange(len(levels)), [len(of_image) for of_image in pairs])
    ends = np.array([pair for of_image in pairs for pair in of_image], int).reshape(-1, 2)
    right = int(match_trips(strokes, image_of_pair, ends).sum())
    return rate, {"precision": right / max(len(ends), 1), "recall": right / len(strokes.ends)}


def _snap_to_stations(segments: NDArray, image: NDArray, tree: cKDTree) -> list[tuple[int, int]]:
    """Return the directed pair of stations of each segment with an end near two different ones."""
    pairs = []
    for x0, y0, x1, y1 in segments:
        off, (a, b) = tree.query([[x0, y0], [x1, y1]], distance_upper_bound=REACH_PX)
        if np.isfinite(off).all() and a != b:
            # Plane A is brighter at the start of a trip, plane B at its end.
            start, end = (
                image[:2, int(np.clip(y, 0, SIDE - 1)), int(np.clip(x, 0, SIDE - 1))] for x, y in ((x0, y0), (x1, y1))
            )
            pairs.append((int(a), int(b)) if start[0] + end[1] >= start[1] + end[0] else (int(b), int(a)))
    return pairs


def _find_with_hough(grey: NDArray) -> NDArray:
    """Find segments by the probabilistic Hough transform of OpenCV."""
    binary = (grey > 0.3).astype(np.uint8)
    lines = cv2.HoughLinesP(binary, 1, np.pi / 180, threshold=6, minLineLength=4, maxLineGap=2)
    return np.zeros((0, 4)) if lines is None else lines.reshape(-1, 4) + 0.5


def _find_with_lsd(grey: NDArray) -> NDArray:
    """Find segments by the line segment detector of OpenCV."""
    # It finds both edges of a line, so the picture is enlarged, and edges that round to the same line merge.
    large = cv2.resize(np.clip(grey * 255, 0, 255).astype(np.uint8), None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC)
    lines = cv2.createLineSegmentDetector().detect(large)[0]
    return np.zeros((0, 4)) if lines is None else np.unique((lines.reshape(-1, 4) / 4).round(0), axis=0)


def _find_with_skeleton(grey: NDArray) -> NDArray:
    """Find the ends of each branch of the picture's skeleton, which is cut at its crossings."""
    bones = skeletonize(grey > 0.3)
    crossings = bones & (convolve(bones.astype(int), np.ones((3, 3), int), mode="constant") > 3)
    branches, count = label(bones & ~crossings, structure=np.ones((3, 3)))
    # The ends of a branch are its two points farthest apart, found in two sweeps.
    segments = []
    for branch in range(1, count + 1):
        points = np.argwhere(branches == branch)[:, ::-1] + 0.5
        if len(points) > 3:
            far = points[np.hypot(*(points - points[0]).T).argmax()]
            segments.append([*points[np.hypot(*(points - far).T).argmax()], *far])
    return np.array(segments).reshape(-1, 4)


RIVALS = {"cv2.HoughLinesP": _find_with_hough, "cv2 LSD": _find_with_lsd, "skeleton graph": _find_with_skeleton}


# ---- many stations


def _measure_many_stations(points: NDArray, side: int, images: int) -> tuple[float, dict]:
    """Measure our decoder on clean images of 16 trips between stations at `points` [P, 2] in pixels."""
    spec = make_spec_at(points, side=side, trips_per_image=TRIPS)
    strokes = make_random_strokes(spec, images)
    levels = draw_degraded(spec, strokes, CLEAN, np.random.default_rng(0))
    decoder = Decoder(spec)
    rate = measure_rate(lambda: decoder.solve(levels), images)
    solution = decoder.solve(levels)
    right = match_trips(strokes, solution.image, solution.ends)
    return rate, {"precision": float(right.mean()), "recall": float(right.sum() / len(strokes.ends))}


def _read_station_points(path: Path, side: int) -> NDArray:
    """Read stations of a GBFS station_information file, in pixels; of those closer than a pixel only one."""
    with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
        stations = json.load(file)["data"]["stations"]
    lat, lng = (np.array([station[key] for station in stations], float) for key in ("lat", "lon"))
    is_located = np.isfinite(lat + lng) & (lat != 0)
    lat, lng = lat[is_located], lng[is_located]
    frame = Frame.around(lat, lng, height=side, width=side)
    points = np.stack(frame.to_pixels(lat, lng), axis=1)
    kept: list[int] = []
    for index, near in enumerate(cKDTree(points).query_ball_point(points, 1.0)):
        if not set(near) & set(kept):
            kept.append(index)
    return points[kept]


def _print_speed() -> None:
    """Print the table of ours and the rivals, clean and at medium noise."""
    print(f"{SIDE}², {STATIONS} stations at least 3 px apart, {TRIPS} trips an image:\n")
    print(
        "| method | images per CPU-second | ours / it | peak MiB | precision | recall |\n|---|---:|---:|---:|---:|---:|"
    )
    for name, degradation in (("clean", CLEAN), ("medium noise", MEDIUM)):
        first = run_case(_measure_ours, degradation, TRIPS, 1500)
        rows = {"**ours**": first} | {
            title: run_case(_measure_rival, find, degradation, 100) for title, find in RIVALS.items()
        }
        for title, row in rows.items():
            quality = f"{row.extra['precision']:.4f} | {row.extra['recall']:.4f}"
            ratio = f"{first.rate / row.rate:.1f}"
            print(f"| {title}, {name} | {row.rate:,.0f} | {ratio} | {row.peak_mib:,.0f} | {quality} |", flush=True)


def _print_robustness(trips: int) -> None:
    """Print precision, recall and confidence over noise and trips per image; the decoder is not given the noise."""
    print(f"\nThe same stations, {trips:,} trips a row; the decoder is not told what was done to the images:\n")
    print("| noise | trips per image | precision | recall | confidence ≥ .9 | of these right | images per CPU-second |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for name, degradation in (("none", CLEAN), ("mild", MILD), ("mild, 10 % of blobs lost", LOST), ("medium", MEDIUM)):
        for count in (1, 4, 16, 32):
            row = run_case(_measure_ours, degradation, count, trips // count)
            quality = f"{row.extra['precision']:.4f} | {row.extra['recall']:.4f}"
            confidence = f"{row.extra['sure']:.3f} | {row.extra['sure_right']:.4f}"
            print(f"| {name} | {count} | {quality} | {confidence} | {row.rate:,.0f} |", flush=True)


def _print_many_stations(stations: Path | None) -> None:
    """Print the table of clean images of cities with many stations."""
    print(f"\nMany stations, clean, {TRIPS} trips an image:\n")
    print("| stations | places | side | images per CPU-second | peak MiB | precision | recall |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    rng = np.random.default_rng(3)
    cases = [
        (f"{count} at random", rng.uniform(3, side - 3, (count, 2)), side) for count, side in ((652, 128), (2233, 256))
    ]
    if stations:
        cases.append((stations.name, _read_station_points(stations, 256), 256))
    for name, points, side in cases:
        row = run_case(_measure_many_stations, points, side, 100)
        quality = f"{row.extra['precision']:.4f} | {row.extra['recall']:.4f}"
        print(f"| {name} | {len(points):,} | {side} | {row.rate:,.0f} | {row.peak_mib:,.0f} | {quality} |", flush=True)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trips", type=int, default=8_000, help="per row of the table of noise")
    parser.add_argument("--stations", type=Path, help="a GBFS station_information file, for one more row")
    options = parser.parse_args()
    print_heading("numpy", "numba", "scipy", "opencv-python-headless", "scikit-image")
    _print_speed()
    _print_robustness(options.trips)
    _print_many_stations(options.stations)


if __name__ == "__main__":
    main()
