"""Corrupts valid input: bytes, lines of text, and the lengths and numbers in a GRIB2 message."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Sequence
from typing import Final

__all__ = ["NUMBERS", "TEXTS", "spoil_bytes", "spoil_message", "spoil_text", "starts"]

NUMBERS: Final = (
    "0", "-0", "1", "-1", "00", "1e999", "-1e999", "1e-999", "NaN", "inf", "-Infinity", "1_000", "0x10", "1e5", "1,5",
    "9" * 15, "9" * 16, "9" * 400, "9" * 5000, str(2**31), str(2**63), str(2**64), "90.0000001", "360.0001",
    "-180.5", "\u0663", "\uff14\uff15", "\xb2", "\xbd", "\u22125", "+5", " 5 ", "5.", ".5", ".", "5e", "1e2.5",
    "True", "null", "",
)  # fmt: skip
"""Spellings that some reader or other takes for a number, and some that none should."""

TEXTS: Final = (
    "\0", "\ufeff", "\u2028", "\x85", "\x0b", "\x0c", "\x1c", "\u202e", "\ud7ff", "\U0001f300", "é", "\t", "\r", "\n",
    "\r\n", "\n\n", '"', '""', '"""', "'", ",", ",,", ";", ":", "::", "#", "<html>", "{", "}", "[", "]", "\\",
    "\\u0000", "\\ud800", "=cmd()", "d=2024070118", "TMP", "anl", "latitude,longitude", "lat", "lon", "point_id",
    "1:0:", "A" * 300, "[" * 3000, '{"a":' * 3000, '"' + "x" * 140_000, "0-1 day acc fcst", "ENS=+1", "prob >5",
)  # fmt: skip
"""What breaks lines, quotes, columns and nesting."""

OCTETS: Final = (0, 1, 0x7F, 0x80, 0xFE, 0xFF)
LENGTHS: Final = (0, 1, 4, 5, 6, 16, 21, 2**16, 2**31 - 1, 2**31, 2**32 - 1)
LONG_LENGTHS: Final = (0, 1, 16, 20, 2**31, 2**32, 2**60, 2**63 - 1, 2**63, 2**64 - 1)

_NUMBER: Final = re.compile(r"[-+]?[0-9][0-9.]*")


def spoil_bytes(data: bytes, other: bytes, chance: random.Random) -> bytes:
    """Flip, overwrite, cut, repeat, exchange, or splice with something else."""
    spoilt = bytearray(data)
    for _ in range(1 + (chance.random() < 0.4) * chance.randrange(4)):
        if not spoilt:
            break
        at, size = chance.randrange(len(spoilt)), 1 + int(len(spoilt) * chance.random() ** 4)
        match chance.randrange(8):
            case 0 | 1:
                spoilt[at] ^= 1 << chance.randrange(8)
            case 2:
                spoilt[at] = chance.choice((*OCTETS, chance.randrange(256)))
            case 3:
                del spoilt[at : at + size]
            case 4:
                del spoilt[at:]
            case 5:
                spoilt[at:at] = spoilt[at : at + size]
            case 6:
                to = chance.randrange(len(spoilt))
                spoilt[to : to + size] = spoilt[at : at + size]
            case 7:
                start = chance.randrange(len(other) or 1)
                spoilt[at : at + chance.choice((0, size))] = other[start : start + size]
    return bytes(spoilt)


def spoil_text(text: str, other: str, chance: random.Random) -> bytes:
    """Lines repeated, lost, exchanged or joined with others'; numbers and words replaced; then perhaps bytes."""
    for _ in range(1 + (chance.random() < 0.5) * chance.randrange(4)):
        text = _spoil_once(text, other, chance)
    data = text.encode("utf-8", errors=chance.choice(("replace", "surrogatepass")))
    if chance.random() < 0.03:
        return text.encode("utf-16", errors="replace")
    return spoil_bytes(data, other.encode(errors="replace"), chance) if chance.random() < 0.15 else data


