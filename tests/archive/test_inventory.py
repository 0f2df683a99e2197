"""Inventories: real ones, hostile ones, and the same taken from files, with ecCodes as the oracle."""

from __future__ import annotations

import contextlib
import re
import struct
from collections.abc import Callable
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import eccodes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.archive.index_scan import BLOCK, MAX_HEADER, scan_messages
from hrrr_dask.archive.inventory import (
    MAX_TEXT,
    check_extent,
    locate,
    merge_ranges,
    parse_inventory,
    parse_window,
    select,
)
from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.errors import (
    AmbiguousMessageError,
    HrrrDaskError,
    InventoryError,
    MessageNotFoundError,
    TruncatedError,
    WrongIdentityError,
)
from hrrr_dask.records import ByteRange, Record, Window

REAL_INVENTORIES = sorted((SHARED_DATA / "idx").glob("*.idx"))
REAL_SURFACE = [path for path in REAL_INVENTORIES if "wrfsfc" in path.name]
REAL_ARCHIVE = sorted((SHARED_DATA / "archive").rglob("*.grib2"))

INIT = datetime(2024, 1, 1, 6)
DEFAULTS = [
    "PRES:surface",
    "SFCR:surface",
    "VBDSF:surface",
    "VDDSF:surface",
    "TMP:2 m above ground",
    "DPT:2 m above ground",
    "RH:2 m above ground",
    "UGRD:10 m above ground",
    "VGRD:10 m above ground",
    "UGRD:80 m above ground",
    "VGRD:80 m above ground",
]
"""The eleven default variables."""


def inventory(*lines: str) -> tuple[Record, ...]:
    """Records of lines ``ELEMENT:LEVEL:WINDOW``, 100 bytes each."""
    text = "\n".join(f"{n + 1}:{100 * n}:d=2024010106:{line}:" for n, line in enumerate(lines))
    return parse_inventory(text, INIT)


def run_of(path: Path) -> tuple[datetime, int]:
    match = re.search(r"(\d{8})(?:/conus/hrrr)?\.t(\d\d)z\.wrf(?:sfc|subh)f(\d\d)", str(path))
    return datetime.strptime(match[1] + match[2], "%Y%m%d%H"), int(match[3])


def parse_real(path: Path) -> tuple[Record, ...]:
    return parse_inventory(path.read_text(), run_of(path)[0])


# windows


@pytest.mark.parametrize(
    ("text", "window"),
    [
        ("anl", Window("instant", 0, 0)),
        ("5 hour fcst", Window("instant", 300, 300)),
        ("495 min fcst", Window("instant", 495, 495)),
        ("2 day fcst", Window("instant", 2880, 2880)),
        ("0-5 hour acc fcst", Window("acc", 0, 300)),
        ("4-5 hour max fcst", Window("max", 240, 300)),
        ("4-5 hour min fcst", Window("min", 240, 300)),
        ("480-495 min ave fcst", Window("ave", 480, 495)),
        ("0-1 day acc fcst", Window("acc", 0, 1440)),
        ("0-0 day acc fcst", Window("acc", 0, 0)),
    ],
)
def test_windows_are_read(text, window):
    assert parse_window(text) == window


@pytest.mark.parametrize(
    "text",
    [
        "",
        "fcst",
        "5 hour",
        "5 hours fcst",
        "5 hour acc fcst",
        "0-5 hour fcst",
        "5-4 hour acc fcst",
        "0-1 month acc fcst",
        "0-6 hour acc@(fcst,dt=1 hour)",
        "-5 hour fcst",
        "\u0665 hour fcst",
        "5 hour fcst ",
    ],
)
def test_other_windows_are_not_understood(text):
    assert parse_window(text) is None


@given(st.text(max_size=40))
def test_any_text_is_a_window_or_none(text):
    parse_window(text)


# texts


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_INVENTORIES, ids=lambda path: path.name)
def test_every_line_of_a_real_inventory_is_understood(path):
    records = parse_real(path)
    assert len(records) == len(path.read_text().splitlines())
    assert [record for record in records if record.window is None] == []
    stops = [record.byte_range.stop for record in records]
    assert stops == [record.byte_range.start for record in records[1:]] + [None]


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_SURFACE, ids=lambda path: path.name)
@pytest.mark.parametrize("selector", [*DEFAULTS, "APCP:surface:run acc"])
def test_default_variables_are_selected_in_real_inventories(path, selector):
    records = parse_real(path)
    window = "" if selector.count(":") == 2 else ":instant"
    record = select(records, Wanted(Selector.parse(selector + window), 60 * run_of(path)[1]))
    line = path.read_text().splitlines()[records.index(record)]
    assert line.split(":")[3:5] == selector.split(":")[:2]
    assert int(line.split(":")[1]) == record.byte_range.start


