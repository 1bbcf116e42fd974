"""Measures of columns: each column by itself, pairs of columns, and three columns within groups.

Every function takes a table and the real one beside it. They run for synthetic trips, for fresh real trips (the
ceiling) and for shuffled columns (the floor).
"""

from collections.abc import Iterable
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from decode.evaluate.tables import CATEGORIES
from rasterize.distance import is_too_fast

TOP_STATIONS = 20  # stations that have a bin of their own; set by hand, not swept
BINS = 10  # of a column of numbers, with equal shares of the real trips; set by hand, not swept


# ---- one column or one table of counts -----------------------------------------------------------------------------


def count_both(a: pd.DataFrame, b: pd.DataFrame) -> tuple[NDArray, NDArray]:
    """Count how often each distinct row of either table occurs in `a` and in `b`: two vectors of one length."""
    # Number the distinct rows of both tables together, so that one number means one row in both.
    both = pd.concat([a, b], ignore_index=True)
    cell = both.groupby(list(both.columns), sort=False, dropna=False).ngroup().to_numpy()
    cells = cell.max(initial=-1) + 1
    return np.bincount(cell[: len(a)], minlength=cells), np.bincount(cell[len(a) :], minlength=cells)


def cpc(a: ArrayLike, b: ArrayLike) -> float:
    """Return the common part of commuters, 2 Σ min(a, b) / (Σ a + Σ b), 0 … 1 (Lenormand et al. 2012)."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return float(2 * np.minimum(a, b).sum() / (a.sum() + b.sum()))


def jsd(a: ArrayLike, b: ArrayLike) -> float:
    """Return the Jensen–Shannon divergence of two count vectors in bits, 0 … 1 (Lin 1991); not its root."""
    p, q = (np.asarray(v, float) / np.sum(v) for v in (a, b))
    middle = (p + q) / 2

    def divergence(r: NDArray) -> float:
        """Return the Kullback–Leibler divergence of `r` from the middle, in bits."""
        used = r > 0
        return float((r[used] * np.log2(r[used] / middle[used])).sum())

    return min(max((divergence(p) + divergence(q)) / 2, 0.0), 1.0)  # rounding may leave the interval by 1e-16


def tvd(a: ArrayLike, b: ArrayLike) -> float:
    """Return the total variation distance of two count vectors, ½ Σ |p − q|, 0 … 1."""
    p, q = (np.asarray(v, float) / np.sum(v) for v in (a, b))
    return min(float(np.abs(p - q).sum() / 2), 1.0)


def ks(a: ArrayLike, b: ArrayLike) -> float | None:
    """Return the largest distance between two empirical distribution functions, without missing values."""
    a, b = _present(a), _present(b)
    return float(ks_2samp(a, b, method="asymp").statistic) if len(a) and len(b) else None


def w1(a: ArrayLike, b: ArrayLike) -> float | None:
    """Return the earth mover's distance between two samples in their unit, without missing values."""
    a, b = _present(a), _present(b)
    return float(wasserstein_distance(a, b)) if len(a) and len(b) else None


def _present(values: ArrayLike) -> NDArray:
    """Return the values that are not missing, as floats."""
    values = np.asarray(values, float)
    return values[~np.isnan(values)]


def valid_rows(trips: pd.DataFrame, known_stations: Iterable[str], *, limit_kmh: float) -> NDArray:
    """Say which trips could have happened.

    Both stations are known, the end comes after the start, and the trip is no faster than the limit.

    Parameters
    ----------
    trips : DataFrame, N rows
        Trips by internal names.
    known_stations : iterable of str
        Station ids that a trip may use.
    limit_kmh : float
        Kilometres per hour on the straight line.

    Returns
    -------
    (N,) bool
        True for a valid trip. Where a coordinate is unknown, speed is not checked.
    """
    known = set(known_stations)
    stations = trips["start_station_id"].isin(known) & trips["end_station_id"].isin(known)
    started, ended = pd.to_datetime(trips["started_at"]), pd.to_datetime(trips["ended_at"])
    is_positive = trips["duration_s"].to_numpy(float) > 0
    return (stations & (ended > started)).to_numpy() & is_positive & ~is_too_fast(trips, limit_kmh)


def measure_columns(table: pd.DataFrame, real: pd.DataFrame) -> dict[str, float | None]:
    """Measure metrics 2 to 9, and the demand correlation of 13, of a located table against located real trips."""

    def counts(*columns: str) -> tuple[NDArray, NDArray]:
        """Count the rows of these columns in both tables."""
        return count_both(table[list(columns)], real[list(columns)])

    # Durations are told apart in units of their spread, if they have one.
    spread = float(real["duration_s"].std(ddof=0)) if np.ptp(real["duration_s"]) > 0 else None
    values = {
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
        "tstr_demand_r": correlate_demand(table, real),
    }
    # Attributes: a publisher may have none of them.
    for column in ("gender", "user_type"):
        values[f"{column}_tvd"] = tvd(*counts(column)) if column in real else None
    values["birth_year_ks"] = ks(table["birth_year"], real["birth_year"]) if "birth_year" in real else None
    return values


