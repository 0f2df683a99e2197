"""Values at cells out of packed bytes, compiled: one pass over the groups, and only what is wanted comes out.

A value that is differenced twice depends on all before it, so that every bit must be looked at; but of a group in
which no cell is wanted only two sums matter: by how much the first difference grows, and by how much the value.

Every kernel checks before it reads. ``size`` is how many bytes of the message there are; a word may begin at each byte
up to the packed values, for which a short message has padding behind it. What comes back is the number of cells that
are filled, or a negative status. Integers wrap at 64 bits as ecCodes' do. Values are double precision in ecCodes' own
order of operations, rounded once to float32.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numba import int64, njit, types, uint64

from hrrr_dask.decode.bits import CHECKED, MARGIN_VALUES, load_word, sums_of_middle, sums_of_narrow, sums_of_wide

__all__ = [
    "DAMAGED_GROUP",
    "SHORT",
    "WRONG_LENGTHS",
    "byte_needed",
    "every_value",
    "grouped_values",
    "ranks",
    "simple_values",
]

WRONG_LENGTHS: Final = -1
"""The groups do not have as many values together as section 5 says."""
SHORT: Final = -2
"""The bytes end before the last wanted cell; the section does not."""
DAMAGED_GROUP: Final = -3
"""This and lower: group ``-3 - status`` is wider than 32 bits, too long, or beyond the end of its section."""

_ONE, _THREE, _SEVEN, _LAST = (np.uint64(number) for number in (1, 3, 7, 63))
_NARROW, _MIDDLE, _WIDE, _WIDEST, _MARGIN = (np.uint64(number) for number in (7, 14, 28, 32, MARGIN_VALUES))

_BYTES: Final = types.Array(types.uint8, 1, "C", readonly=True)
_CELLS: Final = types.Array(types.int64, 1, "C", readonly=True)
_RANKS: Final = types.Array(types.int64, 1, "C")
_VALUES: Final = types.Array(types.float32, 1, "C")
_GROUPS: Final = types.UniTuple(types.int64, 20)
_SCALING: Final = types.UniTuple(types.float64, 3)


def _compiled(*signature: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Compile at once, and keep the machine code beside the module or in the user's cache.

    If neither can be written to, or the disk is full, each process compiles anew. The cache tells processors apart,
    and its files are put there whole, so that many processes may begin at once.
    """
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "boundscheck": CHECKED}

    def compile_(function: Callable[..., Any]) -> Callable[..., Any]:
        try:
            kept: Callable[..., Any] = njit(*signature, cache=True, **options)(function)
        except (RuntimeError, OSError):  # "no locator available": a read-only file system; no space left
            kept = njit(*signature, **options)(function)
        return kept

    return compile_


@njit(inline="always")
def _bits(data, at, count):
    """``count`` bits from bit ``at`` on, at most 57; eight bytes are read."""
    return ((load_word(data, at >> _THREE) << (at & _SEVEN)) >> _ONE) >> (_LAST - count)


@njit(inline="always")
def _last_bits(data, at, count, last):
    """The same where fewer than eight bytes may be left: no word begins after byte ``last``."""
    byte = min(at >> _THREE, last)
    return ((load_word(data, byte) << (at - (byte << _THREE))) >> _ONE) >> (_LAST - count)


@njit(inline="always")
def _ones(byte):
    """How many bits of a byte are set."""
    byte = (byte & 0x55) + ((byte >> 1) & 0x55)
    byte = (byte & 0x33) + ((byte >> 2) & 0x33)
    return (byte & 0x0F) + (byte >> 4)


@njit(inline="always")
def _sums(data, at, width, length):
    """Sum, and sum of the running sums, of some values of a group; see :mod:`hrrr_dask.decode.bits`."""
    if width == uint64(0):
        total, running = uint64(0), uint64(0)
    elif width <= _NARROW:
        total, running = sums_of_narrow(data, at, width, uint64(length))
    elif width <= _MIDDLE:
        total, running = sums_of_middle(data, at, width, uint64(length))
    else:
        total, running = sums_of_wide(data, at, width, uint64(length))
    return int64(total), int64(running)


