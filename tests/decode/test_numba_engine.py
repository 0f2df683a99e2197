"""The numba engine is bit-identical to ecCodes on real and generated messages, and safe on damaged ones."""

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
from support.decoding import ENGINE, FencedBuffer, decode_with_eccodes, same_bits
from support.packed import (
    PackedField,
    damage_message,
    make_packed,
    pack_message,
    random_packed,
    replace_octets,
    section_starts,
)
from support.paths import SHARED_DATA, pythonpath_for

from hrrr_dask.decode.numba_engine import bytes_needed
from hrrr_dask.errors import ArchiveError, DecodeError, UnsupportedPackingError
from hrrr_dask.grib.packing import read_packing
from hrrr_dask.grib.sections import check_complete


def messages_in(path: Path) -> list[bytes]:
    """GRIB2 messages of a file, found by their start and end markers; there may be other bytes between them."""
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
def test_real_messages_are_bit_identical_to_eccodes(path):
    decoded = 0
    for message in messages_in(path):
        expected = decode_with_eccodes(message)
        chance = np.random.default_rng(len(message))
        some = np.sort(chance.integers(0, expected.size, 500))
        try:
            everything = np.arange(expected.size)[: 1 if expected.size > 5_000_000 else None]
            assert same_bits(ENGINE.points(message, everything), expected[everything])
            assert same_bits(ENGINE.points(message, some), expected[some])
            assert same_bits(ENGINE.points(message, some[::-1]), expected[some[::-1]])
            decoded += 1
        except UnsupportedPackingError as error:
            assert str(error) == "data representation template 5.40"  # noqa: PT017  JPEG 2000, not in HRRR
    assert decoded or "p06m" in path.name


def compare(packed: PackedField, chance: np.random.Generator) -> None:
    message = pack_message(packed)
    cells = np.arange(packed.n_cells)
    try:
        expected = decode_with_eccodes(message)
        if np.isinf(expected).any():
            raise DecodeError
    except (DecodeError, eccodes.CodesInternalError):
        with pytest.raises(DecodeError):
            ENGINE.points(message, cells)
        return
    assert same_bits(ENGINE.points(message, cells), expected)
    some = np.sort(chance.integers(0, packed.n_cells, int(chance.integers(1, 40))))
    assert same_bits(ENGINE.points(message, some), expected[some])
    assert same_bits(ENGINE.points(memoryview(message), some[:1]), expected[some[:1]])


@pytest.mark.parametrize(("first", "count", "most"), [(0, 4_750, 3_000), (5_000, 4_750, 3_000), (10_000, 500, 100_000)])
def test_ten_thousand_generated_messages_are_bit_identical_to_eccodes(first, count, most):
    for seed in range(first, first + count):
        chance = np.random.default_rng(seed)
        try:
            compare(random_packed(chance, most), chance)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}, at most {most} cells") from error


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2**63), st.integers(1, 400))
def test_any_generated_message_is_bit_identical_to_eccodes(seed, most):
    chance = np.random.default_rng([seed, most])
    compare(random_packed(chance, most), chance)


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("width", range(33))
def test_groups_of_all_widths_are_summed_correctly(width, order):
    message = pack_message(make_packed(4_000, width, order))
    expected = decode_with_eccodes(message)
    for cells in ([3_999], [0, 2_000], [19, 20, 21], [1], [1_999, 1_999, 3_000]):
        assert same_bits(ENGINE.points(message, np.array(cells)), expected[cells])


def test_sums_of_very_long_groups_do_not_overflow():
    packed = make_packed(200_000, 28, 2)
    packed.lengths, packed.widths = np.array([20, 199_960, 20]), np.full(3, 28)
    packed.references, packed.length_bits = packed.references[:3], 20
    packed.surplus = [np.full(size, 2**28 - 1) for size in packed.lengths]
    message = pack_message(packed)
    assert same_bits(ENGINE.points(message, np.array([199_999])), decode_with_eccodes(message)[-1:])


def test_each_field_of_a_message_with_several_fields_is_decoded():
    fields = [make_packed(300), PackedField(300, numbers=np.arange(300), bits=9), make_packed(300, 9, 1)]
    together = pack_message(*fields)
    for number, each in enumerate(fields):
        cells = np.array([0, 150, 299])
        assert same_bits(ENGINE.points(together, cells, field=number), decode_with_eccodes(pack_message(each))[cells])
    with pytest.raises(DecodeError, match=r"wanted field 3 of the message, found 3 fields"):
        ENGINE.points(together, np.array([0]), field=3)


