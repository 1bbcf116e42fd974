"""How trips become strokes and images: every setting of the codec."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from rasterize.errors import InputError
from rasterize.strokes.spec import Drawing

USUAL_TRIPS = 4  # per image: ahead of 1, and level with 16 (docs/fidelity.md)


@dataclass(frozen=True, kw_only=True)
class RasterOptions:
    """How trips become images.

    `trips_per_image` None is four, and one where trips have waypoints: several bent strokes are told apart only where
    their routes are known. `attributes` overrides the default way of single attributes ("hour" → "factor", a channel
    kind, or "off"). `store_mb` is the size up to which images.npy is written; training draws from strokes.npz in
    any case.
    """

    trips_per_image: int | None = None
    mode: str = "abod"
    blob_sigma_px: float = 0.7
    blob_gain: float = 3.0
    stroke_sigma_px: float = 0.0
    layout: str = "map"
    merge_px: float = 1.0
    attributes: Mapping[str, str] = field(default_factory=dict)
    store_mb: int = 256
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trips_per_image is not None and self.trips_per_image < 1:
            raise InputError(f"trips per image must be 1 or more, not {self.trips_per_image}")
        if self.merge_px < 0:
            raise InputError(f"--merge-px must be 0 or more, not {self.merge_px}")

    def settled(self, *, bent: bool) -> "RasterOptions":
        """The options for trips with waypoints or without."""
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
            level_scale=float(np.sqrt(self.trips_per_image)),
        )
