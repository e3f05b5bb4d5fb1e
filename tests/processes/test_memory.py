"""Freed memory stays with the process, where the C library can be told."""

import ctypes
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from ldl_jax.processes.memory import keep_freed

ROOT = Path(__file__).parents[2]
FAULTS = """
import ctypes, resource, sys
from ldl_jax.processes.memory import keep_freed
keep_freed()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
size = int(sys.argv[1]) << 20
for turn in range(4):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    block = libc.malloc(ctypes.c_size_t(size))
    ctypes.memset(block, 1, size)
    libc.free(ctypes.c_void_p(block))
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults)
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), "mallopt"), reason="another C library")
@pytest.mark.parametrize("megabytes", [64, 2100])  # above 2 GB a limit that is an int ends
def test_a_large_block_is_cleared_once(megabytes):
    pages = (megabytes << 20) // resource.getpagesize()
    done = subprocess.run(
        [sys.executable, "-c", FAULTS, str(megabytes)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert int(done.stdout) < pages // 10


def test_another_c_library(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda name: object())
    keep_freed()
