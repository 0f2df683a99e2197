"""Does the data section of a message hold as much as its packing says? Read without unpacking it. Pure.

ecCodes and cfgrib do not compare: from a section that is too short they return numbers that were never packed.
Layouts: WMO Manual on Codes I.2, data representation templates 5.0, 5.2 and 5.3, data templates 7.0, 7.2 and 7.3.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError

__all__ = ["check_data_length"]

SIMPLE: Final = 0
COMPLEX: Final = 2
COMPLEX_WITH_DIFFERENCES: Final = 3

_HEADER: Final = struct.Struct(">IB")
_FIRST_SECTION: Final = 16


@dataclass(frozen=True, slots=True)
class _Groups:
    """Octets 20 to 49 of section 5 that say how long section 7 is."""

    reference_bits: int
    count: int
    width_base: int
    width_bits: int
    length_base: int
    length_step: int
    last_length: int
    length_bits: int
    extra_octets: int


def check_data_length(message: bytes) -> None:
    """Compare section 7 with what section 5 needs; other packings than the three named pass.

    Parameters
    ----------
    message : bytes
        A whole GRIB2 message with one field.

    Raises
    ------
    DecodeError
        If the data section is shorter than its packing needs, or the sections cannot be followed.
    """
    try:
        sections = _sections(message)
        needed = _needed_bytes(sections[5], sections[7])
    except (struct.error, IndexError, KeyError) as error:
        raise DecodeError("the message's sections cannot be followed: its bytes are damaged") from error
    found = len(sections[7]) - _HEADER.size
    if found < needed:
        raise DecodeError(f"the data section has {found:,} bytes, its packing needs {needed:,}: the message is damaged")


def _sections(message: bytes) -> dict[int, memoryview]:
    """Number to bytes of each section, headers included."""
    view, start, sections = memoryview(message), _FIRST_SECTION, dict[int, memoryview]()
    while start < len(message) - 4:
        length, number = _HEADER.unpack_from(view, start)
        if length < _HEADER.size:
            raise IndexError(number)
        sections[number] = view[start : start + length]
        start += length
    return sections


def _needed_bytes(section5: memoryview, section7: memoryview) -> int:
    count, template = struct.unpack_from(">IH", section5, 5)
    bits = section5[19] if len(section5) > 19 else 0
    if template in (SIMPLE, COMPLEX, COMPLEX_WITH_DIFFERENCES):
        (reference,) = struct.unpack_from(">f", section5, 11)
        if not math.isfinite(reference):
            raise DecodeError("the reference value of the packing is no number: the message is damaged")
    if template == SIMPLE:
        return _octets(count * bits)
    if template not in (COMPLEX, COMPLEX_WITH_DIFFERENCES) or not count:
        return 0
    groups = _read_groups(section5, template)
    widths_at = groups.extra_octets + _octets(groups.count * groups.reference_bits)
    lengths_at = widths_at + _octets(groups.count * groups.width_bits)
    data_at = lengths_at + _octets(groups.count * groups.length_bits)
    data = section7[_HEADER.size :]
    if data_at > len(data):
        return data_at
    widths = groups.width_base + _unpack(data[widths_at:], groups.count, groups.width_bits)
    lengths = groups.length_base + groups.length_step * _unpack(data[lengths_at:], groups.count, groups.length_bits)
    lengths[-1:] = groups.last_length
    return data_at + _octets(int(widths @ lengths))


def _read_groups(section5: memoryview, template: int) -> _Groups:
    count, width_base, width_bits, length_base, step, last, length_bits = struct.unpack_from(">IBBIBIB", section5, 31)
    extra = 0
    if template == COMPLEX_WITH_DIFFERENCES:
        order, octets = section5[47], section5[48]
        extra = (order + 1) * octets
    return _Groups(section5[19], count, width_base, width_bits, length_base, step, last, length_bits, extra)


def _unpack(data: memoryview, count: int, bits: int) -> NDArray[np.int64]:
    """The first ``count`` unsigned integers of ``bits`` bits each."""
    if not bits:
        return np.zeros(count, dtype=np.int64)
    raw = np.frombuffer(data[: _octets(count * bits)], dtype=np.uint8)
    each = np.unpackbits(raw, count=count * bits).reshape(count, bits)
    return each @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def _octets(bits: int) -> int:
    return -(-bits // 8)
