"""The compiled engine and its oracle: ecCodes, with none of this package's code."""

from __future__ import annotations

import ctypes
import mmap

import eccodes
import numpy as np

from hrrr_dask.decode.numba_engine import NumbaEngine

ENGINE = NumbaEngine()


ABSENT = -1e100


def oracle(message: bytes) -> np.ndarray:
    """What ecCodes says, rounded once; none of this package's code."""
    handle = eccodes.codes_new_from_message(message)
    try:
        eccodes.codes_set(handle, "missingValue", ABSENT)
        values = eccodes.codes_get_values(handle)
    finally:
        eccodes.codes_release(handle)
    values[values == ABSENT] = np.nan
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def same(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """The same bits, and NaN in the same places."""
    there = ~np.isnan(theirs)
    return np.array_equal(np.isnan(ours), ~there) and ours[there].tobytes() == theirs[there].tobytes()


class Fenced:
    """Bytes whose end is the end of what may be read."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self._room = -(-size // page) * page
        self._map = mmap.mmap(-1, self._room + page)
        view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(ctypes.addressof(view) + self._room), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def holding(self, data: bytes) -> memoryview:
        start = self._room - len(data)
        self._map[start : self._room] = data
        return memoryview(self._map)[start : self._room]
