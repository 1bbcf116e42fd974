"""`python -m decode compare`: every measure of synthetic trips beside its ceiling and its floor, and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from decode.evaluate.columns import column_metrics, k_marginal, pair_distances, valid_rows
from decode.evaluate.copies import RealSide
from decode.evaluate.daily_networks import FEWEST_DAYS, FEWEST_TRIPS, RealDays, to_dates
from decode.evaluate.metric_list import METRICS, Metric, attained_share
from decode.evaluate.models import classifier_auc, duration_r2, user_type_auc
from decode.evaluate.pictures import FEWEST_PICTURES, TRIPS_PER_PICTURE, RealPictures
from decode.evaluate.tables import ATTRIBUTES, locate, locate_stations, shuffle_columns, tabulate
from rasterize.distance import SPEED_LIMITS_KMH, USUAL_VEHICLE
from rasterize.errors import InputError

ROWS_CAP = 20_000  # trips per table: enough for stable figures, few enough for a minute on two cores
FEWEST_ROWS = 30  # below, three folds of a classifier mean nothing
REQUIRED = tuple(f"{end}_{name}" for end in ("start", "end") for name in ("station_id", "lat", "lng")) + (
    "started_at",
    "ended_at",
    "duration_s",
)
THIRDS = {"A": "trained on", "B": "judges", "C": "fresh real trips"}
COPYING = (15, 16, 17)  # numbers of the metrics that need to know who trained
UNKNOWN_TRAINING = "the real table has no column 'split', so which rows trained the generator is unknown"
TOO_LITTLE = {  # why a figure may be missing where no column is, by number of the metric
    14: f"fewer than {FEWEST_DAYS} dates of a table have {FEWEST_TRIPS} trips and as many as nine in ten real dates",
    18: f"a table has trips for fewer than {FEWEST_PICTURES} pictures of {TRIPS_PER_PICTURE}",
}


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """Figures as in metrics.json, and the located tables, equally long, that the report draws from.

    Of several synthetic tables it draws the last, `shown` (figures["shown"] is its name, None of the first): raw trips
    come first, those one would publish last.
    """

    figures: dict[str, Any]
    holdout: pd.DataFrame
    shown: pd.DataFrame
    places: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """The real side of every comparison: located held-out rows, who trained if that is known, the columns in use."""

    holdout: pd.DataFrame
    places: pd.DataFrame
    copying: RealSide | None
    columns: list[str]
    seed: int

    def measure(self, table: pd.DataFrame) -> tuple[dict[str, float | None], dict[tuple[str, str], float]]:
        """Metrics 2 to 18 of a located table by name, and the distances of its column pairs."""
        real, columns, seed = self.holdout, self.columns, self.seed
        pairs = pair_distances(table[columns], real[columns])
        found = column_metrics(table, real) | {
            "bivariate_accuracy": 1 - float(np.mean(list(pairs.values()))),
            "k_marginal": k_marginal(table, real, columns),
            "c2st_auc": classifier_auc(table, real, columns, seed=seed),
            "c2st_distance_auc": classifier_auc(table, real, columns, seed=seed, sees_distance=True),
            "tstr_duration_r2": duration_r2(table, real, columns, seed=seed),
            "tstr_user_type_auc": user_type_auc(table, real, columns, seed=seed) if "user_type" in columns else None,
        }
        if self.copying is not None:
            found |= self.copying.measure(table)
        return found | self._days.measure(table) | self._pictures.measure(table), pairs

    @cached_property
    def _days(self) -> RealDays:
        return RealDays(holdout=self.holdout, seed=self.seed)

    @cached_property
    def _pictures(self) -> RealPictures:
        return RealPictures(holdout=self.holdout, places=self.places, seed=self.seed)


def join_thirds(thirds: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Trips that trained ("A"), judge ("B") and are fresh ("C") as one real table with the column `split`."""
    return pd.concat([thirds[name].assign(split=name) for name in THIRDS], ignore_index=True)


