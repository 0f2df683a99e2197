"""Cells and weights to points, and vectors from the grid's axes to east and north. Pure."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine", "turn"]


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


def turn(
    x_component: NDArray[np.float32], y_component: NDArray[np.float32], angle: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Turn vectors from the grid's axes to east and north, in double precision.

    Parameters
    ----------
    x_component, y_component : ndarray of float32, dims (point, neighbour)
        Along the grid's rows and columns.
    angle : ndarray of float64, dims (point, neighbour)
        From :meth:`hrrr_dask.grid.Grid.wind_angle` [rad].

    Returns
    -------
    (ndarray, ndarray) of float64, dims (point, neighbour)
        Eastward and northward components.
    """
    x, y = x_component.astype(np.float64), y_component.astype(np.float64)
    cosine, sine = np.cos(angle), np.sin(angle)
    return x * cosine + y * sine, y * cosine - x * sine
