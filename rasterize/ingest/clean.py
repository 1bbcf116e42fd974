"""Cleaning: the rules that reject a row, each row counted under the first rule it breaks."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from rasterize.distance import METRES_PER_DEGREE
from rasterize.ingest.options import CleanOptions

if TYPE_CHECKING:
    from rasterize.ingest.ends import End

# What rejects.json and the printed table call the rules.
UNREADABLE_LINE = "unreadable line"
BLANK_LINE = "blank line"
UNREADABLE_TIME = "unreadable time"
MISSING_END = "missing coordinates or station"
AT_ZERO = "coordinates at (0, 0)"
SWAPPED = "latitude and longitude swapped"
DEPOT = "depot or test shop"
END_NOT_AFTER_START = "end not after start"
TOO_SHORT = "too short"
TOO_LONG = "too long"
OUTSIDE = "outside the area"
TOO_FAST = "too fast"
ONE_OFF = "one-off place"
# What a row shows by itself, then what only all rows show; in the order in which the rules are asked.
ROW_REASONS = (BLANK_LINE, UNREADABLE_TIME, END_NOT_AFTER_START, TOO_SHORT, TOO_LONG, MISSING_END, AT_ZERO)
# The reason against a row is a number: 0 for none, else one more than its index here.
REASONS = (*ROW_REASONS, DEPOT, SWAPPED, OUTSIDE, TOO_FAST, ONE_OFF)
NO_TIME = np.iinfo(np.int64).min  # NaT

CLOCK_CHANGE_S = 3600.0
# Clocks and the publisher's duration may differ by so much: publishers cut seconds, and some clocks have none.
CLOCK_TOLERANCE_S = 60.0
# Bins of the histograms that give quantiles of coordinates: about 100 m, small beside a town. Not swept.
BIN_DEGREES = 0.001
# Coordinates are cut to this before they are binned, so that rubbish fits an int64.
_MAX_DEGREES = 1000


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounds in degrees (WGS 84) that hold the ends of all but odd trips."""

    south: float
    north: float
    west: float
    east: float

    def holds(self, lat: NDArray, lng: NDArray) -> NDArray:
        """Return which points lie inside, bool [N]."""
        return (lat >= self.south) & (lat <= self.north) & (lng >= self.west) & (lng <= self.east)


