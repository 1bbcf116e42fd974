"""Speed of drawing beside cv2.line, a numpy DDA and skimage, and how even their strokes are; prints Markdown tables."""

import cv2
import numpy as np
from skimage.draw import line_aa

from benchmarks.examples import make_spec, random_strokes
from benchmarks.measure import Measured, measure, print_heading, rate_of
from rasterize.imageset import STORED_TYPE
from rasterize.pictures import draw_density
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

SIDE, STATIONS, TRIPS = 64, 60, 16
BATCH = 64  # images at a time, as training takes them
LARGE, MANY_STATIONS, MANY_TRIPS = 512, 652, 20_000_000


def ours(stroke_sigma_px: float) -> tuple[float, dict]:
    """Images of 4 channels, one batch after another."""
    from dataclasses import replace

    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=TRIPS)
    spec = replace(spec, drawing=replace(spec.drawing, stroke_sigma_px=stroke_sigma_px))
    strokes, pen = random_strokes(spec, 64 * BATCH), Pen(spec)
    batches = np.arange(64 * BATCH).reshape(-1, BATCH)

    def draw() -> None:
        for batch in batches:
            pen.draw(strokes, batch)

    return rate_of(draw, batches.size), evenness(lambda x0, y0, x1, y1: _mass_of_ours(x0, y0, x1, y1))


def _mass_of_ours(x0: float, y0: float, x1: float, y1: float) -> float:
    spec = make_spec(side=SIDE, stations=2, trips_per_image=1)
    pen = Pen(spec, xy=np.array([[x0, y0], [x1, y1]]))
    return float(pen.draw(Strokes.straight([[0, 1]]))[0, :2].sum(dtype=float))


