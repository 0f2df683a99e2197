"""Reads the grid definition (section 3) of a GRIB2 message, and finds the grid cells and weights of points.

The cell of a point is computed with the map projection (:mod:`hrrr_dask.grid.projection`), without a search.
"""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrrr_dask.errors import PointsError, WrongIdentityError
from hrrr_dask.grid.projection import Floats, Grid, Kind, great_circle_m, rotate_to_earth
from hrrr_dask.records import Cells

__all__ = [
    "BILINEAR_MARGIN",
    "NEAREST_MARGIN",
    "Grid",
    "distance_outside",
    "find_bilinear_cells",
    "find_nearest_cells",
    "great_circle_m",
    "read_grid",
    "rotate_to_earth",
]

NEAREST_MARGIN: Final = 0.5
"""Largest distance of a point beyond the outermost cell centres with the nearest cell [cell]."""

BILINEAR_MARGIN: Final = 0.0
"""Largest distance of a point beyond the outermost cell centres with four neighbours: none [cell]."""

_ROUNDING: Final = 1e-6
"""Tolerance at the margin: 3 mm, far more than rounding errors [cell]."""

_HEADER: Final = struct.Struct(">IBBIBBH")
_FIELDS: Final = struct.Struct(">BBI5s5sIIIIBIIIIBB")
_PARALLELS: Final = struct.Struct(">II")
_PARALLELS_AT: Final = _HEADER.size + _FIELDS.size

_TEMPLATES: Final[dict[int, tuple[Kind, int]]] = {20: ("polar_stereographic", 65), 30: ("lambert", 81)}
"""Number of the grid definition template (GRIB2 code table 3.1) to projection and section length [B]."""

_RADII: Final = {0: 6_367_470.0, 6: 6_371_229.0}
"""Shape of the Earth (GRIB2 code table 3.2) to the radius of the sphere [m]."""

_GIVEN_RADIUS: Final = 1
"""Shape of the Earth: a sphere with the radius given in the section."""

_GRID_RELATIVE_WIND: Final = 0x08
"""Bit 5 of the resolution and component flags (GRIB2 flag table 3.3): u and v are relative to the grid."""

_ROWS_FROM_SOUTH_WEST: Final = 0x40
"""Scanning mode (GRIB2 flag table 3.4): eastward along each row, rows from south to north."""


class _Fields(NamedTuple):
    """Octets 15 to 65 of section 3, common to templates 3.20 and 3.30, as unsigned integers."""

    shape: int
    radius_factor: int
    radius_scaled: int
    major: bytes
    minor: bytes
    nx: int
    ny: int
    la1: int
    lo1: int
    flags: int
    lad: int
    lov: int
    dx: int
    dy: int
    centre: int
    scanning: int


@lru_cache(maxsize=64)
def read_grid(section: bytes) -> Grid:
    """Read a message's grid definition.

    Parameters
    ----------
    section : bytes
        Complete GRIB2 section 3, including its header of five bytes (WMO Manual on Codes 306, templates 3.20 and
        3.30).

    Returns
    -------
    Grid
        Cached: the same object for the same bytes.

    Raises
    ------
    WrongIdentityError
        If the bytes are not such a section, or the grid is of a kind that HRRR never used.
    """
    kind = _read_kind(section)
    fields = _Fields(*_FIELDS.unpack_from(section, _HEADER.size))
    _check_layout(section, fields)
    lad = latin1 = latin2 = _signed(fields.lad) / 1e6
    if kind == "lambert":
        latin1, latin2 = (_signed(value) / 1e6 for value in _PARALLELS.unpack_from(section, _PARALLELS_AT))
    if lad not in (latin1, latin2):
        raise _unsupported(f"its cell size refers to latitude {lad}, not to a standard parallel, {latin1} or {latin2}")
    try:
        return Grid(
            kind=kind,
            nx=fields.nx,
            ny=fields.ny,
            dx=fields.dx / 1e3,
            dy=fields.dy / 1e3,
            radius=_radius(fields),
            first_latitude=_signed(fields.la1) / 1e6,
            first_longitude=_longitude(fields.lo1),
            lad=lad,
            lov=_longitude(fields.lov),
            latin1=latin1,
            latin2=latin2,
            wind_relative_to_grid=bool(fields.flags & _GRID_RELATIVE_WIND),
        )
    except ValueError as error:
        raise _unsupported(str(error)) from error


