"""Quality flags for physically implausible values; the values themselves are never changed.

Pure functions. Imports the limits from `catalog` and the solar zenith angle from `grid`.
"""

__all__ = ["flags", "steps"]
