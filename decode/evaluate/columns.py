"""The measures synthetic trips are judged by: columns compared one by one and two by two, and the list of all of them.

Every function takes a table and the real one beside it. They run for synthetic trips, for fresh real trips (the
ceiling) and for shuffled columns (the floor). Numbers in `METRICS` are those of the project's metric list.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from rasterize.strokes.frame import Frame, trip_metres

CATEGORIES = ("start", "end", "user_type", "gender", "rideable_type")
ATTRIBUTES = ("user_type", "birth_year", "gender", "rideable_type")  # a publisher may have none of them
TOP_SPEED_M_S = 15.0  # 54 km/h on a straight line: no bike or scooter of a rental fleet is faster
TOP_STATIONS = 20
BINS = 10
TILES = 8  # per side, for OD flows
AREAS = 4  # per side, for grouping
MISSING = "(missing)"


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One line of the table: its name in JSON, its title for people, and how to read its value.

    better : `half` is best at 0.5, `equal` at the ceiling. detects : whether shuffled columns come out worse than real
    ones, without which a floor and an attained share mean nothing. needs : the attribute columns it cannot do without.
    """

    name: str
    title: str
    number: int
    better: Literal["higher", "lower", "half", "equal"]
    detects: bool = True
    needs: tuple[str, ...] = ()
    note: str = ""


