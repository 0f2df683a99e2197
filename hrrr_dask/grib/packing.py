"""Reads how values are packed: scaling, bitmap and groups, with their byte offsets in the message.

Values are not unpacked here. Layouts: WMO Manual on Codes I.2, FM 92 GRIB edition 2, data representation templates 5.0
(simple), 5.2 (complex) and 5.3 (complex with spatial differencing), data templates 7.0, 7.2 and 7.3, section 6.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import DecodeError, UnsupportedPackingError
from hrrr_dask.grib.sections import NEXT_SECTIONS

__all__ = ["MAX_BITS", "Groups", "Packing", "check_data_length", "check_supported", "is_supported", "read_packing"]

MAX_BITS: Final = 32
"""Largest supported width of a packed value or of a group's descriptor [bit]."""

_SMALLEST_NORMAL: Final = 2.0**-126  # of single precision

SIMPLE: Final = 0
COMPLEX: Final = 2
COMPLEX_WITH_DIFFERENCES: Final = 3
IEEE: Final = 4
"""Not unpacked by this package, but the length of section 7 is checked."""
TEMPLATES: Final = {SIMPLE: 21, COMPLEX: 47, COMPLEX_WITH_DIFFERENCES: 49}
"""Data representation template to the length of section 5 [B]."""

_HEADER: Final = struct.Struct(">IB")  # octets 1-5 of a section: length, number
_FIRST_SECTION: Final = 16
_END_BYTES: Final = 4  # the end marker 7777
_SCALING: Final = struct.Struct(">IHfHHB")  # section 5, octets 6-20: values, template, reference, E, D, bits
_GROUPS: Final = struct.Struct(">BIIIBBIBIB")  # section 5, octets 23-47, from missing value management on
_DIFFERENCES: Final = struct.Struct(">BB")  # section 5, octets 48-49: order, octets of each extra descriptor

_NO_BITMAP: Final = 255
_SAME_BITMAP: Final = 254  # that of the previous field in the same message
_OWN_BITMAP: Final = 0

_DAMAGED: Final = "the message is damaged, read it from another source"


@dataclass(frozen=True, slots=True)
class Groups:
    """Groups of neighbouring values with a common reference and width (templates 5.2 and 5.3).

    Offsets are relative to the start of the message.
    """

    count: int
    """Number of groups."""
    width_base: int
    """Reference of the widths, added to each [bit]."""
    width_bits: int
    """Width of the packed widths [bit]."""
    length_base: int
    """Reference of the lengths, added to each [value]."""
    length_step: int
    """Increment of the lengths: a factor of each packed length [value]."""
    last_length: int
    """Length of the last group [value]."""
    length_bits: int
    """Width of the packed lengths [bit]."""
    missing_management: int
    """Code table 5.5: number of largest values of a group that mean missing."""
    order: int
    """Order of spatial differencing; 0 for none."""
    first: int
    """First value before differencing; 0 without differencing."""
    second: int
    """Second value before differencing, for order 2; otherwise equal to ``first``."""
    bias: int
    """Smallest difference, added to each."""
    references_at: int
    """Offset of the groups' references [B]."""
    widths_at: int
    """Offset of the widths [B]."""
    lengths_at: int
    """Offset of the lengths [B]."""


@dataclass(frozen=True, slots=True)
class Packing:
    """Packing of a field: a value is ``(X * 2**binary_scale + reference) * 10**-decimal_scale``."""

    template: int
    """Data representation template 5.N: 0, 2 or 3."""
    n_cells: int
    """Number of grid cells."""
    n_values: int
    """Number of packed values; with a bitmap fewer than cells."""
    reference: float
    """R [unit of the message, before the decimal scale]."""
    binary_scale: int
    """E."""
    decimal_scale: int
    """D."""
    bits: int
    """Width of each packed value, or of each group's reference [bit]."""
    bitmap_at: int | None
    """Offset of the bitmap in the message; None if every cell has a value [B]."""
    values_at: int
    """Offset of the packed values; with groups, of those of the first group [B]."""
    stop: int
    """Offset after the last byte of section 7 [B]."""
    groups: Groups | None
    """None for simple packing, and for complex packing without groups."""


def read_packing(message: bytes | memoryview, field: int = 0) -> Packing:
    """Read the packing of a field.

    Parameters
    ----------
    message : bytes or memoryview
        A GRIB2 message, or a prefix of it that extends into section 7 of the field.
    field : int
        Number of the field, from 0; most messages have one.

    Raises
    ------
    UnsupportedPackingError
        If the template is not one of the three.
    DecodeError
        If the sections do not form a chain, are inconsistent or truncated, or the bitmap is predefined by the
        centre.
    """
    try:
        return _SectionReader(message).read(field)
    except (struct.error, IndexError) as error:
        raise DecodeError(f"the sections of the message do not form a chain: {_DAMAGED}") from error


