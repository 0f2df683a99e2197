"""Map projections: converts latitude and longitude to grid rows and columns, and rotates wind to true north.

Both projections of HRRR are conic on a sphere (Snyder 1987, *Map projections: a working manual*, USGS Professional
Paper 1395): Lambert conformal (equations 15-1 to 15-11) has the cone constant ``n``, and polar stereographic
(equations 21-5 to 21-15 and 21-33) is the special case ``n = 1``::

    rho = R F tan(45° - lat / 2)^n      x = rho sin(n (lon - lov))      y = rho_0 - rho cos(n (lon - lov))

Rows and columns are numbered from 0 in the order of the message: rows to the grid's north, columns to its east.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["SAME_CELLS_M", "Floats", "Grid", "Kind", "great_circle_m", "rotate_to_earth"]

Floats: TypeAlias = NDArray[np.float64]
Kind: TypeAlias = Literal["lambert", "polar_stereographic"]

SAME_CELLS_M: Final = 150.0
"""Distance between the first cells of grids that count as the same: files of HRRR v1 and v2 are about 53 m off [m]."""


@dataclass(frozen=True, slots=True)
class Grid:
    """A map projection of the northern hemisphere, and a rectangle of cells on it."""

    kind: Kind
    """Name of the projection."""
    nx: int
    """Number of columns."""
    ny: int
    """Number of rows."""
    dx: float
    """Distance between neighbouring columns at latitude ``lad`` [m]."""
    dy: float
    """Distance between neighbouring rows at latitude ``lad`` [m]."""
    radius: float
    """Radius of the sphere [m]."""
    first_latitude: float
    """Latitude of the centre of cell (0, 0) [degrees_north]."""
    first_longitude: float
    """Longitude of the centre of cell (0, 0), -180 to 180 [degrees_east]."""
    lad: float
    """Latitude of true scale; for a Lambert grid also the latitude of the origin [degrees_north]."""
    lov: float
    """Central meridian, which is vertical on the map, -180 to 180 [degrees_east]."""
    latin1: float
    """First standard parallel; ``lad`` for polar stereographic [degrees_north]."""
    latin2: float
    """Second standard parallel; equals the first for a tangent cone [degrees_north]."""
    wind_relative_to_grid: bool
    """Whether u and v are relative to rows and columns instead of east and north."""

    def __post_init__(self) -> None:
        if min(self.nx, self.ny) < 1 or not (self.dx > 0 and self.dy > 0):
            raise ValueError(
                f"a grid must have cells of positive size, not {self.nx} x {self.ny} of {self.dx} m x {self.dy} m"
            )
        if not 6e6 < self.radius < 7e6:
            raise ValueError(f"the Earth's radius must be about 6371 km, not {self.radius} m")
        if not -90 <= self.first_latitude <= 90:
            raise ValueError(f"the first latitude must be within -90 to 90, not {self.first_latitude}")
        for name in ("lad", "latin1", "latin2"):
            latitude = getattr(self, name)
            if not (0 < latitude < 90 or (latitude == 90 and self.kind == "polar_stereographic")):
                raise ValueError(f"{name} of a northern {self.kind} grid must be within 0 to 90, not {latitude}")
        for name in ("first_longitude", "lov"):
            if not -180 <= getattr(self, name) <= 180:
                raise ValueError(f"{name} must be within -180 to 180, not {getattr(self, name)}")

    def index_of(self, latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, Floats]:
        """Convert latitude and longitude to row and column, inside or outside the grid.

        Parameters
        ----------
        latitude, longitude : array_like
            dims (...,) [degrees_north, degrees_east].

        Returns
        -------
        row, column : ndarray
            dims (...,), fractional; integers at the cell centres [cell].
        """
        cone = _cone(self)
        x, y = cone.project(latitude, longitude)
        return (y - cone.y0) / self.dy, (x - cone.x0) / self.dx

    def latlon(self, row: ArrayLike, column: ArrayLike) -> tuple[Floats, Floats]:
        """Convert row and column to latitude and longitude, the inverse of :meth:`index_of`.

        Parameters
        ----------
        row, column : array_like
            dims (...,), may be fractional [cell].

        Returns
        -------
        latitude, longitude : ndarray
            dims (...,), longitude from -180 to 180 [degrees_north, degrees_east].
        """
        cone = _cone(self)
        x = cone.x0 + np.asarray(column, np.float64) * self.dx
        y = cone.y0 + np.asarray(row, np.float64) * self.dy
        return cone.unproject(x, y)

    def xy(self, row: ArrayLike, column: ArrayLike) -> tuple[Floats, Floats]:
        """Convert row and column to map coordinates of the projection in :meth:`cf_attributes`.

        Parameters
        ----------
        row, column : array_like
            dims (...,), may be fractional [cell].

        Returns
        -------
        x, y : ndarray
            dims (...,), eastward and northward from the projection's origin [m].
        """
        cone = _cone(self)
        return cone.x0 + np.asarray(column, np.float64) * self.dx, cone.y0 + np.asarray(row, np.float64) * self.dy

    def same_cells_as(self, other: Grid, tolerance_m: float = SAME_CELLS_M) -> bool:
        """Whether cell (y, x) has the same location on both grids; the reference of the wind is ignored.

        Parameters
        ----------
        other : Grid
            The other grid.
        tolerance_m : float
            Largest accepted distance between the first cells [m].
        """
        if (self.kind, self.nx, self.ny) != (other.kind, other.nx, other.ny):
            return False
        exact = ("dx", "dy", "radius", "lad", "latin1", "latin2")
        if not all(math.isclose(getattr(self, name), getattr(other, name), rel_tol=1e-8) for name in exact):
            return False
        if abs(_wrap_degrees(self.lov - other.lov)) > 1e-6:
            return False
        own, others = (self.first_latitude, self.first_longitude), (other.first_latitude, other.first_longitude)
        return bool(great_circle_m(*own, *others, self.radius) <= tolerance_m)

    def wind_angle(self, longitude: ArrayLike) -> Floats:
        """Azimuth of the grid's north, clockwise from true north.

        Parameters
        ----------
        longitude : array_like
            dims (...,) [degrees_east].

        Returns
        -------
        ndarray
            dims (...,), for :func:`rotate_to_earth` if ``wind_relative_to_grid`` [rad].
        """
        return np.asarray(_cone(self).n * np.radians(_wrap_degrees(np.asarray(longitude, np.float64) - self.lov)))

    def describe(self) -> str:
        """Short description for messages."""
        title = "Lambert conformal" if self.kind == "lambert" else "polar stereographic"
        latitude, longitude = self.latlon(self.ny - 1, self.nx - 1)
        return (
            f"{title} grid of {self.nx} x {self.ny} cells of {self.dx / 1000:g} km x {self.dy / 1000:g} km, "
            f"first cell at {self.first_latitude:.4f}, {self.first_longitude:.4f}, "
            f"last cell at {latitude:.4f}, {longitude:.4f}"
        )

    def cf_attributes(self) -> dict[str, str | float | list[float]]:
        """Attributes of a CF grid mapping variable (CF 1.11, appendix F)."""
        shared: dict[str, str | float | list[float]] = {
            "earth_radius": self.radius,
            "false_easting": 0.0,
            "false_northing": 0.0,
        }
        if self.kind == "polar_stereographic":
            return {
                "grid_mapping_name": "polar_stereographic",
                "straight_vertical_longitude_from_pole": self.lov,
                "latitude_of_projection_origin": 90.0,
                "standard_parallel": self.lad,
                **shared,
            }
        is_tangent = self.latin1 == self.latin2
        return {
            "grid_mapping_name": "lambert_conformal_conic",
            "standard_parallel": self.latin1 if is_tangent else [self.latin1, self.latin2],
            "longitude_of_central_meridian": self.lov,
            "latitude_of_projection_origin": self.lad,
            **shared,
        }


@dataclass(frozen=True, slots=True)
class _Cone:
    """Constants of a grid's projection."""

    n: float
    """Degrees on the map per degree of longitude."""
    scale: float
    """``R F`` of the module's formula [m]."""
    rho0: float
    """Distance of the projection's origin from the apex of the cone [m]."""
    lov: float
    """Central meridian [degrees_east]."""
    x0: float = 0.0
    """Map coordinate x of the first cell [m]."""
    y0: float = 0.0
    """Map coordinate y of the first cell [m]."""

    def project(self, latitude: ArrayLike, longitude: ArrayLike) -> tuple[Floats, Floats]:
        """Convert latitude and longitude [degree] to map coordinates [m], same dims."""
        theta = self.n * np.radians(_wrap_degrees(np.asarray(longitude, np.float64) - self.lov))
        rho = self.scale * _colatitude_tangent(latitude) ** self.n
        return rho * np.sin(theta), self.rho0 - rho * np.cos(theta)

    def unproject(self, x: Floats, y: Floats) -> tuple[Floats, Floats]:
        """Convert map coordinates [m] to latitude and longitude [degree], same dims."""
        down = self.rho0 - y
        tangent = (np.hypot(x, down) / self.scale) ** (1 / self.n)
        longitude = self.lov + np.degrees(np.arctan2(x, down)) / self.n
        return 90 - 2 * np.degrees(np.arctan(tangent)), np.asarray(_wrap_degrees(longitude))


