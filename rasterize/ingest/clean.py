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

# What rejects.json and the printed table call the rules, in the order they are asked.
UNREADABLE_LINE = "unreadable line"
BLANK_LINE = "blank line"
UNREADABLE_TIME = "unreadable time"
NO_PLACE = "missing coordinates or station"
AT_ZERO = "coordinates at (0, 0)"
SWAPPED = "latitude and longitude swapped"
DEPOT = "depot or test shop"
END_NOT_AFTER_START = "end not after start"
TOO_SHORT = "too short"
TOO_LONG = "too long"
OUTSIDE = "outside the area"
TOO_FAST = "too fast"
ONE_OFF = "one-off place"
ROW_REASONS = (BLANK_LINE, UNREADABLE_TIME, END_NOT_AFTER_START, TOO_SHORT, TOO_LONG, NO_PLACE, AT_ZERO)
# The reason against a row is a number: 0 for none, else one more than its place here.
REASONS = (*ROW_REASONS, DEPOT, SWAPPED, OUTSIDE, TOO_FAST, ONE_OFF)
CLOCK_CHANGE_S = 3600.0
NO_TIME = np.iinfo(np.int64).min  # NaT
BIN_DEGREES = 0.001  # of the histograms that give quantiles of coordinates: about 100 m


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounds in degrees that hold the ends of all but odd trips."""

    south: float
    north: float
    west: float
    east: float

    def holds(self, lat: NDArray, lng: NDArray) -> NDArray:
        """Which points lie inside, bool [N]."""
        return (lat >= self.south) & (lat <= self.north) & (lng >= self.west) & (lng <= self.east)


def settle_times(
    started: NDArray, ended: NDArray, reported_duration_s: NDArray, *, step_s: int
) -> tuple[NDArray, NDArray, NDArray]:
    """Give every row the end and the duration it should have, and say which rows contradict themselves.

    The publisher's own duration is trusted over the difference of the two clocks, which is off by an hour when the
    clocks change. Where both disagree by more than the rounding of the times, the end moves to the start plus the
    duration. Only if the end lies before the start for no such reason, the row contradicts itself.

    Parameters
    ----------
    started, ended : int64 [N], microseconds since 1970; `NO_TIME` where missing.
    reported_duration_s : float64 [N], the publisher's own duration; not finite where missing.
    step_s
        The publisher rounds times to this.

    Returns
    -------
    The ends, int64 [N]; durations in seconds, float64 [N], NaN where unknown; contradictions, bool [N].
    """
    gap = (ended - started) / 1e6
    gap[(started == NO_TIME) | (ended == NO_TIME)] = np.nan
    contradiction = np.zeros(len(gap), bool)
    doubtful = np.flatnonzero(
        ~((gap > 0) & (np.abs(gap - reported_duration_s) < 60))
    )  # few, or all where nothing is told
    ended, duration = ended.copy(), reported_duration_s.copy()
    started, gap, told = started[doubtful], gap[doubtful], reported_duration_s[doubtful]
    known = np.isfinite(told)
    told = np.where(known, np.clip(told, -1e9, 1e9), np.nan)
    off = np.abs(gap - told)
    explained = (off < max(60, 2 * step_s)) | (np.abs(off - CLOCK_CHANGE_S) < 60)
    contradiction[doubtful] = known & (gap <= 0) & ~explained
    moved = started + np.rint(np.where(known, told, 0) * 1e6).astype(np.int64)
    ended[doubtful] = np.where(known, moved, ended[doubtful])
    duration[doubtful] = np.where(known, told, gap)
    return ended, duration, contradiction


def row_reasons(
    started: NDArray,
    duration_s: NDArray,
    contradiction: NDArray,
    *,
    no_place: NDArray,
    at_zero: NDArray,
    options: CleanOptions,
) -> NDArray:
    """The first rule each row breaks by itself but for `BLANK_LINE`, uint8 [N]; the crowd's rules come later.

    `no_place` and `at_zero` tell which rows have an end without coordinates, or with a coordinate of 0; bool [N].
    """
    broken = {
        UNREADABLE_TIME: (started == NO_TIME) | np.isnan(duration_s),
        END_NOT_AFTER_START: contradiction | (duration_s <= 0),
        TOO_SHORT: duration_s < options.min_duration_s,
        TOO_LONG: duration_s > options.max_duration_s,
        NO_PLACE: no_place,
        AT_ZERO: at_zero,
    }
    return first_reasons(np.zeros(len(started), np.uint8), broken)


def first_reasons(reasons: NDArray, broken: Mapping[str, NDArray]) -> NDArray:
    """`reasons`, and for rows without one the first rule of `broken` they break, uint8 [N]; a new array."""
    reasons = reasons.copy()
    for reason, rows in broken.items():
        if rows.any():
            reasons[rows & (reasons == 0)] = REASONS.index(reason) + 1
    return reasons


def reasons_by_all_parts(
    reasons: NDArray,
    duration_s: NDArray,
    ends: tuple["End", "End"],
    *,
    depots: tuple[NDArray, NDArray],
    box: Box,
    speed_limit_ms: float,
) -> NDArray:
    """`reasons`, and for rows without one the first rule of the crowd they break, uint8 [N].

    `depots` tell which of the starts and of the ends are depots, bool [E].
    """
    start, end = ends
    inside = [side.spread(box.holds(side.lat, side.lng)) for side in ends]
    turned = [side.spread(box.holds(side.lat, side.lng) | box.holds(side.lng, side.lat)) for side in ends]
    at_depot = [side.spread(is_there) for side, is_there in zip(ends, depots, strict=True)]
    squeeze = METRES_PER_DEGREE * math.cos(math.radians((box.south + box.north) / 2))
    north = (end.spread(end.lat) - start.spread(start.lat)) * METRES_PER_DEGREE
    east = (end.spread(end.lng) - start.spread(start.lng)) * squeeze
    broken = {
        DEPOT: at_depot[0] | at_depot[1],
        SWAPPED: turned[0] & turned[1] & ~(inside[0] & inside[1]),
        OUTSIDE: ~(inside[0] & inside[1]),
        TOO_FAST: np.sqrt(north * north + east * east) > duration_s * speed_limit_ms,
    }
    return first_reasons(reasons, broken)


def is_depot(name: str, options: CleanOptions) -> bool:
    """Whether a station of this name is a depot by the option's rule."""
    return bool(options.depot_names) and re.search(options.depot_names, name, re.IGNORECASE) is not None


