"""How trip files are read, cleaned and placed: every setting of the input side."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rasterize.errors import InputError
from rasterize.formats.times import check_zone
from rasterize.strokes.resolution import EXPECTED_ERROR_PX

DEPOT_NAMES = (
    r"\b(depot|tech (shop|station|workshop)|workshop|warehouse|test|testing|bike checking|kiosk in a box|motivate"
    r"|8d (ops|qc)|mobile 0\d)\b"
)


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which rows are no trips; see `REASONS`."""

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
class StopOptions:
    """How ends of trips become stations or cells."""

    height: int | None = 64  # of the frame, in pixels; None: chosen by the spacing of stations
    width: int | None = 64
    endpoint_error_px: float = EXPECTED_ERROR_PX  # standard deviation of ends a generator paints, to choose by
    snap_m: float = 150.0  # an end without a station belongs to the nearest one this near …
    cell_px: int = 2  # … else to a grid cell of this many pixels a side
    min_uses: int = 2  # a station or cell with fewer starts and ends is a one-off

    def __post_init__(self) -> None:
        sides = [side for side in (self.height, self.width) if side is not None]
        if self.snap_m < 0 or min([self.cell_px, *sides]) < 1:
            raise InputError("snap_m must not be negative; cell_px, height and width must be at least 1")
        if self.endpoint_error_px <= 0:
            raise InputError(f"--endpoint-error {self.endpoint_error_px}: must be above 0 pixels")


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """How trip files are read and cleaned."""

    clean: CleanOptions = field(default_factory=CleanOptions)
    stops: StopOptions = field(default_factory=StopOptions)  # with the resolution of the frame
    time_zone: str | None = None  # wall clock for times in UTC, with an offset, or since 1970; None: the dialect's
    columns: Mapping[str, str] = field(default_factory=dict)  # internal name → header, for files of no known dialect
    stations: Path | None = None  # GBFS station_information, GeoJSON or CSV: coordinates the trips lack
    dialect: str | None = None  # None: recognised from the header
    train_share: float = 1 / 3  # of trips that train (split A); the rest is shared equally by B and C
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        check_zone(self.time_zone)
        if not 0 < self.train_share <= 1:
            raise InputError(f"train_share {self.train_share}: must lie in (0, 1]")
