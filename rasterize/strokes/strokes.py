"""Strokes: the trips behind drawn images, grouped by image."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, kw_only=True)
class Strokes:
    """The trips behind drawn images, grouped by image.

    offsets : int64 [N + 1], image n has strokes offsets[n] … offsets[n + 1].
    ends : int32 [S, 2], origin and destination place of each stroke.
    values : float32 [S, P], a level per painted plane.
    paths : float32 [M, 2], waypoints (x, y) in pixels; path_offsets : int64 [S + 1], an empty range is straight.
    """

    offsets: NDArray
    ends: NDArray
    values: NDArray
    paths: NDArray
    path_offsets: NDArray

    @classmethod
    def straight(cls, ends: ArrayLike, *, values: NDArray | None = None, offsets: ArrayLike | None = None) -> Self:
        """Strokes without waypoints; one per image unless `offsets` says otherwise."""
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
        """The strokes of the images `which` alone, in their order."""
        rows, offsets = _rows_of(self.offsets, which)
        points, path_offsets = _rows_of(self.path_offsets, rows)
        return type(self)(
            offsets=offsets,
            ends=self.ends[rows],
            values=self.values[rows],
            paths=self.paths[points],
            path_offsets=path_offsets,
        )


def _rows_of(offsets: NDArray, which: NDArray) -> tuple[NDArray, NDArray]:
    """Rows of the groups `which`, and the offsets of these groups among them."""
    sizes = np.diff(offsets)[which]
    ends = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
    return np.repeat(offsets[:-1][which] - ends[:-1], sizes) + np.arange(ends[-1]), ends
