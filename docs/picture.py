"""Draw docs/picture.png, the README's picture, from a finished demo: `python docs/picture.py runs/demo`."""

import sys
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from skimage.util import montage

from rasterize.distance import METRES_PER_DEGREE
from rasterize.imageset import ImageSet
from rasterize.pictures import PLANE_COLOURS, colour_images
from rasterize.simulated_city import CENTRE_LAT, CENTRE_LNG, RIVER_HALF_WIDTH_M, find_river

TRIPS_SHOWN, SIDE = 45, 4  # trips on a map; images on a side of a grid
ZOOM, GAP = 12, 6  # screen pixels of an image's pixel, and between two images
GROUND, RIVER, INK, MUTED = "#f4f1ea", "#bcd6e6", "#222222", "#666666"
STEPS = ("draw", "learn", "decode")  # what leads from each panel to the next


def main(run: Path, out: Path) -> None:
    """Draw the four steps of a run side by side and write them to `out`."""
    stations = gpd.read_parquet(run / "stations.parquet")
    images, fakes = ImageSet.open(run / "images"), ImageSet.open(run / "fakes")
    real, synthetic = pd.read_parquet(run / "trips.parquet"), pd.read_parquet(run / "chosen.parquet")
    # Draw the four panels.
    figure = Figure(figsize=(13, 4.05), dpi=110)
    FigureCanvasAgg(figure)
    panels = [figure.add_axes((0.016 + 0.252 * k, 0.215, 0.212, 0.68)) for k in range(4)]
    _draw_map(panels[0], real, stations)
    _draw_images(panels[1], images)
    _draw_images(panels[2], fakes)
    _draw_map(panels[3], synthetic, stations)
    # Say above and below each what it is.
    size = f"{images.shape[1]} × {images.shape[2]} pixels"
    titles = ("1  Real trips", "2  Training images", "3  Generated images", "4  Synthetic trips")
    notes = (
        f"{TRIPS_SHOWN} of {len(real):,} trips between {len(stations)} stations",
        f"up to {images.spec.trips_per_image} trips in each of {size}",
        "new images, painted by the generator",
        f"{TRIPS_SHOWN} of {len(synthetic):,} trips read from such images",
    )
    for panel, title, note in zip(panels, titles, notes, strict=True):
        panel.set_title(title, fontsize=13, color=INK, pad=8)
        panel.text(0.5, -0.035, note, transform=panel.transAxes, ha="center", va="top", fontsize=9.5, color=MUTED)
    # Put what leads from one to the next between them.
    for k, step in enumerate(STEPS):
        figure.text(0.248 + 0.252 * k, 0.575, step, ha="center", fontsize=9.5, color=INK)
        figure.text(0.248 + 0.252 * k, 0.5, "→", ha="center", fontsize=20, color=INK)
    _draw_legend(figure)
    figure.savefig(out, facecolor="white")


def _draw_map(axes: Axes, trips: pd.DataFrame, stations: gpd.GeoDataFrame) -> None:
    """Draw some trips as lines, warm half then cold half, over the stations and the simulated city's river."""
    # Show a square of the map that holds all stations.
    lat, lng = stations.geometry.y.to_numpy(), stations.geometry.x.to_numpy()
    squeeze = np.cos(np.radians(lat.mean()))  # metres per degree of longitude / of latitude
    half = 0.55 * max(np.ptp(lat), np.ptp(lng) * squeeze)
    middle_lat, middle_lng = (lat.min() + lat.max()) / 2, (lng.min() + lng.max()) / 2
    axes.set_xlim(middle_lng - half / squeeze, middle_lng + half / squeeze)
    axes.set_ylim(middle_lat - half, middle_lat + half)
    axes.set_aspect(1 / squeeze)
    axes.set_facecolor(GROUND)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    if stations["name"].astype(str).str.contains("(simulated)", regex=False).any():
        _draw_river(axes)
    # Each trip is two straight halves, in the colours of the planes A and B.
    shown = trips.sample(min(TRIPS_SHOWN, len(trips)), random_state=0)
    start, end = (shown[[f"{side}_lng", f"{side}_lat"]].to_numpy(float) for side in ("start", "end"))
    for first, last, plane in ((start, (start + end) / 2, "A"), ((start + end) / 2, end, "B")):
        lines = LineCollection(np.stack([first, last], axis=1), colors=[_line_colour(plane)], linewidths=1.1, alpha=0.8)
        axes.add_collection(lines)
    axes.scatter(lng, lat, s=14, color=INK, zorder=3)


def _draw_river(axes: Axes) -> None:
    """Fill the simulated city's river."""
    south, north = axes.get_ylim()
    lat = np.linspace(south, north, 200)
    east = find_river((lat - CENTRE_LAT) * METRES_PER_DEGREE)
    metres_per_lng = METRES_PER_DEGREE * np.cos(np.radians(CENTRE_LAT))
    west_bank, east_bank = (CENTRE_LNG + (east + side * RIVER_HALF_WIDTH_M) / metres_per_lng for side in (-1, 1))
    axes.fill_betweenx(lat, west_bank, east_bank, color=RIVER, linewidth=0)


def _draw_images(axes: Axes, images: ImageSet) -> None:
    """Show a grid of images in colours, enlarged without smoothing."""
    which = np.random.default_rng(0).choice(len(images), min(SIDE**2, len(images)), replace=False)
    pixels = colour_images(images.read(np.sort(which)), images.spec)
    large = pixels.repeat(ZOOM, axis=1).repeat(ZOOM, axis=2)
    axes.imshow(montage(large, channel_axis=-1, grid_shape=(SIDE, SIDE), padding_width=GAP, fill=(90, 90, 90)))
    axes.set_axis_off()


def _line_colour(plane: str) -> NDArray:
    """Return the colour of a plane, darkened so that it reads on a light ground."""
    return np.array(PLANE_COLOURS[plane]) * 0.85


def _draw_legend(figure: Figure) -> None:
    """Say below the panels what the colours mean."""
    blob = {"marker": "o", "markersize": 8, "linestyle": ""}
    handles = [
        Line2D([], [], color=_line_colour("A"), linewidth=3, label="warm: the half of a trip at its origin"),
        Line2D([], [], color=_line_colour("B"), linewidth=3, label="cold: the half at its destination"),
        Line2D([], [], color=PLANE_COLOURS["O"], **blob, label="warm blob: its origin"),
        Line2D([], [], color=PLANE_COLOURS["D"], **blob, label="cold blob: its destination"),
    ]
    figure.legend(handles=handles, loc="lower center", ncols=4, frameon=False, fontsize=9.5, bbox_to_anchor=(0.5, 0.01))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).with_name("picture.png"))
