"""Speed and memory of reading: Citi Bike CSV → clean trips beside pandas.read_csv, and where the time goes; a table."""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.csv

from benchmarks.measure import Measured, measure, print_heading
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
PANDAS_ROWS = 5 * MILLION  # more do not fit in memory


def write_months(path: Path, rows: int) -> None:
    """A CSV of the simulated city in Citi Bike's 15 columns: the same million trips month after month."""
    write_city(path, trips=min(rows, MILLION))
    header, _, month = path.read_bytes().partition(b"\n")
    with path.open("wb") as file:
        file.write(header + b"\n")
        for name in MONTHS[: -(-rows // MILLION)]:
            file.write(month.replace(b'"2019-06-', f'"{name}-'.encode()))


def rate_of(work: Callable[[], object], rows: int) -> float:
    """Rows per CPU-second of all threads of this process: the best of five for a million rows, else of one."""
    spent = []
    for _ in range(5 if rows <= MILLION else 1):
        begin = time.process_time()
        work()
        spent.append(time.process_time() - begin)
    return rows / min(spent)


def ours(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """The whole `ingest_files`: trips.parquet, stations.parquet, rejects.json."""
    with TemporaryDirectory(dir=path.parent) as run:
        return rate_of(lambda: ingest_files([path], Path(run)), rows), {}


def pandas(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """The rival: it parses cells and dates, and does nothing else."""
    return rate_of(lambda: pd.read_csv(path, parse_dates=["starttime", "stoptime"]), rows), {}


def arrow(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """The parser alone, with the types and the blocks that `rasterize.ingest.read_arrow` gives it."""
    word, number, time_ = pa.dictionary(pa.int32(), pa.string()), pa.float64(), pa.timestamp("us")
    end = (word, word, number, number)
    header = pd.read_csv(path, nrows=0).columns
    types = dict(zip(header, (number, time_, time_, *end, *end, word, word, number, word), strict=True))
    reading = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES)
    converting = pyarrow.csv.ConvertOptions(column_types=types, strings_can_be_null=True)

    def parse() -> int:
        return sum(map(len, pyarrow.csv.open_csv(path, read_options=reading, convert_options=converting)))

    return rate_of(parse, rows), {}


def quick(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """Typed rows: the parser, the look at quotes, and words numbered."""

    def read() -> int:
        with read_with_arrow(find_tables(path)[0], IngestOptions()) as reading:
            return sum(len(batch["started_at"]) for batch in reading.batches)

    return rate_of(read, rows), {}


def part(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """A part: typed rows, each judged by itself, on disk."""

    def stage() -> None:
        with TemporaryDirectory(dir=path.parent) as folder:
            make_part(find_tables(path)[0], Path(folder), IngestOptions())

    return rate_of(stage, rows), {}


def everything(path: Path, rows: int) -> tuple[float, dict[str, Any]]:
    """What `python -m rasterize` does: read, clean, encode, draw; here an image for each trip."""

    def make(source: Path) -> None:
        with TemporaryDirectory(dir=path.parent) as run:
            raster([str(source)], Path(run), ingest_options=IngestOptions(), options=RasterOptions(trips_per_image=1))

    few = path.with_name(f"warm-{path.name}")
    write_city(few, trips=1_000)
    make(few)  # compiled code is loaded
    return rate_of(lambda: make(path), rows), {}


def print_row(what: str, measured: Measured, rival: Measured) -> None:
    """One line of the table."""
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
        write_months(path, rows)
        few = path if rows <= PANDAS_ROWS else Path(folder) / "few.csv"
        if few != path:
            write_months(few, MILLION)
        rival = measure(pandas, few, min(rows, MILLION) if few != path else rows)
        print_row("pandas.read_csv with dates" + ("" if few == path else f", {MILLION:,} trips"), rival, rival)
        print_row("**ingest: CSV → clean Parquet**", measure(ours, path, rows), rival)
        for what, case in (("its CSV parser alone", arrow), ("… typed rows", quick), ("… a part on disk", part)):
            if few == path:
                print_row(what, measure(case, path, rows), rival)
        print_row("`python -m rasterize`, all of it", measure(everything, path, rows), rival)


if __name__ == "__main__":
    main()