def opencv() -> tuple[float, dict]:
    """Anti-aliased `cv2.line`, a plane of its own per stroke, then summed: on one plane it overwrites. One channel."""

    def plane(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        image = np.zeros((SIDE, SIDE), np.uint8)
        ends = np.rint((np.array([x0, y0, x1, y1]) - 0.5) * 8).astype(int).tolist()
        cv2.line(image, ends[:2], ends[2:], 255, 1, cv2.LINE_AA, 3)
        return image

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        for line in lines:
            total += plane(*line)

    return _rival(draw, images=200), evenness(lambda *line: plane(*line).sum() / 255)


def skimage() -> tuple[float, dict]:
    """`skimage.draw.line_aa`, added up. One channel."""

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        for x0, y0, x1, y1 in (lines - 0.5).round().astype(int):
            rows, columns, weights = line_aa(y0, x0, y1, x1)
            total[rows, columns] += weights

    def mass(*line: float) -> float:
        x0, y0, x1, y1 = np.round(np.array(line) - 0.5).astype(int)
        return (
            line_aa(y0, x0, y1, x1)[2].sum() * np.hypot(*np.subtract(line[:2], line[2:])) / np.hypot(x1 - x0, y1 - y0)
        )

    return _rival(draw, images=50), evenness(mass)


def numpy_dda() -> tuple[float, dict]:
    """All strokes of an image at once: exact crossings, sorted, then `bincount`. Channels A and B."""

    def draw(total: np.ndarray, lines: np.ndarray) -> None:
        a, b = _dda(lines)
        total += a.reshape(SIDE, SIDE)
        total += b.reshape(SIDE, SIDE)

    return _rival(draw, images=400), evenness(lambda *line: sum(plane.sum() for plane in _dda(np.array([line]))))


def _dda(lines: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Planes A and B of lines [S, 4] (x0, y0, x1, y1), float64 [H · W] each."""
    start, way = lines[:, :2], lines[:, 2:] - lines[:, :2]
    borders = np.arange(SIDE + 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        crossings = ((borders - start[:, :, None]) / way[:, :, None]).reshape(len(lines), -1)
    crossings = np.nan_to_num(crossings, nan=0.0, posinf=0.0, neginf=0.0).clip(0, 1)
    times = np.sort(np.concatenate([crossings, np.ones((len(lines), 1)), np.zeros((len(lines), 1))], axis=1), axis=1)
    spans, middles = np.diff(times, axis=1), (times[:, 1:] + times[:, :-1]) / 2
    column, row = np.floor(start[:, :, None] + way[:, :, None] * middles[:, None, :]).astype(int).transpose(1, 0, 2)
    lengths = spans * np.hypot(*way.T)[:, None]
    pixels = (row.clip(0, SIDE - 1) * SIDE + column.clip(0, SIDE - 1)).ravel()
    return tuple(np.bincount(pixels, (lengths * part).ravel(), SIDE * SIDE) for part in (1 - middles, middles))


def _rival(draw, *, images: int) -> float:
    """Images per CPU-second of a function that adds the lines [16, 4] of one image to a plane."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=TRIPS)
    ends = random_strokes(spec, images).ends
    lines = np.concatenate([spec.place_xy[ends[:, 0]], spec.place_xy[ends[:, 1]]], axis=1).reshape(images, TRIPS, 4)

    def work() -> None:
        for mine in lines:
            draw(np.zeros((SIDE, SIDE)), mine)

    return rate_of(work, images)


def evenness(mass) -> dict:
    """Mean and coefficient of variation of the mass per unit length over 360 angles."""
    angles = np.linspace(0, 2 * np.pi, 360, endpoint=False) + 1e-3
    found = [mass(32.0, 32.0, 32 + 27.3 * np.cos(a), 32 + 27.3 * np.sin(a)) / 27.3 for a in angles]
    return {"mass": float(np.mean(found)), "cv": float(np.std(found) / np.mean(found))}


def accumulate(trips: int, distinct: bool) -> tuple[float, dict]:
    """Strokes per CPU-second into one picture of 512², between 652 stations whose flows fall with distance."""
    spec = make_spec(side=SIDE, stations=MANY_STATIONS, trips_per_image=1, apart_px=0.5)
    ends = _gravity_trips(spec, trips)
    if distinct:
        ends = np.unique(ends, axis=0)
    rate = rate_of(lambda: draw_density(spec, ends, side_px=LARGE), len(ends))
    return rate, {"pairs": len(np.unique(ends, axis=0)), "trips": len(ends)}


def accumulate_with_opencv() -> tuple[float, dict]:
    """The same by anti-aliased `cv2.line`, a plane per stroke, summed."""
    spec = make_spec(side=SIDE, stations=MANY_STATIONS, trips_per_image=1, apart_px=0.5)
    ends, xy = _gravity_trips(spec, 2000), spec.place_xy * LARGE / SIDE

    def work() -> None:
        total = np.zeros((LARGE, LARGE), np.float32)
        for origin, destination in ends:
            plane = np.zeros((LARGE, LARGE), np.uint8)
            a, b = (np.rint((xy[k] - 0.5) * 8).astype(int).tolist() for k in (origin, destination))
            cv2.line(plane, a, b, 255, 1, cv2.LINE_AA, 3)
            total += plane

    return rate_of(work, len(ends)), {}


def _gravity_trips(spec: StrokeSpec, count: int) -> np.ndarray:
    """Trips between stations, chance e^(−distance / 6 px of 64), int32 [count, 2]."""
    rng, xy = np.random.default_rng(1), spec.place_xy
    flow = np.exp(-np.hypot(*(xy[:, None] - xy[None, :]).transpose(2, 0, 1)) / 6).ravel()
    chosen = rng.choice(len(flow), count, p=flow / flow.sum())
    return np.stack(np.divmod(chosen, len(xy)), axis=1).astype(np.int32)


def draw_or_read(trips_per_image: int) -> tuple[float, dict]:
    """Images per CPU-second drawn on the fly; `read` is the same from images.npy as it is stored, in memory already."""
    spec = make_spec(side=SIDE, stations=STATIONS, trips_per_image=trips_per_image)
    strokes, pen = random_strokes(spec, 2048), Pen(spec)
    stored = pen.draw(strokes).astype(STORED_TYPE)
    batches = np.random.default_rng(2).permutation(2048).reshape(-1, BATCH)

    def draw() -> None:
        for batch in batches:
            pen.draw(strokes, batch)

    def read() -> None:
        for batch in batches:
            stored[batch].astype(np.float32)

    return rate_of(draw, 2048), {"read": rate_of(read, 2048)}


def main() -> None:
    """Print the tables."""
    print_heading("numpy", "numba", "opencv-python-headless", "scikit-image")
    print(f"Images of {SIDE}², {TRIPS} trips each, between {STATIONS} stations:\n")
    print("| method | images per CPU-second | ours / it | peak MiB | mass per length | variation over angles |")
    print("|---|---:|---:|---:|---:|---:|")
    first = measure(ours, 0.0)
    methods = {
        "**ours**, 4 channels": first,
        "ours, thick strokes (σ .7 px)": measure(ours, 0.7),
        "numpy DDA + bincount, 2 channels": measure(numpy_dda),
        "cv2.line, summed, 1 channel": measure(opencv),
        "skimage line_aa, summed, 1 channel": measure(skimage),
    }
    for name, found in methods.items():
        even = f"{found.extra['mass']:.4f} | {found.extra['cv']:.1e}"
        print(
            f"| {name} | {found.rate:,.0f} | {first.rate / found.rate:.1f} | {found.peak_mib:,.0f} | {even} |",
            flush=True,
        )
    print(f"\nOne accumulation image of {LARGE}², {MANY_STATIONS} stations:\n")
    print("| method | strokes per CPU-second | peak MiB | |\n|---|---:|---:|---|")
    rows: dict[str, Measured] = {
        "**ours**": measure(accumulate, MANY_TRIPS, False),
        "ours, all pairs different": measure(accumulate, 1_000_000, True),
        "cv2.line, summed": measure(accumulate_with_opencv),
    }
    for name, found in rows.items():
        what = f"{found.extra['trips']:,} trips, {found.extra['pairs']:,} pairs" if found.extra else "2,000 trips"
        print(f"| {name} | {found.rate:,.0f} | {found.peak_mib:,.0f} | {what} |", flush=True)
    print("\nDrawing for training, against reading what is stored (float16, in memory), 64², 4 channels:\n")
    print("| trips per image | drawn per CPU-second | read per CPU-second | drawn / read |\n|---:|---:|---:|---:|")
    for count in (1, 4, 16, 64):
        found = measure(draw_or_read, count)
        read = found.extra["read"]
        print(f"| {count} | {found.rate:,.0f} | {read:,.0f} | {found.rate / read:.1f} |", flush=True)


if __name__ == "__main__":
    main()
