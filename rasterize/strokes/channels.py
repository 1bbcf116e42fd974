"""Trip attributes in pictures: painted channels and label factors, each with `encode` beside its `decode`."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, clock_values
from rasterize.errors import InputError
from rasterize.spec import Factor, known_values
from rasterize.strokes.regression_tree import Tree

LOWEST_LEVEL, MISSING_LEVEL = 0.2, 0.1  # of a value that is there; below which there is none
QUANTILE_KNOTS = 257
LEAF_KNOTS, TRIPS_PER_KNOT = 65, 4  # of conditional quantile functions: most knots, fewest trips for each


def level_of(share: NDArray) -> NDArray:
    """Where a value stands in its range, 0 to 1 → its level, `LOWEST_LEVEL` to 1."""
    return LOWEST_LEVEL + (1 - LOWEST_LEVEL) * share


def share_of(level: NDArray) -> NDArray:
    """The inverse of `level_of`, clipped to the range."""
    return np.clip((level - LOWEST_LEVEL) / (1 - LOWEST_LEVEL), 0, 1)


class Channel(Protocol):
    """A trip attribute painted along the stroke: some planes, and the way from values to levels and back.

    `features` is what else a trip tells, see `StrokeSpec.trip_features`; only a conditional channel looks at it.
    """

    column: str
    planes: int

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """The same channel with its open bounds set from data."""
        ...

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → levels, [N, planes]."""
        ...

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Levels [N, planes] → values."""
        ...


@dataclass(frozen=True, kw_only=True)
class LinearChannel:
    """A number painted as intensity: `low` is level 0.2, `high` is 1; level 0 is a missing value, if there are any.

    Bounds left open are the 0.1 % and 99.9 % quantiles of the data, never its minimum and maximum.
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
        return np.log(np.maximum(values, 1e-9)) if self.log else values

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → levels in {0} ∪ [0.2, 1], [N, 1]; values outside the bounds are clipped to them."""
        number = values.astype(float).to_numpy()
        low, high = self._scale(np.array([self.low, self.high], float))
        share = (self._scale(np.clip(number, self.low, self.high)) - low) / (high - low)
        return np.where(np.isnan(number), 0.0, level_of(share))[:, None]

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Levels → values; below 0.1 is a missing value, if there are any."""
        low, high = self._scale(np.array([self.low, self.high], float))
        scaled = low + share_of(levels[:, 0]) * (high - low)
        lost = self.missing & (levels[:, 0] < MISSING_LEVEL)
        return pd.Series(np.where(lost, np.nan, np.exp(scaled) if self.log else scaled))


