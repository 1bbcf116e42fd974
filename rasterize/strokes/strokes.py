"""Strokes: the trips behind drawn images, grouped by image."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """The trips behind drawn images: N images of S strokes in all, image by image.

    Two pairs of a flat array and its offsets: `offsets` cuts strokes into images, `path_offsets` cuts waypoints into
    strokes. This is what strokes.npz of an image set holds.

    Attributes
    ----------
    offsets : (N + 1,) int64
        Image n has the strokes offsets[n] … offsets[n + 1].
    ends : (S, 2) int32
        Origin and destination of each stroke, as numbers of the spec's places.
    values : (S, P) float32
        Level of each stroke in each painted plane, mostly 0 to 1; see `rasterize.strokes.channels`.
    paths : (M, 2) float32
        Waypoints (x, y), in pixels.
    path_offsets : (S + 1,) int64
        Stroke s follows the waypoints path_offsets[s] … path_offsets[s + 1]; it is straight where there are none.
    """

    offsets: NDArray
    ends: NDArray
    values: NDArray
    paths: NDArray
    path_offsets: NDArray

    @classmethod
    def straight(cls, ends: ArrayLike, *, values: NDArray | None = None, offsets: ArrayLike | None = None) -> Self:
        """Make strokes without waypoints.

        Parameters
        ----------
        ends : (S, 2) int
            Origin and destination place of each stroke.
        values : (S, P) float, optional
            Levels in painted planes; none by default.
        offsets : (N + 1,) int, optional
            Where each image begins; by default each stroke has an image of its own.

        Returns
        -------
        Strokes
            In the order given.
        """
        ends = np.asarray(ends, np.int32).reshape(-1, 2)
        count = len(ends)
        return cls(
            offsets=np.arange(count + 1) if offsets is None else np.asarray(offsets, np.int64),
            ends=ends,
            values=np.zeros((count, 0), np.float32) if values is None else np.asarray(values, np.float32),
            paths=np.zeros((0, 2), np.float32),
            path_offsets=np.zeros(count + 1, np.int64),
        )

    @property
    def pieces_per_image(self) -> float:
        """Straight pieces of stroke per image, on average."""
        return (len(self.ends) + len(self.paths)) / max(1, len(self.offsets) - 1)

    def take(self, which: NDArray) -> Self:
        """Return the strokes of the images `which` alone, in their order."""
        # Images select strokes, and these select their waypoints.
        rows, offsets = _select_groups(self.offsets, which)
        points, path_offsets = _select_groups(self.path_offsets, rows)
        return type(self)(
            offsets=offsets,
            ends=self.ends[rows],
            values=self.values[rows],
            paths=self.paths[points],
            path_offsets=path_offsets,
        )


def _select_groups(offsets: NDArray, which: NDArray) -> tuple[NDArray, NDArray]:
    """Return the rows of the groups `which`, and the offsets of these groups among them."""
    sizes = np.diff(offsets)[which]
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.repeat(offsets[:-1][which] - ends[:-1], sizes) + np.arange(ends[-1]), ends
