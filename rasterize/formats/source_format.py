"""What a trip file looks like, noted when it is read, and used to write other trips in exactly the same look."""

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
from rasterize.formats.dialects import DIALECTS
from rasterize.formats.recognise import Layout, recognise
from rasterize.formats.times import TimeFormat
from rasterize.trip_table import COORDINATES

if TYPE_CHECKING:
    import pandas as pd

NULLS = ("", "NULL", "\\N", "null", "NaN", "nan", "None")  # a missing value, as publishers and pandas write it
_INTEGER = re.compile(r"-?(?:0|[1-9]\d{0,17})")
_PANDAS_TYPES = {
    "TINYINT": "int8",
    "SMALLINT": "int16",
    "INTEGER": "int32",
    "BIGINT": "int64",
    "FLOAT": "float32",
    "DOUBLE": "float64",
}


def describe_csv(layout: Layout, header: str, lines: Sequence[str], *, crlf: bool) -> dict[str, Any]:
    """The look of a CSV file, from its header line and first lines, as a JSON object; times are added by the reader."""
    delimiter = find_delimiter(header)
    rows = [cells for line in lines if len(cells := split_line(line, delimiter)) == len(layout.header)]
    cells = dict(zip(layout.header, zip(*rows, strict=True), strict=True)) if rows else {}
    values = {name: [unquote(cell).strip() for cell in column] for name, column in cells.items()}
    return {
        "kind": "csv",
        **_describe(layout, values),
        "types": {name: _type_of(column) for name, column in values.items()},
        "delimiter": delimiter,
        "line_ending": "\r\n" if crlf else "\n",
        "header_quoted": header.startswith('"'),
        "quoted": [name for name, column in cells.items() if _all_quoted(column)],
        "nulls": {name: null for name, column in values.items() if (null := _null_of(column))},
    }


