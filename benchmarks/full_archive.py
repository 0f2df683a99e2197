"""Writes an archive of full-size files quickly: all files have the fields of one file, with their own times."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import eccodes
import numpy as np

from benchmarks.case import FILE
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.records import GribFile
from hrrr_dask.testing import DECOYS, GridWindow
from hrrr_dask.testing.group_packing import GroupStatistics, repack_in_short_groups
from hrrr_dask.testing.messages import MESSAGES, Message, encode_message, messages_of

__all__ = ["NAMES", "Archive", "with_times", "write_full_archive"]

START: Final = datetime(2024, 7, 1)


NAMES: Final = (*DEFAULT_VARIABLES, *DECOYS, "boundary_layer_height")
"""Messages of a file. The last of an inventory is read whole, and as in NOAA's files it is none of the eleven."""


@dataclass(frozen=True, slots=True)
class Archive:
    """Which files there are."""

    window: GridWindow
    """The cells of every field."""
    n_runs: int
    """Runs of one day, each hour from midnight."""
    n_leads: int
    """Lead hours of each run, from 1."""

    @property
    def files(self) -> list[GribFile]:
        """By init time and lead time."""
        inits = [START + timedelta(hours=hour) for hour in range(self.n_runs)]
        return [GribFile(init, lead) for init in inits for lead in range(1, self.n_leads + 1)]

    @property
    def name(self) -> str:
        """For a directory."""
        window = (self.window.row, self.window.column, self.window.ny, self.window.nx)
        return "-".join(map(str, ("short-groups-21", *window, self.n_runs, self.n_leads)))

    def wanted_bytes(self, root: Path) -> int:
        """Length of the default variables' messages in all files, as the inventories have them [B]."""
        return sum(stop - start for file in self.files for start, stop in _wanted_ranges(root, file))

    def groups(self, root: Path) -> GroupStatistics:
        """Of the default variables' messages, which are packed alike in all files."""
        content = (root / object_key(self.files[0])).read_bytes()
        return GroupStatistics.of([content[start:stop] for start, stop in _wanted_ranges(root, self.files[0])])


def _wanted_ranges(root: Path, file: GribFile) -> list[tuple[int, int]]:
    """Where the default variables' messages are, as the inventory has them."""
    lines = [line.split(":", 2) for line in (root / inventory_key(file)).read_text().splitlines()]
    starts = [int(start) for _, start, _ in lines]
    stops = [*starts[1:], (root / object_key(file)).stat().st_size]
    wanted = {MESSAGES[name].inventory_text(file) for name in DEFAULT_VARIABLES}
    own = [(start, stop) for (*_, text), start, stop in zip(lines, starts, stops, strict=True) if text in wanted]
    if len(own) != len(DEFAULT_VARIABLES):
        raise RuntimeError(f"{file.label} has {len(own)} of the {len(DEFAULT_VARIABLES)} default variables")
    return own


def write_full_archive(work: Path, archive: Archive) -> Path:
    """Write the files and their inventories, unless an earlier run did.

    Every file has the fields of :data:`benchmarks.case.FILE`, the eleven default variables and the decoys, in groups as
    short as NCEP's; headers and inventories are its own.

    Returns
    -------
    Path
        Directory that stands for the bucket.
    """
    root, draft = work / archive.name, work / f"{archive.name}.draft"
    if root.is_dir():
        return root
    names = frozenset(NAMES)
    kinds, chance = messages_of(FILE, names), np.random.default_rng(2024)
    packed = {kind.name: repack_in_short_groups(encode_message(kind, FILE, archive.window), chance) for kind in kinds}
    for file in archive.files:
        path, inventory, offset = draft / object_key(file), "", 0
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as content:
            for number, kind in enumerate(kinds, start=1):
                inventory += f"{number}:{offset}:{kind.inventory_text(file)}\n"
                offset += content.write(with_times(packed[kind.name], kind, file))
        (draft / inventory_key(file)).write_text(inventory)
    draft.rename(root)
    return root


def with_times(message: bytes, kind: Message, file: GribFile) -> bytes:
    """The message with the init time and the lead time of another file; its values stay packed as they are."""
    start, stop = (minutes // 60 for minutes in kind.interval(60 * file.lead_hours))
    handle = eccodes.codes_new_from_message(message)
    try:
        eccodes.codes_set(handle, "dataDate", int(f"{file.init_time:%Y%m%d}"))
        eccodes.codes_set(handle, "dataTime", int(f"{file.init_time:%H%M}"))
        eccodes.codes_set(handle, "stepRange", f"{start}-{stop}" if start != stop else f"{start}")
        turned: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return turned
