"""The charts of the report: real trips against synthetic ones, as SVG that follows the page's colours, and pictures.

While matplotlib draws, colours are placeholders. Afterwards they are CSS variables, so one SVG serves light, dark and
paper.
"""

import base64
import io
import re
from collections.abc import Sequence
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
from decode.evaluate.pictures import index_ends, make_station_spec
from rasterize.pictures import draw_density
from rasterize.strokes.frame import Frame

# Colours that matplotlib draws with, and the CSS variables that take their place.
INK, MUTED, RULE, REAL, SYNTHETIC = "#010203", "#040506", "#070809", "#0a0b0c", "#0d0e0f"
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule", REAL: "--real", SYNTHETIC: "--synthetic"}
WIDTH_IN, HEIGHT_IN = 4.6, 3.2
MAP_PX = 520
MAP_COLOUR = (46, 136, 206)  # readable on white and on black; its opacity is the density
SAMPLE_TRIPS = 60
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, kw_only=True)
class Chart:
    """One drawing of the report.

    Attributes
    ----------
    title : str
        Its heading.
    html : Markup
        The drawing: an <svg> or an <img>.
    caption : str
        In words, what it shows; may be empty.
    is_wide : bool
        Whether it takes the whole width of the page.
    """

    title: str
    html: Markup
    caption: str = ""
    is_wide: bool = False


# ---- drawing -------------------------------------------------------------------------------------------------------


def _make_figure(width: float = WIDTH_IN, height: float = HEIGHT_IN) -> tuple[Figure, Axes]:
    """Make an empty figure of a size in inches, in the style of the page."""
    # No background: the page shows through.
    figure = Figure(figsize=(width, height), layout="constrained", frameon=False)
    axes = figure.add_subplot(frameon=True)
    axes.patch.set_visible(False)
    axes.spines[["top", "right"]].set_visible(False)

    # Pale axes and a grid behind the data.
    for side in ("left", "bottom"):
        axes.spines[side].set_color(MUTED)
    axes.tick_params(colors=MUTED, labelsize=9)
    axes.set_axisbelow(True)
    axes.grid(color=RULE, linewidth=0.6)
    return figure, axes


def _add_legend(axes: Axes) -> None:
    """Add the legend in the colour of the text."""
    axes.legend(frameon=False, labelcolor=INK)


def _to_svg(figure: Figure, alt: str, name: str) -> Markup:
    """Turn a figure into an inline SVG: text stays text, colours are CSS variables, ids begin with `name`."""
    # Print it without a date, so that the same data give the same file.
    text = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": name}):
        FigureCanvasSVG(figure).print_svg(text, metadata={"Date": None, "Creator": None})

    # Keep the <svg> alone, with ids that no other chart of the page has.
    svg = re.sub(r"^.*?(?=<svg)", "", text.getvalue(), flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'(xlink:href="#|url\(#)', rf"\g<1>{name}-", svg)

    # The page decides on size, font and colours.
    svg = re.sub(r'(<svg [^>]*?)width="[\d.]+pt"', r"\1", svg)
    svg = re.sub(r'(<svg [^>]*?)height="[\d.]+pt"', r"\1", svg)
    svg = re.sub(r"'DejaVu Sans',[^;\"]*", "var(--sans)", svg)
    for colour, variable in VARIABLES.items():
        svg = svg.replace(colour, f"var({variable})")
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{escape(alt)}" ', 1))


def embed_picture(picture: Image.Image, alt: str) -> Markup:
    """Return a picture as an <img> with its PNG in a data URI; `alt` says in words what it shows."""
    data = io.BytesIO()
    picture.save(data, "PNG", optimize=True)
    return embed_image(data.getvalue(), "image/png", alt)


def embed_image(data: bytes, kind: str, alt: str) -> Markup:
    """Return an encoded picture as an <img> with a data URI.

    Parameters
    ----------
    data : bytes
        The file of the picture.
    kind : str
        Its media type, such as "image/gif".
    alt : str
        In words, what it shows.

    Returns
    -------
    Markup
        The <img>, safe to put into a page.
    """
    code = base64.b64encode(data).decode("ascii")
    return Markup('<img alt="{}" src="data:{};base64,{}">').format(alt, kind, code)


# ---- maps ----------------------------------------------------------------------------------------------------------


