"""Measure synthetic trips against real ones: every figure beside its ceiling and its floor."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from decode.evaluate.columns import k_marginal, measure_columns, measure_pairs, valid_rows
from decode.evaluate.copies import RealSide
from decode.evaluate.daily_networks import FEWEST_DAYS, FEWEST_TRIPS, RealDays, to_dates
from decode.evaluate.metric_list import METRICS, Metric, attained_share
from decode.evaluate.models import classifier_auc, duration_r2, user_type_auc
from decode.evaluate.pictures import FEWEST_PICTURES, TRIPS_PER_PICTURE, RealPictures
from decode.evaluate.tables import ATTRIBUTES, locate_stations, locate_trips, shuffle_columns, tabulate
from decode.options import FEWEST_ROWS, CompareOptions
from rasterize.distance import SPEED_LIMITS_KMH, USUAL_VEHICLE
from rasterize.errors import InputError

REQUIRED = tuple(f"{end}_{name}" for end in ("start", "end") for name in ("station_id", "lat", "lng")) + (
    "started_at",
    "ended_at",
    "duration_s",
)
THIRDS = {"A": "trained on", "B": "measured against", "C": "fresh real trips"}
COPYING = (15, 16, 17)  # numbers of the metrics that need to know which rows trained
UNKNOWN_TRAINING = "the real table has no column 'split', so which rows trained the generator is unknown"
TOO_LITTLE = {  # why a figure may be missing although its columns are present, by number of the metric
    14: f"fewer than {FEWEST_DAYS} dates of a table have {FEWEST_TRIPS} trips and as many as nine in ten real dates",
    18: f"a table has trips for fewer than {FEWEST_PICTURES} pictures of {TRIPS_PER_PICTURE}",
}

Values = dict[str, float | None]  # by name of the metric
Pairs = dict[tuple[str, str], float]  # by pair of columns


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """The figures of one comparison, and the tables that the report draws.

    Raw trips come first and those one would publish last. So of several synthetic tables the report draws the last.

    Attributes
    ----------
    figures : dict
        The content of metrics.json. `figures["shown"]` names the table in `shown`; it is None for the first.
    holdout : DataFrame, n rows
        Located real trips that trained nothing.
    shown : DataFrame, n rows
        Located synthetic trips: the last of the tables.
    stations : DataFrame
        `lat` and `lng` in degrees, WGS 84; the index is the station id.
    """

    figures: dict[str, Any]
    holdout: pd.DataFrame
    shown: pd.DataFrame
    stations: pd.DataFrame


class _Measured(NamedTuple):
    """What was measured of one table.

    Attributes
    ----------
    values : dict of str to float or None
        Each figure by the name of its metric; None if it could not be measured.
    pairs : dict of (str, str) to float
        Total variation distance of each pair of columns, 0 to 1.
    """

    values: Values
    pairs: Pairs


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """All tables at one length, and what each of them is measured against.

    Attributes
    ----------
    trips : dict of str to DataFrame, n rows each
        The trips as they were given: "A", "B" and "C" are real, then come the synthetic tables.
    located : dict of str to DataFrame, n rows each
        The same trips as metrics see them; see `tabulate` and `locate_trips`.
    stations : DataFrame
        `lat` and `lng` in degrees, WGS 84; the index is the station id.
    known_stations : set of str
        Station ids that a valid trip may use.
    columns : list of str
        The columns that all tables have.
    absent : dict of str to str
        The attributes that some table lacks, with the reason.
    copying : RealSide or None
        The measures of copying; None if it is unknown which rows trained.
    rows : dict of str to int
        Rows of the real and of each synthetic table before they were cut.
    seed : int
        Of every random choice.
    """

    trips: dict[str, pd.DataFrame]
    located: dict[str, pd.DataFrame]
    stations: pd.DataFrame
    known_stations: set[str]
    columns: list[str]
    absent: dict[str, str]
    copying: RealSide | None
    rows: dict[str, int]
    seed: int

    @property
    def holdout(self) -> pd.DataFrame:
        """Return the located real trips that every table is measured against."""
        return self.located["B"]

    def measure_table(self, table: pd.DataFrame) -> _Measured:
        """Measure metrics 2 to 18 of a located table, and the distances of its column pairs."""
        real, columns, seed = self.holdout, self.columns, self.seed
        # Single columns, pairs and triples of columns, then models.
        pairs = measure_pairs(table[columns], real[columns])
        values = measure_columns(table, real) | {
            "bivariate_accuracy": 1 - float(np.mean(list(pairs.values()))),
            "k_marginal": k_marginal(table, real, columns),
            "c2st_auc": classifier_auc(table, real, columns, seed=seed),
            "c2st_distance_auc": classifier_auc(table, real, columns, seed=seed, sees_distance=True),
            "tstr_duration_r2": duration_r2(table, real, columns, seed=seed),
            "tstr_user_type_auc": user_type_auc(table, real, columns, seed=seed) if "user_type" in columns else None,
        }

        # Copies, days and pictures: some tables are too small for them, and then their values are None.
        if self.copying is not None:
            values |= self.copying.measure_table(table)
        values |= self._days.measure_table(table) | self._pictures.measure_table(table)
        return _Measured(values, pairs)

    @cached_property
    def _days(self) -> RealDays:
        """Prepare the daily networks of the held-out trips."""
        return RealDays(holdout=self.holdout, seed=self.seed)

    @cached_property
    def _pictures(self) -> RealPictures:
        """Prepare the pictures of the held-out trips."""
        return RealPictures(holdout=self.holdout, stations=self.stations, seed=self.seed)


def measure_tables(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    stations: pd.DataFrame | None = None,
    seed: int = 0,
    rows_cap: int = CompareOptions.rows,
    limit_kmh: float = SPEED_LIMITS_KMH[USUAL_VEHICLE],
) -> Measurement:
    """Measure synthetic trips by every metric, each with its ceiling and its floor.

    All tables are cut at random to one number of rows. The ceiling is what fresh real trips score. The floor is what
    real trips score when every column is shuffled on its own. Both depend on the real trips, the number of rows and the
    seed. Synthetic trips between real stations do not change them.

    Parameters
    ----------
    real : DataFrame
        Trips by internal names. The column `split`, if known, says who trained ("A"), who measures ("B") and who is
        fresh ("C").
    synthetic : DataFrame
        Trips by internal names.
    others : mapping of str to DataFrame, optional
        More synthetic trips by name, such as the same trips after calibration. They are measured in the same way.
    stations : DataFrame, optional
        Column `station_id`: stations that are known beyond those of the real trips.
    seed : int
        Of every random choice.
    rows_cap : int
        The most rows of a table that are measured.
    limit_kmh : float
        Kilometres per hour on the straight line. A faster trip is not valid.

    Returns
    -------
    Measurement
        The figures of metrics.json, and the tables that the report draws.

    Raises
    ------
    InputError
        If the tables cannot be compared.
    """
    tables = {"synthetic": synthetic} | {f"synthetic ({name})": table for name, table in (others or {}).items()}
    bench = _prepare(real, tables, known=stations, seed=seed, rows_cap=rows_cap)
    measured = {name: _measure(bench, name, limit_kmh) for name in ("C", *tables)}
    figures = _describe(bench, measured, _measure_floor(bench), names=list(others or {}))
    figures["speed_limit_kmh"] = limit_kmh
    return Measurement(
        figures=figures, holdout=bench.holdout, shown=bench.located[list(tables)[-1]], stations=bench.stations
    )


def join_thirds(thirds: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Join trips that trained ("A"), measure ("B") and are fresh ("C") to one real table with the column `split`."""
    return pd.concat([thirds[name].assign(split=name) for name in THIRDS], ignore_index=True)