def describe_parquet(layout: Layout, types: Mapping[str, str], values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """The look of a Parquet file, from its schema and the first values as text, as a JSON object."""
    return {"kind": "parquet", **_describe(layout, values), "types": dict(types)}


def note_reading(name: str, times: Mapping[str, TimeFormat], columns: Mapping[str, str]) -> dict[str, Any]:
    """What reading a file found beside its look: its name, its formats of times, and the column map it was read by."""
    return {"file": name, "times": {name: times[name].to_json() for name in times}, "mapping": dict(columns)}


def _describe(layout: Layout, values: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """What both kinds of files have."""
    named = {column.field: values.get(name, ()) for name, column in _known(layout)}
    return {
        "dialect": layout.dialect.name,
        "columns": list(layout.header),
        "decimals": {name: _decimals(named[name]) for name in COORDINATES if named.get(name)},
        "genders": _genders(named.get("gender", ())),
    }


def _known(layout: Layout) -> list[tuple[str, Any]]:
    pairs = zip(layout.header, layout.columns, strict=True)
    return [(name, column) for name, column in pairs if column is not None and column.field]


def _type_of(values: Sequence[str]) -> str:
    """ "int" for whole numbers without leading zeros, else "text"; both may have missing values."""
    there = [value for value in values if value not in NULLS]
    return "int" if there and all(map(_INTEGER.fullmatch, there)) else "text"


def _all_quoted(cells: Sequence[str]) -> bool:
    there = [cell for cell in cells if cell not in NULLS]
    return bool(there) and all(cell.startswith('"') for cell in there)


def _null_of(values: Sequence[str]) -> str:
    """How the column writes a missing value, mostly not at all."""
    counts = Counter(value for value in values if value in NULLS)
    return counts.most_common(1)[0][0] if counts else ""


def _decimals(values: Sequence[str]) -> int:
    return max((len(value.partition(".")[2]) for value in values if "e" not in value.lower()), default=15)


def _genders(values: Sequence[str]) -> dict[str, str]:
    """The file's most frequent word for unknown, male and female."""
    counts = Counter(value for value in values if value not in NULLS)
    codes = {"unknown": "0", "male": "1", "female": "2"}
    if not counts or set(counts) <= {"0", "1", "2"}:
        return codes
    words = {"m": "male", "male": "male", "f": "female", "female": "female", "1": "male", "2": "female"}
    chosen = {"unknown": "unknown", "male": "male", "female": "female"}
    for value, _ in reversed(counts.most_common()):
        chosen[words.get(value.lower().removesuffix(".0"), "unknown")] = value
    return chosen


def format_trips(trips: "pd.DataFrame", source: Mapping[str, Any], *, seed: int = 0) -> "pd.DataFrame":
    """Trips in exactly the columns, order, types, date format and value spellings of the file `source` describes.

    Parameters
    ----------
    trips
        Internal names, with `start_station_name` and `end_station_name`.
    source
        What reading the file gave as `Ingested.source`.
    seed
        Of made-up ids of trips and vehicles; they are never real ones.
    """
    import numpy as np
    import pandas as pd

    if source["dialect"] == "cabspotting":
        raise InputError("dialect 'cabspotting': fixes of a cab are no table of trips; decode with --dialect internal")
    layout = _layout_of(source)
    style = _style_of(source, layout)
    rng = np.random.default_rng(seed)
    written = {}
    for header, column in zip(layout.header, layout.columns, strict=True):
        rule, name = (column.rule, column.field or "") if column else (Ignored(), "")
        written[header] = _typed(rule.write(trips, name, style, rng), source["types"].get(header, "text"))
    return pd.DataFrame(written, columns=list(layout.header))


def noted_speed_limit(source: Mapping[str, Any]) -> float:
    """Return the speed limit, in km/h, that reading noted in `source`; where it noted none, the vehicle's."""
    if "speed_limit_kmh" in source:
        return float(source["speed_limit_kmh"])
    dialect = DIALECTS.get(source.get("dialect"))
    return speed_limit_kmh(dialect.vehicle if dialect else USUAL_VEHICLE)


def _layout_of(source: Mapping[str, Any]) -> Layout:
    """The layout again, from what was noted of it."""
    columns = source["mapping"] or None
    dialect = None if columns else source["dialect"]
    return recognise(source["columns"], where="the source", columns=columns, dialect=dialect, coordinates_apart=True)


def _style_of(source: Mapping[str, Any], layout: Layout) -> Style:
    times = {name: TimeFormat.from_json(value) for name, value in source["times"].items()}
    return Style(times=times, genders=source["genders"], decimals=source["decimals"], step_s=layout.dialect.step_s)


def _typed(values: "pd.Series", type_name: str) -> "pd.Series":
    """The column in the type the file gives it; whole numbers with gaps become pandas' Int64."""
    import pandas as pd

    if type_name in ("int", "TINYINT", "SMALLINT", "INTEGER", "BIGINT"):
        there = values.dropna().astype(str).str.removesuffix(".0")
        if all(map(_INTEGER.fullmatch, there)):  # else it holds what is no whole number, and stays text
            plain = _PANDAS_TYPES.get(type_name, "int64")
            numbers = there.astype("int64").reindex(values.index, fill_value=0)
            gaps = values.isna()
            return numbers.astype(plain.capitalize()).mask(gaps) if gaps.any() else numbers.astype(plain)
    if type_name in ("FLOAT", "DOUBLE"):
        return pd.to_numeric(values, errors="coerce").astype(_PANDAS_TYPES[type_name])
    return values


def write_trips_csv(path: Path, trips: "pd.DataFrame", source: Mapping[str, Any], *, seed: int = 0) -> None:
    """Write `format_trips` as CSV with the file's own delimiter, quotes, missing values and line ends, atomically.

    A file that was Parquet is written with pandas' defaults.
    """
    table = format_trips(trips, source, seed=seed)
    with write_atomically(path) as temporary:
        if source["kind"] == "parquet":
            table.to_csv(temporary, index=False)
            return
        delimiter, end = source["delimiter"], source["line_ending"]
        columns = [_cells(table[name], name, source) for name in table]
        header = [f'"{name}"' if source["header_quoted"] else _quoted(name, delimiter) for name in table]
        with temporary.open("w", encoding="utf-8", newline="") as file:
            file.write(delimiter.join(header) + end)
            file.writelines(delimiter.join(row) + end for row in zip(*columns, strict=True))


def _cells(values: "pd.Series", name: str, source: Mapping[str, Any]) -> list[str]:
    """One column as cells, quoted as the file does, and where a value needs it."""
    null, delimiter = source["nulls"].get(name, ""), source["delimiter"]
    always = name in source["quoted"]
    missing = values.isna().tolist()
    texts = map(str, values.tolist())
    if always:
        return [null if gap else '"' + text.replace('"', '""') + '"' for gap, text in zip(missing, texts, strict=True)]
    return [null if gap else _quoted(text, delimiter) for gap, text in zip(missing, texts, strict=True)]


def _quoted(text: str, delimiter: str) -> str:
    """The text, in quotes where it could not be read without."""
    if delimiter in text or '"' in text or "\n" in text:
        return '"' + text.replace('"', '""') + '"'
    return text
