"""Packing read from sections 3, 5 and 6; inconsistent messages are refused."""

from __future__ import annotations

import struct

import eccodes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.packed import (
    PackedField,
    damage_message,
    make_packed,
    pack_message,
    random_packed,
    replace_octets,
    section_starts,
)

from hrrr_dask.errors import DecodeError, UnsupportedPackingError
from hrrr_dask.grib.packing import check_data_length, read_packing

SIMPLE = pack_message(PackedField(100, numbers=np.arange(100), bits=7, reference=2.5, binary_scale=-3, decimal_scale=2))
GROUPED = pack_message(make_packed())
BITMAP = np.arange(100) % 3 > 0
SPARSE = pack_message(PackedField(100, numbers=np.arange(int(BITMAP.sum())), bits=7, bitmap=BITMAP))


def keys(message: bytes, *names: str) -> list[int]:
    handle = eccodes.codes_new_from_message(message)
    try:
        return [eccodes.codes_get_long(handle, name) for name in names]
    finally:
        eccodes.codes_release(handle)


def with_length(message: bytes) -> bytes:
    """The message with its actual length in section 0."""
    return message[:8] + struct.pack(">Q", len(message)) + message[16:]


def resized(message: bytes, number: int, length: int) -> bytes:
    """The message with a section truncated or zero-padded to ``length`` bytes, and consistent lengths."""
    at = section_starts(message)[number]
    found = int.from_bytes(message[at : at + 4], "big")
    section = struct.pack(">I", length) + (message[at + 4 : at + found] + bytes(length))[: length - 4]
    whole = message[:at] + section + message[at + found :]
    return with_length(whole)


def test_simple_packing_is_read():
    packing, at = read_packing(SIMPLE), section_starts(SIMPLE)
    assert (packing.template, packing.n_cells, packing.n_values, packing.bits) == (0, 100, 100, 7)
    assert (packing.reference, packing.binary_scale, packing.decimal_scale) == (2.5, -3, 2)
    assert (packing.bitmap_at, packing.groups) == (None, None)
    assert (packing.values_at, packing.stop) == (at[7] + 5, len(SIMPLE) - 4)


def test_groups_agree_with_eccodes():
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
    at = section_starts(GROUPED)[7] + 5
    offsets = (groups.references_at, groups.widths_at, groups.lengths_at, read_packing(GROUPED).values_at)
    assert offsets == (at + 9, at + 9 + 23, at + 9 + 23 + 15, at + 9 + 23 + 15 + 40)


def test_a_bitmap_has_an_offset_and_fewer_values_than_cells():
    packing = read_packing(SPARSE)
    assert (packing.n_cells, packing.n_values) == (100, int(BITMAP.sum()))
    assert packing.bitmap_at == section_starts(SPARSE)[6] + 6


@pytest.mark.parametrize("message", [SIMPLE, GROUPED, SPARSE], ids=["simple", "groups", "bitmap"])
def test_a_prefix_into_section_7_has_the_same_packing_and_a_shorter_one_is_refused(message):
    into = section_starts(message)[7] + 5
    for stop in range(into, len(message)):
        shorter, whole = read_packing(message[:stop]), read_packing(message)
        if stop >= whole.values_at:
            assert shorter == whole
    for stop in range(into):
        with pytest.raises(DecodeError, match="the sections of the message do not form a chain"):
            read_packing(message[:stop])


def test_an_unsupported_packing_is_not_reported_as_damaged():
    message = replace_octets(SIMPLE, 5, 10, b"\x00\x28")
    with pytest.raises(UnsupportedPackingError, match=r"data representation template 5\.40$"):
        read_packing(message)
    check_data_length(message)  # another engine may support it


SHORT_SECTION = r"the data section has 80 bytes, its packing needs 88: the message is damaged, read it from another"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        (replace_octets(GROUPED, 5, 48, b"\x03"), "spatial differencing of order 3: the message is damaged"),
        (replace_octets(GROUPED, 5, 48, b"\x00"), "spatial differencing of order 0: the message is damaged"),
        (replace_octets(SPARSE, 6, 6, b"\x07"), "bitmap 7 is predefined by the centre, not in the message"),
        (replace_octets(SIMPLE, 5, 12, b"\x7f\x80\0\0"), "the reference value of the packing is not finite"),
        (replace_octets(SIMPLE, 5, 12, b"\x7f\xc0\0\0"), "the reference value of the packing is not finite"),
        (replace_octets(SIMPLE, 5, 6, b"\0\0\0\x63"), "the grid has 100 cells, section 5 has 99 values"),
        (replace_octets(SIMPLE, 5, 6, b"\0\0\0\x65"), "the grid has 100 cells, section 5 has 101 values"),
        (replace_octets(SPARSE, 5, 6, b"\0\0\0\x65"), "the grid has 100 cells, section 5 has 101 values"),
        (resized(SPARSE, 6, 6 + 12), "the bitmap has 12 bytes for 100 cells"),
        (resized(SIMPLE, 7, 5 + 80), SHORT_SECTION),
        (resized(GROUPED, 7, 5 + 86), "the data section has 86 bytes, its packing needs 87"),
        (
            replace_octets(GROUPED, 5, 32, b"\xff\xff\xff\xff"),
            r"the data section has 337 bytes, its packing needs 16,642,998,",
        ),
        (replace_octets(SIMPLE, 7, 5, b"\x06"), "the sections of the message do not form a chain"),
        (replace_octets(SIMPLE, 5, 1, b"\0\0\0\x04"), "the sections of the message do not form a chain"),
        (replace_octets(SIMPLE, 7, 1, b"\x7f\0\0\0"), "the sections of the message do not form a chain"),
    ],
)
def test_inconsistent_messages_are_refused_with_the_reason(message, text):
    for check in (read_packing, check_data_length):
        with pytest.raises(DecodeError, match=text) as caught:
            check(message)
        assert type(caught.value) is DecodeError
        assert "the message is damaged, read it from another source" in str(caught.value)


