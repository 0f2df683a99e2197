"""The cfgrib engine: opens each message as a temporary file with xarray; slow, for cross-checking."""

from __future__ import annotations

import tempfile
import threading
from pathlib import Path
from typing import Final

import cfgrib
import eccodes
import numpy as np
import xarray as xr
from numpy.typing import NDArray

from hrrr_dask.decode.validation import take_cells
from hrrr_dask.errors import DecodeError
from hrrr_dask.grib.packing import check_data_length

__all__ = ["CfgribEngine"]

_LOCK: Final = threading.Lock()  # several versions of cfgrib are not thread-safe


class CfgribEngine:
    """Decode with ``xarray.open_dataset(engine="cfgrib")``."""

    name = "cfgrib"

    def engine_for(self, message: bytes | memoryview) -> CfgribEngine:  # noqa: ARG002  no fallback
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`."""
        check_data_length(message)
        with _LOCK, tempfile.TemporaryDirectory(prefix="hrrr-dask-") as directory:
            path = Path(directory) / "message.grib2"
            path.write_bytes(message)
            field = _read_field(path)
        return take_cells(field, cells)


def _read_field(path: Path) -> NDArray[np.float32]:
    try:
        with xr.open_dataset(path, engine="cfgrib", backend_kwargs={"indexpath": "", "errors": "raise"}) as dataset:
            names = list(dataset.data_vars)
            if len(names) != 1:
                raise DecodeError(f"cfgrib finds {len(names)} variables in the message: one is wanted")
            with np.errstate(over="ignore"):  # becomes an infinity, which the caller rejects
                field: NDArray[np.float32] = dataset[names[0]].to_numpy().ravel()
    except (cfgrib.DatasetBuildError, eccodes.CodesInternalError, EOFError, KeyError, OSError, ValueError) as error:
        raise DecodeError(f"cfgrib cannot read the message: {error}") from error
    return field
