"""Distances on the ground, and the speed above which nobody rode."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rasterize.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

METRES_PER_DEGREE = 111_195.0  # of latitude, on a sphere of 6,371 km

# From start to end as the crow flies, on average over the trip. Real rides stay far below; set by hand, not swept.
SPEED_LIMITS_KMH: Mapping[str, float] = {"bike": 45.0, "scooter": 45.0, "taxi": 150.0}
USUAL_VEHICLE = "bike"


def trip_metres(trips: "pd.DataFrame") -> "NDArray":
    """Return the straight-line length of each trip in metres, float64 [N]; NaN where an end is unknown.

    Equirectangular at the mid-latitude: right to 0.1 % within a city.
    """
    import numpy as np  # slow to import, and commands read the speed limits for their help

    lat0, lng0, lat1, lng1 = (trips[f"{end}_{c}"].to_numpy(float) for end in ("start", "end") for c in ("lat", "lng"))
    squeeze = np.cos(np.radians((lat0 + lat1) / 2))
    return np.hypot(lat1 - lat0, (lng1 - lng0) * squeeze) * METRES_PER_DEGREE


def speed_limit_kmh(vehicle: str, max_speed_kmh: float | None = None) -> float:
    """Return the fastest a trip can be, in km/h: as asked for, else that of the vehicle."""
    if vehicle not in SPEED_LIMITS_KMH:
        raise InputError(f"--vehicle {vehicle}: give one of {', '.join(SPEED_LIMITS_KMH)}")
    return SPEED_LIMITS_KMH[vehicle] if max_speed_kmh is None else max_speed_kmh


def is_too_fast(trips: "pd.DataFrame", limit_kmh: float) -> "NDArray":
    """Return which trips would have been faster than the limit, bool [N]; unknown coordinates are passed over."""
    return trip_metres(trips) > limit_kmh / 3.6 * trips["duration_s"].to_numpy(float)
