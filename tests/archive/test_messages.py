"""Messages read as far as the wanted cells go give what whole ones give: the same values, the same gaps, less read."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import eccodes
import numpy as np
import pytest
from support.oracle import as_bits
from support.packed import replace_octets, section_starts

from hrrr_dask.archive.fetch import Client, FetchSettings, Tally
from hrrr_dask.archive.messages import read_messages
from hrrr_dask.archive.prefixes import REQUEST_BYTES, Prefixes
from hrrr_dask.archive.sources import parse_source
from hrrr_dask.catalog.products import inventory_key, object_key
from hrrr_dask.catalog.variables import CATALOG
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError, TruncatedError, UnreachableError
from hrrr_dask.grib.packing import read_packing
from hrrr_dask.grid.definition import find_nearest_cells, read_grid
from hrrr_dask.job.extract import Placement, compute_point_values, wanted_messages
from hrrr_dask.objects.locations import NO_OPTIONS
from hrrr_dask.records import GribFile
from hrrr_dask.testing import FaultServer, GridWindow, encode_file

NOW = FetchSettings(attempts=2, timeout_s=20, backoff_s=0)
WINDOW = GridWindow(0, 0, 100, 1799)
"""Full rows, so that a message is as many bytes as one that is not read whole for its smallness."""
GRID = read_grid(WINDOW.section3())
FILES = [GribFile(datetime(2024, 7, 1, 18), lead) for lead in (1, 2, 3, 4)]
FILE = FILES[0]
NAMES = [
    "temperature_500mb",
    "u_component_wind_80m",
    "v_component_wind_80m",
    "surface_pressure",
    "temperature_surface",
    "temperature_2m",
    "dewpoint_2m",
    "u_component_wind_10m",
    "v_component_wind_10m",
    "precipitation_1h",
    "downward_shortwave_flux",
    "boundary_layer_height",
]
VARIABLES = [CATALOG[name] for name in NAMES if name in CATALOG]
WANTED = wanted_messages(VARIABLES)
SOUTH, HALF, NORTH = 4, 49, 97
CHEAP = 1_000
"""So cheap a request that the 10 m winds of this window, 225 kB each, are read in parts."""

Parts = list[tuple[str, bytes]]
"""Text of each line of the inventory after its offset, and what lies there."""


@functools.cache
def parts_of(file: GribFile = FILE) -> tuple[tuple[str, bytes], ...]:
    content, inventory = encode_file(file, WINDOW, NAMES)
    lines = inventory.splitlines()
    offsets = [int(line.split(":")[1]) for line in lines]
    ends = [*offsets[1:], len(content)]
    texts = [line.split(":", 2)[2] for line in lines]
    return tuple(zip(texts, (content[a:b] for a, b in zip(offsets, ends, strict=True)), strict=True))


def joined(parts: Parts) -> tuple[bytes, str]:
    """The file, and its inventory."""
    offsets = np.cumsum([0, *(len(message) for _, message in parts)])
    lines = [f"{n}:{offsets[n - 1]}:{text}\n" for n, (text, _) in enumerate(parts, 1)]
    return b"".join(message for _, message in parts), "".join(lines)


def at_rows(*rows: int) -> Placement:
    """Points whose northernmost lies on the last of some rows."""
    y, x = np.array(rows), (np.array(rows) * 389 + 11) % WINDOW.nx
    return Placement.of(GRID, find_nearest_cells(GRID, *WINDOW.latlon(y, x)))


def prefixes_of(placement: Placement, request_bytes: int = REQUEST_BYTES) -> Prefixes:
    return Prefixes(placement.wanted, GRID.nx * GRID.ny, request_bytes)


def served(content: bytes, inventory: str | None, file: GribFile = FILE, **more) -> FaultServer:
    objects = {f"/{object_key(file)}": content}
    if inventory is not None:
        objects[f"/{inventory_key(file)}"] = inventory.encode()
    return FaultServer(objects, **more)


def values_of(
    url: str,
    placement: Placement,
    prefixes: Prefixes | None,
    *,
    file: GribFile = FILE,
    gap: int = 0,
    options: Mapping[str, str] = NO_OPTIONS,
    settings: FetchSettings = NOW,
):
    """Values at the points, why others are missing, who decoded which, and what was read."""
    tally = Tally()
    try:
        client, lead = Client(parse_source(url, options), settings), 60 * file.lead_hours
        found = read_messages(client, file, {lead: WANTED}, GRID, tally, gap, prefixes)[lead]
    except ArchiveError as error:
        return None, {"all": error.code}, {}, tally
    values, missing, engines = compute_point_values(
        VARIABLES, found.messages, found.gaps, placement, get_engine("auto")
    )
    return values, {name: error.code for name, error in missing.items()}, engines, tally


def assert_same(url: str, placement: Placement, *, gap: int = 0) -> dict[str, str]:
    """Read whole, with a fresh guess, with what that taught, and in parts: one answer. Returns the gaps."""
    whole = values_of(url, placement, None, gap=gap)
    prefixes = prefixes_of(placement)
    for each in (prefixes, prefixes, prefixes, prefixes_of(placement, CHEAP)):
        found = values_of(url, placement, each, gap=gap)
        assert found[1:3] == whole[1:3]
        assert (found[0] is None) == (whole[0] is None)
        assert whole[0] is None or np.array_equal(as_bits(found[0]), as_bits(whole[0]))
    return whole[1]


# What comes out


@pytest.mark.parametrize("rows", [(0,), (SOUTH,), (3, HALF), (2, 50, NORTH), (99,)], ids=str)
@pytest.mark.parametrize("gap", [0, 40_000, 1 << 20])
def test_values_are_those_of_whole_messages_wherever_the_points_are(rows, gap):
    with served(*joined(list(parts_of()))) as server:
        assert assert_same(server.url, at_rows(*rows), gap=gap) == {}


def test_a_directory_is_read_the_same(tmp_path):
    content, inventory = joined(list(parts_of()))
    path = tmp_path / object_key(FILE)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert assert_same(str(tmp_path), at_rows(SOUTH)) == {}, "without an inventory"
    (tmp_path / inventory_key(FILE)).write_text(inventory)
    assert assert_same(str(tmp_path), at_rows(3, HALF)) == {}


# What is read


def wanted_bytes(file: GribFile) -> int:
    return sum(
        len(message) for text, message in parts_of(file) if ":500 mb:" not in text and ":TMP:surface:" not in text
    )


def test_after_the_first_file_little_more_than_the_wanted_rows_is_read_and_no_range_twice():
    placement = at_rows(3, 21, HALF)
    prefixes, read = prefixes_of(placement), []
    for file in FILES:
        content, inventory = joined(list(parts_of(file)))
        with served(content, inventory, file) as server:
            _, gaps, _, tally = values_of(server.url, placement, prefixes, file=file)
            assert (gaps, tally.requests) == ({}, server.requests.total())
            read.append((tally.bytes_read - len(inventory), len(server.ranges) - 1, wanted_bytes(file)))
    assert [requests for _, requests, _ in read] == [len(WANTED)] * len(FILES), "each range once, no second read"
    assert all(count <= 0.6 * wanted for count, _, wanted in read[1:])
    assert read[0][0] < 0.75 * read[0][2], "even the first guess saves something"


def test_near_ranges_are_read_as_one_with_prefixes_too():
    with served(*joined(list(parts_of()))) as server:
        placement = at_rows(SOUTH)
        values_of(server.url, placement, prefixes_of(placement), gap=1 << 20)
        assert server.requests[f"/{object_key(FILE)}"] == 1


def test_the_last_message_of_an_inventory_has_an_open_end_and_is_read_whole():
    placement = at_rows(SOUTH)
    prefixes = prefixes_of(placement)
    content, inventory = joined(list(parts_of()))
    start = len(content) - len(parts_of()[-1][1])
    for _ in range(2):
        with served(content, inventory) as server:
            values_of(server.url, placement, prefixes)
            assert f"bytes={start}-" in server.ranges


def test_a_guess_that_is_too_short_costs_one_request_once_and_gives_the_same_values():
    placement = at_rows(HALF)
    prefixes = prefixes_of(placement)
    prefixes._shares = dict.fromkeys(WANTED, 0.3)
    with served(*joined(list(parts_of()))) as server:
        whole, found, again = (values_of(server.url, placement, each) for each in (None, prefixes, prefixes))
    assert found[1] == again[1] == {}
    assert np.array_equal(as_bits(found[0]), as_bits(whole[0]))
    assert np.array_equal(as_bits(again[0]), as_bits(whole[0]))
    n = len(WANTED)
    assert [each[3].requests for each in (whole, found, again)] == [3, 1 + n + (n - 1), 1 + n]
    assert found[3].bytes_read < 0.6 * whole[3].bytes_read, "no byte is read twice"


def test_few_points_read_the_header_and_some_bytes_of_messages_with_simple_packing():
    placement = at_rows(3, 21, NORTH)
    content, inventory = joined(list(parts_of()))
    with served(content, inventory) as server:
        whole = values_of(server.url, placement, None)
        server.ranges.clear()
        found = values_of(server.url, placement, prefixes_of(placement, CHEAP))
        assert found[3].requests == len(server.ranges)
    assert found[1] == {}
    assert np.array_equal(as_bits(found[0]), as_bits(whole[0]))
    winds = sum(len(MESSAGE[number]) for number in (U, V))
    assert found[3].bytes_read == whole[3].bytes_read - winds + 2 * (184 + 3 * 2), "ten bits are in two bytes each"
    read_alone = 1 + 2 * 3 + 1  # header of v (that of u follows DPT), three parts of each wind, the messages behind
    assert (whole[3].requests, found[3].requests) == (3, 3 + read_alone)


def test_a_source_that_limits_requests_is_asked_for_no_parts():
    placement, limit = at_rows(3, 21, NORTH), {"requests_per_minute": "1000000"}
    with served(*joined(list(parts_of()))) as server:
        whole = values_of(server.url, placement, None)
        found = values_of(server.url, placement, prefixes_of(placement, CHEAP), options=limit)
    assert found[3].requests == whole[3].requests
    assert np.array_equal(as_bits(found[0]), as_bits(whole[0]))


@pytest.mark.parametrize("seed", range(25))
def test_values_from_parts_are_those_of_whole_messages(seed):
    chance = np.random.default_rng([seed, 7])
    placement = at_rows(*np.unique(chance.integers(0, WINDOW.ny, int(chance.integers(1, 8)))))
    gap, request_bytes = int(chance.integers(0, 90_000)), int(chance.integers(0, 60_000))
    with served(*joined(list(parts_of()))) as server:
        whole = values_of(server.url, placement, None, gap=gap)
        found = values_of(server.url, placement, prefixes_of(placement, request_bytes), gap=gap)
    assert found[1:3] == whole[1:3]
    assert np.array_equal(as_bits(found[0]), as_bits(whole[0]))
    assert found[3].bytes_read <= whole[3].bytes_read


def test_parts_of_a_message_that_a_wide_gap_merges_are_read_at_once():
    placement, prefixes = at_rows(3, 21, NORTH), prefixes_of(at_rows(3, 21, NORTH), CHEAP)
    with served(*joined(list(parts_of()))) as server:
        whole = values_of(server.url, placement, None, gap=1 << 20)
        found = values_of(server.url, placement, prefixes, gap=1 << 20)
        assert server.requests[f"/{object_key(FILE)}"] == 2
    assert np.array_equal(as_bits(found[0]), as_bits(whole[0]))


# What is wrong with a file


def cut(parts: Parts, name: int, keep: float) -> tuple[bytes, str]:
    """Truncated in a message."""
    content, inventory = joined(parts)
    before = sum(len(message) for _, message in parts[:name])
    return content[: before + int(keep * len(parts[name][1]))], inventory


def swapped(parts: Parts, name: int, message: bytes) -> Parts:
    return [*parts[:name], (parts[name][0], message), *parts[name + 1 :]]


def resized(message: bytes) -> bytes:
    return message[:8] + struct.pack(">Q", len(message)) + message[16:]


def twice(message: bytes) -> bytes:
    """With a second field: sections 4 to 7 repeated."""
    start, stop = section_starts(message)[4], len(message) - 4
    return resized(message[:stop] + message[start:stop] + b"7777")


def lengthened(message: bytes) -> bytes:
    """With bytes behind the last group, so that the length is that of simple packing with so many bits."""
    n_cells, at = GRID.nx * GRID.ny, section_starts(message)[7]
    size = -(-n_cells * (8 * len(message) // n_cells + 1) // 8) + 188
    longer = message[:-4] + bytes(size - len(message)) + b"7777"
    return resized(longer[:at] + (size - at - 4).to_bytes(4, "big") + longer[at + 4 :])


def other_packing(message: bytes) -> bytes:
    """The same values as IEEE numbers, which only ecCodes decodes here."""
    handle = eccodes.codes_new_from_message(message)
    try:
        values = eccodes.codes_get_values(handle)
        eccodes.codes_set(handle, "packingType", "grid_ieee")
        eccodes.codes_set_values(handle, values)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def garbled(message: bytes, what: str, count: int = 30) -> bytes:
    """The groups' references, widths or lengths overwritten with ones."""
    at = getattr(read_packing(message).groups, f"{what}_at")
    return message[:at] + b"\xff" * count + message[at + count :]


