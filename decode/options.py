"""How generated images become synthetic trips, and how these are measured: every setting of the decode commands."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rasterize.distance import SPEED_LIMITS_KMH, USUAL_VEHICLE, speed_limit_kmh
from rasterize.errors import InputError
from rasterize.flags import parse_resolution, setting
from rasterize.strokes.options import RasterOptions

RANKS = ("painted", "spread", "drawn")  # as they are; even, in the order painted; even, in any order
DIALECTS = ("source", "internal")
NOISES = ("none", "mild", "medium")
THREE_FILES = "Three files of real trips"
FEWEST_ROWS = 30  # of a comparison: below, three folds of a classifier mean nothing


@dataclass(frozen=True, kw_only=True)
class DecodeOptions:
    """How trips are read back, put right and written."""

    dialect: str = setting(
        "source", "Columns of the CSV: 'source' are those of the input file, 'internal' our own names.", panel="Writing"
    )
    routes: Path | None = setting(
        None,
        "Known routes, for strokes that bend: lines (GeoParquet, GeoJSON) or a table of trips (Parquet).",
        panel="Reading images",
    )
    # drawn is nearest to the real trips (docs/fidelity.md)
    ranks: str = setting(
        "drawn",
        "How calibrated.csv puts painted durations and birth years right. drawn: as in training trips alike, the "
        "generator has no say in them. spread: as there, in the order painted. painted: no such file.",
        panel="Calibration",
    )

    def __post_init__(self) -> None:
        if self.ranks not in RANKS:
            raise InputError(f"--ranks {self.ranks}: give one of {', '.join(RANKS)}")
        if self.dialect not in DIALECTS:
            raise InputError(
                f"--dialect {self.dialect}: give 'source' (the columns of the input file) or 'internal' (our own names)"
            )


@dataclass(frozen=True, kw_only=True)
class CompareOptions:
    """What synthetic trips are measured against, how, and where the figures go."""

    train: Path | None = setting(None, "Real trips that trained.", panel=THREE_FILES)
    holdout: Path | None = setting(None, "Real trips held out, that measure.", panel=THREE_FILES)
    fresh: Path | None = setting(None, "More real trips, that show the ceiling.", panel=THREE_FILES)
    also: Mapping[str, str] = setting(
        {},
        "NAME=FILE: more synthetic trips, measured beside the first as RUN/calibrated.parquet is; repeat. "
        "Charts show the last.",
        panel="Figures",
    )
    out: Path | None = setting(
        None,
        "Folder for index.html and metrics.json.",
        panel="Figures",
        default_text="RUN/report, or report if there is no RUN",
    )
    json: Path | None = setting(None, "Write the figures to this file (-: print them), and no report.", panel="Figures")
    # Set by hand so that a comparison takes about a minute on two cores, not swept. docs/fidelity.md says how far
    # figures move by chance ("How far ceiling and floor move by chance").
    rows: int = setting(20_000, "How many trips of each table, at most; figures depend on it.", panel="Figures")
    vehicle: str | None = setting(
        None,
        f"What was ridden, for the speed limit of valid trips: {', '.join(SPEED_LIMITS_KMH)}.",
        panel="Figures",
        default_text="the run's, else bike",
    )
    max_speed_kmh: float | None = setting(
        None,
        "Speed limit of valid trips on the straight line; km/h.",
        panel="Figures",
        flags=("--max-speed",),
        default_text="the run's, else the vehicle's",
    )

    def __post_init__(self) -> None:
        absent = [f"--{name}" for name, path in self.thirds.items() if path is None]
        if 0 < len(absent) < 3:
            raise InputError(f"--train, --holdout and --fresh go together; there is no {' and no '.join(absent)}")
        if self.rows < FEWEST_ROWS:
            raise InputError(f"--rows {self.rows}: a comparison needs at least {FEWEST_ROWS}")
        if self.max_speed_kmh is not None and not self.max_speed_kmh > 0:
            raise InputError(f"--max-speed {self.max_speed_kmh}: must be above 0 km/h")
        if self.vehicle is not None:
            speed_limit_kmh(self.vehicle)

    @property
    def thirds(self) -> dict[str, Path | None]:
        """The three files of real trips, by what they are for."""
        return {"train": self.train, "holdout": self.holdout, "fresh": self.fresh}

    def limit_kmh(self, known_kmh: float | None) -> float:
        """Return the speed limit of valid trips: as asked for, else as known of the real trips, else the bike's."""
        if self.max_speed_kmh is None and self.vehicle is None and known_kmh is not None:
            return known_kmh
        return speed_limit_kmh(self.vehicle or USUAL_VEHICLE, self.max_speed_kmh)


@dataclass(frozen=True, kw_only=True)
class RoundtripOptions:
    """How the codec is tested without a generator."""

    resolution: str | int = setting("64", "Side in pixels, or ROWSxCOLUMNS.")
    trips_per_image: int = setting(16, "How many trips share an image.", flags=("--trips-per-image", "-k"))
    rows: int = setting(20_000, "How many random trips to draw, at most.")
    mode: str = setting(RasterOptions.mode, "abod or grey.")
    layout: str = setting(RasterOptions.layout, "map or lattice.")
    noise: str = setting(
        "none", "none, mild or medium: how a generator would spoil the images; the decoder is not given this."
    )
    lost: float = setting(0.0, "Share of end blobs to leave out.")
    routes: Path | None = setting(None, "Known routes, for strokes that bend.")
    json: Path | None = setting(None, "Write the figures to this file (-: print them) as JSON.")

    def __post_init__(self) -> None:
        if self.rows < 1:
            raise InputError(f"--rows {self.rows}: give at least 1")
        if self.noise not in NOISES:
            raise InputError(f"--noise {self.noise}: give one of {', '.join(NOISES)}")
        if not 0 <= self.lost < 1:
            raise InputError(f"--lost {self.lost}: give a share from 0 to less than 1")
        if parse_resolution(str(self.resolution)) == (None, None):
            raise InputError("--resolution auto: give a side in pixels, or ROWSxCOLUMNS")
