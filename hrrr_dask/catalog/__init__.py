"""What NOAA publishes: products, runs, variables, selectors, levels and plausible limits.

Tables and pure functions on them. Imports only `errors` and `records`. Every number in a table has a source.
"""

__all__ = ["elements", "eras", "lead_times", "levels", "limits", "products", "selectors", "spelling", "variables"]
