"""The rules of single columns: what a publisher's value means, read (SQL, or straight) and written side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar
from uuid import UUID

from rasterize.formats.times import TimeFormat

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from numpy.typing import NDArray

FIX_STEP_S = 15.0  # Porto: seconds between two fixes of a polyline
CELL_PREFIX = "cell:"  # of the ids of grid cells, see `rasterize.ingest.stations`
MADE_UP_FROM = 90_000_001  # made-up counters start here, above every number a publisher has given out


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one file spells things: what rules need to write a column back."""

    times: Mapping[str, TimeFormat] = field(default_factory=dict)  # by internal name
    genders: Mapping[str, str] = field(default_factory=dict)  # unknown, male, female → the file's word
    decimals: Mapping[str, int] = field(default_factory=dict)  # of coordinates, by internal name
    step_s: int = 1  # the publisher rounds times down to this


@dataclass(frozen=True)
class Rule:
    """A column kept as text, trimmed; the other rules change what they need to.

    `read` gets an SQL expression and the kind of its type ("text", "integer", "float", "timestamp" or "other") and
    gives SQL of the internal type. `write` is its inverse on a table of trips with internal names.

    `straight` says as what the cells of a clean CSV can be read without SQL (see `read_arrow`): "word" (a text of
    which there are few, see `read_word`), "text", "number" (see `read_numbers`), "time", or "" for not at all.
    """

    straight: ClassVar[str] = "word"

    def read_word(self, word: str) -> str | None:
        """What `read` makes of a text."""
        return word.strip(" ") or None

    def read_numbers(self, numbers: "NDArray") -> "NDArray":
        """What `read` makes of numbers, float64 [N]; NaN is a missing value, before and after."""
        return numbers

    def read(self, expression: str, kind: str) -> str:
        """SQL of the internal value; NULL where the value is missing or makes no sense."""
        if kind == "float":  # an id that went through floats: 72.0 is station 72
            whole = f"CAST(CAST({expression} AS BIGINT) AS VARCHAR)"
            return f"CASE WHEN {expression} = trunc({expression}) THEN {whole} ELSE CAST({expression} AS VARCHAR) END"
        return f"nullif(trim(CAST({expression} AS VARCHAR)), '')"

    def write(self, trips: "pd.DataFrame", name: str, style: Style, rng: "np.random.Generator") -> "pd.Series":
        """Values of the column for each trip; missing ones are null. `name` is the internal column."""
        return trips[name] if name in trips else _blank(trips)


@dataclass(frozen=True)
class Ignored(Rule):
    """A column that no internal one holds: always written as the same `value`, by default empty."""

    value: str | bool | None = None

    def write(self, trips, name, style, rng):
        """The same value in every row."""
        import pandas as pd

        return pd.Series([self.value] * len(trips), index=trips.index, dtype=object)


@dataclass(frozen=True)
class Station(Rule):
    """Id or name of a station; empty where a trip starts or ends in the open, which we hold as a grid cell."""

    def write(self, trips, name, style, rng):
        """The text, null for cells."""
        if name not in trips:
            return _blank(trips)
        return trips[name].mask(_in_the_open(trips, name))


@dataclass(frozen=True)
class Number(Rule):
    """A number as it is."""

    straight = "number"

    def read(self, expression, kind):
        """The number, NULL for anything else."""
        return f"TRY_CAST({expression} AS DOUBLE)"


@dataclass(frozen=True)
class Degrees(Number):
    """A coordinate; 0 is a missing one."""

    def read(self, expression, kind):
        """Degrees, NULL where they are no finite number. 0 is left for the count of rejects."""
        number = super().read(expression, kind)
        return f"CASE WHEN isfinite({number}) THEN {number} END"

    def read_numbers(self, numbers):
        """Degrees, NaN where they are not finite."""
        import numpy as np

        return np.where(np.isinf(numbers), np.nan, numbers) if np.isinf(numbers).any() else numbers

    def write(self, trips, name, style, rng):
        """Degrees; in the open with no more decimals than the file has, at a station exactly the station's."""
        rounded = trips[name].round(style.decimals.get(name, 15))
        return rounded.where(_in_the_open(trips, name), trips[name])


