"""Independent reader of archive files through ecCodes, to verify stores. Shares no code with the pipeline.

A test checks that no module of the pipeline is imported. This reader downloads whole objects instead of byte ranges,
and uses the keys of messages instead of inventories. ecCodes decodes keys, coordinates and values. Cells are found on
the sphere instead of the map projection, and wind is turned along measured instead of computed directions. Both share
only data: the tables of elements and levels, the catalogue, and the meaning of selectors.
"""

from __future__ import annotations

from hrrr_dask.audit.reference.downloads import LastObject, open_object
from hrrr_dask.audit.reference.geometry import PointCells, locate_points
from hrrr_dask.audit.reference.values import NoValues, PointValues, read_values

__all__ = ["LastObject", "NoValues", "PointCells", "PointValues", "locate_points", "open_object", "read_values"]
