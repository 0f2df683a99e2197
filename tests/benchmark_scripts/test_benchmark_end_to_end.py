"""The backfill benchmark: the archive has the stated properties, the stages add up, the server counts requests."""

from __future__ import annotations

import shutil
import time
import urllib.request
from datetime import datetime

import eccodes
import numpy as np
import pytest
from support import needs

from benchmarks import end_to_end
from benchmarks.bare_socket import receive
from benchmarks.case import FILE as CASE
from benchmarks.end_to_end import collect, parser, readme_rows, show
from benchmarks.full_archive import NAMES, Archive, with_times, write_full_archive
from benchmarks.running import UnavailableError
from benchmarks.stages import Meter
from benchmarks.web import Served, run_nginx
from hrrr_dask.catalog.products import object_key
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.grib.packing import read_packing
from hrrr_dask.records import GribFile
from hrrr_dask.testing import DEFAULT_WINDOW, GridWindow, expected_field, group_packing
from hrrr_dask.testing.archive import encode_file
from hrrr_dask.testing.group_packing import GroupStatistics, repack_in_short_groups
from hrrr_dask.testing.messages import MESSAGES, encode_message, messages_of

ARCHIVE = Archive(DEFAULT_WINDOW, 2, 2)
FILE = GribFile(datetime(2024, 7, 1, 12), 6)


def head(message: bytes) -> bytes:
    """Sections 1 to 4."""
    stop = 16
    while message[stop + 4] != 5:
        stop += int.from_bytes(message[stop : stop + 4], "big")
    return message[16:stop]


def cut(data: bytes) -> list[bytes]:
    """Split a file into its consecutive messages."""
    messages = []
    while data:
        length = int.from_bytes(data[8:16], "big")
        messages.append(data[:length])
        data = data[length:]
    return messages


def decoded(message: bytes) -> np.ndarray:
    """Decode with ecCodes."""
    handle = eccodes.codes_new_from_message(message)
    values = eccodes.codes_get_values(handle)
    eccodes.codes_release(handle)
    return values


@pytest.mark.parametrize("name", ["temperature_2m", "surface_pressure", "precipitation_run"])
def test_groups_are_as_short_as_those_of_weather_and_hold_the_same_values(name):
    window = GridWindow(288, 794, 150, 200)
    long = encode_message(MESSAGES[name], FILE, window)
    short = repack_in_short_groups(long, np.random.default_rng(1))
    assert head(short) == head(long)
    assert (decoded(short) == decoded(long)).all()
    assert decoded(short).astype(np.float32).tobytes() == expected_field(name, FILE.init_time, 360, window).tobytes()
    groups = read_packing(short).groups
    assert (groups.order, groups.missing_management, groups.length_base, groups.length_bits) == (2, 0, 1, 6)
    found = GroupStatistics.of([short, encode_message(MESSAGES["u_component_wind_10m"], FILE, window)])
    assert found == GroupStatistics(1, groups.count, 30_000 / groups.count, len(short))
    assert found.length == pytest.approx(15, rel=0.1)


def test_messages_without_groups_stay_as_they_are():
    wind = encode_message(MESSAGES["u_component_wind_10m"], FILE, DEFAULT_WINDOW)
    assert repack_in_short_groups(wind, np.random.default_rng(1)) == wind
    with pytest.raises(RuntimeError, match="none of the 1 messages has groups"):
        GroupStatistics.of([wind])


def test_groups_that_lose_a_bit_are_noticed(monkeypatch):
    enough = group_packing._bits_of
    monkeypatch.setattr(group_packing, "_bits_of", lambda numbers: np.maximum(enough(numbers) - 1, 0))
    with pytest.raises(RuntimeError, match="other values"):
        repack_in_short_groups(
            encode_message(MESSAGES["temperature_2m"], FILE, DEFAULT_WINDOW), np.random.default_rng(1)
        )


@pytest.mark.parametrize("other", [GribFile(datetime(2024, 7, 1, 23), 1), GribFile(datetime(2024, 2, 29), 24)])
def test_a_message_under_other_times_has_the_header_of_that_file_and_its_own_values(other):
    for name in NAMES:
        kind = MESSAGES[name]
        message = repack_in_short_groups(encode_message(kind, FILE, DEFAULT_WINDOW), np.random.default_rng(1))
        turned = with_times(message, kind, other)
        assert head(turned) == head(encode_message(kind, other, DEFAULT_WINDOW)), name
        assert turned[16 + len(head(turned)) :] == message[16 + len(head(message)) :]


