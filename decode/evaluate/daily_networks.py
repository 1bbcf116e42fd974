"""Measures of daily networks: do synthetic days differ from real days as real days differ from each other?"""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import entr

from decode.evaluate.columns import jsd
from decode.evaluate.tables import TILES

# All set by hand for a year of one city, not swept.
FEWEST_DAYS = 20  # per table: pairs of fewer days are no distribution
FEWEST_TRIPS = 8  # per day: fewer are no network
DAYS_LEFT_OUT = 0.1  # share of the real days, those with the fewest trips
MOST_DAYS = 200  # per table, drawn at random: pairs grow with the square
PAIR_BINS = 20
CLUSTERING_BINS = 10
WEIGHT_BINS = 16  # each reaches to twice the weight of the one before
NODES = TILES**2


class Days(NamedTuple):
    """The networks of some days, all of one number of trips.

    Attributes
    ----------
    dates : (D,) datetime64
        Local dates, ascending.
    flows : (D, 64²) float64
        Share of the day's trips from tile to tile.
    weights : (D, 16) float64
        Share of the day's links whose number of trips lies in each bin.
    clustering : (D, 10) float64
        Share of the day's linked tiles whose clustering coefficient lies in each bin.
    degrees : (D, 64) float64
        Share of the day's linked tiles that are linked to so many others.
    """

    dates: NDArray
    flows: NDArray
    weights: NDArray
    clustering: NDArray
    degrees: NDArray


@dataclass(frozen=True, kw_only=True)
class RealDays:
    """The real days that the days of every synthetic table are measured against.

    Attributes
    ----------
    holdout : DataFrame
        Located real trips with their `date`, in random order.
    seed : int
        Of the choice of days where there are too many.

    Notes
    -----
    The protocol is that of MoGAN (Mauro et al. 2022, "Generating mobility networks with generative adversarial
    networks"). There is one network of 8 × 8 tiles per day. How alike are two real days, and how alike are a real and a
    synthetic one? The figure is the Jensen–Shannon distance, 0 … 1, between the two distributions over pairs.

    Ours differs in three things:

    * Every day is cut to the same number of trips, since all that is compared grows with that number.
    * Pairs of one date are left out, since there are none among real days.
    * There is no cut norm. It is NP-hard to find, and approximating it needs a semidefinite program.
    """

    holdout: pd.DataFrame
    seed: int

    def measure_table(self, table: pd.DataFrame) -> dict[str, float | None]:
        """Measure metric 14 of a located table with `date`, in random order; None where there are too few days."""
        names = ("daily_cpc_jsd", "daily_weights_jsd", "daily_clustering_jsd", "daily_degrees_jsd")
        real, days = self._days, cut_to_days(table, self._trips, self.seed)
        if self._trips < FEWEST_TRIPS or min(len(real.dates), len(days.dates)) < FEWEST_DAYS:
            return dict.fromkeys((*names, "daily_cpc_within_jsd"))
        values = {
            name: compare_samples(_compare_within(real, aspect), _compare_across(real, days, aspect))
            for name, aspect in zip(names, Days._fields[1:], strict=True)
        }
        within = compare_samples(_compare_within(real, "flows"), _compare_within(days, "flows"))
        return values | {"daily_cpc_within_jsd": within}

    @cached_property
    def _trips(self) -> int:
        """Return the trips of each day: as many as nine in ten real days have."""
        return int(np.quantile(self.holdout.groupby("date").size(), DAYS_LEFT_OUT))

    @cached_property
    def _days(self) -> Days:
        """Cut the held-out trips to days."""
        return cut_to_days(self.holdout, self._trips, self.seed)


def to_dates(trips: pd.DataFrame) -> NDArray:
    """Return the local date on which each trip starts, datetime64 [N], whole days."""
    return pd.to_datetime(trips["started_at"]).dt.floor("D").to_numpy()


# ---- networks ------------------------------------------------------------------------------------------------------


