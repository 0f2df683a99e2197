"""Corrupt archives: inventory, file or both, read from a directory as a backfill reads them.

A value must be the original one, or the one that ecCodes decodes from the corrupt bytes if they are still the wanted
message; everything else must be a gap with a reason, or an error of the file.
"""

from __future__ import annotations

import random
from datetime import datetime
from pathlib import Path
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from benchmarks.fuzz_messages import WrongError, read_identity, read_values, same_values
from benchmarks.mutations import spoil_bytes, spoil_message, spoil_text
from hrrr_dask.archive.fetch import Client, FetchSettings, Tally
from hrrr_dask.archive.inventory import parse_inventory, select
from hrrr_dask.archive.messages import FileMessages, read_messages
from hrrr_dask.archive.prefixes import Prefixes
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.records import GribFile
from hrrr_dask.testing import GridWindow, encode_file

__all__ = ["FileCases"]

FILE: Final = GribFile(datetime(2024, 7, 1, 18), 3)
LEAD: Final = 180
NAMES: Final = (
    "temperature_2m",
    "u_component_wind_10m",
    "v_component_wind_10m",
    "precipitation_1h",
    "surface_pressure",
)
WITH_DECOYS: Final = (*NAMES, "temperature_surface", "precipitation_run", "temperature_500mb")
HEADER_BYTES: Final = 184
"""Length of a message with simple packing before its values [B]."""
WANTED: Final = {CATALOG[name].selector: name for name in NAMES}


class _Archive:
    """A valid file and its known content."""

    def __init__(self, window: GridWindow) -> None:
        self.content, self.inventory = encode_file(FILE, window, WITH_DECOYS)
        self.grid = read_grid(window.section3())
        self.n_cells = window.ny * window.nx
        records = parse_inventory(self.inventory, FILE.init_time)
        self.starts = [record.byte_range.start for record in records] + [len(self.content)]
        self.identity, self.values = {}, {}
        for selector in WANTED:
            place = select(records, Wanted(selector, LEAD)).byte_range
            data = self.content[place.start : place.stop]
            self.identity[selector], self.values[selector] = read_identity(data), read_values(data)


class FileCases:
    """Corrupt archives."""

    limit_bytes = 1 << 29

    def __init__(self, _shared: Path, work: Path) -> None:
        self._small, self._large = _Archive(GridWindow(288, 794, 24, 32)), _Archive(GridWindow(0, 0, 100, 1799))
        self._file, self._inventory = work / object_key(FILE), work / inventory_key(FILE)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        self._client = Client(parse_source(str(work)), FetchSettings(attempts=1, backoff_s=0))
        self._engine = get_engine("auto")

    def case(self, chance: random.Random) -> str:
        """Corrupt, read, and compare; returns the result."""
        archive = self._large if chance.random() < 0.05 else self._small
        content, inventory, draw = archive.content, archive.inventory.encode(), chance.random()
        if draw < 0.6:
            inventory = spoil_text(archive.inventory, archive.inventory, chance)
        if draw > 0.4:
            content = _spoilt(archive, chance)
        self._file.write_bytes(content)
        self._inventory.write_bytes(inventory)
        cells, prefixes = np.arange(archive.n_cells), None
        if chance.random() < 0.5:
            cells = _wanted_cells(archive, chance)
            prefixes = Prefixes(cells, archive.n_cells, chance.choice((1_000, 1 << 18)))
        gap = chance.choice((0, 1 << 18))
        try:
            found = read_messages(self._client, FILE, {LEAD: WANTED}, archive.grid, Tally(), gap, prefixes)[LEAD]
        except ArchiveError as error:
            return f"no file: {error.code}"
        return self._compare(archive, found, content, cells)

    def _compare(self, archive: _Archive, found: FileMessages, content: bytes, cells: NDArray[np.int64]) -> str:
        if found.messages.keys() & found.gaps.keys() or found.messages.keys() | found.gaps.keys() != WANTED.keys():
            raise WrongError(f"{len(found.messages)} messages and {len(found.gaps)} gaps of {len(WANTED)}")
        accepted = 0
        for selector, message in found.messages.items():
            try:
                values = self._engine.points(message, cells)
            except ArchiveError:
                continue
            accepted += 1
            if not same_values(values, archive.values[selector][cells]):
                _compare_with_eccodes(archive, selector, bytes(message), content, values, cells)
        return f"{found.inventory}: {'all' if accepted == len(WANTED) else 'some' if accepted else 'no'} values"


def _spoilt(archive: _Archive, chance: random.Random) -> bytes:
    """Corrupt one message of the file, or the whole file."""
    content = archive.content
    if chance.random() < 0.3:
        return spoil_bytes(content, content, chance)
    which = chance.randrange(len(archive.starts) - 1)
    start, stop = archive.starts[which : which + 2]
    return content[:start] + spoil_message(content[start:stop], content, chance) + content[stop:]


def _wanted_cells(archive: _Archive, chance: random.Random) -> NDArray[np.int64]:
    """All cells of the southern half, or a few anywhere."""
    if chance.random() < 0.5:
        return np.arange(archive.n_cells // 2 + 1)
    return np.array(sorted(chance.sample(range(archive.n_cells), chance.randrange(1, 6))))


def _compare_with_eccodes(
    archive: _Archive,
    selector: Selector,
    message: bytes,
    content: bytes,
    values: NDArray[np.float32],
    cells: NDArray[np.int64],
) -> None:
    """Check values that differ from the original: ecCodes must decode them too, from the wanted message."""
    start = content.find(message)
    if start < 0:  # it was read in parts
        start = content.find(message[:HEADER_BYTES])
    whole = content[start : start + int.from_bytes(message[8:16], "big")]
    try:
        identity, expected = read_identity(whole), read_values(whole)
    except (eccodes.CodesInternalError, ValueError) as error:
        raise WrongError(f"{selector} was accepted with other values, and ecCodes refuses it: {error}") from error
    if identity != archive.identity[selector]:
        raise WrongError(f"{selector} was accepted, ecCodes says that it is {identity}")
    if not same_values(values, expected[cells]):
        raise WrongError(f"{selector} was accepted with values that neither went in nor are there")
