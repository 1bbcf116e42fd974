"""Places on an even lattice instead of the map: few pixels then hold many crowded stations apart."""

from math import ceil, sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from rasterize.errors import InputError

# Blobs (σ = .7 px) that are nearer are hardly told apart. New York's 642 places lie 1.5 px apart on 40 px
# (docs/fidelity.md); smaller pitches were not swept.
LEAST_PITCH_PX = 1.5


def lattice_xy(xy: NDArray, *, height: int, width: int) -> NDArray:
    """Move places to cells of a lattice that fills the frame, neighbours kept neighbours.

    Parameters
    ----------
    xy : (P, 2) float
        Places on the map, in any unit.
    height, width : int
        Size of the frame, in pixels.

    Returns
    -------
    (P, 2) float64
        The centre of a cell of its own for each place, in pixels.

    Raises
    ------
    InputError
        Cells would be less than `LEAST_PITCH_PX` apart.

    Notes
    -----
    Linear assignment: no other choice of cells has a smaller sum of squared distances between cells and places. Both
    are first spread evenly along either axis, so that crowded places may move as far as others.
    """
    # The lattice: as square as the frame allows, with at least one cell per place.
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

    # Cells, and places by their rank along either axis, both in [0, 1]².
    cells = np.stack(np.meshgrid((np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows), axis=2)
    cells = cells.reshape(-1, 2)
    even = (np.argsort(np.argsort(xy, axis=0, kind="stable"), axis=0) + 0.5) / count

    # Assign a cell to each place; the cost is the squared distance.
    place, cell = linear_sum_assignment(((even[:, None] - cells[None]) ** 2).sum(axis=2))
    moved = np.empty_like(even)
    moved[place] = cells[cell] * (width, height)
    return moved
