"""The data model: every column of a table of trips, its type, unit and meaning; and such a table read from a file.

Whatever a publisher calls its columns, inside this program they have the names below. A table has only the columns
that its source fills. Dialects map publishers' names to these and back, see `rasterize.formats.dialects`. All files of
a run are in docs/data-model.md.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


class Field(NamedTuple):
    """What a column of a table of trips holds.

    Attributes
    ----------
    sql_type : str
        Its type in DuckDB.
    unit : str
        The unit of its numbers; empty for texts.
    meaning : str
        What it tells of a trip.
    """

    sql_type: str
    unit: str
    meaning: str


# In the order of trips.parquet. There every trip has its times, `duration_s`, coordinates and stations; any other value
# may be missing.
DATA_MODEL: Mapping[str, Field] = {
    # What a trip is, and when. Times are the clock on the wall of the city, without a time zone.
    "trip_id": Field("VARCHAR", "", "The publisher's id; synthetic-0, synthetic-1, … of decoded trips."),
    "started_at": Field("TIMESTAMP", "microseconds", "When the trip began."),
    "ended_at": Field("TIMESTAMP", "microseconds", "When it ended; after started_at."),
    "duration_s": Field("DOUBLE", "seconds", "How long it took, as the publisher reports it or by its two times."),
    # From where to where. The names of stations are in stations.parquet, not in trips.parquet.
    "start_station_id": Field("VARCHAR", "", "The station where it began; a grid cell where there is none."),
    "start_station_name": Field("VARCHAR", "", "The name of that station."),
    "end_station_id": Field("VARCHAR", "", "The station where it ended; a grid cell where there is none."),
    "end_station_name": Field("VARCHAR", "", "The name of that station."),
    "start_lat": Field("DOUBLE", "degrees, WGS 84", "Latitude of the start."),
    "start_lng": Field("DOUBLE", "degrees, WGS 84", "Longitude of the start."),
    "end_lat": Field("DOUBLE", "degrees, WGS 84", "Latitude of the end."),
    "end_lng": Field("DOUBLE", "degrees, WGS 84", "Longitude of the end."),
    # Who rode, and what.
    "user_type": Field("VARCHAR", "", "The kind of customer, in the publisher's words."),
    "gender": Field("VARCHAR", "", "The rider's: male, female or unknown."),
    "birth_year": Field("SMALLINT", "years", "The year in which the rider was born."),
    "rideable_type": Field("VARCHAR", "", "The kind of vehicle, in the publisher's words."),
    "bike_id": Field("VARCHAR", "", "The vehicle. Kept of real trips, but not shown in images."),
    # The way between the ends, where it is known.
    "waypoints": Field("DOUBLE[]", "degrees, WGS 84", "Points on the way, in one flat list: [lat, lng, lat, lng, …]."),
    # What this program adds.
    "split": Field("VARCHAR", "", "What a real trip is for. A: train; B: measure; C: fresh trips to compare with."),
    "confidence": Field("DOUBLE", "chance, 0 to 1", "That a decoded trip was painted in its image, ends included."),
}

# What decoded trips have besides. No dialect reads or writes these.
DECODED_MODEL: Mapping[str, Field] = {
    "image": Field("BIGINT", "", "The number of the image in which the trip was found."),
    "residual": Field("REAL", "share, 0 to 1", "How much of that image's norm all its trips leave unexplained."),
}

# ---- types derived from the data model -------------------------------------------------------------------------------

FIELDS = {name: field.sql_type for name, field in DATA_MODEL.items()}  # with SQL types

TEXT = pa.string()  # texts that are all different
WORDS = pa.dictionary(pa.int32(), pa.string())  # few different ones
ARROW_TYPES = {
    "VARCHAR": WORDS,
    "TIMESTAMP": pa.timestamp("us"),
    "DOUBLE": pa.float64(),
    "SMALLINT": pa.int16(),
    "DOUBLE[]": pa.list_(pa.float64()),
}
COLUMN_TYPES = {name: ARROW_TYPES[kind] for name, kind in FIELDS.items()} | {"trip_id": TEXT}

# Columns of few different texts, and of which kind these are: both ends share the words of one kind.
WORD_KINDS = {
    name: name.removeprefix("start_").removeprefix("end_") for name, type_ in COLUMN_TYPES.items() if type_ == WORDS
}

# Columns of the two ends, and the columns that every table of trips has.
COORDINATES = ("start_lat", "start_lng", "end_lat", "end_lng")
OF_ENDS = {*COORDINATES, *(f"{end}_station_{what}" for end in ("start", "end") for what in ("id", "name"))}
ALWAYS = {"trip_id", "started_at", "ended_at", "duration_s", *OF_ENDS}


# ---- the lazy table --------------------------------------------------------------------------------------------------


class TripFile:
    """Trips of a file, read column by column when they are asked for: for more trips than fit in memory.

    It has as much of a `pandas.DataFrame` as encoding needs. Texts come as categories.

    Parameters
    ----------
    path : Path
        trips.parquet of a run folder.
    split : str, optional
        Only the trips of this split; all of them by default.

    Attributes
    ----------
    columns : tuple of str
        The columns of the file.
    """

    def __init__(self, path: Path, split: str | None = None) -> None:
        schema = pq.read_schema(path)
        self.columns = tuple(schema.names)
        words = [name for name in schema.names if pa.types.is_string(schema.field(name).type) and name != "trip_id"]
        self._trips = ds.dataset(path, format=ds.ParquetFileFormat(dictionary_columns=words))
        self._which = None if split is None else ds.field("split") == split

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __len__(self) -> int:
        return self._trips.count_rows(filter=self._which)

    def __getitem__(self, names: str | Sequence[str]) -> pd.Series | pd.DataFrame:
        """Return one column, or a table of some."""
        # Give back what pandas took for the column before; then read in memory that goes back by itself.
        wanted = [names] if isinstance(names, str) else list(names)
        pa.default_memory_pool().release_unused()
        table = self._trips.to_table(columns=wanted, filter=self._which, memory_pool=pa.system_memory_pool())
        table = table.unify_dictionaries().to_pandas(split_blocks=True, self_destruct=True)
        return table[names] if isinstance(names, str) else table
