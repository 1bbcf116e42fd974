"""Speed of drawing beside cv2.line, a numpy DDA and skimage, and how even their strokes are; prints Markdown tables."""

import argparse
from dataclasses import replace

import cv2
import numpy as np
from skimage.draw import line_aa

from benchmarks.examples import make_random_strokes, make_spec
from benchmarks.measure import Measured, measure_rate, print_heading, run_case
from rasterize.imageset import STORED_TYPE
from rasterize.pictures import draw_density
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# The sizes of the tables in docs/benchmarks/codec.md; another size needs another table.
SIDE, STATIONS, TRIPS = 64, 60, 16
BATCH = 64  # images at a time, as training takes them
LARGE, MANY_STATIONS, MANY_TRIPS = 512, 652, 20_000_000


def _time_ours(stroke_sigma_px: float) -> tuple[float, dict]:
    """Time our pen on images of 4 channels, one batch after another."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=TRIPS)
    spec = replace(spec, drawing=replace(spec.drawing, stroke_sigma_px=stroke_sigma_px))
    strokes, pen = make_random_strokes(spec, 64 * BATCH), Pen(spec)
    batches = np.arange(64 * BATCH).reshape(-1, BATCH)

    def draw() -> None:
        for batch in batches:
            pen.draw(strokes, batch)

    return measure_rate(draw, batches.size), _measure_evenness(_measure_mass_of_ours)


def _measure_mass_of_ours(x0: float, y0: float, x1: float, y1: float) -> float:
    """Return the sum of the pixels of our stroke from (x0, y0) to (x1, y1)."""
    spec = make_spec(side=SIDE, stations=2, trips_per_image=1)
    pen = Pen(spec, xy=np.array([[x0, y0], [x1, y1]]))
    return float(pen.draw(Strokes.straight([[0, 1]]))[0, :2].sum(dtype=float))


def _time_opencv() -> tuple[float, dict]:
    """Time anti-aliased `cv2.line` on one channel.

    Each stroke has a plane of its own, and planes are summed: on one plane a stroke overwrites those before it.
    """

    def plane(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        image = np.zeros((SIDE, SIDE), np.uint8)
        # OpenCV takes eighths of a pixel (shift 3) from the centre of the first pixel.
        ends = np.rint((np.array([x0, y0, x1, y1]) - 0.5) * 8).astype(int).tolist()
        cv2.line(image, ends[:2], ends[2:], 255, 1, cv2.LINE_AA, 3)
        return image

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        for line in lines:
            total += plane(*line)

    return _time_rival(draw, images=200), _measure_evenness(lambda *line: plane(*line).sum() / 255)


def _time_skimage() -> tuple[float, dict]:
    """Time `skimage.draw.line_aa` on one channel, added up."""

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        for x0, y0, x1, y1 in (lines - 0.5).round().astype(int):
            rows, columns, weights = line_aa(y0, x0, y1, x1)
            total[rows, columns] += weights

    def mass(*line: float) -> float:
        # It draws between whole pixels, so its mass is scaled by the length that was asked for.
        x0, y0, x1, y1 = np.round(np.array(line) - 0.5).astype(int)
        length, drawn_length = np.hypot(*np.subtract(line[:2], line[2:])), np.hypot(x1 - x0, y1 - y0)
        return line_aa(y0, x0, y1, x1)[2].sum() * length / drawn_length

    return _time_rival(draw, images=50), _measure_evenness(mass)


def _time_numpy_dda() -> tuple[float, dict]:
    """Time a numpy DDA on channels A and B: all strokes of an image at once, summed by `bincount`."""

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        a, b = _draw_with_dda(lines)
        total += a.reshape(SIDE, SIDE)
        total += b.reshape(SIDE, SIDE)

    def mass(*line: float) -> float:
        return sum(plane.sum() for plane in _draw_with_dda(np.array([line])))

    return _time_rival(draw, images=400), _measure_evenness(mass)


def _draw_with_dda(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return planes A and B of lines [S, 4] (x0, y0, x1, y1), float64 [H · W] each."""
    # Find where each line crosses the borders of pixels, as shares of its length.
    start, way = lines[:, :2], lines[:, 2:] - lines[:, :2]
    borders = np.arange(SIDE + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = ((borders - start[:, :, None]) / way[:, :, None]).reshape(len(lines), -1)
    crossings = np.nan_to_num(crossings, nan=0.0, posinf=0.0, neginf=0.0).clip(0, 1)
    # Between two crossings a line lies in one pixel, which its middle tells.
    times = np.sort(np.concatenate([crossings, np.ones((len(lines), 1)), np.zeros((len(lines), 1))], axis=1), axis=1)
    spans, middles = np.diff(times, axis=1), (times[:, 1:] + times[:, :-1]) / 2
    column, row = np.floor(start[:, :, None] + way[:, :, None] * middles[:, None, :]).astype(int).transpose(1, 0, 2)
    # Add the length inside each pixel: A fades towards the end, B towards the start.
    lengths = spans * np.hypot(*way.T)[:, None]
    pixels = (row.clip(0, SIDE - 1) * SIDE + column.clip(0, SIDE - 1)).ravel()
    return tuple(np.bincount(pixels, (lengths * share).ravel(), SIDE * SIDE) for share in (1 - middles, middles))


def _time_rival(draw, *, images: int) -> float:
    """Return the images per CPU-second of a function that adds the lines [16, 4] of one image to a plane."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=TRIPS)
    ends = make_random_strokes(spec, images).ends
    lines = np.concatenate([spec.place_xy[ends[:, 0]], spec.place_xy[ends[:, 1]]], axis=1).reshape(images, TRIPS, 4)

    def work() -> None:
        for lines_of_image in lines:
            draw(np.zeros((SIDE, SIDE)), lines_of_image)

    return measure_rate(work, images)


def _measure_evenness(mass) -> dict:
    """Return the mean and the coefficient of variation of the mass per unit length over 360 angles."""
    # A little off the axes, where a line on a border of pixels is a special case.
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False) + 1e-3
    masses = [mass(32.0, 32.0, 32 + 27.3 * np.cos(a), 32 + 27.3 * np.sin(a)) / 27.3 for a in angles]
    return {"mass": float(np.mean(masses)), "cv": float(np.std(masses) / np.mean(masses))}


def _time_accumulation(trips: int, distinct: bool) -> tuple[float, dict]:
    """Time strokes into one picture of 512², between 652 stations whose flows fall with distance."""
    spec = make_spec(side=SIDE, stations=MANY_STATIONS, trips_per_image=1, apart_px=0.5)
    ends = _draw_gravity_trips(spec, trips)
    if distinct:
        ends = np.unique(ends, axis=0)
    rate = measure_rate(lambda: draw_density(spec, ends, side_px=LARGE), len(ends))
    return rate, {"pairs": len(np.unique(ends, axis=0)), "trips": len(ends)}


def _time_accumulation_with_opencv() -> tuple[float, dict]:
    """Time the same by anti-aliased `cv2.line`, a plane per stroke, summed."""
    spec = make_spec(side=SIDE, stations=MANY_STATIONS, trips_per_image=1, apart_px=0.5)
    ends, xy = _draw_gravity_trips(spec, 2000), spec.place_xy * LARGE / SIDE

    def work() -> None:
        total = np.zeros((LARGE, LARGE), np.float32)
        for origin, destination in ends:
            plane = np.zeros((LARGE, LARGE), np.uint8)
            a, b = (np.rint((xy[k] - 0.5) * 8).astype(int).tolist() for k in (origin, destination))
            cv2.line(plane, a, b, 255, 1, cv2.LINE_AA, 3)
            total += plane

    return measure_rate(work, len(ends)), {}


def _draw_gravity_trips(spec: StrokeSpec, count: int) -> np.ndarray:
    """Draw trips between stations with chance e^(−distance / 6 px of 64), int32 [count, 2]."""
    rng, xy = np.random.default_rng(1), spec.place_xy
    flow = np.exp(-np.hypot(*(xy[:, None] - xy[None, :]).transpose(2, 0, 1)) / 6).ravel()
    chosen = rng.choice(len(flow), count, p=flow / flow.sum())
    return np.stack(np.divmod(chosen, len(xy)), axis=1).astype(np.int32)


def _time_drawing_and_reading(trips_per_image: int) -> tuple[float, dict]:
    """Time images drawn on the fly; `read` is the rate of images that are stored, in memory already."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=trips_per_image)
    strokes, pen = make_random_strokes(spec, 2048), Pen(spec)
    stored = pen.draw(strokes).astype(STORED_TYPE)
    batches = np.random.default_rng(2).permutation(2048).reshape(-1, BATCH)

    def draw() -> None:
        for batch in batches:
            pen.draw(strokes, batch)

    def read() -> None:
        for batch in batches:
            stored[batch].astype(np.float32)

    return measure_rate(draw, 2048), {"read": measure_rate(read, 2048)}


def _print_methods() -> None:
    """Print the table of small images: ours beside each rival."""
    print(f"Images of {SIDE}², {TRIPS} trips each, between {STATIONS} stations:\n")
    print("| method | images per CPU-second | ours / it | peak MiB | mass per length | variation over angles |")
    print("|---|---:|---:|---:|---:|---:|")
    first = run_case(_time_ours, 0.0)
    methods = {
        "**ours**, 4 channels": first,
        "ours, thick strokes (σ .7 px)": run_case(_time_ours, 0.7),
        "numpy DDA + bincount, 2 channels": run_case(_time_numpy_dda),
        "cv2.line, summed, 1 channel": run_case(_time_opencv),
        "skimage line_aa, summed, 1 channel": run_case(_time_skimage),
    }
    for name, row in methods.items():
        even = f"{row.extra['mass']:.4f} | {row.extra['cv']:.1e}"
        ratio = f"{first.rate / row.rate:.1f}"
        print(f"| {name} | {row.rate:,.0f} | {ratio} | {row.peak_mib:,.0f} | {even} |", flush=True)


def _print_accumulation() -> None:
    """Print the table of one large picture that all strokes go into."""
    print(f"\nOne accumulation image of {LARGE}², {MANY_STATIONS} stations:\n")
    print("| method | strokes per CPU-second | peak MiB | |\n|---|---:|---:|---|")
    rows: dict[str, Measured] = {
        "**ours**": run_case(_time_accumulation, MANY_TRIPS, False),
        "ours, all pairs different": run_case(_time_accumulation, 1_000_000, True),
        "cv2.line, summed": run_case(_time_accumulation_with_opencv),
    }
    for name, row in rows.items():
        what = f"{row.extra['trips']:,} trips, {row.extra['pairs']:,} pairs" if row.extra else "2,000 trips"
        print(f"| {name} | {row.rate:,.0f} | {row.peak_mib:,.0f} | {what} |", flush=True)


def _print_drawing_and_reading() -> None:
    """Print the table of drawing for training beside reading images that are stored."""
    print("\nDrawing for training, against reading what is stored (float16, in memory), 64², 4 channels:\n")
    print("| trips per image | drawn per CPU-second | read per CPU-second | drawn / read |\n|---:|---:|---:|---:|")
    for count in (1, 4, 16, 64):
        row = run_case(_time_drawing_and_reading, count)
        read = row.extra["read"]
        print(f"| {count} | {row.rate:,.0f} | {read:,.0f} | {row.rate / read:.1f} |", flush=True)


def main() -> None:
    """Print the tables."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    print_heading("numpy", "numba", "opencv-python-headless", "scikit-image")
    _print_methods()
    _print_accumulation()
    _print_drawing_and_reading()


if __name__ == "__main__":
    main()
