"""How values are packed, as sections 3, 5 and 6 say it; what contradicts itself is refused, whatever the bytes are."""

from __future__ import annotations

import struct

import eccodes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.packed import Packed, altered, damaged, message_of, plain, random_packed, starts

from hrrr_dask.errors import DecodeError, UnsupportedPackingError
from hrrr_dask.grib.packing import check_data_length, read_packing

SIMPLE = message_of(Packed(100, numbers=np.arange(100), bits=7, reference=2.5, binary_scale=-3, decimal_scale=2))
GROUPED = message_of(plain())
BITMAP = np.arange(100) % 3 > 0
SPARSE = message_of(Packed(100, numbers=np.arange(int(BITMAP.sum())), bits=7, bitmap=BITMAP))


def keys(message: bytes, *names: str) -> list[int]:
    handle = eccodes.codes_new_from_message(message)
    try:
        return [eccodes.codes_get_long(handle, name) for name in names]
    finally:
        eccodes.codes_release(handle)


def resized(message: bytes, number: int, length: int) -> bytes:
    """A section cut or filled up with zeros to so many bytes; all lengths agree."""
    at = starts(message)[number]
    found = int.from_bytes(message[at : at + 4], "big")
    section = struct.pack(">I", length) + (message[at + 4 : at + found] + bytes(length))[: length - 4]
    whole = message[:at] + section + message[at + found :]
    return whole[:8] + struct.pack(">Q", len(whole)) + whole[16:]


def test_simple_packing_is_read_as_it_was_written():
    packing, at = read_packing(SIMPLE), starts(SIMPLE)
    assert (packing.template, packing.n_cells, packing.n_values, packing.bits) == (0, 100, 100, 7)
    assert (packing.reference, packing.binary_scale, packing.decimal_scale) == (2.5, -3, 2)
    assert (packing.bitmap_at, packing.groups) == (None, None)
    assert (packing.values_at, packing.stop) == (at[7] + 5, len(SIMPLE) - 4)


def test_groups_are_described_as_eccodes_describes_them():
    groups = read_packing(GROUPED).groups
    assert [groups.count, groups.width_base, groups.width_bits, groups.length_base, groups.length_step] == keys(
        GROUPED,
        "numberOfGroupsOfDataValues",
        "referenceForGroupWidths",
        "numberOfBitsUsedForTheGroupWidths",
        "referenceForGroupLengths",
        "lengthIncrementForTheGroupLengths",
    )
    assert [groups.last_length, groups.length_bits, groups.missing_management, groups.order] == keys(
        GROUPED,
        "trueLengthOfLastGroup",
        "numberOfBitsForScaledGroupLengths",
        "missingValueManagementUsed",
        "orderOfSpatialDifferencing",
    )
    assert (groups.first, groups.second, groups.bias) == (100, 103, -20)
    at = starts(GROUPED)[7] + 5
    places = (groups.references_at, groups.widths_at, groups.lengths_at, read_packing(GROUPED).values_at)
    assert places == (at + 9, at + 9 + 23, at + 9 + 23 + 15, at + 9 + 23 + 15 + 40)


def test_a_bitmap_has_its_place_and_fewer_values_than_cells():
    packing = read_packing(SPARSE)
    assert (packing.n_cells, packing.n_values) == (100, int(BITMAP.sum()))
    assert packing.bitmap_at == starts(SPARSE)[6] + 6


@pytest.mark.parametrize("message", [SIMPLE, GROUPED, SPARSE], ids=["simple", "groups", "bitmap"])
def test_a_beginning_into_section_7_says_the_same_and_a_shorter_one_is_refused(message):
    into = starts(message)[7] + 5
    for stop in range(into, len(message)):
        shorter, whole = read_packing(message[:stop]), read_packing(message)
        if stop >= whole.values_at:
            assert shorter == whole
    for stop in range(into):
        with pytest.raises(DecodeError, match="the sections of the message cannot be followed"):
            read_packing(message[:stop])


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (altered(SIMPLE, 5, 10, b"\x00\x28"), r"data representation template 5\.40$"),
    ],
)
def test_a_packing_that_is_not_known_is_told_from_a_damaged_one(message, text):
    with pytest.raises(UnsupportedPackingError, match=text):
        read_packing(message)
    check_data_length(message)  # another engine may know it


SHORT_SECTION = r"the data section has 80 bytes, its packing needs 88: the message is damaged, read it from another"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (altered(GROUPED, 5, 48, b"\x03"), "spatial differencing of order 3: the message is damaged"),
        (altered(GROUPED, 5, 48, b"\x00"), "spatial differencing of order 0: the message is damaged"),
        (altered(SPARSE, 6, 6, b"\x07"), "bitmap 7 is predefined by the centre, not in the message"),
        (altered(SIMPLE, 5, 12, b"\x7f\x80\0\0"), "the reference value of the packing is no number"),
        (altered(SIMPLE, 5, 12, b"\x7f\xc0\0\0"), "the reference value of the packing is no number"),
        (altered(SIMPLE, 5, 6, b"\0\0\0\x63"), "the grid has 100 cells, section 5 speaks of 99 values"),
        (altered(SIMPLE, 5, 6, b"\0\0\0\x65"), "the grid has 100 cells, section 5 speaks of 101 values"),
        (altered(SPARSE, 5, 6, b"\0\0\0\x65"), "the grid has 100 cells, section 5 speaks of 101 values"),
        (resized(SPARSE, 6, 6 + 12), "the bitmap has 12 bytes for 100 cells"),
        (resized(SIMPLE, 7, 5 + 80), SHORT_SECTION),
        (resized(GROUPED, 7, 5 + 86), "the data section has 86 bytes, its packing needs 87"),
        (
            altered(GROUPED, 5, 32, b"\xff\xff\xff\xff"),
            r"the data section has 337 bytes, its packing needs 16,642,998,",
        ),
        (altered(SIMPLE, 7, 5, b"\x06"), "the sections of the message cannot be followed"),
        (altered(SIMPLE, 5, 1, b"\0\0\0\x04"), "the sections of the message cannot be followed"),
        (altered(SIMPLE, 7, 1, b"\x7f\0\0\0"), "the sections of the message cannot be followed"),
    ],
)
def test_what_contradicts_itself_is_damaged_and_says_how(message, text):
    for check in (read_packing, check_data_length):
        with pytest.raises(DecodeError, match=text) as caught:
            check(message)
        assert type(caught.value) is DecodeError
        assert "the message is damaged, read it from another source" in str(caught.value)


