"""Our own row: its commands are those of the docs, and what is done is not done again."""

from pathlib import Path

import pytest

from benchmarks.fidelity.ours import Recipe, list_stages, locate_time_file, make_ours
from benchmarks.fidelity.sets import SETS, WINTER
from rasterize.errors import InputError


def test_our_row_is_made_by_the_commands_that_the_docs_name():
    named = (Path(__file__).parents[3] / "docs" / "fidelity.md").read_text(encoding="utf-8").splitlines()
    for name, (command, _) in list_stages([Path("DATA")], Path("RUN"), SETS[WINTER].recipe, rows=12490, seed=0).items():
        words = " ".join(command).replace(" --seed 0", "").replace("DATA --run", "--run")
        begin, end = words.split("--run RUN")
        lines = [line for line in named if line.startswith(f"python -m {begin.strip()}")]
        assert any(line.endswith(f"--run RUN{end}") for line in lines), name


def test_stages_that_are_done_are_not_done_again_and_others_are_tried(tmp_path):
    for name, (_, made) in list_stages([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1).items():
        (tmp_path / made).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / made).touch()
        locate_time_file(tmp_path, name).write_text('{"wall_seconds": 7}')
    spent = make_ours([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1)
    assert spent == dict.fromkeys(["rasterize", "train", "sample", "decode", "judge", "choose"], 7)
    (tmp_path / "chosen.parquet").unlink()
    with pytest.raises(InputError, match="choose.log: .* ended with exit code"):
        make_ours([], tmp_path, SETS[WINTER].recipe, rows=9, seed=1)
    with pytest.raises(InputError, match="made by another recipe"):
        make_ours([], tmp_path, Recipe(judge=()), rows=9, seed=1)
