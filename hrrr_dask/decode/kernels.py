"""Compiled kernels that unpack only the wanted cells from the packed bytes of a GRIB2 message, in one pass.

With second-order differencing a value depends on all values before it, so every bit must be read. But a group without
a wanted cell contributes only two sums: the increments of the first difference and of the value.

Every kernel checks bounds before it reads. ``size`` is the number of bytes of the message that are available. A word
may be loaded at any byte before the packed values; a short message is padded for that. Kernels return the number of
filled cells, or a negative status. Integers wrap at 64 bits, as in ecCodes. Values are computed in double precision in
the order of operations of ecCodes, and rounded once to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import int64, njit, types, uint64

from hrrr_dask.decode.bits import CHECKED, MARGIN_VALUES, load_word, sums_7bit, sums_14bit, sums_28bit

__all__ = [
    "DAMAGED_GROUP",
    "TRUNCATED",
    "WRONG_LENGTHS",
    "bitmap_ranks",
    "decode_dense",
    "decode_simple",
    "decode_sparse",
    "stop_byte",
]

WRONG_LENGTHS: Final = -1
"""The lengths of the groups do not add up to the number of values in section 5."""
TRUNCATED: Final = -2
"""The available bytes end before the last wanted cell, but the section does not."""
DAMAGED_GROUP: Final = -3
"""This and lower: group ``-3 - status`` is wider than 32 bits, too long, or extends past the end of its section."""

_ONE, _THREE, _SEVEN, _LAST = (np.uint64(number) for number in (1, 3, 7, 63))
_NARROW, _MIDDLE, _WIDE, _WIDEST, _MARGIN = (np.uint64(number) for number in (7, 14, 28, 32, MARGIN_VALUES))

_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
_CELLS: Final = types.Array(types.int64, 1, "C", readonly=True)
_RANKS: Final = types.Array(types.int64, 1, "C")
_VALUES: Final = types.Array(types.float32, 1, "C")
_GROUPS: Final = types.UniTuple(types.int64, 20)
_SCALING: Final = types.UniTuple(types.float64, 3)


def _compiled(*signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile on import, and cache the machine code beside the module or in the user's cache directory.

    If neither is writable, or the disk is full, each process compiles the kernels. The cache distinguishes processors
    and its files are written atomically, so many processes can start at once.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": CHECKED}

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            compiled: Callable[..., Any] = njit(*signature, cache=True, **options)(function)
        except (RuntimeError, OSError):  # "no locator available": a read-only file system; no space left
            compiled = njit(*signature, **options)(function)
        return compiled

    return compile_


@njit(inline="always")
def _bits(data, at, count):
    """Read ``count`` bits, at most 57, from bit ``at`` on; loads eight bytes."""
    return ((load_word(data, at >> _THREE) << (at & _SEVEN)) >> _ONE) >> (_LAST - count)


@njit(inline="always")
def _last_bits(data, at, count, last):
    """Read bits like :func:`_bits` near the end of the data: no word starts after byte ``last``."""
    byte = min(at >> _THREE, last)
    return ((load_word(data, byte) << (at - (byte << _THREE))) >> _ONE) >> (_LAST - count)


@njit(inline="always")
def _count_ones(byte):
    """Count the set bits of a byte."""
    byte = (byte & 0x55) + ((byte >> 1) & 0x55)
    byte = (byte & 0x33) + ((byte >> 2) & 0x33)
    return (byte & 0x0F) + (byte >> 4)


@njit(inline="always")
def _group_sums(data, at, width, length):
    """Sum, and sum of the running sums, of the first values of a group; see :mod:`hrrr_dask.decode.bits`."""
    if width == uint64(0):
        total, running = uint64(0), uint64(0)
    elif width <= _NARROW:
        total, running = sums_7bit(data, at, width, uint64(length))
    elif width <= _MIDDLE:
        total, running = sums_14bit(data, at, width, uint64(length))
    else:
        total, running = sums_28bit(data, at, width, uint64(length))
    return int64(total), int64(running)


@njit(inline="always")
def _decode_wanted(data, group, position, length, packing, scaling, cells, values, filled, state):
    """Decode the wanted values of a group; the values between them are only summed."""
    at, width, reference, _ = group
    order, bias = packing[1], packing[4]
    binary, minimum, decimal = scaling
    value, difference, seen = state
    step, until, here = int64(reference) + bias, position + length, position
    while here < until:
        wanted = filled < cells.size and cells[filled] < until
        ahead = (cells[filled] + 1 if wanted else until) - here
        if order == 0:
            value = int64(reference + _bits(data, at + uint64(ahead - 1) * width, width))
        else:
            total, running = _group_sums(data, at, width, ahead)
            if order == 2:
                value += ahead * difference + step * ((ahead * (ahead + 1)) >> 1) + running
                difference += ahead * step + total
            else:
                value += ahead * step + total
        here, at = here + ahead, at + uint64(ahead) * width
        while filled < cells.size and cells[filled] == here - 1:
            values[filled] = np.float32((np.float64(value) * binary + minimum) * decimal)
            filled += 1
    return filled, (value, difference, seen + length)


@njit(inline="always")
def _decode_each_value(data, size, group, position, length, packing, scaling, cells, values, filled, state):
    """Decode a group value by value; required for the first values, missing values and the last bytes of the data."""
    at, width, reference, bits = group
    management, order, first, second, bias = packing
    binary, minimum, decimal = scaling
    value, difference, seen = state
    last, end = uint64(data.size - 8), uint64(size) << _THREE
    step = int64(reference) + bias
    code_bits = width or bits
    largest = (_ONE << code_bits) - _ONE
    has_missing = management > 0 and code_bits < _WIDEST  # ecCodes has no missing values at 32 bits
    for k in range(position, position + length):
        if at + width > end:
            return int64(TRUNCATED), (value, difference, seen)
        surplus = _last_bits(data, at, width, last)
        at += width
        code = surplus if width else reference
        missing = has_missing and (code == largest or (management == 2 and code == largest - _ONE))
        if not missing:
            if order == 0:
                value = int64(reference + surplus)
            elif seen >= order:
                difference = difference + step + int64(surplus) if order == 2 else step + int64(surplus)
                value += difference
            elif seen == 0:
                value = first
            else:
                value, difference = second, second - first
            seen += 1
        while cells[filled] == k:
            scaled = np.float32((np.float64(value) * binary + minimum) * decimal)
            values[filled] = np.float32(np.nan) if missing else scaled
            filled += 1
            if filled == cells.size:
                return filled, (value, difference, seen)
    return filled, (value, difference, seen)


@njit
def _decode_each_value_call(data, size, group, position, length, packing, scaling, cells, values, filled, state):
    """Not inlined: in :func:`decode_sparse` this is rare, and inlining would slow its loop down."""
    return _decode_each_value(data, size, group, position, length, packing, scaling, cells, values, filled, state)


@njit(inline="always")
def _group_layout(groups):
    """Parameters and positions of the group descriptors."""
    count, bits, width_base, width_bits, length_base, length_step, last_length, length_bits = groups[:8]
    references_at, widths_at, lengths_at, values_at, stop, n_values = groups[13:19]
    bases = (uint64(bits), uint64(width_base), uint64(width_bits), length_base, length_step, uint64(length_bits))
    descriptors = (uint64(references_at) << _THREE, uint64(widths_at) << _THREE, uint64(lengths_at) << _THREE)
    return count, last_length, bases, descriptors, values_at, stop, n_values


@njit(inline="always")
def _is_dense(cells, filled, length, until):
    """Whether at least a quarter of a group is wanted."""
    ahead = filled + (length >> 2)
    return ahead < cells.size and cells[ahead] < until


@njit(inline="always")
def _next_group(data, bases, descriptors):
    """Reference, width and length of a group (the length is invalid for the last one), and the next descriptors."""
    bits, width_base, width_bits, length_base, length_step, length_bits = bases
    reference_at, width_at, length_at = descriptors
    reference = _bits(data, reference_at, bits)
    width = _bits(data, width_at, width_bits) + width_base
    length = int64(_bits(data, length_at, length_bits)) * length_step + length_base
    return reference, width, length, (reference_at + bits, width_at + width_bits, length_at + length_bits)


@_compiled(int64(_BYTES, int64, int64, int64, int64, _SCALING, _CELLS, _VALUES))
def decode_simple(data, size, at, bits, n_values, scaling, cells, values):
    """Decode template 5.0: cells in any order, among ``n_values`` values that start at byte ``at``."""
    binary, reference, decimal = scaling
    last, start, width = uint64(data.size - 8), uint64(at) << _THREE, uint64(bits)
    available = min(n_values, (size - at) * 8 // bits)
    for k in range(cells.size):
        if cells[k] < 0 or cells[k] >= available:
            return TRUNCATED
        packed = _last_bits(data, start + uint64(cells[k]) * width, width, last)
        values[k] = np.float32((np.float64(int64(packed)) * binary + reference) * decimal)
    return cells.size


@_compiled(int64(_BYTES, _GROUPS, _SCALING, _CELLS, _VALUES))
def decode_sparse(data, groups, scaling, cells, values):
    """Decode templates 5.2 and 5.3 without missing values, skipping unwanted groups; ``cells`` ascend."""
    count, last_length, bases, descriptors, values_at, stop, n_values = _group_layout(groups)
    order, bias = groups[9], groups[12]
    at, end, last = uint64(values_at) << _THREE, uint64(stop) << _THREE, uint64(data.size - 8)
    value, difference, seen, position, filled = int64(0), int64(0), int64(0), int64(0), int64(0)
    upcoming = cells[0] if cells.size else n_values
    for group in range(count):
        reference, width, length, descriptors = _next_group(data, bases, descriptors)
        if group == count - 1:
            length = last_length
        if width > _WIDEST or length > n_values - position or at + uint64(length) * width > end:
            return DAMAGED_GROUP - group
        until = position + length
        if filled < cells.size:  # after the last cell, lengths are only added up
            quick = seen >= order and width <= _WIDE and (at + (uint64(length) + _MARGIN) * width) >> _THREE <= last
            if quick and upcoming >= until:
                if order:
                    step = int64(reference) + bias
                    total, running = _group_sums(data, at, width, length)
                    if order == 2:
                        value += length * difference + step * ((length * (length + 1)) >> 1) + running
                        difference += length * step + total
                    else:
                        value += length * step + total
                seen += length
            else:
                descriptor, packing = (at, width, reference, bases[0]), groups[8:13]
                state = (value, difference, seen)
                if quick and not _is_dense(cells, filled, length, until):
                    filled, state = _decode_wanted(
                        data, descriptor, position, length, packing, scaling, cells, values, filled, state
                    )
                else:
                    filled, state = _decode_each_value_call(
                        data, groups[19], descriptor, position, length, packing, scaling, cells, values, filled, state
                    )
                    if filled < 0:
                        return filled
                value, difference, seen = state
                if filled < cells.size:
                    upcoming = cells[filled]
        at += uint64(length) * width
        position = until
    return filled if position == n_values else WRONG_LENGTHS


@_compiled(int64(_BYTES, _GROUPS, _SCALING, _CELLS, _VALUES))
def decode_dense(data, groups, scaling, cells, values):
    """Decode templates 5.2 and 5.3 value by value: with missing values, or if many cells are wanted."""
    count, last_length, bases, descriptors, values_at, stop, n_values = _group_layout(groups)
    at, end = uint64(values_at) << _THREE, uint64(stop) << _THREE
    state, position, filled = (int64(0), int64(0), int64(0)), int64(0), int64(0)
    for group in range(count):
        reference, width, length, descriptors = _next_group(data, bases, descriptors)
        if group == count - 1:
            length = last_length
        if width > _WIDEST or length > n_values - position or at + uint64(length) * width > end:
            return DAMAGED_GROUP - group
        if filled < cells.size:
            descriptor = (at, width, reference, bases[0])
            filled, state = _decode_each_value(
                data, groups[19], descriptor, position, length, groups[8:13], scaling, cells, values, filled, state
            )
            if filled < 0:
                return filled
        at += uint64(length) * width
        position += length
    return filled if position == n_values else WRONG_LENGTHS


@_compiled(int64(_BYTES, _GROUPS, int64))
def stop_byte(data, groups, cell):
    """End (exclusive) of the bytes required to decode a cell; all group descriptors must be available.

    ``WRONG_LENGTHS`` if no group contains the cell.
    """
    count, last_length, bases, descriptors, values_at, _, _ = _group_layout(groups)
    at, position = values_at * 8, int64(0)
    for group in range(count):
        _, width, length, descriptors = _next_group(data, bases, descriptors)
        if group == count - 1:
            length = last_length
        if cell < position + length:
            return (at + (cell - position + 1) * int64(width) + 7) >> 3
        position += length
        at += length * int64(width)
    return WRONG_LENGTHS


@_compiled(int64(_BYTES, int64, int64, _CELLS, _RANKS))
def bitmap_ranks(data, bitmap_at, n_cells, cells, found):
    """Convert ascending cells to positions among the packed values with the bitmap of section 6; -1 if missing.

    Returns how many of the first ``n_cells`` cells have a value.
    """
    counted, byte = int64(0), int64(0)
    for k in range(cells.size):
        while byte < cells[k] >> 3:
            counted += _count_ones(int64(data[bitmap_at + byte]))
            byte += 1
        bits = int64(data[bitmap_at + byte])
        bit = cells[k] & 7
        found[k] = counted + _count_ones(bits >> (8 - bit)) if (bits >> (7 - bit)) & 1 else -1
    while byte < n_cells >> 3:
        counted += _count_ones(int64(data[bitmap_at + byte]))
        byte += 1
    rest = n_cells & 7
    return counted + (_count_ones(int64(data[bitmap_at + byte]) >> (8 - rest)) if rest else 0)
