"""What goes wrong in the real archive, done to a synthetic one."""

from __future__ import annotations

import os

import eccodes

from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing.archive import SyntheticArchive
from hrrr_dask.testing.damage import of_another_runs_file, split_messages
from hrrr_dask.testing.messages import MESSAGES

__all__ = ["delete", "drop_message", "remove_inventories", "stale_inventory", "truncate"]


def remove_inventories(archive: SyntheticArchive) -> None:
    """Take away every ``.idx``; the GRIB2 files stay."""
    for file in archive.files:
        archive.inventory_path(file).unlink(missing_ok=True)


def delete(archive: SyntheticArchive, file: GribFile) -> None:
    """Take away a file and its inventory, as if it had never been published."""
    archive.path(file).unlink()
    archive.inventory_path(file).unlink(missing_ok=True)


def truncate(archive: SyntheticArchive, file: GribFile, nbytes: int) -> None:
    """Keep the first `nbytes` bytes of a file; its inventory still promises the rest [B]."""
    found = archive.path(file).stat().st_size
    if not 0 <= nbytes < found:
        raise ConfigError(f"cannot truncate {file.label} to {nbytes} bytes, it has {found}: give fewer")
    os.truncate(archive.path(file), nbytes)


def stale_inventory(archive: SyntheticArchive, file: GribFile) -> None:
    """Put an inventory as of the run six hours before in the place of a file's own."""
    path = archive.inventory_path(file)
    path.write_bytes(of_another_runs_file(path.read_bytes()))


def drop_message(archive: SyntheticArchive, file: GribFile, variable: str) -> None:
    """Write a file again without one variable's message, and its inventory, if there is one, without that line.

    Raises
    ------
    ConfigError
        If the file has no such message.
    """
    messages = list(split_messages(archive.path(file).read_bytes()))
    wanted = _wanted_identity(variable, file)
    position = next((at for at, message in enumerate(messages) if _identity(message) == wanted), None)
    if position is None:
        raise ConfigError(f"{file.label} has no message for {variable!r} to drop: name one that was written")
    sizes = [len(message) for message in messages]
    del messages[position], sizes[position]
    archive.path(file).write_bytes(b"".join(messages))
    if archive.inventory_path(file).exists():
        lines = archive.inventory_path(file).read_text().splitlines()
        del lines[position]
        archive.inventory_path(file).write_text(_renumbered(lines, sizes))


def _renumbered(lines: list[str], sizes: list[int]) -> str:
    offsets = [sum(sizes[:at]) for at in range(len(sizes))]
    rest = (line.split(":", 2)[2] for line in lines)
    return "".join(
        f"{number}:{offset}:{text}\n" for number, (offset, text) in enumerate(zip(offsets, rest, strict=True), start=1)
    )


_KEYS = ("discipline", "parameterCategory", "parameterNumber", "scaledValueOfFirstFixedSurface", "stepRange")


def _identity(message: bytes) -> tuple[str, ...]:
    handle = eccodes.codes_new_from_message(message)
    try:
        surface = eccodes.codes_get(handle, "typeOfFirstFixedSurface", int)
        return (str(surface), *(eccodes.codes_get_string(handle, key) for key in _KEYS))
    finally:
        eccodes.codes_release(handle)


def _wanted_identity(variable: str, file: GribFile) -> tuple[str, ...]:
    if variable not in MESSAGES:
        raise ConfigError(f"the synthetic archive has no variable {variable!r}: use one of {', '.join(MESSAGES)}")
    message = MESSAGES[variable]
    start, stop = message.window_hours(file.lead_hours)
    steps = f"{stop}" if start == stop else f"{start}-{stop}"
    return tuple(map(str, (message.surface[0], *message.numbers, message.surface[1], steps)))
