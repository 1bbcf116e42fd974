"""The dialect of San Francisco's cabs: one file per cab, without a header, a GPS fix per line, newest first."""

import re
from dataclasses import replace

from rasterize.ingest.unpack import SAMPLE_LINES, Table

HEADER = "started,ended,fixes"
_FIX = re.compile(r"-?\d+\.\d+ -?\d+\.\d+ [01] \d{9,10}")


def is_cab_header(header: str) -> bool:
    """Whether a text's first line is a fix: latitude, longitude, occupied, seconds since 1970."""
    return _FIX.fullmatch(header) is not None


def trips_of_cab(table: Table) -> Table:
    """The same file as a table of trips: a row is a run of fixes with a passenger, and its fixes are waypoints.

    Lines that hold no fix stay counted as unreadable.
    """
    lines = [table.header, *table.path.read_text(encoding="utf-8").splitlines()]
    fixes = [_parse(line) for line in lines if _FIX.fullmatch(line)]
    fixes.sort(key=lambda fix: fix[0])
    rows = [_row(run) for run in _runs(fixes)]
    table.path.write_text("".join(rows), encoding="utf-8")
    return replace(
        table,
        header=HEADER,
        sample=tuple(row.rstrip("\n") for row in rows[:SAMPLE_LINES]),
        lines=len(rows),
        unreadable=table.unreadable + len(lines) - len(fixes),
    )


def _parse(line: str) -> tuple[int, bool, str]:
    lat, lng, occupied, epoch = line.split(" ")
    return int(epoch), occupied == "1", f"{lat}, {lng}"


def _runs(fixes: list[tuple[int, bool, str]]) -> list[list[tuple[int, bool, str]]]:
    """Fixes in a row with a passenger."""
    runs: list[list[tuple[int, bool, str]]] = []
    before = False
    for fix in fixes:
        if fix[1] and not before:
            runs.append([])
        if fix[1]:
            runs[-1].append(fix)
        before = fix[1]
    return runs


def _row(run: list[tuple[int, bool, str]]) -> str:
    return f'{run[0][0]},{run[-1][0]},"[{", ".join(fix[2] for fix in run)}]"\n'
