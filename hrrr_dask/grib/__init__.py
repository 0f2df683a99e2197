"""Reads the metadata of GRIB2 messages: sections, packing, and checks of identity against the request.

Pure functions of bytes; values are decoded in `decode`. Imports `catalog` and `grid`. Inconsistent bytes raise an
`ArchiveError`, never another exception.
"""

__all__ = ["identity", "packing", "sections"]
