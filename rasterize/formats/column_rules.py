"""The rules of single columns: what a publisher's value means. Reading and writing it stand side by side."""

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
_METRES_PER_MILE = 1609.344


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one file spells things: what rules need to write a column back.

    Attributes
    ----------
    times
        Format of each column of times, by internal name.
    genders
        The file's word for each of unknown, male and female.
    decimals
        Digits behind the point of each coordinate, by internal name.
    step_s
        The publisher rounds times down to this many seconds.
    """

    times: Mapping[str, TimeFormat] = field(default_factory=dict)
    genders: Mapping[str, str] = field(default_factory=dict)
    decimals: Mapping[str, int] = field(default_factory=dict)
    step_s: int = 1


@dataclass(frozen=True)
class Rule:
    """A column kept as text, trimmed. Other rules change what they need to.

    `read` gives SQL for any file, and `write` is its inverse on a table of trips. Clean CSV files are read without
    SQL, see `rasterize.ingest.read_arrow`. `plain_kind` says how: as a "word", "text", "number" or "time". It is empty
    where only SQL will do. A word is a text of which there are few, see `read_word`; for numbers see `read_numbers`.
    """

    plain_kind: ClassVar[str] = "word"

    def read_word(self, word: str) -> str | None:
        """Return what `read` makes of a text."""
        return word.strip(" ") or None

    def read_numbers(self, numbers: "NDArray") -> "NDArray":
        """Return what `read` makes of numbers, float64 [N]; NaN is a missing value, before and after."""
        return numbers

    def read(self, expression: str, kind: str) -> str:
        """Return SQL of the internal value, NULL where the value is missing or makes no sense.

        `expression` is SQL of the cell, `kind` that of its type: "text", "integer", "float", "timestamp" or "other".
        """
        # An id that went through floats: 72.0 is station 72.
        if kind == "float":
            whole = f"CAST(CAST({expression} AS BIGINT) AS VARCHAR)"
            return f"CASE WHEN {expression} = trunc({expression}) THEN {whole} ELSE CAST({expression} AS VARCHAR) END"
        return f"nullif(trim(CAST({expression} AS VARCHAR)), '')"

    def write(self, trips: "pd.DataFrame", name: str, style: Style, rng: "np.random.Generator") -> "pd.Series":
        """Return the values that the publisher's column has for each trip.

        Parameters
        ----------
        trips : DataFrame of N trips with internal names
        name
            The internal column that this one holds; empty where it holds none.
        style
            How the file spells things.
        rng
            Where made-up ids come from; other rules do not draw.

        Returns
        -------
        Series [N] with the index of `trips`; missing values are null.
        """
        return self._write(trips, name, style, rng)

    def _write(self, trips, name, style, rng):
        """Return the text as it is."""
        return trips[name] if name in trips else _blank(trips)


@dataclass(frozen=True)
class Ignored(Rule):
    """A column that no internal one holds. Every row gets the same `value`, by default an empty one."""

    value: str | bool | None = None

    def _write(self, trips, name, style, rng):
        """Return the same value for every row."""
        import pandas as pd

        return pd.Series([self.value] * len(trips), index=trips.index, dtype=object)


@dataclass(frozen=True)
class Station(Rule):
    """Id or name of a station. It is empty where a trip starts or ends in the open; there we hold a grid cell."""

    def _write(self, trips, name, style, rng):
        """Return the text, null for cells."""
        if name not in trips:
            return _blank(trips)
        return trips[name].mask(_in_the_open(trips, name))


@dataclass(frozen=True)
class Number(Rule):
    """A number as it is."""

    plain_kind = "number"

    def read(self, expression, kind):
        """Return SQL of the number, NULL for anything else."""
        return f"TRY_CAST({expression} AS DOUBLE)"


@dataclass(frozen=True)
class Degrees(Number):
    """A coordinate; 0 is a missing one."""

    def read(self, expression, kind):
        """Return SQL of degrees, NULL where they are not finite. A 0 is left for the count of rejects."""
        number = super().read(expression, kind)
        return f"CASE WHEN isfinite({number}) THEN {number} END"

    def read_numbers(self, numbers):
        """Return degrees, NaN where they are not finite."""
        import numpy as np

        return np.where(np.isinf(numbers), np.nan, numbers) if np.isinf(numbers).any() else numbers

    def _write(self, trips, name, style, rng):
        """Return degrees: rounded to the file's decimals in the open, those of the station at a station."""
        # 15 decimals keep a float64 as it is.
        rounded = trips[name].round(style.decimals.get(name, 15))
        return rounded.where(_in_the_open(trips, name), trips[name])