# ---- the area

Histogram = tuple[NDArray, NDArray]  # bins of coordinates, ascending, and counts; int64 [B] each


def count_bins(degrees: NDArray, counts: NDArray) -> Histogram:
    """The histogram of coordinates that are there so often each, int64 [N], in bins of `BIN_DEGREES`."""
    there = counts > 0
    scaled = np.clip(degrees[there], -1000, 1000) / BIN_DEGREES
    return add_histograms([((scaled + np.copysign(0.5, scaled)).astype(np.int64), counts[there])])


def add_histograms(histograms: Sequence[Histogram]) -> Histogram:
    """One histogram of all, which may name a bin more than once."""
    bins, places = np.unique(np.concatenate([bins for bins, _ in histograms]), return_inverse=True)
    counts = np.bincount(places, np.concatenate([counts for _, counts in histograms]), len(bins))
    return bins, counts.astype(np.int64)


def find_box(lat: Histogram, lng: Histogram, options: CleanOptions) -> Box | None:
    """The area of the rows whose ends the histograms count; None where there is no such row.

    From quantiles and the median absolute deviation of a histogram, so that it is robust, deterministic and small
    for any number of rows.
    """
    if len(lat[0]) == 0:
        return None
    (south, north), (west, east) = _axis_bounds(lat, options), _axis_bounds(lng, options)
    return Box(south=south, north=north, west=west, east=east)


def _axis_bounds(histogram: Histogram, options: CleanOptions) -> tuple[float, float]:
    bins, counts = histogram
    values = bins * BIN_DEGREES
    shares = [options.box_quantile, 0.1, 0.5, 0.9, 1 - options.box_quantile]
    low, lower, middle, upper, high = weighted_quantiles(values, counts, shares)
    off = np.abs(values - middle)
    order = np.argsort(off, kind="stable")
    (deviation,) = weighted_quantiles(off[order], counts[order], [0.5])
    # the deviation is 0 where half of all trips meet at one spot
    reach = options.box_mads * max(deviation, (upper - lower) / 2, 5 * BIN_DEGREES)
    margin = options.box_margin * min(high - low, 2 * reach) + BIN_DEGREES
    return float(max(low - margin, middle - reach)), float(min(high + margin, middle + reach))


def weighted_quantiles(values, counts, shares) -> list[float]:
    """The smallest values that at least the given shares of the counts do not exceed; `values` ascend."""
    total = np.cumsum(counts)
    places = np.searchsorted(total, np.asarray(shares) * total[-1], side="left")
    return [float(values[place]) for place in places]
