"""Cleaning: the rules that reject a row, each row counted under the first rule it breaks."""

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rasterize.errors import InputError
from rasterize.frame import METRES_PER_DEGREE

if TYPE_CHECKING:
    import duckdb

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
DEPOT_NAMES = (
    r"\b(depot|tech (shop|station|workshop)|workshop|warehouse|test|testing|bike checking|kiosk in a box|motivate"
    r"|8d (ops|qc)|mobile 0\d)\b"
)
CLOCK_CHANGE_S = 3600.0
BIN_DEGREES = 0.001  # of the histograms that give quantiles of coordinates: about 100 m


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which rows are no trips; see `REASONS` for what becomes of each."""

    min_duration_s: float = 60.0  # shorter ones are bikes put back
    max_duration_s: float = 10_800.0  # longer ones are bikes lost, or a dock that did not notice the end
    max_speed_kmh: float | None = None  # from start to end as the crow flies; None: 45, for taxis 150
    depot_names: str = DEPOT_NAMES  # regular expression, upper case = lower case; "" keeps depots
    box_quantile: float = 0.001  # the area holds all ends but this share on each side …
    box_margin: float = 0.25  # … and this share of its own width more
    box_mads: float = 20.0  # never more than so many median absolute deviations (or half q90 - q10) from the median

    def __post_init__(self) -> None:
        if not 0 <= self.min_duration_s < self.max_duration_s:
            raise InputError(
                f"min_duration_s {self.min_duration_s}: must be less than max_duration_s, and not negative"
            )
        if not 0 <= self.box_quantile < 0.5:
            raise InputError(f"box_quantile {self.box_quantile}: must lie in [0, 0.5)")
        try:
            re.compile(self.depot_names)
        except re.error as error:
            raise InputError(f"depot_names '{self.depot_names}': no regular expression ({error})") from None

    def speed_limit_ms(self, vehicle: str) -> float:
        """The fastest a trip can be, in metres per second."""
        return (self.max_speed_kmh or {"bike": 45.0, "taxi": 150.0}[vehicle]) / 3.6


@dataclass(frozen=True, kw_only=True)
class Box:
    """Bounds in degrees that hold the ends of all but odd trips."""

    south: float
    north: float
    west: float
    east: float

    def holds(self, lat: str, lng: str) -> str:
        """SQL: does the box hold the point?"""
        return f"({lat} BETWEEN {self.south!r} AND {self.north!r} AND {lng} BETWEEN {self.west!r} AND {self.east!r})"


def settle_times_sql(step_s: int) -> dict[str, str]:
    """SQL of duration_s, ended_at and of the check between them, from `started_at`, `ended_at` and `told_s`.

    `told_s` is the publisher's own duration. It is trusted over the difference of the two clocks, which is off by an
    hour when the clocks change. Where both disagree by more than the rounding of the times, the end moves to the start
    plus the duration. Only if the end lies before the start for no such reason, the row contradicts itself.
    """
    rounding = max(60, 2 * step_s)
    gap = "(epoch_us(ended_at) - epoch_us(started_at)) / 1e6"
    told = "CASE WHEN isfinite(told_s) THEN least(greatest(told_s, -1e9), 1e9) END"
    off = f"abs({gap} - {told})"
    explained = f"({off} < {rounding} OR abs({off} - {CLOCK_CHANGE_S}) < 60)"
    moved = f"started_at + to_microseconds(CAST(({told}) * 1e6 AS BIGINT))"
    keeps = f"{told} IS NULL OR (ended_at > started_at AND {off} < 60)"
    return {
        "ended_at": f"CASE WHEN {keeps} THEN ended_at ELSE {moved} END",
        "duration_s": f"coalesce({told}, {gap})",
        "contradiction": f"coalesce({gap} <= 0 AND NOT {explained}, false)",
    }


def row_reason_sql(options: CleanOptions) -> str:
    """SQL of the first rule a row breaks by itself, NULL for none; rules about the crowd come later."""
    lat_lng = ("start_lat", "start_lng"), ("end_lat", "end_lng")
    no_place = " OR ".join(f"{name} IS NULL" for pair in lat_lng for name in pair)
    at_zero = " OR ".join(f"({lat} = 0 OR {lng} = 0)" for lat, lng in lat_lng)
    rules = {
        BLANK_LINE: "blank",
        UNREADABLE_TIME: "started_at IS NULL OR duration_s IS NULL",
        END_NOT_AFTER_START: "contradiction OR duration_s <= 0",
        TOO_SHORT: f"duration_s < {options.min_duration_s!r}",
        TOO_LONG: f"duration_s > {options.max_duration_s!r}",
        NO_PLACE: no_place,
        AT_ZERO: at_zero,
    }
    return "CASE " + " ".join(f"WHEN {rule} THEN '{reason}'" for reason, rule in rules.items()) + " END"


def crowd_reason_sql(options: CleanOptions, box: Box, depots: list[str], vehicle: str) -> str:
    """SQL of the first rule a row breaks among the others: depots, the area, speed; on top of `reason`."""
    starts = box.holds("start_lat", "start_lng")
    ends = box.holds("end_lat", "end_lng")
    turned = f"({starts} OR {box.holds('start_lng', 'start_lat')}) AND ({ends} OR {box.holds('end_lng', 'end_lat')})"
    names = ", ".join("'" + name.replace("'", "''") + "'" for name in depots) or "''"
    squeeze = METRES_PER_DEGREE * math.cos(math.radians((box.south + box.north) / 2))
    metres = (
        f"sqrt(pow((end_lat - start_lat) * {METRES_PER_DEGREE!r}, 2) + pow((end_lng - start_lng) * {squeeze!r}, 2))"
    )
    return (
        f"CASE WHEN reason IS NOT NULL THEN reason "
        f"WHEN start_station_name IN ({names}) OR end_station_name IN ({names}) THEN '{DEPOT}' "
        f"WHEN NOT ({starts} AND {ends}) THEN CASE WHEN {turned} THEN '{SWAPPED}' ELSE '{OUTSIDE}' END "
        f"WHEN {metres} > duration_s * {options.speed_limit_ms(vehicle)!r} THEN '{TOO_FAST}' END"
    )


def find_depots(connection: "duckdb.DuckDBPyConnection", table: str, options: CleanOptions) -> list[str]:
    """Names of stations in `table` that are depots by the option's rule."""
    if not options.depot_names:
        return []
    query = f"SELECT start_station_name FROM {table} UNION SELECT end_station_name FROM {table}"
    names = sorted(name for (name,) in connection.execute(query).fetchall() if name is not None)
    return [name for name in names if re.search(options.depot_names, name, re.IGNORECASE)]