PLACE = {name: number for number, name in enumerate(NAMES)}
T, U, V = (PLACE[name] for name in ("temperature_2m", "u_component_wind_10m", "v_component_wind_10m"))
RAIN, LAST = PLACE["precipitation_1h"], PLACE[NAMES[-1]]
MESSAGE = {number: parts_of()[number][1] for number in range(len(NAMES))}
OTHER = {number: parts_of(FILES[1])[number][1] for number in range(len(NAMES))}

WRONG: dict[str, Callable[[Parts], tuple[bytes, str | None]]] = {
    "no inventory": lambda parts: (joined(parts)[0], None),
    "an inventory of another run": lambda parts: (
        joined(parts)[0],
        joined(parts)[1].replace("d=2024070118", "d=2024070112"),
    ),
    "an inventory of another file": lambda parts: (joined(parts)[0], joined(swapped(parts, 1, b"x" * 99_000))[1]),
    "an inventory without its last line": lambda parts: (joined(parts)[0], joined(parts[:-1])[1]),
    "an inventory that ends in the middle": lambda parts: (joined(parts)[0], joined(parts[:5])[1]),
    "an inventory that goes on": lambda parts: (joined(parts[:-1])[0], joined(parts)[1]),
    "a web page as inventory": lambda parts: (joined(parts)[0], "<html>busy</html>"),
    "an object cut in an early message": lambda parts: cut(parts, 1, 0.1),
    "an object cut behind a wanted prefix": lambda parts: cut(parts, T, 0.95),
    "an object cut behind the last wanted prefix": lambda parts: cut(parts, LAST, 0.95),
    "an object cut between messages": lambda parts: cut(parts, T, 0),
    "an object without its last byte": lambda parts: cut(parts, LAST, 1 - 1e-6),
    "an empty object": lambda parts: (b"", joined(parts)[1]),
    "no GRIB2 at all": lambda parts: (bytes(len(joined(parts)[0])), joined(parts)[1]),
    "a message of the same length and another hour": lambda parts: joined(
        swapped(parts, V, OTHER[V]) if len(OTHER[V]) == len(MESSAGE[V]) else parts[:0]
    ),
    "a message of another length that the inventory does not know": lambda parts: (
        joined(swapped(parts, T, OTHER[RAIN]))[0],
        joined(parts)[1],
    ),
    "a message of another variable": lambda parts: joined(swapped(parts, T, MESSAGE[V])),
    "stray bytes between messages": lambda parts: joined(swapped(parts, T - 1, MESSAGE[T - 1] + bytes(500))),
    "a length that lies": lambda parts: joined(
        swapped(parts, T, MESSAGE[T][:8] + struct.pack(">Q", len(MESSAGE[T]) - 9) + MESSAGE[T][16:])
    ),
    "widths of groups all ones": lambda parts: joined(swapped(parts, RAIN, garbled(MESSAGE[RAIN], "widths"))),
    "lengths of groups all ones": lambda parts: joined(swapped(parts, RAIN, garbled(MESSAGE[RAIN], "lengths"))),
    "references of groups all ones": lambda parts: joined(swapped(parts, RAIN, garbled(MESSAGE[RAIN], "references"))),
    "more groups than there is room for": lambda parts: joined(
        swapped(parts, T, replace_octets(MESSAGE[T], 5, 32, b"\x7f\xff\xff\xff"))
    ),
    "fewer groups than values": lambda parts: joined(
        swapped(parts, T, replace_octets(MESSAGE[T], 5, 32, b"\0\0\0\x05"))
    ),
    "wider references": lambda parts: joined(swapped(parts, T, replace_octets(MESSAGE[T], 5, 20, b"\x1e"))),
    "fewer values than cells": lambda parts: joined(swapped(parts, T, replace_octets(MESSAGE[T], 5, 6, b"\0\0\0\x05"))),
    "a reference that is no number": lambda parts: joined(
        swapped(parts, T, replace_octets(MESSAGE[T], 5, 12, b"\x7f\xc0"))
    ),
    "a section that says another number": lambda parts: joined(
        swapped(parts, T, replace_octets(MESSAGE[T], 6, 5, b"\x05"))
    ),
    "several fields": lambda parts: joined(swapped(parts, T, twice(MESSAGE[T]))),
    "several fields in the last message": lambda parts: joined(swapped(parts, LAST, twice(MESSAGE[LAST]))),
    "several fields and no inventory": lambda parts: (joined(swapped(parts, T, twice(MESSAGE[T])))[0], None),
    "an object cut between the parts of a message": lambda parts: cut(parts, V, 0.5),
    "an object cut behind the parts of a message": lambda parts: cut(parts, V, 0.99),
    "other bits in simple packing": lambda parts: joined(swapped(parts, V, replace_octets(MESSAGE[V], 5, 20, b"\x09"))),
    "more bits in simple packing": lambda parts: joined(swapped(parts, V, replace_octets(MESSAGE[V], 5, 20, b"\x0b"))),
    "groups in a message of the length of simple packing": lambda parts: joined(
        swapped(parts, T, lengthened(MESSAGE[T]))
    ),
    "other groups in a message of the length of simple packing": lambda parts: joined(
        swapped(parts, V, replace_octets(MESSAGE[V], 5, 10, b"\0\x02"))
    ),
    "a bitmap in a message of the length of simple packing": lambda parts: joined(
        swapped(parts, V, replace_octets(MESSAGE[V], 6, 6, b"\0"))
    ),
    "a predefined bitmap": lambda parts: joined(swapped(parts, V, replace_octets(MESSAGE[V], 6, 6, b"\x05"))),
    "a subnormal reference": lambda parts: joined(swapped(parts, V, replace_octets(MESSAGE[V], 5, 12, b"\0\0\0\x01"))),
    "another field behind simple packing": lambda parts: joined(
        swapped(parts, V, replace_octets(MESSAGE[V], 7, 1, (len(MESSAGE[V]) // 2).to_bytes(4, "big")))
    ),
    "another wind": lambda parts: joined(swapped(parts, V, MESSAGE[U])),
    "a wind of another hour": lambda parts: joined(swapped(parts, V, OTHER[V])),
    "a packing of another engine": lambda parts: joined(swapped(parts, T, other_packing(MESSAGE[T]))),
    "a packing of nobody": lambda parts: joined(swapped(parts, T, replace_octets(MESSAGE[T], 5, 10, b"\x02\x99"))),
}
"""What may be wrong to the object, and its inventory."""

MENDED = {
    "no inventory",
    "an inventory of another run",
    "an inventory of another file",
    "an inventory without its last line",
    "an inventory that ends in the middle",
    "a web page as inventory",
    "stray bytes between messages",
    "references of groups all ones",  # as good as any others
    "groups in a message of the length of simple packing",
    "other bits in simple packing",
    "a subnormal reference",  # ecCodes decodes it
    "a packing of another engine",
}
"""Of these, what leaves no gap."""


@pytest.mark.parametrize("what", WRONG)
@pytest.mark.parametrize("row", [SOUTH, NORTH])
def test_gaps_and_their_reasons_are_those_of_whole_messages(what, row):
    content, inventory = WRONG[what](list(parts_of()))
    with served(content, inventory) as server:
        gaps = assert_same(server.url, at_rows(2, row))
    assert bool(gaps) != (what in MENDED)


def test_several_fields_in_a_message_are_a_gap_and_never_a_value():
    for parts in (swapped(list(parts_of()), T, twice(MESSAGE[T])),):
        with served(*joined(parts)) as server:
            assert assert_same(server.url, at_rows(SOUTH)) == {"temperature_2m": "decode-failed"}


def test_damaged_descriptors_within_the_beginning_are_a_gap_with_its_reason():
    with served(*WRONG["lengths of groups all ones"](list(parts_of()))) as server:
        assert assert_same(server.url, at_rows(SOUTH)) == {"precipitation_1h": "decode-failed"}


def test_an_object_that_is_cut_anywhere_is_truncated():
    content, inventory = joined(list(parts_of()))
    placement = at_rows(SOUTH)
    for size in np.random.default_rng(3).integers(0, len(content) - 1, 25):
        with served(content[:size], inventory) as server:
            assert values_of(server.url, placement, prefixes_of(placement))[1] == {"all": TruncatedError.code}, size


def test_what_a_beginning_does_not_show_harms_no_value_that_it_gives():
    message = MESSAGE[T][:-20_000] + b"\0" * 20_000  # the tail, and the end mark
    with served(*joined(swapped(list(parts_of()), T, message))) as server:
        intact, _, _, _ = values_of(server.url, at_rows(SOUTH), None)
        assert values_of(server.url, at_rows(SOUTH), None)[1] == {"temperature_2m": "truncated"}
        for row, gaps in ((SOUTH, {}), (NORTH, {"temperature_2m": "truncated"})):
            placement = at_rows(row)
            assert values_of(server.url, placement, prefixes_of(placement))[1] == gaps
        found = values_of(server.url, at_rows(SOUTH), prefixes_of(at_rows(SOUTH)))[0]
    with served(*joined(list(parts_of()))) as server:
        intact = values_of(server.url, at_rows(SOUTH), None)[0]
    assert np.array_equal(as_bits(found), as_bits(intact))


# An object that changes between the first read of a message and the second


class Meanwhile(Prefixes):
    """Too short a guess; something happens before the rest is read."""

    def __init__(self, placement: Placement, happens: Callable[[], object], request_bytes: int = REQUEST_BYTES) -> None:
        super().__init__(placement.wanted, GRID.nx * GRID.ny, request_bytes)
        self._shares = dict.fromkeys(WANTED, 0.3)
        self._happens = happens

    def needed(self, *arguments) -> int:
        self._happens()
        return super().needed(*arguments)


def inverted(message: bytes) -> bytes:
    """Another message of simple packing that has the same length, and other values everywhere."""
    at = section_starts(message)[7] + 5
    return message[:at] + bytes(255 - byte for byte in message[at:-4]) + message[-4:]


NEWER = joined([(text, inverted(message) if "GRD:10 m" in text else message) for text, message in parts_of()])[0]


def test_an_object_that_is_replaced_before_the_rest_is_read_is_unreachable_for_now():
    placement, key = at_rows(HALF), f"/{object_key(FILE)}"
    with served(*joined(list(parts_of()))) as server:
        prefixes = Meanwhile(placement, lambda: server.objects.update({key: NEWER}))
        assert values_of(server.url, placement, prefixes)[1] == {"all": UnreachableError.code}
        assert values_of(server.url, placement, prefixes)[1] == {}, "the next try reads the new one"


def test_a_file_of_a_directory_that_is_replaced_before_the_rest_is_read_is_unreachable_for_now(tmp_path):
    content, inventory = joined(list(parts_of()))
    path = tmp_path / object_key(FILE)
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    Path(f"{path}.idx").write_text(inventory)

    def replace() -> None:
        path.with_suffix(".new").write_bytes(NEWER)
        path.with_suffix(".new").replace(path)

    assert values_of(str(tmp_path), at_rows(HALF), Meanwhile(at_rows(HALF), replace))[1] == {
        "all": UnreachableError.code
    }


@pytest.mark.parametrize("how", ["replaced", "reissued"])
@pytest.mark.parametrize("number", [2, 3, 9, 16])
def test_an_object_that_is_replaced_between_parts_of_a_message_is_unreachable_for_now(how, number):
    placement, key = at_rows(3, 21, HALF), f"/{object_key(FILE)}"
    one_by_one = replace(NOW, concurrency=1)
    later = [how] if how == "replaced" else [how, "..."]  # to replace it twice would restore it
    with served(*joined(list(parts_of())), script={key: ["ok"] * (number - 1) + later}) as server:
        gaps = values_of(server.url, placement, prefixes_of(placement, CHEAP), settings=one_by_one)[1]
    assert gaps == {"all": UnreachableError.code}


def test_parts_of_two_versions_without_entity_tags_make_no_value():
    placement, key = at_rows(3, 21, HALF), f"/{object_key(FILE)}"
    prefixes = Meanwhile(placement, lambda: server.objects.update({key: NEWER}), CHEAP)
    with served(*joined(list(parts_of())), script={key: ["bare", "..."]}) as server:
        found, gaps, _, tally = values_of(server.url, placement, prefixes)
        assert tally.requests == len(server.ranges)
    with served(NEWER, joined(list(parts_of()))[1]) as server:
        expected, _, _, _ = values_of(server.url, placement, None)
    assert gaps == {}
    assert np.array_equal(as_bits(found), as_bits(expected)), "the winds are read once more, in one request"


@pytest.mark.parametrize("mode", ["bare", "weak"])
def test_no_value_is_made_of_two_versions_whatever_the_source_says_of_them(mode):
    placement, key = at_rows(3, HALF), f"/{object_key(FILE)}"
    script = {key: [mode, "..."]}
    with served(*joined(list(parts_of())), script=script) as server:
        prefixes = Meanwhile(placement, lambda: server.objects.update({key: NEWER}))
        found, gaps, _, _ = values_of(server.url, placement, prefixes)
    if mode == "weak":
        assert gaps == {"all": UnreachableError.code}
        return
    with served(NEWER, joined(list(parts_of()))[1]) as server:
        expected, _, _, _ = values_of(server.url, placement, None)
    assert gaps == {}
    assert np.array_equal(as_bits(found), as_bits(expected))


@pytest.mark.parametrize("mode", ["bare", "weak"])
def test_sources_without_strong_tags_give_the_same_values(mode):
    with served(*joined(list(parts_of())), script={f"/{object_key(FILE)}": [mode, "..."]}) as server:
        assert assert_same(server.url, at_rows(2, HALF)) == {}
