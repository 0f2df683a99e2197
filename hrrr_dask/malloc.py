"""Configures glibc's malloc to keep freed memory for the next file, instead of returning it to the kernel.

Each file needs the same few megabytes again. Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_=65536``, with which glibc
maps them again each time and the kernel clears every page: more work than everything else in reading a file.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["HEAPS", "KEPT_BYTES", "keep_freed_memory"]

KEPT_BYTES: Final = 128 << 20
"""Maximum freed memory that a process keeps: slightly more than the messages of the files that it reads at once [B]."""

_LARGEST_BLOCK_BYTES: Final = 32 << 20  # glibc's limit for blocks from its heaps

HEAPS: Final = 1
"""Number of heaps (arenas) for all threads. By default glibc gives each of a worker's dozen threads its own, up to
eight for each core, and each keeps as much as the largest file took. Existing heaps stay, so workers started by
hrrr_dask also get ``MALLOC_ARENA_MAX`` in their environment."""

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8


def keep_freed_memory() -> bool:
    """Configure malloc for the whole process.

    Returns
    -------
    bool
        Whether it was configured; False if the C library is not glibc.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {_TRIM_THRESHOLD: KEPT_BYTES, _MMAP_THRESHOLD: _LARGEST_BLOCK_BYTES, _ARENA_MAX: HEAPS}
    told = [mallopt(parameter, value) for parameter, value in wanted.items()]
    return all(told)
