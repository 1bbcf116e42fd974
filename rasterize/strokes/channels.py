"""Trip attributes in pictures: painted channels and label factors, each with `encode` beside its `decode`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, read_clock
from rasterize.errors import InputError
from rasterize.spec import Factor, list_values
from rasterize.strokes.regression_tree import Tree

# Levels of values run from LOWEST_LEVEL to 1; a level below MISSING_LEVEL, half of that, is a missing value.
# Chosen by hand, not swept.
LOWEST_LEVEL, MISSING_LEVEL = 0.2, 0.1
QUANTILE_KNOTS = 257  # of a quantile function of all trips: steps of 1/256, as fine as a byte; not swept
# Of quantile functions of trips alike: most knots, and fewest trips for each. Not swept alone; how many trips share a
# leaf is what was measured (docs/fidelity.md).
LEAF_KNOTS, TRIPS_PER_KNOT = 65, 4


def encode_share(share: NDArray) -> NDArray:
    """Turn where a value stands in its range, 0 to 1, into a level, `LOWEST_LEVEL` to 1."""
    return LOWEST_LEVEL + (1 - LOWEST_LEVEL) * share


def decode_share(level: NDArray) -> NDArray:
    """Turn a level into where its value stands in its range; the inverse of `encode_share`, clipped to 0 … 1."""
    return np.clip((level - LOWEST_LEVEL) / (1 - LOWEST_LEVEL), 0, 1)


class Channel(Protocol):
    """A trip attribute painted along the stroke: some planes, and the way from values to levels and back.

    Attributes
    ----------
    column : str
        The attribute: a column of the table, or a reading of the clock.
    planes : int
        How many planes of the image it fills.
    """

    column: str
    planes: int

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Return the same channel with its open bounds set from data."""
        ...

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into levels.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip, NaN or None where it is missing.
        rng : numpy.random.Generator
            Chance, for channels that spread equal values.
        features : DataFrame of N rows, optional
            What else pictures tell of the trips, see `StrokeSpec.trip_features`; a conditional channel needs it.

        Returns
        -------
        (N, planes) float
            Levels.
        """
        ...

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, planes] into values."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinearChannel:
    """A number painted as intensity: `low` is level 0.2, `high` is 1; level 0 is a missing value, if there are any.

    Attributes
    ----------
    column : str
        The attribute.
    low, high : float or None
        Bounds, in the attribute's unit. Open ones become the 0.1 % and 99.9 % quantiles, never minimum and maximum.
    log : bool
        Whether levels are even steps of the logarithm.
    missing : bool
        Whether a level below 0.1 is a missing value.
    """

    column: str
    low: float | None = None
    high: float | None = None
    log: bool = False
    missing: bool = True
    kind: str = "linear"
    planes: int = 1

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Set open bounds to robust quantiles, and note whether values are missing."""
        number = values.dropna().astype(float)
        low, high = (float(q) for q in number.quantile([0.001, 0.999])) if len(number) else (0.0, 1.0)
        low = low if self.low is None else self.low
        high = high if self.high is None else self.high
        missing = bool(values.isna().any())
        return replace(self, low=low, high=high if high > low else low + 1.0, missing=missing)

    def _scale(self, values: NDArray) -> NDArray:
        """Return the values, or their logarithms."""
        return np.log(np.maximum(values, 1e-9)) if self.log else values

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into levels; values outside the bounds are clipped to them.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip.
        rng : numpy.random.Generator
            Not used.
        features : DataFrame, optional
            Not used.

        Returns
        -------
        (N, 1) float
            Levels in {0} ∪ [0.2, 1]; 0 for a missing value.
        """
        number = values.astype(float).to_numpy()
        low, high = self._scale(np.array([self.low, self.high], float))
        share = (self._scale(np.clip(number, self.low, self.high)) - low) / (high - low)
        return np.where(np.isnan(number), 0.0, encode_share(share))[:, None]

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, 1] into values; below 0.1 is a missing value, if there are any."""
        low, high = self._scale(np.array([self.low, self.high], float))
        scaled = low + decode_share(levels[:, 0]) * (high - low)
        lost = self.missing & (levels[:, 0] < MISSING_LEVEL)
        return pd.Series(np.where(lost, np.nan, np.exp(scaled) if self.log else scaled))


