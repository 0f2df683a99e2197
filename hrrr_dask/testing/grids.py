"""Windows of the two HRRR grids (CONUS and Alaska), computed from the map projections.

Shares no code with :mod:`hrrr_dask.grid.definition`, so that they can be tested against each other, only the numbers in
:mod:`hrrr_dask.grid.domains`. Formulas: Snyder, Map Projections - A Working Manual (USGS 1395), spherical Lambert
conformal conic with one standard parallel and polar stereographic.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hrrr_dask.errors import ConfigError
from hrrr_dask.grid.domains import DOMAIN_GRIDS

__all__ = ["DEFAULT_WINDOW", "GridWindow"]

GRID_RELATIVE: Final = 0x08
"""Resolution and component flags: vectors are grid-relative."""

FROM_SOUTH_WEST: Final = 0x40
"""Scanning mode: rows from west to east, ordered from south to north."""


@dataclass(frozen=True, slots=True)
class GridWindow:
    """A rectangle of cells of an HRRR grid.

    Examples
    --------
    >>> GridWindow.whole("conus").shape
    (1059, 1799)
    >>> latitude, longitude = GridWindow(0, 0, 2, 2).latlon(0, 0)
    >>> round(float(latitude), 6), round(float(longitude), 6)
    (21.138123, 237.280472)
    >>> len(GridWindow(0, 0, 2, 2).section3())
    81
    """

    row: int
    """First row, counted from the southern edge of the whole grid."""
    column: int
    """First column, counted from the western edge of the whole grid."""
    ny: int
    """Number of rows."""
    nx: int
    """Number of columns."""
    domain: str = "conus"
    """``conus`` (Lambert conformal) or ``alaska`` (polar stereographic)."""

    def __post_init__(self) -> None:
        if self.domain not in DOMAIN_GRIDS:
            raise ConfigError(f"domain {self.domain!r} is unknown: use {' or '.join(DOMAIN_GRIDS)}")
        whole = DOMAIN_GRIDS[self.domain]
        inside = (
            min(self.row, self.column) >= 0 and self.row + self.ny <= whole.ny and self.column + self.nx <= whole.nx
        )
        if not inside or min(self.ny, self.nx) < 2:
            raise ConfigError(
                f"a window has two rows and columns or more, all within the {whole.ny} x {whole.nx} cells of "
                f"{self.domain}; found {self}: move or resize it"
            )

    @classmethod
    def whole(cls, domain: str = "conus") -> Self:
        """Return the window of a whole domain."""
        if domain not in DOMAIN_GRIDS:
            raise ConfigError(f"domain {domain!r} is unknown: use {' or '.join(DOMAIN_GRIDS)}")
        return cls(0, 0, DOMAIN_GRIDS[domain].ny, DOMAIN_GRIDS[domain].nx, domain)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rows and columns."""
        return self.ny, self.nx

    def latlon(self, y: ArrayLike, x: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return the centres of cells.

        Parameters
        ----------
        y, x : array_like
            Row and column within the window.

        Returns
        -------
        latitude, longitude : ndarray
            dims as broadcast from ``y`` and ``x``; longitude 0 to 360 [degrees_north, degrees_east].
        """
        rows = np.asarray(y, dtype=np.float64) + self.row
        columns = np.asarray(x, dtype=np.float64) + self.column
        latitude, longitude = (_lambert if self.domain == "conus" else _stereographic)(rows, columns)
        return latitude, longitude % 360.0

    def section3(self) -> bytes:
        """Encode section 3 (grid definition) of this window as in HRRR, WMO templates 3.30 and 3.20."""
        domain = DOMAIN_GRIDS[self.domain]
        latitude, longitude = self.latlon(0, 0)
        parallel, meridian = _millionths(domain.lad), _millionths(domain.lov % 360)
        lambert = domain.kind == "lambert"
        body = struct.pack(">BIBBH", 0, self.ny * self.nx, 0, 0, 30 if lambert else 20)
        body += struct.pack(">B15x", 6)  # shape of the earth; NCEP writes zeros, not missing, for the unused radii
        body += struct.pack(">IIII", self.nx, self.ny, _millionths(latitude), _millionths(longitude))
        body += struct.pack(">BII", GRID_RELATIVE, parallel, meridian)
        body += struct.pack(">IIBB", round(1000 * domain.dx), round(1000 * domain.dy), 0, FROM_SOUTH_WEST)
        if lambert:
            body += struct.pack(">II8x", parallel, parallel)
        return struct.pack(">IB", 5 + len(body), 3) + body


DEFAULT_WINDOW: Final = GridWindow(288, 794, 24, 32)
"""72 x 96 km around the Roscoe wind farms in Texas, near 32.27 N 100.36 W."""


def _millionths(degrees: float | NDArray[np.float64]) -> int:
    return round(float(degrees) * 1e6)


def _lambert(row: NDArray[np.float64], column: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    domain = DOMAIN_GRIDS["conus"]
    meridian = domain.lov % 360
    parallel = math.radians(domain.lad)
    n = math.sin(parallel)
    scale = domain.radius * math.cos(parallel) * math.tan(math.pi / 4 + parallel / 2) ** n / n

    def radius(latitude: float) -> float:
        return float(scale / math.tan(math.pi / 4 + math.radians(latitude) / 2) ** n)

    angle = n * math.radians(domain.first_longitude % 360 - meridian)
    x = radius(domain.first_latitude) * math.sin(angle) + domain.dx * column
    south = radius(domain.first_latitude) * math.cos(angle) - domain.dy * row  # distance below the cone's apex
    latitude = 2 * np.arctan((scale / np.hypot(x, south)) ** (1 / n)) - math.pi / 2
    return np.degrees(latitude), meridian + np.degrees(np.arctan2(x, south)) / n


def _stereographic(
    row: NDArray[np.float64], column: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    domain = DOMAIN_GRIDS["alaska"]
    meridian = domain.lov % 360
    scale = domain.radius * (1 + math.sin(math.radians(domain.lad)))
    first = scale * math.tan(math.pi / 4 - math.radians(domain.first_latitude) / 2)
    angle = math.radians(domain.first_longitude % 360 - meridian)
    x = first * math.sin(angle) + domain.dx * column
    south = first * math.cos(angle) - domain.dy * row  # distance below the pole
    latitude = math.pi / 2 - 2 * np.arctan(np.hypot(x, south) / scale)
    return np.degrees(latitude), meridian + np.degrees(np.arctan2(x, south))