_MARGINAL = "a single column, which shuffling leaves as it is"
METRICS = (
    Metric(
        name="validity",
        title="Valid rows",
        number=1,
        better="higher",
        detects=False,
        note=f"known stations, end after start, at most {TOP_SPEED_M_S:g} m/s on the straight line",
    ),
    Metric(name="od_cpc", title="OD flows, common part", number=2, better="higher", note="station × station"),
    Metric(
        name="od_cpc_tiles",
        title="OD flows on tiles",
        number=3,
        better="higher",
        note=f"the same between {TILES} × {TILES} tiles",
    ),
    Metric(name="start_jsd", title="Start stations, JSD", number=4, better="lower", detects=False, note=_MARGINAL),
    Metric(name="end_jsd", title="End stations, JSD", number=4, better="lower", detects=False, note=_MARGINAL),
    Metric(name="hour_of_week_jsd", title="Hour of week, JSD", number=5, better="lower", note="day of week × hour"),
    Metric(name="start_hour_jsd", title="Start × hour, JSD", number=6, better="lower"),
    Metric(name="distance_ks", title="Distance, KS", number=7, better="lower"),
    Metric(name="distance_w1_km", title="Distance, W1 (km)", number=7, better="lower"),
    Metric(name="duration_ks", title="Duration, KS", number=8, better="lower", detects=False, note=_MARGINAL),
    Metric(
        name="duration_w1",
        title="Duration, W1 / σ",
        number=8,
        better="lower",
        detects=False,
        note="in standard deviations of the real durations",
    ),
    Metric(
        name="gender_tvd",
        title="Gender, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("gender",),
        note=_MARGINAL,
    ),
    Metric(
        name="user_type_tvd",
        title="User type, TVD",
        number=9,
        better="lower",
        detects=False,
        needs=("user_type",),
        note=_MARGINAL,
    ),
    Metric(
        name="birth_year_ks",
        title="Birth year, KS",
        number=9,
        better="lower",
        detects=False,
        needs=("birth_year",),
        note=_MARGINAL,
    ),
    Metric(
        name="bivariate_accuracy",
        title="Column pairs, accuracy",
        number=10,
        better="higher",
        note=f"1 − mean TVD over all pairs; {BINS} bins, top {TOP_STATIONS} stations",
    ),
    Metric(
        name="k_marginal",
        title="K-marginal score",
        number=11,
        better="higher",
        note="0 to 1000; three columns at a time within start area × shift",
    ),
    Metric(
        name="c2st_auc",
        title="Classifier real / synthetic, AUC",
        number=12,
        better="half",
        note="gradient-boosted trees, 3 folds; .5 means it cannot tell",
    ),
    Metric(
        name="c2st_distance_auc",
        title="Classifier that is told the distance, AUC",
        number=12,
        better="half",
        note="the same trees; stricter: speeds betray a trip",
    ),
    Metric(
        name="tstr_duration_r2",
        title="Trained on it: duration, R²",
        number=13,
        better="higher",
        note="log duration, tested on real trips; the ceiling is trained on real ones",
    ),
    Metric(
        name="tstr_user_type_auc",
        title="Trained on it: user type, AUC",
        number=13,
        better="higher",
        needs=("user_type",),
        note="the most common type against the rest, tested on real trips",
    ),
    Metric(
        name="tstr_demand_r",
        title="Trained on it: demand, r",
        number=13,
        better="higher",
        note="starts by station × weekend × hour",
    ),
    Metric(
        name="daily_cpc_jsd",
        title="Daily networks: flows, JS distance",
        number=14,
        better="lower",
        note="are real and synthetic days as alike as two real days (MoGAN protocol); from 20 dates on",
    ),
    Metric(name="daily_weights_jsd", title="Daily networks: edge weights, JS distance", number=14, better="lower"),
    Metric(name="daily_clustering_jsd", title="Daily networks: clustering, JS distance", number=14, better="lower"),
    Metric(name="daily_degrees_jsd", title="Daily networks: degrees, JS distance", number=14, better="lower"),
    Metric(
        name="daily_cpc_within_jsd",
        title="Daily networks: within synthetic, JS distance",
        number=14,
        better="lower",
        note="do flows of synthetic days differ from each other as those of real days do",
    ),
    Metric(
        name="dcr_share",
        title="Nearer to training than to held-out rows",
        number=15,
        better="half",
        detects=False,
        note="ties split; above .5 means copying",
    ),
    Metric(
        name="ims",
        title="Identical to a training row",
        number=15,
        better="equal",
        detects=False,
        note="not above the rate of fresh real trips",
    ),
    Metric(
        name="nndr_p5",
        title="Nearest / second nearest, 5th percentile",
        number=16,
        better="equal",
        detects=False,
        note="far below real means copies of single rows",
    ),
    Metric(
        name="membership_auc",
        title="Who trained it, guessed: AUC",
        number=17,
        better="half",
        detects=False,
        note="by the distance to the nearest synthetic row; .5 is guessing",
    ),
    Metric(
        name="membership_tpr",
        title="Who trained it, hits at 1 % false alarms",
        number=17,
        better="equal",
        detects=False,
        note=".01 is guessing",
    ),
    Metric(
        name="picture_swd",
        title="Pictures, sliced Wasserstein / σ",
        number=18,
        better="lower",
        note="trips drawn by the codec, several to a picture; all planes on random directions",
    ),
    Metric(
        name="picture_density",
        title="Pictures, density",
        number=18,
        better="higher",
        note="5 neighbours; low where pictures look like no real one, above 1 where they crowd",
    ),
    Metric(
        name="picture_coverage",
        title="Pictures, coverage",
        number=18,
        better="higher",
        note="share of real pictures that have a synthetic one near",
    ),
    Metric(
        name="picture_mass",
        title="Pictures, total mass, W1 / mean",
        number=18,
        better="lower",
        note="length of strokes and blobs in a picture",
    ),
    Metric(name="picture_active_cells", title="Pictures, active cells, W1 / mean", number=18, better="lower"),
)


def attained_share(metric: Metric, value: float | None, ceiling: float | None, floor: float | None) -> float | None:
    """(value − floor) / (ceiling − floor): 1 like fresh real trips, 0 like shuffled columns.

    None where shuffling proves nothing, where a part is missing, or where the floor is not worse than the ceiling.
    """
    if not metric.detects or value is None or ceiling is None or floor is None:
        return None
    span = ceiling - floor
    is_open = span > 0 if metric.better == "higher" else span < 0
    return (value - floor) / span if is_open else None


# ---- tables --------------------------------------------------------------------------------------------------------