# ---- prepare: the tables -------------------------------------------------------------------------------------------


def _prepare(
    real: pd.DataFrame, tables: Mapping[str, pd.DataFrame], *, known: pd.DataFrame | None, seed: int, rows_cap: int
) -> _Bench:
    """Check all tables, cut them to one length and locate their trips."""
    for name, table in {"real": real, **tables}.items():
        _check_table(name, table, fewest=FEWEST_ROWS * (3 if name == "real" else 1))
        _check_stations(name, table, real)

    # Cut to one length first: what is absent is asked of the rows that are measured.
    trips = _cut_tables({**_split_thirds(real, seed), **tables}, rows_cap, seed)
    absent = _find_absent_attributes(trips)

    # The real table comes first, so it says where a station lies.
    stations = locate_stations((real, *tables.values()))
    tabulated = {name: _tabulate(table, absent) for name, table in trips.items()}
    located = {name: locate_trips(table, stations) for name, table in tabulated.items()}
    columns = list(tabulated["B"].columns.drop("date"))

    # A valid trip uses a station of the real trips, or of the list that was given.
    known_stations = set(real["start_station_id"]) | set(real["end_station_id"])
    known_stations |= set() if known is None else set(known["station_id"].astype(str))
    # Copying is measured only if it is known which rows trained.
    copying = None
    if "split" in real:
        copying = RealSide(train=located["A"], holdout=located["B"], columns=columns)
    return _Bench(
        trips=trips,
        located=located,
        stations=stations,
        known_stations=known_stations,
        columns=columns,
        absent=absent,
        copying=copying,
        rows={"real": len(real), **{name: len(table) for name, table in tables.items()}},
        seed=seed,
    )