@njit(inline="always")
def _some_wanted(data, group, position, length, packing, scaling, cells, values, filled, state):
    """Go through a group from one wanted value to the next."""
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
            total, running = _sums(data, at, width, ahead)
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
def _one_by_one(data, size, group, position, length, packing, scaling, cells, values, filled, state):
    """Go through a group value by value and keep what is wanted: the first values, missing ones, the last bytes."""
    at, width, reference, bits = group
    management, order, first, second, bias = packing
    binary, minimum, decimal = scaling
    value, difference, seen = state
    last, there = uint64(data.size - 8), uint64(size) << _THREE
    step = int64(reference) + bias
    code_bits = width or bits
    largest = (_ONE << code_bits) - _ONE
    has_missing = management > 0 and code_bits < _WIDEST  # at 32 bits ecCodes knows of none
    for k in range(position, position + length):
        if at + width > there:
            return int64(SHORT), (value, difference, seen)
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
            known = np.float32((np.float64(value) * binary + minimum) * decimal)
            values[filled] = np.float32(np.nan) if missing else known
            filled += 1
            if filled == cells.size:
                return filled, (value, difference, seen)
    return filled, (value, difference, seen)


@njit
def _apart(data, size, group, position, length, packing, scaling, cells, values, filled, state):
    """The same, not as a part of the loop that calls it: it is rare there, and would be in the way."""
    return _one_by_one(data, size, group, position, length, packing, scaling, cells, values, filled, state)


@njit(inline="always")
def _split(groups):
    """How the groups are described, and where."""
    count, bits, width_base, width_bits, length_base, length_step, last_length, length_bits = groups[:8]
    references_at, widths_at, lengths_at, values_at, stop, n_values = groups[13:19]
    bases = (uint64(bits), uint64(width_base), uint64(width_bits), length_base, length_step, uint64(length_bits))
    places = (uint64(references_at) << _THREE, uint64(widths_at) << _THREE, uint64(lengths_at) << _THREE)
    return count, last_length, bases, places, values_at, stop, n_values


@njit(inline="always")
def _is_dense(cells, filled, length, until):
    """Whether a quarter of a group or more is wanted."""
    ahead = filled + (length >> 2)
    return ahead < cells.size and cells[ahead] < until


@njit(inline="always")
def _group_at(data, bases, places):
    """Reference, width and length of a group that is not the last, and where the next one is described."""
    bits, width_base, width_bits, length_base, length_step, length_bits = bases
    reference_at, width_at, length_at = places
    reference = _bits(data, reference_at, bits)
    width = _bits(data, width_at, width_bits) + width_base
    length = int64(_bits(data, length_at, length_bits)) * length_step + length_base
    return reference, width, length, (reference_at + bits, width_at + width_bits, length_at + length_bits)


