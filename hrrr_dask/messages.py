"""From a file of the archive to the bytes of the wanted messages: inventory, selection, ranged reads, checks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Final

from hrrr_dask.catalog import inventory_key, object_key
from hrrr_dask.errors import (
    AccessDeniedError,
    AmbiguousMessageError,
    ArchiveError,
    DecodeError,
    InventoryError,
    MessageNotFoundError,
    NotPublishedError,
    TruncatedError,
    WrongIdentityError,
)
from hrrr_dask.fetch import Client, Response, Tally
from hrrr_dask.identity import check_message
from hrrr_dask.inventory import check_extent, locate, merge_ranges, parse_inventory, select
from hrrr_dask.projection import Grid
from hrrr_dask.records import ByteRange, GribFile, Record
from hrrr_dask.selectors import Selector
from hrrr_dask.variables import companion_of
from hrrr_dask.walk import walk_file

__all__ = ["Found", "read_messages"]

_MAGIC: Final = ByteRange(0, 4)

INDICATOR_BYTES: Final = 16
"""Length of section 0 [B]."""


@dataclass(frozen=True, slots=True)
class Found:
    """What a file gave."""

    messages: dict[Selector, bytes]
    """Whole messages whose identity is checked."""
    gaps: dict[Selector, ArchiveError]
    """Why the others are missing."""
    inventory: str
    """``idx`` or ``walk``."""
    etag: str
    """Entity tag of the object; empty when nothing was read of it."""
    published: datetime | None
    """Its Last-Modified, UTC."""


def read_messages(
    client: Client,
    file: GribFile,
    wanted: Iterable[Selector],
    grid: Grid,
    tally: Tally,
    gap_bytes: int,
) -> Found:
    """Read the wanted messages of one file.

    The published inventory is used first. When there is none, or the file contradicts it, the inventory is rebuilt
    from the file itself, and what the file then lacks is a gap.

    Parameters
    ----------
    client : Client
        Of one source.
    file : GribFile
        Which file.
    wanted : iterable of Selector
        The messages.
    grid : Grid
        Where the points were placed.
    tally : Tally
        Counts requests and bytes.
    gap_bytes : int
        Ranges closer than this are read as one [B].

    Raises
    ------
    NotPublishedError, AccessDeniedError, UnreachableError
        If the file cannot be read.
    TruncatedError
        If it ends inside a message.
    """
    read = partial(_read_selected, client, file, wanted, grid, tally, gap_bytes)
    try:
        text = client.read_all(inventory_key(file), tally).data
        records = parse_inventory(text.decode("utf-8", errors="replace"), file.init_time)
        return read(records, "idx", "", strict=True)
    except (NotPublishedError, AccessDeniedError, InventoryError, TruncatedError, WrongIdentityError):
        # no inventory, a broken one, or one that its file contradicts: the file itself decides
        first = client.read_range(object_key(file), _MAGIC, tally)
        return read(_walk(client, file, first, tally), "walk", first.etag, strict=False)


def _walk(client: Client, file: GribFile, first: Response, tally: Tally) -> tuple[Record, ...]:
    def read(start: int, stop: int) -> bytes:
        return client.read_range(object_key(file), ByteRange(start, stop), tally, first.etag).data

    return walk_file(read, first.size)


def _check_complete(client: Client, file: GribFile, records: tuple[Record, ...], tally: Tally) -> None:
    """Refuse an inventory that ends before its file does: what it does not list may still be there.

    Raises
    ------
    InventoryError
        If the last message listed is not the last of the file.
    """
    start = records[-1].byte_range.start
    indicator = client.read_range(object_key(file), ByteRange(start, start + INDICATOR_BYTES), tally)
    stop = start + int.from_bytes(indicator.data[8:16], "big")  # section 0, octets 9 to 16: the message's length
    if stop != indicator.size:
        raise InventoryError(
            f"the inventory of {file.label} ends with the message at bytes {start:,} to {stop:,}, "
            f"the file has {indicator.size:,}: it is cut off, or of another file"
        )


def _read_selected(
    client: Client,
    file: GribFile,
    wanted: Iterable[Selector],
    grid: Grid,
    tally: Tally,
    gap_bytes: int,
    records: tuple[Record, ...],
    inventory: str,
    etag: str,
    *,
    strict: bool,
) -> Found:
    chosen: dict[Selector, Record] = {}
    gaps: dict[Selector, ArchiveError] = {}
    for selector in wanted:
        try:
            chosen[selector] = select(records, selector, file.lead_hours)
        except (MessageNotFoundError, AmbiguousMessageError) as error:
            gaps[selector] = error
    if strict and gaps:
        _check_complete(client, file, records, tally)
    merged = merge_ranges([record.byte_range for record in chosen.values()], gap_bytes)
    responses = client.read_ranges(object_key(file), merged, tally, etag) if merged else []
    if responses:
        check_extent(records, responses[0].size)
    messages: dict[Selector, bytes] = {}
    for selector, record in chosen.items():
        which, start, stop = locate(record.byte_range, merged)
        message = responses[which].data[start:stop]
        try:
            check_message(
                message,
                file=file,
                record=record,
                selector=selector,
                grid=grid,
                vector=companion_of(selector) is not None,
            )
        except (TruncatedError, WrongIdentityError, DecodeError) as error:
            if strict:
                raise
            gaps[selector] = error
        else:
            messages[selector] = message
    version = responses[0] if responses else None
    return Found(messages, gaps, inventory, version.etag if version else "", version.published if version else None)
