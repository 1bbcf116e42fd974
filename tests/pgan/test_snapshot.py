"""Snapshots: whole, or refused by name with the reason and made again."""

import pytest

from pgan.run.loop import train
from pgan.snapshot import load_snapshot
from rasterize.errors import InputError
from tests.pgan.damages import DAMAGES
from tests.pgan_runs import CPU, SHORT, assert_same_weights, copy_run


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_snapshot_of_no_use_is_refused_by_name_and_made_again(damage, finished, tmp_path, capsys):
    run = copy_run(finished, tmp_path)
    path = run / "model" / "snapshot.pt"
    spoil, reason = DAMAGES[damage]
    spoil(path)
    with pytest.raises(InputError, match=f"{path}: .*{reason}"):
        load_snapshot(run / "model")
    assert train(run, SHORT, device=CPU)
    assert f"refused: {path}: " in capsys.readouterr().out
    assert not list(run.rglob("executed"))
    assert_same_weights(finished, run)
