"""The public names of `decode`: generated images back to trips, and trips measured against real ones."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from decode.evaluate.measure import Measurement
from decode.evaluate.run import measure_for_run, write_report_folder
from decode.options import CompareOptions, DecodeOptions, RoundtripOptions
from decode.roundtrip import roundtrip_files
from decode.run import decode_run, redrawn_table
from decode.selection import select_run
from rasterize.errors import InputError
from rasterize.flags import check_settings, make_options
from rasterize.formats.source_format import write_trips_csv
from rasterize.imageset import ImageSet


class Judge(Protocol):
    """Whatever can judge the trips of a run, as `pgan.Model` does."""

    def judge(self) -> float:
        """Write the verdicts on RUN/redrawn."""


class Report:
    """Figures of synthetic trips beside real ones; shows itself in a notebook.

    Attributes
    ----------
    figures : dict
        All figures as in metrics.json, see docs/metrics.md.
    """

    def __init__(self, measurement: Measurement, run: Path | None = None) -> None:
        self._measurement, self._run = measurement, run
        self.figures: dict[str, Any] = measurement.figures

    def table(self) -> pd.DataFrame:
        """Return one row per metric: its value beside ceiling, floor and attained share.

        Returns
        -------
        DataFrame
            Index: the metric's name. The ceiling is what fresh real trips score, the floor what shuffled columns score.
        """
        rows = pd.DataFrame(self.figures["metrics"]).T
        others = pd.DataFrame({name: figure["others"] for name, figure in self.figures["metrics"].items()}).T
        return pd.concat([rows[["value"]], others, rows[["ceiling", "floor", "attained", "better"]]], axis=1)

    def save(self, folder: str | Path) -> Path:
        """Write index.html, one self-contained page, and metrics.json.

        Parameters
        ----------
        folder : path
            Where to; made when it is not there.

        Returns
        -------
        Path
            The page.
        """
        write_report_folder(Path(folder), self._measurement, run=self._run)
        return Path(folder) / "index.html"

    def __repr__(self) -> str:
        metrics = self.figures["metrics"]
        main = ", ".join(f"{name} {metrics[name]['value']:.3f}" for name in ("od_cpc", "c2st_auc"))
        return f"Report({self.figures['n']:,} trips, {main})"

    def _repr_html_(self) -> str:
        return self.table().to_html(float_format="{:.3f}".format, na_rep="–")


def decode(
    fakes: ImageSet, *, settings: Mapping[str, Any] | None = None, workers: int | None = None, seed: int = 0
) -> pd.DataFrame:
    """Read generated images back as synthetic trips.

    All tables go to the run folder too: synthetic.csv as painted, calibrated.csv with durations and birth years put
    right.

    Parameters
    ----------
    fakes : ImageSet
        RUN/fakes, as `pgan.Model.sample` made it.
    settings : mapping, optional
        Settings of `python -m decode --help` by name: `ranks`, `routes`, `dialect`.
    workers : int, optional
        Decode in so many processes; the result is the same.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    DataFrame
        Internal names, one row per trip: the calibrated trips where something is painted as a rank, else the raw ones.

    Raises
    ------
    InputError
        There is nothing to decode, or nothing valid came out.
    """
    run = _run_of(fakes)
    decode_run(run, _options(DecodeOptions, settings), workers=workers, seed=seed)
    return pd.read_parquet(redrawn_table(run))


def select(fakes: ImageSet, *, rows: int, model: Judge | None = None, seed: int = 0) -> pd.DataFrame:
    """Choose the likeliest of many decoded trips, with margins as in training.

    Parameters
    ----------
    fakes : ImageSet
        RUN/fakes, decoded by `decode`.
    rows : int
        How many trips to keep; decode ten to twenty times as many.
    model : pgan.Model, optional
        Judges the trips first, if no jury has; without one and without verdicts margins alone decide.
    seed : int
        Seed of the systematic sampling.

    Returns
    -------
    DataFrame
        Internal names, also written as RUN/chosen.csv and .parquet.

    Raises
    ------
    InputError
        Fewer trips than asked for.
    """
    run = _run_of(fakes)
    if model is not None and not (run / "redrawn" / "verdicts.npy").exists():
        model.judge()
    select_run(run, rows=rows, seed=seed)
    return pd.read_parquet(run / "chosen.parquet")


def compare(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    run: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    seed: int = 0,
) -> Report:
    """Measure synthetic trips against real ones.

    Parameters
    ----------
    real : DataFrame
        Internal names. The column `split`, if there, says which trips trained (A), measure (B) and are fresh (C).
        `ImageSet.trips` notes the speed limit of valid trips in its `attrs`.
    synthetic : DataFrame
        Internal names.
    others : mapping of DataFrames, optional
        More synthetic trips by name, measured beside the first.
    run : path, optional
        The run folder, whose stations, speed limit and pictures the report uses.
    settings : mapping, optional
        `rows`, `vehicle`, `max_speed_kmh`, as in `python -m decode compare --help`.
    seed : int
        Seed of all that is drawn by chance.

    Returns
    -------
    Report

    Raises
    ------
    InputError
        Tables that cannot be compared.
    """
    folder = None if run is None else Path(run)
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: no run folder; leave out run=, or give the folder that rasterize.raster made")
    unused = sorted(set(settings or {}) - {"rows", "vehicle", "max_speed_kmh"})
    if unused:
        raise InputError(f"settings: {', '.join(unused)} are for the command; here are rows, vehicle, max_speed_kmh")
    options = _options(CompareOptions, settings)
    for table in (real, synthetic, *(others or {}).values()):
        if not isinstance(table, pd.DataFrame):
            raise InputError(f"trips: expected a DataFrame, not {type(table).__name__}; see rasterize.read_trips")
    return Report(measure_for_run(real, synthetic, options, others=others, run=folder, seed=seed), folder)


def write_like_source(trips: pd.DataFrame, path: str | Path, images: ImageSet, *, seed: int = 0) -> Path:
    """Write trips as CSV in exactly the columns, types, date format and spellings of the file the images come from.

    Parameters
    ----------
    trips : DataFrame
        Internal names, as `decode` gives them.
    path : path
        The CSV file to write.
    images : ImageSet
        Of the run whose input file is the model.
    seed : int
        Seed of made-up ids; they are never real ones.

    Returns
    -------
    Path
        The file.
    """
    write_trips_csv(Path(path), trips, images.spec.source, seed=seed)
    return Path(path)


def check_codec(
    trips: str | Path | list[str], *, settings: Mapping[str, Any] | None = None, seed: int = 0
) -> dict[str, Any]:
    """Test the codec without a generator: trips → images → trips.

    Parameters
    ----------
    trips : path or list of paths
        Files, globs or folders.
    settings : mapping, optional
        Settings of `python -m decode roundtrip --help` by name: `resolution`, `trips_per_image`, `noise`, ...
    seed : int
        Seed of which trips are drawn.

    Returns
    -------
    dict
        Precision and recall of directed pairs of places, errors of painted values, and how far confidence holds.
    """
    paths = [str(trips)] if isinstance(trips, str | Path) else list(trips)
    return roundtrip_files(paths, _options(RoundtripOptions, settings), seed=seed)


def _options(kind: type, settings: Mapping[str, Any] | None) -> Any:
    """Return options of a kind from settings by name; raises `InputError` on a name that is none of them."""
    return make_options(kind, check_settings((kind,), settings or {}))


def _run_of(fakes: ImageSet) -> Path:
    """Return the run folder of generated images; raises `InputError` for other images."""
    if not isinstance(fakes, ImageSet):
        raise InputError(f"fakes: expected an ImageSet, not {type(fakes).__name__}; see rasterize.open_images")
    if fakes.folder.name != "fakes":
        raise InputError(f"{fakes.folder}: not the generated images of a run; use those of `model.sample()`, RUN/fakes")
    return fakes.folder.parent
