"""How trip files are read, cleaned and placed: every setting of the input side."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rasterize.distance import SPEED_LIMITS_KMH, speed_limit_kmh
from rasterize.errors import InputError
from rasterize.flags import CLEANING, DRAWING, READING, parse_resolution, setting
from rasterize.formats.times import check_zone

DEPOT_NAMES = (
    r"\b(depot|tech (shop|station|workshop)|workshop|warehouse|test|testing|bike checking|kiosk in a box|motivate"
    r"|8d (ops|qc)|mobile 0\d)\b"
)


@dataclass(frozen=True, kw_only=True)
class CleanOptions:
    """Which rows are no trips; see `REASONS` in `rasterize.ingest.clean`."""

    # shorter ones are bikes put back; longer ones are bikes lost, or a dock that did not notice the end
    min_duration_s: float = setting(60.0, "Drop shorter trips; seconds.", panel=CLEANING, flags=("--min-duration",))
    max_duration_s: float = setting(10_800.0, "Drop longer trips; seconds.", panel=CLEANING, flags=("--max-duration",))
    vehicle: str | None = setting(
        None,
        f"What was ridden, for the speed limit: {', '.join(f'{v} {s:g} km/h' for v, s in SPEED_LIMITS_KMH.items())}.",
        panel=CLEANING,
        default_text="as the publisher's format tells, else bike",
    )
    max_speed_kmh: float | None = setting(
        None,
        "Drop trips faster than this on the straight line; km/h.",
        panel=CLEANING,
        flags=("--max-speed",),
        default_text="the vehicle's",
    )
    depot_names: str = setting(
        DEPOT_NAMES,
        "Drop stations so named; regular expression, '' drops none.",
        panel=CLEANING,
        default_text="depots, workshops, tests",
    )
    # The area holds all ends but a share on each side, and a share of its own width more. It reaches no further than
    # so many median absolute deviations (or half q90 - q10) from the median. Set by hand on the files of shared/data.
    box_quantile: float = setting(0.001, "Share of ends outside the area on each side.", panel=CLEANING, rare=True)
    box_margin: float = setting(0.25, "Margin of the area, share of its width.", panel=CLEANING, rare=True)
    box_mads: float = setting(20.0, "Reach of the area, in median deviations.", panel=CLEANING, rare=True)

    def __post_init__(self) -> None:
        if not 0 <= self.min_duration_s < self.max_duration_s:
            raise InputError(
                f"min_duration_s {self.min_duration_s}: must be less than max_duration_s, and not negative"
            )
        if not 0 <= self.box_quantile < 0.5:
            raise InputError(f"box_quantile {self.box_quantile}: must lie in [0, 0.5)")
        if self.max_speed_kmh is not None and not self.max_speed_kmh > 0:
            raise InputError(f"--max-speed {self.max_speed_kmh}: must be above 0 km/h")
        if self.vehicle is not None:
            speed_limit_kmh(self.vehicle)
        try:
            re.compile(self.depot_names)
        except re.error as error:
            raise InputError(f"depot_names '{self.depot_names}': no regular expression ({error})") from None

    def limit_kmh(self, usual_vehicle: str) -> float:
        """Return the speed limit in km/h; `usual_vehicle` is ridden where the options name none."""
        return speed_limit_kmh(self.vehicle or usual_vehicle, self.max_speed_kmh)


@dataclass(frozen=True, kw_only=True)
class StopOptions:
    """How ends of trips become stations or cells."""

    resolution: str | int = setting("32", "Side in pixels, ROWSxCOLUMNS, or auto.", panel=DRAWING)
    endpoint_error_px: float = setting(
        0.35,  # what a middling generator paints (docs/fidelity.md)
        "Standard deviation of painted ends, px; --resolution auto keeps stations 6 of them apart.",
        panel=DRAWING,
        flags=("--endpoint-error",),
    )
    snap_m: float = setting(150.0, "A free-floating end this near to a station is there; metres.", panel=READING)
    cell_px: int = setting(2, "Side of the grid cells of other free-floating ends, px.", panel=READING)
    min_uses: int = setting(2, "Drop stations and cells used less often.", panel=CLEANING)

    def __post_init__(self) -> None:
        parse_resolution(str(self.resolution))
        if self.snap_m < 0 or self.cell_px < 1:
            raise InputError("snap_m must not be negative; cell_px must be at least 1")
        if self.endpoint_error_px <= 0:
            raise InputError(f"--endpoint-error {self.endpoint_error_px}: must be above 0 pixels")

    @property
    def shape(self) -> tuple[int, int] | tuple[None, None]:
        """Height and width of the frame in pixels; None where the spacing of stations decides."""
        return parse_resolution(str(self.resolution))


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """How trip files are read and cleaned."""

    clean: CleanOptions = field(default_factory=CleanOptions)
    stops: StopOptions = field(default_factory=StopOptions)
    time_zone: str | None = setting(
        None,
        "Wall clock for times in UTC or with an offset, e.g. America/New_York.",
        panel=READING,
        default_text="the publisher's",
    )
    columns: Mapping[str, str] = setting(
        {}, "INTERNAL=HEADER for a file of no known publisher; repeat.", panel=READING, flags=("--column",)
    )
    stations: Path | None = setting(
        None, "Station coordinates: GBFS station_information, GeoJSON or CSV.", panel=READING
    )
    dialect: str | None = setting(None, "Name of the publisher's format, when the header does not tell.", panel=READING)
    train_share: float = setting(
        1 / 3, "Share of the trips that train; the rest measures.", panel=READING, default_text="1/3"
    )
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        check_zone(self.time_zone)
        if not 0 < self.train_share <= 1:
            raise InputError(f"train_share {self.train_share}: must lie in (0, 1]")
