"""The fast engine: only the wanted cells, out of the packed bytes themselves, with compiled kernels.

Bits are ecCodes' bits: the same integers, scaled in double precision in the same order, and rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode import kernels
from hrrr_dask.decode.validation import check_cells, check_finite
from hrrr_dask.errors import DecodeError
from hrrr_dask.grib.packing import MOST_BITS, Groups, Packing, check_known, read_packing

__all__ = ["NumbaEngine", "bytes_needed"]

DENSE: Final = 8
"""When more than one cell in so many is wanted, values are better looked at one after the other."""

WORD: Final = 8
"""Bytes that are read at once [B]."""

_DAMAGED: Final = "the message is damaged, read it from another source"


class NumbaEngine:
    """Decode points with compiled kernels; safe in threads, and free of Python's lock while it decodes."""

    name = "numba"

    def engine_for(self, message: bytes | memoryview) -> NumbaEngine:  # noqa: ARG002  the same for all
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64], field: int = 0) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`.

        The message may end early, if the wanted cells are there; ``field`` is which one, in a message with several.
        """
        packed = _Packed.of(message, field)
        cells = np.ascontiguousarray(cells, dtype=np.int64)
        check_cells(cells, packed.packing.n_cells)
        if packed.packing.bitmap_at is None and packed.packing.groups is None:
            return check_finite(packed.simple(cells))
        if (cells[1:] >= cells[:-1]).all():
            return check_finite(packed.values(cells))
        values, order = np.empty(cells.size, dtype=np.float32), np.argsort(cells)
        values[order] = packed.values(cells[order])
        return check_finite(values)


def bytes_needed(message: bytes | memoryview, last_cell: int) -> int | None:
    """How much of a message the cells up to one take, from the first byte on.

    Parameters
    ----------
    message : bytes or memoryview
        A message with one field, or its beginning.
    last_cell : int
        Position in the message's own order.

    Returns
    -------
    int or None
        [B]; None when the beginning is too short to tell.

    Raises
    ------
    DecodeError
        If the message is damaged, or no engine of ours knows its packing.
    """
    return _Packed.of(message, 0).bytes_needed(last_cell)


@dataclass(frozen=True, slots=True)
class _Packed:
    """A field's packed bytes, and how they are packed."""

    data: NDArray[np.uint8]
    """dims (byte,): the message, or its beginning; a word may begin at each byte of the groups' descriptors."""
    size: int
    """How many of them are the message's [B]."""
    packing: Packing

    @classmethod
    def of(cls, message: bytes | memoryview, field: int) -> _Packed:
        packing = read_packing(message, field)
        check_known(packing)
        data = np.frombuffer(message, dtype=np.uint8)
        size = data.size
        if size < packing.values_at + WORD:
            data = np.concatenate([data, np.zeros(2 * WORD, dtype=np.uint8)])
        return cls(data, size, packing)

    def values(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of ascending cells."""
        packing = self.packing
        if packing.bitmap_at is None:
            return self._packed_values(cells)
        ranks = np.empty(cells.size, dtype=np.int64)
        there = kernels.ranks(self.data, packing.bitmap_at, packing.n_cells, cells, ranks)
        if there != packing.n_values:
            raise DecodeError(
                f"the bitmap has {there:,} cells with a value, section 5 has {packing.n_values:,}: {_DAMAGED}"
            )
        values = np.full(cells.size, np.nan, dtype=np.float32)
        values[ranks >= 0] = self._packed_values(ranks[ranks >= 0])
        return values

    def _packed_values(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """At ascending places among the packed ones."""
        groups = self.packing.groups
        if groups is None:
            return self.simple(places)
        values = np.empty(places.size, dtype=np.float32)
        self._check_descriptors()
        many = places.size * DENSE > self.packing.n_values
        kernel = kernels.every_value if groups.missing_management or many else kernels.grouped_values
        status = kernel(self.data, self._numbers(groups), _scaling(self.packing), places, values)
        if status != places.size:
            raise self._meaning(status)
        return values

    def simple(self, places: NDArray[np.int64]) -> NDArray[np.float32]:
        """Without groups; the places in any order."""
        packing = self.packing
        if packing.bits == 0 or packing.template:
            # A field of one value. ecCodes leaves its decimals unscaled, although regulation 92.9.4 scales them, and
            # knows no negative zero.
            return np.full(places.size, packing.reference + 0.0, dtype=np.float32)
        values = np.empty(places.size, dtype=np.float32)
        numbers = (self.size, packing.values_at, packing.bits, packing.n_values)
        status = kernels.simple_values(self.data, *numbers, _scaling(packing), places, values)
        if status != places.size:
            raise self._meaning(status)
        return values

    def bytes_needed(self, last_cell: int) -> int | None:
        """See the function of that name."""
        packing, last = self.packing, last_cell
        check_cells(np.array([last]), packing.n_cells)
        if packing.bitmap_at is not None:
            rank = np.empty(1, dtype=np.int64)
            last = kernels.ranks(self.data, packing.bitmap_at, last_cell + 1, np.array([last_cell]), rank) - 1
        if packing.groups is None:
            return packing.values_at + -(-(last + 1) * packing.bits // 8)
        if self.size < packing.values_at:
            return None
        stop: int = kernels.byte_needed(self.data, self._numbers(packing.groups), last)
        if stop < 0:
            raise self._meaning(stop)
        return stop

    def _numbers(self, groups: Groups) -> tuple[int, ...]:
        """What the kernels need to know of groups, in their order."""
        return (
            groups.count,
            self.packing.bits,
            groups.width_base,
            groups.width_bits,
            groups.length_base,
            groups.length_step,
            groups.last_length,
            groups.length_bits,
            groups.missing_management,
            groups.order,
            groups.first,
            groups.second,
            groups.bias,
            groups.references_at,
            groups.widths_at,
            groups.lengths_at,
            self.packing.values_at,
            self.packing.stop,
            self.packing.n_values,
            self.size,
        )

    def _check_descriptors(self) -> None:
        if self.size < self.packing.values_at:
            raise self._meaning(kernels.SHORT)

    def _meaning(self, status: int) -> DecodeError:
        if status == kernels.SHORT:
            return DecodeError(f"the bytes end before the last wanted value does: {_DAMAGED}")
        if status == kernels.WRONG_LENGTHS:
            known = f"{self.packing.n_values:,} values together, as section 5 says"
            return DecodeError(f"the groups do not have {known}: {_DAMAGED}")
        number = kernels.DAMAGED_GROUP - status
        return DecodeError(f"group {number} is wider than {MOST_BITS} bits, or longer than the data: {_DAMAGED}")


def _scaling(packing: Packing) -> tuple[float, float, float]:
    return _power(2.0, packing.binary_scale), packing.reference, _power(10.0, -packing.decimal_scale)


def _power(base: float, exponent: int) -> float:
    """As ecCodes has it, by repeated multiplication or division: the last bit may differ from ``base**exponent``."""
    power = 1.0
    for _ in range(abs(exponent)):
        power = power * base if exponent > 0 else power / base
    return power
