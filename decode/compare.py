"""`python -m decode compare`: every measure of synthetic trips beside its ceiling and its floor, and the report."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decode.metrics import (
    ATTRIBUTES,
    METRICS,
    Metric,
    attained_share,
    column_metrics,
    find_places,
    k_marginal,
    locate,
    pair_distances,
    shuffle_columns,
    tabulate,
    valid_rows,
)
from decode.metrics_copies import copy_metrics
from decode.metrics_models import classifier_auc, duration_r2, user_type_auc
from rasterize.errors import InputError
from rasterize.files import write_json

ROWS_CAP = 12_000  # trips per table: enough for stable figures, few enough for a minute on two cores
FEWEST_ROWS = 30  # below, three folds of a classifier mean nothing
REQUIRED = tuple(f"{end}_{name}" for end in ("start", "end") for name in ("station_id", "lat", "lng")) + (
    "started_at",
    "ended_at",
    "duration_s",
)
THIRDS = {"A": "trained on", "B": "judges", "C": "fresh real trips"}
UNKNOWN_TRAINING = "the real table has no column 'split', so which rows trained the generator is unknown"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """What `judge` found: `figures` as in metrics.json, and the located tables (equally long) the report draws from."""

    figures: dict[str, Any]
    holdout: pd.DataFrame
    synthetic: pd.DataFrame
    places: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """The real side of every comparison: located held-out rows, training rows if known, and the columns in use."""

    train: pd.DataFrame | None
    holdout: pd.DataFrame
    columns: list[str]
    seed: int

    def measure(self, table: pd.DataFrame) -> tuple[dict[str, float | None], dict[tuple[str, str], float]]:
        """Metrics 2 to 16 of a located table by name, and the distances of its column pairs."""
        real, columns, seed = self.holdout, self.columns, self.seed
        pairs = pair_distances(table[columns], real[columns])
        found = column_metrics(table, real) | {
            "bivariate_accuracy": 1 - float(np.mean(list(pairs.values()))),
            "k_marginal": k_marginal(table, real, columns),
            "c2st_auc": classifier_auc(table, real, columns, seed=seed),
            "tstr_duration_r2": duration_r2(table, real, columns, seed=seed),
            "tstr_user_type_auc": user_type_auc(table, real, columns, seed=seed) if "user_type" in columns else None,
        }
        if self.train is not None:
            found |= copy_metrics(table, self.train, real, columns)
        return found, pairs


def compare(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    out: Path,
    *,
    stations: pd.DataFrame | None = None,
    run: Path | None = None,
    seed: int = 0,
) -> dict[str, Any]:
    """Judge synthetic trips against real ones; writes `out`/metrics.json and `out`/index.html, returns the figures.

    real, synthetic : trips by internal names; real ones with `split` (A trained, B judges, C is the ceiling) if known.
    stations : with `station_id`, known beyond those of the real trips; by default the run's. run : the run folder,
    whose pictures and settings the report shows.
    Raises `InputError` on tables that cannot be compared.
    """
    from decode.report import write_report  # matplotlib is slow to import

    if stations is None and run is not None and (run / "stations.parquet").exists():
        stations = pd.read_parquet(run / "stations.parquet", columns=["station_id"])
    judgement = judge(real, synthetic, stations=stations, seed=seed)
    (out / "metrics.json").unlink(missing_ok=True)  # written last: it marks a finished report
    write_report(out / "index.html", judgement, run=run)
    write_json(out / "metrics.json", judgement.figures)
    return judgement.figures


def judge(
    real: pd.DataFrame,
    synthetic: pd.DataFrame,
    *,
    stations: pd.DataFrame | None = None,
    seed: int = 0,
    rows_cap: int = ROWS_CAP,
) -> Judgement:
    """All measures with ceiling and floor; every table is cut at random to one number of rows, at most `rows_cap`."""
    _check(real, synthetic)
    rng = np.random.default_rng(seed)
    is_training_known = "split" in real
    trips = _cut(_thirds(real, rng), synthetic, rows_cap, rng)
    absent = _absent_attributes(trips)
    known = set(real["start_station_id"]) | set(real["end_station_id"])
    known |= set() if stations is None else set(stations["station_id"].astype(str))
    places = find_places((real, synthetic))
    tables = {name: tabulate(part, [a for a in ATTRIBUTES if a not in absent]) for name, part in trips.items()}
    columns = list(tables["B"].columns)
    located = {name: locate(table, places) for name, table in tables.items()}
    bench = _Bench(train=located["A"] if is_training_known else None, holdout=located["B"], columns=columns, seed=seed)
    values, pairs = bench.measure(located["synthetic"])
    ceilings, ceiling_pairs = bench.measure(located["C"])
    floors, _ = bench.measure(locate(shuffle_columns(tables["A"], rng), places))
    values["validity"] = float(valid_rows(trips["synthetic"], known).mean())
    ceilings["validity"] = float(valid_rows(trips["C"], known).mean())
    figures = {
        "n": len(tables["B"]),
        "seed": seed,
        "rows": {"real": len(real), "synthetic": len(synthetic)},
        "thirds": THIRDS if is_training_known else UNKNOWN_TRAINING,
        "columns": columns,
        "absent": absent,
        "metrics": {
            m.name: _entry(m, values, ceilings, floors, absent=absent, is_training_known=is_training_known)
            for m in METRICS
        },
        "worst_pairs": _worst_pairs(pairs, ceiling_pairs),
    }
    return Judgement(figures=figures, holdout=located["B"], synthetic=located["synthetic"], places=places)


# ---- the tables ----------------------------------------------------------------------------------------------------


def _check(real: pd.DataFrame, synthetic: pd.DataFrame) -> None:
    """Raise `InputError` unless both tables have rows, the required columns without gaps, and a station in common."""
    for name, trips in (("real", real), ("synthetic", synthetic)):
        missing = [column for column in REQUIRED if column not in trips]
        if missing:
            raise InputError(
                f"{name} trips: no column {', '.join(map(repr, missing))}; there is "
                f"{', '.join(map(str, trips.columns))}; read the file with `rasterize` first"
            )
        fewest = FEWEST_ROWS * (3 if name == "real" else 1)
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
    stations, others = (set(t["start_station_id"]) | set(t["end_station_id"]) for t in (real, synthetic))
    if not stations & others:
        raise InputError(
            f"synthetic trips: no station of the real trips among their {len(others)} (such as "
            f"{min(map(str, others))!r}; real ones are such as {min(map(str, stations))!r}); compare trips of the same "
            "city, ids as text"
        )


def _thirds(real: pd.DataFrame, rng: np.random.Generator) -> dict[str, pd.DataFrame]:
    """The real trips by `split`; without that column, three random thirds."""
    split = real["split"] if "split" in real else np.array(list("ABC"))[rng.permutation(len(real)) % 3]
    parts = {name: real[np.asarray(split == name)] for name in THIRDS}
    small = [f"{name} has {len(part)}" for name, part in parts.items() if len(part) < FEWEST_ROWS]
    if small:
        raise InputError(
            f"real trips: too few rows by 'split': {', '.join(small)}; each of A, B and C needs {FEWEST_ROWS}; "
            "rasterize more trips, or drop the column to split at random"
        )
    return parts


def _cut(
    parts: Mapping[str, pd.DataFrame], synthetic: pd.DataFrame, rows_cap: int, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """All tables at the length of the shortest, at most `rows_cap`, rows drawn at random."""
    every = dict(parts, synthetic=synthetic)
    rows = min(rows_cap, *(len(part) for part in every.values()))
    return {name: part.iloc[rng.permutation(len(part))[:rows]] for name, part in every.items()}


def _absent_attributes(trips: Mapping[str, pd.DataFrame]) -> dict[str, str]:
    """Attribute columns that cannot be compared, with the reason."""
    reasons = {}
    for column in ATTRIBUTES:
        without = [
            "synthetic" if name == "synthetic" else "real"
            for name, part in trips.items()
            if column not in part or part[column].isna().all()
        ]
        if without:
            reasons[column] = f"no {column} in the {' and '.join(sorted(set(without)))} trips"
    return reasons


# ---- the figures ---------------------------------------------------------------------------------------------------


def _entry(
    metric: Metric,
    values: Mapping[str, float | None],
    ceilings: Mapping[str, float | None],
    floors: Mapping[str, float | None],
    *,
    absent: Mapping[str, str],
    is_training_known: bool,
) -> dict[str, Any]:
    """One metric as in metrics.json; a figure that could not be had is null, and the note says why."""
    value, ceiling, floor = (figures.get(metric.name) for figures in (values, ceilings, floors))
    why = [absent[column] for column in metric.needs if column in absent]
    if metric.number in (15, 16) and not is_training_known:
        why.append(UNKNOWN_TRAINING)
    elif value is None and not why:
        why.append("the column does not vary enough")
    return {
        "title": metric.title,
        "number": metric.number,
        "value": value,
        "ceiling": ceiling,
        "floor": floor,
        "attained": attained_share(metric, value, ceiling, floor),
        "better": metric.better,
        "note": "not measured: " + "; ".join(why) if why else metric.note,
    }


def _worst_pairs(
    pairs: Mapping[tuple[str, str], float], ceilings: Mapping[tuple[str, str], float], count: int = 5
) -> list[dict[str, Any]]:
    """The pairs of columns that lie furthest above what fresh real trips score."""
    worst = sorted(pairs, key=lambda pair: ceilings[pair] - pairs[pair])[:count]
    return [{"columns": list(pair), "tvd": pairs[pair], "ceiling": ceilings[pair]} for pair in worst]
