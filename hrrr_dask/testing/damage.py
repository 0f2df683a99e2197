"""Files and inventories made wrong, as bytes: served so by the fault server, or put so on a disk. Pure.

What is made of a file has as many messages, of the same length, as the file; its values differ, so that a reader who
does not look at the headers has wrong ones.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from hrrr_dask.errors import ConfigError

__all__ = [
    "beyond_the_file",
    "first_half",
    "inverted",
    "of_an_older_file",
    "of_another_run",
    "of_another_runs_file",
    "on_another_grid",
    "split_messages",
]

EARLIER: Final = timedelta(hours=6)
"""How much earlier the other run started."""

_NORTHWARD: Final = 100_000
"""How far the other grid lies to the north [1e-6 degree]."""

_FURTHER: Final = 1 << 40
"""Beyond the end of every file [B]."""

_REFERENCE_SHIFT: Final = 64.0
"""Added to the reference value of every message."""

_INVERTED: Final = bytes(255 - byte for byte in range(256))
_LINE = re.compile(rb"^(\d+(?:\.\d+)?):(\d+):d=(\d{10}):", re.MULTILINE)


def split_messages(content: bytes) -> Iterator[bytes]:
    """The GRIB2 messages of a file, by the lengths in their section 0.

    Raises
    ------
    ConfigError
        If the file is not made of such messages.
    """
    start = 0
    while start < len(content):
        stop = start + int.from_bytes(content[start + 8 : start + 16], "big")
        if content[start : start + 4] != b"GRIB" or not start + 20 <= stop <= len(content):
            raise ConfigError(f"wanted GRIB2 messages end to end, found none at byte {start:,}: give an intact file")
        yield content[start:stop]
        start = stop


def of_another_run(content: bytes) -> bytes:
    """What the file of the run six hours before could be: other times in its headers, other values."""

    def earlier(section: bytearray) -> None:
        year, *rest = struct.unpack_from(">HBBBBB", section, 12)  # section 1, octets 13 to 19
        moment = datetime(year, *rest) - EARLIER
        struct.pack_into(">HBBBB", section, 12, moment.year, moment.month, moment.day, moment.hour, moment.minute)

    return b"".join(_changed(message, {1: earlier, 5: _raise_values}) for message in split_messages(content))


def on_another_grid(content: bytes) -> bytes:
    """What a file of other cells could be: its first cell lies further north, its values are others."""

    def northward(section: bytearray) -> None:
        (latitude,) = struct.unpack_from(">I", section, 38)  # La1 of templates 3.20 and 3.30, octets 39 to 42
        struct.pack_into(">I", section, 38, latitude + _NORTHWARD)

    return b"".join(_changed(message, {3: northward, 5: _raise_values}) for message in split_messages(content))


def inverted(content: bytes) -> bytes:
    """As many bytes, all wrong: every bit is the other one.

    Examples
    --------
    >>> inverted(b"GRIB").hex()
    'b8adb6bd'
    """
    return content.translate(_INVERTED)


def first_half(content: bytes) -> bytes:
    """What has arrived of a file half way through."""
    return content[: len(content) // 2]


def of_another_runs_file(inventory: bytes) -> bytes:
    """The inventory that the run six hours before could have: other times, other offsets.

    Examples
    --------
    >>> of_another_runs_file(b"1:0:d=2024010103:TMP:surface:anl:")
    b'1:0:d=2023123121:TMP:surface:anl:'
    """

    def line(match: re.Match[bytes]) -> bytes:
        moment = datetime.strptime(match[3].decode(), "%Y%m%d%H") - EARLIER
        return b"%b:%d:d=%b:" % (match[1], _shrunk(int(match[2])), f"{moment:%Y%m%d%H}".encode())

    return _LINE.sub(line, inventory)


def of_an_older_file(inventory: bytes) -> bytes:
    """The inventory of the same file when its messages were smaller, before it was published once more.

    Examples
    --------
    >>> of_an_older_file(b"5.1:1000:d=2024010103:TMP:surface:anl:")
    b'5.1:889:d=2024010103:TMP:surface:anl:'
    """
    return _LINE.sub(lambda match: b"%b:%d:d=%b:" % (match[1], _shrunk(int(match[2])), match[3]), inventory)


def beyond_the_file(inventory: bytes) -> bytes:
    """An inventory whose messages all begin after the file's end."""
    return _LINE.sub(lambda match: b"%b:%d:d=%b:" % (match[1], int(match[2]) + _FURTHER, match[3]), inventory)


def _shrunk(offset: int) -> int:
    return offset - offset // 9


def _raise_values(section: bytearray) -> None:
    (reference,) = struct.unpack_from(">f", section, 11)  # R of templates 5.0, 5.2 and 5.3, octets 12 to 15
    struct.pack_into(">f", section, 11, reference + _REFERENCE_SHIFT)


def _changed(message: bytes, changes: dict[int, Callable[[bytearray], None]]) -> bytes:
    """The same message, with some of its sections changed in place."""
    found, at = bytearray(message), 16
    while found[at : at + 4] != b"7777":
        size = int.from_bytes(found[at : at + 4], "big")
        if size < 5 or at + size > len(found):
            raise ConfigError(
                f"wanted a section of a GRIB2 message, found none at its byte {at:,}: give an intact file"
            )
        if change := changes.get(found[at + 4]):
            section = found[at : at + size]
            change(section)
            found[at : at + size] = section
        at += size
    return bytes(found)
