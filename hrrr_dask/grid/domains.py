"""The grids of HRRR's two domains, and the check that points lie on a grid.

Sources: section 3 of CONUS and Alaska messages of HRRR v4, WMO templates 3.30 and 3.20. Files of v1 and v2 have the
same CONUS grid with the first cell about 53 m away.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from hrrr_dask.errors import PointsError
from hrrr_dask.grid.definition import distance_outside
from hrrr_dask.grid.points import Points
from hrrr_dask.grid.projection import Grid

__all__ = ["DOMAIN_GRIDS", "refuse_outside"]

DOMAIN_GRIDS: Final = {
    "conus": Grid(
        kind="lambert",
        nx=1799,
        ny=1059,
        dx=3000.0,
        dy=3000.0,
        radius=6_371_229.0,
        first_latitude=21.138123,
        first_longitude=237.280472 - 360,
        lad=38.5,
        lov=262.5 - 360,
        latin1=38.5,
        latin2=38.5,
        wind_relative_to_grid=True,
    ),
    "alaska": Grid(
        kind="polar_stereographic",
        nx=1299,
        ny=919,
        dx=3000.0,
        dy=3000.0,
        radius=6_371_229.0,
        first_latitude=41.612949,
        first_longitude=185.117126 - 360,
        lad=60.0,
        lov=225.0 - 360,
        latin1=60.0,
        latin2=60.0,
        wind_relative_to_grid=True,
    ),
}
"""Name in :data:`hrrr_dask.catalog.products.DOMAINS` to the grid of all its products."""

_LISTED: Final = 20


def refuse_outside(points: Points, grid: Grid, margin: float, name: str, *, tolerance_m: float = 0.0) -> None:
    """Refuse points outside a grid.

    Parameters
    ----------
    points : Points
        The points.
    grid : Grid
        The grid.
    margin : float
        Distance of the edge beyond the outermost cell centres: ``NEAREST_MARGIN`` or ``BILINEAR_MARGIN`` [cell].
    name : str
        What the text of the error calls the grid.
    tolerance_m : float
        Points this far beyond the edge are not refused [m].

    Raises
    ------
    PointsError
        If points lie outside; names each with its distance to the edge.
    """
    distance = distance_outside(grid, points.latitude, points.longitude, margin)
    (outside,) = np.nonzero(distance > tolerance_m)
    if not outside.size:
        return
    lines = [
        f"  {points.point_id[k]} ({points.latitude[k]:.4f}, {points.longitude[k]:.4f}) "
        f"lies {distance[k] / 1000:.1f} km beyond its edge"
        for k in outside[:_LISTED]
    ]
    if len(outside) > _LISTED:
        lines.append(f"  … and {len(outside) - _LISTED} more")
    raise PointsError(
        f"{len(outside)} of {len(points)} points are outside {name} ({grid.describe()}):\n"
        + "\n".join(lines)
        + "\nRemove them from the points file, or choose another --domain"
    )