def _check_table(name: str, trips: pd.DataFrame, fewest: int) -> None:
    """Raise `InputError` unless the table has enough rows and the required columns without gaps."""
    missing = [column for column in REQUIRED if column not in trips]
    if missing:
        raise InputError(
            f"{name} trips: no column {', '.join(map(repr, missing))}; there is "
            f"{', '.join(map(str, trips.columns))}; read the file with `rasterize` first"
        )
    if len(trips) < fewest:
        raise InputError(
            f"{name} trips: {len(trips)} rows; a comparison needs at least {fewest}; sample or read more trips"
        )
    empty = [column for column in REQUIRED if trips[column].isna().any()]
    if empty:
        raise InputError(
            f"{name} trips: missing values in {', '.join(map(repr, empty))}; compare the trips.parquet of a "
            "run, where every end has a station, or drop those rows"
        )


def _check_stations(name: str, trips: pd.DataFrame, real: pd.DataFrame) -> None:
    """Raise `InputError` unless the trips have a station in common with the real ones."""
    stations, others = (set(t["start_station_id"]) | set(t["end_station_id"]) for t in (real, trips))
    if not stations & others:
        raise InputError(
            f"{name} trips: no station of the real trips among their {len(others)} (such as "
            f"{min(map(str, others))!r}; real ones are such as {min(map(str, stations))!r}); compare trips of the same "
            "city, ids as text"
        )