def cut_to_days(table: pd.DataFrame, trips: int, seed: int) -> Days:
    """Turn the first trips of each date into a network.

    Parameters
    ----------
    table : DataFrame
        Located trips with their `date`, in random order.
    trips : int
        Trips of each day. Dates that have fewer are left out.
    seed : int
        Of the choice of days where there are more than `MOST_DAYS`.

    Returns
    -------
    Days
        The networks, by ascending date.
    """
    # Choose the dates that have enough trips.
    ends = table[["start_tile", "end_tile", "date"]]
    ends = ends[(ends["start_tile"] >= 0) & (ends["end_tile"] >= 0)]
    sizes = ends.groupby("date").size()
    dates = sizes.index[sizes >= trips]
    if len(dates) > MOST_DAYS:
        dates = dates[np.sort(np.random.default_rng([seed, 4]).permutation(len(dates))[:MOST_DAYS])]

    # Count each day's trips from tile to tile.
    ends = ends[ends["date"].isin(dates)].groupby("date").head(trips)
    flows = np.zeros((len(dates), NODES, NODES), np.float32)
    np.add.at(flows, (dates.get_indexer(ends["date"]), ends["start_tile"], ends["end_tile"]), 1)

    # Bin what each network is compared by.
    clustering, degrees = measure_nodes(flows)
    flat = flows.reshape(len(dates), NODES**2)
    weight_bins = np.log2(np.maximum(flat, 1)).astype(int)
    clustering_bins = (clustering * CLUSTERING_BINS).astype(int)
    return Days(
        dates=dates.to_numpy(),
        flows=flat / trips,
        weights=_count_shares(np.minimum(weight_bins, WEIGHT_BINS - 1), flat > 0, WEIGHT_BINS),
        clustering=_count_shares(np.minimum(clustering_bins, CLUSTERING_BINS - 1), degrees > 0, CLUSTERING_BINS),
        degrees=_count_shares(degrees, degrees > 0, NODES),
    )


def measure_nodes(flows: NDArray) -> tuple[NDArray, NDArray]:
    """Return the clustering coefficients and the degrees of networks [D, N, N], each [D, N].

    Two nodes are linked if there is a trip between them either way. Round trips count nothing. The clustering
    coefficient is the share of the pairs of a node's neighbours that are linked (Watts & Strogatz 1998). It is 0 for
    fewer than two neighbours.
    """
    # Link tiles with a trip either way, but none with itself.
    linked = ((flows + flows.transpose(0, 2, 1)) > 0).astype(np.float32)
    linked[:, np.arange(flows.shape[1]), np.arange(flows.shape[1])] = 0

    # Count the triangles through each tile.
    degrees = linked.sum(axis=2)
    closed = np.einsum("dij,dij->di", linked @ linked, linked)  # pairs of neighbours that are linked, each twice
    return closed / np.maximum(degrees * (degrees - 1), 1), degrees.astype(int)


def _count_shares(bins: NDArray, used: NDArray, count: int) -> NDArray:
    """Return the share of each row's used entries [D, K] in each bin, [D, count]; 0 where none is used."""
    # Shift the bins of each row, so that one count serves all rows.
    row = np.arange(len(bins))[:, None] * count
    counts = np.bincount((row + bins)[used], minlength=len(bins) * count).reshape(len(bins), count)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


# ---- pairs of days -------------------------------------------------------------------------------------------------


def _compare_within(days: Days, aspect: str) -> NDArray:
    """Return how alike the days of one table are: each pair once."""
    return compare_days(days, days, aspect)[np.triu_indices(len(days.dates), 1)]


def _compare_across(days: Days, others: Days, aspect: str) -> NDArray:
    """Return how alike the days of two tables are: each pair but those of one date."""
    return compare_days(days, others, aspect)[days.dates[:, None] != others.dates[None, :]]


def compare_days(days: Days, others: Days, aspect: str) -> NDArray:
    """Compare every day with every other one.

    Parameters
    ----------
    days, others : Days
        D and E networks.
    aspect : {"flows", "weights", "clustering", "degrees"}
        The field of `Days` that is compared.

    Returns
    -------
    (D, E) float64
        Common part of the flows, 0 … 1; of the other fields the Jensen–Shannon distance, 0 … 1.
    """
    # Leave out what no day has: it changes nothing and costs time.
    a, b = getattr(days, aspect), getattr(others, aspect)
    occurring = a.any(axis=0) | b.any(axis=0)
    a, b = a[:, occurring], b[:, occurring]

    if aspect == "flows":
        return np.stack([np.minimum(day, b).sum(axis=1) for day in a])
    return np.sqrt(np.stack([_divergences(day, b) for day in a]))


def _divergences(p: NDArray, others: NDArray) -> NDArray:
    """Return the Jensen–Shannon divergence in bits of one distribution [K] to each of several, [E, K] → [E]."""
    middle = entr((p + others) / 2).sum(axis=1)
    return np.maximum(middle - (entr(p).sum() + entr(others).sum(axis=1)) / 2, 0) / np.log(2)


def compare_samples(real: NDArray, values: NDArray) -> float:
    """Return the Jensen–Shannon distance between two samples, both binned by 20 quantiles of `real`."""
    edges = np.unique(np.quantile(real, np.linspace(0, 1, PAIR_BINS + 1)[1:-1]))
    a, b = (np.bincount(np.searchsorted(edges, v, side="right"), minlength=len(edges) + 1) for v in (real, values))
    return float(np.sqrt(jsd(a, b)))
