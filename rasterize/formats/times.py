"""Dates and times as publishers write them: one format per column, recognised, read (SQL) and written side by side."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

from rasterize.errors import InputError

if TYPE_CHECKING:
    import pandas as pd


_CLOCK = r"(?P<hour>\d{1,2}):\d\d(?P<second>:\d\d(?P<fraction>[.,]\d+)?)?(?P<half> ?[AaPp][Mm])?"
_OFFSET = r"(?P<offset> ?(?:Z|UTC|[+-]\d\d(?::?\d\d)?))?"
_YEAR_FIRST = re.compile(
    rf"(?P<year>\d{{4}})(?P<sep>[-/.])(?P<one>\d{{1,2}})(?P=sep)(?P<two>\d{{1,2}})(?P<joint>[ T]){_CLOCK}{_OFFSET}"
)
_YEAR_LAST = re.compile(
    rf"(?P<one>\d{{1,2}})(?P<sep>[-/.])(?P<two>\d{{1,2}})(?P=sep)(?P<year>\d{{4}}|\d\d)(?P<joint>,? |T){_CLOCK}"
)
_EPOCH = re.compile(r"(?P<whole>\d{9,10}|\d{13})(?P<fraction>\.\d+)?")
_DESTROYED = re.compile(r"\d{1,3}:\d\d(?:\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class TimeFormat:
    """How one column writes its times; without an offset they are the wall clock of the place.

    `order` is "ymd", "mdy" or "dmy", "epoch" for seconds (or milliseconds) since 1970 in UTC, "native" for a typed
    timestamp of a Parquet file.
    """

    order: str
    separator: str = "-"  # between year, month and day
    joint: str = " "  # between date and time
    year_digits: int = 4
    pad_date: bool = True  # 01/07, not 1/7
    pad_hour: bool = True  # 09:05, not 9:05
    seconds: bool = True
    fraction: int = 0  # digits after the second
    half: str = ""  # " AM" or "AM" where hours count to twelve
    offset: str = ""  # "Z", "+01:00", … where the file gives one
    milliseconds: bool = False  # of an epoch
    zone: str | None = None  # wall clock of which zone; None: as written, and UTC for an epoch

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The inverse of `to_json`."""
        return cls(**value)

    def to_json(self) -> dict[str, Any]:
        """The format as a JSON object."""
        return asdict(self)

    @property
    def is_plain(self) -> bool:
        """Whether the column holds ISO dates and times without an offset, which any library reads alike."""
        return self.order == "ymd" and self.separator == "-" and not self.half and not self.offset

    def read(self, expression: str) -> str:
        """SQL that turns `expression` into a TIMESTAMP of the wall clock; NULL where it does not fit the format."""
        if self.order == "native":
            zoned = self.offset and f"({expression}) AT TIME ZONE '{self.zone or 'UTC'}'"
            return zoned or f"CAST({expression} AS TIMESTAMP)"
        if self.order == "epoch":
            per_unit = 1_000 if self.milliseconds else 1_000_000
            micros = f"CAST(TRY_CAST({expression} AS DECIMAL(20, 6)) * {per_unit} AS BIGINT)"
            instant = f"make_timestamp({micros})"
            return f"({instant} AT TIME ZONE 'UTC') AT TIME ZONE '{self.zone}'" if self.zone else instant
        if self.offset and self.zone:
            instant = f"TRY_CAST(replace({expression}, ' UTC', 'Z') AS TIMESTAMPTZ)"
            return f"{instant} AT TIME ZONE '{self.zone}'"
        if self.offset:  # no zone asked for: the clock as written
            expression = rf"regexp_replace({expression}, ' ?(Z|UTC|[+-]\d\d(:?\d\d)?)$', '')"
        if self.order == "ymd" and self.separator == "-" and not self.half:
            return f"TRY_CAST({expression} AS TIMESTAMP)"
        return f"TRY_STRPTIME({expression}, {self._patterns()!r})"

    def _patterns(self) -> list[str]:
        """strptime patterns: as sniffed, and as the same column may shorten it."""
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
        """Wall clocks → the column's own spelling: text, numbers of an epoch, or timestamps; cut, never rounded up."""
        import pandas as pd

        if self.order == "native":
            return times.dt.tz_localize(self.zone or "UTC", **_AT_CLOCK_CHANGE) if self.offset else times
        if self.order == "epoch":
            instants = (
                times.dt.tz_localize(self.zone or "UTC", **_AT_CLOCK_CHANGE).dt.tz_convert("UTC").dt.tz_localize(None)
            )
            micros = instants.astype("datetime64[us]").astype("int64")
            return micros // (1_000 if self.milliseconds else 1_000_000)
        if self.offset and self.zone:
            instants = times.dt.tz_localize(self.zone, **_AT_CLOCK_CHANGE)
            times = instants.dt.tz_convert(_fixed_zone(self.offset)).dt.tz_localize(None)
        part = times.dt
        hours = (part.hour + 11) % 12 + 1 if self.half else part.hour
        halves = part.hour.ge(12).map({True: self.half.replace("A", "P"), False: self.half}) if self.half else part.hour
        years = part.year % 10**self.year_digits
        micros = part.microsecond.astype("int64") * 10**self.fraction // 1_000_000
        columns = (years, part.month, part.day, hours, part.minute, part.second, micros, halves)
        return pd.Series(list(map(self._template().format, *columns)), index=times.index)

    def _template(self) -> str:
        """Format string for (year, month, day, hour, minute, second, fraction, half)."""
        positions = {"y": f"{{0:0{self.year_digits}d}}", "m": "{1:02d}", "d": "{2:02d}"}
        if not self.pad_date:
            positions |= {"m": "{1}", "d": "{2}"}
        clock = ("{3:02d}" if self.pad_hour else "{3}") + ":{4:02d}"
        clock += ":{5:02d}" if self.seconds else ""
        clock += f".{{6:0{self.fraction}d}}" if self.fraction else ""
        clock += "{7}" if self.half else ""
        return self.separator.join(positions[letter] for letter in self.order) + self.joint + clock + self.offset