@dataclass(frozen=True, kw_only=True)
class QuantileChannel:
    """A number painted as its rank among the trips, so that all levels are used alike and spikes stay spikes.

    A value may fill several steps, as the filler birth year 1969 does. It is spread over them by chance when it is
    painted, and comes back exactly. Level 0 is a missing value, if there are any.

    Attributes
    ----------
    column : str
        The attribute.
    values : tuple of float
        The inverse cumulative distribution at even steps, in the attribute's unit.
    whole : bool
        Whether only values of `values` come back, none between them.
    missing : bool
        Whether a level below 0.1 is a missing value.
    """

    column: str
    values: tuple[float, ...] = ()
    whole: bool = False
    missing: bool = True
    kind: str = "quantile"
    planes: int = 1

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Read the quantile function from data, and note whether values are missing."""
        number = values.dropna().astype(float)
        if self.values or not len(number):
            return self if self.values else replace(self, values=(0.0, 1.0))
        whole = bool((number == number.round()).all()) and number.nunique() < QUANTILE_KNOTS
        missing = bool(values.isna().any())
        return replace(
            self, values=_find_knots(number, whole=whole, count=QUANTILE_KNOTS), whole=whole, missing=missing
        )

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into levels, by their rank.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip.
        rng : numpy.random.Generator
            Spreads equal values over the steps they fill.
        features : DataFrame, optional
            Not used.

        Returns
        -------
        (N, 1) float
            Levels in {0} ∪ [0.2, 1]; 0 for a missing value.
        """
        return self.paint(values, rng.random(len(values)))

    def paint(self, values: pd.Series, chance: NDArray) -> NDArray:
        """Turn values into levels [N, 1]; equal values are spread by `chance` [N], numbers in [0, 1)."""
        # The steps that each value fills: first … last, or none where it lies between two of them.
        knots, number = np.asarray(self.values), values.astype(float).to_numpy()
        first, last = np.searchsorted(knots, number, "left"), np.searchsorted(knots, number, "right") - 1

        # Its rank in steps: by chance among those it fills, else between its neighbours.
        tie = np.where(last >= first, first + chance * (last - first), 0.0)
        between = np.interp(number, knots, np.arange(len(knots)))
        rank = np.where(last >= first, tie, between) / (len(knots) - 1)
        return np.where(np.isnan(number), 0.0, encode_share(rank))[:, None]

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, 1] into values; below 0.1 is a missing value, if there are any."""
        knots = np.asarray(self.values)
        rank = decode_share(levels[:, 0]) * (len(knots) - 1)
        between = np.interp(rank, np.arange(len(knots)), knots)
        number = knots[np.rint(rank).astype(int)] if self.whole else between
        return pd.Series(np.where(self.missing & (levels[:, 0] < MISSING_LEVEL), np.nan, number))

    def find_groups(self, features: pd.DataFrame | None, count: int) -> NDArray:
        """Return the group each of `count` trips is ranked in, int64 [N]: there is only one."""
        return np.zeros(count, np.int64)


def _find_knots(number: pd.Series, *, whole: bool, count: int) -> tuple[float, ...]:
    """Return the inverse cumulative distribution at up to `count` even steps, without the extremes."""
    # Many steps leave out one trip in a thousand at either end; few stand in the middle of their share.
    count = min(count, QUANTILE_KNOTS)
    steps = np.linspace(0.001, 0.999, count) if count == QUANTILE_KNOTS else (np.arange(count) + 0.5) / count
    knots = number.quantile(steps, interpolation="nearest" if whole else "linear")
    return tuple(float(f"{knot:.6g}") for knot in knots)


@dataclass(frozen=True, kw_only=True)
class ConditionalChannel:
    """A number painted as its rank among trips like it: see `rasterize.strokes.regression_tree`.

    A generator then need not learn how long a trip of 2 km takes, or how old commuters are. It learns only that ranks
    are spread evenly.

    Attributes
    ----------
    column : str
        The attribute.
    tree : Tree
        Which trips are alike.
    groups : tuple of tuple of float
        A quantile function for each leaf of the tree; no knot rests on fewer than `TRIPS_PER_KNOT` training trips.
    whole, missing : bool
        See `QuantileChannel`.
    """

    column: str
    tree: Tree = Tree()
    groups: tuple[tuple[float, ...], ...] = ()
    whole: bool = False
    missing: bool = True
    kind: str = "conditional"
    planes: int = 1

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Find trips alike and read their quantile functions from data, and note whether values are missing."""
        # The quantile function of all trips: what there is without features.
        all_trips = QuantileChannel(column=self.column).fit(values)
        present = values.notna().to_numpy()
        number, tree = values[present].astype(float), Tree()

        # Grow the tree; on logarithms where values are positive and continuous, as durations are.
        if features is not None and len(number):
            scale = np.log if (number > 0).all() and not all_trips.whole else np.asarray
            tree = Tree.fit(scale(number.to_numpy()), features[present])

        # One quantile function per leaf.
        groups = (all_trips.values,)
        if tree.leaves > 1:
            leaves = number.groupby(tree.find_leaf(features[present]))
            groups = tuple(
                _find_knots(leaf, whole=all_trips.whole, count=_count_knots(len(leaf))) for _, leaf in leaves
            )
        return replace(self, tree=tree, groups=groups, whole=all_trips.whole, missing=all_trips.missing)

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into levels, by their rank in their group.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip.
        rng : numpy.random.Generator
            Spreads equal values over the steps they fill.
        features : DataFrame, optional
            What pictures tell of the trips; needed if the tree has leaves.

        Returns
        -------
        (N, 1) float
            Levels in {0} ∪ [0.2, 1]; 0 for a missing value.
        """
        levels, chance = np.empty((len(values), 1)), rng.random(len(values))
        for rows, channel in self._split_groups(len(values), features):
            levels[rows] = channel.paint(values.iloc[rows], chance[rows])
        return levels

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, 1] into values; below 0.1 is a missing value, if there are any."""
        values = np.empty(len(levels))
        for rows, channel in self._split_groups(len(levels), features):
            values[rows] = channel.decode(levels[rows])
        return pd.Series(values)

    def find_groups(self, features: pd.DataFrame | None, count: int) -> NDArray:
        """Return the group each of `count` trips is ranked in, as an index into `groups`, int64 [N]."""
        assert features is not None or self.tree.leaves == 1, "a channel that was fitted to features needs them"
        return np.zeros(count, np.int64) if features is None else self.tree.find_leaf(features)

    def _split_groups(self, count: int, features: pd.DataFrame | None) -> Iterator[tuple[NDArray, QuantileChannel]]:
        """Yield the trips of each group, and its channel."""
        group = self.find_groups(features, count)
        for index in np.unique(group):
            channel = QuantileChannel(
                column=self.column, values=self.groups[index], whole=self.whole, missing=self.missing
            )
            yield np.flatnonzero(group == index), channel


