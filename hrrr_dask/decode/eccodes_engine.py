"""The reference engine: ECMWF's ecCodes on the message in memory."""

from __future__ import annotations

import threading
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError

__all__ = ["EccodesEngine"]

MISSING: Final = -1.0e100
"""Stands for a missing value while ecCodes unpacks: no packing of float32 references reaches it."""

_LOCK: Final = threading.Lock()  # some builds of the library are not safe in threads


class EccodesEngine:
    """Decode with ``codes_get_values``: the whole field in double precision, then the wanted cells."""

    name = "eccodes"

    def points(self, message: bytes, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        field = _field(message)
        if cells.size and (int(cells.min()) < 0 or int(cells.max()) >= field.size):
            raise DecodeError(
                f"the message has {field.size} values, cells up to {int(cells.max())} are wanted: "
                f"its grid is not the one that the points were placed on"
            )
        values = field[cells]
        values[values == MISSING] = np.nan
        if np.isinf(values).any() or (np.abs(values) > np.finfo(np.float32).max).any():
            raise DecodeError("the message decodes to values beyond float32: its data section is damaged")
        return values.astype(np.float32)


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
