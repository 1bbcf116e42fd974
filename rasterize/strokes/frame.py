"""The frame: which piece of the earth an image shows, and where each degree falls in it."""

from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rasterize.distance import METRES_PER_DEGREE


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The piece of the earth that an image shows: bounds in degrees (WGS 84), and a size in pixels.

    The projection is equirectangular. So the way to pixels and the way back are linear, and exact inverses.

    ::

              west           east
        north ┌───────┬───────┐
              │ (0,0) │ (0,1) │  ──▶ x, columns, up to width
              ├───────┼───────┤
              │ (1,0) │ (1,1) │  pixels as (row, column)
        south └───────┴───────┘
                  │
                  ▼ y, rows, up to height

    Attributes
    ----------
    west, east : float
        Longitudes of the left and right border, in degrees.
    south, north : float
        Latitudes of the lower and upper border, in degrees.
    height, width : int
        Rows and columns, in pixels.

    Notes
    -----
    The convention that bites: degrees come as (lat, lng), pixels as (x, y). Columns (x) grow eastward, but rows (y)
    grow southward, against latitude. Pixel (0, 0) is the north-west one; its centre is at x = y = 0.5, not 0.

    Examples
    --------
    >>> frame = Frame(west=10.0, south=50.0, east=10.4, north=50.2, height=2, width=4)
    >>> x, y = frame.to_pixels(50.15, 10.05)
    >>> float(x.round(9)), float(y.round(9))
    (0.5, 0.5)
    >>> lat, lng = frame.to_degrees(4, 2)
    >>> float(lat), float(lng)
    (50.0, 10.4)
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
        """Fit the smallest frame of square pixels around points.

        Parameters
        ----------
        lat, lng : (N,) float
            The points, in degrees; N ≥ 1.
        height, width : int
            Size of the frame, in pixels.
        margin_px : float
            How far inside the border all points must lie, in pixels.

        Returns
        -------
        Frame
            Pixels are square on the ground at the frame's mid-latitude; the points stand in its middle.
        """
        # Bounds of the points. A degree of longitude is shorter than one of latitude, by `squeeze`.
        lat, lng = np.asarray(lat, float), np.asarray(lng, float)
        south, north, west, east = lat.min(), lat.max(), lng.min(), lng.max()
        squeeze = np.cos(np.radians((south + north) / 2))

        # Side of a pixel in degrees of latitude: the tighter axis decides.
        # A single station still gets a frame, of a metre per pixel.
        pixel = max(
            (north - south) / (height - 2 * margin_px),
            (east - west) * squeeze / (width - 2 * margin_px),
            1.0 / METRES_PER_DEGREE,
        )

        # Centre the frame on the points.
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
        """Turn degrees into (x, y) in pixels; points outside get coordinates outside [0, width] × [0, height]."""
        x = (np.asarray(lng, float) - self.west) * (self.width / (self.east - self.west))
        y = (self.north - np.asarray(lat, float)) * (self.height / (self.north - self.south))
        return x, y

    def to_degrees(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        """Turn (x, y) in pixels into (lat, lng) in degrees; the inverse of `to_pixels`."""
        lat = self.north - np.asarray(y, float) * ((self.north - self.south) / self.height)
        lng = self.west + np.asarray(x, float) * ((self.east - self.west) / self.width)
        return lat, lng

    def contains(self, lat: ArrayLike, lng: ArrayLike) -> NDArray:
        """Return which points, in degrees, lie inside the frame; false for NaN."""
        x, y = self.to_pixels(lat, lng)
        return (x >= 0) & (x <= self.width) & (y >= 0) & (y <= self.height)

    @property
    def metres_per_pixel(self) -> float:
        """Side of a pixel, in metres."""
        return (self.north - self.south) / self.height * METRES_PER_DEGREE

    def to_json(self) -> dict[str, Any]:
        """Return the frame as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Read the JSON object of `to_json`."""
        return cls(**value)
