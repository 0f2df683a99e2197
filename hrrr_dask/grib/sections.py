"""Reads the header sections of a GRIB2 message without decoding it, and checks that a message is complete.

Sections 0 (indicator), 1 (identification), 3 (grid) and 4 (product) identify a message; together they are a few hundred
bytes long. Layouts and code tables: WMO Manual on Codes I.2, FM 92 GRIB edition 2, where octets are numbered from 1 in
every section. Input is not trusted: arbitrary bytes raise only errors of this package.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hrrr_dask.catalog.elements import format_element
from hrrr_dask.catalog.levels import format_level
from hrrr_dask.errors import DecodeError, TruncatedError, WrongIdentityError
from hrrr_dask.records import Window, WindowKind

__all__ = ["END_MARKER", "MAGIC", "NEXT_SECTIONS", "MessageHeader", "check_complete", "check_prefix", "read_header"]

MAGIC: Final = b"GRIB"
"""First four bytes of a message."""
END_MARKER: Final = b"7777"
"""Last four bytes of a message."""

# Fixed parts of the sections; octets are numbered from 1.
_INDICATOR: Final = struct.Struct(">4sHBBQ")  # section 0: magic, reserved, discipline, edition, length
_SECTION: Final = struct.Struct(">IB")  # octets 1-5 of every other section: length, number
_IDENTIFICATION: Final = struct.Struct(">HHBBBHBBBBB")  # section 1, 6-19: centre, …, local tables, …, year … second
_PARAMETER: Final = struct.Struct(">HHBB")  # section 4, 6-11: number of coordinates, template, category, number
_FORECAST: Final = struct.Struct(">BI")  # templates 4.0 to 4.15, 18-22: unit of time, forecast time
_SURFACE: Final = struct.Struct(">BBI")  # the same, 23-28 and 29-34: type, scale factor, scaled value
_INTERVAL: Final = struct.Struct(">BIBBBI")  # template 4.8, 42-53: ranges, …, process, …, unit of time, length

NEXT_SECTIONS: Final = {0: (1,), 1: (2, 3), 2: (3,), 3: (4,), 4: (5,), 5: (6,), 6: (7,), 7: (2, 3, 4)}
"""Section to the sections that may follow it."""
_LAST_HORIZONTAL: Final = 15
"""Templates 4.0 to 4.15 have the same first octets, including a level."""
_INSTANT: Final = 0
_STATISTIC: Final = 8

_SECONDS: Final = {0: 60, 1: 3600, 2: 86400, 10: 3 * 3600, 11: 6 * 3600, 12: 12 * 3600, 13: 1}
"""Code table 4.4: unit of time to seconds."""
_KINDS: Final[dict[int, WindowKind]] = {0: "ave", 1: "acc", 2: "max", 3: "min"}
"""Code table 4.10: statistical process."""

_DAMAGED: Final = "the message is damaged, read it from another source"


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """Identity of a message, from its header sections."""

    length: int
    """Length of the whole message, from section 0 [B]."""
    discipline: int
    """Code table 0.0."""
    category: int
    """Code table 4.1."""
    number: int
    """Code table 4.2."""
    element: str
    """Abbreviation or raw notation, as returned by :func:`hrrr_dask.catalog.elements.canonical_element`."""
    reference_time: datetime
    """The run's init time, UTC."""
    level: str
    """Level as formatted by wgrib2, in column 5 of an inventory."""
    window: Window | None
    """Time window; None if the message is not a plain forecast (an ensemble member, a probability, …)."""
    grid_section: bytes
    """Section 3 including its 5-byte header: equal bytes mean equal grids."""
    centre: int
    """Originating centre, common code table C-11."""


