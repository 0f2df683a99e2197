"""Reads the wanted messages of a file: inventory, selection, byte ranges, checks of each message."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import chain
from typing import Final, TypeVar

from hrrr_dask.archive.fetch import Client, Response, Tally
from hrrr_dask.archive.index_scan import scan_messages
from hrrr_dask.archive.inventory import check_extent, locate, merge_ranges, parse_inventory, select
from hrrr_dask.archive.prefixes import Prefixes
from hrrr_dask.catalog.products import object_key, object_keys
from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.catalog.variables import find_companion
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
from hrrr_dask.grib.identity import check_message
from hrrr_dask.grid.projection import Grid
from hrrr_dask.records import ByteRange, GribFile, Record

__all__ = ["FileMessages", "is_whole", "read_messages"]

_T = TypeVar("_T")

_MAGIC: Final = ByteRange(0, 4)

INDICATOR_BYTES: Final = 16
"""Length of section 0 [B]."""


@dataclass(frozen=True, slots=True)
class FileMessages:
    """Messages and gaps of one file at one lead time."""

    messages: dict[Selector, memoryview]
    """Checked messages; some only up to the last wanted cell, some of these with zeros where no wanted cell is."""
    gaps: dict[Selector, ArchiveError]
    """Reason for each missing message."""
    inventory: str
    """``idx`` for the published inventory, ``walk`` for one built from the file."""
    etag: str
    """Entity tag of the object; empty if nothing was read."""
    published: datetime | None
    """Last-Modified of the object, UTC."""
    key: str = ""
    """Key of the object."""


@dataclass(frozen=True, slots=True)
class _Request:
    """Arguments of :func:`read_messages`."""

    client: Client
    file: GribFile
    key: str
    wanted: tuple[Wanted, ...]
    grid: Grid
    tally: Tally
    gap_bytes: int
    prefixes: Prefixes | None


def read_messages(
    client: Client,
    file: GribFile,
    wanted: Mapping[int, Iterable[Selector]],
    grid: Grid,
    tally: Tally,
    gap_bytes: int,
    prefixes: Prefixes | None = None,
) -> dict[int, FileMessages]:
    """Read the wanted messages of one file.

    The published inventory is used first. When there is none, or the file contradicts it, the inventory is rebuilt
    from the file itself, and what the file then lacks is a gap. A file that does not exist is looked for under its old
    names, one for each lead time.

    Parameters
    ----------
    client : Client
        Of one source.
    file : GribFile
        Which file.
    wanted : mapping of int to iterable of Selector
        Lead time [min] to the messages.
    grid : Grid
        Where the points were placed.
    tally : Tally
        Counts requests and bytes.
    gap_bytes : int
        Ranges closer than this are read as one [B].
    prefixes : Prefixes, optional
        Read only the parts of messages that their wanted cells need; whole messages by default.

    Returns
    -------
    dict of int to FileMessages
        Lead time [min] to its messages.

    Raises
    ------
    NotPublishedError, AccessDeniedError, UnreachableError
        If the file cannot be read.
    TruncatedError
        If it ends inside a message.
    """

    def request(key: str, leads: Iterable[int]) -> _Request:
        messages = tuple(Wanted(selector, lead) for lead in leads for selector in wanted[lead])
        return _Request(client, file, key, messages, grid, tally, gap_bytes, prefixes)

    (key, leads), *old = object_keys(file, wanted).items()
    try:
        return _read_object(request(key, leads))
    except NotPublishedError as error:
        found = {lead: _read_old_object(request(old_key, (lead,))) for old_key, (lead,) in old}
        if not any(each is not None for each in found.values()):
            raise
        missing = FileMessages({}, {}, "", "", None, key)
        return {lead: each or replace(missing, gaps=dict.fromkeys(wanted[lead], error)) for lead, each in found.items()}


def _read_old_object(request: _Request) -> FileMessages | None:
    """Read the object of one lead time; None if it does not exist."""
    try:
        (found,) = _read_object(request).values()
    except NotPublishedError:
        return None
    except ArchiveError as error:  # of this lead time only
        return FileMessages({}, {wanted.selector: error for wanted in request.wanted}, "", "", None, request.key)
    return found


def _read_object(request: _Request) -> dict[int, FileMessages]:
    try:
        return _read_by_inventory(request)
    except (NotPublishedError, AccessDeniedError, InventoryError, TruncatedError, WrongIdentityError, DecodeError):
        return _read_by_scan(request)


def _read_by_inventory(request: _Request) -> dict[int, FileMessages]:
    """Read with the published inventory; anything that contradicts it is an error."""
    text = request.client.read_all(f"{request.key}.idx", request.tally).data
    records = parse_inventory(str(text, "utf-8", errors="replace"), request.file.init_time)
    chosen, gaps = _choose(request, records)
    if gaps:
        _check_complete(request.client, request.file, request.key, records, request.tally)
    responses, messages = _download_messages(request, chosen, "")
    if responses:
        check_extent(records, responses[0].size)
    for wanted, message in messages.items():
        _check(request, wanted, chosen[wanted], message)
    return _found(request, messages, gaps, "idx", responses)


def _read_by_scan(request: _Request) -> dict[int, FileMessages]:
    """Read with an inventory built from the file; a message that is still wrong is a gap."""
    first = request.client.read_range(request.key, _MAGIC, request.tally)

    def read(start: int, stop: int) -> bytes:
        return bytes(request.client.read_range(request.key, ByteRange(start, stop), request.tally, first.etag).data)

    chosen, gaps = _choose(request, scan_messages(read, first.size))
    responses, messages = _download_messages(request, chosen, first.etag)
    for wanted in list(messages):
        try:
            _check(request, wanted, chosen[wanted], messages[wanted])
        except (TruncatedError, WrongIdentityError, DecodeError) as error:
            gaps[wanted] = error
            del messages[wanted]
    return _found(request, messages, gaps, "walk", [first, *responses])


def _choose(request: _Request, records: tuple[Record, ...]) -> tuple[dict[Wanted, Record], dict[Wanted, ArchiveError]]:
    """Choose the record of each wanted message, or the reason why there is none."""
    chosen: dict[Wanted, Record] = {}
    gaps: dict[Wanted, ArchiveError] = {}
    for wanted in request.wanted:
        try:
            chosen[wanted] = select(records, wanted)
        except (MessageNotFoundError, AmbiguousMessageError) as error:
            gaps[wanted] = error
    return chosen, gaps


def is_whole(client: Client, file: GribFile, tally: Tally) -> bool | None:
    """Return whether a source has all of a file: the last message of its inventory ends where the file ends.

    None if there is no inventory, or it is not that of the file.

    Raises
    ------
    UnreachableError, AccessDeniedError
        If the source gave no answer.
    """
    key = object_key(file)
    try:
        text = client.read_all(f"{key}.idx", tally).data
        records = parse_inventory(str(text, "utf-8", errors="replace"), file.init_time)
        _check_complete(client, file, key, records, tally)
    except (NotPublishedError, InventoryError):
        return None
    except TruncatedError:
        return False
    return True


def _check_complete(client: Client, file: GribFile, key: str, records: tuple[Record, ...], tally: Tally) -> None:
    """Refuse an inventory that ends before its file: a message that it does not list may exist.

    Raises
    ------
    InventoryError
        If the last message listed is not the last one of the file.
    TruncatedError
        If the file ends before that message does.
    """
    start = records[-1].byte_range.start
    place = ByteRange(start, start + INDICATOR_BYTES)
    indicator = client.read_range(key, place, tally)
    stop = start + int.from_bytes(indicator.data[8:16], "big")  # section 0, octets 9 to 16: the message's length
    if stop != indicator.size:
        raise (TruncatedError if stop > indicator.size else InventoryError)(
            f"the inventory of {file.label} ends with the message at bytes {start:,} to {stop:,}, "
            f"the file has {indicator.size:,}: it is cut off, or of another file"
        )


def _download_messages(
    request: _Request, chosen: dict[Wanted, Record], etag: str
) -> tuple[list[Response], dict[Wanted, memoryview]]:
    """Download merged byte ranges, and cut the messages out of them; some may be too short."""
    firsts = {wanted: _first_ranges(request, wanted, record) for wanted, record in chosen.items()}
    merged = merge_ranges(chain.from_iterable(firsts.values()), request.gap_bytes)
    responses = request.client.read_ranges(request.key, merged, request.tally, etag) if merged else []
    messages: dict[Wanted, memoryview] = {}
    missing: dict[Wanted, ByteRange] = {}
    for wanted, record in chosen.items():
        which, start, _ = locate(firsts[wanted][0], merged)
        length = record.byte_range.size
        message = messages[wanted] = responses[which].data[start : None if length is None else start + length]
        if length is None or request.prefixes is None:
            continue
        # Without an entity tag, two reads may be of two versions of the object: read the message once more instead.
        tagged = bool(responses[which].etag)
        if _is_split(firsts[wanted], merged) and tagged and request.prefixes.confirms(message, length):
            messages[wanted] = _fill_parts(firsts[wanted], merged, responses)
            continue
        needed = request.prefixes.needed(wanted.selector, message, length)
        if needed > len(message):
            begin = record.byte_range.start
            missing[wanted] = ByteRange(begin + len(message) if tagged else begin, begin + needed)
    if missing:
        responses += _read_rest(request, chosen, messages, missing, responses[0].etag)
    return responses, messages


def _read_rest(
    request: _Request,
    chosen: dict[Wanted, Record],
    messages: dict[Wanted, memoryview],
    missing: dict[Wanted, ByteRange],
    etag: str,
) -> list[Response]:
    """Download the rest of messages whose first guess was too short, and learn from the complete ones."""
    rest = request.client.read_ranges(request.key, list(missing.values()), request.tally, etag)
    for (wanted, place), response in zip(missing.items(), rest, strict=True):
        known = messages[wanted][: place.start - chosen[wanted].byte_range.start]
        messages[wanted] = memoryview(b"".join((known, response.data)))
        length = chosen[wanted].byte_range.size
        if request.prefixes is not None and length == len(messages[wanted]):
            request.prefixes.needed(wanted.selector, messages[wanted], length)
    return rest


def _first_ranges(request: _Request, wanted: Wanted, record: Record) -> tuple[ByteRange, ...]:
    """Return the ranges of a message to download first: the first of them has its beginning."""
    start, length = record.byte_range.start, record.byte_range.size
    if request.prefixes is None or length is None:
        return (record.byte_range,)
    limited = request.client.source.per_minute  # a request then costs more than any bytes that it could save
    parts = () if limited else request.prefixes.parts(length)
    parts = parts or ((0, request.prefixes.first(wanted.selector, length)),)
    return tuple(ByteRange(start + first, start + stop) for first, stop in parts)


def _is_split(parts: tuple[ByteRange, ...], merged: Sequence[ByteRange]) -> bool:
    """Whether the parts of a message are in several of the merged ranges."""
    return locate(parts[0], merged)[0] != locate(parts[-1], merged)[0]


def _fill_parts(parts: tuple[ByteRange, ...], merged: Sequence[ByteRange], responses: Sequence[Response]) -> memoryview:
    """Put the parts of a message to their places in its prefix; zeros are where nothing was downloaded."""
    begin, end = parts[0].start, parts[-1].stop
    assert end is not None, "an open range is not split"
    message = bytearray(end - begin)
    for part in parts:
        which, start, stop = locate(part, merged)
        data = responses[which].data[start:stop]
        message[part.start - begin : part.start - begin + len(data)] = data
    return memoryview(message)


def _check(request: _Request, wanted: Wanted, record: Record, message: memoryview) -> None:
    vector = find_companion(wanted.selector) is not None
    check_message(message, file=request.file, record=record, wanted=wanted, grid=request.grid, vector=vector)


def _found(
    request: _Request,
    messages: dict[Wanted, memoryview],
    gaps: dict[Wanted, ArchiveError],
    inventory: str,
    responses: list[Response],
) -> dict[int, FileMessages]:
    etag, published = (responses[0].etag, responses[0].published) if responses else ("", None)
    read, missing = _by_lead(messages), _by_lead(gaps)
    return {
        lead: FileMessages(read.get(lead, {}), missing.get(lead, {}), inventory, etag, published, request.key)
        for lead in dict.fromkeys(wanted.lead_minutes for wanted in request.wanted)
    }


def _by_lead(values: Mapping[Wanted, _T]) -> dict[int, dict[Selector, _T]]:
    """Group values by lead time."""
    found: dict[int, dict[Selector, _T]] = {}
    for wanted, value in values.items():
        found.setdefault(wanted.lead_minutes, {})[wanted.selector] = value
    return found
