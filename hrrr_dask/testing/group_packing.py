"""Repacks complex-packed messages into short groups, as in NOAA's messages, for realistic decoding benchmarks.

ecCodes packs the synthetic fields, whose texture repeats, into a few very long groups, which take a fraction of the
usual time to decode. Here the same integers are repacked into groups with the lengths of those in NOAA's messages.

>>> from datetime import datetime
>>> from hrrr_dask.records import GribFile
>>> from hrrr_dask.testing import DEFAULT_WINDOW, encode_file
>>> message, _ = encode_file(GribFile(datetime(2024, 7, 1), 0), DEFAULT_WINDOW, ["temperature_2m"])
>>> packed = repack_in_short_groups(message, np.random.default_rng(0))
>>> GroupStatistics.of([packed]).length < GroupStatistics.of([message]).length
True
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

import eccodes
import numpy as np
from numpy.typing import NDArray

from hrrr_dask.grib.packing import read_packing

__all__ = ["LENGTHS", "GroupStatistics", "repack_in_short_groups"]

LENGTHS: Final = (1, 2, 3, 5, 8, 9, 10, 11, 11, 12, 13, 14, 15, 17, 18, 19, 21, 23, 26, 32, 64)
"""Lengths of groups in NOAA's messages at every fifth percentile, from minimum to maximum: TMP:surface of 2023-07-22,
DPT:2 m of 2026-07-03 and HPBL:surface of 2025-12-03 together, which have 126,780 groups each.
"""

_HEADER: Final = struct.Struct(">IB")
_GROUPS: Final = struct.Struct(">IBBIBIBBB")  # section 5, octets 32-49: number of groups and after
_ORDER: Final = 2

Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class GroupStatistics:
    """Average group sizes of complex-packed messages."""

    messages: int
    """Number of messages with groups."""
    groups: float
    """Groups per message."""
    length: float
    """Values per group."""
    size_bytes: float
    """Bytes per message [B]."""

    @classmethod
    def of(cls, messages: list[bytes]) -> GroupStatistics:
        """Compute the statistics of those messages that have groups."""
        packings = [(read_packing(message), len(message)) for message in messages]
        grouped = [(packing.groups.count, packing.n_values, size) for packing, size in packings if packing.groups]
        if not grouped:
            raise RuntimeError(f"none of the {len(messages)} messages has groups")
        counts, values, sizes = (sum(column) for column in zip(*grouped, strict=True))
        return cls(len(grouped), counts / len(grouped), values / counts, sizes / len(grouped))


def repack_in_short_groups(message: bytes, chance: np.random.Generator) -> bytes:
    """Repack the integers of a message into short groups.

    Parameters
    ----------
    message : bytes
        Message without a bitmap. Returned unchanged unless packed with second-order differencing.
    chance : Generator
        Draws the lengths of the groups from the distribution of :data:`LENGTHS`. References and widths are the minimal
        ones, as with NCEP.

    Returns
    -------
    bytes
        Template 5.3, second order. Sections 1 to 4, reference value and scale factors are unchanged.

    Raises
    ------
    RuntimeError
        If ecCodes does not decode the result to the same bits.
    """
    packing = read_packing(message)
    if packing.groups is None or packing.groups.order != _ORDER:
        return message
    values = _decoded(message)
    scaled = values * 10.0**packing.decimal_scale - packing.reference
    numbers = np.rint(scaled / 2.0**packing.binary_scale).astype(np.int64)
    packed = _assembled(message, *_sections(numbers, _lengths(numbers.size, chance)))
    if not np.array_equal(_decoded(packed).view(np.int64), values.view(np.int64)):
        raise RuntimeError("ecCodes decodes other values from the short groups; do not use them")
    return packed


def _decoded(message: bytes) -> NDArray[np.float64]:
    handle = eccodes.codes_new_from_message(message)
    try:
        return np.asarray(eccodes.codes_get_values(handle), dtype=np.float64)
    finally:
        eccodes.codes_release(handle)


def _lengths(n_values: int, chance: np.random.Generator) -> Integers:
    """Draw lengths of groups that add up to a number of values."""
    each = np.linspace(0.0, 1.0, len(LENGTHS))
    drawn = np.rint(np.interp(chance.random(n_values), each, LENGTHS)).astype(np.int64)
    ends = np.cumsum(drawn)
    whole = int(np.searchsorted(ends, n_values))  # groups that end before the last value
    return np.append(drawn[:whole], n_values - (int(ends[whole - 1]) if whole else 0))


def _sections(numbers: Integers, lengths: Integers) -> tuple[bytes, bytes, int]:
    """Encode octets 32-49 of section 5 and section 7 after its header; also returns the bits per reference.

    A decoder ignores the first two differences; they are zero, as with NCEP (WMO Manual on Codes I.2, FM 92
    GRIB edition 2, templates 5.3 and 7.3).
    """
    differences = np.diff(numbers, _ORDER)
    bias = int(differences.min())
    packed = np.concatenate([np.zeros(_ORDER, np.int64), differences - bias])
    starts = np.cumsum(lengths) - lengths
    references = np.minimum.reduceat(packed, starts)
    widths = _bits_of(np.maximum.reduceat(packed, starts) - references)
    base = int(lengths.min())
    columns = (references, widths, lengths - base)
    bits, width_bits, length_bits = (int(_bits_of(column).max()) for column in columns)
    octets, extra = _extra_descriptors([int(number) for number in numbers[:_ORDER]], bias)
    described = _GROUPS.pack(len(lengths), 0, width_bits, base, 1, int(lengths[-1]), length_bits, _ORDER, octets)
    data = [
        _octets(column, np.full(len(lengths), each))
        for column, each in zip(columns, (bits, width_bits, length_bits), strict=True)
    ]
    surplus = _octets(packed - np.repeat(references, lengths), np.repeat(widths, lengths))
    return described, b"".join([extra, *data, surplus]), bits


def _extra_descriptors(firsts: list[int], bias: int) -> tuple[int, bytes]:
    """Octets per number, and the encoded first values and bias (sign and magnitude)."""
    octets = max(number.bit_length() for number in (*firsts, bias)) // 8 + 1
    sign = 1 << (8 * octets - 1) if bias < 0 else 0
    return octets, b"".join(number.to_bytes(octets, "big") for number in (*firsts, abs(bias) | sign))


def _bits_of(numbers: Integers) -> Integers:
    """Bit length of each number: 0 for 0. Exact below 2**53."""
    return np.frexp(numbers.astype(np.float64))[1].astype(np.int64)


def _octets(numbers: Integers, widths: Integers) -> bytes:
    """Concatenate numbers with individual widths in bits, padded to a whole octet."""
    ends = np.cumsum(widths)
    stream = np.zeros(int(ends[-1]), dtype=np.uint8)
    for bit in range(int(widths.max())):
        has_bit = widths > bit
        stream[ends[has_bit] - 1 - bit] = (numbers[has_bit] >> bit) & 1
    return np.packbits(stream).tobytes()


def _assembled(message: bytes, described: bytes, data: bytes, bits: int) -> bytes:
    """Replace the groups in sections 5 and 7 of a message."""
    body, start = bytearray(), 16
    while message[start : start + 4] != b"7777":
        length, number = _HEADER.unpack_from(message, start)
        section = bytearray(message[start : start + length])
        if number == 5:
            section[19] = bits
            section[31:49] = described
        elif number == 7:
            section = bytearray(_HEADER.pack(_HEADER.size + len(data), number) + data)
        body += section
        start += length
    return message[:8] + struct.pack(">Q", 16 + len(body) + 4) + bytes(body) + b"7777"
