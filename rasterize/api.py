"""The public functions of `rasterize`: trips in, an image set out."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from rasterize import run as stage
from rasterize.__main__ import SETTINGS  # Python takes what the command takes
from rasterize.errors import InputError
from rasterize.flags import DEFAULT_RUN, check_settings
from rasterize.imageset import ImageSet
from rasterize.ingest import ingest
from rasterize.ingest.options import StopOptions
from rasterize.simulated_city import DAYS, STATIONS, TRIPS, write_city
from rasterize.strokes.options import RasterOptions

Trips = str | Path | Sequence[str | Path] | pd.DataFrame


def raster(
    trips: Trips,
    *,
    run: str | Path = DEFAULT_RUN,
    resolution: int | str = StopOptions.resolution,
    trips_per_image: int | None = None,
    layout: str = RasterOptions.layout,
    seed: int = 0,
    settings: Mapping[str, Any] | None = None,
    workers: int | None = None,
) -> ImageSet:
    """Read, clean and draw trips into a run folder.

    Parameters
    ----------
    trips : path, sequence of paths, or DataFrame
        Files, globs or folders in any known format. A table has the columns of one of the formats, or internal names.
    run : path
        The run folder; made when it is not there.
    resolution : int or str
        Side of the images in pixels, "ROWSxCOLUMNS", or "auto".
    trips_per_image : int, optional
        How many trips share an image; by default four, and one where trips have waypoints.
    layout : str
        "map", or "lattice": stations on an even grid, so that few pixels hold many.
    seed : int
        Seed of the split into training and held-out trips, and of which trips share an image.
    settings : mapping, optional
        Any other setting of `python -m rasterize --help` by its field's name, such as
        ``{"columns": {"started_at": "Start date"}}``.
    workers : int, optional
        Read files in so many processes; the result is the same.

    Returns
    -------
    ImageSet
        The training images; ``.trips()`` gives the clean trips, ``.rejects`` what was dropped and why.

    Raises
    ------
    InputError
        A file that cannot be read, a setting that cannot be, or too few trips.

    Examples
    --------
    >>> images = rasterize.raster("data/JC-2019*.zip", run="runs/jc", resolution=16, layout="lattice")
    """
    settings = check_settings(SETTINGS, settings or {})
    twice = {"resolution", "trips_per_image", "layout"} & set(settings)
    if twice:
        raise InputError(f"settings: {', '.join(sorted(twice))} are arguments of their own; give them there alone")
    changes = {"resolution": resolution, "trips_per_image": trips_per_image, "layout": layout, **settings}
    ingest_options, options = stage.make_stage_options(changes, seed=seed)
    with TemporaryDirectory(prefix="pgan-trips-") as folder:
        paths = _as_paths(trips, Path(folder))
        made = stage.raster(paths, Path(run), ingest_options=ingest_options, options=options, workers=workers)
    return made.images


def open_images(folder: str | Path) -> ImageSet:
    """Open a finished image set, such as RUN/images or RUN/fakes; a run folder stands for its training images.

    Parameters
    ----------
    folder : path
        The image set's folder, or the run folder.

    Returns
    -------
    ImageSet

    Raises
    ------
    InputError
        There is no finished image set, or it is damaged.
    """
    folder = Path(folder)
    return ImageSet.open(folder / "images" if (folder / "images").is_dir() else folder)


def read_trips(trips: Trips, *, settings: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Read trips of any known format as one table with internal names.

    Parameters
    ----------
    trips : path, sequence of paths, or DataFrame
        As for `raster`.
    settings : mapping, optional
        Settings of reading and cleaning by name.

    Returns
    -------
    DataFrame
        One row per trip, in order of time; for the columns see docs/data-model.md.

    Raises
    ------
    InputError
        A file that cannot be read, or no trip in it.
    """
    settings = check_settings(SETTINGS, settings or {})
    options, _ = stage.make_stage_options(settings)
    with TemporaryDirectory(prefix="pgan-trips-") as folder:
        return ingest.read_trips(_as_paths(trips, Path(folder)), options=options)


def simulate_city(
    path: str | Path, *, trips: int = TRIPS, stations: int = STATIONS, days: int = DAYS, seed: int = 0
) -> Path:
    """Write trips of a town that does not exist, in Citi Bike's columns of 2019.

    Parameters
    ----------
    path : path
        The CSV file to write.
    trips : int
        Rows that are good trips; about one in 600 bad ones come on top.
    stations : int
        At least 2.
    days : int
        From Monday, 3 June 2019.
    seed : int
        The same seed gives the same file.

    Returns
    -------
    Path
        The file.
    """
    write_city(Path(path), trips=trips, stations=stations, days=days, seed=seed)
    return Path(path)


def _as_paths(trips: Trips, folder: Path) -> list[str]:
    """Return the files that hold the trips; a table is written to `folder` first."""
    if isinstance(trips, pd.DataFrame):
        # Times of a zone are its wall clock; those in UTC stay, for `time_zone` to say where they are.
        zoned = {name: column for name, column in trips.items() if isinstance(column.dtype, pd.DatetimeTZDtype)}
        local = {name: column.dt.tz_localize(None) for name, column in zoned.items() if str(column.dt.tz) != "UTC"}
        trips.assign(**local).to_parquet(folder / "DataFrame.parquet", index=False)
        return [str(folder / "DataFrame.parquet")]
    paths = [str(trips)] if isinstance(trips, str | Path) else [str(path) for path in trips]
    if not paths:
        raise InputError("no files of trips are named; give files, globs, folders or a DataFrame")
    return paths