def find_box(connection: "duckdb.DuckDBPyConnection", table: str, options: CleanOptions) -> Box | None:
    """The area of the rows of `table` without a reason against them; None where there is no such row.

    From quantiles and the median absolute deviation of a histogram, so that it is robust, deterministic and small
    for any number of rows.
    """
    south_north = _axis_bounds(connection, table, "lat", options)
    west_east = _axis_bounds(connection, table, "lng", options)
    if south_north is None or west_east is None:
        return None
    return Box(south=south_north[0], north=south_north[1], west=west_east[0], east=west_east[1])


def _axis_bounds(
    connection: "duckdb.DuckDBPyConnection", table: str, axis: str, options: CleanOptions
) -> tuple[float, float] | None:
    import numpy as np

    ends = " UNION ALL ".join(f"SELECT {end}_{axis} AS v FROM {table} WHERE reason IS NULL" for end in ("start", "end"))
    bins_and_counts = connection.execute(
        f"SELECT CAST(round(v / {BIN_DEGREES}) AS BIGINT) AS bin, count(*) AS n FROM ({ends}) GROUP BY bin ORDER BY bin"
    ).fetchnumpy()
    bins, counts = bins_and_counts["bin"], bins_and_counts["n"]
    if len(bins) == 0:
        return None
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
    import numpy as np

    total = np.cumsum(counts)
    places = np.searchsorted(total, np.asarray(shares) * total[-1], side="left")
    return [float(values[place]) for place in places]
