"""Encodes GRIB2 messages with any packing that templates 5.0, 5.2 and 5.3 allow, as chosen by a test.

The expected values come from ecCodes.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field

import numpy as np


def bit_octets(numbers: np.ndarray, bits: int) -> bytes:
    """Concatenate unsigned integers of a width in bits, padded to a whole octet."""
    if not bits:
        return b""
    shifts = np.arange(bits - 1, -1, -1, dtype=np.uint64)
    return np.packbits(((np.asarray(numbers, np.uint64)[:, None] >> shifts) & np.uint64(1)).astype(np.uint8)).tobytes()


def signed(number: int, bits: int) -> int:
    return number if number >= 0 else -number | 1 << (bits - 1)


@dataclass
class PackedField:
    """Packed integers of a field and all parameters of its packing."""

    n_cells: int
    template: int = 0
    reference: float = 0.0
    binary_scale: int = 0
    decimal_scale: int = 0
    bits: int = 8
    numbers: np.ndarray | None = None
    """Packed integers of template 5.0."""
    references: np.ndarray | None = None
    widths: np.ndarray | None = None
    lengths: np.ndarray | None = None
    surplus: list[np.ndarray] = field(default_factory=list)
    """Values of each group, minus the reference."""
    width_base: int = 0
    width_bits: int = 6
    length_base: int = 0
    length_step: int = 1
    length_bits: int = 16
    management: int = 0
    order: int = 0
    octets: int = 4
    firsts: tuple[int, ...] = ()
    bias: int = 0
    bitmap: np.ndarray | None = None

    @property
    def n_values(self) -> int:
        return self.n_cells if self.bitmap is None else int(self.bitmap.sum())

    def section5(self) -> bytes:
        head = struct.pack(
            ">IHfHHBB",
            self.n_values, self.template, self.reference, signed(self.binary_scale, 16), signed(self.decimal_scale, 16),
            self.bits, 0,
        )  # fmt: skip
        if self.template:
            last = int(self.lengths[-1]) if len(self.lengths) else 0
            head += struct.pack(
                ">BBIIIBBIBIB",
                1, self.management, 0, 0, len(self.lengths), self.width_base, self.width_bits, self.length_base,
                self.length_step, last, self.length_bits,
            )  # fmt: skip
        if self.template == 3:
            head += struct.pack(">BB", self.order, self.octets)
        return head

    def section7(self) -> bytes:
        if not self.template:
            return bit_octets(self.numbers, self.bits)
        extra = b""
        if self.order:
            extra = b"".join(first.to_bytes(self.octets, "big") for first in self.firsts)
            extra += signed(self.bias, 8 * self.octets).to_bytes(self.octets, "big")
        lengths = (self.lengths - self.length_base) // self.length_step
        lengths[-1:] = 0
        data = np.concatenate(
            [
                np.unpackbits(np.frombuffer(bit_octets(some, int(width)), np.uint8), count=len(some) * int(width))
                for some, width in zip(self.surplus, self.widths, strict=True)
            ]
            or [np.zeros(0, np.uint8)]
        )
        return b"".join(
            [
                extra,
                bit_octets(self.references, self.bits),
                bit_octets(self.widths - self.width_base, self.width_bits),
                bit_octets(lengths, self.length_bits),
                np.packbits(data).tobytes(),
            ]
        )

    def sections(self) -> bytes:
        """Encode sections 3 to 7; the grid is one row of a latitude-longitude grid."""
        n = self.n_cells
        grid = struct.pack(">BIBBH", 0, n, 0, 0, 0)
        grid += struct.pack(">BBIBIBI", 6, 0, 0, 0, 0, 0, 0)
        grid += struct.pack(">IIIIiiBiiIIB", n, 1, 0, 0xFFFFFFFF, 0, 0, 0x30, 0, 1000, 1, 1, 0)
        product = struct.pack(">HHBBBBBHBBIBBIBBI", 0, 0, 0, 0, 2, 0, 83, 0, 0, 1, 1, 103, 0, 2, 255, 0, 0)
        bitmap = b"\xff" if self.bitmap is None else b"\x00" + np.packbits(self.bitmap).tobytes()
        bodies = {3: grid, 4: product, 5: self.section5(), 6: bitmap, 7: self.section7()}
        return b"".join(struct.pack(">IB", 5 + len(body), number) + body for number, body in bodies.items())


def pack_message(*fields: PackedField) -> bytes:
    """Encode one message with these fields."""
    section1 = struct.pack(">IBHHBBBHBBBBBBB", 21, 1, 7, 0, 2, 1, 1, 2024, 7, 1, 0, 0, 0, 0, 1)
    body = section1 + b"".join(each.sections() for each in fields) + b"7777"
    return struct.pack(">4s2xBBQ", b"GRIB", 0, 2, 16 + len(body)) + body


def random_packed(chance: np.random.Generator, max_cells: int = 100_000) -> PackedField:
    """Draw a field with a random packing, from common to extreme."""
    n = int(np.exp(chance.uniform(0, np.log(max_cells)))) + int(chance.integers(0, 2))
    packed = PackedField(n, template=int(chance.choice([0, 2, 3], p=[0.2, 0.25, 0.55])))
    packed.reference = float(np.float32(chance.choice([0.0, chance.normal(0, 300), chance.normal() * 1e20, 1e-30])))
    packed.binary_scale = int(chance.choice([0, chance.integers(-12, 8), chance.integers(-140, 60)]))
    packed.decimal_scale = int(chance.choice([0, chance.integers(-3, 6), chance.integers(-12, 30)]))
    if chance.random() < 0.2:
        packed.bitmap = chance.random(n) < chance.choice([0.0, 0.5, 0.99, 1.0])
    if packed.template:
        _fill_groups(packed, chance)
    else:
        packed.bits = int(chance.integers(0, 33))
        packed.numbers = _below(chance, packed.bits, packed.n_values)
    return packed


def _fill_groups(packed: PackedField, chance: np.random.Generator) -> None:
    n = packed.n_values
    packed.bits = int(chance.integers(0, 33))
    packed.management = int(chance.choice([0, 0, 0, 1, 2]))
    if packed.template == 3:
        packed.order, packed.octets = int(chance.integers(1, 3)), int(chance.integers(1, 5))
        top = 1 << (8 * packed.octets - 1)
        packed.firsts = tuple(int(chance.integers(0, top)) for _ in range(packed.order))
        packed.bias = int(chance.integers(-top + 1, top))
    typical = float(chance.choice([1, 3, 14, 60, 2000]))
    packed.length_step, packed.length_base = int(chance.integers(1, 4)), int(chance.integers(0, 3))
    steps = chance.poisson(typical, size=2 + int(n / max(typical, 1))) % 60_000
    lengths = packed.length_base + packed.length_step * steps.astype(np.int64)
    ends = np.cumsum(lengths)
    whole = int(np.searchsorted(ends, n, side="right"))
    lengths = np.append(lengths[:whole], n - (ends[whole - 1] if whole else 0))
    packed.lengths = lengths
    packed.width_base = int(chance.choice([0, 0, 1, 5]))
    highest = int(chance.choice([3, 8, 14, 20, 33])) - packed.width_base
    packed.widths = packed.width_base + chance.integers(0, max(highest, 1), size=len(lengths))
    if chance.random() < 0.2:
        packed.widths[:] = packed.width_base
    packed.references = _below(chance, packed.bits, len(lengths))
    if packed.bits and packed.management and chance.random() < 0.5:
        packed.references[chance.random(len(lengths)) < 0.2] = (1 << packed.bits) - 1
    packed.surplus = [_below(chance, int(w), int(k)) for w, k in zip(packed.widths, lengths, strict=True)]


def _below(chance: np.random.Generator, bits: int, count: int) -> np.ndarray:
    numbers = chance.integers(0, 1 << bits, size=count, dtype=np.uint64)
    extreme = chance.random(count)
    numbers[extreme < 0.05] = (1 << bits) - 1
    return numbers


def make_packed(n: int = 400, width: int = 5, order: int = 2, bits: int = 9) -> PackedField:
    chance = np.random.default_rng(n + width)
    packed = PackedField(n, template=3, bits=bits, order=order, octets=3, firsts=(100, 103)[:order], bias=-20)
    packed.lengths = np.array([*[20] * (n // 20 - 1), 20 + n % 20])
    packed.widths = np.full(len(packed.lengths), width)
    packed.references = chance.integers(0, 1 << bits, len(packed.lengths))
    packed.surplus = [chance.integers(0, 1 << width, size) for size in packed.lengths]
    return packed


def section_starts(message: bytes) -> dict[int, int]:
    """Section number to the position of its first byte."""
    found, start = {}, 16
    while start < len(message) - 4:
        found[message[start + 4]] = start
        start += int.from_bytes(message[start : start + 4], "big")
    return found


def damage_message(message: bytes, chance: np.random.Generator) -> bytes:
    """Change a few bytes that the engine reads: lengths and numbers of sections, the number of cells, the packing and
    the values. Sometimes the data section is truncated, with consistent lengths."""
    at = section_starts(message)
    headers = [byte for start in at.values() for byte in range(start, start + 5)]
    targets = [*range(8, 16), *headers, *range(at[3] + 6, at[3] + 10), *range(at[5], at[6] + 6)]
    data = bytearray(message)
    for _ in range(int(chance.integers(1, 4))):
        byte = int(chance.choice(targets)) if chance.random() < 0.7 else int(chance.integers(at[5], len(data)))
        flipped = data[byte] ^ (1 << int(chance.integers(0, 8)))
        data[byte] = int(chance.choice([0, 1, 0x7F, 0x80, 0xFF, flipped, chance.integers(0, 256)]))
    if chance.random() < 0.2 and len(message) - at[7] > 9:
        del data[int(chance.integers(at[7] + 5, len(data) - 4)) : -4]
        data[at[7] : at[7] + 4] = (len(data) - 4 - at[7]).to_bytes(4, "big")
        data[8:16] = len(data).to_bytes(8, "big")
    return bytes(data)


def replace_octets(message: bytes, number: int, octet: int, data: bytes) -> bytes:
    """Replace bytes of the first section with a number; octets count from 1."""
    start = 16
    while message[start + 4] != number:
        start += int.from_bytes(message[start : start + 4], "big")
    at = start + octet - 1
    return message[:at] + data + message[at + len(data) :]
