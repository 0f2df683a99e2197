"""Points, map projections, grid cells with interpolation weights, and solar elevation.

The grids of HRRR are in `domains`. Pure functions, except that `points` reads points files. Imports `errors`, `records`
and `objects`.
"""

__all__ = ["definition", "domains", "interpolation", "points", "projection", "solar"]