@dataclass(frozen=True, kw_only=True)
class QuantileChannel:
    """A number painted as its rank among the trips, so that all levels are used alike and spikes stay spikes.

    `values` are the inverse cumulative distribution at even steps; a value that fills several steps (the filler
    birth year 1969) is spread over them by chance when painted and comes back exactly. Level 0 is a missing value, if
    there are any.
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
        return replace(self, values=_knots(number, whole=whole, count=QUANTILE_KNOTS), whole=whole, missing=missing)

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → levels in {0} ∪ [0.2, 1], [N, 1]; `rng` spreads ties over the steps they fill."""
        return self.paint(values, rng.random(len(values)))

    def paint(self, values: pd.Series, chance: NDArray) -> NDArray:
        """Values → levels, [N, 1]; ties are spread by `chance`, a number in [0, 1) per value."""
        knots, number = np.asarray(self.values), values.astype(float).to_numpy()
        first, last = np.searchsorted(knots, number, "left"), np.searchsorted(knots, number, "right") - 1
        tie = np.where(last >= first, first + chance * (last - first), 0.0)
        between = np.interp(number, knots, np.arange(len(knots)))
        rank = np.where(last >= first, tie, between) / (len(knots) - 1)
        return np.where(np.isnan(number), 0.0, level_of(rank))[:, None]

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Levels → values; below 0.1 is a missing value, if there are any."""
        knots = np.asarray(self.values)
        rank = share_of(levels[:, 0]) * (len(knots) - 1)
        between = np.interp(rank, np.arange(len(knots)), knots)
        number = knots[np.rint(rank).astype(int)] if self.whole else between
        return pd.Series(np.where(self.missing & (levels[:, 0] < MISSING_LEVEL), np.nan, number))

    def find_groups(self, features: pd.DataFrame | None, count: int) -> NDArray:
        """The group each of `count` trips is ranked in, int64 [N]: there is one."""
        return np.zeros(count, np.int64)


def _knots(number: pd.Series, *, whole: bool, count: int) -> tuple[float, ...]:
    """The inverse cumulative distribution at up to `count` even steps, without the extremes."""
    count = min(count, QUANTILE_KNOTS)
    steps = np.linspace(0.001, 0.999, count) if count == QUANTILE_KNOTS else (np.arange(count) + 0.5) / count
    knots = number.quantile(steps, interpolation="nearest" if whole else "linear")
    return tuple(float(f"{knot:.6g}") for knot in knots)


@dataclass(frozen=True, kw_only=True)
class ConditionalChannel:
    """A number painted as its rank among trips like it: see `rasterize.strokes.regression_tree`.

    A generator then need not learn how long a trip of 2 km takes, or how old those are who ride to the station at
    eight, only that ranks are spread evenly. `groups` are the quantile functions of the tree's leaves. No knot rests on
    fewer than `TRIPS_PER_KNOT` training trips.
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
        all_trips = QuantileChannel(column=self.column).fit(values)
        there = values.notna().to_numpy()
        number, tree = values[there].astype(float), Tree()
        if features is not None and len(number):
            scale = np.log if (number > 0).all() and not all_trips.whole else np.asarray  # as durations are spread
            tree = Tree.fit(scale(number.to_numpy()), features[there])
        groups = (all_trips.values,)
        if tree.leaves > 1:
            parts = number.groupby(tree.leaf_of(features[there]))
            groups = tuple(_knots(part, whole=all_trips.whole, count=_knots_of(len(part))) for _, part in parts)
        return replace(self, tree=tree, groups=groups, whole=all_trips.whole, missing=all_trips.missing)

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → levels in {0} ∪ [0.2, 1], [N, 1]; `rng` spreads ties over the steps they fill."""
        levels, chance = np.empty((len(values), 1)), rng.random(len(values))
        for rows, channel in self._parts(len(values), features):
            levels[rows] = channel.paint(values.iloc[rows], chance[rows])
        return levels

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Levels → values; below 0.1 is a missing value, if there are any."""
        values = np.empty(len(levels))
        for rows, channel in self._parts(len(levels), features):
            values[rows] = channel.decode(levels[rows])
        return pd.Series(values)

    def find_groups(self, features: pd.DataFrame | None, count: int) -> NDArray:
        """The group each of `count` trips is ranked in, as an index into `groups`, int64 [N]."""
        assert features is not None or self.tree.leaves == 1, "what is known when fitting is known ever after"
        return np.zeros(count, np.int64) if features is None else self.tree.leaf_of(features)

    def _parts(self, count: int, features: pd.DataFrame | None) -> Iterator[tuple[NDArray, QuantileChannel]]:
        """The trips of each group, and its channel."""
        group = self.find_groups(features, count)
        for place in np.unique(group):
            knots = QuantileChannel(
                column=self.column, values=self.groups[place], whole=self.whole, missing=self.missing
            )
            yield np.flatnonzero(group == place), knots


