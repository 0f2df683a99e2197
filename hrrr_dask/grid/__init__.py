"""Points, map projections, grid cells with interpolation weights, and solar elevation.

The grids of HRRR are in `domains`, further columns of points in `point_columns`, the model's elevation and land mask at
their cells in `cell_surface`. Pure functions, except that `points` reads points files. Imports `catalog`, `errors`,
`records` and `objects`.
"""

__all__ = [
    "cell_surface",
    "definition",
    "domains",
    "interpolation",
    "point_columns",
    "points",
    "projection",
    "solar",
]