# An hour that happens twice is taken as the first one, an hour that is left out as the end of the gap.
_AT_CLOCK_CHANGE: dict[str, Any] = {"ambiguous": True, "nonexistent": "shift_forward"}


def _fixed_zone(offset: str) -> str:
    """The zone pandas knows for an offset as files write it."""
    digits = re.sub(r"[^0-9+-]", "", offset)
    return f"{digits[:3]}:{digits[3:] or '00'}" if digits else "UTC"


def sniff_times(values: Sequence[str], *, where: str, zone: str | None = None) -> TimeFormat:
    """The one format of a column, from a sample of its values.

    Parameters
    ----------
    values
        Texts as in the file, missing ones left out.
    where
        File and column, for the error.
    zone
        The zone whose wall clock is wanted, for values that carry an offset or count seconds since 1970.

    Raises
    ------
    InputError
        Most values are no times, or times whose date and hour are lost (`04:50.2`, what Excel leaves).
    """
    values = [value.strip() for value in values]
    for pattern, build in ((_YEAR_FIRST, _year_first), (_YEAR_LAST, _year_last), (_EPOCH, _epoch)):
        matches = [match for value in values if (match := pattern.fullmatch(value))]
        if 2 * len(matches) > len(values):
            return build(matches, zone)
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


def _year_first(matches: list[re.Match], zone: str | None) -> TimeFormat:
    return TimeFormat(order="ymd", **_common(matches), offset=matches[0]["offset"] or "", zone=zone)


def _year_last(matches: list[re.Match], zone: str | None) -> TimeFormat:
    first_over, second_over = (any(int(match[group]) > 12 for match in matches) for group in ("one", "two"))
    month_first = matches[0]["sep"] == "/" if first_over == second_over else second_over
    return TimeFormat(order="mdy" if month_first else "dmy", **_common(matches), zone=zone)


def _epoch(matches: list[re.Match], zone: str | None) -> TimeFormat:
    return TimeFormat(order="epoch", milliseconds=len(matches[0]["whole"]) == 13, zone=zone)


def _common(matches: list[re.Match]) -> dict[str, Any]:
    """The details both kinds of dates share."""
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