def _knots_of(trips: int) -> int:
    """Knots of the quantile function of so many trips alike."""
    return min(LEAF_KNOTS, trips // TRIPS_PER_KNOT)


@dataclass(frozen=True, kw_only=True)
class CyclicChannel:
    """A cyclic number (time of day in hours) painted as cosine and sine, so that 23:59 lies beside 0:00."""

    column: str
    period: float = 24.0
    kind: str = "cyclic"
    planes: int = 2

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """Nothing to fit: the period is known."""
        return self

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → (cos, sin), [N, 2]; a missing value is (0, 0)."""
        angle = values.astype(float).to_numpy() * (2 * np.pi / self.period)
        return np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """Levels → values in [0, period); shorter than 0.1 is a missing value."""
        angle = np.arctan2(levels[:, 1], levels[:, 0]) % (2 * np.pi)
        value = angle * (self.period / (2 * np.pi)) % self.period
        return pd.Series(np.where(np.hypot(levels[:, 0], levels[:, 1]) < 0.1, np.nan, value))


@dataclass(frozen=True, kw_only=True)
class CategoryChannel:
    """A category painted as one plane per value, 1 where the trip has it; all planes 0 is a missing value."""

    column: str
    values: tuple[str, ...] = ()
    kind: str = "category"

    @property
    def planes(self) -> int:
        """One plane per value."""
        return len(self.values)

    def fit(self, values: pd.Series, features: pd.DataFrame | None = None) -> Self:
        """List the values met."""
        return self if self.values else replace(self, values=known_values(self.column, values))

    def encode(self, values: pd.Series, rng: np.random.Generator, features: pd.DataFrame | None = None) -> NDArray:
        """Values → indicator levels, [N, len(values)]."""
        return (values.to_numpy(dtype=object)[:, None] == np.array(self.values, dtype=object)[None, :]).astype(float)

    def decode(self, levels: NDArray, features: pd.DataFrame | None = None) -> pd.Series:
        """The brightest plane; if that is below 0.5 / len(values), a missing value."""
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
    """A channel as a JSON object."""
    return asdict(channel)


def channel_from_json(value: Mapping[str, Any]) -> Channel:
    """The inverse of `channel_to_json`; raises `InputError` on an unknown kind."""
    kind = CHANNEL_KINDS.get(value["kind"])
    if kind is None:
        kinds = ", ".join(CHANNEL_KINDS)
        raise InputError(f"channel '{value['column']}': unknown kind '{value['kind']}'; known kinds: {kinds}")
    fields = _as_tuples(value)
    if "tree" in fields:
        fields["tree"] = Tree(**fields["tree"])
    return kind(**fields)


def _as_tuples(value: Any) -> Any:
    """Lists of JSON, wherever they are, as tuples."""
    if isinstance(value, dict):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(map(_as_tuples, value)) if isinstance(value, list) else value


#: How each attribute enters the picture unless the user says otherwise: a factor, or a kind of painted channel.
DEFAULT_ATTRIBUTES: Mapping[str, str] = {
    "hour": "factor",
    "day_of_week": "factor",
    "user_type": "factor",
    "gender": "factor",
    "rideable_type": "factor",
    "duration_s": "conditional",
    "birth_year": "conditional",
}


def attribute_values(trips: pd.DataFrame, name: str) -> pd.Series:
    """One attribute of each trip: a column of the table, or a reading of the clock at its start."""
    return clock_values(trips["started_at"], name) if name in CLOCK_ATTRIBUTES else trips[name]


def choose_attributes(
    trips: pd.DataFrame,
    choice: Mapping[str, str] | None = None,
    fit_on: Callable[[Sequence[Factor]], tuple[NDArray, pd.DataFrame]] | None = None,
) -> tuple[tuple[Channel, ...], tuple[Factor, ...]]:
    """Channels and factors for the attributes a table has, fitted to it.

    `choice` overrides `DEFAULT_ATTRIBUTES` name by name: "factor", a channel kind, or "off". `fit_on`, given the
    factors, tells to which rows channels are fitted, and the features of these, see `StrokeSpec.trip_features`.
    """
    choice = choice or {}
    names = {*DEFAULT_ATTRIBUTES, *CLOCK_ATTRIBUTES, *trips.columns}
    kinds = {"factor", "off", *CHANNEL_KINDS}
    for name, kind in choice.items():
        if name not in names or kind not in kinds:
            raise InputError(
                f"attribute '{name}={kind}' is unknown; attributes: {', '.join(sorted(names))}; "
                f"ways to show them: {', '.join(sorted(kinds))}"
            )
    shown = {
        name: kind
        for name, kind in {**DEFAULT_ATTRIBUTES, **choice}.items()
        if kind != "off" and name in (*CLOCK_ATTRIBUTES, *trips.columns)
    }
    factors = tuple(
        Factor(name=name).fit(attribute_values(trips, name)) for name, kind in shown.items() if kind == "factor"
    )
    rows, features = (slice(None), None) if fit_on is None else fit_on(factors)
    channels = tuple(
        CHANNEL_KINDS[kind](column=name).fit(attribute_values(trips, name).iloc[rows].reset_index(drop=True), features)
        for name, kind in shown.items()
        if kind != "factor"
    )
    return channels, factors
