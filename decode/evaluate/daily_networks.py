"""Measures of daily networks: do days of synthetic trips differ from real days as real days differ from each other."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import entr

from decode.evaluate.columns import jsd
from decode.evaluate.tables import TILES

FEWEST_DAYS = 20  # per table: pairs of fewer days are no distribution
FEWEST_TRIPS = 8  # per day: fewer are no network
DAYS_LEFT_OUT = 0.1  # share of the real days, those with the fewest trips
MOST_DAYS = 200  # per table, drawn at random: pairs grow with the square
PAIR_BINS = 20
CLUSTERING_BINS = 10
WEIGHT_BINS = 16  # each reaches to twice the weight of the one before
NODES = TILES**2


class Days(NamedTuple):
    """Networks of some days, all of one number of trips.

    dates : datetime64[D], ascending. flows : share of the day's trips from tile to tile, float64 [D, 64²]. weights,
    clustering, degrees : share of its edges, or of its linked tiles, in each bin, float64 [D, bins].
    """

    dates: NDArray
    flows: NDArray
    weights: NDArray
    clustering: NDArray
    degrees: NDArray


@dataclass(frozen=True, kw_only=True)
class RealDays:
    """Located held-out trips with their `date`, in random order, and what the days of other tables are measured by.

    The protocol is that of MoGAN (Mauro et al. 2022, "Generating mobility networks with generative adversarial
    networks"): networks of 8 × 8 tiles, one per day; how alike are two days, among the real ones and where one is real
    and one synthetic? The figure is the Jensen–Shannon distance, 0 … 1, between the two distributions over pairs. Ours
    differs in this: every day is cut to the same number of trips, since all that is compared grows with that number;
    pairs of one date are left out, since there are none among real days; and there is no cut norm, which is NP-hard to
    find and needs a semidefinite program to be approximated.
    """

    holdout: pd.DataFrame
    seed: int

    def measure(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Metric 14 of a located table with `date`, in random order; None where it or the real one has too few days."""
        names = ("daily_cpc_jsd", "daily_weights_jsd", "daily_clustering_jsd", "daily_degrees_jsd")
        real, days = self._days, cut_to_days(table, self._trips, self.seed)
        if self._trips < FEWEST_TRIPS or min(len(real.dates), len(days.dates)) < FEWEST_DAYS:
            return dict.fromkeys((*names, "daily_cpc_within_jsd"))
        found = {
            name: distance_of_samples(_within(real, part), _across(real, days, part))
            for name, part in zip(names, Days._fields[1:], strict=True)
        }
        return found | {"daily_cpc_within_jsd": distance_of_samples(_within(real, "flows"), _within(days, "flows"))}

    @cached_property
    def _trips(self) -> int:
        """Trips of each day: as many as nine in ten real days have."""
        return int(np.quantile(self.holdout.groupby("date").size(), DAYS_LEFT_OUT))

    @cached_property
    def _days(self) -> Days:
        return cut_to_days(self.holdout, self._trips, self.seed)


def to_dates(trips: pd.DataFrame) -> NDArray:
    """The local date on which each trip starts, datetime64 [N], whole days."""
    return pd.to_datetime(trips["started_at"]).dt.floor("D").to_numpy()


# ---- networks ------------------------------------------------------------------------------------------------------


def cut_to_days(table: pd.DataFrame, trips: int, seed: int) -> Days:
    """The first `trips` of each date of a located table, as networks; dates that have fewer are left out."""
    ends = table[["start_tile", "end_tile", "date"]]
    ends = ends[(ends["start_tile"] >= 0) & (ends["end_tile"] >= 0)]
    sizes = ends.groupby("date").size()
    dates = sizes.index[sizes >= trips]
    if len(dates) > MOST_DAYS:
        dates = dates[np.sort(np.random.default_rng([seed, 4]).permutation(len(dates))[:MOST_DAYS])]
    ends = ends[ends["date"].isin(dates)].groupby("date").head(trips)
    flows = np.zeros((len(dates), NODES, NODES), np.float32)
    np.add.at(flows, (dates.get_indexer(ends["date"]), ends["start_tile"], ends["end_tile"]), 1)
    clustering, degrees = clustering_and_degrees(flows)
    flat = flows.reshape(len(dates), NODES**2)
    weight_bins = np.log2(np.maximum(flat, 1)).astype(int)
    return Days(
        dates=dates.to_numpy(),
        flows=flat / trips,
        weights=_shares(np.minimum(weight_bins, WEIGHT_BINS - 1), flat > 0, WEIGHT_BINS),
        clustering=_shares(
            np.minimum((clustering * CLUSTERING_BINS).astype(int), CLUSTERING_BINS - 1), degrees > 0, CLUSTERING_BINS
        ),
        degrees=_shares(degrees, degrees > 0, NODES),
    )


def clustering_and_degrees(flows: NDArray) -> tuple[NDArray, NDArray]:
    """Local clustering coefficients and degrees of networks [D, N, N], each [D, N] (Watts & Strogatz 1998).

    Two nodes are linked if there is a trip between them either way; round trips count nothing. Of the pairs of a
    node's neighbours, the clustering coefficient is the share that is linked; 0 for fewer than two neighbours.
    """
    linked = ((flows + flows.transpose(0, 2, 1)) > 0).astype(np.float32)
    linked[:, np.arange(flows.shape[1]), np.arange(flows.shape[1])] = 0
    degrees = linked.sum(axis=2)
    closed = np.einsum("dij,dij->di", linked @ linked, linked)  # pairs of neighbours that are linked, each twice
    return closed / np.maximum(degrees * (degrees - 1), 1), degrees.astype(int)


def _shares(bins: NDArray, used: NDArray, count: int) -> NDArray:
    """Share of the used entries of each row [D, K] in each bin, [D, count]; 0 in a row of which none is used."""
    row = np.arange(len(bins))[:, None] * count
    counts = np.bincount((row + bins)[used], minlength=len(bins) * count).reshape(len(bins), count)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


# ---- pairs of days -------------------------------------------------------------------------------------------------


def _within(days: Days, part: str) -> NDArray:
    """How alike the days of one table are: each pair once."""
    return compare_days(days, days, part)[np.triu_indices(len(days.dates), 1)]


def _across(days: Days, others: Days, part: str) -> NDArray:
    """How alike days of two tables are: each pair but those of one date."""
    return compare_days(days, others, part)[days.dates[:, None] != others.dates[None, :]]


def compare_days(days: Days, others: Days, part: str) -> NDArray:
    """Common part of the flows, or Jensen–Shannon distance of the weights, …, of every day to every other, [D, E]."""
    a, b = getattr(days, part), getattr(others, part)
    occurring = a.any(axis=0) | b.any(axis=0)
    a, b = a[:, occurring], b[:, occurring]
    if part == "flows":
        return np.stack([np.minimum(day, b).sum(axis=1) for day in a])
    return np.sqrt(np.stack([_divergences(day, b) for day in a]))


def _divergences(p: NDArray, others: NDArray) -> NDArray:
    """Jensen–Shannon divergence in bits of one distribution [K] to each of several, [E, K] → [E]."""
    middle = entr((p + others) / 2).sum(axis=1)
    return np.maximum(middle - (entr(p).sum() + entr(others).sum(axis=1)) / 2, 0) / np.log(2)


def distance_of_samples(real: NDArray, values: NDArray) -> float:
    """Jensen–Shannon distance, the root of the divergence in bits, between samples cut into 20 quantiles of `real`."""
    edges = np.unique(np.quantile(real, np.linspace(0, 1, PAIR_BINS + 1)[1:-1]))
    a, b = (np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (real, values))
    return float(np.sqrt(jsd(a, b)))
