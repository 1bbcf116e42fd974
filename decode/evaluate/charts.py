"""The charts of the report: real trips against synthetic ones, as SVG that follows the page's colours, and pictures.

Colours are placeholders while matplotlib draws and CSS variables afterwards, so one SVG serves light, dark and paper.
"""

import base64
import io
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil

import matplotlib
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from decode.evaluate.columns import count_both, cpc
from rasterize.strokes.frame import Frame
from rasterize.strokes.trace import trace_segment

INK, MUTED, RULE, REAL, SYNTHETIC = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", REAL: "--real", SYNTHETIC: "--synthetic"}
WIDTH_IN, HEIGHT_IN = 4.6, 3.2
MAP_PX = 520
MAP_COLOUR = (46, 136, 206)  # readable on white and on black; how much of it is the density
SAMPLE_TRIPS = 60
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A title, the drawing as HTML, and in words what it shows."""

    title: str
    html: Markup
    caption: str = ""
    is_wide: bool = False


# ---- drawing -------------------------------------------------------------------------------------------------------


def _figure(width: float = WIDTH_IN, height: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(width, height), layout="constrained", frameon=False)
    axes = figure.add_subplot(frameon=True)
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(color=RULE, linewidth=0.6)
    return figure, axes


def _legend(axes: Axes) -> None:
    axes.legend(frameon=False, labelcolor=INK)


def to_svg(figure: Figure, alt: str, name: str) -> Markup:
    """The figure as an inline SVG: text stays text, colours are CSS variables, ids are its own (prefix `name`)."""
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})
    svg = re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)
    svg = re.sub(r'(<svg [^>]*?)width="[\d.]+pt"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)height="[\d.]+pt"', r"\1", svg)
    svg = re.sub(r"'DejaVu Sans',[^;\"]*", "var(--sans)", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))


def to_image(picture: Image.Image, alt: str) -> Markup:
    """A picture as an <img> with its PNG in a data URI."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return embed_image(data.getvalue(), "image/png", alt)


def embed_image(data: bytes, kind: str, alt: str) -> Markup:
    """An encoded picture as an <img> with a data URI."""
    code = base64.b64encode(data).decode("ascii")
    return Markup('<img alt="{}" src="data:{};base64,{}">').format(alt, kind, code)


# ---- maps ----------------------------------------------------------------------------------------------------------


