"""How trips become strokes and images: every setting of the codec."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt

from rasterize.errors import InputError
from rasterize.flags import DRAWING, setting

MODES = ("abod", "grey")
LAYOUTS = ("map", "lattice")
USUAL_TRIPS = 4  # per image: ahead of 1, and level with 16 (docs/fidelity.md)


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """How strokes are drawn; levels in the image are sums / `level_scale`."""

    mode: str = setting("abod", "abod keeps direction; grey is the original idea, one plane.", panel=DRAWING)
    # Both blob settings were set by hand, not swept.
    blob_sigma_px: float = setting(0.7, "Standard deviation of the blobs at the ends, px.", panel=DRAWING, rare=True)
    blob_gain: float = setting(3.0, "Mass of a blob, in pixels of stroke.", panel=DRAWING, rare=True)
    stroke_sigma_px: float = setting(
        0.0, "Width of strokes, a Gaussian's standard deviation in px.", panel=DRAWING, flags=("--stroke-sigma",)
    )
    level_scale: float = 1.0
    layout: str = setting(
        "map", "map, or lattice: stations on an even grid, so that few pixels hold many.", panel=DRAWING
    )

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise InputError(f"drawing mode '{self.mode}' is unknown; modes: {', '.join(MODES)}")
        if self.layout not in LAYOUTS:
            raise InputError(f"--layout {self.layout} is unknown; layouts: {', '.join(LAYOUTS)}")
        if not (self.blob_sigma_px > 0 and self.blob_gain > 0 and self.level_scale > 0 and self.stroke_sigma_px >= 0):
            raise InputError(
                f"blob_sigma_px, blob_gain and level_scale must be above 0, stroke_sigma_px not below it: {self}"
            )

    @property
    def planes(self) -> tuple[str, ...]:
        """Names of the planes that carry the strokes themselves."""
        return ("grey",) if self.mode == "grey" else ("A", "B", "O", "D")


@dataclass(frozen=True, kw_only=True)
class RasterOptions(Drawing):
    """How trips become images.

    Several bent strokes are told apart only where their routes are known. So trips with waypoints stand alone, one to
    an image. Training draws from strokes.npz, whether images.npy is stored or not.
    """

    trips_per_image: int | None = setting(
        None,
        "How many trips share an image.",
        panel=DRAWING,
        flags=("--trips-per-image", "-k"),
        default_text=f"{USUAL_TRIPS}; 1 where trips have waypoints",
    )
    merge_px: float = setting(1.0, "Stations closer than this become one place.", panel=DRAWING)
    attributes: Mapping[str, str] = setting(
        {},
        "How a column enters: NAME=factor, linear, quantile, conditional, cyclic, category or off; repeat.",
        panel=DRAWING,
        flags=("--attribute",),
    )
    store_mb: int = setting(256, "Write images.npy too if it is no larger than this.", panel=DRAWING)
    seed: int = 0  # of the grouping

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.trips_per_image is not None and self.trips_per_image < 1:
            raise InputError(f"trips per image must be 1 or more, not {self.trips_per_image}")
        if self.merge_px < 0:
            raise InputError(f"--merge-px must be 0 or more, not {self.merge_px}")

    def settled(self, *, bent: bool) -> "RasterOptions":
        """Return the options for trips with waypoints or without."""
        usual = 1 if bent else USUAL_TRIPS
        return self if self.trips_per_image is not None else replace(self, trips_per_image=usual)

    @property
    def drawing(self) -> Drawing:
        """How strokes are drawn, once settled; levels are scaled by √K, since few of the K strokes cross one pixel."""
        return Drawing(
            mode=self.mode,
            blob_sigma_px=self.blob_sigma_px,
            blob_gain=self.blob_gain,
            stroke_sigma_px=self.stroke_sigma_px,
            layout=self.layout,
            level_scale=sqrt(self.trips_per_image),
        )
