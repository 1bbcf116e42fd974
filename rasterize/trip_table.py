"""A trips.parquet as a table whose columns are read when they are asked for, for more trips than fit in memory."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

# Internal columns in the order of trips.parquet, with their SQL types; names of stations stay in stations.parquet.
FIELDS = {
    "trip_id": "VARCHAR",
    "started_at": "TIMESTAMP",
    "ended_at": "TIMESTAMP",
    "duration_s": "DOUBLE",
    "start_station_id": "VARCHAR",
    "start_station_name": "VARCHAR",
    "end_station_id": "VARCHAR",
    "end_station_name": "VARCHAR",
    "start_lat": "DOUBLE",
    "start_lng": "DOUBLE",
    "end_lat": "DOUBLE",
    "end_lng": "DOUBLE",
    "user_type": "VARCHAR",
    "gender": "VARCHAR",
    "birth_year": "SMALLINT",
    "rideable_type": "VARCHAR",
    "bike_id": "VARCHAR",
    "waypoints": "DOUBLE[]",
    "split": "VARCHAR",
    "confidence": "DOUBLE",
}
COORDINATES = ("start_lat", "start_lng", "end_lat", "end_lng")


TEXT, WORDS = pa.string(), pa.dictionary(pa.int32(), pa.string())
ARROW_TYPES = {"VARCHAR": WORDS, "TIMESTAMP": pa.timestamp("us"), "DOUBLE": pa.float64(), "SMALLINT": pa.int16()}
ARROW_TYPES |= {"DOUBLE[]": pa.list_(pa.float64())}
COLUMN_TYPES = {name: ARROW_TYPES[kind] for name, kind in FIELDS.items()} | {"trip_id": TEXT}
WORD_KINDS = {  # columns of few different texts, and of which kind they are
    name: name.removeprefix("start_").removeprefix("end_") for name, type_ in COLUMN_TYPES.items() if type_ == WORDS
}
OF_ENDS = {*COORDINATES, *(f"{end}_station_{what}" for end in ("start", "end") for what in ("id", "name"))}
_ALWAYS = {"trip_id", "started_at", "ended_at", "duration_s", *OF_ENDS}


class TripFile:
    """Trips of a file, with as much of a `pandas.DataFrame` as encoding needs; texts come as categories.

    Parameters
    ----------
    path
        trips.parquet of a run folder.
    split
        Only the trips of this split.
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
        """One column, or a table of some."""
        wanted = [names] if isinstance(names, str) else list(names)
        pa.default_memory_pool().release_unused()  # what pandas took from it for the column before
        table = self._trips.to_table(columns=wanted, filter=self._which, memory_pool=pa.system_memory_pool())
        table = table.unify_dictionaries().to_pandas(split_blocks=True, self_destruct=True)
        return table[names] if isinstance(names, str) else table