@dataclass(frozen=True)
class Duration(Rule):
    """A duration counted in units of `unit_s` seconds, or written h:mm:ss."""

    unit_s: float = 1.0
    clock: bool = False

    @property
    def plain_kind(self) -> str:
        """The kind of a clean cell, see `Rule`."""
        return "" if self.clock else "number"

    def read_numbers(self, numbers):
        """Return seconds."""
        return numbers * self.unit_s

    def read(self, expression, kind):
        """Return SQL of seconds."""
        # h:mm:ss is taken apart by its colons.
        if not self.clock:
            return f"TRY_CAST({expression} AS DOUBLE) * {self.unit_s}"
        numbers = (f"TRY_CAST(split_part({expression}, ':', {position}) AS DOUBLE)" for position in (1, 2, 3))
        return "({} * 3600 + {} * 60 + {})".format(*numbers)

    def _write(self, trips, name, style, rng):
        """Return whole units, at least one; h:mm:ss where the file does so."""
        units = (trips[name] / self.unit_s).round().clip(lower=1).astype("int64")
        if not self.clock:
            return units
        return units.map(lambda seconds: f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}")


@dataclass(frozen=True)
class Year(Number):
    """A birth year; 0 is a missing one."""

    def read_numbers(self, numbers):
        """Return whole years that fit SMALLINT, NaN for others."""
        import numpy as np

        # Round as SQL's cast does; a SMALLINT ends at -32768 and 32767.
        years = np.rint(numbers)
        return np.where((years != 0) & (np.abs(years + 0.5) < 2**15), years, np.nan)

    def read(self, expression, kind):
        """Return SQL of the year as SMALLINT."""
        return f"nullif(TRY_CAST(TRY_CAST({expression} AS DOUBLE) AS SMALLINT), 0)"

    def _write(self, trips, name, style, rng):
        """Return whole years; missing ones are null."""
        return (trips[name] if name in trips else _blank(trips)).astype("Int64")


@dataclass(frozen=True)
class Gender(Rule):
    """0, 1, 2 or words ↔ unknown, male, female."""

    def read(self, expression, kind):
        """Return SQL of unknown, male or female, NULL where the value is missing."""
        # Anything else that is there, such as 0, counts as unknown.
        text = f"lower(CAST({expression} AS VARCHAR))"
        return (
            f"CASE WHEN {text} IN ('1', '1.0', 'm', 'male') THEN 'male' WHEN {text} IN ('2', '2.0', 'f', 'female') "
            f"THEN 'female' WHEN {expression} IS NOT NULL THEN 'unknown' END"
        )

    def read_word(self, word):
        """Return unknown, male or female."""
        codes = {"1": "male", "1.0": "male", "m": "male", "2": "female", "2.0": "female", "f": "female"}
        return codes.get(word.lower(), word.lower() if word.lower() in ("male", "female") else "unknown")

    def _write(self, trips, name, style, rng):
        """Return the file's own words; a missing gender is written as unknown."""
        values = trips[name].fillna("unknown") if name in trips else _blank(trips).fillna("unknown")
        return values.map(dict(style.genders) or {"unknown": "0", "male": "1", "female": "2"})


@dataclass(frozen=True)
class Time(Rule):
    """A time in the file's own format, see `TimeFormat`. `half` splits it over two columns."""

    half: str = ""  # "date" or "time" where each has its own column

    @property
    def plain_kind(self) -> str:
        """The kind of a clean cell, see `Rule`."""
        return "" if self.half else "time"

    def _write(self, trips, name, style, rng):
        """Return times in the file's format, cut down to the publisher's rounding."""
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

    plain_kind = ""

    def read(self, expression, kind):
        """Return SQL of a flat list of doubles, latitude first."""
        # The text is JSON, which DuckDB casts to lists of lists. Its lists begin at 1.
        pairs = f"TRY_CAST({expression} AS DOUBLE[][])"
        return f"flatten(list_transform({pairs}, lambda fix: [fix[2], fix[1]]))"

    def _write(self, trips, name, style, rng):
        """Return a fix for each step of the duration, spread evenly along the waypoints, or from start to end."""
        import pandas as pd

        # A trip of n steps has n + 1 fixes, and at least two.
        ends = trips[["start_lat", "start_lng", "end_lat", "end_lng"]].to_numpy(float)
        paths = trips[name] if name in trips else [None] * len(trips)
        counts = (trips["duration_s"] / FIX_STEP_S).round().clip(lower=1).astype(int) + 1
        texts = [_format_polyline(path, end, count) for path, end, count in zip(paths, ends, counts, strict=True)]
        return pd.Series(texts, index=trips.index)


