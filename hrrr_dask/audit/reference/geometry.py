"""Finds the grid cells of points, weights, and directions of grid rows, from ecCodes' latitudes and longitudes.

No map projection is used. Cells are positions on the sphere; the nearest one is found by comparing all candidates.
Near it, the position is a smooth function of row and column. A Lagrange polynomial through :data:`NODES` cells each
way approximates it to about 1e-11 of a cell. The polynomial gives the position of a point between cells and, as its
derivatives, the directions of rows and columns.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from hashlib import md5
from typing import Any, Final, TypeAlias

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import StoreError

__all__ = [
    "CellPositions",
    "Floats",
    "PointCells",
    "chord",
    "compute_cell_positions",
    "find_nearest",
    "locate_points",
    "unit_vectors",
]

Floats: TypeAlias = NDArray[np.float64]

NODES: Final = 5
"""Number of rows, and of columns, in an interpolation; fewer on a smaller grid."""

TILE: Final = 48
"""Number of rows, and of columns, in a tile of cells that are compared or excluded together."""

_STEPS: Final = 8
"""Iterations of Newton's method, which converges in three or four."""


@dataclass(frozen=True, slots=True)
class PointCells:
    """Grid cells of a store's points, with weights and directions."""

    digest: str
    """MD5 of the grid's section 3, equal to ecCodes' ``md5GridSection``."""
    n_cells: int
    """Number of cells of the grid."""
    index: NDArray[np.int64]
    """Indices of cells in the order of the message: the nearest one, or the four around the point; dims
    (point, neighbour)."""
    weight: Floats
    """Weights of the cells, which sum to 1 for each point; dims (point, neighbour)."""
    xyz: Floats
    """Positions of the cells on the unit grid, dims (point, neighbour, 3)."""
    axes: Floats
    """East and north components of unit vectors along the row (axis 0) and up the column (axis 1) at each cell; dims
    (point, neighbour, axis, component)."""
    other_grids: dict[str, bool] = field(default_factory=dict)
    """Cache: digest of another grid to whether its cells are the same; ecCodes computes coordinates slowly."""


def locate_points(grid_section: bytes, latitude: Floats, longitude: Floats, method: str) -> PointCells:
    """Find the cells of points, their weights and directions.

    Parameters
    ----------
    grid_section : bytes
        GRIB2 section 3 of the store's messages.
    latitude, longitude : ndarray of float64, dims (point,)
        Coordinates of the points [degrees_north, degrees_east].
    method : str
        ``nearest`` or ``bilinear``.

    Raises
    ------
    StoreError
        If ecCodes cannot compute the positions of the grid's cells.
    """
    grid = compute_cell_positions(grid_section)
    points = unit_vectors(np.radians(latitude), np.radians(longitude))
    nearest = find_nearest(grid, points)
    if method == "nearest":
        index, weight = nearest[:, np.newaxis], np.ones((len(points), 1))
    else:
        index, weight = _find_four(grid, points, nearest)
    return PointCells(
        digest=md5(grid_section, usedforsecurity=False).hexdigest(),
        n_cells=grid.latitude.size,
        index=index,
        weight=weight,
        xyz=grid.xyz(np.divmod(index, grid.shape[1])),
        axes=_directions(grid, index.ravel()).reshape(*index.shape, 2, 2),
    )


