"""The trips that the benchmark can run on: their files, the recipe of our row, and how many trips are measured."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.fidelity.ours import Recipe
from rasterize.errors import InputError

SHARED_DATA = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True, kw_only=True)
class TripSet:
    """Trips of one city, and how the benchmark uses them."""

    patterns: tuple[str, ...]  # of file names in the data folder
    recipe: Recipe = Recipe()
    most_measured: int = 1_000_000  # trips in a table, if as many train

    def files(self, data: Path) -> list[Path]:
        """Return the files in the folder `data`, by name; `InputError` where a pattern finds none."""
        matches = {pattern: sorted(data.glob(pattern)) for pattern in self.patterns}
        absent = [str(data / pattern) for pattern, paths in matches.items() if not paths]
        if absent:
            raise InputError(f"{data}: no {' and no '.join(absent)}; give the folder that holds them with --data")
        return [path for paths in matches.values() for path in paths]


# The recipes are those of the tables in docs/fidelity.md.
WINTER = "jersey-city"
SETS: Mapping[str, TripSet] = {
    WINTER: TripSet(patterns=("citibike-jc/JC-201901-*", "citibike-jc/JC-201902-*")),
    "jersey-city-year": TripSet(patterns=("citibike-jc/JC-2018*", "citibike-jc/JC-2019*"), most_measured=20_000),
    "new-york": TripSet(
        patterns=("citibike-nyc/nyc-652k-trips.parquet",),
        recipe=Recipe(
            raster=("--resolution", "40", "--layout", "lattice", "--trips-per-image", "4"),
            train=(
                *("--preset", "tiny", "--first-kimg", "10", "--hold-kimg", "20", "--last-kimg", "80"),
                *("--compile", "no", "--checkpoint-kimg", "10", "--keep-checkpoints", "4"),
            ),
            sample=("--images", "40000", "--checkpoints", "4"),
            judge=("--jury", "2", "--kimg", "60", "--workers", "2"),
        ),
        most_measured=20_000,
    ),
}


def choose_trip_set(name: str) -> TripSet:
    """Return the trip set of this name; `InputError` on an unknown name."""
    if name not in SETS:
        raise InputError(f"--trips {name}: unknown; there are {', '.join(SETS)}")
    return SETS[name]
