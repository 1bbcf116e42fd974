"""The measures synthetic trips are judged by: columns compared one by one and two by two, and the list of all of them.

Every function takes a table and the real one beside it. They run for synthetic trips, for fresh real trips (the
ceiling) and for shuffled columns (the floor). Numbers in `METRICS` are those of the project's metric list.
"""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from decode.evaluate.tables import CATEGORIES
from rasterize.distance import is_too_fast

TOP_STATIONS = 20
BINS = 10


# ---- tables --------------------------------------------------------------------------------------------------------


# ---- one column or one table of counts -----------------------------------------------------------------------------


def count_both(a: pd.DataFrame, b: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """How often each distinct row of either table occurs in `a` and in `b`: two count vectors of one length."""
    both = pd.concat([a, b], ignore_index=True)
    cell = both.groupby(list(both.columns), sort=False, dropna=False).ngroup().to_numpy()
    cells = cell.max(initial=-1) + 1
    return np.bincount(cell[: len(a)], minlength=cells), np.bincount(cell[len(a) :], minlength=cells)


def cpc(a: ArrayLike, b: ArrayLike) -> float:
    """Common part of commuters, 2 Σ min(a, b) / (Σ a + Σ b), 0 … 1 (Lenormand et al. 2012)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return float(2 * np.minimum(a, b).sum() / (a.sum() + b.sum()))


def jsd(a: ArrayLike, b: ArrayLike) -> float:
    """Jensen–Shannon divergence of two count vectors in bits, 0 … 1 (Lin 1991); the divergence, not its root."""
    p, q = (np.asarray(v, float) / np.sum(v) for v in (a, b))
    middle = (p + q) / 2

    def divergence(r: NDArray) -> float:
        used = r > 0
        return float((r[used] * np.log2(r[used] / middle[used])).sum())

    return min(max((divergence(p) + divergence(q)) / 2, 0.0), 1.0)  # rounding may leave the interval by 1e-16


def tvd(a: ArrayLike, b: ArrayLike) -> float:
    """Total variation distance of two count vectors, ½ Σ |p − q|, 0 … 1."""
    p, q = (np.asarray(v, float) / np.sum(v) for v in (a, b))
    return min(float(np.abs(p - q).sum() / 2), 1.0)


def ks(a: ArrayLike, b: ArrayLike) -> float | None:
    """Largest distance between two empirical distribution functions; missing values are left out."""
    a, b = _present(a), _present(b)
    return float(ks_2samp(a, b, method="asymp").statistic) if len(a) and len(b) else None


def w1(a: ArrayLike, b: ArrayLike) -> float | None:
    """Earth mover's distance between two samples, in their unit; missing values are left out."""
    a, b = _present(a), _present(b)
    return float(wasserstein_distance(a, b)) if len(a) and len(b) else None


def _present(values: ArrayLike) -> NDArray:
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def valid_rows(trips: pd.DataFrame, known_stations: Iterable[str], *, limit_kmh: float) -> NDArray:
    """Return which trips could have happened, bool [N].

    Both stations are known, the end lies after the start, and the trip is no faster than the limit in km/h. Unknown
    coordinates are not judged here.
    """
    known = set(known_stations)
    stations = trips["start_station_id"].isin(known) & trips["end_station_id"].isin(known)
    started, ended = pd.to_datetime(trips["started_at"]), pd.to_datetime(trips["ended_at"])
    is_positive = trips["duration_s"].to_numpy(float) > 0
    return (stations & (ended > started)).to_numpy() & is_positive & ~is_too_fast(trips, limit_kmh)


def column_metrics(table: pd.DataFrame, real: pd.DataFrame) -> dict[str, float | None]:
    """Metrics 2 to 9 and the demand correlation of 13, of a located table against located real trips."""

    def counts(*columns: str) -> tuple[NDArray, NDArray]:
        return count_both(table[list(columns)], real[list(columns)])

    spread = float(real["duration_s"].std(ddof=0)) if np.ptp(real["duration_s"]) > 0 else None
    found = {
        "od_cpc": cpc(*counts("start", "end")),
        "od_cpc_tiles": cpc(*counts("start_tile", "end_tile")),
        "start_jsd": jsd(*counts("start")),
        "end_jsd": jsd(*counts("end")),
        "hour_of_week_jsd": jsd(*counts("day_of_week", "hour")),
        "start_hour_jsd": jsd(*counts("start", "hour")),
        "distance_ks": ks(table["distance_km"], real["distance_km"]),
        "distance_w1_km": w1(table["distance_km"], real["distance_km"]),
        "duration_ks": ks(table["duration_s"], real["duration_s"]),
        "duration_w1": w1(table["duration_s"] / spread, real["duration_s"] / spread) if spread else None,
        "tstr_demand_r": demand_correlation(table, real),
    }
    for column in ("gender", "user_type"):
        found[f"{column}_tvd"] = tvd(*counts(column)) if column in real else None
    found["birth_year_ks"] = ks(table["birth_year"], real["birth_year"]) if "birth_year" in real else None
    return found


def demand_correlation(table: pd.DataFrame, real: pd.DataFrame) -> float | None:
    """Pearson correlation of starts by station × weekend × hour, over the cells that either table has."""
    cells = (t[["start", "hour"]].assign(is_weekend=t["day_of_week"] >= 5) for t in (table, real))
    a, b = count_both(*cells)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None


# ---- several columns -----------------------------------------------------------------------------------------------


def to_bins(table: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
    """Every column as small integers, cut by the real: top 20 stations, categories, 10 quantile bins; -1 is missing."""
    return pd.DataFrame({column: _bin(table[column], real[column]) for column in table})


def _bin(values: pd.Series, real: pd.Series) -> NDArray:
    if values.name in CATEGORIES or values.name == "day_of_week":
        # by frequency, then by name: equal counts must not depend on the order of rows
        common = real.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
        common = common[:TOP_STATIONS] if values.name in ("start", "end") else common
        index = common.get_indexer(values)
        return np.where(index < 0, len(common), index)
    present = _present(real)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1])) if len(present) else np.zeros(0)
    numbers = values.to_numpy(float)
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))