def tabulate(trips: pd.DataFrame, attributes: Iterable[str] = ATTRIBUTES) -> pd.DataFrame:
    """The columns trips are compared on, one row per trip, in order.

    start, end : station ids. hour, minute, day_of_week (Monday 0) : of the local start. duration_s : whole seconds.
    `attributes` : copied; categories as text with `MISSING`, birth_year as float with NaN.
    """
    started = pd.to_datetime(trips["started_at"])
    table = {
        "start": _as_text(trips["start_station_id"]),
        "end": _as_text(trips["end_station_id"]),
        "hour": started.dt.hour.to_numpy(),
        "day_of_week": started.dt.day_of_week.to_numpy(),
        "minute": started.dt.minute.to_numpy(),
        "duration_s": trips["duration_s"].to_numpy(float).round(),
    }
    for column in attributes:
        is_category = column in CATEGORIES
        table[column] = _as_text(trips[column]) if is_category else pd.to_numeric(trips[column]).to_numpy(float)
    return pd.DataFrame(table)


def _as_text(values: pd.Series) -> NDArray:
    return values.astype(object).where(values.notna(), MISSING).astype(str).to_numpy(object)


def shuffle_columns(table: pd.DataFrame, rng: np.random.Generator) -> pd.DataFrame:
    """Every column shuffled on its own: right margins, no dependence left."""
    return pd.DataFrame({column: rng.permutation(table[column].to_numpy()) for column in table})


def find_places(trips: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Where each station lies: the median of its coordinates in the first table that knows it. Index id; lat, lng."""
    found = []
    for table in trips:
        ends = [
            table[[f"{end}_station_id", f"{end}_lat", f"{end}_lng"]].set_axis(["id", "lat", "lng"], axis=1)
            for end in ("start", "end")
        ]
        both = pd.concat(ends).dropna()
        found.append(both.assign(id=both["id"].astype(str)).groupby("id")[["lat", "lng"]].median())
    every = pd.concat(found)
    return every[~every.index.duplicated()]


def locate(table: pd.DataFrame, places: pd.DataFrame) -> pd.DataFrame:
    """Add what follows from the stations: start_lat … end_lng, distance_km, tiles (8 × 8) and start_area (4 × 4)."""
    table = table.copy()
    for end in ("start", "end"):
        at = places.reindex(table[end])
        table[f"{end}_lat"], table[f"{end}_lng"] = at["lat"].to_numpy(), at["lng"].to_numpy()
        table[f"{end}_tile"] = _tile(at, places, TILES)
        table[f"{end}_area"] = _tile(at, places, AREAS)
    table["distance_km"] = distance_km(table)
    return table


def _tile(at: pd.DataFrame, places: pd.DataFrame, side: int) -> NDArray:
    frame = Frame.around(places["lat"], places["lng"], height=side, width=side, margin_px=0)
    x, y = frame.to_pixels(at["lat"], at["lng"])
    column, row = (np.clip(np.nan_to_num(v, nan=-1.0), -1, side - 1e-9).astype(int) for v in (x, y))
    return row * side + column


def distance_km(trips: pd.DataFrame) -> NDArray:
    """Straight-line distance from start to end in kilometres; NaN if unknown."""
    return trip_metres(trips) / 1000


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


def valid_rows(trips: pd.DataFrame, known_stations: Iterable[str]) -> NDArray:
    """Which trips could have happened: both stations known, end after start, at most 15 m/s on the straight line."""
    known = set(known_stations)
    stations = trips["start_station_id"].isin(known) & trips["end_station_id"].isin(known)
    started, ended = pd.to_datetime(trips["started_at"]), pd.to_datetime(trips["ended_at"])
    seconds = trips["duration_s"].to_numpy(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        is_feasible = ~(distance_km(trips) * 1000 / seconds > TOP_SPEED_M_S)  # unknown coordinates: not judged here
    return (stations & (ended > started)).to_numpy() & (seconds > 0) & is_feasible


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