def test_a_field_can_use_the_bitmap_of_an_earlier_field():
    bitmap = np.arange(64) % 3 > 0
    first = PackedField(64, numbers=np.arange(int(bitmap.sum())), bits=7, bitmap=bitmap)
    second = PackedField(64, numbers=np.arange(int(bitmap.sum()))[::-1], bits=7, bitmap=bitmap)
    message = pack_message(first, second)
    at = message.index(b"\x06\x00" + np.packbits(bitmap).tobytes(), message.index(b"\x06\x00") + 2) - 4
    section = message[at : at + 6 + 8]
    shared = message[:at] + b"\x00\x00\x00\x06\x06\xfe" + message[at + len(section) :]
    shared = shared[:8] + len(shared).to_bytes(8, "big") + shared[16:]
    assert same_bits(ENGINE.points(shared, np.arange(64), field=1), decode_with_eccodes(pack_message(second)))


UNSUPPORTED = {
    "template 5.40": replace_octets(pack_message(make_packed(width=0)), 5, 10, b"\x00\x28"),
    "missing value management 3": replace_octets(pack_message(make_packed(width=0)), 5, 23, b"\x03"),
    "33 bits for one number": pack_message(PackedField(8, numbers=np.arange(8), bits=33)),
}


@pytest.mark.parametrize("text", UNSUPPORTED)
def test_an_unsupported_packing_is_left_to_another_engine(text):
    with pytest.raises(UnsupportedPackingError, match=text):
        ENGINE.points(UNSUPPORTED[text], np.array([0]))


def test_a_bitmap_predefined_by_the_centre_is_an_error():
    with pytest.raises(DecodeError, match="bitmap 3 is predefined"):
        ENGINE.points(replace_octets(pack_message(make_packed()), 6, 6, b"\x03"), np.array([0]))


def test_a_section_5_that_is_too_short_for_its_template_is_an_error():
    message = pack_message(PackedField(8, numbers=np.arange(8)))
    at = section_starts(message)[5]
    shorter = message[:at] + b"\0\0\0\x0c" + message[at + 4 : at + 12] + message[at + 21 :]
    shorter = shorter[:8] + len(shorter).to_bytes(8, "big") + shorter[16:]
    with pytest.raises(DecodeError, match=r"section 5 has 12 bytes, template 5\.0 needs 21"):
        ENGINE.points(shorter, np.array([0]))


def test_a_constant_field_of_negative_zero_is_zero_as_with_eccodes():
    message = pack_message(PackedField(8, reference=-0.0, bits=0, numbers=np.zeros(8, dtype=int)))
    assert same_bits(ENGINE.points(message, np.arange(8)), decode_with_eccodes(message))


def test_wrong_lengths_of_groups_are_an_error_even_after_the_last_wanted_cell():
    longer = replace_octets(pack_message(make_packed()), 5, 43, (21).to_bytes(4, "big"))
    shorter = replace_octets(pack_message(make_packed()), 5, 43, (19).to_bytes(4, "big"))
    with pytest.raises(DecodeError, match=r"group 19 is wider than 32 bits, or longer than the data"):
        ENGINE.points(longer, np.array([0]))
    with pytest.raises(DecodeError, match=r"do not have 400 values in total, as section 5 states"):
        ENGINE.points(shorter, np.array([0]))


