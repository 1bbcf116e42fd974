"""One table of a user's file → a part: through Arrow where the text is plain, else through DuckDB."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from rasterize.ingest.parts import Part, find_part, write_part
from rasterize.ingest.read_arrow import NotPlain, read_with_arrow
from rasterize.ingest.read_duckdb import read_with_duckdb
from rasterize.ingest.unpack import Packed

if TYPE_CHECKING:
    from rasterize.ingest.options import IngestOptions

VERSION = 1  # of parts; a part of another version is made again


def make_part(packed: Packed, folder: Path, options: "IngestOptions") -> Part:
    """Make the part of a table, unless an earlier try left it in the folder.

    Parameters
    ----------
    packed
        The table as the user has it.
    folder
        Where parts are kept.
    options
        How the table is read and cleaned.

    Returns
    -------
    The part, whole and on disk.

    Raises
    ------
    InputError
        No rows; no known dialect; times or coordinates that cannot be used; a damaged file.
    """
    path = folder / f"{_fingerprint(packed, options)}.arrows"
    if part := find_part(path):
        return part
    # Arrow is the faster reader. It gives up on text that it would read otherwise than DuckDB does.
    try:
        with read_with_arrow(packed, options) as reading:
            return write_part(path, reading, options.clean)
    except NotPlain:
        pass
    with read_with_duckdb(packed, options) as reading:
        return write_part(path, reading, options.clean)


def _fingerprint(packed: Packed, options: "IngestOptions") -> str:
    """Return a hash of what a part depends on: the table, as its file was last changed, and how it is read."""
    files = [path for path in (packed.file, options.stations) if path is not None]
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in files if path.exists()]
    reading = (dict(options.columns), options.dialect, options.time_zone, options.clean)
    record = repr((VERSION, stats, packed.member, packed.name, reading))
    return hashlib.sha256(record.encode()).hexdigest()[:32]
