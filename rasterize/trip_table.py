"""A trips.parquet as a table whose columns are read when they are asked for, for more trips than fit in memory."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq


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
