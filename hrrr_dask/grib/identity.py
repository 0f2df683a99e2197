"""Is this message the one that was asked for? Checked on every message before its values are used. Pure."""

from __future__ import annotations

from hrrr_dask.catalog.elements import canonical_element
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.errors import WrongIdentityError
from hrrr_dask.grib.sections import check_beginning, check_whole, read_header
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.grid.projection import Grid
from hrrr_dask.records import GribFile, Record

__all__ = ["check_message"]


def check_message(
    message: bytes | memoryview,
    *,
    file: GribFile,
    record: Record,
    selector: Selector,
    grid: Grid,
    vector: bool,
) -> None:
    """Compare a message with what its inventory and the request promise.

    Parameters
    ----------
    message : bytes or memoryview
        What lies in the record's byte range, or its beginning up to somewhere in section 7.
    file : GribFile
        Gives the reference time and the lead time.
    record : Record
        Gives the window.
    selector : Selector
        Gives the element (and by it discipline, category and number) and the level.
    grid : Grid
        Where the points were placed.
    vector : bool
        The value is a component along the grid's axes and will be turned.

    Raises
    ------
    TruncatedError
        If the message has no end, or not the length it says; of a beginning only the latter is checked.
    WrongIdentityError
        If anything differs, saying what.
    DecodeError
        If the message holds several fields.
    """
    length = record.byte_range.size
    if length is None or len(message) >= length:
        check_whole(message)
    else:
        check_beginning(message, length)
    header = read_header(message)
    lead = 60 * file.lead_hours
    pairs = (
        ("element", canonical_element(selector.element), header.element),
        ("level", selector.level, header.level),
        ("time window", record.window, header.window),
        ("reference time", file.init_time, header.reference_time),
        ("lead time [min]", lead, header.window.stop if header.window else None),
    )
    for what, wanted, found in pairs:
        if wanted != found:
            raise WrongIdentityError(
                f"{selector} of {file.label}: the {what} should be {wanted}, the message says {found}: "
                f"its inventory is of another file, or the file is not what its name says"
            )
    here = read_grid(header.grid_section)
    if not here.same_cells_as(grid):
        raise WrongIdentityError(
            f"{selector} of {file.label}: the grid should be {grid.describe()}, the message has {here.describe()}"
        )
    if vector and not here.wind_relative_to_grid:
        raise WrongIdentityError(
            f"{selector} of {file.label}: its components should lie along the grid's axes (resolution and component "
            f"flags, bit 5), the message says east and north: HRRR never does, so it is not trusted"
        )
