"""The reference engine: ECMWF's ecCodes on the message in memory."""

from __future__ import annotations

import threading
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode.cells import take_cells
from hrrr_dask.errors import DecodeError
from hrrr_dask.packing import check_data_length

__all__ = ["EccodesEngine"]

MISSING: Final = -1.0e100
"""Stands for a missing value while ecCodes unpacks: no packing of float32 references reaches it."""

_LOCK: Final = threading.Lock()  # some builds of the library are not safe in threads


class EccodesEngine:
    """Decode with ``codes_get_values``: the whole field in double precision, then the wanted cells."""

    name = "eccodes"

    def engine_for(self, message: bytes | memoryview) -> EccodesEngine:  # noqa: ARG002  the same for all
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        check_data_length(message)
        field = _field(bytes(message))
        field[field == MISSING] = np.nan
        return take_cells(field, cells)


def _field(message: bytes) -> NDArray[np.float64]:
    with _LOCK:
        try:
            handle = eccodes.codes_new_from_message(message)
        except eccodes.CodesInternalError as error:
            raise DecodeError(f"ecCodes cannot read the message: {error}") from error
        try:
            eccodes.codes_set(handle, "missingValue", MISSING)
            field: NDArray[np.float64] = eccodes.codes_get_values(handle)
        except (eccodes.CodesInternalError, ValueError) as error:
            raise DecodeError(f"ecCodes cannot unpack the message: {error}") from error
        finally:
            eccodes.codes_release(handle)
    return field