@pytest.mark.parametrize(("precision", "octets"), [(1, 4), (2, 8), (3, 16)])
def test_the_length_of_ieee_data_is_checked_for_other_engines(precision, octets):
    message = replace_octets(replace_octets(SIMPLE, 5, 10, b"\x00\x04"), 5, 12, bytes([precision]))
    with pytest.raises(UnsupportedPackingError, match=r"template 5\.4"):
        read_packing(resized(message, 7, 5 + 100 * octets))
    short = resized(message, 7, 5 + 100 * octets - 1)
    with pytest.raises(DecodeError, match=f"has {100 * octets - 1:,} bytes, its packing needs {100 * octets:,}: the"):
        check_data_length(short)  # ecCodes would read beyond the message


def test_a_field_that_does_not_exist_is_refused():
    with pytest.raises(DecodeError, match="wanted field 1 of the message, found 1 fields: the message is damaged"):
        read_packing(SIMPLE, 1)


def test_a_second_field_uses_the_sections_that_it_does_not_repeat():
    both = pack_message(
        PackedField(100, numbers=np.arange(100), bits=7), PackedField(100, numbers=np.arange(100), bits=9)
    )
    assert [read_packing(both, field).bits for field in (0, 1)] == [7, 9]
    start, stop = section_starts(both)[4], len(both) - 4  # of the second field
    first = pack_message(PackedField(100, numbers=np.arange(100), bits=7))
    shared = with_length(first[:-4] + both[start:stop] + b"7777")
    assert read_packing(shared, 1).n_cells == 100


def test_groups_of_zero_bits_are_limited_by_the_number_of_values():
    packed = make_packed(400, 0, bits=0)
    packed.lengths, packed.widths, packed.references = np.array([400]), np.zeros(1, int), np.zeros(1, int)
    packed.surplus, packed.width_bits, packed.length_bits = [np.zeros(400, int)], 0, 0
    message = pack_message(packed)
    check_data_length(message)
    for check in (read_packing, check_data_length):  # otherwise four billion lengths would be unpacked
        with pytest.raises(DecodeError, match="4,294,967,295 groups for 400 values: the message is damaged"):
            check(replace_octets(message, 5, 32, b"\xff\xff\xff\xff"))


def test_a_section_7_too_short_for_its_groups_is_refused():
    check_data_length(GROUPED)
    cut = resized(GROUPED, 7, 5 + 87 + 249)
    assert read_packing(cut).groups.count == 20
    with pytest.raises(DecodeError, match="the data section has 249 bytes, its packing needs 250: the message is"):
        check_data_length(cut)


def test_the_data_length_of_a_prefix_is_refused():
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


def check_read_or_refused(data: bytes) -> None:
    for check in (read_packing, check_data_length):
        assert outcome(check, data) == outcome(check, memoryview(data)) == outcome(check, memoryview(bytearray(data)))


@given(st.binary(max_size=300) | st.binary(max_size=300).map(lambda tail: b"GRIB\0\0\0\2" + bytes(6) + b"\2\0" + tail))
def test_arbitrary_bytes_are_read_or_refused(data):
    check_read_or_refused(data)


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from([SIMPLE, GROUPED, SPARSE]),
    st.lists(st.tuples(st.integers(0, 700), st.integers(0, 255)), max_size=5),
    st.integers(0, 700),
)
def test_changed_and_truncated_messages_are_read_or_refused(message, changes, size):
    changed = bytearray(message)
    for at, value in changes:
        changed[at % len(changed)] = value
    check_read_or_refused(bytes(changed))
    check_read_or_refused(bytes(changed[:size]))


def test_messages_with_damaged_packing_are_read_or_refused():
    for seed in range(3_000):
        message = pack_message(random_packed(np.random.default_rng([7, seed // 50]), 300))
        check_read_or_refused(damage_message(message, np.random.default_rng([9, seed])))


def test_a_reused_bitmap_that_is_too_short_is_refused():
    bitmap = np.arange(16) % 2 > 0
    small = PackedField(16, numbers=np.arange(8), bits=7, bitmap=bitmap)
    large = PackedField(400, numbers=np.arange(200), bits=7, bitmap=np.arange(400) % 2 > 0)
    message = pack_message(small, large)
    at = message.rindex(b"\x06\x00" + np.packbits(large.bitmap).tobytes()) - 4
    shared = with_length(message[:at] + b"\x00\x00\x00\x06\x06\xfe" + message[at + 6 + 50 :])
    with pytest.raises(DecodeError, match="the bitmap has 2 bytes for 400 cells"):
        read_packing(shared, field=1)
