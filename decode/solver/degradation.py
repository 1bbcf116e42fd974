"""How a generator spoils pictures: blur, ends that are off, uneven strength, noise, lost blobs, background, cuts."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from types import MappingProxyType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import convolve1d
from scipy.special import ndtr

from rasterize.strokes.blur import gaussian_taps
from rasterize.strokes.pen import Pen
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes


@dataclass(frozen=True, kw_only=True)
class Degradation:
    """What lies between a clean drawing and a generated image; levels in units of one stroke.

    A generator paints with a Gaussian blur, sets each end off its place (both axes, standard deviation), each trip
    somewhat stronger or weaker, leaves out some blobs, scales each plane of strokes (A, B, O, D or grey; () is 1) and
    adds a background to each plane (also the painted ones; () is 0) and noise to each pixel, and may cut off what is
    below zero. `unexplained` is the median share of an image's energy that its trips leave over.
    """

    blur_px: float = 0.0
    jitter_px: float = 0.0
    gain_sd: float = 0.0
    noise: float = 0.0
    lost: float = 0.0
    gains: tuple[float, ...] = ()
    backgrounds: tuple[float, ...] = ()
    clipped: bool = False
    unexplained: float = 0.0

    @property
    def total_blur_px(self) -> float:
        """The blur of pictures on average: ends that are off blur them too."""
        return float(np.hypot(self.blur_px, self.jitter_px))

    def plane_gains(self, planes: int) -> NDArray:
        """Gain of each plane of strokes, float32 [planes]."""
        return np.asarray(self.gains or (1.0,) * planes, np.float32)

    def plane_backgrounds(self, planes: int) -> NDArray:
        """Background of each plane, float32 [planes]."""
        return np.asarray(self.backgrounds or (0.0,) * planes, np.float32)

    def cut_levels(self, planes: int) -> NDArray:
        """What empty pixels that were cut off at zero held on average, for each plane, float32 [planes].

        The mean of a Gaussian below zero. Put back where a level is zero, it leaves nearly no bias, neither in the
        background nor in strokes; subtracting the mean of the background would thin strokes out.
        """
        backgrounds = self.plane_backgrounds(planes)
        if not self.clipped or self.noise <= 0:
            return np.zeros(planes, np.float32)
        z = np.clip(backgrounds / self.noise, -8, 8)
        return (backgrounds - self.noise * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / ndtr(-z)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """The degradation as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()})


CLEAN = Degradation()
MEDIUM = Degradation(blur_px=0.6, jitter_px=0.35, gain_sd=0.12, noise=0.08, clipped=True)
MILD = Degradation(blur_px=0.3, jitter_px=0.175, gain_sd=0.06, noise=0.04, clipped=True)  # half of medium
#: Levels of noise the decoder is tested at.
DEGRADATIONS: Mapping[str, Degradation] = MappingProxyType({"none": CLEAN, "mild": MILD, "medium": MEDIUM})


def draw_degraded(spec: StrokeSpec, strokes: Strokes, degradation: Degradation, rng: np.random.Generator) -> NDArray:
    """Draw strokes as a generator would that spoils them so: levels, float32 [N, C, H, W]."""
    count, (planes, height, width) = len(strokes.ends), spec.shape
    off = rng.normal(0, degradation.jitter_px, (count, 2, 2))  # [S, end, x or y]
    off[strokes.ends[:, 0] == strokes.ends[:, 1], 1] = off[strokes.ends[:, 0] == strokes.ends[:, 1], 0]
    xy = np.clip(spec.place_xy[strokes.ends] + off, 0.01, [width - 0.01, height - 0.01])
    moved = replace(strokes, ends=np.arange(2 * count, dtype=np.int32).reshape(-1, 2), paths=_move_paths(strokes, off))
    is_round = (strokes.ends[:, 0] == strokes.ends[:, 1]) & (np.diff(strokes.path_offsets) == 0)
    moved.ends[is_round, 1] = moved.ends[is_round, 0]
    strength = 1 + rng.normal(0, degradation.gain_sd, count)
    kept = rng.random((count, 2)) >= degradation.lost
    weights = strength[:, None] * np.column_stack([np.ones(count), kept])
    images = Pen(spec, xy=xy.reshape(-1, 2)).draw(moved, weights=np.maximum(weights, 0))
    taps = gaussian_taps(degradation.blur_px)
    for axis in (2, 3):
        images = convolve1d(images, taps, axis=axis, mode="constant")
    unit, drawn = np.float32(1 / spec.drawing.level_scale), len(spec.drawing.planes)
    images[:, :drawn] *= degradation.plane_gains(drawn)[:, None, None]
    images += degradation.plane_backgrounds(planes)[:, None, None] * unit
    images += rng.normal(0, degradation.noise, images.shape).astype(np.float32) * unit
    return np.maximum(images, 0) if degradation.clipped else images


def _move_paths(strokes: Strokes, off: NDArray) -> NDArray:
    """Waypoints moved with the ends of their stroke: what lies between moves in proportion."""
    sizes = np.diff(strokes.path_offsets)
    stroke = np.repeat(np.arange(len(sizes)), sizes)
    rank = np.arange(len(strokes.paths)) - strokes.path_offsets[stroke]
    share = (rank / np.maximum(sizes[stroke] - 1, 1))[:, None]
    return (strokes.paths + (1 - share) * off[stroke, 0] + share * off[stroke, 1]).astype(np.float32)