def read_header(data: bytes | memoryview) -> MessageHeader:
    """Read the identity of a message from its first bytes.

    Parameters
    ----------
    data : bytes or memoryview
        The message from ``GRIB`` on, at least up to the end of section 4.

    Returns
    -------
    MessageHeader
        Identity of the first field.

    Raises
    ------
    TruncatedError
        If the bytes end before section 4 does: more bytes are needed.
    WrongIdentityError
        If this is not a GRIB2 message, or a section is invalid.
    """
    discipline, length = _read_indicator(data)
    sections = _sections_to_product(data, length)
    centre, _, _, local_table, _, *moment = _fields(_IDENTIFICATION, sections[1], 6)
    coordinates, template, category, number = _fields(_PARAMETER, sections[4], 6)
    if coordinates:  # of hybrid levels, after the template: HRRR has none, for any level
        raise WrongIdentityError(f"wanted no vertical coordinates in section 4, found {coordinates}: {_DAMAGED}")
    try:
        reference_time = datetime(*moment)
    except ValueError as error:
        raise WrongIdentityError(
            f"wanted the init time in section 1, found the numbers {moment}: {_DAMAGED}"
        ) from error
    return MessageHeader(
        length=length,
        discipline=discipline,
        category=category,
        number=number,
        element=format_element(discipline, category, number, local_table, centre),
        reference_time=reference_time,
        level=_read_level(sections[4], template),
        window=_read_window(sections[4], template),
        grid_section=sections[3],
        centre=centre,
    )


def check_complete(message: bytes | memoryview) -> None:
    """Check that bytes are one complete message with one field, from ``GRIB`` to ``7777``.

    Raises
    ------
    TruncatedError
        If the message is truncated.
    WrongIdentityError
        If it is not a GRIB2 message, has bytes after its end, or its sections do not form a chain up to ``7777``.
    DecodeError
        If it has several fields, which HRRR's messages never have.
    """
    _, length = _read_indicator(message)
    if length > len(message):
        raise TruncatedError(
            f"wanted a message of {length:,} bytes, found {len(message):,}: read it again or from another source"
        )
    if length < len(message):
        raise WrongIdentityError(
            f"wanted one message of {length:,} bytes, found {len(message):,}: "
            "the inventory belongs to another file, walk the file itself instead"
        )
    if message[-len(END_MARKER) :] != END_MARKER:
        raise TruncatedError(
            f"wanted 7777 at the end of the message, found {bytes(message[-len(END_MARKER) :])!r}: "
            "read it again or from another source"
        )
    start, previous, fields = _INDICATOR.size, 0, 0
    while start < length - len(END_MARKER):
        previous, start = _next_section(message, start, length, previous)
        fields += previous == 7
    if fields > 1:
        raise DecodeError(f"wanted one field in the message, found {fields}: such messages are not supported")
    if previous != 7:
        raise WrongIdentityError(f"wanted section 7 before the message's end, found section {previous}: {_DAMAGED}")


def check_prefix(message: bytes | memoryview, length: int) -> None:
    """Check a prefix of a message like :func:`check_complete`, except for the end marker and a second field.

    Parameters
    ----------
    message : bytes or memoryview
        Bytes from ``GRIB`` on that extend into section 7.
    length : int
        Length of the whole message, from the position of the next one [B].

    Raises
    ------
    TruncatedError
        If the prefix does not reach section 7.
    WrongIdentityError
        If it is not a GRIB2 message, has another length, or its sections do not form a chain up to that length.
    """
    _, found = _read_indicator(message)
    if found != length:
        raise WrongIdentityError(
            f"wanted one message of {length:,} bytes, found one with a length of {found:,}: "
            "the inventory belongs to another file, walk the file itself instead"
        )
    start, previous = _INDICATOR.size, 0
    while previous != 6:
        previous, start = _next_section(message, start, length, previous)
    if start + _SECTION.size > len(message):
        raise TruncatedError(f"wanted section 7 after byte {start}, found {len(message)} bytes: read more of them")
    size, number = _SECTION.unpack_from(message, start)
    if (number, start + size) != (7, length - len(END_MARKER)):
        raise WrongIdentityError(
            f"wanted section 7 from byte {start} to the end of a message of {length:,} bytes, "
            f"found section {number} of {size:,} bytes: {_DAMAGED}"
        )


