"""The numba engine and its reference: decoding with ecCodes, without code of this package."""

from __future__ import annotations

import ctypes
import mmap

import eccodes
import numpy as np

from hrrr_dask.decode.numba_engine import NumbaEngine

ENGINE = NumbaEngine()
MISSING = -1e100


def decode_with_eccodes(message: bytes) -> np.ndarray:
    """Decode a message with ecCodes and round the values once to float32; NaN where missing."""
    handle = eccodes.codes_new_from_message(message)
    try:
        eccodes.codes_set(handle, "missingValue", MISSING)
        values = eccodes.codes_get_values(handle)
    finally:
        eccodes.codes_release(handle)
    values[values == MISSING] = np.nan
    with np.errstate(over="ignore"):
        return values.astype(np.float32)


def same_bits(ours: np.ndarray, theirs: np.ndarray) -> bool:
    """Whether two arrays have the same bits, and NaN at the same positions."""
    present = ~np.isnan(theirs)
    return np.array_equal(np.isnan(ours), ~present) and ours[present].tobytes() == theirs[present].tobytes()


class FencedBuffer:
    """A buffer followed by a memory page that is not readable: a read past the end crashes the process."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self._size = -(-size // page) * page
        self._map = mmap.mmap(-1, self._size + page)
        view = (ctypes.c_char * len(self._map)).from_buffer(self._map)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mprotect(ctypes.c_void_p(ctypes.addressof(view) + self._size), ctypes.c_size_t(page), 0):
            raise OSError(ctypes.get_errno(), "mprotect")

    def store(self, data: bytes) -> memoryview:
        """Store bytes at the end of the buffer and return a view of them."""
        start = self._size - len(data)
        self._map[start : self._size] = data
        return memoryview(self._map)[start : self._size]
