"""Trip attributes in pictures: painted channels and label factors, each with `encode` beside its `decode`."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from rasterize.clock import CLOCK_ATTRIBUTES, DAYS, HOURS, clock_values
from rasterize.errors import InputError

FACTOR_LIMIT = 256  # values of one factor; more would leave most of them almost without images
QUANTILE_KNOTS = 257


class Channel(Protocol):
    """A trip attribute painted along the stroke: some planes, and the way from values to levels and back."""

    column: str
    planes: int

    def fit(self, values: pd.Series) -> Self:
        """The same channel with its open bounds set from data."""
        ...

    def encode(self, values: pd.Series, rng: np.random.Generator) -> NDArray:
        """Values → levels, [N, planes]."""
        ...

    def decode(self, levels: NDArray) -> pd.Series:
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

    def fit(self, values: pd.Series) -> Self:
        """Set open bounds to robust quantiles, and note whether values are missing."""
        known = values.dropna().astype(float)
        low, high = (float(q) for q in known.quantile([0.001, 0.999])) if len(known) else (0.0, 1.0)
        low = low if self.low is None else self.low
        high = high if self.high is None else self.high
        missing = bool(values.isna().any())
        return replace(self, low=low, high=high if high > low else low + 1.0, missing=missing)

    def _scale(self, values: NDArray) -> NDArray:
        return np.log(np.maximum(values, 1e-9)) if self.log else values

    def encode(self, values: pd.Series, rng: np.random.Generator) -> NDArray:
        """Values → levels in {0} ∪ [0.2, 1], [N, 1]; values outside the bounds are clipped to them."""
        number = values.astype(float).to_numpy()
        low, high = self._scale(np.array([self.low, self.high], float))
        share = (self._scale(np.clip(number, self.low, self.high)) - low) / (high - low)
        return np.where(np.isnan(number), 0.0, 0.2 + 0.8 * share)[:, None]

    def decode(self, levels: NDArray) -> pd.Series:
        """Levels → values; below 0.1 is a missing value, if there are any."""
        low, high = self._scale(np.array([self.low, self.high], float))
        scaled = low + np.clip((levels[:, 0] - 0.2) / 0.8, 0, 1) * (high - low)
        lost = self.missing & (levels[:, 0] < 0.1)
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

    def fit(self, values: pd.Series) -> Self:
        """Read the quantile function from data, and note whether values are missing."""
        known = values.dropna().astype(float)
        if self.values or not len(known):
            return self if self.values else replace(self, values=(0.0, 1.0))
        whole = bool((known == known.round()).all()) and known.nunique() < QUANTILE_KNOTS
        steps = np.linspace(0.001, 0.999, QUANTILE_KNOTS)
        method = "nearest" if whole else "linear"
        knots = known.quantile(steps, interpolation=method)
        missing = bool(values.isna().any())
        return replace(self, values=tuple(float(f"{knot:.6g}") for knot in knots), whole=whole, missing=missing)

    def encode(self, values: pd.Series, rng: np.random.Generator) -> NDArray:
        """Values → levels in {0} ∪ [0.2, 1], [N, 1]; `rng` spreads ties over the steps they fill."""
        knots, number = np.asarray(self.values), values.astype(float).to_numpy()
        first, last = np.searchsorted(knots, number, "left"), np.searchsorted(knots, number, "right") - 1
        tie = np.where(last >= first, first + rng.random(len(number)) * (last - first), 0.0)
        between = np.interp(number, knots, np.arange(len(knots)))
        rank = np.where(last >= first, tie, between) / (len(knots) - 1)
        return np.where(np.isnan(number), 0.0, 0.2 + 0.8 * rank)[:, None]

    def decode(self, levels: NDArray) -> pd.Series:
        """Levels → values; below 0.1 is a missing value, if there are any."""
        knots = np.asarray(self.values)
        rank = np.clip((levels[:, 0] - 0.2) / 0.8, 0, 1) * (len(knots) - 1)
        between = np.interp(rank, np.arange(len(knots)), knots)
        number = knots[np.rint(rank).astype(int)] if self.whole else between
        return pd.Series(np.where(self.missing & (levels[:, 0] < 0.1), np.nan, number))


@dataclass(frozen=True, kw_only=True)
class CyclicChannel:
    """A cyclic number (time of day in hours) painted as cosine and sine, so that 23:59 lies beside 0:00."""

    column: str
    period: float = 24.0
    kind: str = "cyclic"
    planes: int = 2

    def fit(self, values: pd.Series) -> Self:
        """Nothing to fit: the period is known."""
        return self

    def encode(self, values: pd.Series, rng: np.random.Generator) -> NDArray:
        """Values → (cos, sin), [N, 2]; a missing value is (0, 0)."""
        angle = values.astype(float).to_numpy() * (2 * np.pi / self.period)
        return np.nan_to_num(np.stack([np.cos(angle), np.sin(angle)], axis=1))

    def decode(self, levels: NDArray) -> pd.Series:
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

    def fit(self, values: pd.Series) -> Self:
        """List the values met."""
        return self if self.values else replace(self, values=known_values(self.column, values))

    def encode(self, values: pd.Series, rng: np.random.Generator) -> NDArray:
        """Values → indicator levels, [N, len(values)]."""
        return (values.to_numpy(dtype=object)[:, None] == np.array(self.values, dtype=object)[None, :]).astype(float)

    def decode(self, levels: NDArray) -> pd.Series:
        """The brightest plane; if that is below 0.5 / len(values), a missing value."""
        best = levels.argmax(axis=1)
        value = np.array(self.values, dtype=object)[best]
        return pd.Series(np.where(levels.max(axis=1) < 0.5 / len(self.values), None, value), dtype="str")


@dataclass(frozen=True, kw_only=True)
class Factor:
    """A label shared by all trips of an image; its values in a fixed order, the empty text for a missing value."""

    name: str
    values: tuple[str, ...] = ()

    def fit(self, values: pd.Series) -> Self:
        """List the values met."""
        return self if self.values else replace(self, values=known_values(self.name, values))

    def encode(self, values: pd.Series) -> NDArray:
        """Values → their index, int16 [N]; raises `InputError` on a value that is not listed."""
        index = pd.Index(self.values).get_indexer(values.astype(object).fillna("").astype(str))
        if (index < 0).any():
            strange = values[index < 0].iloc[0]
            raise InputError(f"factor '{self.name}' has no value '{strange}'; known values: {', '.join(self.values)}")
        return index.astype(np.int16)

    def decode(self, index: NDArray) -> pd.Series:
        """Index → values; the empty text becomes a missing value."""
        value = np.array(self.values, dtype=object)[index]
        return pd.Series(np.where(value == "", None, value), dtype="str")


def known_values(name: str, values: pd.Series) -> tuple[str, ...]:
    """The values of a category: hours and days in their order, others sorted; at most `FACTOR_LIMIT`."""
    fixed = {"hour": HOURS, "day_of_week": DAYS}.get(name)
    if fixed:
        return fixed
    found = tuple(sorted(values.astype(object).fillna("").astype(str).unique()))
    if len(found) > FACTOR_LIMIT:
        raise InputError(f"'{name}' has {len(found)} values, more than {FACTOR_LIMIT}; paint it or leave it out")
    return found


CHANNEL_KINDS: Mapping[str, type] = {
    "linear": LinearChannel,
    "quantile": QuantileChannel,
    "cyclic": CyclicChannel,
    "category": CategoryChannel,
}


def channel_to_json(channel: Channel) -> dict[str, Any]:
    """A channel as a JSON object."""
    return asdict(channel)


def channel_from_json(value: Mapping[str, Any]) -> Channel:
    """The inverse of `channel_to_json`; raises `InputError` on an unknown kind."""
    kind = CHANNEL_KINDS.get(value["kind"])
    if kind is None:
        known = ", ".join(CHANNEL_KINDS)
        raise InputError(f"channel '{value['column']}': unknown kind '{value['kind']}'; known kinds: {known}")
    return kind(**{key: tuple(item) if isinstance(item, list) else item for key, item in value.items()})


#: How each attribute enters the picture unless the user says otherwise: a factor, or a kind of painted channel.
DEFAULT_ATTRIBUTES: Mapping[str, str] = {
    "hour": "factor",
    "day_of_week": "factor",
    "user_type": "factor",
    "gender": "factor",
    "rideable_type": "factor",
    "duration_s": "quantile",
    "birth_year": "quantile",
}


def attribute_values(trips: pd.DataFrame, name: str) -> pd.Series:
    """One attribute of each trip: a column of the table, or a reading of the clock at its start."""
    return clock_values(trips["started_at"], name) if name in CLOCK_ATTRIBUTES else trips[name]


def choose_attributes(
    trips: pd.DataFrame, choice: Mapping[str, str] | None = None
) -> tuple[tuple[Channel, ...], tuple[Factor, ...]]:
    """Channels and factors for the attributes a table has, fitted to it.

    `choice` overrides `DEFAULT_ATTRIBUTES` name by name: "factor", a channel kind, or "off".
    """
    choice = choice or {}
    known = {*DEFAULT_ATTRIBUTES, *CLOCK_ATTRIBUTES, *trips.columns}
    kinds = {"factor", "off", *CHANNEL_KINDS}
    for name, kind in choice.items():
        if name not in known or kind not in kinds:
            raise InputError(
                f"attribute '{name}={kind}' is unknown; attributes: {', '.join(sorted(known))}; "
                f"ways to show them: {', '.join(sorted(kinds))}"
            )
    channels, factors = [], []
    for name, kind in {**DEFAULT_ATTRIBUTES, **choice}.items():
        if kind == "off" or name not in (*CLOCK_ATTRIBUTES, *trips.columns):
            continue
        values = attribute_values(trips, name)
        if kind == "factor":
            factors.append(Factor(name=name).fit(values))
        else:
            channels.append(CHANNEL_KINDS[kind](column=name).fit(values))
    return tuple(channels), tuple(factors)