def test_the_archive_has_a_file_and_an_inventory_for_each_run_and_lead_hour(tmp_path):
    root = write_full_archive(tmp_path, ARCHIVE)
    assert [(file.init_time.hour, file.lead_hours) for file in ARCHIVE.files] == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert len(list(root.rglob("*.grib2"))) == len(list(root.rglob("*.idx"))) == 4
    kinds, wanted = messages_of(CASE, frozenset(NAMES)), 0
    for file in ARCHIVE.files:
        for kind, message in zip(kinds, cut((root / object_key(file)).read_bytes()), strict=True):
            field = expected_field(kind.name, CASE.init_time, 60 * CASE.lead_hours, DEFAULT_WINDOW)
            assert decoded(message).astype(np.float32).tobytes() == field.tobytes(), kind.name
            wanted += len(message) * (kind.name in DEFAULT_VARIABLES)
    assert ARCHIVE.wanted_bytes(root) == wanted
    assert ARCHIVE.groups(root).messages == 9
    assert ARCHIVE.groups(root).length < 20
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert {path: path.stat().st_mtime_ns for path in write_full_archive(tmp_path, ARCHIVE).rglob("*")} == before
    (path,) = root.rglob("*t01z*f02.grib2.idx")
    _, inventory = encode_file(ARCHIVE.files[-1], DEFAULT_WINDOW, NAMES)
    described = [line.split(":", 2)[2] for line in path.read_text().splitlines()]
    assert described == [line.split(":", 2)[2] for line in inventory.splitlines()]


@pytest.fixture(scope="module")
def answer() -> dict:
    patch = pytest.MonkeyPatch()
    patch.setattr(end_to_end, "CASES", {"whole grid": 1.0})
    found = collect(parser().parse_args(["--quick", "--repeats", "1", "--server", "directory", "--engine", "eccodes"]))
    patch.undo()
    return found


def test_the_stages_and_the_rest_are_the_whole(answer):
    (row,) = answer["medians"].values()
    parts = ("fetch_s", "decode_s", "store_s", "else_s")
    assert all(row[name] > 0 for name in parts)
    assert sum(row[name] for name in parts) == pytest.approx(row["whole_s"])
    assert row["socket_s"] > 0
    assert row["overhead"] == pytest.approx(row["whole_s"] / (row["socket_s"] + row["decode_s"]))
    assert row["bytes_read"] == row["bytes_noted"] > 0
    assert row["bytes_ratio"] > 1
    assert row["files_per_s"] > 0
    (measurement,) = answer["measurements"]["whole grid"]
    assert measurement["environment"]["MALLOC_TRIM_THRESHOLD_"] == "65536"


def test_the_table_has_goals_and_the_readme_has_ratios(answer, capsys):
    show(answer)
    shown = capsys.readouterr().out
    assert "goal <= 1.05" in shown
    assert "goal < 1.5" in shown
    assert [row.against for row in readme_rows(answer)] == [
        "the wanted messages",
        "receiving the bytes on a bare socket, and decoding",
    ]


def test_cpu_time_is_added_up_also_of_what_fails():
    meter = Meter()
    metered = meter.metered("divide", lambda a, b: sum(range(100_000)) * a / b)
    assert metered(0, b=1) == 0
    once = meter.cpu_s["divide"]
    with pytest.raises(ZeroDivisionError):
        metered(1, b=0)
    assert meter.cpu_s["divide"] > once > 0


def test_without_nginx_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(UnavailableError, match=r"apt-get install .* nginx-light"), run_nginx(tmp_path):
        pass


@needs.program("nginx")
def test_nginx_serves_ranges_and_counts_them(tmp_path):
    (tmp_path / "object").write_bytes(bytes(range(100)))
    with run_nginx(tmp_path) as web:
        request = urllib.request.Request(f"{web.url}/object", headers={"Range": "bytes=10-19"})
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.status == 206
            assert response.read() == bytes(range(10, 20))
        deadline = time.monotonic() + 10
        while web.served("/object") == Served(0, 0) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert web.served("/object") == Served(1, 10)
        assert web.served("/archive/") == Served(0, 0)
        assert receive(web.url, [("object", 10, 20), ("object", 90, None)]) >= 0
        with pytest.raises(RuntimeError, match="404"):
            receive(web.url, [("other", 0, 1)])


def test_ranges_are_read_from_a_directory_too(tmp_path):
    (tmp_path / "object").write_bytes(bytes(100))
    assert receive(str(tmp_path), [("object", 10, 20), ("object", 0, None)]) >= 0
