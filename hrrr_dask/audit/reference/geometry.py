"""Finds the cells of points, and the directions of grid rows, from ecCodes' latitudes and longitudes.

No map projection is used. Cells are positions on the sphere; the nearest one is found by trying all candidates.
Around it the positions are a smooth function of row and column, which a polynomial through :data:`NODES` cells each
way follows to about 1e-11 of a cell (Lagrange's formula). It gives the position of a point between cells and, as its
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

__all__ = ["Floats", "Placement", "Sphere", "cell_positions", "chord", "find_nearest", "place", "unit_vectors"]

Floats: TypeAlias = NDArray[np.float64]

NODES: Final = 5
"""Rows, and columns, used by an interpolation; fewer on a smaller grid."""

TILE: Final = 48
"""Rows, and columns, of cells that are tried or excluded together."""

_STEPS: Final = 8
"""Iterations of Newton's method; it needs three or four."""


@dataclass(frozen=True, slots=True)
class Placement:
    """The points of a store on its grid."""

    digest: str
    """MD5 of the grid's section 3, as ecCodes' ``md5GridSection``."""
    n_cells: int
    """Number of cells of the grid."""
    index: NDArray[np.int64]
    """Positions in the order of the message, one neighbour or the four around the point; dims (point, neighbour)."""
    weight: Floats
    """Weights; every row sums to 1; dims (point, neighbour)."""
    xyz: Floats
    """Positions of these cells on the unit sphere, dims (point, neighbour, 3)."""
    axes: Floats
    """Directions of the row (axis 0) and up the column (axis 1) at each of them, as unit vectors to the east and to the
    north; dims (point, neighbour, axis, component)."""
    known: dict[str, bool] = field(default_factory=dict)
    """Digests of other grids that were met, and whether they have the same cells, because ecCodes computes cells
    slowly."""


def place(grid_section: bytes, latitude: Floats, longitude: Floats, method: str) -> Placement:
    """Find the cells of points.

    Parameters
    ----------
    grid_section : bytes
        GRIB2 section 3 of the messages that the store was made from.
    latitude, longitude : ndarray of float64, dims (point,)
        The points [degrees_north, degrees_east].
    method : str
        ``nearest`` or ``bilinear``.

    Raises
    ------
    StoreError
        If ecCodes cannot compute the positions of the grid's cells.
    """
    sphere = cell_positions(grid_section)
    points = unit_vectors(np.radians(latitude), np.radians(longitude))
    nearest = find_nearest(sphere, points)
    if method == "nearest":
        index, weight = nearest[:, np.newaxis], np.ones((len(points), 1))
    else:
        index, weight = _four_around(sphere, points, nearest)
    return Placement(
        digest=md5(grid_section, usedforsecurity=False).hexdigest(),
        n_cells=sphere.latitude.size,
        index=index,
        weight=weight,
        xyz=sphere.xyz(np.divmod(index, sphere.shape[1])),
        axes=_axes(sphere, index.ravel()).reshape(*index.shape, 2, 2),
    )


@dataclass(frozen=True, slots=True)
class Sphere:
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

    def xyz(self, which: Any) -> Floats:
        """Return selected cells as unit vectors, dims (…, 3); all of them would take much memory."""
        return unit_vectors(self.latitude[which], self.longitude[which])


def cell_positions(grid_section: bytes) -> Sphere:
    """Compute the positions of the cells of a grid with ecCodes."""
    try:
        handle = eccodes.codes_new_from_message(_message_on(grid_section))
    except eccodes.CodesInternalError as error:
        raise _no_places(error) from error
    try:
        shape = eccodes.codes_get(handle, "Ny", int), eccodes.codes_get(handle, "Nx", int)
        found = [eccodes.codes_get_array(handle, name).reshape(shape) for name in ("latitudes", "longitudes")]
    except eccodes.CodesInternalError as error:
        raise _no_places(error) from error
    finally:
        eccodes.codes_release(handle)
    return Sphere(*(np.radians(degrees, out=degrees) for degrees in found))


def _no_places(error: Exception) -> StoreError:
    return StoreError(
        f"ecCodes cannot tell where the cells of the store's grid are: {error}; hrrr_dask.grid_section in the store's "
        f"root document is damaged: bring it back from a copy"
    )


def _message_on(grid_section: bytes) -> bytes:
    """Make a message of zeros on that grid: sections 0 to 7 (WMO Manual on Codes I.2), simple packing with no bits."""
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


def chord(here: Floats, there: Floats) -> Floats:
    """Return the chord between positions on the unit sphere, dims (…,) of (…, 3); it grows with the great circle."""
    found: Floats = np.sqrt(((here - there) ** 2).sum(axis=-1))
    return found


