"""Encodes the GRIB2 messages of the synthetic archive: inventory names, headers and packing as in HRRR files.

Sections 0 to 4 are encoded byte by byte as NCEP does (WMO Manual on Codes I.2, FM 92 GRIB edition 2); ecCodes packs the
values. Constant fields are encoded as by NCEP: simple packing, no bits per value, 188 bytes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.records import GribFile
from hrrr_dask.testing.fields import QUANTA, expected_field
from hrrr_dask.testing.grids import GridWindow

__all__ = ["DECOYS", "MESSAGES", "Message", "encode_message", "messages_of"]

SURFACE: Final = (1, 0)
ATMOSPHERE: Final = (10, 0)
BOUNDARY_LAYER_CLOUD: Final = (211, 0)
AT_500_MB: Final = (100, 50_000)


def _above_ground(height: int) -> tuple[int, int]:
    return (103, height)


@dataclass(frozen=True, slots=True)
class Message:
    """A kind of message that a file may contain."""

    name: str
    """Name of the variable in the catalogue, or of a decoy."""
    element: str
    """Element in the inventory."""
    level: str
    """Level in the inventory."""
    numbers: tuple[int, int, int]
    """GRIB2 discipline, category and number."""
    surface: tuple[int, int]
    """Type of the first fixed surface (code table 4.5) and its value [unit of the type]."""
    statistic: Literal["instant", "acc", "max"] = "instant"
    """How the values of the window are combined."""
    whole_run: bool = False
    """Whether the window starts at init_time instead of an hour before valid_time."""
    bits: int | None = None
    """Bits of simple packing; None for complex packing with second-order spatial differencing [bit]."""
    decimals: int = 0
    """Decimal scale factor; if 0, values are scaled by the binary scale factor."""

    def window_hours(self, lead_hours: int) -> tuple[int, int]:
        """Return first and last hour of the window; both are the lead time for an instant [h after init_time]."""
        if self.statistic == "instant":
            return lead_hours, lead_hours
        return 0 if self.whole_run else max(lead_hours - 1, 0), lead_hours

    def window_text(self, lead_hours: int) -> str:
        """Format the window as in NOAA's inventories, which state whole days in days.

        Examples
        --------
        >>> MESSAGES["precipitation_run"].window_text(24), MESSAGES["precipitation_1h"].window_text(24)
        ('0-1 day acc fcst', '23-24 hour acc fcst')
        """
        if self.statistic == "instant":
            return f"{lead_hours} hour fcst" if lead_hours else "anl"
        start, stop = self.window_hours(lead_hours)
        unit, hours = ("hour", 1) if start % 24 or stop % 24 else ("day", 24)
        return f"{start // hours}-{stop // hours} {unit} {self.statistic} fcst"

    def inventory_text(self, file: GribFile) -> str:
        """Format columns 3 to 6 of the inventory line."""
        return f"d={file.init_time:%Y%m%d%H}:{self.element}:{self.level}:{self.window_text(file.lead_hours)}:"


_2M: Final = ("2 m above ground", _above_ground(2))
_10M: Final = ("10 m above ground", _above_ground(10))
_80M: Final = ("80 m above ground", _above_ground(80))
_RAW_201: Final = "var discipline=0 center=7 local_table=1 parmcat=16 parm=201"


def _at(name: str, element: str, numbers: tuple[int, int, int], level: tuple[str, tuple[int, int]]) -> Message:
    return Message(name, element, level[0], numbers, level[1])


MESSAGES: Final = {
    message.name: message
    for message in (
        Message("composite_reflectivity", "REFC", "entire atmosphere", (0, 16, 196), ATMOSPHERE),
        Message("lightning_threat", _RAW_201, "entire atmosphere", (0, 16, 201), ATMOSPHERE),
        Message("wind_gust_surface", "GUST", "surface", (0, 2, 22), SURFACE),
        Message("temperature_500mb", "TMP", "500 mb", (0, 0, 0), AT_500_MB),
        Message("u_component_wind_500mb", "UGRD", "500 mb", (0, 2, 2), AT_500_MB),
        Message("v_component_wind_500mb", "VGRD", "500 mb", (0, 2, 3), AT_500_MB),
        _at("u_component_wind_80m", "UGRD", (0, 2, 2), _80M),
        _at("v_component_wind_80m", "VGRD", (0, 2, 3), _80M),
        Message("surface_pressure", "PRES", "surface", (0, 3, 0), SURFACE),
        Message("temperature_surface", "TMP", "surface", (0, 0, 0), SURFACE),
        _at("temperature_2m", "TMP", (0, 0, 0), _2M),
        _at("potential_temperature_2m", "POT", (0, 0, 2), _2M),
        _at("dewpoint_2m", "DPT", (0, 0, 6), _2M),
        _at("relative_humidity_2m", "RH", (0, 1, 1), _2M),
        Message("u_component_wind_10m", "UGRD", _10M[0], (0, 2, 2), _10M[1], bits=10),
        Message("v_component_wind_10m", "VGRD", _10M[0], (0, 2, 3), _10M[1], bits=10),
        Message("wind_speed_10m_max", "WIND", _10M[0], (0, 2, 1), _10M[1], "max"),
        Message("precipitation_run", "APCP", "surface", (0, 1, 8), SURFACE, "acc", whole_run=True, decimals=2),
        Message("precipitation_1h", "APCP", "surface", (0, 1, 8), SURFACE, "acc", decimals=3),
        Message("surface_roughness", "SFCR", "surface", (2, 0, 1), SURFACE),
        Message("boundary_layer_cloud_cover", "TCDC", "boundary layer cloud layer", (0, 6, 1), BOUNDARY_LAYER_CLOUD),
        Message("total_cloud_cover", "TCDC", "entire atmosphere", (0, 6, 1), ATMOSPHERE),
        Message("downward_shortwave_flux", "DSWRF", "surface", (0, 4, 7), SURFACE),
        Message("visible_beam_downward_solar_flux", "VBDSF", "surface", (0, 4, 200), SURFACE),
        Message("visible_diffuse_downward_solar_flux", "VDDSF", "surface", (0, 4, 201), SURFACE),
        Message("boundary_layer_height", "HPBL", "surface", (0, 3, 18), SURFACE),
    )
}
"""Name to message, in the order of a real file (HRRR v4 inventories)."""

DECOYS: Final = (
    "lightning_threat",
    "temperature_500mb",
    "u_component_wind_500mb",
    "v_component_wind_500mb",
    "temperature_surface",
    "potential_temperature_2m",
    "wind_speed_10m_max",
    "precipitation_run",
    "boundary_layer_cloud_cover",
)
"""Messages that share the element or level of a catalogued variable: an inexact selection matches them, too."""


def messages_of(file: GribFile, names: frozenset[str]) -> tuple[Message, ...]:
    """Return those of the named messages that a file contains, in the order of the file.

    Notes
    -----
    As in NOAA's files, lead hour 0 has no hourly accumulation, and at lead hour 1 it equals that of the run and is
    written once.
    """
    found: dict[str, Message] = {}
    for message in MESSAGES.values():
        if message.name in names and not (message.name == "precipitation_1h" and file.lead_hours == 0):
            found.setdefault(message.inventory_text(file), message)
    return tuple(found.values())


def encode_message(message: Message, file: GribFile, window: GridWindow) -> bytes:
    """Encode one complete GRIB2 message.

    Parameters
    ----------
    message : Message
        Kind of message.
    file : GribFile
        Init and lead time.
    window : GridWindow
        Grid cells.

    Returns
    -------
    bytes
        From ``GRIB`` to ``7777``; decodes to :func:`~hrrr_dask.testing.fields.expected_field`.
    """
    field = expected_field(message.name, file.init_time, file.lead_hours, window)
    head = _section1(file.init_time) + window.section3() + _section4(message, file)
    first = float(field[0, 0])
    constant = _constant_message(message.numbers[0], head, field.size, first if (field == first).all() else 0.0)
    return constant if (field == first).all() else _packed(constant, message, field)


def _constant_message(discipline: int, head: bytes, size: int, reference: float) -> bytes:
    """Encode a constant field, with zero bits per value."""
    data = struct.pack(">IBIHfhhBB", 21, 5, size, 0, reference, 0, 0, 0, 0)
    body = head + data + struct.pack(">IBB", 6, 6, 255) + struct.pack(">IB", 5, 7) + b"7777"
    return struct.pack(">4s2xBBQ", b"GRIB", discipline, 2, 16 + len(body)) + body


def _section1(init_time: datetime) -> bytes:
    """Encode section 1: centre kwbc, master tables 2, local tables 1, start of forecast, operational, forecast."""
    time = (init_time.year, init_time.month, init_time.day, init_time.hour, 0, 0)
    return struct.pack(">IBHHBBBHBBBBBBB", 21, 1, 7, 0, 2, 1, 1, *time, 0, 1)


def _section4(message: Message, file: GribFile) -> bytes:
    """Encode section 4 (product definition): templates 4.0 and 4.8, generating process 83, hours."""
    start, stop = message.window_hours(file.lead_hours)
    statistical = message.statistic != "instant"
    body = struct.pack(">HH", 0, 8 if statistical else 0)
    body += struct.pack(">BBBBBHBBI", *message.numbers[1:], 2, 0, 83, 0, 0, 1, start)
    body += struct.pack(">BBIBBI", message.surface[0], 0, message.surface[1], 255, 0, 0)
    if statistical:
        end = file.valid_time
        body += struct.pack(">HBBBBB", end.year, end.month, end.day, end.hour, 0, 0)
        body += struct.pack(">BI", 1, 0)  # one time range, no missing values in it
        body += struct.pack(">BBBIBI", {"acc": 1, "max": 2}[message.statistic], 2, 1, stop - start, 255, 0)
    return struct.pack(">IB", 5 + len(body), 4) + body


def _packed(constant: bytes, message: Message, field: NDArray[np.float32]) -> bytes:
    """Pack the values of a field into a constant message.

    With a decimal scale factor, integers are packed and the factor is written afterwards, because ecCodes does not
    keep a given one with complex packing.
    """
    values = field.astype(np.float64).ravel() * 10.0**message.decimals
    quantum = 1.0 if message.decimals else QUANTA[message.name]
    handle = eccodes.codes_new_from_message(constant)
    try:
        if message.bits is None:
            steps = round(float(values.max() - values.min()) / quantum)
            eccodes.codes_set(handle, "packingType", "grid_complex_spatial_differencing")
            eccodes.codes_set(handle, "orderOfSpatialDifferencing", 2)
            eccodes.codes_set(handle, "bitsPerValue", steps.bit_length())
        else:
            eccodes.codes_set(handle, "bitsPerValue", message.bits)
        eccodes.codes_set_values(handle, values)
        packed: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return _complete_section5(packed, message)


def _complete_section5(message: bytes, kind: Message) -> bytes:
    """Write what ecCodes does not into section 5: the decimal scale factor, and zero for the unused missing value."""
    start = 16
    while message[start + 4] != 5:
        start += int.from_bytes(message[start : start + 4], "big")
    completed = bytearray(message)
    completed[start + 17 : start + 19] = struct.pack(">h", kind.decimals)
    if kind.bits is None:
        completed[start + 23 : start + 27] = bytes(4)
    return bytes(completed)
