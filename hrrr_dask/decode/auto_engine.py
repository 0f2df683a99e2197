"""The default: the fast engine, and the reference engine for what the fast one does not know."""

from __future__ import annotations

from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode import Engine, engine_named
from hrrr_dask.decode.numba_engine import NumbaEngine
from hrrr_dask.grib.packing import is_known

__all__ = ["AutoEngine"]


class AutoEngine:
    """Decode with ``numba``, or with ``eccodes`` where the packing is none of its own."""

    name = "auto"

    def __init__(self) -> None:
        self._fast = NumbaEngine()

    @cached_property
    def _reference(self) -> Engine:
        return engine_named("eccodes")  # takes a tenth of a second to import, and HRRR's messages never need it

    def engine_for(self, message: bytes | memoryview) -> Engine:
        """See :class:`hrrr_dask.decode.Engine`."""
        return self._fast if is_known(message) else self._reference

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        return self.engine_for(message).points(message, cells)
