"""Checkpoints: whole, or refused by name with the reason; the newest few are kept."""

import json
import shutil
from dataclasses import replace
from hashlib import sha256

import pytest

from pgan.run.checkpoint import list_checkpoints
from pgan.run.loop import train
from pgan.tensor_files import manifest_path
from rasterize.errors import InputError
from tests.pgan.damages import DAMAGES, flip_a_bit
from tests.pgan_runs import CPU, SHORT, assert_same_weights, copy_run, make_run


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_checkpoint_of_no_use_is_refused_by_name_and_the_one_before_goes_on(damage, finished, tmp_path, capsys):
    run = copy_run(finished, tmp_path)
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


def test_checkpoints_of_another_config_are_refused_by_name_though_they_are_whole(finished, tmp_path, capsys):
    run = copy_run(finished, tmp_path)
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
    run = copy_run(finished, tmp_path)
    (run / "model" / "snapshot.pt").unlink()
    for path in list_checkpoints(run / "model"):
        flip_a_bit(path)
    for _ in range(2):
        with pytest.raises(InputError, match="none of its checkpoints can be used .*refused"):
            train(run, SHORT, device=CPU)


@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_few_checkpoints_are_kept_each_with_a_manifest(keep, tmp_path):
    run = make_run(tmp_path)
    train(run, replace(SHORT, keep_checkpoints=keep), device=CPU)
    kept = list_checkpoints(run / "model")
    assert [int(path.name[:9]) for path in kept] == [120, 80, 40, 0][:keep]
    for path in kept:
        manifest = json.loads(manifest_path(path).read_text())
        assert manifest == {
            "file": path.name,
            "bytes": path.stat().st_size,
            "sha256": sha256(path.read_bytes()).hexdigest(),
        }
    assert len(list((run / "model" / "checkpoints").iterdir())) == 2 * len(kept)
