"""Hot loops compiled by numba, kept on disk until any source of compiled code changes."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

ROOT = Path(__file__).parents[1]
MARK = b"rasterize.jit import"


def sources_digest() -> str:
    """Of all files with compiled code: a function holds the code of those it calls, whichever file they are in."""
    digest = sha256()
    for path in sorted((*ROOT.glob("rasterize/**/*.py"), *ROOT.glob("decode/**/*.py"))):
        text = path.read_bytes()
        if MARK in text:
            digest.update(str(path.relative_to(ROOT)).encode() + text)
    return digest.hexdigest()[:16]


# numba itself looks only at the file of the function it loads, and would run old code of the others
numba.config.CACHE_DIR = str(
    Path(numba.config.CACHE_DIR or Path(__file__).with_name("__pycache__")) / f"numba-{sources_digest()}"
)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """`numba.njit` without the interpreter's lock, its machine code kept on disk; `options` are those of numba."""
    return numba.njit(cache=True, nogil=True, **options)
