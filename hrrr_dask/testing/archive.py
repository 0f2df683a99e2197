"""Writes a synthetic HRRR archive: GRIB2 files and inventories in a directory with the layout of NOAA's bucket.

Every value is known (:func:`~hrrr_dask.testing.fields.expected_field`), so that the result of a backfill can be
compared with it bit for bit. Like NOAA's files, they also contain messages that are not requested.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import lead_times_of
from hrrr_dask.catalog.products import last_lead_hour, object_key, old_object_key, usual_publication
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing.fields import expected_field
from hrrr_dask.testing.grids import DEFAULT_WINDOW, GridWindow
from hrrr_dask.testing.messages import (
    DECOYS,
    Message,
    encode_message,
    lead_time_of,
    messages_in,
    messages_of,
)

__all__ = [
    "SyntheticArchive",
    "encode_file",
    "inventory_of",
    "message_of",
    "published_at",
    "write_archive",
]

HOURS_OF_DAY: Final = tuple(range(24))

STATIC: Final = ("hgt_surface", "land_surface")
"""Messages with elevation and land mask, the same in all files; ``subh`` has no land mask."""


@dataclass(frozen=True, slots=True)
class SyntheticArchive:
    """A synthetic archive in a directory.

    Examples
    --------
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1, 6)], lead_hours=[5], decoys=False)
    >>> (file,) = archive.files
    >>> archive.path(file).as_posix()
    'new/hrrr.20240701/conus/hrrr.t06z.wrfsfcf05.grib2'
    >>> archive.inventory_path(file).name
    'hrrr.t06z.wrfsfcf05.grib2.idx'
    >>> archive.objects(file)
    ((300,),)
    >>> archive.expected("temperature_2m", file)[:1, :3]
    array([[283.875 , 284.5   , 284.3125]], dtype=float32)
    """

    root: Path
    """Directory that represents the bucket."""
    files: tuple[GribFile, ...]
    """The files, ordered by init time and lead time."""
    window: GridWindow
    """Grid cells of every field."""
    names: tuple[str, ...]
    """Names of the messages, including decoys; a file has those that NOAA publishes for its init and lead time."""
    old_names: bool = False
    """Whether each lead time of a file is an object of its own, as those of ``subh`` until HRRR v3."""

    def path(self, file: GribFile, lead_minutes: int | None = None) -> Path:
        """Return the path of the GRIB2 object with a lead time of a file, by default its hour."""
        lead_minutes = lead_time_of(file, lead_minutes)
        return self.root / (old_object_key(file, lead_minutes) if self.old_names else object_key(file))

    def inventory_path(self, file: GribFile, lead_minutes: int | None = None) -> Path:
        """Return the path of the inventory of that object."""
        path = self.path(file, lead_minutes)
        return path.with_name(f"{path.name}.idx")

    def objects(self, file: GribFile) -> tuple[tuple[int, ...], ...]:
        """Return the lead times of each object of a file [min]."""
        leads = lead_times_of(file)
        return tuple((lead,) for lead in leads) if self.old_names else (leads,)

    def expected(self, variable: str, file: GribFile, lead_minutes: int | None = None) -> NDArray[np.float32]:
        """Return the values of a message, dims (y, x) [unit of the catalogue]; wind is grid-relative.

        Parameters
        ----------
        variable : str
            Name of the message.
        file : GribFile
            The file.
        lead_minutes : int, optional
            Lead time, by default the hour of the file [min].
        """
        return expected_field(variable, file.init_time, lead_time_of(file, lead_minutes), self.window)


def write_archive(
    root: str | Path,
    *,
    init_times: Iterable[datetime] = (),
    start: datetime | None = None,
    end: datetime | None = None,
    cycles: Iterable[int] = HOURS_OF_DAY,
    lead_hours: Iterable[int] = (0, 1, 2),
    variables: Iterable[str] | None = None,
    decoys: bool = True,
    window: GridWindow = DEFAULT_WINDOW,
    inventories: bool = True,
    product: str = "sfc",
    old_names: bool = False,
) -> SyntheticArchive:
    """Write GRIB2 files and their inventories in the layout of NOAA's bucket, dated as NOAA publishes them.

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
        Hours that name the files; those that a run does not have at NOAA are left out [h].
    variables : iterable of str, optional
        Names in :data:`~hrrr_dask.testing.messages.MESSAGES`, or in ``SUBHOURLY_MESSAGES`` for ``subh``; by default all
        of the product except decoys.
    decoys : bool
        Also write messages that are easily mistaken for these variables, and elevation and land mask.
    window : GridWindow
        Grid cells and domain.
    inventories : bool
        Write the ``.idx`` files.
    product : str
        ``sfc`` or ``subh``, whose files have four lead times.
    old_names : bool
        Write a file for each lead time of ``subh``, ``wrfsubhfHHMM``, as until HRRR v3.

    Returns
    -------
    SyntheticArchive
        The archive.

    Raises
    ------
    ConfigError
        If the product does not have a variable or the old names, or no file would be written.

    Examples
    --------
    >>> archive = write_archive("new", init_times=[datetime(2024, 7, 1, 6)], lead_hours=[1, 5], decoys=False)
    >>> [file.label for file in archive.files]
    ['20240701T06-f01', '20240701T06-f05']
    """
    names = _checked_names(product, variables, decoys)
    if old_names and product != "subh":
        raise ConfigError(f"only files of product subh had other names, found product {product!r}: leave old_names out")
    inits = tuple(sorted(set(init_times))) or _init_times(start, end, frozenset(cycles))
    files = _files(inits, lead_hours, product, window.domain)
    archive = SyntheticArchive(Path(root), files, window, names, old_names)
    if not archive.files:
        raise ConfigError(
            f"no file would be written: {len(inits)} runs were named, none reaches the lead hours; "
            "give init_times, or start and end, of runs in the archive, and lead_hours they reach"
        )
    for file in archive.files:
        for leads in archive.objects(file):
            content, inventory = encode_file(file, window, names, leads)
            archive.path(file, leads[-1]).parent.mkdir(parents=True, exist_ok=True)
            archive.path(file, leads[-1]).write_bytes(content)
            _date(archive.path(file, leads[-1]), published_at(file))
            if inventories:
                archive.inventory_path(file, leads[-1]).write_text(inventory)
                _date(archive.inventory_path(file, leads[-1]), published_at(file))
    return archive


def published_at(file: GribFile) -> datetime:
    """Return when NOAA would publish a file, UTC, the time of its last change in a synthetic archive.

    Parameters
    ----------
    file : GribFile
        A file of the archive.

    Returns
    -------
    datetime
        As :func:`hrrr_dask.catalog.products.usual_publication`.

    Examples
    --------
    >>> published_at(GribFile(datetime(2024, 1, 1, 6), 0))
    datetime.datetime(2024, 1, 1, 6, 51)
    """
    return usual_publication(file)


def _date(path: Path, moment: datetime) -> None:
    seconds = moment.replace(tzinfo=UTC).timestamp()
    os.utime(path, (seconds, seconds))


def encode_file(
    file: GribFile, window: GridWindow, names: Iterable[str], lead_minutes: Iterable[int] | None = None
) -> tuple[bytes, str]:
    """Encode one file of the archive and its inventory.

    Parameters
    ----------
    file : GribFile
        File to encode.
    window : GridWindow
        Grid cells.
    names : iterable of str
        Names of messages; those that the file does not have at NOAA are left out.
    lead_minutes : iterable of int, optional
        Lead times of the file to encode, by default all [min].

    Returns
    -------
    content : bytes
        Concatenated GRIB2 messages.
    inventory : str
        Text of the ``.idx`` file.

    Examples
    --------
    >>> content, inventory = encode_file(GribFile(datetime(2024, 7, 1, 6), 5), DEFAULT_WINDOW, ["temperature_2m"])
    >>> content[:4], inventory.splitlines()
    (b'GRIB', ['1:0:d=2024070106:TMP:2 m above ground:5 hour fcst:'])
    """
    wanted = frozenset(names)
    content: list[bytes] = []
    texts: list[str] = []
    for lead in lead_times_of(file) if lead_minutes is None else lead_minutes:
        for message in messages_of(file, wanted, lead):
            content.append(encode_message(message, file, window, lead))
            texts.append(message.inventory_text(file, lead))
    return b"".join(content), inventory_of(texts, [len(message) for message in content])


def _checked_names(product: str, variables: Iterable[str] | None, decoys: bool) -> tuple[str, ...]:
    found = messages_in(product)
    own = [name for name in found if name not in DECOYS] if variables is None else list(variables)
    for name in own:
        message_of(product, name)
    return tuple(dict.fromkeys((*own, *(name for name in (*DECOYS, *STATIC) if decoys and name in found))))


def message_of(product: str, name: str) -> Message:
    """Return a message of a product by its name.

    Raises
    ------
    ConfigError
        If the product has none of that name.
    """
    found = messages_in(product)
    if name not in found:
        known = {*messages_in("sfc"), *messages_in("subh")}
        near = [] if name in known else difflib.get_close_matches(name, found, n=3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else f"use one of {', '.join(found)}"
        raise ConfigError(f"the synthetic archive of product {product} has no {name!r}: {hint}")
    return found[name]


def _init_times(start: datetime | None, end: datetime | None, cycles: frozenset[int]) -> tuple[datetime, ...]:
    if start is None or end is None:
        raise ConfigError("no runs are named: give init_times, or both start and end")
    hours = int((end - start) / timedelta(hours=1))
    times = (start + timedelta(hours=hour) for hour in range(hours + 1))
    return tuple(time for time in times if time.hour in cycles)


def _files(inits: Iterable[datetime], lead_hours: Iterable[int], product: str, domain: str) -> tuple[GribFile, ...]:
    leads = sorted(set(lead_hours))
    reach = {init: last_lead_hour(init, product, domain) for init in inits}
    return tuple(
        GribFile(init, lead, product, domain)
        for init, last in reach.items()
        for lead in leads
        if last is not None and 0 <= lead <= last
    )


def inventory_of(texts: Iterable[str], sizes: Sequence[int]) -> str:
    """Number the lines of an inventory, and write the offsets of messages of these sizes into them [B]."""
    offsets = [sum(sizes[:at]) for at in range(len(sizes))]
    return "".join(
        f"{number}:{offset}:{text}\n" for number, (offset, text) in enumerate(zip(offsets, texts, strict=True), start=1)
    )
