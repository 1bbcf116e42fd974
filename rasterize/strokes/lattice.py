"""Places on an even lattice instead of the map: few pixels then hold many crowded stations apart."""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rasterize.errors import InputError

LEAST_PITCH_PX = 1.5  # of the lattice: nearer blobs are hardly told apart


def lattice_xy(xy: NDArray, *, height: int, width: int) -> NDArray:
    """Places at `xy` [P, 2] moved to cells of a lattice that fills the frame, neighbours kept neighbours; [P, 2].

    Each place has a cell of its own; the sum of squared distances between cells and places, both spread evenly along
    either axis, is the smallest there is (linear assignment). Raises `InputError` when the frame is too small.
    """
    count = len(xy)
    columns = max(1, ceil(sqrt(count * width / height)))
    rows = ceil(count / columns)
    pitch = min(width / columns, height / rows)
    if pitch < LEAST_PITCH_PX:
        side = next(side for side in (2**power for power in range(3, 31)) if side / ceil(sqrt(count)) >= LEAST_PITCH_PX)
        raise InputError(
            f"--layout lattice: {count} places are {pitch:.1f} px apart in {height} × {width} px, at least "
            f"{LEAST_PITCH_PX} px are needed; use --resolution {side}"
        )
    cells = np.stack(np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows), axis=2)
    cells = cells.reshape(-1, 2)
    even = (np.argsort(np.argsort(xy, axis=0, kind="stable"), axis=0) + 0.5) / count
    place, cell = linear_sum_assignment(((even[:, None] - cells[None]) ** 2).sum(axis=2))
    moved = np.empty_like(even)
    moved[place] = cells[cell] * (width, height)
    return moved
