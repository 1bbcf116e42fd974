"""Hot loops compiled by numba, kept on disk until any source of compiled code changes."""

import multiprocessing
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numba
from numba.core import event

ROOT = Path(__file__).parents[1]
ANNOUNCEMENT = "compiling once, about a minute; later runs start at once"
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
IS_NEW = not Path(numba.config.CACHE_DIR).exists()  # asked before the first function is declared: that makes the folder


class _Announcer(event.Listener):
    """Says once that functions are being compiled: nobody should wait for a minute without a word."""

    def __init__(self) -> None:
        self._has_spoken = False

    def speak(self) -> None:
        """Say so, the first time; processes of a pool stay silent."""
        if not self._has_spoken and multiprocessing.parent_process() is None:
            print(ANNOUNCEMENT, file=sys.stderr, flush=True)
        self._has_spoken = True

    def on_start(self, event: event.Event) -> None:
        """Speak when the first of our functions is compiled rather than read from disk."""
        if Path(event.data["dispatcher"].py_func.__code__.co_filename).is_relative_to(ROOT):
            self.speak()

    def on_end(self, event: event.Event) -> None:
        """Stay silent."""


_ANNOUNCER = _Announcer()
event.register("numba:compile", _ANNOUNCER)


def announce_compiling() -> None:
    """Say at the start of a stage that it will compile, if nothing has been compiled on this machine yet."""
    if IS_NEW:
        _ANNOUNCER.speak()


def compiled(**options: Any) -> Callable[[Callable], Callable]:
    """Compile a function with `numba.njit`, without the interpreter's lock; its machine code is kept on disk.

    Parameters
    ----------
    **options
        Those of `numba.njit`.
    """
    return numba.njit(cache=True, nogil=True, **options)
