"""What became of every row: kept, or rejected and why; and the refusal of too few trips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterize.errors import InputError
from rasterize.ingest import clean
from rasterize.ingest.all_parts import AllParts

MIN_TRIPS = 2  # a single trip is at one time, in one place: nothing to learn


def count_rejects(all_parts: AllParts, kept: Sequence[int] | None = None) -> dict[str, Any]:
    """Count what became of every row: kept, or rejected and why; in all and table by table.

    `kept` are the trips of each part that are left. Trips that passed all rules but are not left touch a one-off stop.
    """
    tables = []
    for number, (part, counts) in enumerate(zip(all_parts.parts, all_parts.count(), strict=True)):
        trips = int(counts[0]) if kept is None else kept[number]
        reasons = {reason: int(count) for reason, count in zip(clean.REASONS, counts[1:], strict=True)}
        reasons[clean.ONE_OFF] += int(counts[0]) - trips
        # Lines that never became rows count too, so that all lines of a file are accounted for.
        for reason, count in part.lost.items():
            reasons[reason] = reasons.get(reason, 0) + count
        rejected = _sort_by_count(reasons)
        rows = trips + sum(rejected.values())
        tables.append({"file": part.name, "rows": rows, "kept": trips, "rejected": rejected})
    return _add_up(tables) | {"files": tables}


def _add_up(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Return counts over all files, the most frequent reason first."""
    rejected: dict[str, int] = {}
    for table in tables:
        for reason, count in table["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
    rows, kept = (sum(table[what] for table in tables) for what in ("rows", "kept"))
    return {"rows": rows, "kept": kept, "rejected": _sort_by_count(rejected)}


def _sort_by_count(counts: dict[str, int]) -> dict[str, int]:
    """Return the counts that are not 0, the largest first."""
    return dict(sorted(((reason, n) for reason, n in counts.items() if n), key=lambda item: (-item[1], item[0])))


def check_enough(rejects: dict[str, Any], least: int = MIN_TRIPS) -> None:
    """Raise `InputError` if fewer than `least` trips are left, with the reasons against the others."""
    if rejects["kept"] >= least:
        return
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejects["rejected"].items()) or "none"
    raise InputError(
        f"{_list_files(rejects)}: {rejects['kept']} of {rejects['rows']} rows are left as trips, at least {MIN_TRIPS} "
        f"are needed; rejected were: {reasons}; give more trips, or loosen the rule that rejects most"
    )


def check_stops(rejects: dict[str, Any], uses: NDArray) -> None:
    """Raise `InputError` if all trips start and end at the same stop; `uses` counts the ends at each, int64 [S]."""
    if np.count_nonzero(uses) < 2:
        raise InputError(
            f"{_list_files(rejects)}: all {rejects['kept']} trips are at one station; give trips between at least two"
        )


def _list_files(rejects: dict[str, Any]) -> str:
    """Return the names of the first files, for an error."""
    return ", ".join(table["file"] for table in rejects["files"][:3])