@dataclass(frozen=True)
class Duration(Rule):
    """A duration counted in units of `unit_s` seconds, or written h:mm:ss."""

    unit_s: float = 1.0
    clock: bool = False

    @property
    def straight(self) -> str:
        """As what clean cells are read."""
        return "" if self.clock else "number"

    def read_numbers(self, numbers):
        """Seconds."""
        return numbers * self.unit_s

    def read(self, expression, kind):
        """Seconds."""
        if not self.clock:
            return f"TRY_CAST({expression} AS DOUBLE) * {self.unit_s}"
        parts = (f"TRY_CAST(split_part({expression}, ':', {position}) AS DOUBLE)" for position in (1, 2, 3))
        return "({} * 3600 + {} * 60 + {})".format(*parts)

    def write(self, trips, name, style, rng):
        """Whole units, at least one; h:mm:ss where the file does so."""
        units = (trips[name] / self.unit_s).round().clip(lower=1).astype("int64")
        if not self.clock:
            return units
        return units.map(lambda seconds: f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}")


@dataclass(frozen=True)
class Year(Number):
    """A birth year; 0 is a missing one."""

    def read_numbers(self, numbers):
        """Whole years that fit SMALLINT, NaN for others."""
        import numpy as np

        years = np.rint(numbers)
        return np.where((years != 0) & (np.abs(years + 0.5) < 2**15), years, np.nan)

    def read(self, expression, kind):
        """The year as SMALLINT."""
        return f"nullif(TRY_CAST(TRY_CAST({expression} AS DOUBLE) AS SMALLINT), 0)"

    def write(self, trips, name, style, rng):
        """Whole years; missing ones are null."""
        return (trips[name] if name in trips else _blank(trips)).astype("Int64")


@dataclass(frozen=True)
class Gender(Rule):
    """0, 1, 2 or words ↔ unknown, male, female."""

    def read(self, expression, kind):
        """One of unknown, male, female; NULL where the value is missing."""
        text = f"lower(CAST({expression} AS VARCHAR))"
        return (
            f"CASE WHEN {text} IN ('1', '1.0', 'm', 'male') THEN 'male' WHEN {text} IN ('2', '2.0', 'f', 'female') "
            f"THEN 'female' WHEN {expression} IS NOT NULL THEN 'unknown' END"
        )

    def read_word(self, word):
        """One of unknown, male, female."""
        codes = {"1": "male", "1.0": "male", "m": "male", "2": "female", "2.0": "female", "f": "female"}
        return codes.get(word.lower(), word.lower() if word.lower() in ("male", "female") else "unknown")

    def write(self, trips, name, style, rng):
        """The file's own words; a missing gender is written as unknown."""
        values = trips[name].fillna("unknown") if name in trips else _blank(trips).fillna("unknown")
        return values.map(dict(style.genders) or {"unknown": "0", "male": "1", "female": "2"})


@dataclass(frozen=True)
class Time(Rule):
    """A time in one column; the format is the file's, see `TimeFormat`. `half` splits it over two columns."""

    half: str = ""  # "date" or "time" where each has its own column

    @property
    def straight(self) -> str:
        """As what clean cells are read."""
        return "" if self.half else "time"

    def write(self, trips, name, style, rng):
        """The time in the file's format, cut down to the publisher's rounding."""
        times = trips[name]
        if style.step_s > 1:
            times = times.dt.floor(f"{style.step_s}s")
        written = style.times[name].write(times)
        if not self.half:
            return written
        return written.str.split(" ", n=1).str[0 if self.half == "date" else 1]


@dataclass(frozen=True)
class Polyline(Rule):
    """Porto's POLYLINE: [[lng, lat], …], a fix every 15 s ↔ waypoints, flat [lat, lng, …]."""

    straight = ""

    def read(self, expression, kind):
        """A flat list of doubles, latitude first."""
        pairs = f"TRY_CAST({expression} AS DOUBLE[][])"
        return f"flatten(list_transform({pairs}, lambda fix: [fix[2], fix[1]]))"

    def write(self, trips, name, style, rng):
        """As many fixes as the duration has steps, spread evenly along the waypoints (or from start to end)."""
        import pandas as pd

        ends = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy(float)
        paths = trips[name] if name in trips else [None] * len(trips)
        counts = (trips["duration_s"] / FIX_STEP_S).round().clip(lower=1).astype(int) + 1
        texts = [_polyline(path, end, count) for path, end, count in zip(paths, ends, counts, strict=True)]
        return pd.Series(texts, index=trips.index)


