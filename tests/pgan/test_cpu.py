"""A process that computes on a CPU keeps the memory that tensors free."""

import platform
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import resource
from pgan.cpu import prepare_cpu
prepare_cpu(3)
import torch
def work():
    return sum(tensor.sum() for tensor in [torch.ones(2**21) for _ in range(8)])  # 8 MB each
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(3):
    work()
before = faults()
for _ in range(10):
    work()
print(torch.get_num_threads(), faults() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep memory")
def test_what_is_freed_is_not_fetched_from_the_system_again():
    """64 MB are 16 thousand pages of 4 kB, or 32 of 2 MB."""
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, cwd=root, check=False)
    assert done.returncode == 0, done.stderr
    threads, faults = map(int, done.stdout.split())
    assert threads == 3 and faults < 100
