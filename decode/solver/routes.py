"""Known routes: the ways that trips may take between places, so that bent strokes can be read back whole."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow
import shapely
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from rasterize.errors import InputError
from rasterize.strokes.spec import StrokeSpec
from rasterize.strokes.strokes import Strokes

# An end of a route farther than this from every place belongs to none. Set by hand, not swept.
REACH_PX = 2.0
_HELP = "give lines (GeoParquet, GeoJSON, GeoPackage, …), or a table of trips in Parquet with the column waypoints"


@dataclass(frozen=True)
class Routes:
    """A dictionary of R routes, in order of their ends.

    Attributes
    ----------
    ends : (R, 2) int32
        Origin and destination place.
    offsets : (R + 1,) int64
        Waypoints of route r are `offsets[r]` … `offsets[r + 1]`.
    points : (M, 2) float32
        Waypoints (x, y), in pixels of the frame.
    """

    ends: NDArray
    offsets: NDArray
    points: NDArray

    @classmethod
    def none(cls) -> Self:
        """Return a dictionary without a route."""
        return cls(np.zeros((0, 2), np.int32), np.zeros(1, np.int64), np.zeros((0, 2), np.float32))

    def keys(self, places: int) -> NDArray:
        """Return origin · places + destination of each route, ascending, int64 [R]."""
        return self.ends[:, 0].astype(np.int64) * places + self.ends[:, 1]

    def choose(self, ends: NDArray, rng: np.random.Generator) -> NDArray:
        """Return a random route for each trip between places `ends` [S, 2], int32 [S]; −1 where none is known."""
        places = int(max(ends.max(initial=0), self.ends.max(initial=0))) + 1
        keys, wanted = self.keys(places), ends[:, 0].astype(np.int64) * places + ends[:, 1]
        first, last = np.searchsorted(keys, wanted), np.searchsorted(keys, wanted + 1)
        chosen = first + (rng.random(len(ends)) * (last - first)).astype(np.int64)
        return np.where(last > first, chosen, -1).astype(np.int32)

    def along(self, strokes: Strokes, route: NDArray) -> Strokes:
        """Return the same strokes along their routes [S]; −1 stays straight."""
        sizes = np.where(route >= 0, np.diff(self.offsets)[route] if len(self.ends) else 0, 0)
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        stroke = np.repeat(np.arange(len(route)), sizes)
        point = self.offsets[route[stroke]] + np.arange(offsets[-1]) - offsets[stroke]
        return replace(strokes, paths=self.points[point], path_offsets=offsets)

    def waypoints(self, spec: StrokeSpec) -> list[list[float]]:
        """Return each route as a flat list [lat, lng, …] in degrees."""
        lat, lng = spec.frame.to_degrees(self.points[:, 0], self.points[:, 1])
        flat = np.stack([lat, lng], axis=1).round(6)
        return [flat[a:b].ravel().tolist() for a, b in zip(self.offsets[:-1], self.offsets[1:], strict=True)]


def read_routes(path: Path, spec: StrokeSpec) -> Routes:
    """Read a dictionary of routes from a file of lines.

    Parameters
    ----------
    path : Path
        Lines (GeoParquet, GeoJSON, GeoPackage, …), or a table of trips in Parquet with the column `waypoints`.
    spec : StrokeSpec
        Each end of a line belongs to the nearest of its places.

    Returns
    -------
    Routes
        Those whose two ends lie near a place.

    Raises
    ------
    InputError
        The file cannot be read, or holds no line between two places.
    """
    lines = _read_lines(path)
    points = [np.stack(spec.frame.to_pixels(line[:, 1], line[:, 0]), axis=1) for line in lines if len(line) > 1]
    if not points:
        raise InputError(f"{path}: no line of at least two points in it; {_HELP}")
    # Snap both ends to their nearest places.
    line_ends = np.array([[line[0], line[-1]] for line in points])
    distance, place = cKDTree(spec.place_xy).query(line_ends, distance_upper_bound=REACH_PX)
    near = np.flatnonzero(np.isfinite(distance).all(axis=1))
    if not len(near):
        raise InputError(
            f"{path}: none of its {len(points)} lines starts and ends within {REACH_PX:.0f} pixels of a place of the "
            "images; give routes of the same city, in degrees (WGS 84)"
        )
    # Sort by ends, so that the routes of a pair of places stand together.
    order = near[np.lexsort((place[near, 1], place[near, 0]))]
    chosen = [points[k] for k in order]
    offsets = np.concatenate([[0], np.cumsum([len(line) for line in chosen])])
    return Routes(place[order].astype(np.int32), offsets, np.concatenate(chosen).astype(np.float32))


def _read_lines(path: Path) -> list[NDArray]:
    """Return the lines of a file as arrays of (lng, lat) in degrees."""
    if not path.exists():
        raise InputError(f"{path}: no such file; {_HELP}")
    # A table of trips has its lines in a column.
    if path.suffix == ".parquet":
        try:
            table = pd.read_parquet(path)
        except (pyarrow.ArrowInvalid, OSError) as error:
            raise InputError(f"{path}: no Parquet file ({error}); {_HELP}") from None
        if "waypoints" in table:
            return [np.asarray(flat, float).reshape(-1, 2)[:, ::-1] for flat in table["waypoints"].dropna()]
    # Else it is a file of geometries.
    try:
        table = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    except (ValueError, OSError, RuntimeError) as error:
        raise InputError(f"{path}: cannot be read ({str(error).splitlines()[0]}); {_HELP}") from None
    lines = table.to_crs("EPSG:4326").geometry if table.crs is not None else table.geometry
    single = lines[lines.notna()].explode(index_parts=False)
    return [shapely.get_coordinates(line) for line in single[single.geom_type == "LineString"]]