@pytest.mark.parametrize("end", [":", ""])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\n\n"])
def test_last_colon_and_blank_lines_do_not_matter(end, newline):
    lines = [
        f"1:0:d=2024010106:TMP:surface:5 hour fcst{end}",
        f"2:70:d=2024010106:RH:2 m above ground:5 hour fcst{end}",
        "",
    ]
    first, second = parse_inventory(newline.join(lines), INIT)
    assert first == Record("TMP", "surface", Window("instant", 300, 300), INIT, ByteRange(0, 70))
    assert second.byte_range == ByteRange(70, None)


def test_raw_spelling_of_a_known_element_is_its_name():
    records = inventory("var discipline=0 center=7 local_table=1 parmcat=4 parm=200:surface:anl")
    assert select(records, Wanted(Selector.parse("VBDSF:surface:instant"), 0)) is records[0]


def test_fields_of_one_message_share_its_range():
    lines = ("1.1:0:{}:UGRD:10 m above ground:anl", "1.2:0:{}:VGRD:10 m above ground:anl", "2:9:{}:TMP:surface:anl")
    records = parse_inventory("\n".join(lines).format(*3 * ["d=2024010106"]), INIT)
    assert [record.byte_range for record in records] == [ByteRange(0, 9), ByteRange(0, 9), ByteRange(9, None)]


def test_line_with_more_than_a_window_is_never_selected():
    (record,) = parse_inventory("1:0:d=2024010106:TMP:surface:anl:ENS=+1", INIT)
    assert record.window is None
    with pytest.raises(MessageNotFoundError, match="not understood"):
        select([record], Wanted(Selector.parse("TMP:surface"), 0))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no lines"),
        (" \n\n", "no lines"),
        ("<?xml version='1.0'?><Error><Code>NoSuchKey</Code></Error>", "web page"),
        ("GRIB\0\0\0\2", "line 1"),
        ("1:0:d=2024010106:TMP:surface:anl:\n2:9:d=2024010106:TMP", "line 2"),
        ("1:x:d=2024010106:TMP:surface:anl:", "line 1"),
        ("1:-5:d=2024010106:TMP:surface:anl:", "line 1"),
        (f"1:{10**30}:d=2024010106:TMP:surface:anl:", "line 1"),
        ("1:0:d=2024010106::surface:anl:", "line 1"),
        ("1:0:d=2024010100:TMP:surface:anl:", "2024010106.*found 2024010100"),
        ("1:9:d=2024010106:TMP:surface:anl:\n\n2:5:d=2024010106:RH:surface:anl:", "line 3.*found 5"),
        ("1" * (MAX_TEXT + 1), "at most"),
    ],
    ids=lambda text: text[:30],
)
def test_text_that_cannot_be_trusted_is_refused(text, said):
    with pytest.raises(InventoryError, match=said) as caught:
        parse_inventory(text, INIT)
    assert "walk the file" in str(caught.value)
    assert len(str(caught.value)) < 500


LINE = "1:0:d=2024010106:TMP:2 m above ground:0-1 day acc fcst:"


@given(st.text() | st.lists(st.sampled_from([LINE, LINE[:-1], "", LINE.replace("1:0", "2:7"), "junk"])).map("\n".join))
def test_any_text_is_an_inventory_or_refused(text):
    with contextlib.suppress(InventoryError):
        assert parse_inventory(text, INIT)


@given(st.lists(st.tuples(st.integers(0, len(LINE) - 1), st.characters()), max_size=4))
def test_any_damaged_line_is_read_or_refused(changes):
    line = list(LINE)
    for at, character in changes:
        line[at] = character
    with contextlib.suppress(InventoryError):
        assert parse_inventory("".join(line), INIT)


# extent


def test_record_beyond_the_object_says_both_numbers():
    records = inventory("TMP:surface:anl", "RH:surface:anl")
    check_extent(records, 101)
    with pytest.raises(TruncatedError, match="at byte 100, found an object of 100 bytes"):
        check_extent(records, 100)


# selection


