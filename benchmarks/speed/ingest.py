"""Speed and memory of reading Citi Bike CSV, beside pandas.read_csv, and where the time goes; prints a table."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from benchmarks.measure import Measured, print_heading, run_case
from rasterize.ingest.ingest import ingest_files
from rasterize.ingest.options import IngestOptions
from rasterize.ingest.read_arrow import BLOCK_BYTES, read_with_arrow
from rasterize.ingest.read_table import make_part
from rasterize.ingest.unpack import find_tables
from rasterize.run import raster
from rasterize.simulated_city import write_city
from rasterize.strokes.options import RasterOptions

MILLION = 1_000_000
MONTHS = [f"{year}-{month:02d}" for year in range(2015, 2020) for month in range(1, 13) if month != 2]  # of 30 days
PANDAS_ROWS = 5 * MILLION  # more do not fit in memory: 1.7 GiB for 5 million (docs/benchmarks/ingest.md)


def _write_months(path: Path, rows: int) -> None:
    """Write a CSV of the simulated city in Citi Bike's 15 columns: the same million trips month after month."""
    write_city(path, trips=min(rows, MILLION))
    # Each copy has its own month, so that no row is a duplicate.
    header, _, month = path.read_bytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(header + b"\n")
        for name in MONTHS[: -(-rows // MILLION)]:
            file.write(month.replace(b'"2019-06-', f'"{name}-'.encode()))


def _measure_rate(work: Callable[[], object], rows: int) -> float:
    """Return rows per CPU-second of all threads: the best of five runs up to a million rows, else of one run."""
    spent = []
    for _ in range(5 if rows <= MILLION else 1):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return rows / min(spent)


def _time_ours(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time the whole `ingest_files`: trips.parquet, stations.parquet, rejects.json."""
    with TemporaryDirectory(dir=path.parent) as run:
        return _measure_rate(lambda: ingest_files([path], Path(run)), rows), {}


def _time_pandas(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time the rival: it parses cells and dates, and does nothing else."""
    return _measure_rate(lambda: pd.read_csv(path, parse_dates=["starttime", "stoptime"]), rows), {}


def _time_arrow(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time the parser alone, with the types and the blocks that `rasterize.ingest.read_arrow` gives it."""
    # The 15 columns: duration, two times, two ends, and what is known of bike and rider.
    word, number, time_ = pa.dictionary(pa.int32(), pa.string()), pa.float64(), pa.timestamp("us")
    end = (word, word, number, number)
    header = pd.read_csv(path, nrows=0).columns
    types = dict(zip(header, (number, time_, time_, *end, *end, word, word, number, word), strict=True))
    reading = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES)
    converting = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)

    def parse() -> int:
        return sum(map(len, pyarrow.csv.open_csv(path, read_options=reading, convert_options=converting)))

    return _measure_rate(parse, rows), {}


def _time_typed_rows(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time the way to typed rows: the parser, the check of quotes, and the numbering of words."""

    def read() -> int:
        with read_with_arrow(find_tables(path)[0], IngestOptions()) as reading:
            return sum(len(batch["started_at"]) for batch in reading.batches)

    return _measure_rate(read, rows), {}


def _time_part(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time a part on disk: typed rows, each screened by itself."""

    def stage() -> None:
        with TemporaryDirectory(dir=path.parent) as folder:
            make_part(find_tables(path)[0], Path(folder), IngestOptions())

    return _measure_rate(stage, rows), {}


def _time_everything(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Time all of `python -m rasterize`: read, clean, encode, draw; one image for each trip."""

    def make(source: Path) -> None:
        with TemporaryDirectory(dir=path.parent) as run:
            raster([str(source)], Path(run), ingest_options=IngestOptions(), options=RasterOptions(trips_per_image=1))

    # A first small run loads the compiled code.
    few = path.with_name(f"warm-{path.name}")
    write_city(few, trips=1_000)
    make(few)
    return _measure_rate(lambda: make(path), rows), {}


# The steps of `ingest`, each with those before it.
STEPS = {"its CSV parser alone": _time_arrow, "… typed rows": _time_typed_rows, "… a part on disk": _time_part}


def _print_row(what: str, measured: Measured, rival: Measured) -> None:
    """Print one row of the table."""
    rates = f"{measured.rate:,.0f} | {measured.rate / rival.rate:.2f} | {1e6 / measured.rate:.2f}"
    print(f"| {what} | {rates} | {measured.peak_mib:,.0f} |", flush=True)


def main() -> None:
    """Print the table; each line is a process of its own."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=MILLION, help="trips in the file, in millions if more than one")
    rows = parser.parse_args().rows
    print_heading("pyarrow", "duckdb", "pandas", "numpy")
    print(f"{rows:,} trips; CPU time is that of all threads\n")
    print("| what | rows per CPU-second | ratio to pandas | CPU-seconds per million | peak MiB |")
    print("|---|---:|---:|---:|---:|")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "city.csv"
        _write_months(path, rows)
        few = path if rows <= PANDAS_ROWS else Path(folder) / "few.csv"
        if few != path:
            _write_months(few, MILLION)
        # pandas holds all rows in memory, so of large files it reads a part; ours always reads the whole.
        rival = run_case(_time_pandas, few, min(rows, MILLION) if few != path else rows)
        _print_row("pandas.read_csv with dates" + ("" if few == path else f", {MILLION:,} trips"), rival, rival)
        _print_row("**ingest: CSV → clean Parquet**", run_case(_time_ours, path, rows), rival)
        if few == path:
            for what, case in STEPS.items():
                _print_row(what, run_case(case, path, rows), rival)
        _print_row("`python -m rasterize`, all of it", run_case(_time_everything, path, rows), rival)


if __name__ == "__main__":
    main()
