"""The numba engine: unpacks only the wanted cells from the packed bytes, with compiled kernels.

Results are bit-identical to ecCodes: the same integers, scaled in double precision in the same order, rounded once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.decode import kernels
from hrrr_dask.decode.validation import check_cells, check_finite
from hrrr_dask.errors import DecodeError
from hrrr_dask.grib.packing import MAX_BITS, Groups, Packing, check_supported, read_packing

__all__ = ["NumbaEngine", "bytes_needed"]

DENSE_FACTOR: Final = 8
"""If more than one value in this many is wanted, values are decoded one by one instead of skipping groups."""

WORD_BYTES: Final = 8
"""Size of a load in the kernels [B]."""

_DAMAGED: Final = "the message is damaged, read it from another source"


class NumbaEngine:
    """Decode points with compiled kernels; thread-safe, releases the GIL while decoding."""

    name = "numba"

    def engine_for(self, message: bytes | memoryview) -> NumbaEngine:  # noqa: ARG002  no fallback
        """See :class:`hrrr_dask.decode.Engine`."""
        return self

    def points(self, message: bytes | memoryview, cells: NDArray[np.int64], field: int = 0) -> NDArray[np.float32]:
        """Decode the wanted cells of one message; see :class:`hrrr_dask.decode.Engine`.

        The message may be truncated after the wanted cells. ``field`` is the position in a message with several fields.
        """
        packed = _PackedField.read(message, field)
        cells = np.ascontiguousarray(cells, dtype=np.int64)
        check_cells(cells, packed.packing.n_cells)
        if packed.packing.bitmap_at is None and packed.packing.groups is None:
            return check_finite(packed.decode_simple(cells))
        if (cells[1:] >= cells[:-1]).all():
            return check_finite(packed.decode(cells))
        values, order = np.empty(cells.size, dtype=np.float32), np.argsort(cells)
        values[order] = packed.decode(cells[order])
        return check_finite(values)


def bytes_needed(message: bytes | memoryview, last_cell: int) -> int | None:
    """Return how many bytes from the start of a message are required to decode the cells up to one.

    Parameters
    ----------
    message : bytes or memoryview
        A message with one field, or its first bytes.
    last_cell : int
        Flat index in the order of the message.

    Returns
    -------
    int or None
        [B]; None if the given bytes are too few to determine it.

    Raises
    ------
    DecodeError
        If the message is damaged, or this engine does not support its packing.
    """
    return _PackedField.read(message, 0).bytes_needed(last_cell)


@dataclass(frozen=True, slots=True)
class _PackedField:
    """The packed bytes of a field, and their packing."""

    data: NDArray[np.uint8]
    """dims (byte,): the message or its first bytes, padded so that words can be loaded up to the packed values."""
    size: int
    """Number of bytes without the padding [B]."""
    packing: Packing

    @classmethod
    def read(cls, message: bytes | memoryview, field: int) -> _PackedField:
        packing = read_packing(message, field)
        check_supported(packing)
        data = np.frombuffer(message, dtype=np.uint8)
        size = data.size
        if size < packing.values_at + WORD_BYTES:
            data = np.concatenate([data, np.zeros(2 * WORD_BYTES, dtype=np.uint8)])
        return cls(data, size, packing)

    def decode(self, cells: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode ascending cells."""
        packing = self.packing
        if packing.bitmap_at is None:
            return self._decode_positions(cells)
        ranks = np.empty(cells.size, dtype=np.int64)
        n_present = kernels.bitmap_ranks(self.data, packing.bitmap_at, packing.n_cells, cells, ranks)
        if n_present != packing.n_values:
            raise DecodeError(
                f"the bitmap has {n_present:,} cells with a value, section 5 has {packing.n_values:,}: {_DAMAGED}"
            )
        values = np.full(cells.size, np.nan, dtype=np.float32)
        values[ranks >= 0] = self._decode_positions(ranks[ranks >= 0])
        return values

    def _decode_positions(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode ascending positions among the packed values."""
        groups = self.packing.groups
        if groups is None:
            return self.decode_simple(positions)
        values = np.empty(positions.size, dtype=np.float32)
        if self.size < self.packing.values_at:
            raise self._error_for(kernels.TRUNCATED)
        many = positions.size * DENSE_FACTOR > self.packing.n_values
        kernel = kernels.decode_dense if groups.missing_management or many else kernels.decode_sparse
        status = kernel(self.data, self._kernel_arguments(groups), _scaling(self.packing), positions, values)
        if status != positions.size:
            raise self._error_for(status)
        return values

    def decode_simple(self, positions: NDArray[np.int64]) -> NDArray[np.float32]:
        """Decode a field without groups; positions in any order."""
        packing = self.packing
        if packing.bits == 0 or packing.template:
            # A constant field. ecCodes does not apply the decimal scale factor, although regulation 92.9.4 does, and
            # turns negative zero into zero.
            return np.full(positions.size, packing.reference + 0.0, dtype=np.float32)
        values = np.empty(positions.size, dtype=np.float32)
        numbers = (self.size, packing.values_at, packing.bits, packing.n_values)
        status = kernels.decode_simple(self.data, *numbers, _scaling(packing), positions, values)
        if status != positions.size:
            raise self._error_for(status)
        return values

    def bytes_needed(self, last_cell: int) -> int | None:
        """See :func:`bytes_needed`."""
        packing, last = self.packing, last_cell
        check_cells(np.array([last]), packing.n_cells)
        if packing.bitmap_at is not None:
            rank = np.empty(1, dtype=np.int64)
            last = kernels.bitmap_ranks(self.data, packing.bitmap_at, last_cell + 1, np.array([last_cell]), rank) - 1
        if packing.groups is None:
            return packing.values_at + -(-(last + 1) * packing.bits // 8)
        if self.size < packing.values_at:
            return None
        stop: int = kernels.stop_byte(self.data, self._kernel_arguments(packing.groups), last)
        if stop < 0:
            raise self._error_for(stop)
        return stop

    def _kernel_arguments(self, groups: Groups) -> tuple[int, ...]:
        """Parameters of the groups, in the order that the kernels expect."""
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

    def _error_for(self, status: int) -> DecodeError:
        if status == kernels.TRUNCATED:
            return DecodeError(f"the bytes end before the last wanted value does: {_DAMAGED}")
        if status == kernels.WRONG_LENGTHS:
            wanted = f"{self.packing.n_values:,} values in total, as section 5 states"
            return DecodeError(f"the groups do not have {wanted}: {_DAMAGED}")
        number = kernels.DAMAGED_GROUP - status
        return DecodeError(f"group {number} is wider than {MAX_BITS} bits, or longer than the data: {_DAMAGED}")


def _scaling(packing: Packing) -> tuple[float, float, float]:
    return _power(2.0, packing.binary_scale), packing.reference, _power(10.0, -packing.decimal_scale)


def _power(base: float, exponent: int) -> float:
    """Repeated multiplication or division, as in ecCodes; the last bit may differ from ``base**exponent``."""
    power = 1.0
    for _ in range(abs(exponent)):
        power = power * base if exponent > 0 else power / base
    return power
