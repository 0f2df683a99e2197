"""Reads from one file of the archive what all files share: the grid, and the elevation and land mask of its cells.

A file without the messages of elevation and land mask, or an archive that cannot be read, leaves these unknown: no
command fails because of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.archive.fetch import Tally, get_client
from hrrr_dask.archive.grid_probe import MAX_PROBED_FILES, ProbedFile, find_file, find_point_cells
from hrrr_dask.archive.messages import FileMessages, read_messages
from hrrr_dask.catalog.lead_times import lead_times_of
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError, DecodeError
from hrrr_dask.grid.cell_surface import CellSurface, describe_odd_cells
from hrrr_dask.grid.points import Points
from hrrr_dask.grid.projection import Grid
from hrrr_dask.job.request import Request
from hrrr_dask.planning.plan import all_values_of, iter_partitions
from hrrr_dask.records import Cells, GribFile
from hrrr_dask.store.spec import Growth, StoreSpec
from hrrr_dask.telemetry.logs import get_log

__all__ = ["add_surface", "probe_files", "read_surface", "read_unknown_surface", "warn_of_odd_cells"]

_log = get_log()

ELEVATION: Final = Selector.parse("HGT:surface")
LAND: Final = Selector.parse("LAND:surface")


def probe_files(request: Request) -> Iterator[GribFile]:
    """Yield one file of each run of a request, so that a day without files is skipped quickly."""
    last = None
    for partition in iter_partitions(request.plan, request.axis, all_values_of(request.plan, request.axis)):
        for reading in partition.readings:
            if reading.file.init_time != last:
                yield reading.file
            last = reading.file.init_time


def read_surface(probed: ProbedFile, grid: Grid, cells: Cells, request: Request) -> CellSurface:
    """Read the surface of the nearest cells of points from a file.

    Parameters
    ----------
    probed : ProbedFile
        The file and its source.
    grid : Grid
        Grid of the cells.
    cells : Cells
        Cells of the points.
    request : Request
        For its settings.

    Returns
    -------
    CellSurface
        NaN for what the file does not have or cannot be read.
    """
    lead = lead_times_of(probed.file)[-1]
    gap_bytes = request.settings["fetch"]["merge-gap-kb"] * 1024
    try:
        client = get_client(probed.source, request.fetch)
        found = read_messages(client, probed.file, {lead: (ELEVATION, LAND)}, grid, Tally(), gap_bytes)[lead]
    except ArchiveError as error:
        _log.info(f"elevation and land mask of the cells are unknown: {error}")
        return CellSurface.unknown(len(cells.y))
    wanted, position = np.unique(cells.y.astype(np.int64) * grid.nx + cells.x, return_inverse=True)
    elevation, land = (
        _decode(found, selector, wanted, request.settings["engine"])[position] for selector in (ELEVATION, LAND)
    )
    return CellSurface(elevation, np.where(np.isnan(land), land, land > 0).astype(np.float32))


def _decode(found: FileMessages, selector: Selector, wanted: NDArray[np.int64], engine: str) -> NDArray[np.float32]:
    """Decode one message at the wanted cells, NaN if it is missing or cannot be decoded."""
    error = found.gaps.get(selector)
    if error is None:
        message = found.messages[selector]
        try:
            return get_engine(engine).engine_for(message).points(message, wanted)
        except DecodeError as failure:
            error = failure
    _log.info(f"{selector} of the cells is unknown: {error}")
    return np.full(len(wanted), np.nan, dtype=np.float32)


def add_surface(growth: Growth, request: Request) -> Growth:
    """Add the surface of the cells of new points to a step of growth, if the store has that of its points.

    Warns of new points in water, or far higher or lower than their cells.

    Parameters
    ----------
    growth : Growth
        Points to add.
    request : Request
        For the whole period of the store.
    """
    spec, points = request.spec, growth.points
    if spec is None or spec.surface is None or points is None:
        return growth
    known = set(spec.points.point_id)
    new = [at for at, point_id in enumerate(points.point_id) if point_id not in known]
    if not new:
        return growth
    cells = find_point_cells(points, spec.grid_section, spec.selection.method)
    surface = _read_from_one_file(spec, cells, request)
    if surface is None:
        return growth
    warn_of_odd_cells(points.take(new), surface.take(new))
    return replace(growth, surface=surface)


def read_unknown_surface(request: Request) -> CellSurface | None:
    """Read the surface of the cells of a store's points from one file, if that of some could not be read before.

    Warns of points in water, or far higher or lower than their cells, of which nothing was known.

    Parameters
    ----------
    request : Request
        Of an existing store.

    Returns
    -------
    CellSurface or None
        None if it is known, cannot be read this time either, or the store was made without.
    """
    spec = request.spec
    if spec is None or spec.surface is None or not np.isnan(spec.surface.elevation).any():
        return None
    surface = _read_from_one_file(spec, spec.cells, request)
    unknown = np.flatnonzero(np.isnan(spec.surface.elevation)).tolist()
    if surface is not None:
        warn_of_odd_cells(spec.points.take(unknown), surface.take(unknown))
    return surface


def _read_from_one_file(spec: StoreSpec, cells: Cells, request: Request) -> CellSurface | None:
    """Read the surface from the first of some files that the archive has; None if it has none of them."""
    try:
        probed = find_file(islice(probe_files(request), MAX_PROBED_FILES), request.sources, request.fetch)
    except ArchiveError as error:
        _log.info(f"elevation and land mask of the cells are unknown: {error}")
        return None
    return read_surface(probed, spec.grid, cells, request)


def warn_of_odd_cells(points: Points, surface: CellSurface | None) -> None:
    """Log a warning of points in water, or far higher or lower than their cells."""
    for line in describe_odd_cells(points, surface) if surface is not None else ():
        _log.warning(f"{line}; check their coordinates")