def pair_distances(table: pd.DataFrame, real: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Total variation distance of every pair of columns, both binned by `to_bins`."""
    a, b = to_bins(table, real), to_bins(real, real)
    return {pair: tvd(*count_both(a[list(pair)], b[list(pair)])) for pair in combinations(table.columns, 2)}


def k_marginal(table: pd.DataFrame, real: pd.DataFrame, columns: Iterable[str]) -> float:
    """(2 − mean L1) · 500: marginals of three columns within each group of start area × shift (after NIST's SDNist).

    Areas are 4 × 4 tiles, shifts 8 hours of a weekday or of a weekend; the end counts by its area. Each group's
    marginal is normalised on its own, groups weigh by their real rows, a group without a row scores L1 = 2.
    """
    columns = [c for c in columns if c not in ("start", "end", "hour", "minute", "day_of_week")]
    a, b = _grouped(table, real, columns), _grouped(real, real, columns)
    triples = list(combinations(a.columns.drop("group"), min(3, a.shape[1] - 1)))
    return float(500 * (2 - np.mean([_grouped_l1(a, b, list(triple)) for triple in triples])))


def _grouped(table: pd.DataFrame, real: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    shift = table["hour"] // 8 + 3 * (table["day_of_week"] >= 5)
    bins = to_bins(table[columns], real[columns])
    return bins.assign(end_area=table["end_area"], group=table["start_area"] * 6 + shift)


def _grouped_l1(a: pd.DataFrame, b: pd.DataFrame, triple: list[str]) -> float:
    """Mean over groups, weighted by rows of `b`, of the L1 distance between the groups' own distributions."""
    shares = []
    for table in (a, b):
        cells = table.groupby(["group", *triple]).size()
        shares.append(cells / cells.groupby(level="group").transform("sum"))
    difference = shares[0].sub(shares[1], fill_value=0).abs().groupby(level="group").sum()
    weight = b["group"].value_counts(normalize=True)
    seen = weight.index.isin(a["group"])
    return float((weight[seen] * difference.reindex(weight.index[seen])).sum() + 2 * weight[~seen].sum())
