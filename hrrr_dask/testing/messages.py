"""Encodes the GRIB2 messages of the synthetic archive: inventory names, headers and packing as in HRRR files.

Sections 0 to 4 are encoded byte by byte as NCEP does (WMO Manual on Codes I.2, FM 92 GRIB edition 2); ecCodes packs the
values. Constant fields are encoded as by NCEP: simple packing, no bits per value, 188 bytes.

>>> file = GribFile(datetime(2024, 7, 1, 6), 5)
>>> [message] = messages_of(file, frozenset(["precipitation_1h"]))
>>> isinstance(message, Message), messages_in("sfc")[message.name] is message
(True, True)
>>> message.interval(lead_time_of(file)), message.inventory_text(file)
((240, 300), 'd=2024070106:APCP:surface:4-5 hour acc fcst:')
>>> encoded = encode_message(message, file, GridWindow(288, 794, 2, 3))
>>> len(encoded), is_message(encoded, message, file, GridWindow(288, 794, 2, 3), 300)
(254, True)
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import lead_times_of
from hrrr_dask.catalog.products import ARCHIVE_START, PRODUCTS
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing.fields import QUANTA, expected_field
from hrrr_dask.testing.grids import GridWindow

__all__ = [
    "DECOYS",
    "MESSAGES",
    "SUBHOURLY_MESSAGES",
    "Message",
    "encode_message",
    "is_message",
    "lead_time_of",
    "messages_in",
    "messages_of",
]

SURFACE: Final = (1, 0)
ATMOSPHERE: Final = (10, 0)
BOUNDARY_LAYER_CLOUD: Final = (211, 0)
AT_500_MB: Final = (100, 50_000)


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
    statistic: Literal["instant", "acc", "ave", "max"] = "instant"
    """How the values of the window are combined."""
    minutes: int | None = 60
    """Length of the window; None for the whole run up to the lead time. Unused for an instant [min]."""
    bits: int | None = None
    """Bits of simple packing; None for complex packing with second-order spatial differencing [bit]."""
    decimals: int = 0
    """Decimal scale factor; if 0, values are scaled by the binary scale factor."""

    def interval(self, lead_minutes: int) -> tuple[int, int]:
        """Return start and end of the window; both are the lead time for an instant [min after init_time]."""
        if self.statistic == "instant":
            return lead_minutes, lead_minutes
        return 0 if self.minutes is None else max(lead_minutes - self.minutes, 0), lead_minutes

    def window_text(self, lead_minutes: int, product: str = "sfc") -> str:
        """Format the window as in NOAA's inventories: in hours, whole days in days, those of ``subh`` in minutes.

        Examples
        --------
        >>> MESSAGES["precipitation_run"].window_text(1440), MESSAGES["precipitation_1h"].window_text(1440)
        ('0-1 day acc fcst', '23-24 hour acc fcst')
        >>> SUBHOURLY_MESSAGES["precipitation_15min"].window_text(495, "subh")
        '480-495 min acc fcst'
        """
        start, stop = self.interval(lead_minutes)
        unit = _unit_minutes(product)
        if self.statistic == "instant":
            return f"{stop // unit} {_UNITS[unit]} fcst" if stop else "anl"
        if stop == 0 or (unit == _HOUR and not (start % _DAY or stop % _DAY)):
            unit = _DAY
        return f"{start // unit}-{stop // unit} {_UNITS[unit]} {self.statistic} fcst"

    def inventory_text(self, file: GribFile, lead_minutes: int | None = None) -> str:
        """Format columns 3 to 6 of the inventory line, by default for the hour of the file."""
        window = self.window_text(lead_time_of(file, lead_minutes), file.product)
        return f"d={file.init_time:%Y%m%d%H}:{self.element}:{self.level}:{window}:"


_HOUR: Final = 60
_DAY: Final = 1440
_UNITS: Final = {1: "min", _HOUR: "hour", _DAY: "day"}


def _unit_minutes(product: str) -> int:
    """Unit of the times in files of a product [min]."""
    return _HOUR if PRODUCTS[product].step_minutes == _HOUR else 1


_2M: Final = ("2 m above ground", (103, 2))
_10M: Final = ("10 m above ground", (103, 10))
_80M: Final = ("80 m above ground", (103, 80))
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
        Message("hgt_surface", "HGT", "surface", (0, 3, 5), SURFACE),
        Message("temperature_surface", "TMP", "surface", (0, 0, 0), SURFACE),
        _at("temperature_2m", "TMP", (0, 0, 0), _2M),
        _at("potential_temperature_2m", "POT", (0, 0, 2), _2M),
        _at("dewpoint_2m", "DPT", (0, 0, 6), _2M),
        _at("relative_humidity_2m", "RH", (0, 1, 1), _2M),
        Message("u_component_wind_10m", "UGRD", _10M[0], (0, 2, 2), _10M[1], bits=10),
        Message("v_component_wind_10m", "VGRD", _10M[0], (0, 2, 3), _10M[1], bits=10),
        Message("wind_speed_10m_max", "WIND", _10M[0], (0, 2, 1), _10M[1], "max"),
        Message("precipitation_run", "APCP", "surface", (0, 1, 8), SURFACE, "acc", None, decimals=2),
        Message("precipitation_1h", "APCP", "surface", (0, 1, 8), SURFACE, "acc", decimals=3),
        Message("surface_roughness", "SFCR", "surface", (2, 0, 1), SURFACE),
        Message("boundary_layer_cloud_cover", "TCDC", "boundary layer cloud layer", (0, 6, 1), BOUNDARY_LAYER_CLOUD),
        Message("total_cloud_cover", "TCDC", "entire atmosphere", (0, 6, 1), ATMOSPHERE),
        Message("downward_shortwave_flux", "DSWRF", "surface", (0, 4, 7), SURFACE),
        Message("visible_beam_downward_solar_flux", "VBDSF", "surface", (0, 4, 200), SURFACE),
        Message("visible_diffuse_downward_solar_flux", "VDDSF", "surface", (0, 4, 201), SURFACE),
        Message("boundary_layer_height", "HPBL", "surface", (0, 3, 18), SURFACE),
        Message("land_surface", "LAND", "surface", (2, 0, 0), SURFACE),
    )
}
"""Name to message of an hourly file, in the order of a real one (HRRR v4 inventories)."""


def _hourly(*names: str) -> tuple[Message, ...]:
    return tuple(MESSAGES[name] for name in names)


SUBHOURLY_MESSAGES: Final = {
    message.name: message
    for message in (
        *_hourly("composite_reflectivity", "lightning_threat", "wind_gust_surface"),
        *_hourly("u_component_wind_80m", "v_component_wind_80m", "surface_pressure", "hgt_surface", "temperature_2m"),
        _at("specific_humidity_2m", "SPFH", (0, 1, 0), _2M),
        *_hourly("dewpoint_2m", "u_component_wind_10m", "v_component_wind_10m"),
        Message("wind_speed_10m_5min", "WIND", _10M[0], (0, 2, 1), _10M[1], "ave", 5),
        Message("u_component_wind_10m_5min", "UGRD", _10M[0], (0, 2, 2), _10M[1], "ave", 5),
        Message("v_component_wind_10m_5min", "VGRD", _10M[0], (0, 2, 3), _10M[1], "ave", 5),
        Message("downward_shortwave_flux_15min", "DSWRF", "surface", (0, 4, 7), SURFACE, "ave", 15),
        Message("visible_beam_downward_solar_flux_15min", "VBDSF", "surface", (0, 4, 200), SURFACE, "ave", 15),
        Message("precipitation_15min", "APCP", "surface", (0, 1, 8), SURFACE, "acc", 15, decimals=3),
        *_hourly("downward_shortwave_flux", "visible_beam_downward_solar_flux", "visible_diffuse_downward_solar_flux"),
    )
}
"""Name to message of each lead time of a sub-hourly file, in the order of a real one."""

_SINCE: Final = {(each.selector.element, each.selector.level): each.since for each in CATALOG.values()}
"""Element and level to the first init time with such messages, UTC."""

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


def messages_in(product: str) -> dict[str, Message]:
    """Return the messages that files of a product may contain, by name.

    Raises
    ------
    ConfigError
        If the synthetic archive does not have the product.
    """
    found = {"sfc": MESSAGES, "subh": SUBHOURLY_MESSAGES}.get(product)
    if found is None:
        raise ConfigError(f"the synthetic archive has no product {product!r}: use sfc or subh")
    return found


def lead_time_of(file: GribFile, lead_minutes: int | None = None) -> int:
    """Return a lead time of a file, by default the hour that names it [min].

    Raises
    ------
    ConfigError
        If the file does not have the lead time.
    """
    has = lead_times_of(file)
    if lead_minutes is not None and lead_minutes not in has:
        found = ", ".join(map(str, has))
        raise ConfigError(f"{file.label} has no lead time of {lead_minutes} min: it has {found}")
    return has[-1] if lead_minutes is None else lead_minutes


def messages_of(file: GribFile, names: frozenset[str], lead_minutes: int | None = None) -> tuple[Message, ...]:
    """Return those of the named messages that a file contains for a lead time, in the order of the file.

    Parameters
    ----------
    file : GribFile
        The file.
    names : frozenset of str
        Names of messages.
    lead_minutes : int, optional
        Lead time, by default the hour of the file [min].

    Notes
    -----
    As in NOAA's files, lead hour 0 has no hourly accumulation, and at lead hour 1 it equals that of the run and is
    written once.
    """
    lead_minutes, found = lead_time_of(file, lead_minutes), dict[str, Message]()
    for message in messages_in(file.product).values():
        published = file.init_time >= _SINCE.get((message.element, message.level), ARCHIVE_START)
        is_empty_hour = message.name == "precipitation_1h" and lead_minutes == 0
        if message.name in names and published and not is_empty_hour:
            found.setdefault(message.inventory_text(file, lead_minutes), message)
    return tuple(found.values())


def encode_message(message: Message, file: GribFile, window: GridWindow, lead_minutes: int | None = None) -> bytes:
    """Encode one complete GRIB2 message.

    Parameters
    ----------
    message : Message
        Kind of message.
    file : GribFile
        Init time and product.
    window : GridWindow
        Grid cells.
    lead_minutes : int, optional
        Lead time, by default the hour of the file [min].

    Returns
    -------
    bytes
        From ``GRIB`` to ``7777``; decodes to :func:`~hrrr_dask.testing.fields.expected_field`.
    """
    lead_minutes = lead_time_of(file, lead_minutes)
    field = expected_field(message.name, file.init_time, lead_minutes, window)
    head = _head(message, file, window, lead_minutes)
    first = float(field[0, 0])
    constant = _constant_message(message.numbers[0], head, field.size, first if (field == first).all() else 0.0)
    return constant if (field == first).all() else _packed(constant, message, field)


def is_message(encoded: bytes, message: Message, file: GribFile, window: GridWindow, lead_minutes: int) -> bool:
    """Whether an encoded message is of this kind, file, grid and lead time."""
    return encoded[6] == message.numbers[0] and encoded.startswith(_head(message, file, window, lead_minutes), 16)


def _head(message: Message, file: GribFile, window: GridWindow, lead_minutes: int) -> bytes:
    """Encode sections 1, 3 and 4."""
    return _section1(file.init_time) + window.section3() + _section4(message, file, lead_minutes)


def _constant_message(discipline: int, head: bytes, size: int, reference: float) -> bytes:
    """Encode a constant field, with zero bits per value."""
    data = struct.pack(">IBIHfhhBB", 21, 5, size, 0, reference, 0, 0, 0, 0)
    body = head + data + struct.pack(">IBB", 6, 6, 255) + struct.pack(">IB", 5, 7) + b"7777"
    return struct.pack(">4s2xBBQ", b"GRIB", discipline, 2, 16 + len(body)) + body


def _section1(init_time: datetime) -> bytes:
    """Encode section 1: centre kwbc, master tables 2, local tables 1, start of forecast, operational, forecast."""
    time = (init_time.year, init_time.month, init_time.day, init_time.hour, 0, 0)
    return struct.pack(">IBHHBBBHBBBBBBB", 21, 1, 7, 0, 2, 1, 1, *time, 0, 1)


def _section4(message: Message, file: GribFile, lead_minutes: int) -> bytes:
    """Encode section 4 (product definition): templates 4.0 and 4.8, generating process 83, hours or minutes."""
    start, stop = message.interval(lead_minutes)
    unit = _unit_minutes(file.product)
    code = int(unit == _HOUR)  # code table 4.4: 0 is minutes, 1 is hours
    statistical = message.statistic != "instant"
    body = struct.pack(">HH", 0, 8 if statistical else 0)
    body += struct.pack(">BBBBBHBBI", *message.numbers[1:], 2, 0, 83, 0, 0, code, start // unit)
    body += struct.pack(">BBIBBI", message.surface[0], 0, message.surface[1], 255, 0, 0)
    if statistical:
        end = file.init_time + timedelta(minutes=stop)
        body += struct.pack(">HBBBBB", end.year, end.month, end.day, end.hour, end.minute, 0)
        body += struct.pack(">BI", 1, 0)  # one time range, no missing values in it
        process = {"ave": 0, "acc": 1, "max": 2}[message.statistic]
        body += struct.pack(">BBBIBI", process, 2, code, (stop - start) // unit, 255, 0)
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
