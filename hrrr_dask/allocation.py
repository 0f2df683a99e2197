"""The C library's memory: freed blocks of megabytes are kept for the next file, not given back and faulted in anew.

Each file takes the same few megabytes again. Dask's nanny sets ``MALLOC_TRIM_THRESHOLD_=65536``, under which glibc maps
each of them anew and the kernel clears page after page: more work than all else in reading a file.
"""

from __future__ import annotations

import ctypes
from typing import Final

__all__ = ["KEPT_BYTES", "keep_freed_memory"]

KEPT_BYTES: Final = 128 << 20
"""What a process may keep at most: somewhat more than the messages of the files that it reads at once [B]."""

_LARGEST_BLOCK_BYTES: Final = 32 << 20  # glibc takes no larger one from its heaps

_TRIM_THRESHOLD: Final = -1  # M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of glibc's malloc.h
_MMAP_THRESHOLD: Final = -3


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
    return bool(mallopt(_TRIM_THRESHOLD, KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _LARGEST_BLOCK_BYTES))
