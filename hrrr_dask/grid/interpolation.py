"""From cells and weights to points. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine"]


def combine(values: NDArray[np.floating], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """Weigh the neighbours of each point.

    Parameters
    ----------
    values : ndarray, dims (point, neighbour)
        Values at the cells.
    weight : ndarray of float64, dims (point, neighbour)
        Weights, each row summing to 1.

    Returns
    -------
    ndarray of float32, dims (point,)
        A single neighbour's value passes bit for bit. A missing neighbour makes the point missing, unless its
        weight is zero.

    Examples
    --------
    >>> combine(np.array([[1.0, 3.0]]), np.array([[0.25, 0.75]]))
    array([2.5], dtype=float32)
    """
    if values.shape[1] == 1:
        return values[:, 0].astype(np.float32)
    weighed = np.where(weight == 0, 0.0, values.astype(np.float64) * weight)
    summed: NDArray[np.float32] = weighed.sum(axis=1).astype(np.float32)
    return summed
