"""From a file's header and first rows to its layout: which column holds what, and how times are written."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rasterize.errors import InputError
from rasterize.formats.dialects import DIALECTS, MAPPED_COLUMNS, Column, Dialect, make_columns, normalise
from rasterize.formats.times import TimeFormat, sniff_times
from rasterize.trip_table import COORDINATES, FIELDS

_COLUMN_HELP = 'for any other file name its columns, such as --column started_at="Start date"'


@dataclass(frozen=True, kw_only=True)
class Layout:
    """A dialect laid over the header of one file.

    Attributes
    ----------
    dialect
        The publisher's dialect, or the one made from a column map.
    header
        Names of the columns as in the file.
    columns
        What explains each column of the header; None where nothing does.
    """

    dialect: Dialect
    header: tuple[str, ...]
    columns: tuple[Column | None, ...]

    def positions(self, name: str) -> list[int]:
        """Return where in the header the internal column `name` stands, twice for a date and a time apart."""
        return [i for i, column in enumerate(self.columns) if column is not None and column.field == name]

    def fields(self) -> list[str]:
        """Return the internal columns this file fills."""
        return [name for name in FIELDS if self.positions(name)]


def recognise_layout(
    header: Sequence[str],
    *,
    where: str,
    columns: Mapping[str, str] | None = None,
    dialect: str | None = None,
    coordinates_apart: bool = False,
) -> Layout:
    """Find the layout of a file from its header.

    Parameters
    ----------
    header
        Names of the columns as in the file.
    where
        The file, for errors.
    columns
        A column map, internal name → header. It takes the place of a dialect.
    dialect
        Name of a dialect, where the header should not decide.
    coordinates_apart
        Coordinates come from a file of stations; the trips need not have them.

    Returns
    -------
    The dialect, with a column or None for each name of the header.

    Raises
    ------
    InputError
        No dialect fits; a column is missing; the map or the dialect names something that is not there.
    """
    # The user's word comes first: a column map, then a dialect by name.
    if columns:
        chosen = _make_mapped_dialect(header, columns, where, coordinates_apart)
    elif dialect is not None:
        chosen = _find_named_dialect(dialect)
    else:
        chosen = _find_likeliest_dialect(header, where)
    # A header must have all required columns, but for coordinates that a file of stations gives.
    apart = {column.key for column in chosen.columns if coordinates_apart and column.field in COORDINATES}
    missing = chosen.required - apart - set(map(normalise, header))
    if missing:
        raise InputError(
            f"{where}: no column {_list_names(sorted(missing))} (dialect '{chosen.name}'). {_list_columns(header)} "
            f"{_list_dialects()}; {_COLUMN_HELP}"
        )
    return _lay_over(chosen, header)


def _lay_over(dialect: Dialect, header: Sequence[str]) -> Layout:
    """Give each header its column; of two equal headers the first one counts."""
    by_key = {column.key: column for column in dialect.columns}
    return Layout(
        dialect=dialect,
        header=tuple(header),
        columns=tuple(by_key.pop(normalise(name), None) for name in header),
    )


def _find_named_dialect(name: str) -> Dialect:
    """Return the dialect of this name."""
    if name not in DIALECTS:
        raise InputError(f"dialect '{name}': not known; known are {', '.join(DIALECTS)}")
    return DIALECTS[name]


def _find_likeliest_dialect(header: Sequence[str], where: str) -> Dialect:
    """Return the dialect that most columns speak for.

    First counts the share of its required columns that the header has, then how many of all its columns.
    """
    # Required columns tell dialects apart; the others only break ties.
    keys = set(map(normalise, header))

    def measure_likeness(dialect: Dialect) -> tuple[float, int]:
        present = len(dialect.required & keys) / len(dialect.required)
        return present, len(keys & {column.key for column in dialect.columns})

    best = max(DIALECTS.values(), key=measure_likeness)
    # A dialect that lacks half of its columns is a guess: an error about its columns would mislead.
    if measure_likeness(best)[0] < 0.5:
        raise InputError(
            f"{where}: the header is of no known dialect. {_list_columns(header)} {_list_dialects()}; {_COLUMN_HELP}"
        )
    return best


def _make_mapped_dialect(
    header: Sequence[str], columns: Mapping[str, str], where: str, coordinates_apart: bool
) -> Dialect:
    """Make a dialect from a column map; internal names the header itself has need no mapping."""
    # Refuse names that mean nothing to us, or to the file.
    unknown = [name for name in columns if name not in MAPPED_COLUMNS]
    if unknown:
        raise InputError(f"--column {unknown[0]}=…: no such internal column; there are {', '.join(MAPPED_COLUMNS)}")
    absent = [name for name in columns.values() if normalise(name) not in map(normalise, header)]
    if absent:
        raise InputError(f"{where}: no column {_list_names(absent)} as --column says. {_list_columns(header)}")
    # Add the columns that have internal names already, unless the map uses their header.
    taken = {normalise(name) for name in columns.values()}
    own = [name for name in header if name in MAPPED_COLUMNS and name not in columns and normalise(name) not in taken]
    titles = dict(zip(own, own, strict=True)) | dict(columns)
    table = {normalise(title): MAPPED_COLUMNS[name] for name, title in titles.items()}
    # A trip needs a start, both ends, and an end time or a duration. Waypoints give all but the start's time.
    filled = {name for name, _ in table.values()}
    needed = {"started_at"} if "waypoints" in filled or coordinates_apart else {"started_at", *COORDINATES}
    lacking = sorted(needed - filled) + ([] if filled & {"ended_at", "duration_s", "waypoints"} else ["ended_at"])
    if lacking:
        raise InputError(
            f"{where}: the column map lacks {_list_names(lacking)}; add --column {lacking[0]}=… {_list_columns(header)}"
        )
    return Dialect(name="columns", columns=make_columns(table), required=frozenset(), north_west=False)


def _list_names(names: Sequence[str]) -> str:
    """Return names in quotes, for an error."""
    return ", ".join(f"'{name}'" for name in names)


def _list_columns(header: Sequence[str]) -> str:
    """Return the sentence of an error that lists a file's columns."""
    return f"The file has: {_list_names(header)}."


def _list_dialects() -> str:
    """Return the sentence of an error that lists the dialects."""
    return f"Known dialects: {', '.join(DIALECTS)}"


def sniff_column(
    layout: Layout,
    name: str,
    rows: Sequence[Sequence[str | None]],
    *,
    where: str,
    zone: str | None,
    more: Sequence[str] = (),
) -> TimeFormat:
    """Find the format of a column of times.

    Parameters
    ----------
    layout
        Layout of the file.
    name
        The internal column; the file may hold it in two columns.
    rows
        Cells of some rows, one for each column of the header; None where missing.
    where
        The file, for errors.
    zone
        The zone whose wall clock is wanted; None for the dialect's.
    more
        Further values of the column.

    Returns
    -------
    The one format of all values, see `rasterize.formats.times.sniff_times`.

    Raises
    ------
    InputError
        All rows lack the time; most values are no times; date and hour are lost.
    """
    # A date and a time of day are joined as one text.
    positions = layout.positions(name)
    named = f"{where}: column {' and '.join(repr(layout.header[position]) for position in positions)}"
    values = [" ".join(filter(None, (row[position] for position in positions))) for row in rows]
    values = [value for value in values if value.strip()]
    if not values:
        raise InputError(f"{named}: empty in the first {len(rows)} rows; trips need their times")
    return sniff_times([*values, *more], where=named, zone=zone or layout.dialect.zone)
