"""Checkpoints and snapshots: whole or refused by name with the reason, never executed, kept through disk troubles."""

import errno
import json
import os
import pickle
import resource
import shutil
import signal
import subprocess
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
import torch

from pgan.run.checkpoint import list_checkpoints, load_newest
from pgan.run.loop import train
from pgan.run.run_record import make_identity
from pgan.run.setup import make_network_shape
from pgan.snapshot import load_snapshot
from pgan.steps.state import TrainState
from pgan.tensor_files import manifest_path
from rasterize.errors import InputError
from rasterize.imageset import ImageSet
from tests.pgan_runs import CPU, ROOT, SMALL, assert_same_weights, command, make_run

SHORT = replace(SMALL, first_kimg=0.04, fade_kimg=0.04, last_kimg=0.04)  # 30 steps, checkpoints after 0, 10, 20 and 30


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run, to be copied and then damaged."""
    torch.set_num_threads(1)
    run = make_run(tmp_path_factory.mktemp("finished"))
    assert train(run, SHORT, device=CPU)
    return run


def copy_of(run: Path, folder: Path) -> Path:
    return Path(shutil.copytree(run, folder / "run"))


def seal_again(path: Path) -> None:
    """A manifest that fits what is there: whoever can write a file can write its manifest too."""
    data = path.read_bytes()
    manifest_path(path).write_text(json.dumps({"bytes": len(data), "sha256": sha256(data).hexdigest()}))


class Malicious:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self):
        return os.system, (f"touch {self.mark}",)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def plant_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Malicious(path.parent / "executed"), protocol=2))
    seal_again(path)


def plant_torch_file(path: Path) -> None:
    torch.save({"version": 2, "generator": Malicious(path.parent / "executed")}, path)
    seal_again(path)


def plant_other_networks(path: Path) -> None:
    saved = torch.load(path, weights_only=True)
    saved["generator"] = {name: weight[:1] for name, weight in saved["generator"].items()}
    torch.save(saved, path)
    seal_again(path)


def plant_other_version(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"version": 1}, path)
    seal_again(path)


DAMAGES = {
    "empty": (lambda path: path.write_bytes(b""), "0 bytes, its manifest says"),
    "truncated": (lambda path: os.truncate(path, path.stat().st_size // 2), "cut short"),
    "flipped bit": (flip_a_bit, "SHA-256 is not that of its manifest"),
    "wrong hash": (lambda path: seal_again_as(path, "0" * 64), "SHA-256 is not that of its manifest"),
    "no manifest": (lambda path: manifest_path(path).unlink(), "no manifest"),
    "broken manifest": (lambda path: manifest_path(path).write_text('{"by'), "no manifest, or none that can be read"),
    "not a torch file": (lambda path: (path.write_bytes(b"x" * 100), seal_again(path)), "not a file of this program"),
    "pickle": (plant_pickle, "not a file of this program"),
    "torch file with a pickle": (plant_torch_file, "not a file of this program"),
    "other networks": (plant_other_networks, "not a "),
    "other version": (plant_other_version, "version 1, this program reads 2"),
}


def seal_again_as(path: Path, digest: str) -> None:
    manifest_path(path).write_text(json.dumps({"bytes": path.stat().st_size, "sha256": digest}))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_of_no_use_is_refused_by_name_and_the_one_before_goes_on(damage, finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    (run / "model" / "snapshot.pt").unlink()
    newest, second, *_ = list_checkpoints(run / "model")
    spoil, reason = DAMAGES[damage]
    spoil(newest)
    assert train(run, SHORT, device=CPU)
    output = capsys.readouterr().out
    assert f"refused: {newest}: " in output and reason in output
    assert not list(run.rglob("executed"))
    assert second in list_checkpoints(run / "model")
    assert newest.with_name(newest.name + ".refused").exists()
    assert_same_weights(finished, run)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_of_no_use_is_refused_by_name_and_made_again(damage, finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    path = run / "model" / "snapshot.pt"
    spoil, reason = DAMAGES[damage]
    spoil(path)
    with pytest.raises(InputError, match=f"{path}: .*{reason}"):
        load_snapshot(run / "model")
    assert train(run, SHORT, device=CPU)
    assert f"refused: {path}: " in capsys.readouterr().out
    assert not list(run.rglob("executed"))
    assert_same_weights(finished, run)


def test_the_planted_pickles_would_run_if_they_were_unpickled(tmp_path):
    plant_pickle(tmp_path / "a.pt")
    pickle.loads((tmp_path / "a.pt").read_bytes())
    assert (tmp_path / "executed").exists()
    (tmp_path / "executed").unlink()
    plant_torch_file(tmp_path / "b.pt")
    assert zipfile.is_zipfile(tmp_path / "b.pt")
    torch.load(tmp_path / "b.pt", weights_only=False)
    assert (tmp_path / "executed").exists()


def test_checkpoints_of_another_config_are_refused_by_name_though_they_are_whole(finished, tmp_path, capsys):
    run = copy_of(finished, tmp_path)
    other = make_run(tmp_path / "other")
    train(other, replace(SHORT, last_kimg=0.08, learning_rate=1e-4), device=CPU)
    foreign = list_checkpoints(other / "model")[0]
    for path in (foreign, manifest_path(foreign)):
        shutil.copy(path, run / "model" / "checkpoints")
    (run / "model" / "snapshot.pt").unlink()
    assert train(run, SHORT, device=CPU)
    output = capsys.readouterr().out
    assert foreign.name in output
    assert "of another run: last_kimg was 0.08, now 0.04; learning_rate was 0.0001, now 0.001" in output.replace(
        "learning_rate was 0.0001, now 0.001; last_kimg was 0.08, now 0.04",
        "last_kimg was 0.08, now 0.04; learning_rate was 0.0001, now 0.001",
    )
    assert_same_weights(finished, run)


def test_a_run_without_any_checkpoint_of_use_is_not_begun_anew_behind_ones_back(finished, tmp_path):
    run = copy_of(finished, tmp_path)
    (run / "model" / "snapshot.pt").unlink()
    for path in list_checkpoints(run / "model"):
        flip_a_bit(path)
    for _ in range(2):
        with pytest.raises(InputError, match="none of its checkpoints can be used .*refused"):
            train(run, SHORT, device=CPU)


def test_a_damaged_run_json_is_written_anew(finished, tmp_path):
    run = copy_of(finished, tmp_path)
    path = run / "model" / "run.json"
    before = json.loads(path.read_text())
    path.write_text('{"config": ')
    (run / "model" / "snapshot.pt").unlink()
    assert train(run, SHORT, device=CPU)
    after = json.loads(path.read_text())
    assert after["config"] == before["config"] and after["scales"] == before["scales"]


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_few_checkpoints_are_kept_each_with_a_manifest(keep, tmp_path):
    run = make_run(tmp_path)
    train(run, replace(SHORT, keep_checkpoints=keep), device=CPU)
    found = list_checkpoints(run / "model")
    assert [int(path.name[:9]) for path in found] == [120, 80, 40, 0][:keep]
    for path in found:
        manifest = json.loads(manifest_path(path).read_text())
        assert manifest == {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path.read_bytes()).hexdigest(),
        }
    assert len(list((run / "model" / "checkpoints").iterdir())) == 2 * len(found)


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
