"""From a decoded field to the wanted cells, the same for every engine that decodes whole fields."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError

__all__ = ["take_cells"]


def take_cells(field: NDArray[np.floating], cells: NDArray[np.int64]) -> NDArray[np.float32]:
    """Pick cells out of a whole field and round them once to float32.

    Parameters
    ----------
    field : ndarray, dims (cell,)
        All values in the message's order, NaN where there is none.
    cells : ndarray of int64, dims (wanted,)
        Positions in the field.

    Raises
    ------
    DecodeError
        If a cell lies beyond the field, or a value beyond float32.
    """
    if cells.size and (int(cells.min()) < 0 or int(cells.max()) >= field.size):
        raise DecodeError(
            f"the message has {field.size} values, cells {int(cells.min())} to {int(cells.max())} are wanted: "
            f"its grid is not the one that the points were placed on"
        )
    with np.errstate(over="ignore"):
        values = field[cells].astype(np.float32)
    if np.isinf(values).any():
        raise DecodeError("the message decodes to values beyond float32: its data section is damaged")
    return values
