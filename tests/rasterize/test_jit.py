"""Compiled code on disk is that of today's sources."""

import os
import shutil
import subprocess
import sys

from rasterize import jit

INNER = "from rasterize.jit import compiled\n\n@compiled()\ndef inner(x):\n    return x + {}\n"
OUTER = """from rasterize.jit import compiled
from rasterize.inner import inner

@compiled()
def outer(x):
    return 10 * inner(x)
"""


def write_sources(folder):
    for package in ("rasterize", "decode"):
        (folder / package).mkdir()
        (folder / package / "__init__.py").write_text("")
    shutil.copy(jit.__file__, folder / "rasterize")
    (folder / "decode" / "outer.py").write_text(OUTER)
    (folder / "rasterize" / "inner.py").write_text(INNER.format(1))


def outer_of_1(folder):
    """What a fresh process prints: outer(1), and how many functions it loaded from disk."""
    command = [sys.executable, "-c", "from decode.outer import outer; print(outer(1), outer.stats.cache_hits.total())"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)


def test_a_change_in_another_file_is_seen(tmp_path):
    write_sources(tmp_path)
    assert outer_of_1(tmp_path).stdout.split() == ["20", "0"]
    assert outer_of_1(tmp_path).stdout.split() == ["20", "1"]  # from disk
    (tmp_path / "rasterize" / "inner.py").write_text(INNER.format(2))
    assert outer_of_1(tmp_path).stdout.split() == ["30", "0"]


def test_a_stage_announces_it_before_it_reads_anything(tmp_path):
    command = [sys.executable, "-m", "rasterize", str(tmp_path / "absent.csv"), "--run", str(tmp_path / "run")]
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path / "cache")}
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=jit.ROOT, env=environment)
    assert done.stderr.splitlines()[0] == jit.ANNOUNCEMENT and "absent.csv" in done.stderr.splitlines()[1]


def test_the_first_compilation_is_announced_and_later_runs_are_silent(tmp_path):
    write_sources(tmp_path)
    assert outer_of_1(tmp_path).stderr.splitlines() == [jit.ANNOUNCEMENT]
    assert outer_of_1(tmp_path).stderr == ""
