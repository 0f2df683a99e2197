"""Before anything is read in bulk: which grid the files have, and whether the points lie on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

import numpy as np

from hrrr_dask.archive.fetch import Client, FetchSettings, Tally, client_for
from hrrr_dask.archive.sources import Source, object_url
from hrrr_dask.catalog.products import object_key
from hrrr_dask.config.settings import Method
from hrrr_dask.errors import ArchiveError, NotPublishedError, PointsError, WrongIdentityError
from hrrr_dask.grib.sections import read_header
from hrrr_dask.grid.definition import BILINEAR_RIM, NEAREST_RIM, bilinear, distance_outside, nearest, read_grid
from hrrr_dask.grid.points import Points
from hrrr_dask.grid.projection import Grid
from hrrr_dask.records import ByteRange, Cells, GribFile

__all__ = ["find_grid", "place_points"]

PROBES: Final = 60
"""Files that are tried before giving up."""

CONFIRMING: Final = 3
"""Further files of which one should confirm the grid."""

_HEADER_BYTES: Final = 1024
_LISTED: Final = 20


def find_grid(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> bytes:
    """Read the grid definition out of the first file that is there, and see whether the next one has the same.

    A store's points are placed on this grid once and for all: a single file of other cells must not decide it.

    Parameters
    ----------
    files : iterable of GribFile
        Tried in turn.
    sources : sequence of Source
        For each file, in the order of fail-over.
    settings : FetchSettings
        How patiently.

    Returns
    -------
    bytes
        Section 3 of its first message.

    Raises
    ------
    NotPublishedError
        If none of the first files is in any of the sources.
    UnreachableError, AccessDeniedError
        If a source cannot be read at all.
    WrongIdentityError
        If the two files have different grids.
    """
    left = iter(files)
    url, section = _first_section(islice(left, PROBES), sources, settings)
    try:
        other_url, other = _first_section(islice(left, CONFIRMING), sources, settings)
    except ArchiveError:
        return section  # nothing contradicts it
    one, two = read_grid(section), read_grid(other)
    if not one.same_cells_as(two):
        raise WrongIdentityError(
            f"{url} has a {one.describe()}, {other_url} a {two.describe()}: one of them is not what its name says, and "
            "the points would be placed by it; begin the period at another day, or read another source first"
        )
    return section


def _first_section(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> tuple[str, bytes]:
    """The grid section of the first file that can be read, and where it lies."""
    tried: list[str] = []
    failure: ArchiveError | None = None
    for file in files:
        for source in sources:
            tried.append(object_url(source, object_key(file)))
            try:
                return tried[-1], _grid_section(client_for(source, settings), object_key(file))
            except NotPublishedError:
                continue
            except ArchiveError as error:
                failure = failure or error
        if failure is not None and failure.retryable:
            raise failure
    if failure is not None:
        raise failure
    raise NotPublishedError(
        f"none of the first {len(tried)} files is in the archive, {tried[0] if tried else 'none'} being the first: "
        f"check the dates, and that the source is laid out like the bucket"
    )


def _grid_section(client: Client, key: str) -> bytes:
    tally = Tally()
    first = client.read_range(key, ByteRange(0, 16), tally)
    header = client.read_range(key, ByteRange(0, min(_HEADER_BYTES, first.size)), tally, first.etag)
    return read_header(header.data).grid_section


def place_points(points: Points, grid_section: bytes, method: Method) -> Cells:
    """Find the grid cells that serve the points.

    Parameters
    ----------
    points : Points
        The places.
    grid_section : bytes
        Section 3 of a message.
    method : {'nearest', 'bilinear'}
        From cells to points.

    Raises
    ------
    PointsError
        Naming every point outside the grid and its distance to the edge.
    """
    grid = read_grid(grid_section)
    rim = NEAREST_RIM if method == "nearest" else BILINEAR_RIM
    _refuse_outside(points, grid, distance_outside(grid, points.latitude, points.longitude, rim))
    place = nearest if method == "nearest" else bilinear
    return place(grid, points.latitude, points.longitude)


def _refuse_outside(points: Points, grid: Grid, distance: np.ndarray[tuple[int], np.dtype[np.float64]]) -> None:
    (outside,) = np.nonzero(distance > 0)
    if not outside.size:
        return
    lines = [
        f"  {points.point_id[k]} ({points.latitude[k]:.4f}, {points.longitude[k]:.4f}) "
        f"lies {distance[k] / 1000:.1f} km beyond its edge"
        for k in outside[:_LISTED]
    ]
    if len(outside) > _LISTED:
        lines.append(f"  … and {len(outside) - _LISTED} more")
    raise PointsError(
        f"{len(outside)} of {len(points)} points lie outside the grid of the files ({grid.describe()}):\n"
        + "\n".join(lines)
        + "\nTake them out of the points file, or choose another --domain"
    )