@pytest.mark.parametrize(("precision", "octets"), [(1, 4), (2, 8), (3, 16)])
def test_ieee_numbers_are_for_another_engine_if_they_are_all_there(precision, octets):
    message = altered(altered(SIMPLE, 5, 10, b"\x00\x04"), 5, 12, bytes([precision]))
    with pytest.raises(UnsupportedPackingError, match=r"template 5\.4"):
        read_packing(resized(message, 7, 5 + 100 * octets))
    short = resized(message, 7, 5 + 100 * octets - 1)
    with pytest.raises(DecodeError, match=f"has {100 * octets - 1:,} bytes, its packing needs {100 * octets:,}: the"):
        check_data_length(short)  # ecCodes would go on reading in memory that is not the message's


def test_a_field_that_is_not_there_is_told():
    with pytest.raises(DecodeError, match="field 1 of the message was wanted, it has 1: the message is damaged"):
        read_packing(SIMPLE, 1)


def test_a_second_field_has_the_sections_that_it_does_not_repeat():
    both = message_of(Packed(100, numbers=np.arange(100), bits=7), Packed(100, numbers=np.arange(100), bits=9))
    assert [read_packing(both, field).bits for field in (0, 1)] == [7, 9]
    start, stop = starts(both)[4], len(both) - 4  # of the second field
    first = message_of(Packed(100, numbers=np.arange(100), bits=7))
    shared = first[:-4] + both[start:stop] + b"7777"
    shared = shared[:8] + struct.pack(">Q", len(shared)) + shared[16:]
    assert read_packing(shared, 1).n_cells == 100


def test_groups_without_bits_are_bounded_by_the_number_of_values():
    packed = plain(400, 0, bits=0)
    packed.lengths, packed.widths, packed.references = np.array([400]), np.zeros(1, int), np.zeros(1, int)
    packed.surplus, packed.width_bits, packed.length_bits = [np.zeros(400, int)], 0, 0
    message = message_of(packed)
    check_data_length(message)
    for check in (read_packing, check_data_length):  # else four billion lengths would be listed
        with pytest.raises(DecodeError, match="4,294,967,295 groups for 400 values: the message is damaged"):
            check(altered(message, 5, 32, b"\xff\xff\xff\xff"))


def test_groups_that_need_more_than_the_section_has_are_found_in_whole_messages():
    check_data_length(GROUPED)
    cut = resized(GROUPED, 7, 5 + 87 + 249)
    assert read_packing(cut).groups.count == 20
    with pytest.raises(DecodeError, match="the data section has 249 bytes, its packing needs 250: the message is"):
        check_data_length(cut)


def test_a_beginning_has_no_data_length():
    stop = len(GROUPED) - 4
    with pytest.raises(
        DecodeError, match=f"section 7 ends at byte {stop}, the message at byte {stop - 1}: the message"
    ):
        check_data_length(GROUPED[: stop - 1])


def outcome(check, data: bytes | memoryview):
    try:
        return check(data)
    except DecodeError as error:
        return type(error), str(error)


def only_decode_errors(data: bytes) -> None:
    for check in (read_packing, check_data_length):
        assert outcome(check, data) == outcome(check, memoryview(data)) == outcome(check, memoryview(bytearray(data)))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"GRIB\0\0\0\2" + bytes(6) + b"\2\0" + tail))
def test_any_bytes_are_read_or_refused_the_same_as_view_and_as_bytes(data):
    only_decode_errors(data)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([SIMPLE, GROUPED, SPARSE]),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=5),
    st.integers(0, 700),
)
def test_changed_and_cut_messages_are_read_or_refused(message, changes, size):
    changed = bytearray(message)
    for at, value in changes:
        changed[at % len(changed)] = value
    only_decode_errors(bytes(changed))
    only_decode_errors(bytes(changed[:size]))


def test_messages_damaged_where_it_matters_are_read_or_refused():
    for seed in range(3_000):
        message = message_of(random_packed(np.random.default_rng([7, seed // 50]), 300))
        only_decode_errors(damaged(message, np.random.default_rng([9, seed])))


def test_the_bitmap_of_an_earlier_field_must_hold_the_cells_of_a_later_one():
    bitmap = np.arange(16) % 2 > 0
    small = Packed(16, numbers=np.arange(8), bits=7, bitmap=bitmap)
    large = Packed(400, numbers=np.arange(200), bits=7, bitmap=np.arange(400) % 2 > 0)
    message = message_of(small, large)
    at = message.rindex(b"\x06\x00" + np.packbits(large.bitmap).tobytes()) - 4
    shared = message[:at] + b"\x00\x00\x00\x06\x06\xfe" + message[at + 6 + 50 :]
    shared = shared[:8] + len(shared).to_bytes(8, "big") + shared[16:]
    with pytest.raises(DecodeError, match="the bitmap has 2 bytes for 400 cells"):
        read_packing(shared, field=1)
