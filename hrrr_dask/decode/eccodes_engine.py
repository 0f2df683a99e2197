"""The reference engine: decodes messages in memory with ECMWF's ecCodes."""

from __future__ import annotations

import threading
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode.eccodes_subprocess import MISSING, unpack, unpack_in_subprocess
from hrrr_dask.decode.validation import take_cells
from hrrr_dask.grib.packing import check_data_length, is_supported

__all__ = ["EccodesEngine"]

_LOCK: Final = threading.Lock()  # some builds of ecCodes are not thread-safe


class EccodesEngine:
    """Decode with ``codes_get_values``: the whole field in double precision, then the wanted cells.

    Packings that cannot be validated beforehand are unpacked in a subprocess.
    """

    name = "eccodes"

    def engine_for(self, message: bytes | memoryview) -> EccodesEngine:  # noqa: ARG002  no fallback
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        check_data_length(message)
        if is_supported(message):
            with _LOCK:
                field = unpack(bytes(message))
        else:
            field = unpack_in_subprocess(bytes(message))
        field[field == MISSING] = np.nan
        return take_cells(field, cells)
