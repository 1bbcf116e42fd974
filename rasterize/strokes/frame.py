"""The frame: which piece of the earth an image shows, and where each degree falls in it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rasterize.distance import METRES_PER_DEGREE

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Bounds in degrees (WGS 84) and resolution in pixels; equirectangular, so both ways are exact and linear.

    Columns grow eastward, rows southward; pixel (0, 0) is the north-west pixel, its centre at x = y = 0.5.
    """

    west: float
    south: float
    east: float
    north: float
    height: int
    width: int

    def __post_init__(self) -> None:
        if not (self.west < self.east and self.south < self.north and self.height > 0 and self.width > 0):
            raise ValueError(f"a frame needs west < east, south < north and a size, not {self}")

    @classmethod
    def around(cls, lat: ArrayLike, lng: ArrayLike, *, height: int, width: int, margin_px: float = 2.0) -> Self:
        """The smallest frame of square pixels that holds all points at least `margin_px` inside its border."""
        lat, lng = np.asarray(lat, float), np.asarray(lng, float)
        south, north, west, east = lat.min(), lat.max(), lng.min(), lng.max()
        squeeze = np.cos(np.radians((south + north) / 2))  # metres per degree of longitude / of latitude
        pixel = max(
            (north - south) / (height - 2 * margin_px),
            (east - west) * squeeze / (width - 2 * margin_px),
            1.0 / METRES_PER_DEGREE,  # one station alone still gets a frame: a metre per pixel
        )
        mid_lat, mid_lng = (south + north) / 2, (west + east) / 2
        half_lat, half_lng = pixel * height / 2, pixel * width / 2 / squeeze
        return cls(
            west=float(mid_lng - half_lng),
            south=float(mid_lat - half_lat),
            east=float(mid_lng + half_lng),
            north=float(mid_lat + half_lat),
            height=height,
            width=width,
        )

    def to_pixels(self, lat: ArrayLike, lng: ArrayLike) -> tuple[NDArray, NDArray]:
        """Degrees → (x, y) in pixels; points outside the frame get coordinates outside [0, width] × [0, height]."""
        x = (np.asarray(lng, float) - self.west) * (self.width / (self.east - self.west))
        y = (self.north - np.asarray(lat, float)) * (self.height / (self.north - self.south))
        return x, y

    def to_degrees(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        """(x, y) in pixels → (lat, lng) in degrees; the inverse of `to_pixels`."""
        lat = self.north - np.asarray(y, float) * ((self.north - self.south) / self.height)
        lng = self.west + np.asarray(x, float) * ((self.east - self.west) / self.width)
        return lat, lng

    def contains(self, lat: ArrayLike, lng: ArrayLike) -> NDArray:
        """Which points lie inside the frame; false for NaN."""
        x, y = self.to_pixels(lat, lng)
        return (x >= 0) & (x <= self.width) & (y >= 0) & (y <= self.height)

    @property
    def metres_per_pixel(self) -> float:
        """Side of a pixel, in metres."""
        return (self.north - self.south) / self.height * METRES_PER_DEGREE

    def to_json(self) -> dict[str, Any]:
        """The frame as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**value)
