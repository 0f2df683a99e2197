"""From a place on the globe to grid cells and weights: points, projections, interpolation, the height of the sun.

Pure, except that `points` reads points files. Uses `errors`, `records` and `objects`.
"""

__all__ = ["definition", "interpolation", "points", "projection", "solar"]
