"""Corrupt messages: what passes the checks must be the wanted message, with the values that ecCodes decodes.

The oracle is ecCodes on the whole corrupt message; it shares no code with the checks or with the compiled kernels.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from benchmarks.mutations import spoil_message
from hrrr_dask.archive.index_scan import scan_messages
from hrrr_dask.archive.inventory import parse_inventory, select
from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.catalog.variables import CATALOG, find_companion
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError
from hrrr_dask.grib.identity import check_message
from hrrr_dask.grib.sections import read_header
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.grid.projection import Grid
from hrrr_dask.records import ByteRange, GribFile, Record
from hrrr_dask.testing import DEFAULT_WINDOW, encode_file
from hrrr_dask.testing.messages import MESSAGES

__all__ = ["Good", "MessageCases", "WrongError", "read_identity", "read_values", "same_values"]

ABSENT: Final = -1e100
FILE: Final = GribFile(datetime(2024, 7, 1, 18), 3)
OTHER_PACKINGS: Final = ("grid_ieee", "grid_ccsds", "grid_png")

KEYS: Final = (
    "discipline", "parameterCategory", "parameterNumber", "productDefinitionTemplateNumber", "dataDate", "dataTime",
    "second", "stepRange", "stepType", "gridDefinitionTemplateNumber", "Nx", "Ny", "iScansNegatively",
    "jScansPositively", "jPointsAreConsecutive", "alternativeRowScanning", "LaDInDegrees", "LoVInDegrees",
    "DxInMetres", "DyInMetres",
)  # fmt: skip
"""By which ecCodes tells one message from another, and one grid from another."""

SURFACE: Final = "typeOfFirstFixedSurface"
LEVELS_WITH_A_VALUE: Final = (100, 103)


class WrongError(AssertionError):
    """Something wrong was accepted, or failed in a way that is not allowed."""


@dataclass(frozen=True, slots=True)
class Good:
    """A valid message and its metadata."""

    data: bytes
    """The whole of it."""
    file: GribFile
    """Of which file."""
    record: Record
    """What its inventory says."""
    selector: Selector
    """What was wanted."""
    grid: Grid
    """On which grid."""
    identity: dict[str, Any]
    """What ecCodes says that it is."""


class MessageCases:
    """Corrupt messages.

    Parameters
    ----------
    shared : Path
        NOAA's messages, if they exist.
    """

    limit_bytes = 1 << 29

    def __init__(self, shared: Path, _work: Path) -> None:
        self._small = [*_synthetic(), *_with_bitmaps(), *_cut_from_real(shared)]
        self._repacked = list(_repacked())
        self._large = list(_whole_real(shared))
        self._engines = [get_engine(name) for name in ("auto",) * 9 + ("eccodes",)]

    def case(self, chance: random.Random) -> str:
        """Corrupt a message, try it, and compare; returns the result."""
        draw = chance.random()
        good = chance.choice(self._large if self._large and draw < 0.004 else self._small)
        if draw > 0.97:
            good = chance.choice(self._repacked)
        data = spoil_message(good.data, chance.choice(self._small).data, chance)
        return self.attempt(good, data, chance)

    def attempt(self, good: Good, data: bytes, chance: random.Random) -> str:
        """Decode corrupt bytes as if they were the valid message."""
        stop = chance.choice((len(data), len(data), len(data), len(good.data), None))
        record = Record(
            good.record.element, good.record.level, good.record.window, good.record.reference_time, ByteRange(0, stop)
        ) if stop != 0 else good.record  # fmt: skip
        vector = find_companion(good.selector) is not None
        n_cells = good.grid.nx * good.grid.ny
        wanted = range(n_cells) if n_cells < 10_000 else sorted(chance.randrange(n_cells) for _ in range(200))
        cells = np.array(wanted, dtype=np.int64)
        try:
            message = Wanted(good.selector, 60 * good.file.lead_hours)
            check_message(data, file=good.file, record=record, wanted=message, grid=good.grid, vector=vector)
            values = chance.choice(self._engines).points(memoryview(data), cells)
        except ArchiveError as error:
            return f"refused: {error.code}"
        _compare(good, data + good.data[len(data) : stop], values, cells)  # a beginning may be enough
        return "accepted"


def _compare(good: Good, data: bytes, values: NDArray[np.float32], cells: NDArray[np.int64]) -> None:
    try:
        identity, expected = read_identity(data), read_values(data)
    except (eccodes.CodesInternalError, ValueError) as error:
        raise WrongError(f"accepted, but ecCodes refuses it: {error}") from error
    if identity != good.identity:
        differ = {key: (good.identity[key], found) for key, found in identity.items() if found != good.identity[key]}
        raise WrongError(f"accepted {good.selector}, but ecCodes says otherwise (wanted, found): {differ}")
    if expected.size <= cells.max() or not same_values(values, expected[cells]):
        raise WrongError(f"accepted {good.selector} with other values than ecCodes reads")


def read_identity(data: bytes) -> dict[str, Any]:
    """What ecCodes says that a message is."""
    handle = eccodes.codes_new_from_message(data)
    try:
        found = {key: eccodes.codes_get(handle, key) for key in KEYS}
        found[SURFACE] = eccodes.codes_get(handle, SURFACE, int)
        if found[SURFACE] in LEVELS_WITH_A_VALUE:
            found["level"] = eccodes.codes_get(handle, "level", float)
        return found
    finally:
        eccodes.codes_release(handle)


def read_values(data: bytes) -> NDArray[np.float32]:
    """The values that ecCodes reads, rounded once; NaN where there is none."""
    handle = eccodes.codes_new_from_message(data)
    try:
        eccodes.codes_set(handle, "missingValue", ABSENT)
        values = eccodes.codes_get_values(handle)
    finally:
        eccodes.codes_release(handle)
    values[values == ABSENT] = np.nan
    with np.errstate(over="ignore", invalid="ignore"):
        rounded: NDArray[np.float32] = values.astype(np.float32)
    return rounded


def same_values(ours: NDArray[np.float32], theirs: NDArray[np.float32]) -> bool:
    """The same bits, and NaN in the same places."""
    there = ~np.isnan(theirs)
    return bool(np.array_equal(np.isnan(ours), ~there)) and ours[there].tobytes() == theirs[there].tobytes()


def _good(data: bytes, file: GribFile, record: Record, selector: Selector) -> Good:
    grid = read_grid(read_header(data).grid_section)
    return Good(data, file, record, selector, grid, read_identity(data))


def _synthetic() -> Iterator[Good]:
    """Every kind that the catalogue knows."""
    content, text = encode_file(FILE, DEFAULT_WINDOW, list(MESSAGES))
    yield from _of_catalogue(content, parse_inventory(text, FILE.init_time), FILE)


def _repacked() -> Iterator[Good]:
    """Some of them as HRRR does not pack: for the engine that stands in."""
    for good, packing in zip(_synthetic(), OTHER_PACKINGS * 2, strict=False):
        handle = eccodes.codes_new_from_message(good.data)
        try:
            eccodes.codes_set(handle, "packingType", packing)
            data = eccodes.codes_get_message(handle)
            read_values(data)
        except eccodes.CodesInternalError:
            continue  # this build of ecCodes does not know it
        finally:
            eccodes.codes_release(handle)
        yield _good(data, good.file, good.record, good.selector)


def _with_bitmaps() -> Iterator[Good]:
    for good in list(_synthetic())[:6]:
        handle = eccodes.codes_new_from_message(good.data)
        values = eccodes.codes_get_values(handle)
        values[::7] = ABSENT
        eccodes.codes_set(handle, "missingValue", ABSENT)
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set_values(handle, values)
        data = eccodes.codes_get_message(handle)
        eccodes.codes_release(handle)
        yield _good(data, good.file, good.record, good.selector)


def _cut_from_real(shared: Path) -> Iterator[Good]:
    """NOAA's fields on a small window."""
    for path in sorted((shared / "archive").rglob("*.grib2"))[:2]:
        day, hour = path.parents[1].name.removeprefix("hrrr."), int(path.name[6:8])
        file, content = GribFile(datetime.strptime(day, "%Y%m%d").replace(hour=hour), 1), path.read_bytes()
        yield from _of_catalogue(content, _walked(content), file)


def _whole_real(shared: Path) -> Iterator[Good]:
    """NOAA's messages as they are."""
    for path in sorted((shared / "messages").glob("*.t06z.*.grib2")):
        content = path.read_bytes()
        file = GribFile(datetime.strptime(path.name.split(".")[1], "%Y%m%d").replace(hour=6), 1)
        for record in _walked(content):
            data = content[record.byte_range.start : record.byte_range.stop]
            yield _good(data, file, record, Selector(record.element, record.level))


def _walked(content: bytes) -> tuple[Record, ...]:
    return scan_messages(lambda start, stop: content[start:stop], len(content))


def _of_catalogue(content: bytes, records: tuple[Record, ...], file: GribFile) -> Iterator[Good]:
    for variable in (CATALOG[name] for name in MESSAGES if name in CATALOG):
        try:
            record = select(records, Wanted(variable.selector, 60 * file.lead_hours))
        except ArchiveError:
            continue  # not in this file
        yield _good(content[record.byte_range.start : record.byte_range.stop], file, record, variable.selector)
