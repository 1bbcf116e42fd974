"""The look of a trip file: noted when it is read, and used to write other trips in exactly this look."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rasterize.distance import USUAL_VEHICLE, speed_limit_kmh
from rasterize.errors import InputError
from rasterize.files import write_atomically
from rasterize.formats.column_rules import Ignored, Style
from rasterize.formats.csv_text import find_delimiter, split_line, unquote
from rasterize.formats.dialects import DIALECTS, Column
from rasterize.formats.recognise import Layout, recognise_layout
from rasterize.formats.times import TimeFormat
from rasterize.trip_table import COORDINATES

if TYPE_CHECKING:
    import pandas as pd

# A missing value, as publishers and pandas write it.
NULLS = ("", "NULL", "\\N", "null", "NaN", "nan", "None")
# No more digits than an int64 holds, and no leading zeros, which an id may have.
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
# DuckDB's names of Parquet types → NumPy's.
_PANDAS_TYPES = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "FLOAT": "float32",
    "DOUBLE": "float64",
}


def describe_csv(layout: Layout, header: str, lines: Sequence[str], *, crlf: bool) -> dict[str, Any]:
    """Describe the look of a CSV file by its first lines.

    Parameters
    ----------
    layout
        Layout of the file.
    header
        Its first line.
    lines
        The lines that follow, some of them.
    crlf
        Whether lines end as Windows ends them.

    Returns
    -------
    JSON object of all that `write_trips_csv` needs but the formats of times, see `note_reading`.
    """
    delimiter = find_delimiter(header)
    # Lines of another length are no rows; the reader counts them.
    rows = [cells for line in lines if len(cells := split_line(line, delimiter)) == len(layout.header)]
    cells = dict(zip(layout.header, zip(*rows, strict=True), strict=True)) if rows else {}
    values = {name: [unquote(cell).strip() for cell in column] for name, column in cells.items()}
    return {
        "kind": "csv",
        **_describe(layout, values),
        "types": {name: _find_type(column) for name, column in values.items()},
        "delimiter": delimiter,
        "line_ending": "\r\n" if crlf else "\n",
        "header_quoted": header.startswith('"'),
        "quoted": [name for name, column in cells.items() if _all_quoted(column)],
        "nulls": {name: null for name, column in values.items() if (null := _find_null(column))},
    }


def describe_parquet(layout: Layout, types: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Describe the look of a Parquet file by its schema and first values.

    Parameters
    ----------
    layout
        Layout of the file.
    types
        DuckDB's name of the type of each column, by header.
    values
        Some values of each column as text, by header.

    Returns
    -------
    JSON object, as of `describe_csv` but without what only text has.
    """
    return {"kind": "parquet", **_describe(layout, values), "types": dict(types)}


def note_reading(name: str, times: Mapping[str, TimeFormat], columns: Mapping[str, str]) -> dict[str, Any]:
    """Note what reading a file found beside its look.

    Parameters
    ----------
    name
        The file.
    times
        Format of each column of times, by internal name.
    columns
        The column map it was read by; may be empty.

    Returns
    -------
    JSON object, to be joined with that of `describe_csv` or `describe_parquet`.
    """
    return {"file": name, "times": {name: times[name].to_json() for name in times}, "mapping": dict(columns)}


