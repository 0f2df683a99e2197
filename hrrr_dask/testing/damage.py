"""Damages GRIB2 files and inventories: their bytes (another run or grid, truncated, inverted) or files of an archive.

A damaged file keeps the number and the lengths of its messages. Its values differ, so that a reader that does not check
the headers returns wrong ones.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing.archive import SyntheticArchive, inventory_of, message_of
from hrrr_dask.testing.messages import is_message, lead_time_of

__all__ = [
    "delete",
    "drop_message",
    "first_half",
    "inventory_beyond_file",
    "inventory_of_older_file",
    "inventory_of_other_run",
    "invert_bits",
    "move_to_other_grid",
    "move_to_other_run",
    "remove_inventories",
    "split_messages",
    "stale_inventory",
    "truncate",
]

EARLIER: Final = timedelta(hours=6)
"""How much earlier the other run starts."""

_NORTHWARD: Final = 100_000
"""Northward shift of the other grid [1e-6 degree]."""

_FURTHER: Final = 1 << 40
"""Offset past the end of every file [B]."""

_REFERENCE_SHIFT: Final = 64.0
"""Added to the reference value of every message."""

_INVERTED: Final = bytes(255 - byte for byte in range(256))
_LINE = re.compile(rb"^(\d+(?:\.\d+)?):(\d+):d=(\d{10}):", re.MULTILINE)


def split_messages(content: bytes) -> Iterator[bytes]:
    """Split a file into its GRIB2 messages, by the lengths in section 0.

    Raises
    ------
    ConfigError
        If the file does not consist of such messages.
    """
    start = 0
    while start < len(content):
        stop = start + int.from_bytes(content[start + 8 : start + 16], "big")
        if content[start : start + 4] != b"GRIB" or not start + 20 <= stop <= len(content):
            raise ConfigError(f"wanted GRIB2 messages end to end, found none at byte {start:,}: give an intact file")
        yield content[start:stop]
        start = stop


def move_to_other_run(content: bytes) -> bytes:
    """Turn a file into one of the run six hours earlier: the times in the headers and the values change."""

    def earlier(section: bytearray) -> None:
        year, *rest = struct.unpack_from(">HBBBBB", section, 12)  # section 1, octets 13 to 19
        moment = datetime(year, *rest) - EARLIER
        struct.pack_into(">HBBBB", section, 12, moment.year, moment.month, moment.day, moment.hour, moment.minute)

    return b"".join(_changed(message, {1: earlier, 5: _raise_values}) for message in split_messages(content))


def move_to_other_grid(content: bytes) -> bytes:
    """Turn a file into one on another grid: the first cell moves north and the values change."""

    def northward(section: bytearray) -> None:
        (latitude,) = struct.unpack_from(">I", section, 38)  # La1 of templates 3.20 and 3.30, octets 39 to 42
        struct.pack_into(">I", section, 38, latitude + _NORTHWARD)

    return b"".join(_changed(message, {3: northward, 5: _raise_values}) for message in split_messages(content))


def invert_bits(content: bytes) -> bytes:
    """Invert every bit; the length stays.

    Examples
    --------
    >>> invert_bits(b"GRIB").hex()
    'b8adb6bd'
    """
    return content.translate(_INVERTED)


def first_half(content: bytes) -> bytes:
    """Return the first half of the bytes, as of an interrupted download."""
    return content[: len(content) // 2]


def inventory_of_other_run(inventory: bytes) -> bytes:
    """Turn an inventory into one of the run six hours earlier: times and offsets change.

    Examples
    --------
    >>> inventory_of_other_run(b"1:0:d=2024010103:TMP:surface:anl:")
    b'1:0:d=2023123121:TMP:surface:anl:'
    """

    def line(match: re.Match[bytes]) -> bytes:
        moment = datetime.strptime(match[3].decode(), "%Y%m%d%H") - EARLIER
        return b"%b:%d:d=%b:" % (match[1], _shrunk(int(match[2])), f"{moment:%Y%m%d%H}".encode())

    return _LINE.sub(line, inventory)


def inventory_of_older_file(inventory: bytes) -> bytes:
    """Turn an inventory into an older one of the same file, whose messages were smaller before it was republished.

    Examples
    --------
    >>> inventory_of_older_file(b"5.1:1000:d=2024010103:TMP:surface:anl:")
    b'5.1:889:d=2024010103:TMP:surface:anl:'
    """
    return _LINE.sub(lambda match: b"%b:%d:d=%b:" % (match[1], _shrunk(int(match[2])), match[3]), inventory)


def inventory_beyond_file(inventory: bytes) -> bytes:
    """Move all offsets of an inventory past the end of the file."""
    return _LINE.sub(lambda match: b"%b:%d:d=%b:" % (match[1], int(match[2]) + _FURTHER, match[3]), inventory)


def _shrunk(offset: int) -> int:
    return offset - offset // 9


def _raise_values(section: bytearray) -> None:
    (reference,) = struct.unpack_from(">f", section, 11)  # R of templates 5.0, 5.2 and 5.3, octets 12 to 15
    struct.pack_into(">f", section, 11, reference + _REFERENCE_SHIFT)


def _changed(message: bytes, changes: dict[int, Callable[[bytearray], None]]) -> bytes:
    """Return the message with changes applied to some of its sections; section number to function."""
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


def remove_inventories(archive: SyntheticArchive) -> None:
    """Delete every ``.idx`` file; the GRIB2 files stay.

    Parameters
    ----------
    archive : SyntheticArchive
        The archive.

    Examples
    --------
    >>> from hrrr_dask.testing import write_archive
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1)], lead_hours=[1], variables=["temperature_2m"])
    >>> remove_inventories(archive)
    >>> archive.inventory_path(archive.files[0]).exists()
    False
    """
    for file in archive.files:
        for leads in archive.objects(file):
            archive.inventory_path(file, leads[-1]).unlink(missing_ok=True)


def delete(archive: SyntheticArchive, file: GribFile) -> None:
    """Delete a file and its inventory, as if it had never been published; with old names, those of each lead time.

    Parameters
    ----------
    archive, file
        As for :func:`drop_message`.

    Examples
    --------
    >>> from hrrr_dask.testing import write_archive
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1)], lead_hours=[1], variables=["temperature_2m"])
    >>> delete(archive, archive.files[0])
    >>> archive.path(archive.files[0]).exists()
    False
    """
    for leads in archive.objects(file):
        archive.path(file, leads[-1]).unlink()
        archive.inventory_path(file, leads[-1]).unlink(missing_ok=True)


def truncate(archive: SyntheticArchive, file: GribFile, nbytes: int, lead_minutes: int | None = None) -> None:
    """Truncate a file; its inventory still lists all messages, and its date stays.

    Parameters
    ----------
    archive, file, lead_minutes
        As for :func:`drop_message`.
    nbytes : int
        What is left of it [B].

    Raises
    ------
    ConfigError
        If it has no more than that.

    Examples
    --------
    >>> from hrrr_dask.testing import write_archive
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1)], lead_hours=[1], variables=["temperature_2m"])
    >>> truncate(archive, archive.files[0], 1000)
    >>> archive.path(archive.files[0]).stat().st_size
    1000
    """
    path = archive.path(file, lead_minutes)
    before = path.stat()
    found = before.st_size
    if not 0 <= nbytes < found:
        raise ConfigError(f"cannot truncate {file.label} to {nbytes} bytes, it has {found}: give fewer")
    os.truncate(path, nbytes)
    os.utime(path, (before.st_atime, before.st_mtime))


def stale_inventory(archive: SyntheticArchive, file: GribFile, lead_minutes: int | None = None) -> None:
    """Replace the inventory of a file by one of the run six hours earlier.

    Parameters
    ----------
    archive, file, lead_minutes
        As for :func:`drop_message`.

    Examples
    --------
    >>> from hrrr_dask.testing import write_archive
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1)], lead_hours=[1], variables=["temperature_2m"])
    >>> stale_inventory(archive, archive.files[0])
    >>> archive.inventory_path(archive.files[0]).read_text()[:16]
    '1:0:d=2024063018'
    """
    path = archive.inventory_path(file, lead_minutes)
    path.write_bytes(inventory_of_other_run(path.read_bytes()))


def drop_message(archive: SyntheticArchive, file: GribFile, variable: str, lead_minutes: int | None = None) -> None:
    """Remove the message of a variable from a file, and its line from the inventory if there is one.

    Parameters
    ----------
    archive : SyntheticArchive
        The archive.
    file : GribFile
        The file.
    variable : str
        Name of the message.
    lead_minutes : int, optional
        Lead time, by default the hour of the file [min].

    Raises
    ------
    ConfigError
        If the file has no such message.

    Examples
    --------
    >>> from hrrr_dask.testing import write_archive
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1)], lead_hours=[1], decoys=False)
    >>> drop_message(archive, archive.files[0], "temperature_2m")
    >>> "TMP:2 m" in archive.inventory_path(archive.files[0]).read_text()
    False
    """
    lead, kind = lead_time_of(file, lead_minutes), message_of(file.product, variable)
    path, inventory_path = archive.path(file, lead), archive.inventory_path(file, lead)
    messages = list(split_messages(path.read_bytes()))
    found = (is_message(message, kind, file, archive.window, lead) for message in messages)
    position = next((at for at, is_wanted in enumerate(found) if is_wanted), None)
    if position is None:
        raise ConfigError(f"{file.label} has no message for {variable!r} to drop: name one that was written")
    del messages[position]
    path.write_bytes(b"".join(messages))
    if inventory_path.exists():
        texts = [line.split(":", 2)[2] for line in inventory_path.read_text().splitlines()]
        del texts[position]
        inventory_path.write_text(inventory_of(texts, [len(message) for message in messages]))
