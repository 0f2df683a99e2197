"""The model's elevation and land mask at the nearest cells of points, and what they say of the points. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.grid.points import Points

__all__ = ["CellSurface", "describe_odd_cells"]

FAR_HEIGHT_M: Final = 200
"""Difference between a point's elevation and that of its cell that is reported [m]."""

ELEVATION: Final = "elevation"
"""Name of the column, in any case, with the elevation of points above sea level [m]."""

_NAMED: Final = 5


@dataclass(frozen=True, slots=True, eq=False)
class CellSurface:
    """Surface of the nearest cell of each point, as the model has it."""

    elevation: NDArray[np.float32]
    """HGT:surface, dims (point,): NaN where it is unknown [m]."""
    is_land: NDArray[np.float32]
    """LAND:surface, dims (point,): 1 for land, 0 for water, NaN where it is unknown [1]."""

    @classmethod
    def unknown(cls, n_points: int) -> CellSurface:
        """Return the surface of cells of which nothing is known."""
        return cls(np.full(n_points, np.nan, np.float32), np.full(n_points, np.nan, np.float32))

    def take(self, positions: Sequence[int]) -> CellSurface:
        """Select points by position, in the given order."""
        at = list(positions)
        return CellSurface(self.elevation[at], self.is_land[at])

    def concat(self, more: CellSurface) -> CellSurface:
        """Append other points."""
        return CellSurface(
            np.concatenate([self.elevation, more.elevation]), np.concatenate([self.is_land, more.is_land])
        )

    def fill(self, known: CellSurface) -> CellSurface:
        """Return the surface with what is known of the first points where it is unknown; itself if nothing is new."""
        filled = []
        for own, more in ((self.elevation, known.elevation), (self.is_land, known.is_land)):
            first = own[: len(more)]
            filled.append(np.concatenate([np.where(np.isnan(first), more, first), own[len(more) :]]))
        same = all(
            np.array_equal(new, own, equal_nan=True)
            for new, own in zip(filled, (self.elevation, self.is_land), strict=True)
        )
        return self if same else CellSurface(*filled)


def describe_odd_cells(points: Points, surface: CellSurface) -> list[str]:
    """Describe points whose nearest cell is water, or far higher or lower than their column ``elevation``.

    Parameters
    ----------
    points : Points
        The points.
    surface : CellSurface
        Surface of their cells; unknown values are not reported.

    Returns
    -------
    list of str
        A line for each of both, with the ids of the first five points; empty if there are none.
    """
    lines = []
    water = np.flatnonzero(surface.is_land == 0)
    if water.size:
        some = ", ".join(points.point_id[at] for at in water[:_NAMED])
        lines.append(f"{_count(water.size)} nearest cell is water (LAND:surface is 0): {some}{_rest(water.size)}")
    own = _elevations(points)
    far = np.flatnonzero(np.abs(own - surface.elevation) > FAR_HEIGHT_M)
    if far.size:
        some = ", ".join(
            f"{points.point_id[at]} ({own[at]:,.0f} m, its cell {surface.elevation[at]:,.0f} m)" for at in far[:_NAMED]
        )
        lines.append(
            f"{_count(far.size)} nearest cell is more than {FAR_HEIGHT_M} m higher or lower than their elevation: "
            f"{some}{_rest(far.size)}"
        )
    return lines


def _elevations(points: Points) -> NDArray[np.float64]:
    """Return the elevation of points, dims (point,): NaN without a column of numbers with that name [m]."""
    for name, column in points.columns.items():
        if name.lower() == ELEVATION and column.kind in ("int64", "float64"):
            return column.to_array().astype(np.float64)
    return np.full(len(points), np.nan)


def _count(number: int) -> str:
    return "1 point whose" if number == 1 else f"{number:,} points whose"


def _rest(number: int) -> str:
    return f" and {number - _NAMED:,} more" if number > _NAMED else ""
