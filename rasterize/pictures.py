"""Pictures for people: an image in colours, a contact sheet, and the density of all trips."""

import os
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray
from skimage.util import montage

from rasterize.files import write_atomically
from rasterize.strokes.frame import Frame
from rasterize.strokes.options import Drawing
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# Red, green, blue of a level of 1. A, the origin's half, is warm and B is cold; blobs mark the ends.
PLANE_COLOURS = {
    "grey": (1.0, 1.0, 1.0),
    "A": (1.0, 0.62, 0.15),
    "B": (0.25, 0.62, 1.0),
    "O": (0.8, 0.35, 0.0),
    "D": (0.0, 0.35, 0.8),
}
COUNT_BATCH = 1_000_000  # trips counted at a time, so that counting takes no memory of its own


def colour_images(images: NDArray, spec: StrokeSpec) -> NDArray:
    """Turn levels [N, C, H, W] into RGB bytes [N, H, W, 3]; warm at the origin, cold at the destination."""
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
    # Enlarge by whole factors, so that pixels stay sharp.
    shown = colour_images(images, spec)
    zoom = max(1, -(-96 // max(shown.shape[1:3])))
    height, width = shown.shape[1] * zoom, shown.shape[2] * zoom
    large = np.stack([cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST) for image in shown])
    grid = (-(-len(large) // columns), min(columns, len(large)))
    return montage(large, channel_axis=-1, grid_shape=grid, padding_width=4, fill=(40, 40, 40))


def draw_density(spec: StrokeSpec, ends: NDArray, *, side_px: int = 512) -> NDArray:
    """Draw the density of trips between places: their length inside each pixel of the spec's frame, enlarged.

    Parameters
    ----------
    spec : StrokeSpec
        With the frame and the places; the density is drawn on the map, whatever the layout.
    ends : (S, 2) int
        Origin and destination place of each trip.
    side_px : int
        The longer side of the picture, in pixels.

    Returns
    -------
    (H, W) float32
        Pixels of stroke inside each pixel, see `draw_flows`.
    """
    zoom = side_px / max(spec.frame.height, spec.frame.width)
    frame = replace(spec.frame, height=round(spec.frame.height * zoom), width=round(spec.frame.width * zoom))
    pairs, counts = count_pairs(ends, len(spec.places))
    lat, lng = [place.lat for place in spec.places], [place.lng for place in spec.places]
    return draw_flows(frame, lat, lng, pairs, counts)


def draw_flows(frame: Frame, lat: ArrayLike, lng: ArrayLike, pairs: NDArray, counts: NDArray) -> NDArray:
    """Draw flows between points as straight strokes: their length inside each pixel.

    A flow is drawn once, as strongly as it has trips. A round trip counts as one pixel of stroke, as a blob around its
    point.

    Parameters
    ----------
    frame : Frame
        The frame of the picture.
    lat, lng : (P,) float
        Points, in degrees.
    pairs : (n, 2) int
        Origin and destination of each flow, as numbers of points.
    counts : (n,) int
        How many trips each flow has.

    Returns
    -------
    (H, W) float32
        Pixels of stroke inside each pixel.
    """
    # A grey picture of no codec's: strokes alone, blobs of mass 1 on round trips.
    grey = Drawing(mode="grey", blob_gain=1.0)
    spec = StrokeSpec(frame=frame, drawing=grey, channels=(), factors=(), places=())

    # Two images per processor are drawn side by side, and then added up.
    offsets = np.linspace(0, len(pairs), 2 * (os.cpu_count() or 1) + 1).astype(np.int64)
    weights = np.repeat(counts[:, None], 3, axis=1)
    pen = Pen(spec, xy=np.stack(frame.to_pixels(lat, lng), axis=1))
    return pen.draw(Strokes.straight(pairs, offsets=offsets), weights=weights).sum(axis=0)[0]


def count_pairs(ends: NDArray, places: int) -> tuple[NDArray, NDArray]:
    """Return the different pairs among `ends` [S, 2], and how often each occurs."""
    # One bin per pair of places, batch by batch.
    flows = np.zeros(places * places, np.int64)
    for first in range(0, len(ends), COUNT_BATCH):
        origin, destination = ends[first : first + COUNT_BATCH].astype(np.int64).T
        flows += np.bincount(origin * places + destination, minlength=len(flows))
    (pairs,) = np.nonzero(flows)
    return np.stack(np.divmod(pairs, places), axis=1), flows[pairs]


def colour_density(density: NDArray, *, ceiling: float | None = None) -> NDArray:
    """Turn a density [H, W] into RGB bytes [H, W, 3], on a logarithmic scale from black to yellow."""
    top = np.log1p(max(density.max() if ceiling is None else ceiling, 1e-9))
    level = np.clip(np.log1p(np.maximum(density, 0)) / top, 0, 1)
    return cv2.applyColorMap((level * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[:, :, ::-1]
