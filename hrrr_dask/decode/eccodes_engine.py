"""The reference engine: ECMWF's ecCodes on the message in memory."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode.eccodes_subprocess import MISSING, unpack, unpack_apart
from hrrr_dask.decode.validation import take_cells
from hrrr_dask.grib.packing import check_data_length, is_known

__all__ = ["EccodesEngine"]

_LOCK: Final = threading.Lock()  # some builds of the library are not safe in threads


class EccodesEngine:
    """Decode with ``codes_get_values``: the whole field in double precision, then the wanted cells.

    What is packed in a way that cannot be checked before is unpacked in a process of its own.
    """

    name = "eccodes"

    def engine_for(self, message: bytes | memoryview) -> EccodesEngine:  # noqa: ARG002  the same for all
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        check_data_length(message)
        if is_known(message):
            with _LOCK:
                field = unpack(bytes(message))
        else:
            field = unpack_apart(bytes(message))
        field[field == MISSING] = np.nan
        return take_cells(field, cells)