def _read_kind(section: bytes) -> Kind:
    if len(section) < _HEADER.size:
        raise _unsupported(f"section 3 ends after {len(section)} bytes")
    length, number, source, _, listed, _, template = _HEADER.unpack_from(section)
    if number != 3 or length != len(section):
        raise _unsupported(f"section {number} of {length} bytes instead of section 3 of {len(section)} bytes")
    if source or listed or template not in _TEMPLATES:
        raise _unsupported(
            f"its definition is template 3.{template}, source {source}, with {listed} bytes of row lengths"
        )
    kind, size = _TEMPLATES[template]
    if length != size:
        raise _unsupported(f"its definition by template 3.{template} has {length} bytes, not {size}")
    return kind


def _check_layout(section: bytes, fields: _Fields) -> None:
    count = int.from_bytes(section[6:10])
    if count != fields.nx * fields.ny:
        raise _unsupported(f"it counts {count} cells, but has {fields.nx} x {fields.ny}")
    if fields.scanning != _ROWS_FROM_SOUTH_WEST:
        raise _unsupported(f"its scanning mode is {fields.scanning}, not {_ROWS_FROM_SOUTH_WEST}")
    if fields.centre:
        raise _unsupported(f"its projection centre flag is {fields.centre}: the south pole or both, not the north pole")


def _radius(fields: _Fields) -> float:
    if fields.shape == _GIVEN_RADIUS:
        return float(fields.radius_scaled * 10.0 ** -_signed(fields.radius_factor, bits=8))
    if fields.shape not in _RADII:
        raise ValueError(f"the Earth's shape is number {fields.shape}, not one of the spheres 0, 1 and 6")
    return _RADII[fields.shape]


def _longitude(value: int) -> float:
    degrees = _signed(value) / 1e6
    if not -180 <= degrees <= 360:
        raise ValueError(f"longitudes must be within -180 to 360, not {degrees}")
    return degrees - 360 if degrees > 180 else degrees


def _signed(value: int, bits: int = 32) -> int:
    """Decode a GRIB2 integer: a sign bit and a magnitude (regulation 92.1.5)."""
    sign = 1 << (bits - 1)
    return sign - value if value & sign else value


def _unsupported(found: str) -> WrongIdentityError:
    return WrongIdentityError(
        "wanted a message on a Lambert conformal (template 3.30) or northern polar stereographic (3.20) grid of HRRR; "
        f"{found}; check that the file is from HRRR, or read it from another source"
    )


def distance_outside(grid: Grid, latitude: ArrayLike, longitude: ArrayLike, margin: float = NEAREST_MARGIN) -> Floats:
    """Compute how far points are outside a grid.

    The result is the great-circle distance to the outline: the smaller of the distances to the foot of the
    perpendicular on the map, which is accurate nearby, and to the nearest cell corner on the outline, which is accurate
    far away. Both are on the outline, so the result is never too small; it is too large by less than 1 %.

    Parameters
    ----------
    grid : Grid
        The grid.
    latitude, longitude : array_like
        dims (point,) [degrees_north, degrees_east].
    margin : float
        Distance of the outline beyond the outermost cell centres: ``NEAREST_MARGIN`` or ``BILINEAR_MARGIN`` [cell].

    Returns
    -------
    ndarray
        dims (point,); 0 inside, NaN for NaN coordinates [m].
    """
    latitude, longitude = _as_arrays(latitude, longitude)
    row, column = grid.index_of(latitude, longitude)
    distance = np.where(np.isnan(row), np.nan, 0.0)
    (out,) = np.nonzero(~(_inside(grid, row, column, margin) | np.isnan(row)))
    foot = grid.latlon(
        np.clip(row[out], -margin, grid.ny - 1 + margin), np.clip(column[out], -margin, grid.nx - 1 + margin)
    )
    corner = _nearest_corner(grid, latitude[out], longitude[out], margin)
    to_foot, to_corner = (great_circle_m(latitude[out], longitude[out], *end, grid.radius) for end in (foot, corner))
    distance[out] = np.minimum(to_foot, to_corner)
    return distance


def _inside(grid: Grid, row: Floats, column: Floats, margin: float) -> NDArray[np.bool_]:
    low, beyond = -margin - _ROUNDING, margin + _ROUNDING - 1
    return (row >= low) & (row <= grid.ny + beyond) & (column >= low) & (column <= grid.nx + beyond)


def _nearest_corner(grid: Grid, latitude: Floats, longitude: Floats, margin: float) -> tuple[Floats, Floats]:
    corner_latitude, corner_longitude = _outline(grid, margin)
    corners = _unit_vectors(corner_latitude, corner_longitude).T
    blocks = range(0, latitude.size, 1000)  # bounds the memory for the matrix of points by corners
    found = [
        (_unit_vectors(latitude[start : start + 1000], longitude[start : start + 1000]) @ corners).argmax(axis=1)
        for start in blocks
    ]
    which = np.concatenate([np.empty(0, np.intp), *found])
    return corner_latitude[which], corner_longitude[which]