@dataclass(frozen=True, slots=True)
class CellPositions:
    """Positions of the cells of a grid."""

    latitude: Floats
    """Latitudes, dims (row, column) [rad]."""
    longitude: Floats
    """Longitudes, dims (row, column) [rad]."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns = self.latitude.shape
        return rows, columns

    def xyz(self, selected: Any) -> Floats:
        """Return unit vectors of selected cells, dims (…, 3); those of all cells would need much memory."""
        return unit_vectors(self.latitude[selected], self.longitude[selected])


def compute_cell_positions(grid_section: bytes) -> CellPositions:
    """Compute the positions of the cells of a grid with ecCodes."""
    try:
        handle = eccodes.codes_new_from_message(_build_message(grid_section))
    except eccodes.CodesInternalError as error:
        raise _grid_error(error) from error
    try:
        shape = eccodes.codes_get(handle, "Ny", int), eccodes.codes_get(handle, "Nx", int)
        found = [eccodes.codes_get_array(handle, name).reshape(shape) for name in ("latitudes", "longitudes")]
    except eccodes.CodesInternalError as error:
        raise _grid_error(error) from error
    finally:
        eccodes.codes_release(handle)
    return CellPositions(*(np.radians(degrees, out=degrees) for degrees in found))


def _grid_error(error: Exception) -> StoreError:
    return StoreError(
        f"ecCodes cannot compute the cells of the store's grid: {error}; hrrr_dask.grid_section in the store's root "
        f"document is damaged: restore it from a backup"
    )


def _build_message(grid_section: bytes) -> bytes:
    """Build a message of zeros on a grid: sections 0 to 7 (WMO Manual on Codes I.2), simple packing with no bits."""
    size = int.from_bytes(grid_section[6:10])
    identification = struct.pack(">IBHHBBBHBBBBBBB", 21, 1, 7, 0, 2, 1, 1, 2000, 1, 1, 0, 0, 0, 0, 1)
    product = struct.pack(">IBHHBBBBBHBBIBBIBBI", 34, 4, 0, 0, 0, 0, 2, 0, 83, 0, 0, 1, 0, 1, 0, 0, 255, 0, 0)
    data = struct.pack(">IBIHfhhBB", 21, 5, size, 0, 0.0, 0, 0, 0, 0)
    body = identification + grid_section + product + data + struct.pack(">IBBIB", 6, 6, 255, 5, 7) + b"7777"
    return struct.pack(">4s2xBBQ", b"GRIB", 0, 2, 16 + len(body)) + body


def unit_vectors(latitude: Floats, longitude: Floats) -> Floats:
    """Convert latitudes and longitudes to unit vectors, dims (…, 3) [rad]."""
    across = np.cos(latitude)
    return np.stack([across * np.cos(longitude), across * np.sin(longitude), np.sin(latitude)], axis=-1)


def chord(a: Floats, b: Floats) -> Floats:
    """Return the chord length between positions (…, 3) on the unit sphere; it increases with great-circle distance."""
    length: Floats = np.sqrt(((a - b) ** 2).sum(axis=-1))
    return length


def find_nearest(grid: CellPositions, points: Floats) -> NDArray[np.int64]:
    """Find the cell nearest to each point by great-circle distance.

    Parameters
    ----------
    grid : CellPositions
        The cells.
    points : ndarray, dims (point, 3)
        Points on the unit sphere.

    Returns
    -------
    ndarray of int64, dims (point,)
        Indices ``row * n_columns + column``; the first of equally near cells. All cells are compared, except those of
        tiles that are entirely further away than another tile.
    """
    rows, columns = grid.shape
    tiles = [(slice(y, y + TILE), slice(x, x + TILE)) for y in range(0, rows, TILE) for x in range(0, columns, TILE)]
    middle = np.array([grid.xyz(tile).mean(axis=(0, 1)) for tile in tiles])
    radius = np.array([chord(grid.xyz(tile), centre).max() for tile, centre in zip(tiles, middle, strict=True)])
    distance = np.array([chord(middle, point) for point in points])  # dims (point, tile)
    possible = distance - radius <= (distance + radius).min(axis=1, keepdims=True)
    best = np.full(len(points), np.inf)
    found = np.zeros(len(points), dtype=np.int64)
    for number, tile in enumerate(tiles):
        (some,) = np.nonzero(possible[:, number])
        cells = grid.xyz(tile) if len(some) else np.empty((0, 0, 3))
        for p in some:
            chords = chord(cells, points[p])
            y, x = np.unravel_index(int(chords.argmin()), chords.shape)
            nearest = (float(chords[y, x]), int((tile[0].start + y) * columns + tile[1].start + x))
            best[p], found[p] = min((best[p], found[p]), nearest)
    return found


def _find_four(grid: CellPositions, points: Floats, nearest: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Find the cells south-west, south-east, north-west and north-east of each point, and their weights."""
    rows, columns = grid.shape
    row, column = _fractional_indices(grid, points, nearest)
    south = np.clip(np.floor(row), 0, rows - 2).astype(np.int64)
    west = np.clip(np.floor(column), 0, columns - 2).astype(np.int64)
    up, right = np.clip(row - south, 0, 1), np.clip(column - west, 0, 1)
    index = np.stack([(south + a) * columns + west + b for a in (0, 1) for b in (0, 1)], axis=1)
    return index, np.stack([a * b for a in (1 - up, up) for b in (1 - right, right)], axis=1)