def test_windows_are_selected_by_what_they_mean():
    records = inventory("APCP:surface:0-1 day acc fcst", "APCP:surface:23-24 hour acc fcst", "TMP:surface:1 day fcst")
    assert select(records, Wanted(Selector.parse("APCP:surface:run acc"), 1440)) is records[0]
    assert select(records, Wanted(Selector.parse("APCP:surface:24 hour acc"), 1440)) is records[0]
    assert select(records, Wanted(Selector.parse("APCP:surface:1 hour acc"), 1440)) is records[1]
    assert select(records, Wanted(Selector.parse("TMP:surface:instant"), 1440)) is records[2]
    assert select(records, Wanted(Selector.parse("TMP:surface"), 1440)) is records[2]


def test_words_match_only_as_a_whole():
    records = inventory("TMP:2 m above ground:anl", "TMP:12 m above ground:anl", "VTMP:2 m above ground:anl")
    assert select(records, Wanted(Selector.parse("TMP:2 m above ground:instant"), 0)) is records[0]
    with pytest.raises(MessageNotFoundError):
        select(records, Wanted(Selector.parse("TMP:m above ground:instant"), 0))


def test_two_candidates_are_an_error_that_lists_them():
    records = inventory("APCP:surface:0-5 hour acc fcst", "APCP:surface:4-5 hour acc fcst", "RH:surface:5 hour fcst")
    with pytest.raises(AmbiguousMessageError, match=r"acc of 0-300 min.*acc of 240-300 min.*name the window"):
        select(records, Wanted(Selector.parse("APCP:surface"), 300))


def test_wrong_level_is_answered_with_the_levels_there_are():
    records = inventory("TMP:surface:anl", "TMP:500 mb:anl", "RH:surface:anl")
    with pytest.raises(MessageNotFoundError, match="TMP:surface:instant at 0 min, TMP:500 mb:instant at 0 min:"):
        select(records, Wanted(Selector.parse("TMP:700 mb:instant"), 0))


def test_wrong_window_is_answered_with_the_windows_there_are():
    records = inventory("APCP:surface:0-5 hour acc fcst", "APCP:cloud base:4-5 hour acc fcst")
    with pytest.raises(MessageNotFoundError, match="found APCP:surface:acc of 0-300 min: name one"):
        select(records, Wanted(Selector.parse("APCP:surface:1 hour acc"), 300))


def test_window_that_would_begin_before_the_run_is_not_found():
    with pytest.raises(MessageNotFoundError):
        select(inventory("APCP:surface:0-0 day acc fcst"), Wanted(Selector.parse("APCP:surface:1 hour acc"), 0))


def test_element_that_is_not_there_is_not_found():
    with pytest.raises(MessageNotFoundError, match="no RH among the file's 1 messages"):
        select(inventory("TMP:surface:anl"), Wanted(Selector.parse("RH:surface:instant"), 0))


def test_long_lists_of_candidates_are_cut_short():
    records = inventory(*(f"TMP:{level} mb:anl" for level in range(40)))
    with pytest.raises(MessageNotFoundError, match="and 28 more"):
        select(records, Wanted(Selector.parse("TMP:surface:instant"), 0))


# ranges

small_ranges = st.builds(
    lambda start, size: ByteRange(start, None if size is None else start + size),
    st.integers(0, 40),
    st.none() | st.integers(1, 10),
)
OBJECT = bytes(range(60))


def bytes_of(each: ByteRange) -> set[int]:
    return set(range(each.start, len(OBJECT) if each.stop is None else each.stop))


@given(st.lists(small_ranges, max_size=8), st.integers(0, 6))
def test_merged_ranges_are_those_of_enumeration(ranges, gap):
    merged = merge_ranges(ranges, gap)
    wanted = set().union(*(bytes_of(each) for each in ranges))
    filled = {
        at
        for at in range(len(OBJECT))
        if at in wanted
        or any(
            at - back in wanted and at - back + width + 1 in wanted
            for width in range(1, gap + 1)
            for back in range(1, width + 1)
        )
    }
    assert set().union(*(bytes_of(each) for each in merged)) == filled
    for before, after in pairwise(merged):
        assert before.stop is not None
        assert after.start > before.stop + gap


@given(st.lists(small_ranges, min_size=1, max_size=8), st.integers(0, 6))
def test_messages_are_cut_back_out_of_merged_ranges(ranges, gap):
    merged = merge_ranges(ranges, gap)
    blocks = [OBJECT[each.start : each.stop] for each in merged]
    for each in ranges:
        which, start, stop = locate(each, merged)
        assert blocks[which][start:stop] == OBJECT[each.start : each.stop]