def _outline(grid: Grid, margin: float) -> tuple[Floats, Floats]:
    rows = np.linspace(-margin, grid.ny - 1 + margin, grid.ny + 1)
    columns = np.linspace(-margin, grid.nx - 1 + margin, grid.nx + 1)
    row = np.concatenate([rows, rows, np.full_like(columns, rows[0]), np.full_like(columns, rows[-1])])
    column = np.concatenate([np.full_like(rows, columns[0]), np.full_like(rows, columns[-1]), columns, columns])
    return grid.latlon(row, column)


def _unit_vectors(latitude: Floats, longitude: Floats) -> Floats:
    phi, lam = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(phi) * np.cos(lam), np.cos(phi) * np.sin(lam), np.sin(phi)], axis=-1)


def find_nearest_cells(grid: Grid, latitude: ArrayLike, longitude: ArrayLike) -> Cells:
    """Find the grid cell that contains each point.

    Parameters
    ----------
    grid : Grid
        The grid.
    latitude, longitude : array_like
        dims (point,) [degrees_north, degrees_east].

    Returns
    -------
    Cells
        dims (point, 1), every weight exactly 1.

    Raises
    ------
    PointsError
        If a point is more than half a cell beyond the outermost cell centres.
    """
    latitude, longitude = _as_arrays(latitude, longitude)
    row, column = _positions(grid, latitude, longitude, NEAREST_MARGIN)
    y, x = _round_to_cells(row, grid.ny), _round_to_cells(column, grid.nx)
    index = (y * grid.nx + x)[:, np.newaxis]
    return _cells(grid, latitude, longitude, index, np.ones(index.shape))


def find_bilinear_cells(grid: Grid, latitude: ArrayLike, longitude: ArrayLike) -> Cells:
    """Find the four grid cells around each point and their bilinear weights.

    Parameters
    ----------
    grid : Grid
        The grid, at least two rows and two columns.
    latitude, longitude : array_like
        dims (point,) [degrees_north, degrees_east].

    Returns
    -------
    Cells
        dims (point, 4): south-west, south-east, north-west, north-east. The nearest cell is that of
        :func:`find_nearest_cells`.

    Raises
    ------
    PointsError
        If a point is beyond the outermost cell centres, or the grid has a single row or column.
    """
    if min(grid.nx, grid.ny) < 2:
        raise PointsError(f"bilinear weights need two rows and two columns, not a {grid.describe()}: use nearest")
    latitude, longitude = _as_arrays(latitude, longitude)
    row, column = _positions(grid, latitude, longitude, BILINEAR_MARGIN)
    south = np.clip(np.floor(row), 0, grid.ny - 2).astype(np.int64)
    west = np.clip(np.floor(column), 0, grid.nx - 2).astype(np.int64)
    up, right = np.clip(row - south, 0, 1), np.clip(column - west, 0, 1)
    index = (south * grid.nx + west)[:, np.newaxis] + np.array([0, 1, grid.nx, grid.nx + 1])
    weight = np.stack([(1 - up) * (1 - right), (1 - up) * right, up * (1 - right), up * right], axis=1)
    return _cells(grid, latitude, longitude, index, weight)


def _as_arrays(latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, Floats]:
    return np.atleast_1d(np.asarray(latitude, np.float64)), np.atleast_1d(np.asarray(longitude, np.float64))


def _positions(grid: Grid, latitude: Floats, longitude: Floats, margin: float) -> tuple[Floats, Floats]:
    row, column = grid.index_of(latitude, longitude)
    (out,) = np.nonzero(~_inside(grid, row, column, margin))
    if out.size:
        first = out[0]
        away = float(distance_outside(grid, latitude[first], longitude[first], margin)[0])
        raise PointsError(
            f"wanted points inside the {grid.describe()}; found {out.size} of {row.size} outside, the first (number "
            f"{first}, at {latitude[first]}, {longitude[first]}) by {away / 1000:.3f} km; leave them out"
        )
    return row, column


def _round_to_cells(position: Floats, count: int) -> NDArray[np.int64]:
    return np.clip(np.rint(position), 0, count - 1).astype(np.int64)


def _cells(grid: Grid, latitude: Floats, longitude: Floats, index: NDArray[np.int64], weight: Floats) -> Cells:
    row, column = grid.index_of(latitude, longitude)
    y, x = _round_to_cells(row, grid.ny), _round_to_cells(column, grid.nx)
    cell_latitude, cell_longitude = grid.latlon(y, x)
    return Cells(
        index=index,
        weight=weight,
        y=y.astype(np.int32),
        x=x.astype(np.int32),
        latitude=cell_latitude,
        longitude=cell_longitude,
        distance=great_circle_m(latitude, longitude, cell_latitude, cell_longitude, grid.radius),
    )