def fit_map_frame(stations: pd.DataFrame, *, side_px: int = MAP_PX) -> Frame:
    """Return a north-up frame around all stations, as wide as the page allows, no taller than needed."""
    # See how much of a square the stations fill, then cut the frame to that. Neither side is under a third.
    square = Frame.around(stations["lat"], stations["lng"], height=side_px, width=side_px, margin_px=10)
    x, y = square.to_pixels(stations["lat"], stations["lng"])
    height = min(side_px, max(ceil(np.ptp(y)) + 20, side_px // 3))
    width = min(side_px, max(ceil(np.ptp(x)) + 20, side_px // 3))
    return Frame.around(stations["lat"], stations["lng"], height=height, width=width, margin_px=10)


def draw_density_maps(real: pd.DataFrame, synthetic: pd.DataFrame, stations: pd.DataFrame) -> tuple[list[Chart], float]:
    """Draw the density of real and of synthetic trips on one square-root scale.

    Parameters
    ----------
    real, synthetic : DataFrame
        Located trips.
    stations : DataFrame
        `lat` and `lng` in degrees; the index is the station id.

    Returns
    -------
    list of Chart
        The map of real trips and that of synthetic ones.
    float
        The density at full colour, in trips that cross a pixel.
    """
    frame = fit_map_frame(stations)
    spec, side_px = make_station_spec(stations, frame), max(frame.height, frame.width)
    maps = [draw_density(spec, index_ends(trips, stations), side_px=side_px) for trips in (real, synthetic)]

    # Full colour is what few of the real pixels exceed, so that one busy street does not pale the map.
    top = max(float(np.quantile(maps[0][maps[0] > 0], 0.995)), 1.0)

    # The square root shows thin flows beside thick ones.
    charts = []
    for title, density in zip(("Real", "Synthetic"), maps, strict=True):
        level = np.sqrt(np.clip(density / top, 0, 1))
        alt = f"Map of {title.lower()} trips: straight lines between stations, darker where more trips run"
        charts.append(Chart(title=title, html=embed_picture(_colour_map(level, frame, stations), alt)))
    return charts, top


def _colour_map(level: NDArray, frame: Frame, stations: pd.DataFrame) -> Image.Image:
    """Turn density levels 0 … 1 into the opacity of one colour, with stations as grey dots."""
    rgba = np.zeros((*level.shape, 4), np.uint8)
    rgba[..., :3] = MAP_COLOUR
    rgba[..., 3] = np.round(255 * level)

    # Stations lie above the trips, 2 × 2 pixels each.
    for x, y in zip(*frame.to_pixels(stations["lat"], stations["lng"]), strict=True):
        rgba[int(y) - 1 : int(y) + 1, int(x) - 1 : int(x) + 1] = (128, 128, 128, 255)
    return Image.fromarray(rgba)


def draw_sample_map(trips: pd.DataFrame, stations: pd.DataFrame, *, colour: str, alt: str, name: str) -> Markup:
    """Draw some trips as lines on the map of stations.

    Parameters
    ----------
    trips : DataFrame
        Located trips; the first `SAMPLE_TRIPS` are drawn.
    stations : DataFrame
        `lat` and `lng` in degrees; the index is the station id.
    colour : str
        `REAL` or `SYNTHETIC`.
    alt : str
        In words, what it shows.
    name : str
        Prefix of the ids in the SVG, unique in the page.

    Returns
    -------
    Markup
        The <svg>, safe to put into a page.
    """
    # A degree of longitude is shorter than one of latitude.
    figure = Figure(figsize=(3, 3), layout="constrained", frameon=False)
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_aspect(1 / np.cos(np.radians(stations["lat"].mean())))

    axes.plot(stations["lng"], stations["lat"], ".", color=MUTED, markersize=3)
    for trip in trips.head(SAMPLE_TRIPS).itertuples():
        axes.plot([trip.start_lng, trip.end_lng], [trip.start_lat, trip.end_lat], color=colour, linewidth=1, alpha=0.6)
    return _to_svg(figure, alt, name)


# ---- distributions -------------------------------------------------------------------------------------------------


def draw_distributions(real: pd.DataFrame, synthetic: pd.DataFrame) -> list[Chart]:
    """Draw the charts of hours, flows, distance, duration, and of each attribute that both tables have."""
    kilometres = [table["distance_km"].to_numpy() for table in (real, synthetic)]
    minutes = [table["duration_s"].to_numpy() / 60 for table in (real, synthetic)]
    charts = [
        draw_hour_of_week(real, synthetic),
        _draw_flows(real, synthetic),
        _draw_histogram(*kilometres, title="Distance", unit="km, straight line", name="distance"),
        _draw_histogram(*minutes, title="Duration", unit="minutes", name="duration"),
    ]

    # Attributes: a publisher may have none of them.
    for column in ("user_type", "gender", "rideable_type"):
        if column in real:
            title = column.replace("_", " ").capitalize()
            charts.append(_draw_bars(real[column], synthetic[column], title=title, name=column))
    if "birth_year" in real:
        years = [table["birth_year"].to_numpy() for table in (real, synthetic)]
        charts.append(_draw_histogram(*years, title="Birth year", unit="year", name="birth_year", whole=True))
    return charts


def _draw_flows(real: pd.DataFrame, synthetic: pd.DataFrame) -> Chart:
    """Draw a dot for all station pairs with the same two flows, on logarithmic axes with zeros at their ends."""
    # Station pairs with equal flows share a dot: there are many of them.
    a, b = count_both(real[["start", "end"]], synthetic[["start", "end"]])
    points = pd.DataFrame({"real": a, "synthetic": b}).value_counts()
    x, y = (points.index.get_level_values(k).to_numpy(float) for k in ("real", "synthetic"))

    # A logarithmic axis has no zero: it stands at .45.
    zero, top = 0.45, max(a.max(), b.max()) * 1.3
    figure, axes = _make_figure()
    axes.plot([zero, top], [zero, top], color=MUTED, linewidth=0.8)
    axes.scatter(
        np.maximum(x, zero), np.maximum(y, zero), s=7 + 5 * np.log(points), color=SYNTHETIC, alpha=0.45, linewidths=0
    )
    _scale_flow_axes(axes, zero, top)

    # Say in words what the dots show.
    alt = f"Scatter of real against synthetic flows of station pairs; common part {cpc(a, b):.3f}"
    caption = (
        f"Common part of flows (CPC) {cpc(a, b):.3f}. On the line, both have as many trips; larger dots are more pairs."
    )
    return Chart(title="Flows between stations", html=_to_svg(figure, alt, "od"), caption=caption)


def _scale_flow_axes(axes: Axes, zero: float, top: float) -> None:
    """Give both axes a logarithmic scale, with ticks at `zero` (no trips) and at each power of ten."""
    ticks = [10**k for k in range(int(np.log10(top)) + 1)]
    for axis, set_limits in ((axes.xaxis, axes.set_xlim), (axes.yaxis, axes.set_ylim)):
        set_limits(zero * 0.8, top)
        axis.axes.set_xscale("log") if axis is axes.xaxis else axis.axes.set_yscale("log")
        axis.set_ticks([zero, *ticks], labels=["0", *map(str, ticks)])
        axis.set_ticks([], minor=True)
    axes.set_xlabel("real trips on a station pair", color=INK)
    axes.set_ylabel("synthetic trips", color=INK)


def draw_hour_of_week(real: pd.DataFrame, synthetic: pd.DataFrame) -> Chart:
    """Draw the share of trips in each hour of the week."""
    figure, axes = _make_figure(2 * WIDTH_IN, 2.7)
    for table, colour, name in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        hours = np.bincount(table["day_of_week"] * 24 + table["hour"], minlength=168) / len(table) * 100
        axes.stairs(hours, np.arange(169), color=colour, linewidth=1.4, label=name)

    # Lines between the days, names in the middle of each.
    axes.set_xlim(0, 168)
    axes.set_xticks(np.arange(0, 168, 24), labels=[])
    axes.set_xticks(np.arange(12, 168, 24), labels=DAYS, minor=True)
    axes.tick_params(axis="x", which="minor", length=0, colors=MUTED, labelsize=9)
    axes.set_ylabel("% of trips", color=INK)
    _add_legend(axes)
    alt = "Share of trips in each of the 168 hours of the week, real and synthetic"
    return Chart(title="Hours of the week", html=_to_svg(figure, alt, "week"), is_wide=True)


def draw_reliability(rows: Sequence[Sequence[float]]) -> Chart:
    """Draw the share of trips that are right over how sure the decoder was; see `ConfidenceCurve.reliability`."""
    _, _, counts, confidence, right = np.array(rows, float).T
    # Two standard errors, of one trip at least.
    spread = 2 * np.sqrt((right * (1 - right) + 1 / counts) / counts)

    # On the diagonal, confidence is the chance of being right.
    figure, axes = _make_figure()
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=0.8)
    axes.errorbar(confidence, right, yerr=spread, fmt="o-", color=SYNTHETIC, markersize=4, linewidth=1.4, capsize=2)
    axes.set_xlim(0, 1.02)
    axes.set_ylim(0, 1.04)
    axes.set_xlabel("confidence", color=INK)
    axes.set_ylabel("share that is right", color=INK)

    # Say in words what the points show.
    words = "; ".join(f"{s:.2f}: {r:.2f} of {n:.0f}" for s, r, n in zip(confidence, right, counts, strict=True))
    caption = (
        f"{counts.sum():,.0f} trips painted like the generator's and decoded; on the line, confidence is the chance of "
        "being right. Bars are two standard errors."
    )
    return Chart(
        title="Confidence of decoded trips",
        html=_to_svg(figure, f"Reliability of confidence: {words}", "reliability"),
        caption=caption,
    )


def _draw_histogram(
    real: NDArray, synthetic: NDArray, *, title: str, unit: str, name: str, whole: bool = False
) -> Chart:
    """Draw both distributions as outlines over the middle 99 % of the real values; `whole` numbers get a bin each."""
    # Edges by the real values, from 0 on unless numbers are whole.
    real, synthetic = (v[~np.isnan(v)] for v in (real, synthetic))
    low, high = (0.0 if not whole else np.quantile(real, 0.005)), np.quantile(real, 0.99)
    edges = np.arange(np.floor(low), np.ceil(high) + 2) - 0.5 if whole else np.linspace(low, max(high, 1e-9), 41)

    # Shares of all trips, those beyond the axis included.
    figure, axes = _make_figure()
    for values, colour, label in ((real, REAL, "real"), (synthetic, SYNTHETIC, "synthetic")):
        shares = np.histogram(values, edges)[0] / max(len(values), 1) * 100
        axes.stairs(shares, edges, color=colour, linewidth=1.4, label=label)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_ylim(0)
    axes.set_xlabel(unit, color=INK)
    axes.set_ylabel("% of trips", color=INK)
    _add_legend(axes)

    # Say how many synthetic trips the axis leaves out.
    beyond = float((synthetic > edges[-1]).mean() + (synthetic < edges[0]).mean()) if len(synthetic) else 0.0
    caption = f"{100 * beyond:.1f} % of synthetic trips lie outside the axis." if beyond >= 0.0005 else ""
    alt = f"{title}: distribution over trips in {unit}, real and synthetic"
    return Chart(title=title, html=_to_svg(figure, alt, name), caption=caption)


def _draw_bars(real: pd.Series, synthetic: pd.Series, *, title: str, name: str) -> Chart:
    """Draw the shares of the eight most common values of a category, real beside synthetic."""
    values = list(real.value_counts().index.union(synthetic.value_counts().index, sort=False)[:8])
    shares = [[100 * float((column == v).mean()) for v in values] for column in (real, synthetic)]

    # A pair of bars for each value.
    figure, axes = _make_figure()
    rows = np.arange(len(values))
    for k, (colour, label) in enumerate(((REAL, "real"), (SYNTHETIC, "synthetic"))):
        bars = axes.barh(rows + (k - 0.5) * 0.36, shares[k], 0.34, color=colour, label=label)
        axes.bar_label(bars, [f"{share:.1f}" for share in shares[k]], padding=3, fontsize=9, color=INK)
    axes.set_yticks(rows, labels=values)
    axes.tick_params(axis="y", length=0, labelcolor=INK)
    axes.set_ylim(max(len(values), 4) - 0.4, -0.6)  # few bars must not grow fat
    axes.set_xlim(0, 1.25 * max(map(max, shares)))
    axes.grid(visible=False, axis="y")
    axes.set_xlabel("% of trips", color=INK)
    _add_legend(axes)
    words = "; ".join(f"{v}: real {a:.1f} %, synthetic {b:.1f} %" for v, a, b in zip(values, *shares, strict=True))
    return Chart(title=title, html=_to_svg(figure, words, name))
