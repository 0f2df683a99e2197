"""Selects points of a dataset by name."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import numpy as np
import xarray as xr

from hrrr_dask.errors import PointsError

__all__ = ["at_points"]


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
