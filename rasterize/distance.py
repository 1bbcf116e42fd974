"""Distances on the ground, in metres."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd


METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km


def trip_metres(trips: "pd.DataFrame") -> NDArray:
    """Straight-line length of each trip in metres, float64 [N]; NaN where an end is unknown.

    Equirectangular at the mid-latitude: right to 0.1 % within a city.
    """
    lat0, lng0, lat1, lng1 = (trips[f"{end}_{c}"].to_numpy(float) for end in ("start", "end") for c in ("lat", "lng"))
    squeeze = np.cos(np.radians((lat0 + lat1) / 2))
    return np.hypot(lat1 - lat0, (lng1 - lng0) * squeeze) * METRES_PER_DEGREE
