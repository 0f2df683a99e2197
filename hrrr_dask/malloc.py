"""The C library's memory: freed blocks of megabytes are kept for the next file, not given back and faulted in anew.

Each file takes the same few megabytes again. Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_=65536``, under which glibc maps
each of them anew and the kernel clears page after page: more work than all else in reading a file.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["HEAPS", "KEPT_BYTES", "keep_freed_memory"]

KEPT_BYTES: Final = 128 << 20
"""What a process may keep at most: somewhat more than the messages of the files that it reads at once [B]."""

_LARGEST_BLOCK_BYTES: Final = 32 << 20  # glibc takes no larger one from its heaps

HEAPS: Final = 1
"""Of which threads take their memory. glibc gives each of a worker's dozen threads one of its own, eight for each core
at most; every one of them comes to keep as much as the largest file took. Those that there are already stay: where a
worker is started from here, it has ``MALLOC_ARENA_MAX`` in its environment, too."""

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD, M_MMAP_THRESHOLD and M_ARENA_MAX of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3
_ARENA_MAX: Final = -8


def keep_freed_memory() -> bool:
    """Tell the C library; for the whole process, and for as long as it lives.

    Returns
    -------
    bool
        Whether it listens: False where it is not glibc, which then does as it did.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {_TRIM_THRESHOLD: KEPT_BYTES, _MMAP_THRESHOLD: _LARGEST_BLOCK_BYTES, _ARENA_MAX: HEAPS}
    told = [mallopt(parameter, value) for parameter, value in wanted.items()]
    return all(told)
