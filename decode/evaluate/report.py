"""The report: one HTML file that carries its pictures and asks for nothing from the network."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from decode.evaluate import charts
from decode.evaluate.charts import Chart
from decode.evaluate.measure import Measurement
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.imageset import ImageSet
from rasterize.pictures import colour_images

BETTER = {"higher": "↑", "lower": "↓", "half": "→ .5", "equal": "≈ real"}
STAGES = {"raster": "raster.json", "train": "model/run.json", "decode": "decode.json"}
# What keeps the file small; set by hand, not swept.
PROGRESS_PICTURES = 6
TIMELAPSE_BYTES = 3_000_000
IMAGES_SHOWN = 9
PICTURE_PX = 640


def write_report(path: Path, measurement: Measurement, *, run: Path | None = None) -> None:
    """Write the report atomically; what the run folder does not hold (yet) is said to be missing.

    Parameters
    ----------
    path : Path
        The HTML file.
    measurement : Measurement
        The figures and the tables to show.
    run : Path, optional
        Run folder whose pictures and settings are shown.

    Raises
    ------
    InputError
        If a JSON file of the run is damaged.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {"figure": format_figure, "thousands": "{:,}".format}
    page = environment.get_template("report.html").render(**_gather_content(measurement, run))
    with write_atomically(path) as temporary:
        temporary.write_text(page, encoding="utf-8")


def format_figure(value: float | None) -> str:
    """Return a figure as text: three decimals, more for small ones, fewer for large ones; a dash for none."""
    if value is None:
        return "–"
    size = abs(value)
    decimals = 0 if size >= 100 else 1 if size >= 10 else 3 if size >= 0.01 or size == 0 else 4
    return f"{value:.{decimals}f}".replace("-", "−")


def _gather_content(measurement: Measurement, run: Path | None) -> dict[str, Any]:
    """Gather everything the template shows."""
    real, synthetic = measurement.holdout, measurement.shown
    maps, map_top = charts.draw_density_maps(real, synthetic, measurement.stations)
    return {
        "figures": measurement.figures,
        "better": BETTER,
        "is_simulated": is_simulated(run),
        "steps": _draw_steps(measurement, run),
        "maps": maps,
        "map_top": map_top,
        "charts": charts.draw_distributions(real, synthetic),
        "reading": _describe_reading(run),
        "progress": _draw_progress(run),
        "timelapse": _embed_timelapse(run),
        "rejects": _read_json(run, "rejects.json"),
        "settings": {stage: _format_json(_read_json(run, name)) for stage, name in STAGES.items()},
        "files": STAGES,
    }


def is_simulated(run: Path | None) -> bool:
    """Say whether the run's trips come from the simulated city, by the names of its stations."""
    path = run / "stations.parquet" if run else None
    if path is None or not path.exists():
        return False
    # A city with a few stations of that name is not simulated.
    names = pd.read_parquet(path, columns=["name"])["name"].astype(str)
    return bool(names.str.contains("(simulated)", regex=False).mean() > 0.5)


def _read_json(run: Path | None, name: str) -> dict[str, Any] | None:
    """Read a JSON file of the run folder; None if it is absent."""
    path = run / name if run else None
    if path is None or not path.exists():
        return None
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: damaged ({error}); run the stage that writes it again") from error


def _format_json(value: dict[str, Any] | None) -> str | None:
    """Return settings as indented text; None if there are none."""
    return None if value is None else json.dumps(value, indent=1, ensure_ascii=False)


# ---- pictures ------------------------------------------------------------------------------------------------------


def _draw_steps(measurement: Measurement, run: Path | None) -> list[Chart]:
    """Draw the four steps from real to synthetic trips: trips → images → fakes → trips."""
    # Trips at both ends.
    ends = []
    for kind, trips, colour in (
        ("real", measurement.holdout, charts.REAL),
        ("synthetic", measurement.shown, charts.SYNTHETIC),
    ):
        alt = f"{charts.SAMPLE_TRIPS} {kind} trips as lines between stations"
        html = charts.draw_sample_map(trips, measurement.stations, colour=colour, alt=alt, name=f"sample-{kind}")
        ends.append(Chart(title=f"{kind.capitalize()} trips", html=html))

    # Images between them.
    images = [
        Chart(title=title, html=_draw_image_grid(run, folder, f"{what} trip pictures"))
        for title, folder, what in (("Images", "images", "real"), ("Fakes", "fakes", "generated"))
    ]
    return [ends[0], *images, ends[1]]


def _draw_image_grid(run: Path | None, folder: str, alt: str) -> Markup:
    """Draw nine images of an image set of the run, enlarged without smoothing."""
    path = run / folder if run else None
    if path is None or not (path / "spec.json").exists():
        return Markup('<p class="missing">no {}/ in the run folder</p>').format(folder)
    images = ImageSet.open(path)
    shown = colour_images(images.read(np.arange(min(IMAGES_SHOWN, len(images)))), images.spec)

    # A square of images with lines between them.
    side = int(np.ceil(np.sqrt(len(shown))))
    _, height, width = images.shape
    sheet = np.full((side * (height + 1) - 1, side * (width + 1) - 1, 3), 90, np.uint8)
    for k, image in enumerate(shown):
        row, column = k // side * (height + 1), k % side * (width + 1)
        sheet[row : row + height, column : column + width] = image

    # Whole steps of enlargement, so that every pixel stays a square.
    zoom = max(1, -(-300 // max(sheet.shape[:2])))
    return charts.embed_picture(Image.fromarray(sheet.repeat(zoom, 0).repeat(zoom, 1)), f"{len(shown)} {alt}")


def _draw_progress(run: Path | None) -> list[Chart]:
    """Choose a few pictures of the generator's progress, evenly over the order of their names."""
    names = sorted((run / "model" / "progress").glob("*.png")) if run else []
    chosen = np.unique(np.linspace(0, len(names) - 1, PROGRESS_PICTURES).round().astype(int)) if names else []
    pictures = []

    # Number them by their order among all pictures.
    for k in chosen:
        with Image.open(names[k]) as picture:
            small = picture.convert("RGB")
        small.thumbnail((PICTURE_PX, PICTURE_PX))
        alt = f"Generated images, progress picture {k + 1} of {len(names)}"
        pictures.append(Chart(title=f"{k + 1} of {len(names)}", html=charts.embed_picture(small, alt)))
    return pictures


def _describe_reading(run: Path | None) -> dict[str, Any] | None:
    """Describe how the generated images were read: their faults, and how far confidence can be trusted."""
    decode = _read_json(run, "decode.json")
    if decode is None or "degradation" not in decode:
        return None
    return decode | {"chart": charts.draw_reliability(decode["calibration"]["reliability"])}


def _embed_timelapse(run: Path | None) -> Markup | None:
    """Embed the run's timelapse; None if it is absent or too large."""
    path = run / "model" / "timelapse.gif" if run else None
    if path is None or not path.exists() or path.stat().st_size >= TIMELAPSE_BYTES:
        return None
    return charts.embed_image(path.read_bytes(), "image/gif", "The same generated images while the generator learns")
