"""Selects points of a dataset by name, or by place."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from operator import index
from typing import Final

import numpy as np
import xarray as xr

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.projection import great_circle_m

__all__ = ["EARTH_RADIUS_M", "at_points", "nearest"]

EARTH_RADIUS_M: Final = 6_371_229.0
"""Radius of the model's spherical Earth [m]."""


def nearest(ds: xr.Dataset, latitude: float, longitude: float, n: int = 1) -> xr.Dataset:
    """Select the stored points that are nearest to a place.

    Parameters
    ----------
    ds : xarray.Dataset
        Dims ``(…, point)``, with the coordinates ``latitude`` and ``longitude`` of the points.
    latitude : float
        The place, -90 to 90 [degrees_north].
    longitude : float
        The place, -180 to 360 [degrees_east].
    n : int
        Number of points.

    Returns
    -------
    xarray.Dataset
        The ``n`` nearest points along ``point``, the nearest first, with the coordinate ``distance(point)``: the
        great-circle distance from the place to the point as it was requested, on the model's sphere of 6371.229 km
        [m]. ``cell_distance`` is that from the point to the centre of its grid cell. Only ``latitude`` and
        ``longitude`` are read. A dataset of a single point stays one without the dimension.

    Raises
    ------
    PointsError
        If it is not a place, or the dataset has fewer points, or no latitude and longitude.

    Examples
    --------
    >>> near = ds.hrrr.nearest(32.4, -100.4, n=2)
    >>> near.point_id.values.tolist(), near.distance.values.round().tolist()
    (['sweetwater', 'champion'], [7804.0, 11485.0])
    """
    _check_place(latitude, longitude)
    if not {"latitude", "longitude"} <= set(ds.coords):
        raise PointsError(
            "the coordinates latitude and longitude of the points are needed, and this dataset lacks one: keep them"
        )
    places = [ds.coords[name].variable.compute() for name in ("latitude", "longitude")]
    dims = places[0].dims
    latitudes, longitudes = (place.values for place in places)
    distance = np.atleast_1d(great_circle_m(latitude, longitude, latitudes, longitudes, EARTH_RADIUS_M))
    if not 1 <= _parse_number(n) <= distance.size:
        raise PointsError(f"n={n!r} is not a number of points from 1 to {distance.size}, which this dataset has")
    order = np.argsort(distance, kind="stable")[:n]
    attributes = {"long_name": "distance to the requested place", "units": "m"}
    ds = ds.assign_coords(latitude=places[0], longitude=places[1])
    if not dims:
        return ds.assign_coords(distance=((), distance[0], attributes))
    return ds.isel({dims[0]: order}).assign_coords(distance=(dims, distance[order], attributes))


def _check_place(latitude: float, longitude: float) -> None:
    try:
        found = -90 <= float(latitude) <= 90 and -180 <= float(longitude) <= 360
    except (TypeError, ValueError):
        found = False
    if not found:
        raise PointsError(
            f"latitude {latitude!r}, longitude {longitude!r} is not a place: give numbers within -90 to 90 and -180 to "
            "360 degrees, the latitude first, such as nearest(43.6, -116.2)"
        )


def _parse_number(n: int) -> int:
    try:
        return index(n)
    except TypeError:
        return 0


def at_points(ds: xr.Dataset, point: str | Sequence[str]) -> xr.Dataset:
    """Select by ``point_id``, with or without an index, and also if the dataset has a single point."""
    if "point_id" not in ds.coords:
        raise PointsError(
            f"point {point!r} cannot be found without the coordinate point_id: keep it, or select with isel(point=…)"
        )
    ids = ds.coords["point_id"]
    known = [str(name) for name in np.atleast_1d(ids.values)]
    wanted = [point] if isinstance(point, str) else list(point)
    for name in wanted:
        if name not in known:
            near = difflib.get_close_matches(str(name), known, n=3, cutoff=0.5) or known[:10]
            raise PointsError(
                f"point {name!r} is not in this dataset of {len(known)} points: give a point_id such as "
                f"{', '.join(near)}"
            )
    if not ids.dims:
        return ds
    positions = [known.index(name) for name in wanted]
    return ds.isel({ids.dims[0]: positions[0] if isinstance(point, str) else positions})
