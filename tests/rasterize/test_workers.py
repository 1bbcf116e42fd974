"""Work on a cluster of two processes: whatever happens to a worker, the result is that of one process."""

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import pytest
from distributed import LocalCluster

from rasterize.errors import InputError
from rasterize.files import sha256, write_atomically
from rasterize.ingest.ingest import ingest_files
from rasterize.simulated_city import write_city
from rasterize.workers import run_parts

TWO_WORKERS = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": ":0", "silence_logs": logging.CRITICAL}
ROOT = Path(__file__).parents[2]
OUTPUTS = ("trips.parquet", "stations.parquet", "rejects.json")


def square(number: int, *, folder: Path, dies_at: int | None = None) -> int:
    """Leave a file with the square; the worker dies the first time it comes to one number."""
    path, died = folder / f"{number}.txt", folder / "died"
    if not path.exists():
        if number == dies_at and not died.exists():
            died.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        with write_atomically(path) as temporary:
            temporary.write_text(str(number**2))
    return int(path.read_text())


def refuse(number: int) -> int:
    """Refuse all numbers from 3 on."""
    if number >= 3:
        raise InputError(f"{number}.csv: too large; give a smaller one")
    return number


def die(number: int) -> None:
    """Take the worker down, always."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def cluster():
    """A cluster of two processes."""
    with LocalCluster(**TWO_WORKERS) as cluster:
        yield cluster


def test_without_a_cluster_parts_are_done_in_order(tmp_path):
    assert run_parts(partial(square, folder=tmp_path), [3, 1, 2]) == [9, 1, 4]


def test_a_part_whose_worker_died_is_done_by_another(cluster, tmp_path):
    work = partial(square, folder=tmp_path, dies_at=5)
    assert run_parts(work, range(8), scheduler=cluster.scheduler_address) == [number**2 for number in range(8)]
    assert (tmp_path / "died").exists() and len(list(tmp_path.glob("*.txt"))) == 8


def test_the_first_part_that_cannot_be_done_says_why(cluster):
    for where in ({}, {"scheduler": cluster.scheduler_address}):
        with pytest.raises(InputError, match="3.csv: too large; give a smaller one"):
            run_parts(refuse, [1, 3, 4], **where)


def test_a_part_that_kills_every_worker_is_given_up(cluster):
    with pytest.raises(InputError, match="workers died again and again.*memory: use fewer workers"):
        run_parts(die, [1], scheduler=cluster.scheduler_address)


def test_workers_and_scheduler_are_checked():
    with pytest.raises(InputError, match="give one of them"):
        run_parts(str, [1], workers=2, scheduler="localhost:1")
    with pytest.raises(InputError, match="--workers must be 1 or more, not 0"):
        run_parts(str, [1], workers=0)
    with pytest.raises(InputError, match="--scheduler nowhere: no Dask scheduler answers there"):
        run_parts(str, [1], scheduler="nowhere")


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """Ten files of the simulated city, one of them with lines that need care."""
    folder = tmp_path_factory.mktemp("files")
    paths = [folder / f"{number}.csv" for number in range(10)]
    for number, path in enumerate(paths):
        write_city(path, trips=6_000, stations=12, seed=number)
    paths[7].write_text(paths[7].read_text() + "1,2,3\n\n")
    return paths


@pytest.fixture(scope="module")
def expected(files, tmp_path_factory) -> dict[str, str]:
    """Checksums of the one-process result."""
    return ingested(files, tmp_path_factory.mktemp("one"))


def ingested(files, run, **where) -> dict[str, str]:
    """Ingest files; return the checksums of what is written."""
    ingest_files(files, run, **where)
    assert not (run / "parts").exists()
    return {name: sha256(run / name) for name in OUTPUTS}


def command(*arguments) -> subprocess.CompletedProcess:
    """Run `python -m rasterize` with arguments."""
    words = [sys.executable, "-m", "rasterize", *map(str, arguments)]
    return subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=False)


def test_the_command_with_two_workers_gives_the_result_of_one_process(files, expected, tmp_path):
    done = command(files[0].parent, "--run", tmp_path, "--resolution", 64, "--workers", 2)
    assert done.returncode == 0, done.stderr
    assert {name: sha256(tmp_path / name) for name in OUTPUTS} == expected
    assert not (tmp_path / "parts").exists() and (tmp_path / "images" / "spec.json").exists()


def test_the_command_refuses_what_is_no_cluster(files, tmp_path):
    done = command(files[0], "--run", tmp_path, "--workers", 0)
    assert (done.returncode, done.stderr) == (2, "error: --workers must be 1 or more, not 0\n")


def test_killing_a_worker_in_the_middle_changes_nothing(files, expected, tmp_path):
    done_at_kill = []

    def kill_after_the_third_part(pid: int) -> None:
        while len(list((tmp_path / "parts").glob("*.json"))) < 3:
            time.sleep(0.002)
        os.kill(pid, signal.SIGKILL)
        done_at_kill.append(len(list((tmp_path / "parts").glob("*.json"))))

    with LocalCluster(**TWO_WORKERS) as cluster:
        pid = cluster.workers[0].pid
        killer = threading.Thread(target=kill_after_the_third_part, args=[pid], daemon=True)
        killer.start()
        assert ingested(files, tmp_path, scheduler=cluster.scheduler_address) == expected
        killer.join()
        assert 3 <= done_at_kill[0] < len(files)
        assert pid not in [worker.pid for worker in cluster.workers.values()]