class _SectionReader:
    """Reads the sections of a message in order, up to section 7 of a field."""

    def __init__(self, message: bytes | memoryview) -> None:
        self._view = memoryview(message)
        (length,) = struct.unpack_from(">Q", self._view, 8)
        self._end = length - _END_BYTES
        self._at: dict[int, int] = {}
        self._bitmap: int | None = None
        self._bitmap_octets = 0

    def read(self, field: int) -> Packing:
        start, previous, fields = _FIRST_SECTION, 0, 0
        while start < self._end:
            length, number = _HEADER.unpack_from(self._view, start)
            if number not in NEXT_SECTIONS[previous] or length < _HEADER.size or start + length > self._end:
                raise IndexError(start)
            self._at[number] = start
            if number == 6:
                self._read_bitmap(start, length)
            elif number == 7:
                if fields == field:
                    return self._read_packing(start, length)
                fields += 1
            start, previous = start + length, number
        raise DecodeError(f"wanted field {field} of the message, found {fields} fields: {_DAMAGED}")

    def _read_bitmap(self, start: int, length: int) -> None:
        indicator = self._view[start + 5]
        if indicator == _NO_BITMAP:
            self._bitmap = None
        elif indicator == _OWN_BITMAP:
            self._bitmap, self._bitmap_octets = start + 6, length - 6
        elif indicator != _SAME_BITMAP:
            raise DecodeError(f"bitmap {indicator} is predefined by the centre, not in the message: {_DAMAGED}")

    def _start_of(self, number: int) -> int:
        if number not in self._at:
            raise DecodeError(f"wanted section {number} before section 7 of the message, found none: {_DAMAGED}")
        return self._at[number]

    def _check_section5_length(self, section5: int, template: int) -> None:
        (length,) = struct.unpack_from(">I", self._view, section5)
        if length < TEMPLATES[template]:
            raise DecodeError(
                f"section 5 has {length} bytes, template 5.{template} needs {TEMPLATES[template]}: {_DAMAGED}"
            )

    def _read_packing(self, start: int, length: int) -> Packing:
        (n_cells,) = struct.unpack_from(">I", self._view, self._start_of(3) + 6)
        if self._bitmap is not None and self._bitmap_octets < _octets(n_cells):  # of an earlier field
            raise DecodeError(f"the bitmap has {self._bitmap_octets:,} bytes for {n_cells:,} cells: {_DAMAGED}")
        section5 = self._start_of(5)
        n_values, template, reference, binary, decimal, bits = _SCALING.unpack_from(self._view, section5 + 5)
        if template == IEEE:
            bits = 16 << self._view[section5 + 11]  # octet 12, code table 5.7: 1 for 32 bits, 2 for 64, 3 for 128
            if _octets(n_values * bits) > length - _HEADER.size:
                raise _too_short(length - _HEADER.size, _octets(n_values * bits))
        if template not in TEMPLATES:
            raise UnsupportedPackingError(f"data representation template 5.{template}")
        self._check_section5_length(section5, template)
        if not math.isfinite(reference):
            raise DecodeError(f"the reference value of the packing is not finite: {_DAMAGED}")
        if n_values != n_cells if self._bitmap is None else n_values > n_cells:
            raise DecodeError(f"the grid has {n_cells:,} cells, section 5 has {n_values:,} values: {_DAMAGED}")
        data, stop, groups = start + _HEADER.size, start + length, None
        if template == SIMPLE:
            if -(-n_values * bits // 8) > stop - data:
                raise _too_short(stop - data, _octets(n_values * bits))
        else:
            groups, data = self._read_groups(section5, template, bits, data, stop)
            if groups is not None and not groups.length_bits and groups.count > max(n_values, 1):
                # Descriptors of 0 bits take no bytes, so nothing else limits their number.
                raise DecodeError(f"{groups.count:,} groups for {n_values:,} values: {_DAMAGED}")
        scaling = (reference, _signed(binary), _signed(decimal), bits)
        return Packing(template, n_cells, n_values, *scaling, self._bitmap, data, stop, groups)

    def _read_groups(self, section5: int, template: int, bits: int, data: int, stop: int) -> tuple[Groups | None, int]:
        """The groups, and the offset of their values."""
        management, _, _, count, *described = _GROUPS.unpack_from(self._view, section5 + 22)
        if not count:
            return None, data
        width_base, width_bits, length_base, length_step, last_length, length_bits = described
        order = first = second = bias = octets = 0
        if template == COMPLEX_WITH_DIFFERENCES:
            order, octets = _DIFFERENCES.unpack_from(self._view, section5 + 47)
            if order not in (1, 2):  # code table 5.6
                raise DecodeError(f"spatial differencing of order {order}: {_DAMAGED}")
            extras = [self._view[data + k * octets : data + (k + 1) * octets] for k in range(order + 1)]
            first, second = (int.from_bytes(extras[k], "big") for k in (0, order - 1))
            bias = _signed(int.from_bytes(extras[order], "big"), 8 * octets) if octets else 0
        references_at = data + (order + 1 if order else 0) * octets
        widths_at = references_at + _octets(count * bits)
        lengths_at = widths_at + _octets(count * width_bits)
        values_at = lengths_at + _octets(count * length_bits)
        if values_at > stop:
            raise _too_short(stop - data, values_at - data)
        groups = Groups(
            count=count,
            width_base=width_base,
            width_bits=width_bits,
            length_base=length_base,
            length_step=length_step,
            last_length=last_length,
            length_bits=length_bits,
            missing_management=management,
            order=order,
            first=first,
            second=second,
            bias=bias,
            references_at=references_at,
            widths_at=widths_at,
            lengths_at=lengths_at,
        )
        return groups, values_at


def is_supported(message: bytes | memoryview) -> bool:
    """Whether the packing of the first field is supported; also True if it is damaged, so that decoding reports why."""
    try:
        check_supported(read_packing(message))
    except UnsupportedPackingError:
        return False
    except DecodeError:
        return True
    return True


def check_supported(packing: Packing) -> None:
    """Refuse packings that NOAA never uses and that ecCodes interprets in its own way.

    Raises
    ------
    UnsupportedPackingError
        If the packing is such a one. The text reports why.
    """
    groups = packing.groups
    bits = packing.bits if groups is None else max(packing.bits, groups.width_bits, groups.length_bits)
    if bits > MAX_BITS:
        raise UnsupportedPackingError(f"{bits} bits for one number")
    if 0 < abs(packing.reference) < _SMALLEST_NORMAL:
        raise UnsupportedPackingError(f"a subnormal reference, {packing.reference}, which ecCodes reads differently")
    if groups is not None and groups.missing_management > 2:  # code table 5.5 has 0 to 2
        raise UnsupportedPackingError(f"missing value management {groups.missing_management}")
    if groups is not None and not all(-(2**63) <= part < 2**63 for part in (groups.first, groups.second, groups.bias)):
        raise UnsupportedPackingError("spatial differencing with descriptors beyond 64 bits")


def check_data_length(message: bytes | memoryview) -> None:
    """Check that section 7 is as long as section 5 requires, for the three templates and IEEE numbers.

    ecCodes and cfgrib do not check this: if the section is too short, they return numbers that were never packed.

    Parameters
    ----------
    message : bytes or memoryview
        A complete GRIB2 message with one field.

    Raises
    ------
    DecodeError
        If section 7 is shorter than its packing requires, or the sections do not form a chain.
    """
    try:
        packing = read_packing(message)
    except UnsupportedPackingError:
        return
    if len(message) < packing.stop:
        raise DecodeError(f"section 7 ends at byte {packing.stop:,}, the message at byte {len(message):,}: {_DAMAGED}")
    if packing.groups is not None:
        needed = _group_octets(memoryview(message), packing.groups, packing)
        if packing.values_at + needed > packing.stop:
            raise _too_short(packing.stop - packing.values_at, needed)


def _group_octets(view: memoryview, groups: Groups, packing: Packing) -> int:
    """Number of bytes of the packed values of all groups."""
    widths = groups.width_base + _unpack(view[groups.widths_at :], groups.count, groups.width_bits)
    surplus = _unpack(view[groups.lengths_at : packing.values_at], groups.count, groups.length_bits)
    lengths = groups.length_base + groups.length_step * surplus
    lengths[-1] = groups.last_length
    return _octets(int(widths @ lengths))


def _unpack(data: memoryview, count: int, bits: int) -> NDArray[np.int64]:
    """Unpack the first ``count`` unsigned integers of ``bits`` bits each."""
    if not bits:
        return np.zeros(count, dtype=np.int64)
    raw = np.frombuffer(data[: _octets(count * bits)], dtype=np.uint8)
    each = np.unpackbits(raw, count=count * bits).reshape(count, bits)
    return each @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def _too_short(found: int, needed: int) -> DecodeError:
    return DecodeError(f"the data section has {found:,} bytes, its packing needs {needed:,}: {_DAMAGED}")


def _signed(raw: int, bits: int = 16) -> int:
    """Decode a GRIB2 integer: a sign bit and a magnitude."""
    magnitude = raw & ~(1 << (bits - 1))
    return magnitude if magnitude == raw else -magnitude


def _octets(bits: int) -> int:
    return -(-bits // 8)
