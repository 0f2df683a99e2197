"""Which parts of messages are read: the first guess, what is learned from hour to hour, and when all of one is read."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime

import numpy as np
import pytest
from support.decoding import ENGINE, decode_with_eccodes, same_bits
from support.needs import real_bytes
from support.packed import PackedField, make_packed, pack_message, replace_octets
from support.paths import SHARED_DATA

from hrrr_dask.archive.inventory import parse_inventory
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
    return Prefixes(np.array([N // 2 - 1]), N)


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
    first = Prefixes(np.array([last_cell]), N).first(T, 1_000_000)
    assert first == pytest.approx(1_000_000 * share * 1.02 + 2_048, abs=10)


def test_all_is_read_where_the_last_cells_are_wanted():
    assert Prefixes(np.array([N - 1]), N).first(T, 1_000_000) == 1_000_000


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
    message, prefixes = pack_message(packed), Prefixes(np.array([99]), N)
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
    message, prefixes = pack_message(packed), Prefixes(np.array([n // 10 - 1]), n)
    first, stop = read(prefixes, message)
    assert first < read_packing(message).values_at < stop == len(message)
    prefixes = Prefixes(np.array([n // 2 - 1]), n)
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


# Parts of messages with simple packing

FAR = [3, 70_000, 70_001, 199_990]
"""Cells far from each other, and two neighbours; at some bits they share bytes with others."""


def sparse(cells: list[int] | np.ndarray = FAR, request_bytes: int = 1_000) -> Prefixes:
    return Prefixes(np.asarray(cells), N, request_bytes)


def with_holes(message: bytes, parts: tuple[tuple[int, int], ...], filler: int) -> bytes:
    """A message of which only some parts are known."""
    known = bytearray([filler]) * parts[-1][1]
    for start, stop in parts:
        known[start:stop] = message[start:stop]
    return bytes(known)


@pytest.mark.parametrize("bits", [*range(3, 33)])
def test_few_cells_need_only_the_header_and_what_is_around_them(bits):
    message, prefixes = simple(bits), sparse()
    parts = prefixes.parts(len(message))
    at = read_packing(message).values_at
    wanted = [range((8 * at + cell * bits) // 8, -(-(8 * at + (cell + 1) * bits) // 8)) for cell in FAR]
    assert [byte for start, stop in parts for byte in range(start, stop)] == sorted(
        {*range(wanted[0].stop), *(byte for each in wanted[1:] for byte in each)}
    ), "cell 3 is near the header"
    assert prefixes.confirms(memoryview(message)[:at], len(message))


@pytest.mark.parametrize("filler", [0, 255])
@pytest.mark.parametrize("seed", range(60))
def test_values_from_parts_are_those_of_the_whole_message(seed, filler):
    chance = np.random.default_rng([seed, 5])
    bits = int(chance.integers(3, 33))
    packed = PackedField(
        N,
        numbers=chance.integers(0, 1 << bits, N),
        bits=bits,
        reference=-17.25,
        binary_scale=int(chance.integers(-9, 3)),
    )
    message, cells = pack_message(packed), np.unique(chance.integers(0, N, int(chance.integers(1, 40))))
    prefixes = Prefixes(cells, N, request_bytes=int(chance.integers(0, 30_000)))
    parts = prefixes.parts(len(message)) or ((0, bytes_needed(message, cells[-1])),)
    part = with_holes(message, parts, filler)
    assert same_bits(ENGINE.points(part, cells), decode_with_eccodes(message)[cells])
    assert same_bits(ENGINE.points(part, cells[::-1]), decode_with_eccodes(message)[cells[::-1]])


def test_parts_cost_no_more_than_any_other_choice_of_ranges():
    for seed in range(200):
        chance = np.random.default_rng([seed, 9])
        cells, price = np.unique(chance.integers(0, N, 6)), int(chance.integers(0, 90_000))
        needed = [(0, 184), *((184 + int(cell), 185 + int(cell)) for cell in cells)]
        costs = []
        for joined in itertools.product([True, False], repeat=len(cells)):
            stops = [before[1] for before, _, join in zip(needed, needed[1:], joined, strict=False) if not join]
            starts = [after[0] for _, after, join in zip(needed, needed[1:], joined, strict=False) if not join]
            ranges = list(zip([0, *starts], [*stops, needed[-1][1]], strict=True))
            costs.append(sum(price + stop - start for start, stop in ranges))
        length = N + 188
        parts = Prefixes(cells, N, price).parts(length) or ((0, needed[-1][1]),)
        assert sum(price + stop - start for start, stop in parts) == min(costs)


def test_near_cells_are_read_as_a_prefix():
    assert sparse(request_bytes=140_000).parts(len(simple())) == ()
    assert sparse(np.arange(0, N, 900)).parts(len(simple())) == ()
    assert len(sparse(request_bytes=100_000).parts(len(simple()))) == 2
    assert Prefixes(np.array([190_000]), N).parts(len(simple())) == (), "the message has less than a request costs"


@pytest.mark.parametrize("length", [0, 188, 65_536, N, N + 149, N + 257, N - 1, 33 * N // 8 + 188, 10**9])
def test_a_length_that_simple_packing_does_not_have_suggests_no_parts(length):
    assert sparse().parts(length) == ()


IMPOSTORS = {
    "another packing": lambda message: replace_octets(message, 5, 10, b"\0\x02"),
    "other bits": lambda message: replace_octets(message, 5, 20, b"\x07"),
    "a constant": lambda message: replace_octets(message, 5, 20, b"\0"),
    "a subnormal reference": lambda message: replace_octets(message, 5, 12, b"\0\0\0\1"),
    "another number of cells": lambda message: replace_octets(
        replace_octets(message, 3, 7, (N - 1).to_bytes(4, "big")), 5, 6, (N - 1).to_bytes(4, "big")
    ),
    "a bitmap": lambda message: replace_octets(message, 6, 6, b"\0"),
    "a bitmap of the centre": lambda message: replace_octets(message, 6, 6, b"\7"),
    "another length": lambda message: message[:8] + (len(message) + 1).to_bytes(8, "big") + message[16:],
    "a second field": lambda message: replace_octets(message, 7, 1, b"\0\0\x99\0"),
    "another section": lambda message: replace_octets(message, 7, 5, b"\6"),
    "no message": lambda message: bytes(len(message)),
}


@pytest.mark.parametrize("what", IMPOSTORS)
def test_parts_are_not_trusted_where_the_header_does_not_confirm_them(what):
    message, prefixes = simple(), sparse()
    at = read_packing(message).values_at
    assert prefixes.confirms(memoryview(message)[:at], len(message))
    assert not prefixes.confirms(memoryview(IMPOSTORS[what](message))[:at], len(message))
    assert not prefixes.confirms(memoryview(message)[: at - 1], len(message))


def test_a_message_with_groups_that_has_the_length_of_simple_packing_is_not_taken_for_it():
    message = uneven(3, 3)
    n_cells = 8 * (len(message) - 200)  # so that one bit for each cell remains
    prefixes = Prefixes(np.array([5, n_cells - 1]), n_cells, request_bytes=10)
    ((_, stop), _) = prefixes.parts(len(message))
    assert not prefixes.confirms(memoryview(message)[:stop], len(message))
    assert not prefixes.confirms(memoryview(message), len(message))


@real_bytes
@pytest.mark.parametrize("seed", range(12))
def test_a_real_message_gives_the_same_values_from_its_parts(seed):
    message = (SHARED_DATA / "messages" / "hrrr.20230722.t06z.wrfsfcf01.UGRD-10m.grib2").read_bytes()
    chance, n_cells = np.random.default_rng([seed, 3]), 1799 * 1059
    cells = np.unique([*chance.integers(0, n_cells, (1, 2, 4)[seed % 3]), n_cells - 1])
    prefixes = Prefixes(cells, n_cells)
    parts = prefixes.parts(len(message))
    assert len(parts) > 1
    assert sum(stop - start for start, stop in parts) < 0.8 * len(message)
    assert prefixes.confirms(memoryview(message)[: parts[0][1]], len(message))
    assert same_bits(ENGINE.points(with_holes(message, parts, 255), cells), decode_with_eccodes(message)[cells])


@real_bytes
@pytest.mark.parametrize(
    ("name", "elements"),
    [
        ("hrrr.20200424.t01z.wrfsfcf00", set()),  # version 3 has none with simple packing
        ("hrrr.20221014.t09z.wrfsfcf05", {"UGRD", "VGRD", "VUCSH", "VVCSH"}),
        ("hrrr.20221014.t03z.wrfsubhf09", {"UGRD", "VGRD"}),
        ("hrrr.20250801.t00z.wrfsfcf24", {"UGRD", "VGRD", "VUCSH", "VVCSH"}),
    ],
)
def test_the_lengths_in_real_inventories_suggest_parts_of_few_messages(name, elements):
    text = (SHARED_DATA / "idx" / f"{name}.grib2.idx").read_text()
    records = parse_inventory(text, datetime.strptime(text.split(":")[2], "d=%Y%m%d%H"))
    prefixes = Prefixes(np.array([1_900_000]), 1799 * 1059)
    lengths = [(each.element, each.byte_range.size or 0) for each in records]
    assert {element for element, length in lengths if prefixes.parts(length)} == elements


@real_bytes
def test_only_real_messages_with_simple_packing_suggest_parts():
    for path in sorted((SHARED_DATA / "messages").glob("hrrr.2*.grib2")):
        message = path.read_bytes()
        n_cells = read_packing(message).n_cells
        suggested = Prefixes(np.array([n_cells - 1]), n_cells, 1_000).parts(len(message))
        assert bool(suggested) == ("UGRD-10m" in path.name), path.name
