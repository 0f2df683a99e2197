"""Finds which files the archive has, reads the grid from the first one, and checks that the points lie on it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice, product
from typing import Final, NamedTuple

from hrrr_dask.archive.fetch import Client, FetchSettings, Tally, get_client
from hrrr_dask.archive.sources import Source, object_url
from hrrr_dask.catalog.products import object_keys
from hrrr_dask.config.settings import Method
from hrrr_dask.errors import ArchiveError, NotPublishedError, WrongIdentityError
from hrrr_dask.grib.sections import read_header
from hrrr_dask.grid.definition import (
    BILINEAR_MARGIN,
    NEAREST_MARGIN,
    find_bilinear_cells,
    find_nearest_cells,
    read_grid,
)
from hrrr_dask.grid.domains import refuse_outside
from hrrr_dask.grid.points import Points
from hrrr_dask.records import ByteRange, Cells, GribFile

__all__ = ["ProbedFile", "find_file", "find_point_cells", "find_published", "probe_grid", "read_grid_section"]

MAX_PROBED_FILES: Final = 60
"""Maximum number of files to try."""

CONFIRMING_FILES: Final = 3
"""Number of further files of which one should confirm the grid."""

_HEADER_BYTES: Final = 1024


class ProbedFile(NamedTuple):
    """A file of the archive that can be read."""

    file: GribFile
    """The file."""
    source: Source
    """Source that has it."""
    url: str
    """Its URL."""
    grid_section: bytes
    """Section 3 of its first message."""


def read_grid_section(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> bytes:
    """Return the grid section of :func:`probe_grid`."""
    return probe_grid(files, sources, settings).grid_section


def probe_grid(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> ProbedFile:
    """Read the grid definition from the first available file, and check it against the next one.

    The cells of a store's points are fixed by this grid, so a single odd file must not decide it.

    Parameters
    ----------
    files : iterable of GribFile
        Files to try, in this order.
    sources : sequence of Source
        Sources to try for each file, in the order of fail-over.
    settings : FetchSettings
        Timeouts and attempts.

    Returns
    -------
    ProbedFile
        The first file, with the grid.

    Raises
    ------
    NotPublishedError
        If none of the files tried is in any source.
    UnreachableError, AccessDeniedError
        If a source cannot be read.
    WrongIdentityError
        If the two files have different grids.
    """
    left = iter(files)
    first = find_file(islice(left, MAX_PROBED_FILES), sources, settings)
    try:
        other = find_file(islice(left, CONFIRMING_FILES), sources, settings)
    except ArchiveError:
        return first  # no other file to compare with
    one, two = read_grid(first.grid_section), read_grid(other.grid_section)
    if not one.same_cells_as(two):
        raise WrongIdentityError(
            f"{first.url} has a {one.describe()}, {other.url} a {two.describe()}: one of them is not what its name "
            "says, and would decide the cells of the points; start the period at another day, or read another source "
            "first"
        )
    return first


def find_file(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> ProbedFile:
    """Find the first of the files that can be read.

    Raises
    ------
    ArchiveError
        If there is none.
    """
    tried: list[str] = []
    failure: ArchiveError | None = None
    for file in files:
        for source, key in product(sources, object_keys(file, [60 * file.lead_hours])):
            tried.append(object_url(source, key))
            try:
                return ProbedFile(file, source, tried[-1], _grid_section(get_client(source, settings), key))
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


def find_published(files: Iterable[GribFile], sources: Sequence[Source], settings: FetchSettings) -> set[GribFile]:
    """Return which of the files a source has now; one request of a few bytes for each, several at once."""

    def is_there(file: GribFile) -> bool:
        for source, key in product(sources, object_keys(file, [60 * file.lead_hours])):
            try:
                get_client(source, settings).read_range(key, ByteRange(0, 16), Tally())
            except ArchiveError:
                continue
            return True
        return False

    files = list(files)
    with ThreadPoolExecutor(settings.concurrency) as pool:
        return {file for file, there in zip(files, pool.map(is_there, files), strict=True) if there}


def _grid_section(client: Client, key: str) -> bytes:
    tally = Tally()
    first = client.read_range(key, ByteRange(0, 16), tally)
    header = client.read_range(key, ByteRange(0, min(_HEADER_BYTES, first.size)), tally, first.etag)
    return read_header(header.data).grid_section


def find_point_cells(points: Points, grid_section: bytes, method: Method) -> Cells:
    """Find the grid cells of the points.

    Parameters
    ----------
    points : Points
        The points.
    grid_section : bytes
        Section 3 of a message.
    method : {'nearest', 'bilinear'}
        Interpolation from cells to points.

    Raises
    ------
    PointsError
        If points lie outside the grid; names each with its distance to the edge.
    """
    grid = read_grid(grid_section)
    margin = NEAREST_MARGIN if method == "nearest" else BILINEAR_MARGIN
    refuse_outside(points, grid, margin, "the grid of the files")
    place = find_nearest_cells if method == "nearest" else find_bilinear_cells
    return place(grid, points.latitude, points.longitude)
