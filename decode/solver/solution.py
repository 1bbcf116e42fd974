"""What decoding a batch of images gives: strokes, evidence, painted values, and what is left unexplained."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from rasterize.strokes.strokes import Strokes

STATES = ("decoded", "blank image", "image not finite", "image holds more trips than can be told apart")
#: Columns of `Solution.evidence`: margin, the energy that the best explanation without the trip leaves on top, as a
#: share of the trip's own; strength, how strongly the trip is painted, 1 is as it should be; unexplained, the energy
#: left of its image, per trip and as a share of the trip's own.
EVIDENCE = ("margin", "strength", "unexplained")


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Decoded strokes of a batch of N images: S trips in image order.

    Attributes
    ----------
    image : (S,) int64
        Image of each trip.
    ends : (S, 2) int32
        Origin and destination place.
    route : (S,) int32
        Index of its route; −1 for a straight stroke.
    evidence : (S, 3) float32
        What speaks for the trip, see `EVIDENCE`.
    values : (S, P) float32
        A level per painted plane.
    residual : (N,) float32
        Share of each image's norm that its trips leave unexplained.
    state : (N,) int8
        Index into `STATES` of each image.
    """

    image: NDArray
    ends: NDArray
    route: NDArray
    evidence: NDArray
    values: NDArray
    residual: NDArray
    state: NDArray


def join_solutions(solutions: Sequence[Solution]) -> Solution:
    """Return one solution of batches in order; their `image` must already count from the first of all."""
    return Solution(
        **{field.name: np.concatenate([getattr(one, field.name) for one in solutions]) for field in fields(Solution)}
    )


def match_trips(drawn: Strokes, image: NDArray, ends: NDArray, *, ordered: bool = True) -> NDArray:
    """Tell which found trips were drawn in their image.

    Parameters
    ----------
    drawn : Strokes
        The trips that were drawn.
    image : (S,) int
        Image of each found trip.
    ends : (S, 2) int
        Its origin and destination place.
    ordered : bool
        Whether a → b and b → a are different trips.

    Returns
    -------
    (S,) bool
        True where the trip is right. Of two equal trips found the second is right only if two were drawn. So the sum
        is the size of the multisets' intersection.

    Examples
    --------
    >>> drawn = Strokes.straight([[0, 1], [2, 3]])  # one trip in each of two images
    >>> match_trips(drawn, np.array([0, 0, 1]), np.array([[0, 1], [0, 1], [3, 2]]))
    array([ True, False, False])
    """
    drawn_image = np.repeat(np.arange(len(drawn.offsets) - 1), np.diff(drawn.offsets))
    drawn_ends = drawn.ends if ordered else np.sort(drawn.ends, axis=1)
    left = Counter(zip(drawn_image.tolist(), *drawn_ends.T.tolist(), strict=True))
    is_right = np.zeros(len(ends), bool)
    ends = ends if ordered else np.sort(ends, axis=1)
    for row, trip in enumerate(zip(image.tolist(), *ends.T.tolist(), strict=True)):
        if left[trip] > 0:
            left[trip] -= 1
            is_right[row] = True
    return is_right
