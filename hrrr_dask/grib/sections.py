"""The first sections of a GRIB2 message, read without decoding it.

Sections 0 (indicator), 1 (identification), 3 (grid) and 4 (product) say what a message is; together they fit in a few
hundred bytes. Layouts and code tables: WMO Manual on Codes I.2, FM 92 GRIB edition 2, whose octets count from 1 in
every section. Bytes from outside are never trusted: whatever they are, only this package's errors come out.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hrrr_dask.catalog.elements import spell_element
from hrrr_dask.catalog.levels import spell_level
from hrrr_dask.errors import DecodeError, TruncatedError, WrongIdentityError
from hrrr_dask.records import Window, WindowKind

__all__ = ["FOLLOWERS", "MAGIC", "MessageHeader", "check_beginning", "check_whole", "read_header"]

MAGIC: Final = b"GRIB"
"""First four bytes of a message."""
END: Final = b"7777"
"""Last four bytes of a message."""

# Fixed parts of the sections; octets count from 1.
_INDICATOR: Final = struct.Struct(">4sHBBQ")  # section 0: magic, reserved, discipline, edition, length
_SECTION: Final = struct.Struct(">IB")  # octets 1-5 of every other section: length, number
_IDENTIFICATION: Final = struct.Struct(">HHBBBHBBBBB")  # section 1, 6-19: centre, …, local tables, …, year … second
_PARAMETER: Final = struct.Struct(">HHBB")  # section 4, 6-11: number of coordinates, template, category, number
_FORECAST: Final = struct.Struct(">BI")  # templates 4.0 to 4.15, 18-22: unit of time, forecast time
_SURFACE: Final = struct.Struct(">BBI")  # the same, 23-28 and 29-34: type, scale factor, scaled value
_INTERVAL: Final = struct.Struct(">BIBBBI")  # template 4.8, 42-53: ranges, …, process, …, unit of time, length

FOLLOWERS: Final = {0: (1,), 1: (2, 3), 2: (3,), 3: (4,), 4: (5,), 5: (6,), 6: (7,), 7: (2, 3, 4)}
"""Section to those that may come next."""
_LAST_HORIZONTAL: Final = 15
"""Templates 4.0 to 4.15 begin alike and have a level."""
_INSTANT: Final = 0
_STATISTIC: Final = 8

_SECONDS: Final = {0: 60, 1: 3600, 2: 86400, 10: 3 * 3600, 11: 6 * 3600, 12: 12 * 3600, 13: 1}
"""Code table 4.4: unit of time in seconds."""
_KINDS: Final[dict[int, WindowKind]] = {0: "ave", 1: "acc", 2: "max", 3: "min"}
"""Code table 4.10: statistical process."""

_DAMAGED: Final = "the message is damaged, read it from another source"


@dataclass(frozen=True, slots=True)
class MessageHeader:
    """What a message says about itself."""

    length: int
    """Of the whole message, from section 0 [B]."""
    discipline: int
    """Code table 0.0."""
    category: int
    """Code table 4.1."""
    number: int
    """Code table 4.2."""
    element: str
    """Abbreviation, or raw spelling, as :func:`hrrr_dask.catalog.elements.canonical_element` gives it."""
    reference_time: datetime
    """The run's init time, UTC."""
    level: str
    """In wgrib2's words, as in column 5 of an inventory."""
    window: Window | None
    """The time window; None when the message is no plain forecast (an ensemble member, a probability, …)."""
    grid_section: bytes
    """Section 3 with its 5-byte beginning: the same bytes, the same grid."""
    centre: int
    """Originating centre, common code table C-11."""


def read_header(data: bytes | memoryview) -> MessageHeader:
    """Read what a message is from its first bytes.

    Parameters
    ----------
    data : bytes or memoryview
        The message from its ``GRIB`` on, at least to the end of section 4.

    Returns
    -------
    MessageHeader
        Of the message's first field.

    Raises
    ------
    TruncatedError
        If the bytes end before section 4 does: give more of them.
    WrongIdentityError
        If this is no GRIB2 message, or a section of it makes no sense.
    """
    discipline, length = _read_indicator(data)
    sections = _sections_to_product(data, length)
    centre, _, _, local_table, _, *moment = _fields(_IDENTIFICATION, sections[1], 6)
    coordinates, template, category, number = _fields(_PARAMETER, sections[4], 6)
    if coordinates:  # of hybrid levels, behind the template: HRRR's messages give none, whatever the level
        raise WrongIdentityError(f"wanted no vertical coordinates in section 4, found {coordinates}: {_DAMAGED}")
    try:
        reference_time = datetime(*moment)
    except ValueError as error:
        raise WrongIdentityError(
            f"wanted the run's init time in section 1, found the numbers {moment}: {_DAMAGED}"
        ) from error
    return MessageHeader(
        length=length,
        discipline=discipline,
        category=category,
        number=number,
        element=spell_element(discipline, category, number, local_table, centre),
        reference_time=reference_time,
        level=_level(sections[4], template),
        window=_window(sections[4], template),
        grid_section=sections[3],
        centre=centre,
    )