def map_frame(places: pd.DataFrame, *, side_px: int = MAP_PX) -> Frame:
    """A north-up frame around all places, as wide as the page allows, no taller than needed."""
    square = Frame.around(places["lat"], places["lng"], height=side_px, width=side_px, margin_px=10)
    x, y = square.to_pixels(places["lat"], places["lng"])
    height = min(side_px, max(ceil(np.ptp(y)) + 20, side_px // 3))
    width = min(side_px, max(ceil(np.ptp(x)) + 20, side_px // 3))
    return Frame.around(places["lat"], places["lng"], height=height, width=width, margin_px=10)


def density(trips: pd.DataFrame, frame: Frame) -> NDArray:
    """Length of all trips inside each pixel, in pixels, [H, W]; a round trip counts one pixel at its station."""
    flows = trips.groupby(["start_lat", "start_lng", "end_lat", "end_lng"]).size()
    ends = flows.index.to_frame()
    x0, y0 = frame.to_pixels(ends["start_lat"], ends["start_lng"])
    x1, y1 = frame.to_pixels(ends["end_lat"], ends["end_lng"])
    total = np.zeros(frame.height * frame.width)
    size = frame.height + frame.width + 4
    pixels, lengths, middles = np.empty(size, np.int64), np.empty(size), np.empty(size)
    for line in zip(x0, y0, x1, y1, flows, strict=True):
        count = trace_segment(*line[:4], frame.height, frame.width, pixels, lengths, middles)
        if count:
            np.add.at(total, pixels[:count], lengths[:count] * line[4])
        else:
            total[int(line[1]) * frame.width + int(line[0])] += line[4]
    return total.reshape(frame.height, frame.width)


def _map_image(level: NDArray, frame: Frame, places: pd.DataFrame) -> Image.Image:
    """Density levels 0 … 1 as transparency of one colour, stations as grey dots."""
    rgba = np.zeros((*level.shape, 4), np.uint8)
    rgba[..., :3] = MAP_COLOUR
    rgba[..., 3] = np.round(255 * level)
    for x, y in zip(*frame.to_pixels(places["lat"], places["lng"]), strict=True):
        rgba[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1] = (128, 128, 128, 255)
    return Image.fromarray(rgba)


def density_maps(real: pd.DataFrame, synthetic: pd.DataFrame, places: pd.DataFrame) -> tuple[list[Chart], float]:
    """Both densities on one square-root scale, and the density at full colour."""
    frame = map_frame(places)
    maps = [density(trips, frame) for trips in (real, synthetic)]
    top = max(float(np.quantile(maps[0][maps[0] > 0], 0.995)), 1.0)
    charts = []
    for title, found in zip(("Real", "Synthetic"), maps, strict=True):
        level = np.sqrt(np.clip(found / top, 0, 1))
        alt = f"Map of {title.lower()} trips: straight lines between stations, darker where more trips run"
        charts.append(Chart(title=title, html=to_image(_map_image(level, frame, places), alt)))
    return charts, top


def sample_map(trips: pd.DataFrame, places: pd.DataFrame, *, colour: str, alt: str, name: str) -> Markup:
    """Some trips as lines on the map of stations."""
    figure = Figure(figsize=(3, 3), layout="constrained", frameon=False)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect(1 / np.cos(np.radians(places["lat"].mean())))
    axes.plot(places["lng"], places["lat"], ".", color=MUTED, markersize=3)
    for trip in trips.head(SAMPLE_TRIPS).itertuples():
        axes.plot([trip.start_lng, trip.end_lng], [trip.start_lat, trip.end_lat], color=colour, linewidth=1, alpha=0.6)
    return to_svg(figure, alt, name)


# ---- distributions -------------------------------------------------------------------------------------------------


def od_scatter(real: pd.DataFrame, synthetic: pd.DataFrame) -> Chart:
    """Each dot a number of station pairs with the same two flows, logarithmic, zeros on the axes."""
    a, b = count_both(real[["start", "end"]], synthetic[["start", "end"]])
    points = pd.DataFrame({"real": a, "synthetic": b}).value_counts()
    x, y = (points.index.get_level_values(k).to_numpy(float) for k in ("real", "synthetic"))
    zero, top = 0.45, max(a.max(), b.max()) * 1.3
    figure, axes = _figure()
    axes.plot([zero, top], [zero, top], color=MUTED, linewidth=0.8)
    axes.scatter(
        np.maximum(x, zero), np.maximum(y, zero), s=7 + 5 * np.log(points), color=SYNTHETIC, alpha=0.45, linewidths=0
    )
    ticks = [10**k for k in range(int(np.log10(top)) + 1)]
    for axis, set_limits in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        set_limits(zero * 0.8, top)
        axis.axes.set_xscale("log") if axis is axes.xaxis else axis.axes.set_yscale("log")
        axis.set_ticks([zero, *ticks], labels=["0", *map(str, ticks)])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("real trips on a station pair", color=INK)
    axes.set_ylabel("synthetic trips", color=INK)
    alt = f"Scatter of real against synthetic flows of station pairs; common part {cpc(a, b):.3f}"
    caption = (
        f"Common part of flows (CPC) {cpc(a, b):.3f}. On the line, both have as many trips; larger dots are more pairs."
    )
    return Chart(title="Flows between stations", html=to_svg(figure, alt, "od"), caption=caption)


def hour_of_week(real: pd.DataFrame, synthetic: pd.DataFrame) -> Chart:
    """Share of trips by hour of the week."""
    figure, axes = _figure(2 * WIDTH_IN, 2.7)
    for table, colour, name in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        hours = np.bincount(table["day_of_week"] * 24 + table["hour"], minlength=168) / len(table) * 100
        axes.stairs(hours, np.arange(169), color=colour, linewidth=1.4, label=name)
    axes.set_xlim(0, 168)
    axes.set_xticks(np.arange(0, 168, 24), labels=[])
    axes.set_xticks(np.arange(12, 168, 24), labels=DAYS, minor=True)
    axes.tick_params(axis="x", which="minor", length=0, colors=MUTED, labelsize=9)
    axes.set_ylabel("% of trips", color=INK)
    _legend(axes)
    alt = "Share of trips in each of the 168 hours of the week, real and synthetic"
    return Chart(title="Hours of the week", html=to_svg(figure, alt, "week"), is_wide=True)


def reliability(rows: Sequence[Sequence[float]]) -> Chart:
    """Share of trips that are right over how sure the decoder was; rows as in `decode.confidence.ConfidenceCurve`."""
    _, _, counts, said, right = np.array(rows, float).T
    figure, axes = _figure()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    spread = 2 * np.sqrt((right * (1 - right) + 1 / counts) / counts)  # two standard errors, of one trip at least
    axes.errorbar(said, right, yerr=spread, fmt="o-", color=SYNTHETIC, markersize=4, linewidth=1.4, capsize=2)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("confidence", color=INK)
    axes.set_ylabel("share that is right", color=INK)
    words = "; ".join(f"{s:.2f}: {r:.2f} of {n:.0f}" for s, r, n in zip(said, right, counts, strict=True))
    caption = (
        f"{counts.sum():,.0f} trips painted like the generator's and decoded; on the line, confidence is the chance of "
        "being right. Bars are two standard errors."
    )
    return Chart(
        title="Confidence of decoded trips",
        html=to_svg(figure, f"Reliability of confidence: {words}", "reliability"),
        caption=caption,
    )


def histogram(real: NDArray, synthetic: NDArray, *, title: str, unit: str, name: str, whole: bool = False) -> Chart:
    """Both distributions as outlines over the middle 99 % of the real values; `whole` numbers get a bin each."""
    real, synthetic = (v[~np.isnan(v)] for v in (real, synthetic))
    low, high = (0.0 if not whole else np.quantile(real, 0.005)), np.quantile(real, 0.99)
    edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5 if whole else np.linspace(low, max(high, 1e-9), 41)
    figure, axes = _figure()
    for values, colour, label in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        shares = np.histogram(values, edges)[0] / max(len(values), 1) * 100
        axes.stairs(shares, edges, color=colour, linewidth=1.4, label=label)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0)
    axes.set_xlabel(unit, color=INK)
    axes.set_ylabel("% of trips", color=INK)
    _legend(axes)
    beyond = float((synthetic > edges[-1]).mean() + (synthetic < edges[0]).mean()) if len(synthetic) else 0.0
    caption = f"{100 * beyond:.1f} % of synthetic trips lie outside the axis." if beyond >= 0.0005 else ""
    alt = f"{title}: distribution over trips in {unit}, real and synthetic"
    return Chart(title=title, html=to_svg(figure, alt, name), caption=caption)


def category_bars(real: pd.Series, synthetic: pd.Series, *, title: str, name: str) -> Chart:
    """Shares of a category, real beside synthetic; the eight most common values."""
    values = list(real.value_counts().index.union(synthetic.value_counts().index, sort=False)[:8])
    shares = [[100 * float((column == v).mean()) for v in values] for column in (real, synthetic)]
    figure, axes = _figure()
    at = np.arange(len(values))
    for k, (colour, label) in enumerate(((REAL, "real"), (SYNTHETIC, "synthetic"))):
        bars = axes.barh(at + (k - 0.5) * 0.36, shares[k], 0.34, color=colour, label=label)
        axes.bar_label(bars, [f"{share:.1f}" for share in shares[k]], padding=3, fontsize=9, color=INK)
    axes.set_yticks(at, labels=values)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(max(len(values), 4) - 0.4, -0.6)  # few bars must not grow fat
    axes.set_xlim(0, 1.25 * max(map(max, shares)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of trips", color=INK)
    _legend(axes)
    words = "; ".join(f"{v}: real {a:.1f} %, synthetic {b:.1f} %" for v, a, b in zip(values, *shares, strict=True))
    return Chart(title=title, html=to_svg(figure, words, name))


def distribution_charts(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[Chart]:
    """Flows, hours, distance, duration, and each attribute both tables have."""
    charts: list[Chart] = [
        hour_of_week(real, synthetic),
        od_scatter(real, synthetic),
        histogram(
            real["distance_km"].to_numpy(),
            synthetic["distance_km"].to_numpy(),
            title="Distance",
            unit="km, straight line",
            name="distance",
        ),
        histogram(
            real["duration_s"].to_numpy() / 60,
            synthetic["duration_s"].to_numpy() / 60,
            title="Duration",
            unit="minutes",
            name="duration",
        ),
    ]
    makers: dict[str, Callable[[str], Chart]] = {
        "birth_year": lambda c: histogram(
            real[c].to_numpy(), synthetic[c].to_numpy(), title="Birth year", unit="year", name=c, whole=True
        )
    }
    for column in ("user_type", "gender", "rideable_type", "birth_year"):
        if column in real:
            make = makers.get(
                column, lambda c: category_bars(real[c], synthetic[c], title=c.replace("_", " ").capitalize(), name=c)
            )
            charts.append(make(column))
    return charts