@dataclass(frozen=True)
class FlatList(Rule):
    """Waypoints in our own files: a list already, or the text of one."""

    straight = ""

    def read(self, expression, kind):
        """A flat list of doubles."""
        return f"TRY_CAST({expression} AS DOUBLE[])"

    def write(self, trips, name, style, rng):
        """The list as it is."""
        return trips[name].map(lambda values: None if values is None else [float(value) for value in values])


@dataclass(frozen=True)
class MadeUp(Rule):
    """An id of a trip or vehicle: read as text, written freshly made up, never a real one.

    `form` is "count" (numbers above all real ones), "hex" (16 digits), "uuid", or "bike" (`0611 BIKETOWN` …).
    """

    form: str = "count"
    spread: int = 0  # how many different values; 0: one per trip

    @property
    def straight(self) -> str:
        """As what clean cells are read."""
        return "word" if self.spread else "text"

    def write(self, trips, name, style, rng):
        """New ids from the generator alone."""
        import pandas as pd

        n = len(trips)
        numbers = rng.integers(self.spread, size=n) if self.spread else range(n)
        if self.form == "hex":
            texts = [data.hex().upper() for data in _chunks(rng.bytes(8 * n), 8)]
        elif self.form == "uuid":
            texts = [str(UUID(bytes=data)) for data in _chunks(rng.bytes(16 * n), 16)]
        else:
            texts = [str(MADE_UP_FROM + int(number)) for number in numbers]
        return pd.Series(texts, index=trips.index)


@dataclass(frozen=True)
class Derived(Rule):
    """A column that follows from others of the trip; not read.

    `what` is "day_of_week" (1 = Sunday, as Louisville counts), "hour", "miles", "metres" or "point_start"/"point_end".
    """

    what: str

    def write(self, trips, name, style, rng):
        """The value computed from the trip; distances are as the crow flies."""
        import pandas as pd

        from rasterize.distance import trip_metres

        if self.what == "day_of_week":
            return (trips["started_at"].dt.day_of_week + 1) % 7 + 1
        if self.what == "hour":
            return trips["started_at"].dt.strftime("%H")
        if self.what.startswith("point"):
            side = self.what.removeprefix("point_")
            pairs = zip(trips[f"{side}_lng"], trips[f"{side}_lat"], strict=True)
            return pd.Series([f"POINT ({lng} {lat})" for lng, lat in pairs], index=trips.index)
        metres = pd.Series(trip_metres(trips), index=trips.index)
        return (metres / 1609.344).round(2) if self.what == "miles" else metres.round().astype("int64")


def _in_the_open(trips: "pd.DataFrame", name: str) -> "pd.Series":
    """Which trips have no station at the end (start or end) that the column `name` tells of."""
    ids = trips[f"{name.split('_')[0]}_station_id"].astype(object)
    return ids.isna() | ids.map(lambda text: str(text).startswith(CELL_PREFIX))


def _blank(trips: "pd.DataFrame") -> "pd.Series":
    import pandas as pd

    return pd.Series([None] * len(trips), index=trips.index, dtype=object)


def _chunks(data: bytes, size: int) -> list[bytes]:
    return [data[i : i + size] for i in range(0, len(data), size)]


def _polyline(path: "np.ndarray | None", ends: "np.ndarray", count: int) -> str:
    """`count` fixes along a flat path as JSON text, longitude first."""
    import numpy as np

    fixes = np.asarray(ends if path is None or len(path) < 4 else path, float).reshape(-1, 2)
    if len(fixes) != count:
        steps = np.linspace(0, len(fixes) - 1, count)
        fixes = np.stack([np.interp(steps, np.arange(len(fixes)), axis) for axis in fixes.T], axis=1)
    return "[" + ",".join(f"[{round(float(lng), 6)},{round(float(lat), 6)}]" for lat, lng in fixes) + "]"
