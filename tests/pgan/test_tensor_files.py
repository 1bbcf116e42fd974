"""Files of tensors: never executed, and kept through disk troubles."""

import errno
import os
import pickle
import resource
import signal
import subprocess
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pgan.run.checkpoint import list_checkpoints, load_newest
from pgan.run.loop import train
from pgan.run.run_record import make_identity
from pgan.run.setup import make_network_shape
from pgan.steps.state import TrainState
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from tests.pgan.damages import plant_pickle, plant_torch_file
from tests.pgan_runs import CPU, ROOT, SHORT, assert_same_weights, command, make_run


def test_the_planted_pickles_would_run_if_they_were_unpickled(tmp_path):
    plant_pickle(tmp_path / "a.pt")
    pickle.loads((tmp_path / "a.pt").read_bytes())
    assert (tmp_path / "executed").exists()
    (tmp_path / "executed").unlink()
    plant_torch_file(tmp_path / "b.pt")
    assert zipfile.is_zipfile(tmp_path / "b.pt")
    torch.load(tmp_path / "b.pt", weights_only=False)
    assert (tmp_path / "executed").exists()


def assert_sound(run: Path, config) -> int:
    """The newest checkpoint loads and nothing half written is beside it; returns its nimg."""
    images = ImageSet.open(run / "images")
    state = TrainState(config, make_network_shape(config, images), device=CPU)
    before = len(list_checkpoints(run / "model"))
    assert load_newest(run / "model", state, identity=make_identity(config, images))
    assert len(list_checkpoints(run / "model")) == before, "a checkpoint was refused"
    return state.nimg


def limited(run: Path, config, limit: int) -> subprocess.CompletedProcess:
    """Train in a process in which no file may grow beyond `limit` bytes: the system refuses the write (EFBIG)."""

    def limit_files() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # an error instead of a death
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        command(run, config), cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=limit_files
    )


def test_a_file_that_cannot_be_written_whole_leaves_the_old_ones_and_one_line(tmp_path):
    run = make_run(tmp_path)
    config = replace(SHORT, picture_kimg=100.0)
    assert train(run, replace(config), device=CPU)
    first = list_checkpoints(run / "model")[-1]
    for path in list_checkpoints(run / "model")[:-1]:  # as if stopped early: one checkpoint, and room for no other
        path.unlink()
    (run / "model" / "snapshot.pt").unlink()
    done = limited(run, config, first.stat().st_size // 2)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1 and os.strerror(errno.EFBIG) in done.stderr
    assert "free some space, then the same command goes on" in done.stderr
    assert list_checkpoints(run / "model") == [first]
    assert not list(run.rglob("*.tmp.*"))
    assert train(run, config, device=CPU)


@pytest.fixture
def disk(tmp_path):
    """A disk of its own, 4 MB, as RUN/model; `mount(options)` changes it."""
    run = make_run(tmp_path)
    model = run / "model"
    model.mkdir()

    def mount(options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(model)], check=True, capture_output=True)

    try:
        mount("size=4m")
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("this user cannot mount a small disk")
    yield run, mount
    subprocess.run(["umount", "--lazy", str(model)], check=True)


def test_a_full_disk_stops_the_run_with_one_line_and_more_space_lets_it_go_on(disk, finished):
    run, mount = disk
    config = replace(SHORT, checkpoint_kimg=0.004, keep_checkpoints=1000)  # each step saved and kept
    with pytest.raises(InputError, match=rf"cannot be written: {os.strerror(errno.ENOSPC)}; free some space"):
        train(run, config, device=CPU)
    assert 0 < assert_sound(run, config) < 120
    assert not list(run.rglob("*.tmp.*"))
    mount("remount,size=64m")
    assert train(run, config, device=CPU)
    whole = make_run(run / "whole")
    assert train(whole, config, device=CPU)
    assert_same_weights(whole, run)


def test_a_folder_closed_for_writing_is_named(disk):
    run, mount = disk
    mount("remount,ro")
    with pytest.raises(InputError, match=rf"cannot be written: {os.strerror(errno.EROFS)}; make {run}/model writable"):
        train(run, SHORT, device=CPU)


def test_a_folder_without_permission_is_named(tmp_path):
    if os.geteuid() == 0:
        pytest.skip("root may write anywhere; the read-only disk is tested instead")
    run = make_run(tmp_path)
    run.chmod(0o555)
    with pytest.raises(InputError, match="cannot be written: Permission denied; make"):
        train(run, SHORT, device=CPU)
    run.chmod(0o755)