def _read_indicator(data: bytes | memoryview) -> tuple[int, int]:
    """Discipline and message length, from section 0."""
    if not MAGIC.startswith(bytes(data[: len(MAGIC)])):
        raise WrongIdentityError(
            f"wanted a message that starts with GRIB, found {bytes(data[:8])!r}: "
            "the byte range or the object is wrong, walk the file itself instead"
        )
    if len(data) < _INDICATOR.size:
        raise TruncatedError(f"wanted the {_INDICATOR.size} bytes of section 0, found {len(data)}: read more of them")
    _, _, discipline, edition, length = _INDICATOR.unpack_from(data)
    if edition != 2:
        raise WrongIdentityError(f"wanted GRIB edition 2, found edition {edition}: this is not a message of HRRR")
    if length < _INDICATOR.size + len(END_MARKER):
        raise WrongIdentityError(f"wanted the message's length in section 0, found {length}: {_DAMAGED}")
    return discipline, length


def _sections_to_product(data: bytes | memoryview, length: int) -> dict[int, bytes]:
    """Section number, 1 to 4, to its bytes."""
    sections: dict[int, bytes] = {}
    start, number = _INDICATOR.size, 0
    while number != 4:
        number, stop = _next_section(data, start, length, number)
        sections[number] = bytes(data[start:stop])
        start = stop
    return sections


def _next_section(data: bytes | memoryview, start: int, length: int, previous: int) -> tuple[int, int]:
    """Number and stop of the section at ``start`` in a message of ``length`` bytes."""
    limit = length - len(END_MARKER)
    wanted = NEXT_SECTIONS[previous]
    if start + _SECTION.size > min(limit, len(data)):
        size, number = _SECTION.size, wanted[0]
    else:
        size, number = _SECTION.unpack_from(data, start)
    if number not in wanted or size < _SECTION.size or start + size > limit:
        raise WrongIdentityError(
            f"wanted section {' or '.join(map(str, wanted))} at byte {start} of a message of {length:,} bytes, "
            f"found section {number} of {size:,} bytes: {_DAMAGED}"
        )
    if start + size > len(data):
        raise TruncatedError(
            f"wanted section {number} up to byte {start + size}, found {len(data)} bytes: read more of them"
        )
    return number, start + size


def _fields(layout: struct.Struct, section: bytes, octet: int) -> tuple[Any, ...]:
    """Fields of a section from an octet on, numbered from 1."""
    if len(section) < octet - 1 + layout.size:
        raise WrongIdentityError(
            f"wanted {octet - 1 + layout.size} bytes or more in section {section[4]}, found {len(section)}: {_DAMAGED}"
        )
    return layout.unpack_from(section, octet - 1)


def _read_level(product: bytes, template: int) -> str:
    if template > _LAST_HORIZONTAL:
        return f"product template 4.{template}"
    first, second = (
        (kind, _signed(scale, 8), _signed(value, 32))
        for kind, scale, value in (_fields(_SURFACE, product, octet) for octet in (23, 29))
    )
    return format_level(*first, *second)


def _signed(raw: int, bits: int) -> int | None:
    """Decode a GRIB2 integer: a sign bit and a magnitude; None if all bits are set, which means missing."""
    if raw == (1 << bits) - 1:
        return None
    magnitude = raw & ~(1 << (bits - 1))
    return magnitude if magnitude == raw else -magnitude


def _read_window(product: bytes, template: int) -> Window | None:
    if template not in (_INSTANT, _STATISTIC):
        return None
    unit, forecast_time = _fields(_FORECAST, product, 18)
    start = _minutes(forecast_time, unit)
    if start is None:
        return None
    if template == _INSTANT:
        return Window("instant", start, start)
    ranges, _, process, _, range_unit, range_length = _fields(_INTERVAL, product, 42)
    duration = _minutes(range_length, range_unit)
    if ranges != 1 or process not in _KINDS or duration is None:
        return None
    return Window(_KINDS[process], start, start + duration)


def _minutes(raw: int, unit: int) -> int | None:
    """Duration [min]; None if negative, missing, in an unknown unit or not a whole number of minutes."""
    count = _signed(raw, 32)
    if count is None or count < 0 or unit not in _SECONDS:
        return None
    minutes, rest = divmod(count * _SECONDS[unit], 60)
    return None if rest else minutes