def _spoil_once(text: str, other: str, chance: random.Random) -> str:
    kind = chance.randrange(9)
    if kind < 5:
        return _spoil_lines(text.split("\n"), other.split("\n"), chance, kind)
    if kind < 7 and (numbers := list(_NUMBER.finditer(text))):
        found = chance.choice(numbers)
        return text[: found.start()] + _spelled(found[0], chance) + text[found.end() :]
    at = chance.randrange(len(text) + 1)
    return text[:at] + chance.choice(TEXTS) + text[at + chance.choice((0, 1, 5)) :]


def _spoil_lines(lines: list[str], others: Sequence[str], chance: random.Random, kind: int) -> str:
    at, to = chance.randrange(len(lines)), chance.randrange(len(lines))
    match kind:
        case 0:
            lines.insert(to, lines[at])
        case 1:
            del lines[at : at + chance.choice((1, 1, 2, 10))]
        case 2:
            lines[at], lines[to] = lines[to], lines[at]
        case 3:
            lines[at] = chance.choice(others)
        case 4:
            lines[at], lines[to] = _exchanged(lines[at], lines[to], chance)
    return "\n".join(lines)


def _exchanged(first: str, second: str, chance: random.Random) -> tuple[str, str]:
    """Two lines with one of their columns exchanged."""
    mark = ":" if ":" in first else ","
    one, two = first.split(mark), second.split(mark)
    column = chance.randrange(min(len(one), len(two)))
    one[column], two[column] = two[column], one[column]
    return mark.join(one), mark.join(two)


def _spelled(number: str, chance: random.Random) -> str:
    """Another number in its place, near or far, or the same one in other words."""
    match chance.randrange(6):
        case 0:
            at = chance.randrange(len(number))
            return number[:at] + str(chance.randrange(10)) + number[at + 1 :]
        case 1:
            return str(round(chance.uniform(-400, 400), chance.randrange(8)))
        case 2:
            return number.translate({ord("0") + k: 0x660 + k for k in range(10)})
        case 3:
            return chance.choice((f'"{number}"', f"{number}e0", f"0{number}", f"{number}0", f"{number} ", f"-{number}"))
    return chance.choice(NUMBERS)


def starts(message: bytes) -> dict[int, int]:
    """Number of each section of a good message to where it begins."""
    found, start = {0: 0}, 16
    while start < len(message) - 4:
        found[message[start + 4]] = start
        start += int.from_bytes(message[start : start + 4], "big")
    return found


def spoil_message(message: bytes, other: bytes, chance: random.Random) -> bytes:
    """Spoil what a good message says of itself, or its values, or anything; sometimes cut, with lengths that agree."""
    if chance.random() < 0.15:
        return spoil_bytes(message, other, chance)
    at, data = starts(message), bytearray(message)
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        _spoil_section(data, at, chance)
    if chance.random() < 0.2 and len(message) - at[7] > 9:
        del data[chance.randrange(at[7] + 5, len(data) - 4) : -4]
        data[at[7] : at[7] + 4] = struct.pack(">I", len(data) - 4 - at[7])
        data[8:16] = struct.pack(">Q", len(data))
    return bytes(data)


def _spoil_section(data: bytearray, at: dict[int, int], chance: random.Random) -> None:
    """One change where the section's meaning lies."""
    number = chance.choice((0, 1, 3, 4, 4, 5, 5, 5, 6, 7))
    start = at[number]
    draw = chance.random()
    if draw < 0.15:
        layout, lengths = (">Q", LONG_LENGTHS) if number == 0 else (">I", LENGTHS)
        struct.pack_into(layout, data, start + (8 if number == 0 else 0), chance.choice(lengths))
        return
    stop = {0: 16, 6: start + 8, 7: min(start + 40, len(data))}.get(number, at.get(number + 1, len(data)))
    if draw < 0.25:
        start, stop = at[7], len(data)
    place = chance.randrange(start, stop)
    if draw < 0.35 and place + 4 <= len(data):
        struct.pack_into(">I", data, place, chance.choice(LENGTHS))
        return
    data[place] = chance.choice((*OCTETS, data[place] ^ (1 << chance.randrange(8)), chance.randrange(256)))
