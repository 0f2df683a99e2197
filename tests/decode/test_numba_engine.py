"""The compiled engine: ecCodes' bits on all messages, real and generated, and nothing worse on damaged ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import eccodes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.decoding import ENGINE, Fenced, oracle, same
from support.packed import Packed, altered, damaged, message_of, plain, random_packed, starts
from support.paths import SHARED_DATA, importable

from hrrr_dask.decode.numba_engine import bytes_needed
from hrrr_dask.errors import ArchiveError, DecodeError, UnsupportedPackingError
from hrrr_dask.grib.packing import read_packing
from hrrr_dask.grib.sections import check_whole


def messages_in(path: Path) -> list[bytes]:
    """The messages of edition 2 in a file, by their marks alone; stray bytes lie between some."""
    data, found, start = path.read_bytes(), [], 0
    while (start := data.find(b"GRIB", start)) >= 0:
        length = int.from_bytes(data[start + 8 : start + 16], "big")
        if data[start + 7] == 2 and data[start + length - 4 : start + length] == b"7777":
            found.append(data[start : start + length])
            start += length
        else:
            start += 4
    return found


FOLDERS = ("messages", "other-packing", "broken", "archive")
REAL = sorted(path for folder in FOLDERS for path in (SHARED_DATA / folder).rglob("*.gr*b*"))


@pytest.mark.parametrize("path", REAL, ids=lambda path: path.name)
def test_real_messages_have_eccodes_bits(path):
    decoded = 0
    for message in messages_in(path):
        expected = oracle(message)
        chance = np.random.default_rng(len(message))
        some = np.sort(chance.integers(0, expected.size, 500))
        try:
            everything = np.arange(expected.size)[: 1 if expected.size > 5_000_000 else None]
            assert same(ENGINE.points(message, everything), expected[everything])
            assert same(ENGINE.points(message, some), expected[some])
            assert same(ENGINE.points(message, some[::-1]), expected[some[::-1]])
            decoded += 1
        except UnsupportedPackingError as error:
            assert str(error) == "data representation template 5.40"  # noqa: PT017  JPEG 2000, which HRRR never has
    assert decoded or "p06m" in path.name


def compare(packed: Packed, chance: np.random.Generator) -> None:
    message = message_of(packed)
    cells = np.arange(packed.n_cells)
    try:
        expected = oracle(message)
        if np.isinf(expected).any():
            raise DecodeError
    except (DecodeError, eccodes.CodesInternalError):
        with pytest.raises(DecodeError):
            ENGINE.points(message, cells)
        return
    assert same(ENGINE.points(message, cells), expected)
    some = np.sort(chance.integers(0, packed.n_cells, int(chance.integers(1, 40))))
    assert same(ENGINE.points(message, some), expected[some])
    assert same(ENGINE.points(memoryview(message), some[:1]), expected[some[:1]])


@pytest.mark.parametrize(("first", "count", "most"), [(0, 4_750, 3_000), (5_000, 4_750, 3_000), (10_000, 500, 100_000)])
def test_ten_thousand_generated_messages_have_eccodes_bits(first, count, most):
    for seed in range(first, first + count):
        chance = np.random.default_rng(seed)
        try:
            compare(random_packed(chance, most), chance)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, at most {most} cells") from error


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63), st.integers(1, 400))
def test_any_generated_message_has_eccodes_bits(seed, most):
    chance = np.random.default_rng([seed, most])
    compare(random_packed(chance, most), chance)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("width", range(33))
def test_all_widths_of_groups_are_summed_right(width, order):
    message = message_of(plain(4_000, width, order))
    expected = oracle(message)
    for cells in ([3_999], [0, 2_000], [19, 20, 21], [1], [1_999, 1_999, 3_000]):
        assert same(ENGINE.points(message, np.array(cells)), expected[cells])


def test_sums_of_very_long_groups_do_not_overflow():
    packed = plain(200_000, 28, 2)
    packed.lengths, packed.widths = np.array([20, 199_960, 20]), np.full(3, 28)
    packed.references, packed.length_bits = packed.references[:3], 20
    packed.surplus = [np.full(size, 2**28 - 1) for size in packed.lengths]
    message = message_of(packed)
    assert same(ENGINE.points(message, np.array([199_999])), oracle(message)[-1:])


def test_each_field_of_a_message_with_several_is_read():
    fields = [plain(300), Packed(300, numbers=np.arange(300), bits=9), plain(300, 9, 1)]
    together = message_of(*fields)
    for number, each in enumerate(fields):
        cells = np.array([0, 150, 299])
        assert same(ENGINE.points(together, cells, field=number), oracle(message_of(each))[cells])
    with pytest.raises(DecodeError, match=r"field 3 of the message was wanted, it has 3"):
        ENGINE.points(together, np.array([0]), field=3)


def test_a_later_field_may_use_the_bitmap_of_an_earlier_one():
    bitmap = np.arange(64) % 3 > 0
    first = Packed(64, numbers=np.arange(int(bitmap.sum())), bits=7, bitmap=bitmap)
    second = Packed(64, numbers=np.arange(int(bitmap.sum()))[::-1], bits=7, bitmap=bitmap)
    message = message_of(first, second)
    at = message.index(b"\x06\x00" + np.packbits(bitmap).tobytes(), message.index(b"\x06\x00") + 2) - 4
    section = message[at : at + 6 + 8]
    shared = message[:at] + b"\x00\x00\x00\x06\x06\xfe" + message[at + len(section) :]
    shared = shared[:8] + len(shared).to_bytes(8, "big") + shared[16:]
    assert same(ENGINE.points(shared, np.arange(64), field=1), oracle(message_of(second)))


@pytest.mark.parametrize(
    ("octet", "data", "words"),
    [
        (10, b"\x00\x28", "template 5.40"),
        (23, b"\x03", "missing value management 3"),
    ],
)
def test_what_the_engine_does_not_know_is_for_another_one(octet, data, words):
    with pytest.raises(UnsupportedPackingError, match=words):
        ENGINE.points(altered(message_of(plain(width=0)), 5, octet, data), np.array([0]))


def test_numbers_of_more_than_32_bits_are_for_another_engine():
    message = message_of(Packed(8, numbers=np.arange(8), bits=33))
    with pytest.raises(UnsupportedPackingError, match="33 bits for one number"):
        ENGINE.points(message, np.array([0]))


def test_a_bitmap_that_the_centre_has_predefined_is_refused_by_all():
    with pytest.raises(DecodeError, match="bitmap 3 is predefined"):
        ENGINE.points(altered(message_of(plain()), 6, 6, b"\x03"), np.array([0]))


def test_a_description_too_short_for_its_template_is_not_read_on_into_the_next_section():
    message = message_of(Packed(8, numbers=np.arange(8)))
    at = starts(message)[5]
    shorter = message[:at] + b"\0\0\0\x0c" + message[at + 4 : at + 12] + message[at + 21 :]
    shorter = shorter[:8] + len(shorter).to_bytes(8, "big") + shorter[16:]
    with pytest.raises(DecodeError, match=r"section 5 has 12 bytes, template 5\.0 21"):
        ENGINE.points(shorter, np.array([0]))


def test_a_field_of_negative_zero_is_zero_as_eccodes_has_it():
    message = message_of(Packed(8, reference=-0.0, bits=0, numbers=np.zeros(8, dtype=int)))
    assert same(ENGINE.points(message, np.arange(8)), oracle(message))


def test_lengths_of_groups_that_do_not_add_up_are_told_even_behind_the_last_wanted_cell():
    longer = altered(message_of(plain()), 5, 43, (21).to_bytes(4, "big"))
    shorter = altered(message_of(plain()), 5, 43, (19).to_bytes(4, "big"))
    with pytest.raises(DecodeError, match=r"group 19 is wider than 32 bits, or longer than the data"):
        ENGINE.points(longer, np.array([0]))
    with pytest.raises(DecodeError, match=r"do not have 400 values together"):
        ENGINE.points(shorter, np.array([0]))


@pytest.mark.parametrize("bitmap", [None, np.arange(4_000) % 7 > 0], ids=["all", "bitmap"])
def test_a_beginning_of_a_message_is_enough_for_cells_that_it_holds(bitmap):
    packed = plain(4_000 if bitmap is None else int(bitmap.sum()))
    packed.n_cells, packed.bitmap = 4_000, bitmap
    message, there = message_of(packed), np.arange(4_000) if bitmap is None else np.flatnonzero(bitmap)
    packing, expected = read_packing(message), oracle(message)
    assert bytes_needed(message[: packing.values_at - 1], 3_999) is None
    for cell in there[[0, 1, 19, 20, 2_017, -2, -1]]:
        stop = bytes_needed(message[: packing.values_at], cell)
        assert packing.values_at < stop <= packing.stop
        cells = np.array([cell // 2, cell])
        assert same(ENGINE.points(message[:stop], cells), expected[cells])
        with pytest.raises(DecodeError, match="the bytes end before the last wanted value"):
            ENGINE.points(message[: stop - 1], cells)


def test_a_beginning_of_a_simply_packed_message_is_enough_too():
    message = message_of(Packed(1_000, numbers=np.arange(1_000), bits=11))
    stop = bytes_needed(message[:200], 499)
    assert stop == read_packing(message).values_at + 688  # 500 values of 11 bits
    assert ENGINE.points(message[:stop], np.array([499])) == 499
    with pytest.raises(DecodeError, match="the bytes end before"):
        ENGINE.points(message[: stop - 1], np.array([499]))


@pytest.mark.parametrize("bitmap", [False, True])
def test_cells_beyond_the_field_are_never_looked_for(bitmap):
    packed = Packed(64, numbers=np.arange(32 if bitmap else 64), bits=8, bitmap=np.arange(64) < 32 if bitmap else None)
    with pytest.raises(DecodeError, match="the message has 64 values, cells 100000000 to 100000000 are wanted"):
        bytes_needed(message_of(packed), 100_000_000)


PRELUDES = {
    "a plain processor": "",
    "a read-only file system": "import numba.core.caching as c; c.CacheImpl._locator_classes = []",
    "a full disk": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
}


def digest_of_generated(count: int = 150) -> str:
    """Of all values of some generated messages."""
    digest = hashlib.sha256()
    for seed in range(count):
        chance = np.random.default_rng([11, seed])
        packed = random_packed(chance, 3_000)
        for cells in (np.arange(packed.n_cells), np.sort(chance.integers(0, packed.n_cells, 3))):
            try:
                values = ENGINE.points(message_of(packed), cells)
                values[np.isnan(values)] = np.nan
                digest.update(values.tobytes())
            except DecodeError as error:
                digest.update(str(error).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("where", PRELUDES)
def test_the_same_bits_come_out_on_a_plain_processor_and_where_compiled_code_cannot_be_kept(where, tmp_path):
    code = f"{PRELUDES[where]}\nfrom test_numba_engine import digest_of_generated; print(digest_of_generated())"
    environment = {**os.environ, "PYTHONPATH": importable(__file__), "NUMBA_CACHE_DIR": str(tmp_path)}
    if where == "a plain processor":
        environment |= {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == digest_of_generated()
    assert any(path.stat().st_size for path in tmp_path.rglob("*.nb?")) == (where == "a plain processor")


def test_threads_decode_side_by_side():
    message, cells = message_of(plain(40_000)), np.arange(0, 40_000, 97)
    expected = oracle(message)[cells]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ENGINE.points(message, cells), range(200)))
    assert all(same(values, expected) for values in found)


# Damaged messages: each lies flush against memory that may not be read, so that a read beyond its end ends the process.


def try_damaged(count: int) -> dict[str, int]:
    """Decode damaged messages; an answer must be ecCodes' answer."""
    fence, seen = Fenced(16_384), {"refused": 0, "answered": 0}
    for seed in range(count):
        chance = np.random.default_rng([7, seed // 50])
        packed = random_packed(chance, 300)
        message = damaged(message_of(packed), np.random.default_rng([8, seed]))
        cells = np.sort(chance.integers(0, packed.n_cells, 5))
        try:
            check_whole(message)
            values = ENGINE.points(fence.holding(message), cells)
        except ArchiveError:
            seen["refused"] += 1
            continue
        expected = oracle(message)
        assert same(values, expected[cells]), f"seed {seed}"
        seen["answered"] += 1
    return seen


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": importable(__file__), **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("checked", ["", "1"], ids=["as in use", "with every load checked"])
def test_damaged_messages_are_refused_or_read_as_eccodes_reads_them(checked, tmp_path):
    count = int(os.environ.get("HRRR_DASK_MUTATIONS", "10000" if not checked else "3000"))
    build = {"HRRR_DASK_CHECKED_KERNELS": checked, "NUMBA_CACHE_DIR": str(tmp_path)} if checked else {}
    done = run_python(f"from test_numba_engine import try_damaged; print(try_damaged({count}))", **build)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    assert "'answered'" in done.stdout


def test_the_checked_build_ends_the_process_where_a_word_is_not_there(tmp_path):
    code = (
        "import numpy as np; from numba import njit; from hrrr_dask.decode.bits import load_word; "
        "load = njit(lambda data, byte: load_word(data, byte)); data = np.zeros(64, np.uint8); "
        "load(data, np.uint64(56)); print('there', flush=True); load(data, np.uint64(57))"
    )
    for checked, ended in (("1", True), ("", False)):
        done = run_python(code, HRRR_DASK_CHECKED_KERNELS=checked, NUMBA_CACHE_DIR=str(tmp_path), PYTHONFAULTHANDLER="")
        assert (done.stdout, done.returncode < 0) == ("there\n", ended), done.stderr


def test_a_read_beyond_the_end_would_be_seen():
    code = "from support.decoding import Fenced; print(Fenced(9).holding(b'123456789').obj[4096])"
    assert run_python(code, PYTHONFAULTHANDLER="").returncode < 0
