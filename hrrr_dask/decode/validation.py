"""Checks of requested cells and decoded values, shared by all decoding engines."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError

__all__ = ["check_cells", "check_finite", "take_cells"]


def take_cells(field: NDArray[np.floating], cells: NDArray[np.int64]) -> NDArray[np.float32]:
    """Select cells of a whole field and round them once to float32.

    Parameters
    ----------
    field : ndarray, dims (cell,)
        All values in the order of the message, NaN where missing.
    cells : ndarray of int64, dims (wanted,)
        Flat indices in the field.

    Raises
    ------
    DecodeError
        If a cell is outside the field, or a value exceeds the range of float32.
    """
    check_cells(cells, field.size)
    with np.errstate(over="ignore"):
        return check_finite(field[cells].astype(np.float32))


def check_cells(cells: NDArray[np.int64], n_cells: int) -> None:
    """Check that all cells are inside the field.

    Raises
    ------
    DecodeError
        If not; the text states the lowest and the highest cell.
    """
    if cells.size and (int(cells.min()) < 0 or int(cells.max()) >= n_cells):
        raise DecodeError(
            f"the message has {n_cells} values, cells {int(cells.min())} to {int(cells.max())} are wanted: "
            f"its grid is not the one that the points were placed on"
        )


def check_finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Check that no value is infinite, and return the values.

    Raises
    ------
    DecodeError
        If any is.
    """
    if np.isinf(values).any():
        raise DecodeError("the message decodes to values beyond float32: its data section is damaged")
    return values
