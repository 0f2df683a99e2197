"""A synthetic archive: a directory of GRIB2 files and inventories, laid out and spelled like NOAA's bucket.

Every value is known (:func:`~hrrr_dask.testing.fields.expected_field`), so that what comes out of a back-fill can be
compared bit for bit with what went in. Files also carry messages that nobody asked for, as NOAA's do.
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
from hrrr_dask.testing.damage import of_another_runs_file, split_messages
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
    """What was written where."""

    root: Path
    """Directory that stands for the bucket."""
    files: tuple[GribFile, ...]
    """The files, by init time and lead time."""
    window: GridWindow
    """The cells of every field."""
    names: tuple[str, ...]
    """Names of the messages written, decoys included; a file has those that its run and lead time offer."""

    def path(self, file: GribFile) -> Path:
        """Where the GRIB2 file lies."""
        return self.root / object_key(file)

    def inventory_path(self, file: GribFile) -> Path:
        """Where the file's inventory lies."""
        return self.root / inventory_key(file)

    def expected(self, variable: str, file: GribFile) -> NDArray[np.float32]:
        """The values of one message, dims (y, x) [unit of the catalogue]; wind along the grid's axes."""
        return expected_field(variable, file.init_time, file.lead_hours, self.window)


def write_archive(
    root: str | Path,
    *,
    init_times: Iterable[datetime] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    cycles: Iterable[int] = HOURS_OF_DAY,
    lead_hours: Iterable[int] = (0, 1, 2),
    variables: Iterable[str] = tuple(CATALOG),
    decoys: bool = True,
    window: GridWindow = DEFAULT_WINDOW,
    inventories: bool = True,
) -> SyntheticArchive:
    """Write GRIB2 files, and their inventories, in the bucket's layout.

    Parameters
    ----------
    root : str or Path
        Directory that will stand for the bucket; made if need be. Files in it are written over.
    init_times : iterable of datetime, optional
        Starts of the runs, UTC. Instead of `start` and `end`.
    start, end : datetime, optional
        First and last start of a run, both included, UTC.
    cycles : iterable of int
        Hours of the day at which runs start, between `start` and `end` [h UTC].
    lead_hours : iterable of int
        Lead times; those beyond a run's reach are left out, as NOAA does [h].
    variables : iterable of str
        Names in the catalogue, or of :data:`~hrrr_dask.testing.messages.DECOYS`.
    decoys : bool
        Write messages that are easily mistaken for those, too.
    window : GridWindow
        Which cells of which domain's grid.
    inventories : bool
        Write the ``.idx`` files.

    Returns
    -------
    SyntheticArchive
        What was written.

    Raises
    ------
    ConfigError
        If a variable is unknown, or there is no file to write.
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
    """One file of the archive, and its inventory.

    Parameters
    ----------
    file : GribFile
        Which one.
    window : GridWindow
        Which cells.
    names : iterable of str
        Messages; those that such a file does not have are left out.

    Returns
    -------
    content : bytes
        GRIB2 messages, end to end.
    inventory : str
        The text of its ``.idx``.
    """
    offered = frozenset(name for name in names if _offered(name, file))
    messages: list[bytes] = []
    lines: list[str] = []
    offset = 0
    for number, message in enumerate(messages_of(file, offered), start=1):
        messages.append(encode_message(message, file, window))
        lines.append(f"{number}:{offset}:{message.inventory_text(file)}\n")
        offset += len(messages[-1])
    return b"".join(messages), "".join(lines)


def _offered(name: str, file: GribFile) -> bool:
    return name not in CATALOG or CATALOG[name].offered(file.init_time, file.lead_hours)


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