def find_nearest(sphere: Sphere, points: Floats) -> NDArray[np.int64]:
    """Find the cell nearest to each point, by great circle.

    Parameters
    ----------
    sphere : Sphere
        The cells.
    points : ndarray, dims (point, 3)
        Points on the unit sphere.

    Returns
    -------
    ndarray of int64, dims (point,)
        Positions ``row * n_columns + column``; the first of several that are equally near. Every cell is tried, except
        in tiles that are entirely further away than another tile.
    """
    rows, columns = sphere.shape
    tiles = [(slice(y, y + TILE), slice(x, x + TILE)) for y in range(0, rows, TILE) for x in range(0, columns, TILE)]
    middle = np.array([sphere.xyz(tile).mean(axis=(0, 1)) for tile in tiles])
    reach = np.array([chord(sphere.xyz(tile), centre).max() for tile, centre in zip(tiles, middle, strict=True)])
    far = np.array([chord(middle, point) for point in points])  # dims (point, tile)
    possible = far - reach <= (far + reach).min(axis=1, keepdims=True)
    best = np.full(len(points), np.inf)
    found = np.zeros(len(points), dtype=np.int64)
    for number, tile in enumerate(tiles):
        (some,) = np.nonzero(possible[:, number])
        cells = sphere.xyz(tile) if len(some) else np.empty((0, 0, 3))
        for p in some:
            distance = chord(cells, points[p])
            y, x = np.unravel_index(int(distance.argmin()), distance.shape)
            nearer = (float(distance[y, x]), int((tile[0].start + y) * columns + tile[1].start + x))
            best[p], found[p] = min((best[p], found[p]), nearer)
    return found


def _four_around(sphere: Sphere, points: Floats, nearest: NDArray[np.int64]) -> tuple[NDArray[np.int64], Floats]:
    """Return the cells south-west, south-east, north-west and north-east of each point, and their weights."""
    rows, columns = sphere.shape
    row, column = _positions(sphere, points, nearest)
    south = np.clip(np.floor(row), 0, rows - 2).astype(np.int64)
    west = np.clip(np.floor(column), 0, columns - 2).astype(np.int64)
    up, right = np.clip(row - south, 0, 1), np.clip(column - west, 0, 1)
    index = np.stack([(south + a) * columns + west + b for a in (0, 1) for b in (0, 1)], axis=1)
    return index, np.stack([a * b for a in (1 - up, up) for b in (1 - right, right)], axis=1)


def _positions(sphere: Sphere, points: Floats, nearest: NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Compute fractional rows and columns of points, by Newton's method from their nearest cells."""
    rows, columns = np.divmod(nearest, sphere.shape[1])
    row, column = rows.astype(np.float64), columns.astype(np.float64)
    for _ in range(_STEPS):
        at, along_row, up_column = _interpolated(sphere, rows, columns, row, column)
        east, north = _east_and_north(points)
        a, b = _dot(along_row, east), _dot(up_column, east)
        c, d = _dot(along_row, north), _dot(up_column, north)
        x, y = _dot(points - at, east), _dot(points - at, north)
        determinant = a * d - b * c
        column = column + (x * d - b * y) / determinant
        row = row + (a * y - x * c) / determinant
    return row, column


def _axes(sphere: Sphere, index: NDArray[np.int64]) -> Floats:
    """Return the directions of a row and a column at cells, dims (cell, axis, component)."""
    rows, columns = np.divmod(index, sphere.shape[1])
    at, *steps = _interpolated(sphere, rows, columns, rows.astype(np.float64), columns.astype(np.float64))
    compass = _east_and_north(at)
    along = np.stack([np.stack([_dot(step, way) for way in compass], axis=-1) for step in steps], axis=1)
    unit: Floats = along / np.sqrt((along**2).sum(axis=-1, keepdims=True))
    return unit


def _interpolated(
    sphere: Sphere, rows: NDArray[np.int64], columns: NDArray[np.int64], row: Floats, column: Floats
) -> tuple[Floats, Floats, Floats]:
    """Interpolate the position at a fractional row and column near a cell, and its derivatives along row and column."""
    ys, up, d_up = _lagrange(sphere.shape[0], rows, row)
    xs, right, d_right = _lagrange(sphere.shape[1], columns, column)
    patch = sphere.xyz((ys[:, :, np.newaxis], xs[:, np.newaxis, :]))
    ways = ((up, right), (up, d_right), (d_up, right))
    at, along_row, up_column = (np.einsum("py,px,pyxc->pc", a, b, patch) for a, b in ways)
    return at, along_row, up_column


def _lagrange(length: int, near: NDArray[np.int64], position: Floats) -> tuple[NDArray[np.int64], Floats, Floats]:
    """Return nodes around a position on an axis, their weights, and the weights' derivatives; dims (point, node)."""
    count = min(NODES, length)
    first = np.clip(near - count // 2, 0, length - count)
    nodes = np.arange(count, dtype=np.float64) - count // 2
    powers = np.arange(count)
    solved = np.linalg.inv(nodes[:, np.newaxis] ** powers)  # dims (power, node)
    t = (position - first - count // 2)[:, np.newaxis]
    slopes = powers * t ** np.maximum(powers - 1, 0)
    return first[:, np.newaxis] + np.arange(count), (t**powers) @ solved, slopes @ solved


def _east_and_north(xyz: Floats) -> tuple[Floats, Floats]:
    """Return unit vectors to the east and to the north at positions, dims (place, 3)."""
    x, y, z = xyz.T
    across = np.hypot(x, y)
    east = np.stack([-y / across, x / across, np.zeros_like(x)], axis=-1)
    north = np.stack([-x * z / across, -y * z / across, across], axis=-1)
    return east, north


def _dot(a: Floats, b: Floats) -> Floats:
    found: Floats = (a * b).sum(axis=-1)
    return found
