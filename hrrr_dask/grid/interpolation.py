"""Interpolates values at grid cells to points by weights (nearest or bilinear)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["apply_weights"]


def apply_weights(values: NDArray[np.floating], weight: NDArray[np.float64]) -> NDArray[np.float32]:
    """Compute the weighted sum of the neighbours of each point.

    Parameters
    ----------
    values : ndarray, dims (point, neighbour)
        Values at the grid cells.
    weight : ndarray of float64, dims (point, neighbour)
        Weights, each row summing to 1.

    Returns
    -------
    ndarray of float32, dims (point,)
        A single neighbour is returned bit for bit. A missing neighbour makes the point missing, unless its weight
        is zero.

    Examples
    --------
    >>> apply_weights(np.array([[1.0, 3.0]]), np.array([[0.25, 0.75]]))
    array([2.5], dtype=float32)
    """
    if values.shape[1] == 1:
        return values[:, 0].astype(np.float32)
    weighted = np.where(weight == 0, 0.0, values.astype(np.float64) * weight)
    summed: NDArray[np.float32] = weighted.sum(axis=1).astype(np.float32)
    return summed
