"""Another route to the same values, for checking a store against the archive.

It shares no stage with the pipeline, and imports none of its modules, as a test holds: whole objects instead of
ranges, the messages' own keys instead of inventories, ecCodes for keys, places and values, cells found on the sphere
instead of the map, wind turned along directions that are measured instead of computed. What the two have in common is
data: the tables of elements and levels, the catalogue, and what a selector means.
"""

from __future__ import annotations

from hrrr_dask.audit.reference.downloads import whole_object
from hrrr_dask.audit.reference.geometry import Placement, place
from hrrr_dask.audit.reference.values import Answer, Obstacle, read_values

__all__ = ["Answer", "Obstacle", "Placement", "place", "read_values", "whole_object"]