@dataclass(frozen=True)
class FlatList(Rule):
    """Waypoints in our own files: a list already, or the text of one."""

    plain_kind = ""

    def read(self, expression, kind):
        """Return SQL of a flat list of doubles."""
        return f"TRY_CAST({expression} AS DOUBLE[])"

    def _write(self, trips, name, style, rng):
        """Return the list as it is."""
        return trips[name].map(lambda values: None if values is None else [float(value) for value in values])


@dataclass(frozen=True)
class MadeUp(Rule):
    """An id of a trip or vehicle: read as text, but never written as it was.

    Every id that is written is made up. `form` is "count" (numbers above all real ones), "hex" (16 digits) or "uuid".
    """

    form: str = "count"
    spread: int = 0  # how many different values, for "count" alone; 0: one per trip

    @property
    def plain_kind(self) -> str:
        """The kind of a clean cell, see `Rule`."""
        return "word" if self.spread else "text"

    def _write(self, trips, name, style, rng):
        """Return new ids from the generator alone."""
        import pandas as pd

        n = len(trips)
        numbers = rng.integers(self.spread, size=n) if self.spread else range(n)
        if self.form == "hex":
            texts = [data.hex().upper() for data in _split_bytes(rng.bytes(8 * n), 8)]
        elif self.form == "uuid":
            texts = [str(UUID(bytes=data)) for data in _split_bytes(rng.bytes(16 * n), 16)]
        else:
            texts = [str(MADE_UP_FROM + int(number)) for number in numbers]
        return pd.Series(texts, index=trips.index)


@dataclass(frozen=True)
class Derived(Rule):
    """A column that follows from others of the trip, and is not read.

    `what` is "day_of_week" (1 = Sunday, as Louisville counts), "hour", "miles", "metres" or "point_start"/"point_end".
    """

    what: str

    def _write(self, trips, name, style, rng):
        """Return the value computed from the trip; distances are as the crow flies."""
        import pandas as pd

        from rasterize.distance import trip_metres

        # pandas counts from Monday = 0, Louisville from Sunday = 1.
        if self.what == "day_of_week":
            return (trips["started_at"].dt.day_of_week + 1) % 7 + 1
        if self.what == "hour":
            return trips["started_at"].dt.strftime("%H")
        # A point as Chicago writes it: well-known text, longitude first.
        if self.what.startswith("point"):
            side = self.what.removeprefix("point_")
            pairs = zip(trips[f"{side}_lng"], trips[f"{side}_lat"], strict=True)
            return pd.Series([f"POINT ({lng} {lat})" for lng, lat in pairs], index=trips.index)
        # Distances: Louisville and Portland give miles, Chicago metres.
        metres = pd.Series(trip_metres(trips), index=trips.index)
        return (metres / _METRES_PER_MILE).round(2) if self.what == "miles" else metres.round().astype("int64")


def _in_the_open(trips: "pd.DataFrame", name: str) -> "pd.Series":
    """Return which trips have no station at the end (start or end) that the column `name` is about."""
    ids = trips[f"{name.split('_')[0]}_station_id"].astype(object)
    return ids.isna() | ids.map(lambda text: str(text).startswith(CELL_PREFIX))


def _blank(trips: "pd.DataFrame") -> "pd.Series":
    """Return a missing value for each trip."""
    import pandas as pd

    return pd.Series([None] * len(trips), index=trips.index, dtype=object)


def _split_bytes(data: bytes, size: int) -> list[bytes]:
    """Cut `data` into pieces of `size` bytes."""
    return [data[i : i + size] for i in range(0, len(data), size)]


def _format_polyline(path: "np.ndarray | None", ends: "np.ndarray", count: int) -> str:
    """Return `count` fixes along a flat path as JSON text, longitude first."""
    import numpy as np

    fixes = np.asarray(ends if path is None or len(path) < 4 else path, float).reshape(-1, 2)
    # Fixes are evenly spaced in time, so positions along the path go by their number, not by metres.
    if len(fixes) != count:
        steps = np.linspace(0, len(fixes) - 1, count)
        fixes = np.stack([np.interp(steps, np.arange(len(fixes)), axis) for axis in fixes.T], axis=1)
    return "[" + ",".join(f"[{round(float(lng), 6)},{round(float(lat), 6)}]" for lat, lng in fixes) + "]"
