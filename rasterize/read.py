"""Trip files → clean trips and stations: the first stage's input side, in DuckDB, for more rows than fit in memory."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from rasterize import clean
from rasterize.clean import Box, CleanOptions
from rasterize.dialects import FIELDS
from rasterize.errors import InputError
from rasterize.files import write_atomically, write_json
from rasterize.frame import Frame
from rasterize.rules import check_zone
from rasterize.stage import Staged, create_table, stage_table
from rasterize.stations import PlaceOptions, load_station_file, locate_ends, write_stations
from rasterize.unpack import find_files, unpack

if TYPE_CHECKING:
    import pandas as pd

MEMORY = "1200MB"  # what DuckDB holds before it writes to the temporary folder
BATCH_ROWS = 250_000
WIDE_MARGIN = 1.0  # of the area in `read_trips`: what was clean once stays so, however few trips are left at its edge
_NOT_IN_TRIPS = {"start_station_name", "end_station_name", "split", "confidence"}


@dataclass(frozen=True, kw_only=True)
class IngestOptions:
    """How trip files are read and cleaned."""

    clean: CleanOptions = field(default_factory=CleanOptions)
    places: PlaceOptions = field(default_factory=PlaceOptions)  # with the resolution of the frame
    time_zone: str | None = None  # wall clock for times in UTC, with an offset, or since 1970; None: the dialect's
    columns: Mapping[str, str] = field(default_factory=dict)  # internal name → header, for files of no known dialect
    stations: Path | None = None  # GBFS station_information, GeoJSON or CSV: coordinates the trips lack
    dialect: str | None = None  # None: recognised from the header
    train_share: float = 1 / 3  # of trips that train (split A); the rest is shared equally by B and C
    seed: int = 0  # of the split

    def __post_init__(self) -> None:
        check_zone(self.time_zone)
        if not 0 < self.train_share <= 1:
            raise InputError(f"train_share {self.train_share}: must lie in (0, 1]")


@dataclass(frozen=True, kw_only=True)
class Ingested:
    """What `ingest` found."""

    frame: Frame
    n_trips: int
    rejects: dict[str, Any]  # as in rejects.json
    source: dict[str, Any]  # the look of the first file, for `rasterize.source.format_trips`


def ingest(paths: Sequence[str | Path], run: Path, *, options: IngestOptions | None = None) -> Ingested:
    """Read and clean trip files; write `trips.parquet`, `stations.parquet` and `rejects.json` to the run folder.

    Parameters
    ----------
    paths
        Files, globs and folders.
    run
        The run folder; made when it is not there.

    Raises
    ------
    InputError
        A file that cannot be read, or too little left to work with.
    """
    options = options or IngestOptions()
    with _engine() as (connection, folder):
        files = _stage_files(connection, folder, paths, options)
        box = _judge(connection, files, options.clean)
        _check_enough(_count_rejects(connection, files, "judged"))
        frame = locate_ends(connection, box, options.places)
        fields = _fields(files)
        connection.execute(_kept_sql(fields))
        rejects = _count_rejects(connection, files, "kept")
        _check_enough(rejects)
        _check_places(connection, rejects)
        n_trips = _write_trips(connection, run / "trips.parquet", fields, options)
        write_stations(connection, run / "stations.parquet")
    write_json(run / "rejects.json", rejects)
    return Ingested(frame=frame, n_trips=n_trips, rejects=rejects, source=files[0].source)


def read_trips(paths: Sequence[str | Path], *, options: IngestOptions | None = None) -> "pd.DataFrame":
    """Trips of any files as a table with internal names, with station names, without frame, cells and one-off rule.

    Our own files (dialect "internal") are taken as they are but for rows that are no trips at all; others are cleaned,
    with an area so wide that only gross errors lie outside. Ends in the open have no station id.
    """
    options = options or IngestOptions()
    with _engine() as (connection, folder):
        files = _stage_files(connection, folder, paths, options)
        if all(file.layout.dialect.name == "internal" for file in files):
            connection.execute("CREATE VIEW judged AS SELECT rowid AS seq, * FROM staged")
        else:
            _judge(connection, files, replace(options.clean, box_margin=max(WIDE_MARGIN, options.clean.box_margin)))
        columns = ", ".join(_fields(files, leave_out=set()))
        trips = connection.execute(f"SELECT {columns} FROM judged WHERE reason IS NULL ORDER BY started_at, seq").df()
        if trips.empty:
            raise _too_few(_count_rejects(connection, files, "judged"))
        return trips


@contextmanager
def _engine() -> Iterator[tuple[duckdb.DuckDBPyConnection, Path]]:
    """DuckDB with bounded memory, and a temporary folder for unpacked files and for what does not fit in memory."""
    with tempfile.TemporaryDirectory(prefix="pgan-trips-") as name:
        folder = Path(name, "unpacked")
        folder.mkdir()
        config = {"memory_limit": MEMORY, "temp_directory": str(Path(name, "spilled"))}
        with closing(duckdb.connect(config=config)) as connection:
            yield connection, folder


def _stage_files(
    connection: duckdb.DuckDBPyConnection, folder: Path, paths: Sequence[str | Path], options: IngestOptions
) -> list[Staged]:
    """Fill the table `staged` with the rows of all files."""
    create_table(connection)
    if options.stations:
        load_station_file(connection, options.stations)
        connection.execute("SET disabled_optimizers = 'build_side_probe_side'")  # else rows lose the order of the file
    files: list[Staged] = []
    for file in find_files(paths):
        for table in unpack(file, folder):
            files.append(stage_table(connection, table, number=len(files), options=options))
            if not table.parquet:
                table.path.unlink(missing_ok=True)
    return files


def _judge(connection: duckdb.DuckDBPyConnection, files: list[Staged], options: CleanOptions) -> Box:
    """Make the view `judged`: `staged` with its order as `seq`, and with the rules about the crowd in `reason`."""
    box = clean.find_box(connection, "staged", options)
    if box is None:
        connection.execute("CREATE VIEW judged AS SELECT rowid AS seq, * FROM staged")
        raise _too_few(_count_rejects(connection, files, "judged"))
    depots = clean.find_depots(connection, "staged", options)
    reason = clean.crowd_reason_sql(options, box, depots, files[0].layout.dialect.vehicle)
    connection.execute(f"CREATE VIEW judged AS SELECT rowid AS seq, * REPLACE ({reason} AS reason) FROM staged")
    return box


def _fields(files: list[Staged], leave_out: set[str] = frozenset(_NOT_IN_TRIPS)) -> list[str]:
    """The internal columns that at least one file has."""
    return [name for name in FIELDS if name not in leave_out and any(file.fills(name) for file in files)]


def _kept_sql(fields: list[str]) -> str:
    """SQL of the table `kept`: accepted rows whose both ends are in `places`, ends with the ids of their places."""
    columns = {name: f"j.{name}" for name in fields}
    for end in ("start", "end"):
        columns[f"{end}_station_id"] = f"{end}_place.id"
        for axis in ("lat", "lng"):  # an end in the open keeps its own coordinates
            columns[f"{end}_{axis}"] = (
                f"CASE WHEN j.{end}_station_id IS NULL THEN j.{end}_{axis} ELSE {end}_place.{axis} END"
            )
    joins = " ".join(
        f"LEFT JOIN (SELECT seq, place FROM open_ends WHERE side = '{end}') AS {end}_open ON {end}_open.seq = j.seq "
        f"JOIN places AS {end}_place ON {end}_place.id = coalesce(j.{end}_station_id, {end}_open.place)"
        for end in ("start", "end")
    )
    selected = ", ".join(f"{sql} AS {name}" for name, sql in columns.items())
    return (
        f"CREATE TABLE kept AS SELECT j.seq, j.file, NULL AS reason, {selected} "
        f"FROM judged j {joins} WHERE j.reason IS NULL"
    )


def _count_rejects(connection: duckdb.DuckDBPyConnection, files: list[Staged], accepted: str) -> dict[str, Any]:
    """What became of every row: kept in the table `accepted`, or rejected, and why; also file by file."""
    by_file = "SELECT file, reason, count(*) FROM {} GROUP BY ALL ORDER BY file, 3 DESC, reason"
    kept = {
        file: count for file, reason, count in connection.execute(by_file.format(accepted)).fetchall() if not reason
    }
    counts = connection.execute(by_file.format("judged")).fetchall()
    tables = []
    for number, file in enumerate(files):
        rejected = {reason: count for reason, count in file.lost.items() if count}
        for _, reason, count in (row for row in counts if row[0] == number):
            # what passed all rules but is not kept touches a one-off place
            why, n = (clean.ONE_OFF, count - kept.get(number, 0)) if reason is None else (reason, count)
            if n:
                rejected[why] = rejected.get(why, 0) + n
        rows = kept.get(number, 0) + sum(rejected.values())
        tables.append({"file": file.name, "rows": rows, "kept": kept.get(number, 0), "rejected": rejected})
    return _total(tables) | {"files": tables}


def _total(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all files, the most frequent reason first."""
    rejected: dict[str, int] = {}
    for table in tables:
        for reason, count in table["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
    ordered = dict(sorted(rejected.items(), key=lambda item: (-item[1], item[0])))
    return {"rows": sum(t["rows"] for t in tables), "kept": sum(t["kept"] for t in tables), "rejected": ordered}


def _check_enough(rejects: dict[str, Any]) -> None:
    """Refuse what cannot train anything: fewer than two trips."""
    if rejects["kept"] < 2:
        raise _too_few(rejects)


def _check_places(connection: duckdb.DuckDBPyConnection, rejects: dict[str, Any]) -> None:
    """Refuse trips that all start and end at the same place."""
    ids = "SELECT start_station_id AS id FROM kept UNION SELECT end_station_id FROM kept"
    if connection.execute(f"SELECT count(*) FROM ({ids})").fetchone()[0] < 2:
        where = ", ".join(table["file"] for table in rejects["files"][:3])
        raise InputError(f"{where}: all {rejects['kept']} trips are at one station; give trips between at least two")


def _too_few(rejects: dict[str, Any]) -> InputError:
    where = ", ".join(table["file"] for table in rejects["files"][:3])
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejects["rejected"].items()) or "none"
    return InputError(
        f"{where}: {rejects['kept']} of {rejects['rows']} rows are left as trips, at least 2 are needed; rejected "
        f"were: {reasons}; give more trips, or loosen the rule that rejects most"
    )


def _write_trips(connection: duckdb.DuckDBPyConnection, path: Path, fields: list[str], options: IngestOptions) -> int:
    """Write the table `kept` in order of time with a random `split`, batch by batch; gives the number of trips."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    rng = np.random.default_rng(options.seed)
    cuts = [options.train_share, (1 + options.train_share) / 2]
    names = np.array(["A", "B", "C"])
    query = f"SELECT {', '.join(fields)} FROM kept ORDER BY started_at, seq"
    batches = connection.cursor().sql(query).to_arrow_reader(BATCH_ROWS)
    schema = batches.schema.append(pa.field("split", pa.string()))
    n_trips = 0
    with write_atomically(path) as temporary, pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
        for batch in batches:
            split = names[np.searchsorted(cuts, rng.random(len(batch)), side="right")]
            table = pa.Table.from_batches([batch]).append_column("split", pa.array(split, pa.string()))
            writer.write_table(table, row_group_size=BATCH_ROWS)
            n_trips += len(batch)
    return n_trips
