"""Writes a synthetic HRRR archive: GRIB2 files and inventories in a directory with the layout of NOAA's bucket.

Every value is known (:func:`~hrrr_dask.testing.fields.expected_field`), so that the result of a backfill can be
compared with it bit for bit. Like NOAA's files, they also contain messages that are not requested.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.products import inventory_key, last_lead_hour, object_key
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing.damage import inventory_of_other_run, split_messages
from hrrr_dask.testing.fields import expected_field
from hrrr_dask.testing.grids import DEFAULT_WINDOW, GridWindow
from hrrr_dask.testing.messages import DECOYS, MESSAGES, encode_message, messages_of

__all__ = [
    "SyntheticArchive",
    "delete",
    "drop_message",
    "encode_file",
    "remove_inventories",
    "stale_inventory",
    "truncate",
    "write_archive",
]

HOURS_OF_DAY: Final = tuple(range(24))
_KEYS = ("discipline", "parameterCategory", "parameterNumber", "scaledValueOfFirstFixedSurface", "stepRange")


@dataclass(frozen=True, slots=True)
class SyntheticArchive:
    """A synthetic archive in a directory."""

    root: Path
    """Directory that represents the bucket."""
    files: tuple[GribFile, ...]
    """The files, ordered by init time and lead time."""
    window: GridWindow
    """Grid cells of every field."""
    names: tuple[str, ...]
    """Names of the messages, including decoys; a file has those that NOAA publishes for its init and lead time."""

    def path(self, file: GribFile) -> Path:
        """Return the path of a GRIB2 file."""
        return self.root / object_key(file)

    def inventory_path(self, file: GribFile) -> Path:
        """Return the path of the inventory of a file."""
        return self.root / inventory_key(file)

    def expected(self, variable: str, file: GribFile) -> NDArray[np.float32]:
        """Return the values of a message, dims (y, x) [unit of the catalogue]; wind is grid-relative."""
        return expected_field(variable, file.init_time, file.lead_hours, self.window)


def write_archive(
    root: str | Path,
    *,
    init_times: Iterable[datetime] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    cycles: Iterable[int] = HOURS_OF_DAY,
    lead_hours: Iterable[int] = (0, 1, 2),
    variables: Iterable[str] = tuple(name for name in CATALOG if "sfc" in CATALOG[name].products),
    decoys: bool = True,
    window: GridWindow = DEFAULT_WINDOW,
    inventories: bool = True,
) -> SyntheticArchive:
    """Write GRIB2 files and their inventories in the layout of NOAA's bucket.

    Parameters
    ----------
    root : str or Path
        Directory that represents the bucket; created if missing. Existing files are overwritten.
    init_times : iterable of datetime, optional
        Init times, UTC. Instead of `start` and `end`.
    start, end : datetime, optional
        First and last init time, inclusive, UTC.
    cycles : iterable of int
        Hours of the init times between `start` and `end` [h UTC].
    lead_hours : iterable of int
        Lead times; those that a run does not have at NOAA are left out [h].
    variables : iterable of str
        Names in the catalogue or in :data:`~hrrr_dask.testing.messages.DECOYS`.
    decoys : bool
        Also write messages that are easily mistaken for these variables.
    window : GridWindow
        Grid cells and domain.
    inventories : bool
        Write the ``.idx`` files.

    Returns
    -------
    SyntheticArchive
        The archive.

    Raises
    ------
    ConfigError
        If a variable is unknown, or no file would be written.
    """
    names = _checked_names(variables, DECOYS if decoys else ())
    inits = tuple(sorted(set(init_times))) or _init_times(start, end, frozenset(cycles))
    archive = SyntheticArchive(Path(root), _files(inits, lead_hours, window.domain), window, names)
    if not archive.files:
        raise ConfigError(
            f"no file would be written: {len(inits)} runs were named, none reaches the lead hours; "
            "give init_times, or start and end, of runs in the archive, and lead_hours they reach"
        )
    for file in archive.files:
        content, inventory = encode_file(file, window, names)
        archive.path(file).parent.mkdir(parents=True, exist_ok=True)
        archive.path(file).write_bytes(content)
        if inventories:
            archive.inventory_path(file).write_text(inventory)
    return archive


def encode_file(file: GribFile, window: GridWindow, names: Iterable[str]) -> tuple[bytes, str]:
    """Encode one file of the archive and its inventory.

    Parameters
    ----------
    file : GribFile
        File to encode.
    window : GridWindow
        Grid cells.
    names : iterable of str
        Names of messages; those that the file does not have at NOAA are left out.

    Returns
    -------
    content : bytes
        Concatenated GRIB2 messages.
    inventory : str
        Text of the ``.idx`` file.
    """
    published = frozenset(name for name in names if _is_published(name, file))
    messages: list[bytes] = []
    lines: list[str] = []
    offset = 0
    for number, message in enumerate(messages_of(file, published), start=1):
        messages.append(encode_message(message, file, window))
        lines.append(f"{number}:{offset}:{message.inventory_text(file)}\n")
        offset += len(messages[-1])
    return b"".join(messages), "".join(lines)


def _is_published(name: str, file: GribFile) -> bool:
    return name not in CATALOG or CATALOG[name].is_published(file.init_time, 60 * file.lead_hours)


def _checked_names(variables: Iterable[str], decoys: Iterable[str]) -> tuple[str, ...]:
    names = tuple(dict.fromkeys((*variables, *decoys)))
    for name in names:
        if name not in MESSAGES:
            near = difflib.get_close_matches(name, MESSAGES, n=3, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(MESSAGES)}"
            raise ConfigError(f"the synthetic archive has no variable {name!r}: {hint}")
    return names


def _init_times(start: datetime | None, end: datetime | None, cycles: frozenset[int]) -> tuple[datetime, ...]:
    if start is None or end is None:
        raise ConfigError("no runs are named: give init_times, or both start and end")
    hours = int((end - start) / timedelta(hours=1))
    times = (start + timedelta(hours=hour) for hour in range(hours + 1))
    return tuple(time for time in times if time.hour in cycles)


def _files(inits: Iterable[datetime], lead_hours: Iterable[int], domain: str) -> tuple[GribFile, ...]:
    leads = sorted(set(lead_hours))
    reach = {init: last_lead_hour(init, domain=domain) for init in inits}
    return tuple(
        GribFile(init, lead, domain=domain)
        for init, last in reach.items()
        for lead in leads
        if last is not None and 0 <= lead <= last
    )


def remove_inventories(archive: SyntheticArchive) -> None:
    """Delete every ``.idx`` file; the GRIB2 files stay."""
    for file in archive.files:
        archive.inventory_path(file).unlink(missing_ok=True)


def delete(archive: SyntheticArchive, file: GribFile) -> None:
    """Delete a file and its inventory, as if it had never been published."""
    archive.path(file).unlink()
    archive.inventory_path(file).unlink(missing_ok=True)


def truncate(archive: SyntheticArchive, file: GribFile, nbytes: int) -> None:
    """Truncate a file to `nbytes` bytes; its inventory still lists all messages [B]."""
    found = archive.path(file).stat().st_size
    if not 0 <= nbytes < found:
        raise ConfigError(f"cannot truncate {file.label} to {nbytes} bytes, it has {found}: give fewer")
    os.truncate(archive.path(file), nbytes)


def stale_inventory(archive: SyntheticArchive, file: GribFile) -> None:
    """Replace the inventory of a file by one of the run six hours earlier."""
    path = archive.inventory_path(file)
    path.write_bytes(inventory_of_other_run(path.read_bytes()))


def drop_message(archive: SyntheticArchive, file: GribFile, variable: str) -> None:
    """Remove the message of a variable from a file, and its line from the inventory if there is one.

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