@lru_cache(maxsize=64)
def _cone(grid: Grid) -> _Cone:
    if grid.kind == "polar_stereographic":
        cone = _Cone(1.0, grid.radius * (1 + math.sin(math.radians(grid.lad))), 0.0, grid.lov)
    else:
        cosine1, cosine2 = (math.cos(math.radians(latitude)) for latitude in (grid.latin1, grid.latin2))
        tangent1, tangent2 = (float(_colatitude_tangent(latitude)) for latitude in (grid.latin1, grid.latin2))
        is_tangent = abs(grid.latin1 - grid.latin2) < 1e-9
        n = math.sin(math.radians(grid.latin1)) if is_tangent else math.log(cosine1 / cosine2, tangent1 / tangent2)
        scale = grid.radius * cosine1 / (n * tangent1**n)
        cone = _Cone(n, scale, scale * float(_colatitude_tangent(grid.lad)) ** n, grid.lov)
    x0, y0 = cone.project(grid.first_latitude, grid.first_longitude)
    return _Cone(cone.n, cone.scale, cone.rho0, cone.lov, float(x0), float(y0))


def _colatitude_tangent(latitude: ArrayLike) -> Floats:
    return np.tan(np.radians(90 - np.asarray(latitude, np.float64)) / 2)


def _wrap_degrees(degrees: ArrayLike) -> Floats:
    """The same angle in [-180, 180)."""
    return (np.asarray(degrees, np.float64) + 180) % 360 - 180


