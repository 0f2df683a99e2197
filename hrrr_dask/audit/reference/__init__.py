"""An independent route from the archive to values, for checking stores. Shares no code with the pipeline.

It imports none of the pipeline's modules, which a test checks. It reads whole objects instead of byte ranges, and the
messages' own keys instead of inventories. ecCodes gives keys, coordinates and values. Cells are found on the sphere
instead of the map, and wind is turned along measured instead of computed directions. Both routes share only data: the
tables of elements and levels, the catalogue, and the meaning of selectors.
"""

from __future__ import annotations

from hrrr_dask.audit.reference.downloads import open_object
from hrrr_dask.audit.reference.geometry import Placement, place
from hrrr_dask.audit.reference.values import Answer, Obstacle, read_values

__all__ = ["Answer", "Obstacle", "Placement", "open_object", "place", "read_values"]
