"""Decoding engines: the same bits from each, NaN for missing, errors instead of garbage."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from datetime import datetime

import eccodes
import numpy as np
import pytest

from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.decode import ENGINES, eccodes_subprocess, engine_named
from hrrr_dask.errors import ConfigError, DecodeError, UnsupportedPackingError
from hrrr_dask.records import GribFile
from hrrr_dask.testing import DEFAULT_WINDOW, expected_field
from hrrr_dask.testing.messages import MESSAGES, encode_message

FILE = GribFile(datetime(2024, 1, 1, 6), 5)
NIGHT = GribFile(datetime(2024, 1, 1, 6), 0)
SIZE = DEFAULT_WINDOW.ny * DEFAULT_WINDOW.nx
ALL = np.arange(SIZE, dtype=np.int64)
NAMES = [*DEFAULT_VARIABLES, "precipitation_1h", "precipitation_run", "wind_speed_10m_max", "temperature_500mb"]


@pytest.fixture(params=sorted(ENGINES))
def engine(request):
    return engine_named(request.param)


def message_of(name: str, file: GribFile = FILE) -> bytes:
    return encode_message(MESSAGES[name], file, DEFAULT_WINDOW)


def with_missing(message: bytes, missing: np.ndarray) -> bytes:
    handle = eccodes.codes_new_from_message(message)
    try:
        values = eccodes.codes_get_values(handle)
        eccodes.codes_set(handle, "bitmapPresent", 1)
        eccodes.codes_set(handle, "missingValue", 9999.0)
        values[missing] = 9999.0
        eccodes.codes_set_values(handle, values)
        encoded: bytes = eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)
    return encoded


def section(message: bytes, number: int) -> tuple[int, int]:
    start = 16
    while message[start + 4] != number:
        start += int.from_bytes(message[start : start + 4], "big")
    return start, start + int.from_bytes(message[start : start + 4], "big")


def with_bytes(message: bytes, number: int, octet: int, data: bytes) -> bytes:
    at = section(message, number)[0] + octet - 1
    return message[:at] + data + message[at + len(data) :]


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_gives_the_bits_that_were_packed(engine, name):
    expected = expected_field(name, FILE.init_time, FILE.lead_hours, DEFAULT_WINDOW).ravel()
    values = engine.points(message_of(name), ALL)
    assert values.dtype == np.float32
    assert values.tobytes() == expected.tobytes()


def test_a_field_of_one_value_without_bits_is_read(engine):
    message = message_of("visible_beam_downward_solar_flux", NIGHT)
    assert len(message) < 250
    assert engine.points(message, ALL).tolist() == [0.0] * SIZE


def test_cells_come_in_the_order_asked_for_and_may_repeat(engine):
    cells = np.array([SIZE - 1, 0, 33, 0], dtype=np.int64)
    everything = engine.points(message_of("temperature_2m"), ALL)
    assert engine.points(message_of("temperature_2m"), cells).tolist() == everything[cells].tolist()


def test_no_cells_give_no_values(engine):
    assert engine.points(message_of("temperature_2m"), np.empty(0, np.int64)).shape == (0,)


def test_a_missing_value_is_nan_and_its_neighbours_are_not(engine):
    missing = np.array([0, 7, SIZE - 1])
    message = message_of("u_component_wind_10m")
    values = engine.points(with_missing(message, missing), ALL)
    assert np.flatnonzero(np.isnan(values)).tolist() == missing.tolist()
    there = np.setdiff1d(ALL, missing)
    assert values[there].tolist() == engine.points(message, there).tolist()


def test_a_field_whose_values_are_all_missing_is_all_nan(engine):
    assert np.isnan(engine.points(with_missing(message_of("u_component_wind_10m"), ALL), ALL)).all()


@pytest.mark.parametrize("cell", [SIZE, SIZE + 100, -1])
def test_a_cell_beyond_the_field_is_refused(engine, cell):
    with pytest.raises(DecodeError, match=f"the message has {SIZE} values.*not the one that the points were placed on"):
        engine.points(message_of("temperature_2m"), np.array([0, cell], dtype=np.int64))


DAMAGES = {
    "no bytes": lambda message: message[:0],
    "no message": lambda message: message[:4] + bytes(300),
    "cut in section 3": lambda message: message[:60],
    "unknown packing": lambda message: with_bytes(message, 5, 10, struct.pack(">H", 999)),
    "one value fewer": lambda message: with_bytes(message, 5, 6, struct.pack(">I", SIZE - 1)),
}


@pytest.mark.parametrize("damage", sorted(DAMAGES))
def test_a_damaged_message_is_an_error_and_no_garbage(engine, damage):
    with pytest.raises(DecodeError):
        engine.points(DAMAGES[damage](message_of("temperature_2m")), ALL)


def with_less_data(message: bytes, kept: int) -> bytes:
    """The message with the first bytes of its data only, and lengths that agree with that."""
    start, stop = section(message, 7)
    data = message[start + 5 : stop][:kept]
    short = message[:start] + struct.pack(">IB", 5 + len(data), 7) + data + b"7777"
    return short[:8] + struct.pack(">Q", len(short)) + short[16:]


@pytest.mark.parametrize("kept", [1, 500])
def test_simple_packing_with_too_few_bytes_is_an_error(engine, kept):
    with pytest.raises(DecodeError):
        engine.points(with_less_data(message_of("u_component_wind_10m"), kept), ALL)


@pytest.mark.parametrize(
    ("name", "kept"),
    [("u_component_wind_10m", 0), ("temperature_2m", 0), ("temperature_2m", 500), ("temperature_2m", -1)],
)
def test_a_data_section_that_is_too_short_is_an_error_with_every_packing(engine, name, kept):
    with pytest.raises(DecodeError):
        engine.points(with_less_data(message_of(name), kept), ALL)


def test_a_reference_that_is_no_number_is_an_error(engine):
    message = with_bytes(message_of("u_component_wind_10m"), 5, 12, struct.pack(">f", float("nan")))
    with pytest.raises(DecodeError, match="no number"):
        engine.points(message, ALL)


def test_values_beyond_float32_are_an_error(engine):
    # octets 12-15 of section 5: the reference value; 16-17: the binary scale factor
    message = with_bytes(message_of("u_component_wind_10m"), 5, 16, struct.pack(">h", 300))
    with pytest.raises(DecodeError):
        engine.points(message, ALL)


def test_an_unknown_engine_gets_a_hint():
    with pytest.raises(ConfigError, match="decoding engine 'eccode' is unknown: did you mean eccodes"):
        engine_named("eccode")
    with pytest.raises(ConfigError, match="decoding engine 'x' is unknown: take one of auto, numba, eccodes, cfgrib"):
        engine_named("x")


def test_engines_are_called_what_they_are_asked_for_as():
    assert {name: engine_named(name).name for name in ENGINES} == {name: name for name in ENGINES}


def repacked(name: str, packing: str) -> bytes:
    handle = eccodes.codes_new_from_message(message_of(name))
    eccodes.codes_set(handle, "packingType", packing)
    message: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return message


ENDLESS = "def endless(message):\n    while True: pass\na.unpack = endless; a.answer()"


def test_auto_is_the_fast_engine_and_the_reference_for_what_that_does_not_know():
    auto, known = engine_named("auto"), message_of("temperature_2m")
    assert auto.engine_for(known).name == "numba"
    ieee = repacked("u_component_wind_10m", "grid_ieee")
    assert auto.engine_for(ieee).name == "eccodes"
    assert auto.points(ieee, ALL).tobytes() == engine_named("eccodes").points(ieee, ALL).tobytes()
    with pytest.raises(UnsupportedPackingError, match=r"template 5\.4"):
        engine_named("numba").points(ieee, ALL)
    assert auto.engine_for(b"GRIB, or so").name == "numba"


def test_what_ends_eccodes_ends_a_process_of_its_own_and_the_next_message_is_read():
    auto, message = engine_named("auto"), repacked("u_component_wind_10m", "grid_ieee")
    good = auto.points(message, ALL).tobytes()
    with pytest.raises(DecodeError, match="ecCodes ends its process with code -6 over the message: it is damaged"):
        auto.points(with_bytes(message_of("temperature_2m"), 5, 37, b"\xff"), ALL)  # widths of 255 bits
    assert auto.points(message, ALL).tobytes() == good


def test_a_message_that_takes_eccodes_too_long_is_given_up(monkeypatch):
    eccodes_subprocess._stop()
    monkeypatch.setattr(
        eccodes_subprocess, "_CODE", "import hrrr_dask.decode.eccodes_subprocess as a; a.LIMIT_S = 0.3\n" + ENDLESS
    )
    with pytest.raises(DecodeError, match="ecCodes ends its process with code -27 over the message"):
        eccodes_subprocess.unpack_apart(b"GRIB")
    assert not eccodes_subprocess._running


def test_where_nothing_can_be_written_kernels_are_compiled_in_each_process(tmp_path):
    code = (
        "import sys, numpy as np; from numba.core import caching; "
        "getattr(caching, 'CacheImpl', None or caching.__dict__.get('_CacheImpl'))._locator_classes = []; "
        "from hrrr_dask.decode import engine_named; message = sys.stdin.buffer.read(); "
        "print(engine_named('numba').points(message, np.arange(3)).tolist())"
    )
    message, environment = message_of("temperature_2m"), {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=message, capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == engine_named("eccodes").points(message, ALL[:3]).tolist()
    assert not list(tmp_path.rglob("*.nbi"))


def test_processes_that_start_at_once_on_an_empty_cache_do_not_disturb_each_other(tmp_path):
    code = "from hrrr_dask.decode.numba_engine import NumbaEngine"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    assert list(tmp_path.rglob("*.nbi"))
