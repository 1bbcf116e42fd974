"""Dates and times as publishers write them: one format per column. Recognising, reading and writing stand together."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from rasterize.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


# Shapes of times: 2019-01-31 17:05:00Z, 1/31/2019 5:05 PM, seconds or milliseconds since 1970 …
_CLOCK = r"(?P<hour>\d{1,2}):\d\d(?P<second>:\d\d(?P<fraction>[.,]\d+)?)?(?P<half> ?[AaPp][Mm])?"
_OFFSET = r"(?P<offset> ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})(?P<sep>[-/.])(?P<one>\d{{1,2}})(?P=sep)(?P<two>\d{{1,2}})(?P<joint>[ T]){_CLOCK}{_OFFSET}"
)
_YEAR_LAST = re.compile(
    rf"(?P<one>\d{{1,2}})(?P<sep>[-/.])(?P<two>\d{{1,2}})(?P=sep)(?P<year>\d{{4}}|\d\d)(?P<joint>,? |T){_CLOCK}"
)
_EPOCH = re.compile(r"(?P<whole>\d{9,10}|\d{13})(?P<fraction>\.\d+)?")
# … and 04:50.2, what Excel leaves of a time with fractions of a second.
_DESTROYED = re.compile(r"\d{1,3}:\d\d(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class TimeFormat:
    """How one column writes its times. Without an offset they are the wall clock of the place.

    Attributes
    ----------
    order
        "ymd", "mdy" or "dmy"; "epoch" for seconds since 1970 in UTC; "native" for a timestamp of a Parquet file.
    separator
        Between year, month and day.
    joint
        Between date and time.
    year_digits
        2 or 4.
    pad_date, pad_hour
        Whether it is 01/07, not 1/7, and 09:05, not 9:05.
    seconds
        Whether times have seconds.
    fraction
        Digits after the second.
    half
        " AM" or "AM" where hours count to twelve, else empty.
    offset
        "Z", "+01:00", … where the file gives one, else empty.
    milliseconds
        Whether an epoch counts these.
    zone
        The zone whose wall clock is wanted. None: the clock as written, and UTC for an epoch.
    """

    order: str
    separator: str = "-"
    joint: str = " "
    year_digits: int = 4
    pad_date: bool = True
    pad_hour: bool = True
    seconds: bool = True
    fraction: int = 0
    half: str = ""
    offset: str = ""
    milliseconds: bool = False
    zone: str | None = None

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """Return the format that `to_json` gave as a JSON object."""
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """Return the format as a JSON object."""
        return asdict(self)

    @property
    def is_plain(self) -> bool:
        """Whether the column holds ISO dates and times without an offset, which any library reads alike."""
        return self.order == "ymd" and self.separator == "-" and not self.half and not self.offset

    def read(self, expression: str) -> str:
        """Return SQL of `expression` as a TIMESTAMP of the wall clock, NULL where it does not fit the format."""
        # Typed timestamps, and numbers since 1970: no text to take apart.
        if self.order == "native":
            zoned = self.offset and f"({expression}) AT TIME ZONE '{self.zone or 'UTC'}'"
            return zoned or f"CAST({expression} AS TIMESTAMP)"
        if self.order == "epoch":
            per_unit = 1_000 if self.milliseconds else 1_000_000
            micros = f"CAST(TRY_CAST({expression} AS DECIMAL(20, 6)) * {per_unit} AS BIGINT)"
            instant = f"make_timestamp({micros})"
            return f"({instant} AT TIME ZONE 'UTC') AT TIME ZONE '{self.zone}'" if self.zone else instant
        # Text with an offset is an instant; shown by the clock of the zone, or by the clock as written.
        if self.offset and self.zone:
            instant = f"TRY_CAST(replace({expression}, ' UTC', 'Z') AS TIMESTAMPTZ)"
            return f"{instant} AT TIME ZONE '{self.zone}'"
        if self.offset:
            expression = rf"regexp_replace({expression}, ' ?(Z|UTC|[+-]\d\d(:?\d\d)?)$', '')"
        # DuckDB's own cast knows ISO dates; other text goes by patterns.
        if self.order == "ymd" and self.separator == "-" and not self.half:
            return f"TRY_CAST({expression} AS TIMESTAMP)"
        return f"TRY_STRPTIME({expression}, {self._make_patterns()!r})"

    def _make_patterns(self) -> list[str]:
        """Return strptime patterns: as sniffed, and as the same column may shorten it."""
        # The longest pattern first: rows may leave out fractions, or seconds that are 0.
        names = {"y": "%Y" if self.year_digits == 4 else "%y", "m": "%m", "d": "%d"}
        date = self.separator.join(names[letter] for letter in self.order)
        hour, half = ("%I", self.half.replace("AM", "%p")) if self.half else ("%H", "")
        clocks = [f"{hour}:%M{half}"]
        if self.seconds:
            clocks.insert(0, f"{hour}:%M:%S{half}")
        if self.fraction:
            clocks.insert(0, f"{hour}:%M:%S.%f{half}")
        return [f"{date}{self.joint}{clock}" for clock in clocks]

    def write(self, times: "pd.Series") -> "pd.Series":
        """Return wall clocks in the column's own spelling; what it has no digits for is cut, never rounded up."""
        import pandas as pd

        # Typed timestamps, and numbers since 1970.
        if self.order == "native":
            return times.dt.tz_localize(self.zone or "UTC", **_AT_CLOCK_CHANGE) if self.offset else times
        if self.order == "epoch":
            instants = times.dt.tz_localize(self.zone or "UTC", **_AT_CLOCK_CHANGE).dt.tz_convert("UTC")
            micros = instants.dt.tz_localize(None).astype("datetime64[us]").astype("int64")
            return micros // (1_000 if self.milliseconds else 1_000_000)
        # Text: the clock of the file's offset, then all numbers of a time through one template.
        if self.offset and self.zone:
            instants = times.dt.tz_localize(self.zone, **_AT_CLOCK_CHANGE)
            times = instants.dt.tz_convert(_find_fixed_zone(self.offset)).dt.tz_localize(None)
        clock = times.dt
        hours = (clock.hour + 11) % 12 + 1 if self.half else clock.hour
        halves = clock.hour
        if self.half:
            halves = clock.hour.ge(12).map({True: self.half.replace("A", "P"), False: self.half})
        years = clock.year % 10**self.year_digits
        fractions = clock.microsecond.astype("int64") * 10**self.fraction // 1_000_000
        columns = (years, clock.month, clock.day, hours, clock.minute, clock.second, fractions, halves)
        return pd.Series(list(map(self._make_template().format, *columns)), index=times.index)

    def _make_template(self) -> str:
        """Return the format string for (year, month, day, hour, minute, second, fraction, half)."""
        # Numbers stand in the order of the format: year 0, month 1, day 2.
        positions = {"y": f"{{0:0{self.year_digits}d}}", "m": "{1:02d}", "d": "{2:02d}"}
        if not self.pad_date:
            positions |= {"m": "{1}", "d": "{2}"}
        clock = ("{3:02d}" if self.pad_hour else "{3}") + ":{4:02d}"
        clock += ":{5:02d}" if self.seconds else ""
        clock += f".{{6:0{self.fraction}d}}" if self.fraction else ""
        clock += "{7}" if self.half else ""
        return self.separator.join(positions[letter] for letter in self.order) + self.joint + clock + self.offset


