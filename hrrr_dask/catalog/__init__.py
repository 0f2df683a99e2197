"""What NOAA publishes: products, runs, variables, selectors, levels and plausible limits.

Tables and pure functions of them. Uses only `errors` and `records`. Every figure in a table has a source.
"""

__all__ = ["elements", "levels", "limits", "products", "selectors", "variables"]
