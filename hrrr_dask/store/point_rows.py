"""Encodes points, their columns and the surface of their cells as JSON, for the steps of growth. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.grid.cell_surface import CellSurface
from hrrr_dask.grid.point_columns import PointColumn
from hrrr_dask.grid.points import Points

__all__ = [
    "decode_points",
    "decode_surface",
    "encode_points",
    "encode_surface",
    "point_steps",
    "points_of",
    "surface_of",
]


def encode_points(points: Points, surface: CellSurface | None) -> dict[str, Any]:
    """Encode points; without columns and a surface, as in stores of version 0.1."""
    rows: dict[str, Any] = {
        "point_id": list(points.point_id),
        "name": list(points.name),
        "latitude": points.latitude.tolist(),
        "longitude": points.longitude.tolist(),
    }
    if points.columns:
        rows["columns"] = {name: asdict(column) for name, column in points.columns.items()}
    if surface is not None:
        rows |= encode_surface(surface)
    return rows


def encode_surface(surface: CellSurface) -> dict[str, Any]:
    """Encode the surface of the cells of points."""
    return {"cell_elevation": _nulls(surface.elevation), "cell_is_land": _nulls(surface.is_land)}


def decode_points(rows: Mapping[str, Any]) -> Points:
    """Decode points with their columns."""
    columns = {
        name: PointColumn(column["title"], column["kind"], tuple(column["values"]))
        for name, column in rows.get("columns", {}).items()
    }
    return Points(tuple(rows["point_id"]), tuple(rows["name"]), rows["latitude"], rows["longitude"], columns)


def decode_surface(rows: Mapping[str, Any]) -> CellSurface | None:
    """Decode the surface of the cells of points; None if there is none."""
    if "cell_elevation" not in rows:
        return None
    elevation, is_land = (np.array(rows[key], dtype=np.float32) for key in ("cell_elevation", "cell_is_land"))
    return CellSurface(elevation, is_land)


def points_of(steps: Sequence[Mapping[str, Any]]) -> Points:
    """Return all points that steps added, in their order."""
    first, *later = (decode_points(step["points"]) for step in steps if "points" in step)
    for more in later:
        first = first.concat(more)
    return first


def surface_of(steps: Sequence[Mapping[str, Any]]) -> CellSurface | None:
    """Return the surface of the cells of all points that steps added; None if the first step has none."""
    first, *later = steps
    surface = decode_surface(first["points"])
    for step in later:
        if surface is not None and "surface" in step:
            surface = surface.fill(decode_surface(step["surface"]) or CellSurface.unknown(0))
        if surface is not None and "points" in step:
            rows = step["points"]
            surface = surface.concat(decode_surface(rows) or CellSurface.unknown(len(rows["point_id"])))
    return surface


def point_steps(settings: Mapping[str, Any]) -> list[int]:
    """Return the numbers of the steps that say something of points: that added some, or the last with the surface."""
    return sorted({cohort["growth"] for cohort in settings["cohorts"]} | {settings.get("surface_step", 0)})


def _nulls(values: NDArray[np.float32]) -> list[float | None]:
    """Return values as JSON, which has no NaN."""
    return [None if np.isnan(value) else value for value in values.tolist()]