def test_range_that_was_not_merged_is_not_located():
    with pytest.raises(ValueError, match="lies in none"):
        locate(ByteRange(5, 15), [ByteRange(0, 10), ByteRange(12, None)])


# walking


def make_message(*, constant: bool = True, **keys: int) -> bytes:
    """A small whole message of NCEP's, of some hundred bytes when constant, of some thousand otherwise."""
    handle = eccodes.codes_grib_new_from_samples("GRIB2")
    try:
        for key, value in {"centre": 7, "dataDate": 20240101, "dataTime": 600, **keys}.items():
            eccodes.codes_set(handle, key, value)
        if not constant:
            count = eccodes.codes_get_size(handle, "values")
            eccodes.codes_set(handle, "bitsPerValue", 24)
            eccodes.codes_set_values(handle, [float(n * n) for n in range(count)])
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


class Reads:
    """Counts the reads of an object."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.calls: list[tuple[int, int]] = []

    def __call__(self, start: int, stop: int) -> bytes:
        assert 0 <= start < stop <= len(self.data)
        self.calls.append((start, stop))
        return self.data[start:stop]


def walk(data: bytes) -> tuple[Record, ...]:
    return scan_messages(Reads(data), len(data))


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_ARCHIVE[::4], ids=lambda path: path.name)
def test_walked_real_file_agrees_with_eccodes(path):
    records = walk(path.read_bytes())
    kinds = {0: "ave", 1: "acc", 2: "max", 3: "min"}
    with path.open("rb") as file:
        for record in records:
            handle = eccodes.codes_grib_new_from_file(file)
            offset, length = (eccodes.codes_get_long(handle, key) for key in ("offset", "totalLength"))
            assert record.byte_range == ByteRange(offset, offset + length)
            steps = [60 * eccodes.codes_get_long(handle, key) for key in ("startStep", "endStep")]
            if eccodes.codes_get(handle, "stepType") == "instant":
                assert record.window == Window("instant", 60, 60)
            else:
                process = eccodes.codes_get_long(handle, "typeOfStatisticalProcessing")
                assert record.window == Window(kinds[process], *steps)
            level = {
                "surface": "surface",
                "heightAboveGround": f"{eccodes.codes_get_long(handle, 'level')} m above ground",
                "lowCloudLayer": "low cloud layer",
                "middleCloudLayer": "middle cloud layer",
                "highCloudLayer": "high cloud layer",
            }
            assert record.level == level[eccodes.codes_get(handle, "typeOfLevel")]
            assert record.reference_time == run_of(path)[0]
            eccodes.codes_release(handle)
        assert eccodes.codes_grib_new_from_file(file) is None
    assert len(records) == 52


@needs.real_bytes
def test_walk_of_a_real_file_reads_little_of_it():
    data = REAL_ARCHIVE[0].read_bytes()
    reads = Reads(data)
    records = scan_messages(reads, len(data))
    assert len(reads.calls) <= len(records)
    assert sum(stop - start for start, stop in reads.calls) <= BLOCK * len(records)


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_ARCHIVE, ids=lambda path: path.name)
def test_defaults_are_selected_from_walked_real_files(path):
    records = walk(path.read_bytes())
    for selector in DEFAULTS[:9]:  # these files have no 80 m wind
        select(records, Wanted(Selector.parse(f"{selector}:instant"), 60))
    assert select(records, Wanted(Selector.parse("APCP:surface:1 hour acc"), 60)).window == Window("acc", 0, 60)


@needs.real_bytes
def test_real_truncated_file_is_refused_as_a_whole():
    (path,) = (SHARED_DATA / "broken").glob("*.grib2")
    data = path.read_bytes()
    with pytest.raises(TruncatedError, match=r"message 5 starts at byte [\d,]+: wanted its [\d,]+ bytes.*2,097,152"):
        walk(data)


@needs.real_bytes
def test_stray_byte_between_real_messages_is_stepped_over():
    (path,) = (SHARED_DATA / "messages").glob("*APCP-two-windows*")
    records = walk(path.read_bytes())
    assert [record.window for record in records] == [Window("acc", 0, 720), Window("acc", 660, 720)]
    assert records[1].byte_range.start == records[0].byte_range.stop + 1


def test_small_messages_inside_one_block_cost_one_read():
    message = make_message()
    count = BLOCK // len(message)
    reads = Reads(message * count)
    records = scan_messages(reads, len(message) * count)
    assert len(records) == count
    assert len(reads.calls) == 1


def test_large_messages_cost_one_read_each():
    message = make_message(constant=False)
    assert len(message) > BLOCK
    reads = Reads(message * 3)
    assert len(scan_messages(reads, 3 * len(message))) == 3
    assert len(reads.calls) == 3


@pytest.mark.parametrize("stray", [b"\0", b"\r\n", b"GRI", b"GRIB\0\0\0\1", b"x" * (BLOCK - 8)])
def test_stray_bytes_belong_to_no_message(stray):
    message = make_message(constant=False)
    records = walk(message + stray + message)
    assert [record.byte_range for record in records] == [
        ByteRange(0, len(message)),
        ByteRange(len(message) + len(stray), 2 * len(message) + len(stray)),
    ]


def test_stray_bytes_at_the_end_are_no_message():
    assert len(walk(make_message() + b"\0" * 20)) == 1


def test_too_many_stray_bytes_are_refused():
    message = make_message()
    with pytest.raises(WrongIdentityError, match=f"from byte {len(message)} on"):
        walk(message + b"x" * (2 * BLOCK) + message)


def test_empty_object_is_truncated():
    with pytest.raises(TruncatedError, match="0 bytes"):
        walk(b"")


@pytest.mark.parametrize("junk", [b"<html>not found</html>", b"\0" * 5000, b"x", b"GRIB\0\0\0\1" + bytes(100)])
def test_other_objects_are_no_grib(junk):
    with pytest.raises(WrongIdentityError, match="edition 2"):
        walk(junk)


def test_every_cut_of_the_last_message_is_noticed():
    message = make_message()
    for size in range(4, len(message)):
        with pytest.raises(
            TruncatedError, match=f"message 2 starts at byte {len(message)}: .* at byte {len(message) + size}:"
        ):
            walk(message + message[:size])


def test_damaged_message_is_named():
    message = make_message()
    with pytest.raises(WrongIdentityError, match=f"message 2, at byte {len(message)}: "):
        walk(message + message[:20] + b"\7" + message[21:])


def with_local_section(size: int) -> bytes:
    message = make_message()
    stop = 16 + int.from_bytes(message[16:20], "big")
    longer = message[:stop] + struct.pack(">IB", size, 2) + bytes(size - 5) + message[stop:]
    return longer[:8] + struct.pack(">Q", len(longer)) + longer[16:]


def test_header_longer_than_a_block_is_read_again():
    reads = Reads(with_local_section(5 * BLOCK))
    assert len(scan_messages(reads, len(reads.data))) == 1
    assert len(reads.calls) == 4


def test_endless_header_is_refused():
    reads = Reads(with_local_section(3 * MAX_HEADER))
    with pytest.raises(WrongIdentityError, match="no end of them"):
        scan_messages(reads, len(reads.data))
    assert max(stop - start for start, stop in reads.calls) <= MAX_HEADER


def test_short_answer_is_noticed():
    message = make_message()
    with pytest.raises(TruncatedError, match="found 10 of them"):
        scan_messages(lambda *_: message[:10], len(message))


def survives(call: Callable[[], object]) -> None:
    with contextlib.suppress(HrrrDaskError):
        call()


FILE = make_message() + make_message(typeOfFirstFixedSurface=103) + b"\0" + make_message(constant=False)


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, len(FILE) - 1), st.integers(0, 255)), max_size=6), st.integers(1, len(FILE)))
def test_damaged_files_are_walked_or_refused(changes, size):
    damaged = bytearray(FILE)
    for at, value in changes:
        damaged[at] = value
    survives(lambda: walk(bytes(damaged)))
    survives(lambda: walk(bytes(damaged[:size])))


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_line_is_noticed_by_the_numbers(lost):
    lines = [
        f"{n}:{100 * n}:d=2024010106:{element}:surface:anl:" for n, element in ((1, "TMP"), (2, "RH"), (3, "PRES"))
    ]
    assert len(parse_inventory("\n".join(lines), datetime(2024, 1, 1, 6))) == 3
    del lines[lost]
    with pytest.raises(InventoryError, match="lines are missing"):
        parse_inventory("\n".join(lines), datetime(2024, 1, 1, 6))


@pytest.mark.parametrize("number", ["9" * 5_000, "1." + "9" * 5_000, "\u0661"])
def test_a_number_without_end_or_of_another_script_is_an_error_of_ours(number):
    with pytest.raises(InventoryError, match="wanted n:offset:d=YYYYMMDDHH"):
        parse_inventory(f"{number}:0:d=2024010106:TMP:surface:anl:", datetime(2024, 1, 1, 6))