def measure_tables(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    others: Mapping[str, pd.DataFrame] | None = None,
    stations: pd.DataFrame | None = None,
    seed: int = 0,
    rows_cap: int = ROWS_CAP,
    limit_kmh: float = SPEED_LIMITS_KMH[USUAL_VEHICLE],
) -> Measurement:
    """All measures with ceiling and floor; every table is cut at random to one number of rows, at most `rows_cap`.

    Ceiling and floor depend on the real trips, that number and the seed alone, not on synthetic trips between real
    stations.

    Parameters
    ----------
    real, synthetic
        Trips by internal names; real ones with `split` (A trained, B judges, C is the ceiling) if known.
    others
        More synthetic trips by name, judged in the same way beside the first, such as the same after calibration.
    stations
        With `station_id`: stations that are known beyond those of the real trips.

    Raises
    ------
    InputError
        Tables that cannot be compared.
    """
    tables = {"synthetic": synthetic} | {f"synthetic ({name})": table for name, table in (others or {}).items()}
    for name, table in {"real": real, **tables}.items():
        _check(name, table, fewest=FEWEST_ROWS * (3 if name == "real" else 1))
        _check_stations(name, table, real)
    is_training_known = "split" in real
    trips = _cut({**_thirds(real, seed), **tables}, rows_cap, seed)
    absent = _absent_attributes(trips)
    known = set(real["start_station_id"]) | set(real["end_station_id"])
    known |= set() if stations is None else set(stations["station_id"].astype(str))
    places = locate_stations((real, *tables.values()))
    tabulated = {name: _tabulate(part, absent) for name, part in trips.items()}
    columns = list(tabulated["B"].columns.drop("date"))
    located = {name: locate(table, places) for name, table in tabulated.items()}
    copying = RealSide(train=located["A"], holdout=located["B"], columns=columns) if is_training_known else None
    bench = _Bench(holdout=located["B"], places=places, copying=copying, columns=columns, seed=seed)
    measured = {name: bench.measure(located[name]) for name in ("C", *tables)}
    for name, (values, _) in measured.items():
        values["validity"] = float(valid_rows(trips[name], known, limit_kmh=limit_kmh).mean())
    floors, _ = bench.measure(locate(shuffle_columns(tabulated["A"], np.random.default_rng([seed, 1])), places))
    ceilings, values, *rest = (found for found, _ in measured.values())
    more, last = dict(zip(others or {}, rest, strict=True)), list(tables)[-1]
    figures = {
        "n": len(located["B"]),
        "seed": seed,
        "rows": {"real": len(real), **{name: len(table) for name, table in tables.items()}},
        "thirds": THIRDS if is_training_known else UNKNOWN_TRAINING,
        "columns": columns,
        "absent": absent,
        "others": list(more),
        "shown": list(more)[-1] if more else None,
        "metrics": {
            m.name: _entry(m, values, more, ceilings, floors, absent=absent, is_training_known=is_training_known)
            for m in METRICS
        },
        "worst_pairs": _worst_pairs(measured[last][1], measured["C"][1]),
    }
    return Measurement(figures=figures, holdout=located["B"], shown=located[last], places=places)


# ---- the tables ----------------------------------------------------------------------------------------------------


def _check(name: str, trips: pd.DataFrame, fewest: int) -> None:
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


def _thirds(real: pd.DataFrame, seed: int) -> dict[str, pd.DataFrame]:
    """The real trips by `split`; without that column, three random thirds."""
    order = np.random.default_rng([seed, 2]).permutation(len(real))
    split = real["split"] if "split" in real else np.array(list("ABC"))[order % 3]
    parts = {name: real[np.asarray(split == name)] for name in THIRDS}
    small = [f"{name} has {len(part)}" for name, part in parts.items() if len(part) < FEWEST_ROWS]
    if small:
        raise InputError(
            f"real trips: too few rows by 'split': {', '.join(small)}; each of A, B and C needs {FEWEST_ROWS}; "
            "rasterize more trips, or drop the column to split at random"
        )
    return parts


def _cut(parts: Mapping[str, pd.DataFrame], rows_cap: int, seed: int) -> dict[str, pd.DataFrame]:
    """All tables at the length of the shortest, at most `rows_cap`, rows drawn at random and in random order."""
    rows = min(rows_cap, *map(len, parts.values()))
    order = {name: np.random.default_rng([seed, 3, min(k, 3)]) for k, name in enumerate(parts)}
    return {name: part.iloc[order[name].permutation(len(part))[:rows]] for name, part in parts.items()}


def _absent_attributes(trips: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Attribute columns that cannot be compared, with the reason."""
    reasons = {}
    for column in ATTRIBUTES:
        without = [
            "real" if name in THIRDS else name
            for name, part in trips.items()
            if column not in part or part[column].isna().all()
        ]
        if without:
            reasons[column] = f"no {column} in the {' and '.join(sorted(set(without)))} trips"
    return reasons


def _tabulate(trips: pd.DataFrame, absent: Mapping[str, str]) -> pd.DataFrame:
    """The columns that are compared, and last the `date`, which only daily networks look at."""
    return tabulate(trips, [a for a in ATTRIBUTES if a not in absent]).assign(date=to_dates(trips))


# ---- the figures ---------------------------------------------------------------------------------------------------


def _entry(
    metric: Metric,
    values: Mapping[str, float | None],
    more: Mapping[str, Mapping[str, float | None]],
    ceilings: Mapping[str, float | None],
    floors: Mapping[str, float | None],
    *,
    absent: Mapping[str, str],
    is_training_known: bool,
) -> dict[str, Any]:
    """One metric as in metrics.json; a figure that could not be had is null, and the note says why."""
    value, ceiling, floor = (figures.get(metric.name) for figures in (values, ceilings, floors))
    others = {name: figures.get(metric.name) for name, figures in more.items()}
    why = [absent[column] for column in metric.needs if column in absent]
    if metric.number in COPYING and not is_training_known:
        why.append(UNKNOWN_TRAINING)
    elif value is None and not why:
        why.append(TOO_LITTLE.get(metric.number, "the column does not vary enough"))
    return {
        "title": metric.title,
        "number": metric.number,
        "value": value,
        "ceiling": ceiling,
        "floor": floor,
        "attained": attained_share(metric, value, ceiling, floor),
        "others": others,
        "others_attained": {name: attained_share(metric, other, ceiling, floor) for name, other in others.items()},
        "better": metric.better,
        "note": "not measured: " + "; ".join(why) if why else metric.note,
    }


def _worst_pairs(
    pairs: Mapping[tuple[str, str], float], ceilings: Mapping[tuple[str, str], float], count: int = 5
) -> list[dict[str, Any]]:
    """The pairs of columns that lie furthest above what fresh real trips score."""
    worst = sorted(pairs, key=lambda pair: ceilings[pair] - pairs[pair])[:count]
    return [{"columns": list(pair), "tvd": pairs[pair], "ceiling": ceilings[pair]} for pair in worst]
