"""Freed blocks of megabytes are kept: counted in page faults, not in seconds."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from hrrr_dask import malloc as allocation
from hrrr_dask.malloc import keep_freed_memory

GLIBC = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def faults(keep: bool) -> int:
    code = (
        "import resource, sys; from hrrr_dask.malloc import keep_freed_memory; "
        f"told = {keep} and keep_freed_memory(); blocks = [bytes(3_000_000) for _ in range(4)]; del blocks; "
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt; "
        "blocks = [None for _ in range(50) if not b'x' * 3_000_000]; "
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)"
    )
    environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": "65536"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    return int(done.stdout)


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_blocks_of_megabytes_are_faulted_in_once_even_under_the_nannys_settings():
    assert faults(keep=True) * 5 < faults(keep=False)


def heaps(keep: bool) -> int:
    """How many there are after eight threads have asked for memory at once."""
    code = (
        "import ctypes, sys, threading; from hrrr_dask.malloc import keep_freed_memory; "
        f"told = {keep} and keep_freed_memory(); barrier = threading.Barrier(8); "
        "work = lambda: [barrier.wait(), bytes(1_000_000), barrier.wait()]; "
        "threads = [threading.Thread(target=work) for _ in range(8)]; "
        "[thread.start() for thread in threads]; [thread.join() for thread in threads]; "
        "libc = ctypes.CDLL(None); libc.fopen.restype = ctypes.c_void_p; "
        "out = ctypes.c_void_p(libc.fopen(b'/dev/stdout', b'w')); libc.malloc_info(0, out); libc.fclose(out)"
    )
    plain = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=plain)
    return done.stdout.count("<heap nr=")


@pytest.mark.skipif(not GLIBC, reason="another C library")
def test_threads_share_a_heap_whatever_their_number():
    assert heaps(keep=True) == 1 < heaps(keep=False)


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory() is False