# An hour that happens twice is taken as the first one. An hour that is left out becomes the end of the gap.
_AT_CLOCK_CHANGE: dict[str, Any] = {"ambiguous": True, "nonexistent": "shift_forward"}


def _find_fixed_zone(offset: str) -> str:
    """Return the zone pandas knows for an offset as files write it."""
    digits = re.sub(r"[^0-9+-]", "", offset)
    return f"{digits[:3]}:{digits[3:] or '00'}" if digits else "UTC"


def sniff_times(values: Sequence[str], *, where: str, zone: str | None = None) -> TimeFormat:
    """Find the one format of a column from a sample of its values.

    Parameters
    ----------
    values
        Texts as in the file, missing ones left out.
    where
        File and column, for the error.
    zone
        The zone whose wall clock is wanted, for values that carry an offset or count seconds since 1970.

    Returns
    -------
    The format that more than half of the values share. With slashes the month comes first, else the day, unless a
    number over 12 shows otherwise.

    Raises
    ------
    InputError
        Most values are no times, or times whose date and hour are lost (`04:50.2`, what Excel leaves).
    """
    # More than half of the values must have the shape; the others are counted as unreadable, row by row.
    values = [value.strip() for value in values]
    for pattern, build in ((_YEAR_FIRST, _read_year_first), (_YEAR_LAST, _read_year_last), (_EPOCH, _read_epoch)):
        matches = [match for value in values if (match := pattern.fullmatch(value))]
        if 2 * len(matches) > len(values):
            return build(matches, zone)
    # No shape fits: say what is there, and whether a spreadsheet has been at it.
    example = values[0] if values else ""
    lost = next((value for value in values if _DESTROYED.fullmatch(value)), None)
    if lost is not None:
        raise InputError(
            f"{where}: the times are destroyed; the column holds '{lost}' (minutes and seconds), the date and the hour "
            "are lost; take the publisher's original file, not one saved again by a spreadsheet"
        )
    raise InputError(
        f"{where}: no times that can be read; the column holds '{example}'; known are e.g. 2019-01-31 17:05:00, "
        "2019-01-31T17:05:00Z, 1/31/2019 5:05 PM, 31.01.2019 17:05, and seconds since 1970"
    )


