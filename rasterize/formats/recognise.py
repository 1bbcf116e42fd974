"""From a file's header and first rows to its layout: which column holds what, and how times are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rasterize.errors import InputError
from rasterize.formats.dialects import _MAPPED, DIALECTS, Column, Dialect, _columns, normalise
from rasterize.formats.times import TimeFormat, sniff_times
from rasterize.trip_table import COORDINATES, FIELDS


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A dialect laid over the header of one file: `columns[i]` explains `header[i]`, None where nothing does."""

    dialect: Dialect
    header: tuple[str, ...]
    columns: tuple[Column | None, ...]

    def positions(self, name: str) -> list[int]:
        """Where in the header the internal column `name` stands; two places for a date and a time apart."""
        return [i for i, column in enumerate(self.columns) if column is not None and column.field == name]

    def fields(self) -> list[str]:
        """The internal columns this file fills."""
        return [name for name in FIELDS if self.positions(name)]


def recognise(
    header: Sequence[str],
    *,
    where: str,
    columns: Mapping[str, str] | None = None,
    dialect: str | None = None,
    coordinates_apart: bool = False,
) -> Layout:
    """The layout of a file from its header.

    Parameters
    ----------
    header
        Names of the columns as in the file.
    where
        The file, for errors.
    columns
        A column map, internal name → header; takes the place of a dialect.
    dialect
        Name of a dialect, where the header should not decide.
    coordinates_apart
        Coordinates come from a file of stations; the trips need not have them.

    Raises
    ------
    InputError
        No dialect fits; a column is missing; the map or the dialect names something that is not there.
    """
    if columns:
        chosen = _mapped_dialect(header, columns, where, coordinates_apart)
    elif dialect is not None:
        chosen = _named_dialect(dialect)
    else:
        chosen = _likeliest_dialect(header, where)
    apart = {column.key for column in chosen.columns if coordinates_apart and column.field in COORDINATES}
    missing = chosen.required - apart - set(map(normalise, header))
    if missing:
        raise InputError(
            f"{where}: no column {_listed(sorted(missing))} (dialect '{chosen.name}'). {_file_has(header)} "
            f'{_known_dialects()}; for any other file name its columns, such as --column started_at="Start date"'
        )
    return _lay_over(chosen, header)


def _lay_over(dialect: Dialect, header: Sequence[str]) -> Layout:
    """Each header with its column; of two equal headers the first one counts."""
    by_key = {column.key: column for column in dialect.columns}
    return Layout(
        dialect=dialect,
        header=tuple(header),
        columns=tuple(by_key.pop(normalise(name), None) for name in header),
    )


def _named_dialect(name: str) -> Dialect:
    if name not in DIALECTS:
        raise InputError(f"dialect '{name}': not known; known are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def _likeliest_dialect(header: Sequence[str], where: str) -> Dialect:
    """Of the dialects whose required columns are all there the one with most columns; else the nearest one."""
    keys = set(map(normalise, header))

    def likeness(dialect: Dialect) -> tuple[float, int]:
        there = len(dialect.required & keys) / len(dialect.required)
        return there, len(keys & {column.key for column in dialect.columns})

    best = max(DIALECTS.values(), key=likeness)
    if likeness(best)[0] < 0.5:
        raise InputError(
            f"{where}: the header is of no known dialect. {_file_has(header)} {_known_dialects()}; for any other file "
            'name its columns, such as --column started_at="Start date"'
        )
    return best


def _mapped_dialect(header: Sequence[str], columns: Mapping[str, str], where: str, coordinates_apart: bool) -> Dialect:
    """A dialect made from a column map; internal names the header itself has need no mapping."""
    unknown = [name for name in columns if name not in _MAPPED]
    if unknown:
        raise InputError(f"--column {unknown[0]}=…: no such internal column; there are {', '.join(_MAPPED)}")
    absent = [name for name in columns.values() if normalise(name) not in map(normalise, header)]
    if absent:
        raise InputError(f"{where}: no column {_listed(absent)} as --column says. {_file_has(header)}")
    taken = {normalise(name) for name in columns.values()}
    own = {name: name for name in header if name in _MAPPED and name not in columns and normalise(name) not in taken}
    table = {normalise(there): _MAPPED[name] for name, there in (own | dict(columns)).items()}
    filled = {name for name, _ in table.values()}
    needed = {"started_at"} if "waypoints" in filled or coordinates_apart else {"started_at", *COORDINATES}
    lacking = sorted(needed - filled) + ([] if filled & {"ended_at", "duration_s", "waypoints"} else ["ended_at"])
    if lacking:
        raise InputError(
            f"{where}: the column map lacks {_listed(lacking)}; add --column {lacking[0]}=… {_file_has(header)}"
        )
    return Dialect(name="columns", columns=_columns(table), required=frozenset(), north_west=False)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def _file_has(header: Sequence[str]) -> str:
    return f"The file has: {_listed(header)}."


def _known_dialects() -> str:
    return f"Known dialects: {', '.join(DIALECTS)}"


def sniff_column(
    layout: "Layout",
    name: str,
    rows: Sequence[Sequence[str | None]],
    *,
    where: str,
    zone: str | None,
    more: Sequence[str] = (),
) -> TimeFormat:
    """The format of the internal column `name`, from rows of a file and `more` values; see `sniff_times`.

    `where` is the file; `zone` overrides the dialect's.
    """
    positions = layout.positions(name)
    named = f"{where}: column {' and '.join(repr(layout.header[position]) for position in positions)}"
    values = [" ".join(filter(None, (row[position] for position in positions))) for row in rows]
    values = [value for value in values if value.strip()]
    if not values:
        raise InputError(f"{named}: empty in the first {len(rows)} rows; trips need their times")
    return sniff_times([*values, *more], where=named, zone=zone or layout.dialect.zone)
