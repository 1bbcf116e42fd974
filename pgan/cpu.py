"""How a process computes on a CPU: threads that sleep while they wait, memory that is kept rather than given back."""

import ctypes
import os
import sys

# Of glibc's malloc.h, each with the value it gets: the largest threshold allowed; never; 64 MB at a time. Set by hand;
# docs/benchmarks/training.md tells what they are for.
MALLOC = {"M_MMAP_THRESHOLD": (-3, 1 << 25), "M_TRIM_THRESHOLD": (-1, (1 << 31) - 1), "M_TOP_PAD": (-2, 1 << 26)}


def prepare_cpu(threads: int) -> None:
    """Import torch with so many threads that do not spin, which is ruinous on a busy machine; keep freed memory."""
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # read when OpenMP is loaded, so before torch
    keep_freed_memory()
    import torch

    torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let glibc keep what tensors free: each step would fetch it from the system again, page by page.

    Elsewhere than on Linux with glibc nothing is done.
    """
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "mallopt"):
        for parameter, value in MALLOC.values():
            libc.mallopt(parameter, value)
