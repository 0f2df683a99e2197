"""Which values are physically implausible: flags beside values, never changes to them.

Pure. Uses the limits in `catalog` and the height of the sun in `grid`.
"""

__all__ = ["flags", "steps"]
