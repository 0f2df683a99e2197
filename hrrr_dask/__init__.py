"""Point series out of the whole HRRR archive, through Dask, into one Zarr store."""

from __future__ import annotations

__version__ = "0.1.0"
