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
    """What lies between a clean drawing and a generated image; levels are in units of one stroke.

    Attributes
    ----------
    blur_px : float
        Standard deviation of the Gaussian blur, in pixels.
    jitter_px : float
        How far each end is off its place: standard deviation along each axis, in pixels.
    gain_sd : float
        Standard deviation of how strongly a trip is painted, as a share.
    noise : float
        Standard deviation of the noise of each pixel.
    lost : float
        Share of blobs that are left out.
    gains : tuple of float
        Gain of each plane of strokes (A, B, O, D, or grey); empty is 1.
    backgrounds : tuple of float
        Background of each plane, the painted ones included; empty is 0.
    clipped : bool
        Whether levels below zero are cut off.
    unexplained : float
        Median share of an image's energy that its trips leave over.
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
        """Return the blur of pictures on average, in pixels: ends that are off blur them too."""
        return float(np.hypot(self.blur_px, self.jitter_px))

    def plane_gains(self, planes: int) -> NDArray:
        """Return the gain of each plane of strokes, float32 [planes]."""
        return np.asarray(self.gains or (1.0,) * planes, np.float32)

    def plane_backgrounds(self, planes: int) -> NDArray:
        """Return the background of each plane, float32 [planes]."""
        return np.asarray(self.backgrounds or (0.0,) * planes, np.float32)

    def cut_levels(self, planes: int) -> NDArray:
        """Return what empty pixels that were cut off at zero held on average, for each plane, float32 [planes].

        Put back where a level is zero, it leaves nearly no bias, neither in the background nor in strokes. Subtracting
        the mean of the background instead would thin strokes out.
        """
        backgrounds = self.plane_backgrounds(planes)
        if not self.clipped or self.noise <= 0:
            return np.zeros(planes, np.float32)
        # The mean of a Gaussian below zero: μ − σ φ(z) / Φ(−z) with z = μ / σ.
        z = np.clip(backgrounds / self.noise, -8, 8)
        return (backgrounds - self.noise * np.exp(-(z**2) / 2) / np.sqrt(2 * np.pi) / ndtr(-z)).astype(np.float32)

    def to_json(self) -> dict[str, Any]:
        """Return the degradation as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return the degradation that `to_json` gave."""
        return cls(**{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()})


CLEAN = Degradation()
# What docs/benchmarks/codec.md calls medium and mild noise; mild is half of medium.
MEDIUM = Degradation(blur_px=0.6, jitter_px=0.35, gain_sd=0.12, noise=0.08, clipped=True)
MILD = Degradation(blur_px=0.3, jitter_px=0.175, gain_sd=0.06, noise=0.04, clipped=True)
#: Levels of noise that the decoder is tested at.
DEGRADATIONS: Mapping[str, Degradation] = MappingProxyType({"none": CLEAN, "mild": MILD, "medium": MEDIUM})


def draw_degraded(spec: StrokeSpec, strokes: Strokes, degradation: Degradation, rng: np.random.Generator) -> NDArray:
    """Draw strokes as a generator would that spoils them so.

    Parameters
    ----------
    spec : StrokeSpec
        How images are drawn.
    strokes : Strokes
        S trips in N images.
    degradation : Degradation
        What is done to them.
    rng : numpy.random.Generator
        Draws how far ends are off, strengths, lost blobs and noise.

    Returns
    -------
    (N, C, H, W) float32
        Levels.
    """
    count, (planes, height, width) = len(strokes.ends), spec.shape
    # Move each end off its place. A round trip keeps one end.
    shift = rng.normal(0, degradation.jitter_px, (count, 2, 2))  # [S, end, x or y]
    shift[strokes.ends[:, 0] == strokes.ends[:, 1], 1] = shift[strokes.ends[:, 0] == strokes.ends[:, 1], 0]
    xy = np.clip(spec.place_xy[strokes.ends] + shift, 0.01, [width - 0.01, height - 0.01])
    moved = replace(
        strokes, ends=np.arange(2 * count, dtype=np.int32).reshape(-1, 2), paths=_move_paths(strokes, shift)
    )
    is_round = (strokes.ends[:, 0] == strokes.ends[:, 1]) & (np.diff(strokes.path_offsets) == 0)
    moved.ends[is_round, 1] = moved.ends[is_round, 0]
    # Paint each trip stronger or weaker, and leave out some blobs.
    strength = 1 + rng.normal(0, degradation.gain_sd, count)
    kept = rng.random((count, 2)) >= degradation.lost
    weights = strength[:, None] * np.column_stack([np.ones(count), kept])
    images = Pen(spec, xy=xy.reshape(-1, 2)).draw(moved, weights=np.maximum(weights, 0))
    # Blur, then gains, backgrounds and noise in units of a stroke, then the cut at zero.
    taps = gaussian_taps(degradation.blur_px)
    for axis in (2, 3):
        images = convolve1d(images, taps, axis=axis, mode="constant")
    unit, drawn = np.float32(1 / spec.drawing.level_scale), len(spec.drawing.planes)
    images[:, :drawn] *= degradation.plane_gains(drawn)[:, None, None]
    images += degradation.plane_backgrounds(planes)[:, None, None] * unit
    images += rng.normal(0, degradation.noise, images.shape).astype(np.float32) * unit
    return np.maximum(images, 0) if degradation.clipped else images


def _move_paths(strokes: Strokes, shift: NDArray) -> NDArray:
    """Return the waypoints moved with the ends of their stroke; those between move in proportion."""
    sizes = np.diff(strokes.path_offsets)
    stroke = np.repeat(np.arange(len(sizes)), sizes)
    position = np.arange(len(strokes.paths)) - strokes.path_offsets[stroke]
    share = (position / np.maximum(sizes[stroke] - 1, 1))[:, None]
    return (strokes.paths + (1 - share) * shift[stroke, 0] + share * shift[stroke, 1]).astype(np.float32)
