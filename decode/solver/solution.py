"""What decoding a batch of images gives: strokes, evidence, painted values, and what is left unexplained."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

STATES = ("decoded", "blank image", "image not finite", "image holds more trips than can be told apart")
#: Columns of `Solution.evidence`: energy that the best explanation without the trip leaves unexplained on top, as a
#: share of the trip's own; how strongly the trip is painted, 1 is as it should be; energy of its image that is left
#: unexplained, per trip and as a share of the trip's own.
EVIDENCE = ("margin", "strength", "unexplained")


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Decoded strokes of a batch of images.

    image, ends, route : int64 [S], int32 [S, 2], int32 [S], one row per trip, in image order; the route is −1 for a
    straight stroke.
    evidence : float32 [S, 3], what speaks for the trip, see `EVIDENCE`.
    values : float32 [S, P], a level per painted plane.
    residual : float32 [N], share of each image's norm that the trips leave unexplained.
    state : int8 [N], index into `STATES`.
    """

    image: NDArray
    ends: NDArray
    route: NDArray
    evidence: NDArray
    values: NDArray
    residual: NDArray
    state: NDArray


def join_solutions(parts: Sequence[Solution]) -> Solution:
    """One solution of batches in order, whose `image` counts from the first of all."""
    return Solution(
        **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Solution)}
    )