def _describe(layout: Layout, values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Describe what both kinds of files have."""
    named = {column.field: values.get(name, ()) for name, column in _list_known(layout)}
    return {
        "dialect": layout.dialect.name,
        "columns": list(layout.header),
        "decimals": {name: _count_decimals(named[name]) for name in COORDINATES if named.get(name)},
        "genders": _find_genders(named.get("gender", ())),
    }


def _list_known(layout: Layout) -> list[tuple[str, Column]]:
    """Return the headers that fill internal columns, with these."""
    pairs = zip(layout.header, layout.columns, strict=True)
    return [(name, column) for name, column in pairs if column is not None and column.field]


def _find_type(values: Sequence[str]) -> str:
    """Return "int" for whole numbers without leading zeros, else "text"; both may have missing values."""
    present = [value for value in values if value not in NULLS]
    return "int" if present and all(map(_INTEGER.fullmatch, present)) else "text"


def _all_quoted(cells: Sequence[str]) -> bool:
    """Return whether all cells that hold something are in quotes."""
    present = [cell for cell in cells if cell not in NULLS]
    return bool(present) and all(cell.startswith('"') for cell in present)


def _find_null(values: Sequence[str]) -> str:
    """Return how the column writes a missing value, which is mostly not at all."""
    counts = Counter(value for value in values if value in NULLS)
    return counts.most_common(1)[0][0] if counts else ""


def _count_decimals(values: Sequence[str]) -> int:
    """Return the most digits behind the point; 15, which cuts no float64, where all have an exponent."""
    return max((len(value.partition(".")[2]) for value in values if "e" not in value.lower()), default=15)


def _find_genders(values: Sequence[str]) -> dict[str, str]:
    """Return the file's most frequent word for unknown, male and female."""
    # A file without genders, or with codes alone, gets codes.
    counts = Counter(value for value in values if value not in NULLS)
    codes = {"unknown": "0", "male": "1", "female": "2"}
    if not counts or set(counts) <= {"0", "1", "2"}:
        return codes
    words = {"m": "male", "male": "male", "f": "female", "female": "female", "1": "male", "2": "female"}
    chosen = {"unknown": "unknown", "male": "male", "female": "female"}
    # The most frequent word comes last and so wins.
    for value, _ in reversed(counts.most_common()):
        chosen[words.get(value.lower().removesuffix(".0"), "unknown")] = value
    return chosen


def format_trips(trips: "pd.DataFrame", source: Mapping[str, Any], *, seed: int = 0) -> "pd.DataFrame":
    """Put trips into exactly the columns, order, types and spellings of the file `source` describes.

    Parameters
    ----------
    trips : DataFrame of N trips
        Internal names, with `start_station_name` and `end_station_name`.
    source
        What reading the file gave as `Ingested.source`.
    seed
        Of made-up ids of trips and vehicles; they are never real ones.

    Returns
    -------
    DataFrame of N rows with the file's columns, values ready to be written.

    Raises
    ------
    InputError
        The file holds fixes of a cab, which are no table of trips.
    """
    import numpy as np
    import pandas as pd

    if source["dialect"] == "cabspotting":
        raise InputError("dialect 'cabspotting': fixes of a cab are no table of trips; decode with --dialect internal")
    layout = _restore_layout(source)
    style = _restore_style(source, layout)
    # Column by column in the order of the file: made-up ids depend on the order of draws.
    rng = np.random.default_rng(seed)
    written = {}
    for header, column in zip(layout.header, layout.columns, strict=True):
        rule, name = (column.rule, column.field or "") if column else (Ignored(), "")
        written[header] = _cast(rule.write(trips, name, style, rng), source["types"].get(header, "text"))
    return pd.DataFrame(written, columns=list(layout.header))


def read_speed_limit(source: Mapping[str, Any]) -> float:
    """Return the speed limit (km/h) that reading noted in `source`; that of the vehicle where it noted none."""
    if "speed_limit_kmh" in source:
        return float(source["speed_limit_kmh"])
    dialect = DIALECTS.get(source.get("dialect"))
    return speed_limit_kmh(dialect.vehicle if dialect else USUAL_VEHICLE)


def _restore_layout(source: Mapping[str, Any]) -> Layout:
    """Return the layout again, from what was noted of it."""
    columns = source["mapping"] or None
    dialect = None if columns else source["dialect"]
    return recognise_layout(
        source["columns"], where="the source", columns=columns, dialect=dialect, coordinates_apart=True
    )


def _restore_style(source: Mapping[str, Any], layout: Layout) -> Style:
    """Return what rules need to write, from what was noted of the file."""
    times = {name: TimeFormat.from_json(value) for name, value in source["times"].items()}
    return Style(times=times, genders=source["genders"], decimals=source["decimals"], step_s=layout.dialect.step_s)


def _cast(values: "pd.Series", type_name: str) -> "pd.Series":
    """Return a column in the type the file gives it; whole numbers with gaps become pandas' Int64."""
    import pandas as pd

    if type_name in ("int", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        # A column that holds something else than whole numbers stays text.
        present = values.dropna().astype(str).str.removesuffix(".0")
        if all(map(_INTEGER.fullmatch, present)):
            plain = _PANDAS_TYPES.get(type_name, "int64")
            numbers = present.astype("int64").reindex(values.index, fill_value=0)
            gaps = values.isna()
            return numbers.astype(plain.capitalize()).mask(gaps) if gaps.any() else numbers.astype(plain)
    if type_name in ("FLOAT", "DOUBLE"):
        return pd.to_numeric(values, errors="coerce").astype(_PANDAS_TYPES[type_name])
    return values


def write_trips_csv(path: Path, trips: "pd.DataFrame", source: Mapping[str, Any], *, seed: int = 0) -> None:
    """Write trips as CSV with the delimiter, quotes, missing values and line ends of the file `source` describes.

    The file appears at once and whole. What was Parquet is written as CSV with pandas' defaults.

    Parameters
    ----------
    path
        The file to write.
    trips, source, seed
        See `format_trips`.

    Raises
    ------
    InputError
        See `format_trips`.
    """
    table = format_trips(trips, source, seed=seed)
    with write_atomically(path) as temporary:
        if source["kind"] == "parquet":
            table.to_csv(temporary, index=False)
            return
        delimiter, end = source["delimiter"], source["line_ending"]
        # Spell column by column, then write row by row.
        columns = [_write_cells(table[name], name, source) for name in table]
        header = [f'"{name}"' if source["header_quoted"] else _quote_if_needed(name, delimiter) for name in table]
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(delimiter.join(header) + end)
            file.writelines(delimiter.join(row) + end for row in zip(*columns, strict=True))


def _write_cells(values: "pd.Series", name: str, source: Mapping[str, Any]) -> list[str]:
    """Return one column as cells, quoted as the file does, and where a value needs it."""
    null, delimiter = source["nulls"].get(name, ""), source["delimiter"]
    missing = values.isna().tolist()
    texts = map(str, values.tolist())
    if name in source["quoted"]:
        return [null if gap else '"' + text.replace('"', '""') + '"' for gap, text in zip(missing, texts, strict=True)]
    return [null if gap else _quote_if_needed(text, delimiter) for gap, text in zip(missing, texts, strict=True)]


def _quote_if_needed(text: str, delimiter: str) -> str:
    """Return the text, in quotes where it could not be read without."""
    if delimiter in text or '"' in text or "\n" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
