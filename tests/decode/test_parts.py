"""Decoding in parts: with two workers, with one of them killed, or stopped half-way, the trips are the same."""

import logging
import os
import signal
import threading
import time

import numpy as np
import pytest
from distributed import LocalCluster

from decode import parts, run
from decode.parts import BATCH
from decode.solver.degradation import MILD, draw_degraded
from rasterize.files import sha256
from rasterize.imageset import write_image_set
from rasterize.strokes.channels import LinearChannel
from tests.spec_examples import make_spec, random_strokes, scattered

PARTS = 6
OUTPUTS = ("synthetic.parquet", "synthetic.csv", "strokes.parquet", "decode.json")


@pytest.fixture(scope="module")
def fakes(tmp_path_factory):
    """A run folder with fakes of six parts and a bit, some of them nonsense."""
    folder = tmp_path_factory.mktemp("run")
    rng = np.random.default_rng(0)
    channel = LinearChannel(column="duration_s", low=120, high=3600)
    spec = make_spec(scattered(9, side=16, rng=rng, apart=3), channels=(channel,))
    images = (PARTS - 1) * BATCH + 100
    strokes = random_strokes(spec, images=images, values=rng.uniform(0.2, 1, (images, 1)))
    levels = draw_degraded(spec, strokes, MILD, rng)
    levels[7], levels[-1, 0, 3, 3] = 0, np.nan
    write_image_set(folder / "fakes", spec, [levels], np.zeros((images, 0), np.int16))
    return folder


@pytest.fixture
def run_folder(fakes, tmp_path):
    """A fresh run folder with the same fakes."""
    (tmp_path / "fakes").symlink_to(fakes / "fakes")
    return tmp_path


@pytest.fixture(scope="module")
def expected(fakes, tmp_path_factory):
    """Return the checksums of what one process makes."""
    folder = tmp_path_factory.mktemp("one")
    (folder / "fakes").symlink_to(fakes / "fakes")
    return _decode(folder)


def _decode(folder, **where):
    """Decode a run folder; return the checksums of what it writes."""
    rejected = run.decode_run(folder, **where).rejected
    assert rejected["blank image"] == 1 and rejected["image not finite"] == 1
    assert not (folder / "decoded").exists()
    return {name: sha256(folder / name) for name in OUTPUTS}


def test_two_workers_make_the_same_though_one_is_killed(run_folder, expected):
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=logging.CRITICAL
    ) as cluster:
        pid, done = cluster.workers[0].pid, []

        def kill_after_the_first_part() -> None:
            while not list(run_folder.glob("decoded/*/*.npz")):
                time.sleep(0.001)
            os.kill(pid, signal.SIGKILL)
            done.append(len(list(run_folder.glob("decoded/*/*.npz"))))

        killer = threading.Thread(target=kill_after_the_first_part, daemon=True)
        killer.start()
        assert _decode(run_folder, scheduler=cluster.scheduler_address) == expected
        killer.join()
        assert 1 <= done[0] < PARTS and pid not in [worker.pid for worker in cluster.workers.values()]


def test_what_is_there_is_not_done_again(run_folder, expected, monkeypatch):
    solved = []

    def stop_after_two(images, decoder, begin, end):
        if len(solved) == 2:
            raise KeyboardInterrupt
        solved.append(begin)
        return solve_range(images, decoder, begin, end)

    solve_range = parts.solve_range
    monkeypatch.setattr(parts, "solve_range", stop_after_two)
    with pytest.raises(KeyboardInterrupt):
        run.decode_run(run_folder)
    assert len(list(run_folder.glob("decoded/*/*.npz"))) == 2 and not (run_folder / "synthetic.parquet").exists()
    monkeypatch.setattr(parts, "solve_range", lambda *part: solved.append(part[2]) or solve_range(*part))
    assert _decode(run_folder) == expected
    assert solved == [part * BATCH for part in range(PARTS)]  # each once


def test_parts_of_other_images_are_not_taken(run_folder, expected):
    other = run_folder / "decoded" / "0123456789abcdef"
    other.mkdir(parents=True)
    (other / "000000000.npz").write_bytes(b"of an earlier run")
    assert _decode(run_folder) == expected