def settle_times(
    started: NDArray, ended: NDArray, reported_duration_s: NDArray, *, step_s: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Give every row the end and the duration it should have, and say which rows contradict themselves.

    The publisher's own duration is trusted over the difference of the two clocks. That difference is off by an hour
    when the clocks change. Where both disagree by more than the rounding of the times, the end moves to the start plus
    the duration. A row contradicts itself only if its end lies before its start for no such reason.

    Parameters
    ----------
    started, ended : int64 [N]
        Microseconds since 1970; `NO_TIME` where missing.
    reported_duration_s : float64 [N]
        The publisher's own duration; not finite where missing.
    step_s
        The publisher rounds times to so many seconds.

    Returns
    -------
    ended : int64 [N]
        Microseconds since 1970.
    duration_s : float64 [N]
        NaN where unknown.
    contradiction : bool [N]
        Which rows contradict themselves.
    """
    # Look closer only at rows whose clocks and duration do not agree: few, or all where durations are not reported.
    gap = (ended - started) / 1e6
    gap[(started == NO_TIME) | (ended == NO_TIME)] = np.nan
    contradiction = np.zeros(len(gap), bool)
    doubtful = np.flatnonzero(~((gap > 0) & (np.abs(gap - reported_duration_s) < CLOCK_TOLERANCE_S)))
    ended, duration = ended.copy(), reported_duration_s.copy()
    started, gap, reported = started[doubtful], gap[doubtful], reported_duration_s[doubtful]

    # Rubbish is cut to 30 years, so that it fits an int64 of microseconds. It is rejected as too long.
    known = np.isfinite(reported)
    reported = np.where(known, np.clip(reported, -1e9, 1e9), np.nan)

    # A difference is explained by rounding at both ends, or by a change of the clocks.
    off = np.abs(gap - reported)
    explained = (off < max(CLOCK_TOLERANCE_S, 2 * step_s)) | (np.abs(off - CLOCK_CHANGE_S) < CLOCK_TOLERANCE_S)
    contradiction[doubtful] = known & (gap <= 0) & ~explained

    # Move the end where a duration is reported; else the clocks give the duration.
    moved = started + np.rint(np.where(known, reported, 0) * 1e6).astype(np.int64)
    ended[doubtful] = np.where(known, moved, ended[doubtful])
    duration[doubtful] = np.where(known, reported, gap)
    return ended, duration, contradiction


def screen_by_row(
    started: NDArray,
    duration_s: NDArray,
    contradiction: NDArray,
    *,
    missing_end: NDArray,
    at_zero: NDArray,
    options: CleanOptions,
) -> NDArray:
    """Find the first rule each row breaks by itself.

    Parameters
    ----------
    started : int64 [N]
        Microseconds since 1970; `NO_TIME` where missing.
    duration_s : float64 [N]
        As of `settle_times`; NaN where unknown.
    contradiction : bool [N]
        As of `settle_times`.
    missing_end : bool [N]
        Which rows have an end without coordinates.
    at_zero : bool [N]
        Which rows have an end with a coordinate of 0.
    options
        The limits.

    Returns
    -------
    Reasons, uint8 [N], see `REASONS`; `BLANK_LINE` is left to the reader.
    """
    broken = {
        UNREADABLE_TIME: (started == NO_TIME) | np.isnan(duration_s),
        END_NOT_AFTER_START: contradiction | (duration_s <= 0),
        TOO_SHORT: duration_s < options.min_duration_s,
        TOO_LONG: duration_s > options.max_duration_s,
        MISSING_END: missing_end,
        AT_ZERO: at_zero,
    }
    return _add_reasons(np.zeros(len(started), np.uint8), broken)


def _add_reasons(reasons: NDArray, broken: Mapping[str, NDArray]) -> NDArray:
    """Give rows without a reason the first rule of `broken` they break, uint8 [N]; a new array."""
    reasons = reasons.copy()
    for reason, rows in broken.items():
        if rows.any():
            reasons[rows & (reasons == 0)] = REASONS.index(reason) + 1
    return reasons


def screen_by_all_parts(
    reasons: NDArray,
    duration_s: NDArray,
    ends: tuple["End", "End"],
    *,
    depots: tuple[NDArray, NDArray],
    box: Box,
    speed_limit_ms: float,
) -> NDArray:
    """Find the first rule that only all parts together give, for the rows that broke none so far.

    Parameters
    ----------
    reasons : uint8 [N]
        As of `screen_by_row`.
    duration_s : float64 [N]
        Durations of the rows.
    ends
        The starts and the ends of the rows, E different ones each.
    depots : two of bool [E]
        Which of the starts, and which of the ends, are depots.
    box
        The area of all parts.
    speed_limit_ms
        Metres per second, as the crow flies.

    Returns
    -------
    Reasons, uint8 [N], see `REASONS`; a new array.
    """
    start, end = ends
    # A row is swapped if both its ends lie inside as soon as latitude and longitude change places.
    inside = [side.spread(box.holds(side.lat, side.lng)) for side in ends]
    turned = [side.spread(box.holds(side.lat, side.lng) | box.holds(side.lng, side.lat)) for side in ends]
    at_depot = [side.spread(depot) for side, depot in zip(ends, depots, strict=True)]

    # Metres on a flat map of the area: one scale of longitudes for all rows is exact enough for a limit.
    squeeze = METRES_PER_DEGREE * math.cos(math.radians((box.south + box.north) / 2))
    north = (end.spread(end.lat) - start.spread(start.lat)) * METRES_PER_DEGREE
    east = (end.spread(end.lng) - start.spread(start.lng)) * squeeze
    broken = {
        DEPOT: at_depot[0] | at_depot[1],
        SWAPPED: turned[0] & turned[1] & ~(inside[0] & inside[1]),
        OUTSIDE: ~(inside[0] & inside[1]),
        TOO_FAST: np.sqrt(north * north + east * east) > duration_s * speed_limit_ms,
    }
    return _add_reasons(reasons, broken)


def is_depot(name: str, options: CleanOptions) -> bool:
    """Return whether a station of this name is a depot by the option's rule."""
    return bool(options.depot_names) and re.search(options.depot_names, name, re.IGNORECASE) is not None


# ---- the area

Histogram = tuple[NDArray, NDArray]  # bins of coordinates, ascending, and counts; int64 [B] each


def count_bins(degrees: NDArray, counts: NDArray) -> Histogram:
    """Return the histogram of coordinates, `counts` times each, int64 [N], in bins of `BIN_DEGREES`."""
    is_used = counts > 0
    scaled = np.clip(degrees[is_used], -_MAX_DEGREES, _MAX_DEGREES) / BIN_DEGREES
    # Round half away from zero, so that both sides of the equator are alike.
    return add_histograms([((scaled + np.copysign(0.5, scaled)).astype(np.int64), counts[is_used])])


def add_histograms(histograms: Sequence[Histogram]) -> Histogram:
    """Return one histogram of all, which may name a bin more than once."""
    bins, index = np.unique(np.concatenate([bins for bins, _ in histograms]), return_inverse=True)
    counts = np.bincount(index, np.concatenate([counts for _, counts in histograms]), len(bins))
    return bins, counts.astype(np.int64)


def find_box(lat: Histogram, lng: Histogram, options: CleanOptions) -> Box | None:
    """Find the area of all but odd trips.

    Parameters
    ----------
    lat, lng
        Histograms of the ends of the rows that are trips by themselves.
    options
        `box_quantile`, `box_margin` and `box_mads`.

    Returns
    -------
    The area; None where there is no such row.

    Notes
    -----
    Along each axis the area is [Q(q) - m, Q(1 - q) + m], cut to [Q(.5) - r, Q(.5) + r]. Q is the quantile function, q
    is `box_quantile`, and r is `box_mads` times the median absolute deviation. The margin m is `box_margin` of the
    width, plus a bin. Quantiles and deviations make it robust. Histograms make it deterministic, and small for any
    number of rows.
    """
    if len(lat[0]) == 0:
        return None
    (south, north), (west, east) = _find_bounds(lat, options), _find_bounds(lng, options)
    return Box(south=south, north=north, west=west, east=east)


def _find_bounds(histogram: Histogram, options: CleanOptions) -> tuple[float, float]:
    """Return the lower and the upper bound of the area along one axis, in degrees."""
    bins, counts = histogram
    values = bins * BIN_DEGREES
    shares = [options.box_quantile, 0.1, 0.5, 0.9, 1 - options.box_quantile]
    low, lower, middle, upper, high = find_quantiles(values, counts, shares)

    # The median absolute deviation.
    off = np.abs(values - middle)
    order = np.argsort(off, kind="stable")
    (deviation,) = find_quantiles(off[order], counts[order], [0.5])

    # The deviation is 0 where half of all trips meet at one spot. Then half of q90 - q10 stands in, and five bins
    # (about 500 m) where that is 0 too. Both only have to be of the size of a town; not swept.
    reach = options.box_mads * max(deviation, (upper - lower) / 2, 5 * BIN_DEGREES)
    margin = options.box_margin * min(high - low, 2 * reach) + BIN_DEGREES
    return float(max(low - margin, middle - reach)), float(min(high + margin, middle + reach))


def find_quantiles(values: NDArray, counts: NDArray, shares: Sequence[float]) -> list[float]:
    """Find quantiles of values that count more than once.

    Parameters
    ----------
    values : float64 [B]
        In ascending order.
    counts : int64 [B]
        How often each value is there.
    shares
        Between 0 and 1.

    Returns
    -------
    For each share the smallest value that at least this share of the counts does not exceed.
    """
    total = np.cumsum(counts)
    indices = np.searchsorted(total, np.asarray(shares) * total[-1], side="left")
    return [float(values[index]) for index in indices]
