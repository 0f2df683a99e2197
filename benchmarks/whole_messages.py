"""GRIB2 messages of whole grids, one file each: NOAA's if they exist, else synthetic ones of the same size."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

# A contender's process loads this module to unpickle a message: only the standard library here.
if TYPE_CHECKING:
    from hrrr_dask.testing import GridWindow

__all__ = ["REAL", "Grib", "cut_messages", "encode_messages"]

REAL: Final = Path(__file__).parents[2] / "shared" / "data" / "messages"
"""NOAA's messages, which are not shipped."""

SYNTHETIC: Final = {
    "temperature_2m": (datetime(2024, 7, 1, 12), 6),
    "boundary_layer_height": (datetime(2024, 7, 1, 12), 6),
    "precipitation_run": (datetime(2024, 7, 1, 12), 6),
    "u_component_wind_10m": (datetime(2024, 7, 1, 12), 6),
    "visible_beam_downward_solar_flux": (datetime(2024, 1, 1, 6), 0),
}
"""Name to init time and lead hour; the last one is by night: one value everywhere."""


@dataclass(frozen=True, slots=True)
class Grib:
    """One message."""

    name: str
    """For the table."""
    path: Path
    """The message alone."""
    together: Path
    """All messages of the case in one file."""
    packing: str
    """``5.3`` and the like; with ``constant`` when it has no bits, ``bitmap`` when cells are missing."""
    n_cells: int
    """Of its grid."""
    size_bytes: int
    """Of the message [B]."""


def cut_messages(source: Path, work: Path) -> list[Grib]:
    """The messages of a directory's files, each written to a file of its own.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = {}
    for path in sorted(source.glob("*.grib2")):
        messages = list(_messages(path.read_bytes()))
        for number, message in enumerate(messages, start=1):
            ending = f"-{number}" if len(messages) > 1 else ""
            found[f"{path.stem.removeprefix('hrrr.')}{ending}"] = message
    if not found:
        raise RuntimeError(f"{source} has no *.grib2 files: leave --messages out for synthetic ones")
    return _write(found, work)


def encode_messages(window: GridWindow, work: Path) -> list[Grib]:
    """Synthetic messages in the packings of NOAA's files."""
    from hrrr_dask.records import GribFile
    from hrrr_dask.testing.messages import MESSAGES, encode_message

    return _write(
        {name: encode_message(MESSAGES[name], GribFile(*when), window) for name, when in SYNTHETIC.items()}, work
    )


def _messages(data: bytes) -> Iterator[bytes]:
    """Whole messages; bytes between them are passed over."""
    start = data.find(b"GRIB")
    while start >= 0:
        (length,) = struct.unpack_from(">Q", data, start + 8)
        message = data[start : start + length]
        if not message.endswith(b"7777"):
            raise RuntimeError(f"the message at byte {start:,} has no end")
        yield message
        start = data.find(b"GRIB", start + length)


def _write(messages: dict[str, bytes], work: Path) -> list[Grib]:
    work.mkdir(parents=True, exist_ok=True)
    together = work / "together.grib2"
    together.write_bytes(b"".join(messages.values()))
    found = []
    for name, message in messages.items():
        path = work / f"{name}.grib2"
        path.write_bytes(message)
        found.append(Grib(name, path, together, *_described(message), len(message)))
    return found


def _described(message: bytes) -> tuple[str, int]:
    """Packing, and number of cells (WMO Manual on Codes I.2: sections 3, 5 and 6)."""
    sections, start = {}, 16
    while message[start : start + 4] != b"7777":
        length, number = struct.unpack_from(">IB", message, start)
        sections[number] = message[start : start + length]
        start += length
    (n_cells,) = struct.unpack_from(">I", sections[3], 6)
    (template,) = struct.unpack_from(">H", sections[5], 9)
    packing = f"5.{template}"
    if not sections[5][19] and template == 0:
        packing += " constant"
    return packing + (" bitmap" if sections[6][5] == 0 else ""), n_cells