def _read_year_first(matches: list[re.Match], zone: str | None) -> TimeFormat:
    """Return the format of dates that begin with the year."""
    return TimeFormat(order="ymd", **_read_common(matches), offset=matches[0]["offset"] or "", zone=zone)


def _read_year_last(matches: list[re.Match], zone: str | None) -> TimeFormat:
    """Return the format of dates that end with the year, month or day first."""
    # A number over 12 is no month. Where none or both have one, slashes mean the month comes first.
    first_over, second_over = (any(int(match[group]) > 12 for match in matches) for group in ("one", "two"))
    month_first = matches[0]["sep"] == "/" if first_over == second_over else second_over
    return TimeFormat(order="mdy" if month_first else "dmy", **_read_common(matches), zone=zone)


def _read_epoch(matches: list[re.Match], zone: str | None) -> TimeFormat:
    """Return the format of counts since 1970: 13 digits are milliseconds."""
    return TimeFormat(order="epoch", milliseconds=len(matches[0]["whole"]) == 13, zone=zone)


def _read_common(matches: list[re.Match]) -> dict[str, Any]:
    """Return the details both kinds of dates share."""
    # A detail holds for the column if one value shows it; padding only if all do.
    first = matches[0]
    half = (first["half"] or "").upper().replace("P", "A")
    return {
        "separator": first["sep"],
        "joint": first["joint"],
        "year_digits": len(first["year"]),
        "pad_date": all(len(match[group]) == 2 for match in matches for group in ("one", "two")),
        "pad_hour": all(len(match["hour"]) == 2 for match in matches),
        "seconds": any(match["second"] for match in matches),
        "fraction": max(len(match["fraction"] or ".") - 1 for match in matches),
        "half": half,
    }


def check_zone(zone: str | None) -> None:
    """Raise `InputError` unless `zone` is None or the name of a time zone."""
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    try:
        zone is None or ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError(f"time zone '{zone}': not known; use a name such as America/New_York") from None