def check_whole(message: bytes | memoryview) -> None:
    """Check that some bytes are one message with one field, from ``GRIB`` to ``7777``.

    Raises
    ------
    TruncatedError
        If the message ends too early.
    WrongIdentityError
        If it is no GRIB2 message, has bytes after its end, or its sections do not chain to ``7777``.
    DecodeError
        If it holds several fields, which HRRR's messages never do.
    """
    _, length = _read_indicator(message)
    if length > len(message):
        raise TruncatedError(
            f"wanted a message of {length:,} bytes, found {len(message):,}: read it again or from another source"
        )
    if length < len(message):
        raise WrongIdentityError(
            f"wanted one message of {length:,} bytes, found {len(message):,}: "
            "the inventory is of another file, walk the file itself instead"
        )
    if message[-len(END) :] != END:
        raise TruncatedError(
            f"wanted 7777 at the end of the message, found {bytes(message[-len(END) :])!r}: "
            "read it again or from another source"
        )
    start, previous, fields = _INDICATOR.size, 0, 0
    while start < length - len(END):
        previous, start = _next_section(message, start, length, previous)
        fields += previous == 7
    if fields > 1:
        raise DecodeError(f"wanted one field in the message, found {fields}: such messages are not supported")
    if previous != 7:
        raise WrongIdentityError(f"wanted section 7 before the message's end, found section {previous}: {_DAMAGED}")


def check_beginning(message: bytes | memoryview, length: int) -> None:
    """Check the beginning of a message as :func:`check_whole` checks a whole one, as far as that can be.

    What it cannot see is the end mark, and whether there is a second field.

    Parameters
    ----------
    message : bytes or memoryview
        From ``GRIB`` to somewhere in section 7.
    length : int
        Of the whole message, as the next one's place has it [B].

    Raises
    ------
    TruncatedError
        If section 7 does not begin in it.
    WrongIdentityError
        If it is no GRIB2 message, of another length, or its sections do not chain to the end of that length.
    """
    _, said = _read_indicator(message)
    if said != length:
        raise WrongIdentityError(
            f"wanted one message of {length:,} bytes, found one that says {said:,}: "
            "the inventory is of another file, walk the file itself instead"
        )
    start, previous = _INDICATOR.size, 0
    while previous != 6:
        previous, start = _next_section(message, start, length, previous)
    if start + _SECTION.size > len(message):
        raise TruncatedError(f"wanted section 7 after byte {start}, found {len(message)} bytes: read more of them")
    size, number = _SECTION.unpack_from(message, start)
    if (number, start + size) != (7, length - len(END)):
        raise WrongIdentityError(
            f"wanted section 7 from byte {start} to the end of a message of {length:,} bytes, "
            f"found section {number} of {size:,} bytes: {_DAMAGED}"
        )


def _read_indicator(data: bytes | memoryview) -> tuple[int, int]:
    """Discipline, and length of the message, from section 0."""
    begin = bytes(data[: len(MAGIC)])
    if not MAGIC.startswith(begin):
        raise WrongIdentityError(
            f"wanted a message that begins with GRIB, found {bytes(data[:8])!r}: "
            "the byte range or the object is not what it should be, walk the file itself instead"
        )
    if len(data) < _INDICATOR.size:
        raise TruncatedError(f"wanted the {_INDICATOR.size} bytes of section 0, found {len(data)}: read more of them")
    _, _, discipline, edition, length = _INDICATOR.unpack_from(data)
    if edition != 2:
        raise WrongIdentityError(f"wanted GRIB edition 2, found edition {edition}: this is not a message of HRRR's")
    if length < _INDICATOR.size + len(END):
        raise WrongIdentityError(f"wanted the message's length in section 0, found {length}: {_DAMAGED}")
    return discipline, length


def _sections_to_product(data: bytes | memoryview, length: int) -> dict[int, bytes]:
    """Sections 1 to 4 by number."""
    sections: dict[int, bytes] = {}
    start, number = _INDICATOR.size, 0
    while number != 4:
        number, stop = _next_section(data, start, length, number)
        sections[number] = bytes(data[start:stop])
        start = stop
    return sections


def _next_section(data: bytes | memoryview, start: int, length: int, previous: int) -> tuple[int, int]:
    """Number and stop of the section that starts at ``start`` of a message of ``length`` bytes."""
    limit = length - len(END)
    wanted = FOLLOWERS[previous]
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
    """The fields of a section from an octet on, which counts from 1."""
    if len(section) < octet - 1 + layout.size:
        raise WrongIdentityError(
            f"wanted {octet - 1 + layout.size} bytes or more in section {section[4]}, found {len(section)}: {_DAMAGED}"
        )
    return layout.unpack_from(section, octet - 1)


def _level(product: bytes, template: int) -> str:
    if template > _LAST_HORIZONTAL:
        return f"product template 4.{template}"
    first, second = (
        (kind, _signed(scale, 8), _signed(value, 32))
        for kind, scale, value in (_fields(_SURFACE, product, octet) for octet in (23, 29))
    )
    return spell_level(*first, *second)


def _signed(raw: int, bits: int) -> int | None:
    """A GRIB integer: the first bit is the sign, all bits set is missing."""
    if raw == (1 << bits) - 1:
        return None
    magnitude = raw & ~(1 << (bits - 1))
    return magnitude if magnitude == raw else -magnitude


def _window(product: bytes, template: int) -> Window | None:
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
    """A stretch of time [min]; None when negative, missing, in an unknown unit or no whole number of minutes."""
    count = _signed(raw, 32)
    if count is None or count < 0 or unit not in _SECONDS:
        return None
    minutes, rest = divmod(count * _SECONDS[unit], 60)
    return None if rest else minutes
