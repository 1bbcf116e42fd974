"""The dialect of San Francisco's cabs: a file per cab, without a header, a GPS fix per line, newest first."""

import re
from dataclasses import replace

from rasterize.ingest.unpack import SAMPLE_LINES, Table

HEADER = "started,ended,fixes"
_FIX = re.compile(r"-?\d+\.\d+ -?\d+\.\d+ [01] \d{9,10}")
_Fix = tuple[int, bool, str]  # seconds since 1970, whether there is a passenger, "lat, lng"


def is_cab_header(header: str) -> bool:
    """Return whether a text's first line is a fix: latitude, longitude, occupied, seconds since 1970."""
    return _FIX.fullmatch(header) is not None


def convert_cab_table(table: Table) -> Table:
    """Turn a file of fixes into a table of trips, in place.

    A trip is a run of fixes with a passenger, and its fixes are waypoints. Lines that hold no fix stay counted as
    unreadable.
    """
    # The first line is no header but a fix. Files have the newest fix first.
    lines = [table.header, *table.path.read_text(encoding="utf-8").splitlines()]
    fixes = [_parse_fix(line) for line in lines if _FIX.fullmatch(line)]
    fixes.sort(key=lambda fix: fix[0])

    # Overwrite the text with a row per trip.
    rows = [_write_row(run) for run in _find_runs(fixes)]
    table.path.write_text("".join(rows), encoding="utf-8")
    return replace(
        table,
        header=HEADER,
        sample=tuple(row.rstrip("\n") for row in rows[:SAMPLE_LINES]),
        lines=len(rows),
        unreadable=table.unreadable + len(lines) - len(fixes),
    )


def _parse_fix(line: str) -> _Fix:
    """Take the line of a fix apart."""
    lat, lng, occupied, epoch = line.split(" ")
    return int(epoch), occupied == "1", f"{lat}, {lng}"


def _find_runs(fixes: list[_Fix]) -> list[list[_Fix]]:
    """Return the runs of consecutive fixes with a passenger."""
    runs: list[list[_Fix]] = []
    was_occupied = False
    for fix in fixes:
        occupied = fix[1]
        if occupied and not was_occupied:
            runs.append([])
        if occupied:
            runs[-1].append(fix)
        was_occupied = occupied
    return runs


def _write_row(run: list[_Fix]) -> str:
    """Return a trip as a line of CSV, see `HEADER`."""
    return f'{run[0][0]},{run[-1][0]},"[{", ".join(fix[2] for fix in run)}]"\n'