def _fractional_indices(grid: CellPositions, points: Floats, nearest: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Compute fractional rows and columns of points by Newton's method, starting at their nearest cells."""
    rows, columns = np.divmod(nearest, grid.shape[1])
    row, column = rows.astype(np.float64), columns.astype(np.float64)
    for _ in range(_STEPS):
        at, along_row, up_column = _interpolate(grid, rows, columns, row, column)
        east, north = _east_and_north(points)
        a, b = _dot(along_row, east), _dot(up_column, east)
        c, d = _dot(along_row, north), _dot(up_column, north)
        x, y = _dot(points - at, east), _dot(points - at, north)
        determinant = a * d - b * c
        column = column + (x * d - b * y) / determinant
        row = row + (a * y - x * c) / determinant
    return row, column


def _directions(grid: CellPositions, index: NDArray[np.int64]) -> Floats:
    """Compute the directions of row and column at cells, dims (cell, axis, component)."""
    rows, columns = np.divmod(index, grid.shape[1])
    at, *steps = _interpolate(grid, rows, columns, rows.astype(np.float64), columns.astype(np.float64))
    compass = _east_and_north(at)
    along = np.stack([np.stack([_dot(step, way) for way in compass], axis=-1) for step in steps], axis=1)
    unit: Floats = along / np.sqrt((along**2).sum(axis=-1, keepdims=True))
    return unit


def _interpolate(
    grid: CellPositions, rows: NDArray[np.int64], columns: NDArray[np.int64], row: Floats, column: Floats
) -> tuple[Floats, Floats, Floats]:
    """Interpolate the position at a fractional row and column near a cell, and its derivatives along row and column."""
    ys, up, d_up = _lagrange(grid.shape[0], rows, row)
    xs, right, d_right = _lagrange(grid.shape[1], columns, column)
    patch = grid.xyz((ys[:, :, np.newaxis], xs[:, np.newaxis, :]))
    ways = ((up, right), (up, d_right), (d_up, right))
    at, along_row, up_column = (np.einsum("py,px,pyxc->pc", a, b, patch) for a, b in ways)
    return at, along_row, up_column


def _lagrange(length: int, near: NDArray[np.int64], position: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return the nodes around a position on an axis, their weights, and derivatives of these; dims (point, node)."""
    count = min(NODES, length)
    first = np.clip(near - count // 2, 0, length - count)
    nodes = np.arange(count, dtype=np.float64) - count // 2
    powers = np.arange(count)
    solved = np.linalg.inv(nodes[:, np.newaxis] ** powers)  # dims (power, node)
    t = (position - first - count // 2)[:, np.newaxis]
    slopes = powers * t ** np.maximum(powers - 1, 0)
    return first[:, np.newaxis] + np.arange(count), (t**powers) @ solved, slopes @ solved


def _east_and_north(xyz: Floats) -> tuple[Floats, Floats]:
    """Return unit vectors to the east and to the north at positions, dims (position, 3)."""
    x, y, z = xyz.T
    across = np.hypot(x, y)
    east = np.stack([-y / across, x / across, np.zeros_like(x)], axis=-1)
    north = np.stack([-x * z / across, -y * z / across, across], axis=-1)
    return east, north


def _dot(a: Floats, b: Floats) -> Floats:
    product: Floats = (a * b).sum(axis=-1)
    return product
