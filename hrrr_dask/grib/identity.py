"""Checks that a GRIB2 message is the requested one, before its values are used."""

from __future__ import annotations

from hrrr_dask.catalog.elements import canonical_element
from hrrr_dask.catalog.selectors import Wanted
from hrrr_dask.errors import WrongIdentityError
from hrrr_dask.grib.sections import check_complete, check_prefix, read_header
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.grid.projection import Grid
from hrrr_dask.records import GribFile, Record

__all__ = ["check_message"]


def check_message(
    message: bytes | memoryview,
    *,
    file: GribFile,
    record: Record,
    wanted: Wanted,
    grid: Grid,
    vector: bool,
) -> None:
    """Compare a message with its inventory record and the request.

    Parameters
    ----------
    message : bytes or memoryview
        Bytes of the record's byte range, or a prefix of them that extends into section 7.
    file : GribFile
        Provides the reference time.
    record : Record
        Provides the window.
    wanted : Wanted
        Provides the element (and so discipline, category and number), the level and the lead time.
    grid : Grid
        Grid on which the cells of the points were found.
    vector : bool
        Whether the values are a grid-relative vector component, to be rotated.

    Raises
    ------
    TruncatedError
        If the message is shorter than its length, or has no end marker; a prefix needs to reach section 7 only.
    WrongIdentityError
        If anything differs. The text reports what.
    DecodeError
        If the message has several fields.
    """
    length = record.byte_range.size
    if length is None or len(message) >= length:
        check_complete(message)
    else:
        check_prefix(message, length)
    header, selector = read_header(message), wanted.selector
    pairs = (
        ("element", canonical_element(selector.element), header.element),
        ("level", selector.level, header.level),
        ("time window", record.window, header.window),
        ("reference time", file.init_time, header.reference_time),
        ("lead time [min]", wanted.lead_minutes, header.window.stop if header.window else None),
    )
    for what, right, found in pairs:
        if right != found:
            raise WrongIdentityError(
                f"{selector} of {file.label}: wanted {what} {right}, found {found}: "
                f"the inventory belongs to another file, or the file has a wrong name"
            )
    own_grid = read_grid(header.grid_section)
    if not own_grid.same_cells_as(grid):
        raise WrongIdentityError(
            f"{selector} of {file.label}: wanted the grid {grid.describe()}, found {own_grid.describe()}"
        )
    if vector and not own_grid.wind_relative_to_grid:
        raise WrongIdentityError(
            f"{selector} of {file.label}: wanted components relative to the grid (resolution and component flags, "
            f"bit 5), found components relative to east and north: HRRR has no such messages, so it is not trusted"
        )