def correlate_demand(table: pd.DataFrame, real: pd.DataFrame) -> float | None:
    """Return Pearson's correlation of starts by station × weekend × hour, over the cells that either table has."""
    cells = (t[["start", "hour"]].assign(is_weekend=t["day_of_week"] >= 5) for t in (table, real))
    a, b = count_both(*cells)
    return float(np.corrcoef(a, b)[0, 1]) if a.std() > 0 and b.std() > 0 else None


# ---- several columns -----------------------------------------------------------------------------------------------


def bin_columns(table: pd.DataFrame, real: pd.DataFrame) -> pd.DataFrame:
    """Return every column as small integers, -1 if missing; the real table says where the bins lie.

    The 20 most common stations have a bin each, every category has one, and numbers have 10 by quantiles.
    """
    return pd.DataFrame({column: _bin(table[column], real[column]) for column in table})


def _bin(values: pd.Series, real: pd.Series) -> NDArray:
    """Return the bin of each value of a column, int64 [N]; see `bin_columns`."""
    # Order categories by frequency, then by name: equal counts must not depend on the order of rows.
    if values.name in CATEGORIES or values.name == "day_of_week":
        common = real.value_counts().sort_index().sort_values(ascending=False, kind="stable").index
        common = common[:TOP_STATIONS] if values.name in ("start", "end") else common
        index = common.get_indexer(values)
        return np.where(index < 0, len(common), index)

    # Numbers by the quantiles of the real ones.
    present = _present(real)
    edges = np.unique(np.quantile(present, np.linspace(0, 1, BINS + 1)[1:-1])) if len(present) else np.zeros(0)
    numbers = values.to_numpy(float)
    return np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers, side="right"))


def measure_pairs(table: pd.DataFrame, real: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return the total variation distance of every pair of columns, both binned by `bin_columns`."""
    a, b = bin_columns(table, real), bin_columns(real, real)
    return {pair: tvd(*count_both(a[list(pair)], b[list(pair)])) for pair in combinations(table.columns, 2)}


def k_marginal(table: pd.DataFrame, real: pd.DataFrame, columns: Iterable[str]) -> float:
    """Score marginals of three columns within each group of start area × shift.

    Parameters
    ----------
    table, real : DataFrame
        Located trips.
    columns : iterable of str
        The columns that both tables have.

    Returns
    -------
    float
        0 (nothing in common) to 1000 (equal).

    Notes
    -----
    The score is (2 − mean L1) · 500, after the K-marginal score of NIST's SDNist. An area is one of 4 × 4 tiles. A
    shift is 8 hours of a weekday or of a weekend. The end of a trip counts by its area. Each group's marginal is
    normalised on its own, and groups weigh by their real rows. A group without a row in `table` scores L1 = 2.
    """
    columns = [c for c in columns if c not in ("start", "end", "hour", "minute", "day_of_week")]
    a, b = _group_rows(table, real, columns), _group_rows(real, real, columns)
    triples = list(combinations(a.columns.drop("group"), min(3, a.shape[1] - 1)))
    return float(500 * (2 - np.mean([_grouped_l1(a, b, list(triple)) for triple in triples])))


def _group_rows(table: pd.DataFrame, real: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Return the binned columns, the area of the end, and the group of start area × shift of each row."""
    shift = table["hour"] // 8 + 3 * (table["day_of_week"] >= 5)
    bins = bin_columns(table[columns], real[columns])
    return bins.assign(end_area=table["end_area"], group=table["start_area"] * 6 + shift)


def _grouped_l1(a: pd.DataFrame, b: pd.DataFrame, triple: list[str]) -> float:
    """Return the mean over groups, weighted by rows of `b`, of the L1 distance between the groups' distributions."""
    # Each group's distribution over the cells of the three columns.
    shares = []
    for table in (a, b):
        cells = table.groupby(["group", *triple]).size()
        shares.append(cells / cells.groupby(level="group").transform("sum"))
    difference = shares[0].sub(shares[1], fill_value=0).abs().groupby(level="group").sum()

    # A group that `a` lacks is as far away as can be: L1 = 2.
    weight = b["group"].value_counts(normalize=True)
    present = weight.index.isin(a["group"])
    return float((weight[present] * difference.reindex(weight.index[present])).sum() + 2 * weight[~present].sum())