def _count_knots(trips: int) -> int:
    """Return how many knots the quantile function of so many trips alike has."""
    return min(LEAF_KNOTS, trips // TRIPS_PER_KNOT)


@dataclass(frozen=True, kw_only=True)
class CyclicChannel:
    """A cyclic number (time of day in hours) painted as cosine and sine, so that 23:59 lies beside 0:00.

    Attributes
    ----------
    column : str
        The attribute.
    period : float
        After how much it comes round, in its own unit.
    """

    column: str
    period: float = 24.0
    kind: str = "cyclic"
    planes: int = 2

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Return the channel itself: its period is not fitted."""
        return self

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into cosine and sine.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip.
        rng : numpy.random.Generator
            Not used.
        features : DataFrame, optional
            Not used.

        Returns
        -------
        (N, 2) float
            Levels from −1 to 1; (0, 0) for a missing value.
        """
        angle = values.astype(float).to_numpy() * (2 * np.pi / self.period)
        return np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, 2] into values in [0, period); a vector shorter than 0.1 is a missing value."""
        angle = np.arctan2(levels[:, 1], levels[:, 0]) % (2 * np.pi)
        value = angle * (self.period / (2 * np.pi)) % self.period
        return pd.Series(np.where(np.hypot(levels[:, 0], levels[:, 1]) < MISSING_LEVEL, np.nan, value))


@dataclass(frozen=True, kw_only=True)
class CategoryChannel:
    """A category painted as one plane per value, 1 where the trip has it; all planes 0 is a missing value.

    Attributes
    ----------
    column : str
        The attribute.
    values : tuple of str
        The categories, in the order of their planes.
    """

    column: str
    values: tuple[str, ...] = ()
    kind: str = "category"

    @property
    def planes(self) -> int:
        """One plane per value."""
        return len(self.values)

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """List the values that occur."""
        return self if self.values else replace(self, values=list_values(self.column, values))

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Turn values into indicators.

        Parameters
        ----------
        values : (N,) Series
            The attribute of each trip.
        rng : numpy.random.Generator
            Not used.
        features : DataFrame, optional
            Not used.

        Returns
        -------
        (N, planes) float
            1 in the plane of the value, 0 elsewhere and for a missing value.
        """
        return (values.to_numpy(dtype=object)[:, None] == np.array(self.values, dtype=object)[None, :]).astype(float)

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Turn levels [N, planes] into the value of the brightest plane; missing if that is below 0.5 / planes."""
        best = levels.argmax(axis=1)
        value = np.array(self.values, dtype=object)[best]
        return pd.Series(np.where(levels.max(axis=1) < 0.5 / len(self.values), None, value), dtype="str")


CHANNEL_KINDS: Mapping[str, type] = {
    "linear": LinearChannel,
    "quantile": QuantileChannel,
    "conditional": ConditionalChannel,
    "cyclic": CyclicChannel,
    "category": CategoryChannel,
}


def plane_slices(channels: Sequence[Channel]) -> Iterator[tuple[Channel, slice]]:
    """Yield each channel with the painted planes it fills, counted from the first painted one."""
    first = 0
    for channel in channels:
        yield channel, slice(first, first + channel.planes)
        first += channel.planes


def channel_to_json(channel: Channel) -> dict[str, Any]:
    """Return a channel as a JSON object."""
    return asdict(channel)


def channel_from_json(value: Mapping[str, Any]) -> Channel:
    """Read the JSON object of `channel_to_json`; raises `InputError` on an unknown kind."""
    kind = CHANNEL_KINDS.get(value["kind"])
    if kind is None:
        kinds = ", ".join(CHANNEL_KINDS)
        raise InputError(f"channel '{value['column']}': unknown kind '{value['kind']}'; known kinds: {kinds}")
    fields = _as_tuples(value)
    if "tree" in fields:
        fields["tree"] = Tree(**fields["tree"])
    return kind(**fields)


def _as_tuples(value: Any) -> Any:
    """Turn the lists of a JSON value, wherever they are, into tuples."""
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


# How each attribute enters the picture unless the user says otherwise: a label factor, or a kind of painted channel.
# Hours, user types and genders are better labels than paint; durations and birth years must be ranks among trips alike
# (docs/fidelity.md, "What was tried").
DEFAULT_ATTRIBUTES: Mapping[str, str] = {
    "hour": "factor",
    "day_of_week": "factor",
    "user_type": "factor",
    "gender": "factor",
    "rideable_type": "factor",
    "duration_s": "conditional",
    "birth_year": "conditional",
}


def read_attribute(trips: pd.DataFrame, name: str) -> pd.Series:
    """Return one attribute of each trip: a column of the table, or a reading of the clock at its start."""
    return read_clock(trips["started_at"], name) if name in CLOCK_ATTRIBUTES else trips[name]


def choose_attributes(
    trips: pd.DataFrame,
    choice: Mapping[str, str] | None = None,
    fit_on: Callable[[Sequence[Factor]], tuple[NDArray, pd.DataFrame]] | None = None,
) -> tuple[tuple[Channel, ...], tuple[Factor, ...]]:
    """Choose channels and factors for the attributes a table has, and fit them to it.

    Parameters
    ----------
    trips : DataFrame or TripFile
        Training trips in the internal names.
    choice : mapping of str to str, optional
        Overrides `DEFAULT_ATTRIBUTES` name by name: "factor", a kind of channel, or "off".
    fit_on : callable, optional
        Given the factors, returns the rows to which channels are fitted, and the features of these trips. See
        `StrokeSpec.trip_features`. By default all rows, without features.

    Returns
    -------
    channels : tuple of Channel
        In the order of their planes.
    factors : tuple of Factor
        In the order of their labels.

    Raises
    ------
    InputError
        `choice` names an attribute or a kind that there is not.
    """
    # Which attributes are shown, and how: those the table has, or its clock tells.
    _check_choice(choice or {}, {*DEFAULT_ATTRIBUTES, *CLOCK_ATTRIBUTES, *trips.columns})
    shown = {
        name: kind
        for name, kind in {**DEFAULT_ATTRIBUTES, **(choice or {})}.items()
        if kind != "off" and name in (*CLOCK_ATTRIBUTES, *trips.columns)
    }

    # Factors first, since conditional channels are fitted to them too.
    factors = tuple(
        Factor(name=name).fit(read_attribute(trips, name)) for name, kind in shown.items() if kind == "factor"
    )
    rows, features = (slice(None), None) if fit_on is None else fit_on(factors)
    channels = tuple(
        CHANNEL_KINDS[kind](column=name).fit(read_attribute(trips, name).iloc[rows].reset_index(drop=True), features)
        for name, kind in shown.items()
        if kind != "factor"
    )
    return channels, factors


def _check_choice(choice: Mapping[str, str], names: set[str]) -> None:
    """Raise `InputError` on an attribute that is not among `names`, or a kind that there is not."""
    kinds = {"factor", "off", *CHANNEL_KINDS}
    for name, kind in choice.items():
        if name not in names or kind not in kinds:
            raise InputError(
                f"attribute '{name}={kind}' is unknown; attributes: {', '.join(sorted(names))}; "
                f"ways to show them: {', '.join(sorted(kinds))}"
            )
