"""Freed blocks of megabytes are kept: counted in page faults, not in seconds."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys

import pytest

from hrrr_dask import allocation
from hrrr_dask.allocation import keep_freed_memory

GLIBC = hasattr(ctypes.CDLL(None), "gnu_get_libc_version")


def faults(keep: bool) -> int:
    code = (
        "import resource, sys; from hrrr_dask.allocation import keep_freed_memory; "
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


def test_another_c_library_is_left_alone(monkeypatch):
    monkeypatch.setattr(allocation.ctypes, "CDLL", lambda _: object())
    assert keep_freed_memory() is False
