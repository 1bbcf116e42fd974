"""Hot loops compiled by numba, kept on disk until any source of compiled code changes."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba

ROOT = Path(__file__).parents[1]
MARK = b"rasterize.jit import"


def _digest_sources() -> str:
    """Return a checksum of all files with compiled code.

    A compiled function holds the code of those it calls, in whichever file they are. So a change in one file makes the
    machine code of all others stale.
    """
    digest = sha256()
    for path in sorted((*ROOT.glob("rasterize/**/*.py"), *ROOT.glob("decode/**/*.py"))):
        text = path.read_bytes()
        if MARK in text:
            digest.update(str(path.relative_to(ROOT)).encode() + text)
    return digest.hexdigest()[:16]


# One folder of machine code per state of the sources. numba itself looks only at the file of the function it loads.
numba.config.CACHE_DIR = str(
    Path(numba.config.CACHE_DIR or Path(__file__).with_name("__pycache__")) / f"numba-{_digest_sources()}"
)


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function with `numba.njit`, without the interpreter's lock; its machine code is kept on disk.

    Parameters
    ----------
    **options
        Those of `numba.njit`.
    """
    return numba.njit(cache=True, nogil=True, **options)