@_compiled(int64(_BYTES, int64, int64, int64, int64, _SCALING, _CELLS, _VALUES))
def simple_values(data, size, at, bits, n_values, scaling, cells, values):
    """Template 5.0: cells in any order, among ``n_values`` that begin at byte ``at``."""
    binary, reference, decimal = scaling
    last, begin, width = uint64(data.size - 8), uint64(at) << _THREE, uint64(bits)
    there = min(n_values, (size - at) * 8 // bits)
    for k in range(cells.size):
        if cells[k] < 0 or cells[k] >= there:
            return SHORT
        packed = _last_bits(data, begin + uint64(cells[k]) * width, width, last)
        values[k] = np.float32((np.float64(int64(packed)) * binary + reference) * decimal)
    return cells.size


@_compiled(int64(_BYTES, _GROUPS, _SCALING, _CELLS, _VALUES))
def grouped_values(data, groups, scaling, cells, values):
    """Templates 5.2 and 5.3 without missing values: ascending cells among the packed values."""
    count, last_length, bases, places, values_at, stop, n_values = _split(groups)
    order, bias = groups[9], groups[12]
    at, end, last = uint64(values_at) << _THREE, uint64(stop) << _THREE, uint64(data.size - 8)
    value, difference, seen, position, filled = int64(0), int64(0), int64(0), int64(0), int64(0)
    upcoming = cells[0] if cells.size else n_values
    for group in range(count):
        reference, width, length, places = _group_at(data, bases, places)
        if group == count - 1:
            length = last_length
        if width > _WIDEST or length > n_values - position or at + uint64(length) * width > end:
            return DAMAGED_GROUP - group
        until = position + length
        if filled < cells.size:  # the rest is only counted
            quick = seen >= order and width <= _WIDE and (at + (uint64(length) + _MARGIN) * width) >> _THREE <= last
            if quick and upcoming >= until:
                if order:
                    step = int64(reference) + bias
                    total, running = _sums(data, at, width, length)
                    if order == 2:
                        value += length * difference + step * ((length * (length + 1)) >> 1) + running
                        difference += length * step + total
                    else:
                        value += length * step + total
                seen += length
            else:
                described, packing = (at, width, reference, bases[0]), groups[8:13]
                state = (value, difference, seen)
                if quick and not _is_dense(cells, filled, length, until):
                    filled, state = _some_wanted(
                        data, described, position, length, packing, scaling, cells, values, filled, state
                    )
                else:
                    filled, state = _apart(
                        data, groups[19], described, position, length, packing, scaling, cells, values, filled, state
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
def every_value(data, groups, scaling, cells, values):
    """The same as :func:`grouped_values`, one value after the other: for missing values, and when most are wanted."""
    count, last_length, bases, places, values_at, stop, n_values = _split(groups)
    at, end = uint64(values_at) << _THREE, uint64(stop) << _THREE
    state, position, filled = (int64(0), int64(0), int64(0)), int64(0), int64(0)
    for group in range(count):
        reference, width, length, places = _group_at(data, bases, places)
        if group == count - 1:
            length = last_length
        if width > _WIDEST or length > n_values - position or at + uint64(length) * width > end:
            return DAMAGED_GROUP - group
        if filled < cells.size:
            described = (at, width, reference, bases[0])
            filled, state = _one_by_one(
                data, groups[19], described, position, length, groups[8:13], scaling, cells, values, filled, state
            )
            if filled < 0:
                return filled
        at += uint64(length) * width
        position += length
    return filled if position == n_values else WRONG_LENGTHS


@_compiled(int64(_BYTES, _GROUPS, int64))
def byte_needed(data, groups, cell):
    """One past the last byte that a cell takes, with groups whose descriptors are all there.

    ``WRONG_LENGTHS`` if no group has it.
    """
    count, last_length, bases, places, values_at, _, _ = _split(groups)
    at, position = values_at * 8, int64(0)
    for group in range(count):
        _, width, length, places = _group_at(data, bases, places)
        if group == count - 1:
            length = last_length
        if cell < position + length:
            return (at + (cell - position + 1) * int64(width) + 7) >> 3
        position += length
        at += length * int64(width)
    return WRONG_LENGTHS


@_compiled(int64(_BYTES, int64, int64, _CELLS, _RANKS))
def ranks(data, bitmap_at, n_cells, cells, found):
    """Section 6: ascending cells to their positions among the packed values, -1 where there is none.

    Gives how many of the first ``n_cells`` cells have a value.
    """
    counted, byte = int64(0), int64(0)
    for k in range(cells.size):
        while byte < cells[k] >> 3:
            counted += _ones(int64(data[bitmap_at + byte]))
            byte += 1
        shown = int64(data[bitmap_at + byte])
        place = cells[k] & 7
        found[k] = counted + _ones(shown >> (8 - place)) if (shown >> (7 - place)) & 1 else -1
    while byte < n_cells >> 3:
        counted += _ones(int64(data[bitmap_at + byte]))
        byte += 1
    rest = n_cells & 7
    return counted + (_ones(int64(data[bitmap_at + byte]) >> (8 - rest)) if rest else 0)
