"""What became of every row: kept, or rejected and why; and the refusal of too few trips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rasterize.errors import InputError
from rasterize.ingest import clean
from rasterize.ingest.all_parts import AllParts


def count_rejects(all_parts: AllParts, kept: Sequence[int] | None = None) -> dict[str, Any]:
    """What became of every row: kept, or rejected, and why; also table by table.

    `kept` are the trips of each part that are left; those that passed all rules but are not, touch a one-off place.
    """
    tables = []
    for number, (part, counts) in enumerate(zip(all_parts.parts, all_parts.count(), strict=True)):
        trips = int(counts[0]) if kept is None else kept[number]
        found = {reason: int(count) for reason, count in zip(clean.REASONS, counts[1:], strict=True)}
        found[clean.ONE_OFF] += int(counts[0]) - trips
        for reason, count in part.lost.items():
            found[reason] = found.get(reason, 0) + count
        rejected = _most_first(found)
        rows = trips + sum(rejected.values())
        tables.append({"file": part.name, "rows": rows, "kept": trips, "rejected": rejected})
    return _total(tables) | {"files": tables}


def _total(tables: list[dict[str, Any]]) -> dict[str, Any]:
    """Counts over all files, the most frequent reason first."""
    rejected: dict[str, int] = {}
    for table in tables:
        for reason, count in table["rejected"].items():
            rejected[reason] = rejected.get(reason, 0) + count
    rows, kept = (sum(table[what] for table in tables) for what in ("rows", "kept"))
    return {"rows": rows, "kept": kept, "rejected": _most_first(rejected)}


def _most_first(counts: dict[str, int]) -> dict[str, int]:
    """The counts that are not 0, the largest first."""
    return dict(sorted(((reason, n) for reason, n in counts.items() if n), key=lambda item: (-item[1], item[0])))


def check_enough(rejects: dict[str, Any]) -> None:
    """Refuse what cannot train anything: fewer than two trips."""
    if rejects["kept"] < 2:
        raise too_few(rejects)


def check_stops(rejects: dict[str, Any], uses: NDArray) -> None:
    """Refuse trips that all start and end at the same place."""
    if np.count_nonzero(uses) < 2:
        where = ", ".join(table["file"] for table in rejects["files"][:3])
        raise InputError(f"{where}: all {rejects['kept']} trips are at one station; give trips between at least two")


def too_few(rejects: dict[str, Any]) -> InputError:
    where = ", ".join(table["file"] for table in rejects["files"][:3])
    reasons = ", ".join(f"{count} {reason}" for reason, count in rejects["rejected"].items()) or "none"
    return InputError(
        f"{where}: {rejects['kept']} of {rejects['rows']} rows are left as trips, at least 2 are needed; rejected "
        f"were: {reasons}; give more trips, or loosen the rule that rejects most"
    )
