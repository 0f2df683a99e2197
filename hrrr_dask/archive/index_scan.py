"""Builds the inventory of a file without an ``.idx``, by reading about one kilobyte of each message.

Section 0 of a message states its length, so only the first bytes of each message are read. Whether a message ends in
``7777`` is checked when the whole message is read.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from hrrr_dask.errors import TruncatedError, WrongIdentityError
from hrrr_dask.grib.sections import MAGIC, MessageHeader, read_header
from hrrr_dask.records import ByteRange, Record

__all__ = ["scan_messages"]

BLOCK: Final = 1024
"""Bytes read at the start of a message, and range in which the next one is searched [B]; HRRR's headers have under
200."""
MAX_HEADER: Final = 1 << 20
"""Maximum bytes read of one message for its header [B]."""

_BEGIN: Final = re.compile(re.escape(MAGIC) + rb"(?:...\x02|.{0,3}\Z)", re.DOTALL)
"""Start of an edition 2 message, or as much of its first eight bytes as exists."""


def scan_messages(read: Callable[[int, int], bytes], size: int) -> tuple[Record, ...]:
    """Build the inventory from the file itself, with small ranged reads.

    Parameters
    ----------
    read : callable
        ``read(start, stop)`` returns the bytes ``[start, stop)`` of the object.
    size : int
        Size of the object [B].

    Returns
    -------
    tuple of Record
        In the file's order, each with a stop. Stray bytes before, between and after messages are skipped.

    Raises
    ------
    TruncatedError
        If the object is empty or ends within a message; none of it is used then.
    WrongIdentityError
        If it is not a GRIB2 file, or the headers of a message are inconsistent.
    """
    if size == 0:
        raise TruncatedError("wanted a GRIB2 file, found an object of 0 bytes: read it from another source")
    beginnings = _HeaderReader(read, size)
    records: list[Record] = []
    position = 0
    while (start := beginnings.next_message(position)) is not None:
        header = beginnings.header(start, len(records) + 1)
        position = start + header.length
        if position > size:
            raise _cut_off(len(records) + 1, start, f"wanted its {header.length:,} bytes", size)
        place = ByteRange(start, position)
        records.append(Record(header.element, header.level, header.window, header.reference_time, place))
    return tuple(records)


def _cut_off(number: int, start: int, wanted: str, size: int) -> TruncatedError:
    return TruncatedError(
        f"message {number} starts at byte {start:,}: {wanted}, found the end of the object at byte {size:,}: "
        "it is cut off, read it from another source"
    )


class _HeaderReader:
    """Reads the start of messages and caches the last block."""

    def __init__(self, read: Callable[[int, int], bytes], size: int) -> None:
        self._read = read
        self._size = size
        self._start = 0
        self._block = b""

    def next_message(self, position: int) -> int | None:
        """Return where the next message starts, at ``position`` or shortly after; None at the end of the object."""
        if position >= self._size:
            return None
        data = b""
        for count in (len(MAGIC), BLOCK):
            data = self._read_from(position, count)[:BLOCK]
            if match := _BEGIN.search(data):
                return position + match.start()
        if position + len(data) < self._size or position == 0:
            raise WrongIdentityError(
                f"wanted a message of GRIB edition 2 in the {len(data):,} bytes from byte {position:,} on, "
                f"found {data[:16]!r} …: this is no GRIB2 file or it is damaged, read it from another source"
            )
        return None

    def header(self, start: int, number: int) -> MessageHeader:
        """Return the header of message ``number`` of the file."""
        data = self._read_from(start, len(MAGIC))
        while True:
            try:
                return read_header(data)
            except WrongIdentityError as error:
                raise WrongIdentityError(f"message {number}, at byte {start:,}: {error}") from error
            except TruncatedError as error:
                if start + len(data) >= self._size:
                    raise _cut_off(number, start, "wanted its sections 0 to 4", self._size) from error
                if len(data) >= MAX_HEADER:
                    raise WrongIdentityError(
                        f"message {number}, at byte {start:,}: wanted sections 0 to 4 in {MAX_HEADER:,} bytes, found "
                        "no end of them: it is damaged, read it from another source"
                    ) from error
            data = self._read_from(start, max(BLOCK, 2 * len(data)))

    def _read_from(self, start: int, count: int) -> bytes:
        """Return at least ``count`` bytes from ``start`` on; fewer only at the end of the object."""
        if start < self._start or min(start + count, self._size) > self._start + len(self._block):
            stop = min(start + max(count, BLOCK), self._size)
            self._start, self._block = start, self._read(start, stop)
            if len(self._block) != stop - start:
                raise TruncatedError(
                    f"wanted the bytes {start:,} to {stop:,} of the object, found {len(self._block):,} of them: "
                    "read it from another source"
                )
        return self._block[start - self._start :]
