"""Compiled code on disk is that of today's sources."""

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


def outer_of_1(folder):
    """What a fresh process prints: outer(1), and how many functions it loaded from disk."""
    command = [sys.executable, "-c", "from decode.outer import outer; print(outer(1), outer.stats.cache_hits.total())"]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.split()


def test_a_change_in_another_file_is_seen(tmp_path):
    for package in ("rasterize", "decode"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("")
    shutil.copy(jit.__file__, tmp_path / "rasterize")
    (tmp_path / "decode" / "outer.py").write_text(OUTER)
    (tmp_path / "rasterize" / "inner.py").write_text(INNER.format(1))
    assert outer_of_1(tmp_path) == ["20", "0"]
    assert outer_of_1(tmp_path) == ["20", "1"]  # from disk
    (tmp_path / "rasterize" / "inner.py").write_text(INNER.format(2))
    assert outer_of_1(tmp_path) == ["30", "0"]