def _split_thirds(real: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """Split the real trips by `split`; without that column, into three random thirds."""
    order = np.random.default_rng([seed, 2]).permutation(len(real))
    split = real["split"] if "split" in real else np.array(list("ABC"))[order % 3]
    thirds = {name: real[np.asarray(split == name)] for name in THIRDS}
    small = [f"{name} has {len(third)}" for name, third in thirds.items() if len(third) < FEWEST_ROWS]
    if small:
        raise InputError(
            f"real trips: too few rows by 'split': {', '.join(small)}; each of A, B and C needs {FEWEST_ROWS}; "
            "rasterize more trips, or drop the column to split at random"
        )
    return thirds


def _cut_tables(tables: Mapping[str, pd.DataFrame], rows_cap: int, seed: int) -> dict[str, pd.DataFrame]:
    """Draw as many random rows of each table as the shortest has, at most `rows_cap`, in random order."""
    rows = min(rows_cap, *map(len, tables.values()))
    # Every synthetic table has the random numbers of the first: a table's figures do not depend on its place.
    order = {name: np.random.default_rng([seed, 3, min(k, 3)]) for k, name in enumerate(tables)}
    return {name: table.iloc[order[name].permutation(len(table))[:rows]] for name, table in tables.items()}


def _find_absent_attributes(trips: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Find the attribute columns that cannot be compared, with the reason."""
    reasons = {}
    for column in ATTRIBUTES:
        without = [
            "real" if name in THIRDS else name
            for name, table in trips.items()
            if column not in table or table[column].isna().all()
        ]
        if without:
            reasons[column] = f"no {column} in the {' and '.join(sorted(set(without)))} trips"
    return reasons


def _tabulate(trips: pd.DataFrame, absent: Mapping[str, str]) -> pd.DataFrame:
    """Return the columns that are compared, and last the `date`, which only daily networks look at."""
    return tabulate(trips, [a for a in ATTRIBUTES if a not in absent]).assign(date=to_dates(trips))


# ---- measure: the values -------------------------------------------------------------------------------------------


def _measure(bench: _Bench, name: str, limit_kmh: float) -> _Measured:
    """Measure all metrics of one table of the bench."""
    values, pairs = bench.measure_table(bench.located[name])
    valid = valid_rows(bench.trips[name], bench.known_stations, limit_kmh=limit_kmh)
    return _Measured(values | {"validity": float(valid.mean())}, pairs)


def _measure_floor(bench: _Bench) -> Values:
    """Measure training trips of which every column is shuffled on its own."""
    table = bench.located["A"][[*bench.columns, "date"]]
    shuffled = shuffle_columns(table, np.random.default_rng([bench.seed, 1]))
    return bench.measure_table(locate_trips(shuffled, bench.stations)).values


# ---- describe: the figures -----------------------------------------------------------------------------------------


def _describe(bench: _Bench, measured: Mapping[str, _Measured], floors: Values, *, names: list[str]) -> dict[str, Any]:
    """Return the figures as in metrics.json; `names` are those of the other synthetic tables."""
    # Tables come in this order: fresh real trips (the ceiling), the first synthetic ones, then the others.
    ceilings, values, *rest = (table.values for table in measured.values())
    others = dict(zip(names, rest, strict=True))
    is_training_known = bench.copying is not None
    shown = list(measured)[-1]
    return {
        "n": len(bench.holdout),
        "seed": bench.seed,
        "rows": bench.rows,
        "thirds": THIRDS if is_training_known else UNKNOWN_TRAINING,
        "columns": bench.columns,
        "absent": bench.absent,
        "others": names,
        "shown": names[-1] if names else None,
        "metrics": {
            m.name: _describe_metric(
                m, values, others, ceilings, floors, absent=bench.absent, is_training_known=is_training_known
            )
            for m in METRICS
        },
        "worst_pairs": _find_worst_pairs(measured[shown].pairs, measured["C"].pairs),
    }


def _describe_metric(
    metric: Metric,
    values: Values,
    others: Mapping[str, Values],
    ceilings: Values,
    floors: Values,
    *,
    absent: Mapping[str, str],
    is_training_known: bool,
) -> dict[str, Any]:
    """Return one metric as in metrics.json; a figure that could not be measured is null, and the note says why."""
    value, ceiling, floor = (figures.get(metric.name) for figures in (values, ceilings, floors))
    other_values = {name: figures.get(metric.name) for name, figures in others.items()}

    # Say why a figure is missing: an absent column first, then what else each metric needs.
    reasons = [absent[column] for column in metric.needs if column in absent]
    if metric.number in COPYING and not is_training_known:
        reasons.append(UNKNOWN_TRAINING)
    elif value is None and not reasons:
        reasons.append(TOO_LITTLE.get(metric.number, "the column does not vary enough"))

    return {
        "title": metric.title,
        "number": metric.number,
        "value": value,
        "ceiling": ceiling,
        "floor": floor,
        "attained": attained_share(metric, value, ceiling, floor),
        "others": other_values,
        "others_attained": {
            name: attained_share(metric, other, ceiling, floor) for name, other in other_values.items()
        },
        "better": metric.better,
        "note": "not measured: " + "; ".join(reasons) if reasons else metric.note,
    }


def _find_worst_pairs(pairs: Pairs, ceilings: Pairs, count: int = 5) -> list[dict[str, Any]]:
    """Find the pairs of columns that lie furthest above what fresh real trips score."""
    worst = sorted(pairs, key=lambda pair: ceilings[pair] - pairs[pair])[:count]
    return [{"columns": list(pair), "tvd": pairs[pair], "ceiling": ceilings[pair]} for pair in worst]