@pytest.mark.parametrize("bitmap", [None, np.arange(4_000) % 7 > 0], ids=["all", "bitmap"])
def test_the_first_bytes_of_a_message_suffice_for_the_cells_in_them(bitmap):
    packed = make_packed(4_000 if bitmap is None else int(bitmap.sum()))
    packed.n_cells, packed.bitmap = 4_000, bitmap
    message, there = pack_message(packed), np.arange(4_000) if bitmap is None else np.flatnonzero(bitmap)
    packing, expected = read_packing(message), decode_with_eccodes(message)
    assert bytes_needed(message[: packing.values_at - 1], 3_999) is None
    for cell in there[[0, 1, 19, 20, 2_017, -2, -1]]:
        stop = bytes_needed(message[: packing.values_at], cell)
        assert packing.values_at < stop <= packing.stop
        cells = np.array([cell // 2, cell])
        assert same_bits(ENGINE.points(message[:stop], cells), expected[cells])
        with pytest.raises(DecodeError, match="the bytes end before the last wanted value"):
            ENGINE.points(message[: stop - 1], cells)


def test_the_first_bytes_of_a_simply_packed_message_suffice():
    message = pack_message(PackedField(1_000, numbers=np.arange(1_000), bits=11))
    stop = bytes_needed(message[:200], 499)
    assert stop == read_packing(message).values_at + 688  # 500 values of 11 bits
    assert ENGINE.points(message[:stop], np.array([499])) == 499
    with pytest.raises(DecodeError, match="the bytes end before"):
        ENGINE.points(message[: stop - 1], np.array([499]))


@pytest.mark.parametrize("bitmap", [False, True])
def test_bytes_needed_rejects_cells_outside_the_field(bitmap):
    packed = PackedField(
        64, numbers=np.arange(32 if bitmap else 64), bits=8, bitmap=np.arange(64) < 32 if bitmap else None
    )
    with pytest.raises(DecodeError, match="the message has 64 values, cells 100000000 to 100000000 are wanted"):
        bytes_needed(pack_message(packed), 100_000_000)


def run_python(code: str, **environment: str) -> subprocess.CompletedProcess:
    environment = {**os.environ, "PYTHONPATH": pythonpath_for(__file__), **environment}
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment)


PRELUDES = {
    "generic processor": "",
    "read-only file system": "import numba.core.caching as c; c.CacheImpl._locator_classes = []",
    "full disk": "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))",
}


def digest_of_generated(count: int = 150) -> str:
    """Digest of all values of some generated messages."""
    digest = hashlib.sha256()
    for seed in range(count):
        chance = np.random.default_rng([11, seed])
        packed = random_packed(chance, 3_000)
        for cells in (np.arange(packed.n_cells), np.sort(chance.integers(0, packed.n_cells, 3))):
            try:
                values = ENGINE.points(pack_message(packed), cells)
                values[np.isnan(values)] = np.nan
                digest.update(values.tobytes())
            except DecodeError as error:
                digest.update(str(error).encode())
    return digest.hexdigest()


@pytest.mark.parametrize("where", PRELUDES)
def test_bits_are_the_same_on_a_generic_processor_and_without_a_kernel_cache(where, tmp_path):
    code = f"{PRELUDES[where]}\nfrom test_numba_engine import digest_of_generated; print(digest_of_generated())"
    generic = {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""} if where == "generic processor" else {}
    done = run_python(code, NUMBA_CACHE_DIR=str(tmp_path), **generic)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.strip() == digest_of_generated()
    assert any(path.stat().st_size for path in tmp_path.rglob("*.nb?")) == (where == "generic processor")


def test_decoding_is_thread_safe():
    message, cells = pack_message(make_packed(40_000)), np.arange(0, 40_000, 97)
    expected = decode_with_eccodes(message)[cells]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: ENGINE.points(message, cells), range(200)))
    assert all(same_bits(values, expected) for values in found)


# Damaged messages: each ends at a memory page that is not readable, so that a read past its end crashes the process.


def try_damaged(count: int) -> dict[str, int]:
    """Decode damaged messages; a result must equal that of ecCodes."""
    fence, seen = FencedBuffer(16_384), {"rejected": 0, "decoded": 0}
    for seed in range(count):
        chance = np.random.default_rng([7, seed // 50])
        packed = random_packed(chance, 300)
        message = damage_message(pack_message(packed), np.random.default_rng([8, seed]))
        cells = np.sort(chance.integers(0, packed.n_cells, 5))
        try:
            check_complete(message)
            values = ENGINE.points(fence.store(message), cells)
        except ArchiveError:
            seen["rejected"] += 1
            continue
        expected = decode_with_eccodes(message)
        assert same_bits(values, expected[cells]), f"seed {seed}"
        seen["decoded"] += 1
    return seen


@pytest.mark.parametrize("checked", ["", "1"], ids=["release", "checked loads"])
def test_damaged_messages_are_errors_or_decode_as_with_eccodes(checked, tmp_path):
    count = int(os.environ.get("HRRR_DASK_MUTATIONS", "10000" if not checked else "3000"))
    build = {"HRRR_DASK_CHECKED_KERNELS": checked, "NUMBA_CACHE_DIR": str(tmp_path)} if checked else {}
    done = run_python(f"from test_numba_engine import try_damaged; print(try_damaged({count}))", **build)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr[-3000:]}"
    assert "'decoded'" in done.stdout


def test_the_checked_build_crashes_on_a_load_past_the_end(tmp_path):
    code = (
        "import numpy as np; from numba import njit; from hrrr_dask.decode.bits import load_word; "
        "load = njit(lambda data, byte: load_word(data, byte)); data = np.zeros(64, np.uint8); "
        "load(data, np.uint64(56)); print('loaded', flush=True); load(data, np.uint64(57))"
    )
    for checked, crashed in (("1", True), ("", False)):
        done = run_python(code, HRRR_DASK_CHECKED_KERNELS=checked, NUMBA_CACHE_DIR=str(tmp_path), PYTHONFAULTHANDLER="")
        assert (done.stdout, done.returncode < 0) == ("loaded\n", crashed), done.stderr


def test_the_fence_detects_a_read_past_the_end():
    code = "from support.decoding import FencedBuffer; print(FencedBuffer(9).store(b'123456789').obj[4096])"
    assert run_python(code, PYTHONFAULTHANDLER="").returncode < 0
