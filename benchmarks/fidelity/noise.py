"""`python -m benchmarks.fidelity.noise`: how far ceilings and floors move between random splits of the same trips."""

from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.fidelity.sets import SETS, SHARED_DATA, WINTER
from benchmarks.fidelity.split import split_trips
from benchmarks.measure import print_heading
from decode.evaluate.measure import measure_tables
from rasterize.errors import exit_on_input_error

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def main(
    data: Annotated[Path, typer.Option(help="Folder that holds citibike-jc/.")] = SHARED_DATA,
    work: Annotated[Path, typer.Option(help="Folder for the trips.")] = Path("runs/fidelity"),
    splits: Annotated[int, typer.Option(help="How many random splits into thirds.", min=2)] = 6,
) -> None:
    """Print the mean and the standard deviation of every ceiling and floor over random splits of the same trips."""
    trips = split_trips(SETS[WINTER].files(data), work / WINTER / "seed-0", seed=0)
    # Measure each split; the fresh third stands for synthetic trips, which ceiling and floor do not depend on.
    bounds = []
    for seed in range(splits):
        thirds = np.array(list("ABC"))[np.random.default_rng(seed).permutation(len(trips)) % 3]
        metrics = measure_tables(trips.assign(split=thirds), trips[thirds == "C"], seed=seed).figures["metrics"]
        bounds.append({(name, key): figure[key] for name, figure in metrics.items() for key in ("ceiling", "floor")})
    # One row per split, one column per bound of a metric.
    table = pd.DataFrame(bounds).astype(float)
    print_heading("numpy", "pandas", "scikit-learn", "scipy")
    print(f"{splits} splits of {len(trips):,} trips into thirds: mean ± standard deviation\n")
    print("| | ceiling | floor |\n|---|---:|---:|")
    for name in metrics:
        print(f"| {name} | {_format_cell(table[name, 'ceiling'])} | {_format_cell(table[name, 'floor'])} |")


def _format_cell(values: pd.Series) -> str:
    return "–" if values.isna().all() else f"{values.mean():.4f} ± {values.std():.4f}"


if __name__ == "__main__":
    exit_on_input_error(app)
