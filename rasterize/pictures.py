"""Pictures for people: an image in colours, a contact sheet, and the density of all trips."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage.util import montage

from rasterize.files import write_atomically
from rasterize.strokes.options import Drawing
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# red, green, blue of a level of 1; A (the origin's half) is warm, B cold, blobs mark the ends
PLANE_COLOURS = {
    "grey": (1.0, 1.0, 1.0),
    "A": (1.0, 0.62, 0.15),
    "B": (0.25, 0.62, 1.0),
    "O": (0.8, 0.35, 0.0),
    "D": (0.0, 0.35, 0.8),
}
COUNT_BATCH = 1_000_000  # trips counted at a time, so that counting takes no memory of its own


def colour_images(images: NDArray, spec: StrokeSpec) -> NDArray:
    """Levels [N, C, H, W] → RGB bytes [N, H, W, 3]; warm at the origin, cold at the destination."""
    colours = np.array([PLANE_COLOURS[plane] for plane in spec.drawing.planes], np.float32)
    light = np.einsum("nchw,cr->nhwr", images[:, : len(colours)], colours)
    return (np.clip(np.nan_to_num(light), 0, 1) * 255).astype(np.uint8)


def write_png(path: Path, rgb: NDArray) -> None:
    """Write RGB bytes [H, W, 3] as PNG, atomically."""
    with write_atomically(path) as temporary:
        cv2.imwrite(str(temporary), rgb[:, :, ::-1])


def draw_contact_sheet(images: NDArray, spec: StrokeSpec, *, columns: int = 10) -> NDArray:
    """Set images side by side, each enlarged to at least 96 pixels.

    Parameters
    ----------
    images : (N, C, H, W) float32
        Levels.
    spec : StrokeSpec
        Says what the planes mean.
    columns : int
        Images in a row.

    Returns
    -------
    (height, width, 3) uint8
        RGB bytes.
    """
    shown = colour_images(images, spec)
    zoom = max(1, -(-96 // max(shown.shape[1:3])))
    height, width = shown.shape[1] * zoom, shown.shape[2] * zoom
    large = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST) for image in shown])
    grid = (-(-len(large) // columns), min(columns, len(large)))
    return montage(large, channel_axis=-1, grid_shape=grid, padding_width=4, fill=(40, 40, 40))


def draw_density(spec: StrokeSpec, ends: NDArray, *, side_px: int = 512) -> NDArray:
    """Length of all trips inside each pixel of the spec's frame redrawn at `side_px`, float32 [H, W].

    ends : int [S, 2], origin and destination place of each trip; a round trip counts as one pixel of stroke. Trips
    between the same places are drawn once, as strongly as there are many.
    """
    zoom = side_px / max(spec.frame.height, spec.frame.width)
    frame = replace(spec.frame, height=round(spec.frame.height * zoom), width=round(spec.frame.width * zoom))
    grey = replace(spec, frame=frame, drawing=Drawing(mode="grey", blob_gain=1.0), channels=(), factors=(), bent=False)
    pairs, counts = count_pairs(ends, len(spec.places))
    parts = np.linspace(0, len(pairs), 2 * (os.cpu_count() or 1) + 1).astype(np.int64)  # images that run in parallel
    weights = np.repeat(counts[:, None], 3, axis=1)
    return Pen(grey).draw(Strokes.straight(pairs, offsets=parts), weights=weights).sum(axis=0)[0]


def count_pairs(ends: NDArray, places: int) -> tuple[NDArray, NDArray]:
    """The different pairs of places among `ends` [S, 2], and how often each occurs."""
    flows = np.zeros(places * places, np.int64)
    for first in range(0, len(ends), COUNT_BATCH):
        origin, destination = ends[first : first + COUNT_BATCH].astype(np.int64).T
        flows += np.bincount(origin * places + destination, minlength=len(flows))
    (pairs,) = np.nonzero(flows)
    return np.stack(np.divmod(pairs, places), axis=1), flows[pairs]


def colour_density(density: NDArray, *, ceiling: float | None = None) -> NDArray:
    """Density → RGB bytes [H, W, 3] on a logarithmic scale from black through violet to yellow."""
    top = np.log1p(max(density.max() if ceiling is None else ceiling, 1e-9))
    level = np.clip(np.log1p(np.maximum(density, 0)) / top, 0, 1)
    return cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
