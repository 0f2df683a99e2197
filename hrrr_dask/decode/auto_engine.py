"""The default engine: numba, with ecCodes as the fallback for packings that numba does not support."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode import Engine, get_engine
from hrrr_dask.decode.numba_engine import NumbaEngine
from hrrr_dask.grib.packing import is_supported

__all__ = ["AutoEngine"]


class AutoEngine:
    """Decode with ``numba``, or with ``eccodes`` if numba does not support the packing."""

    name = "auto"

    def __init__(self) -> None:
        self._fast = NumbaEngine()

    @cached_property
    def _reference(self) -> Engine:
        return get_engine("eccodes")  # lazy: the import takes 0.1 s, and HRRR never needs it

    def engine_for(self, message: bytes | memoryview) -> Engine:
        """See :class:`hrrr_dask.decode.Engine`."""
        return self._fast if is_supported(message) else self._reference

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        return self.engine_for(message).points(message, cells)
