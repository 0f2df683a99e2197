"""Points, map projections, grid cells with interpolation weights, and solar elevation.

Pure functions, except that `points` reads points files. Imports `errors`, `records` and `objects`.
"""

__all__ = ["definition", "interpolation", "points", "projection", "solar"]
