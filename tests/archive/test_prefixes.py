"""How far messages are read: the first guess, what is learned from hour to hour, and when all of one is read."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from support.decoding import ENGINE, decode_with_eccodes, same_bits
from support.packed import PackedField, make_packed, pack_message, replace_octets

from hrrr_dask.archive.prefixes import Prefixes
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.decode.numba_engine import bytes_needed
from hrrr_dask.errors import UnsupportedPackingError
from hrrr_dask.grib.packing import read_packing

T, U = Selector.parse("TMP:surface"), Selector.parse("UGRD:10 m above ground")
N = 200_000
"""Cells of the generated messages: enough for a message that is not read whole for its smallness."""


def simple(bits: int = 8, n: int = N) -> bytes:
    return pack_message(PackedField(n, numbers=np.arange(n) % (1 << bits), bits=bits))


def uneven(south: int, north: int) -> bytes:
    """Groups of so many bits in the southern and in the northern half."""
    packed = make_packed(N, 1)
    half = len(packed.widths) // 2
    packed.widths[:half], packed.widths[half:] = south, north
    packed.surplus = [np.zeros(size, dtype=np.int64) for size in packed.lengths]
    return pack_message(packed)


def half() -> Prefixes:
    return Prefixes(N // 2 - 1, N)


def read(prefixes: Prefixes, message: bytes, selector: Selector = T) -> tuple[int, int]:
    """As :mod:`hrrr_dask.archive.messages` does: the first read, and where the second one stops."""
    first = prefixes.first(selector, len(message))
    needed = prefixes.needed(selector, memoryview(message)[:first], len(message))
    if needed == len(message) > first:
        prefixes.needed(selector, memoryview(message), len(message))
    return first, max(first, needed)


@pytest.mark.parametrize(
    ("last_cell", "share"), [(0, 0.25), (N // 4 - 1, 0.4375), (N // 2 - 1, 0.625), (3 * N // 4 - 1, 0.8125)]
)
def test_the_first_guess_takes_a_quarter_for_descriptions_and_cells_for_even(last_cell, share):
    first = Prefixes(last_cell, N).first(T, 1_000_000)
    assert first == pytest.approx(1_000_000 * share * 1.02 + 2_048, abs=10)


def test_all_is_read_where_the_last_cells_are_wanted():
    assert Prefixes(N - 1, N).first(T, 1_000_000) == 1_000_000


@pytest.mark.parametrize("length", [0, 1, 188, 65_536])
def test_a_small_message_is_read_whole_and_teaches_nothing(length):
    prefixes = half()
    before = prefixes.first(T, 1_000_000)
    assert prefixes.first(T, length) == length
    assert prefixes.needed(T, memoryview(bytes(length)), length) == length
    assert prefixes.first(T, 1_000_000) == before


def test_a_night_of_one_value_leaves_what_the_day_taught():
    day, night = simple(), pack_message(PackedField(N, numbers=np.zeros(N, dtype=int), bits=0))
    prefixes = half()
    read(prefixes, day)
    learned = prefixes.first(T, len(day))
    assert read(prefixes, night) == (len(night), len(night))
    assert read(prefixes, day)[0] == learned < 0.55 * len(day)


def test_simple_packing_is_read_to_the_last_wanted_cell():
    message, prefixes = simple(), half()
    needed = bytes_needed(message, N // 2 - 1)
    assert needed == read_packing(message).values_at + N // 2
    first, stop = read(prefixes, message)
    assert needed < first == stop, "the guess has room for descriptions, which there are none of"
    first, stop = read(prefixes, message)
    assert needed <= first == stop < needed * 1.03 + 2_048


def test_each_variable_learns_for_itself():
    prefixes = half()
    unlearned = prefixes.first(U, 1_000_000)
    read(prefixes, simple(), T)
    assert prefixes.first(U, 1_000_000) == unlearned > prefixes.first(T, 1_000_000)


def test_a_share_that_grew_is_read_in_two_requests_once():
    little, much, prefixes = uneven(2, 8), uneven(8, 6), half()
    for _ in range(3):
        first, stop = read(prefixes, little)
    assert first == stop < 0.5 * len(little)
    first, stop = read(prefixes, much)
    assert first < stop == bytes_needed(much, N // 2 - 1) < 0.9 * len(much)
    first, stop = read(prefixes, much)
    assert first == stop


def test_a_share_that_shrank_is_learned_even_from_messages_that_were_read_whole():
    little, much, prefixes = uneven(2, 8), uneven(12, 1), half()
    for _ in range(2):
        first, stop = read(prefixes, much)
    assert first == stop == len(much), "more than nine tenths are needed"
    assert read(prefixes, little)[0] == len(little)
    assert read(prefixes, little)[0] < 0.5 * len(little)


def test_descriptions_that_take_more_than_the_guess_are_read_in_two_requests_once():
    packed = make_packed(N, 5)
    packed.lengths = np.full(N // 4, 4)
    packed.widths = np.full(N // 4, 5)
    packed.references = np.arange(N // 4) % 512
    packed.surplus = [np.zeros(4, dtype=int)] * (N // 4)
    message, prefixes = pack_message(packed), Prefixes(99, N)
    assert read_packing(message).values_at > 0.6 * len(message)
    first, stop = read(prefixes, message)
    assert first < stop == len(message), "nobody can tell where the cells lie"
    first, stop = read(prefixes, message)
    assert bytes_needed(message, 99) <= first == stop < len(message)


def test_a_bitmap_that_takes_more_than_the_guess_is_read_in_two_requests_once():
    n = 2_000_000
    there = np.zeros(n, dtype=bool)
    there[:: n // 50_000] = True
    packed = PackedField(n, numbers=np.arange(int(there.sum())) % 256, bits=8, bitmap=there)
    message, prefixes = pack_message(packed), Prefixes(n // 10 - 1, n)
    first, stop = read(prefixes, message)
    assert first < read_packing(message).values_at < stop == len(message)
    prefixes = Prefixes(n // 2 - 1, n)
    for _ in range(2):
        first, stop = read(prefixes, message)
    assert first == stop
    cells = np.arange(0, n // 2, 999)
    assert same_bits(ENGINE.points(message[:first], cells), decode_with_eccodes(message)[cells])


def test_a_packing_that_only_whole_messages_are_decoded_of_is_read_whole_and_at_once_next_time():
    message, prefixes = replace_octets(uneven(3, 3), 5, 10, b"\x00\x28"), half()
    with pytest.raises(UnsupportedPackingError):
        bytes_needed(message, 0)
    first, stop = read(prefixes, message)
    assert first < stop == len(message)
    assert read(prefixes, message) == (len(message), len(message))
    read(prefixes, uneven(3, 3))
    assert prefixes.first(T, len(message)) < len(message), "and back again"


@pytest.mark.parametrize(
    ("number", "octet", "data"),
    [
        (5, 6, b"\0\0\0\1"),  # fewer values than cells
        (5, 32, b"\xff\xff\xff\xff"),  # more groups than bytes
        (7, 5, b"\x06"),
        (3, 1, b"\0\0\0\2"),
        (7, 1, b"\0\0\0\x99"),  # section 7 ends before the message does: perhaps another field follows
    ],
)
def test_a_damaged_message_is_read_whole_to_be_refused_and_teaches_nothing(number, octet, data):
    prefixes = half()
    read(prefixes, uneven(3, 3))
    before = prefixes.first(T, 1_000_000)
    message = replace_octets(uneven(3, 3), number, octet, data)
    assert read(prefixes, message)[1] == len(message)
    assert prefixes.first(T, 1_000_000) == before


@pytest.mark.parametrize("junk", [b"", b"GRIB", b"<html>" * 20_000, bytes(100_000), b"GRIB\0\0\0\2" + bytes(99_000)])
def test_what_is_no_message_is_read_whole(junk):
    assert half().needed(T, memoryview(junk), 1_000_000) == 1_000_000


def test_a_message_of_another_length_is_read_whole():
    message = uneven(3, 3)
    assert half().needed(T, memoryview(message)[:90_000], len(message) + 1) == len(message) + 1


def test_threads_learn_side_by_side():
    messages, prefixes, cells = [uneven(2, 8), uneven(8, 6), simple()], half(), np.arange(0, N // 2, 97)
    expected = [decode_with_eccodes(message)[cells] for message in messages]

    def one(k: int) -> bool:
        message = messages[k % 3]
        stop = read(prefixes, message, (T, U)[k % 2])[1]
        return same_bits(ENGINE.points(message[:stop], cells), expected[k % 3])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, range(120)))