def great_circle_m(lat1: ArrayLike, lon1: ArrayLike, lat2: ArrayLike, lon2: ArrayLike, radius: float) -> Floats:
    """Great-circle distance by the haversine formula, accurate even for a metre.

    Parameters
    ----------
    lat1, lon1, lat2, lon2 : array_like
        dims (...,), broadcast against one another [degrees_north, degrees_east].
    radius : float
        Radius of the sphere [m].

    Returns
    -------
    ndarray
        dims (...,) [m].

    Examples
    --------
    >>> round(float(great_circle_m(0, 0, 0, 180, 6371229.0) / 6371229.0), 6)
    3.141593
    """
    phi1, phi2, lambda1, lambda2 = (np.radians(np.asarray(angle, np.float64)) for angle in (lat1, lat2, lon1, lon2))
    haversine = np.sin((phi2 - phi1) / 2) ** 2 + np.cos(phi1) * np.cos(phi2) * np.sin((lambda2 - lambda1) / 2) ** 2
    return np.asarray(2 * radius * np.arcsin(np.sqrt(np.minimum(haversine, 1))))


def rotate_to_earth(u: ArrayLike, v: ArrayLike, angle: ArrayLike) -> tuple[Floats, Floats]:
    """Rotate grid-relative wind components to eastward and northward wind.

    Parameters
    ----------
    u, v : array_like
        dims (...,), components along the rows and along the columns [m s-1].
    angle : array_like
        dims (...,), from :meth:`Grid.wind_angle` [rad].

    Returns
    -------
    u_east, v_north : ndarray
        dims (...,) [m s-1].

    Examples
    --------
    >>> east, north = rotate_to_earth(3.0, 4.0, 0.0)
    >>> float(east), float(north)
    (3.0, 4.0)
    """
    u, v, angle = (np.asarray(values, np.float64) for values in (u, v, angle))
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(u * cosine + v * sine), np.asarray(v * cosine - u * sine)
