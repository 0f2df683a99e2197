"""All decoding engines return the same bits, NaN for missing values, and errors for damaged messages."""

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
from support.packed import replace_octets, section_starts

from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.decode import ENGINES, eccodes_subprocess, get_engine
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
    return get_engine(request.param)


def encode(name: str, file: GribFile = FILE) -> bytes:
    return encode_message(MESSAGES[name], file, DEFAULT_WINDOW)


def add_bitmap(message: bytes, missing: np.ndarray) -> bytes:
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


@pytest.mark.parametrize("name", NAMES)
def test_every_engine_gives_the_bits_that_were_packed(engine, name):
    expected = expected_field(name, FILE.init_time, 60 * FILE.lead_hours, DEFAULT_WINDOW).ravel()
    values = engine.points(encode(name), ALL)
    assert values.dtype == np.float32
    assert values.tobytes() == expected.tobytes()


def test_a_constant_field_with_zero_bits_per_value_is_decoded(engine):
    message = encode("visible_beam_downward_solar_flux", NIGHT)
    assert len(message) < 250
    assert engine.points(message, ALL).tolist() == [0.0] * SIZE


@pytest.mark.parametrize("cells", [[SIZE - 1, 0, 33, 0], []])
def test_cells_may_have_any_order_may_repeat_and_may_be_none(engine, cells):
    cells = np.array(cells, dtype=np.int64)
    everything = engine.points(encode("temperature_2m"), ALL)
    values = engine.points(encode("temperature_2m"), cells)
    assert values.shape == cells.shape
    assert values.tolist() == everything[cells].tolist()


@pytest.mark.parametrize("missing", [np.array([0, 7, SIZE - 1]), ALL], ids=["some", "all"])
def test_missing_values_are_nan_and_other_values_are_unchanged(engine, missing):
    message = encode("u_component_wind_10m")
    values = engine.points(add_bitmap(message, missing), ALL)
    assert np.flatnonzero(np.isnan(values)).tolist() == missing.tolist()
    present = np.setdiff1d(ALL, missing)
    assert values[present].tolist() == engine.points(message, present).tolist()


@pytest.mark.parametrize("cell", [SIZE, SIZE + 100, -1])
def test_a_cell_outside_the_field_is_an_error(engine, cell):
    with pytest.raises(DecodeError, match=f"the message has {SIZE} values.*not the one that the points were placed on"):
        engine.points(encode("temperature_2m"), np.array([0, cell], dtype=np.int64))


def shorten_data(message: bytes, kept: int) -> bytes:
    """Keep the first bytes of the data section; lengths are adjusted."""
    start = section_starts(message)[7]
    data = message[start + 5 : -4][:kept]
    short = message[:start] + struct.pack(">IB", 5 + len(data), 7) + data + b"7777"
    return short[:8] + struct.pack(">Q", len(short)) + short[16:]


DAMAGES = {
    "no bytes": lambda: encode("temperature_2m")[:0],
    "no message": lambda: encode("temperature_2m")[:4] + bytes(300),
    "cut in section 3": lambda: encode("temperature_2m")[:60],
    "unknown packing": lambda: replace_octets(encode("temperature_2m"), 5, 10, struct.pack(">H", 999)),
    "one value fewer": lambda: replace_octets(encode("temperature_2m"), 5, 6, struct.pack(">I", SIZE - 1)),
    "complex packing, no data": lambda: shorten_data(encode("temperature_2m"), 0),
    "complex packing, 500 bytes": lambda: shorten_data(encode("temperature_2m"), 500),
    "complex packing, last byte lost": lambda: shorten_data(encode("temperature_2m"), -1),
    "simple packing, no data": lambda: shorten_data(encode("u_component_wind_10m"), 0),
    "simple packing, 1 byte": lambda: shorten_data(encode("u_component_wind_10m"), 1),
    "simple packing, 500 bytes": lambda: shorten_data(encode("u_component_wind_10m"), 500),
    "binary scale factor of 300": lambda: replace_octets(encode("u_component_wind_10m"), 5, 16, struct.pack(">h", 300)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_message_is_an_error(engine, damage):
    with pytest.raises(DecodeError):
        engine.points(DAMAGES[damage](), ALL)


def test_a_reference_value_of_nan_is_an_error(engine):
    message = replace_octets(encode("u_component_wind_10m"), 5, 12, struct.pack(">f", float("nan")))
    with pytest.raises(DecodeError, match="the reference value of the packing is not finite"):
        engine.points(message, ALL)


def test_an_unknown_engine_is_an_error_with_a_hint():
    with pytest.raises(ConfigError, match="decoding engine 'eccode' is unknown: did you mean eccodes"):
        get_engine("eccode")
    with pytest.raises(ConfigError, match="decoding engine 'x' is unknown: take one of auto, numba, eccodes, cfgrib"):
        get_engine("x")


def test_get_engine_returns_the_engine_of_that_name():
    assert {name: get_engine(name).name for name in ENGINES} == {name: name for name in ENGINES}


def repack(name: str, packing: str) -> bytes:
    handle = eccodes.codes_new_from_message(encode(name))
    eccodes.codes_set(handle, "packingType", packing)
    message: bytes = eccodes.codes_get_message(handle)
    eccodes.codes_release(handle)
    return message


ENDLESS = "def endless(message):\n    while True: pass\na.unpack = endless; a.serve_requests()"


def test_auto_uses_numba_and_falls_back_to_eccodes_for_other_packings():
    auto, supported = get_engine("auto"), encode("temperature_2m")
    assert auto.engine_for(supported).name == "numba"
    ieee = repack("u_component_wind_10m", "grid_ieee")
    assert auto.engine_for(ieee).name == "eccodes"
    assert auto.points(ieee, ALL).tobytes() == get_engine("eccodes").points(ieee, ALL).tobytes()
    with pytest.raises(UnsupportedPackingError, match=r"template 5\.4"):
        get_engine("numba").points(ieee, ALL)
    assert auto.engine_for(b"GRIB, or so").name == "numba"


def test_a_crash_of_eccodes_is_an_error_and_the_next_message_is_decoded():
    auto, message = get_engine("auto"), repack("u_component_wind_10m", "grid_ieee")
    good = auto.points(message, ALL).tobytes()
    with pytest.raises(DecodeError, match="ecCodes exited with code -6 while unpacking the message: it is damaged"):
        auto.points(replace_octets(encode("temperature_2m"), 5, 37, b"\xff"), ALL)  # widths of 255 bits
    assert auto.points(message, ALL).tobytes() == good


def test_eccodes_is_stopped_at_the_time_limit(monkeypatch):
    eccodes_subprocess._stop()
    monkeypatch.setattr(
        eccodes_subprocess, "_CODE", "import hrrr_dask.decode.eccodes_subprocess as a; a.LIMIT_S = 0.3\n" + ENDLESS
    )
    with pytest.raises(DecodeError, match="ecCodes exited with code -27 while unpacking the message"):
        eccodes_subprocess.unpack_in_subprocess(b"GRIB")
    assert not eccodes_subprocess._running


def test_kernels_are_compiled_in_each_process_if_no_cache_is_writable(tmp_path):
    code = (
        "import sys, numpy as np; from numba.core import caching; "
        "getattr(caching, 'CacheImpl', None or caching.__dict__.get('_CacheImpl'))._locator_classes = []; "
        "from hrrr_dask.decode import get_engine; message = sys.stdin.buffer.read(); "
        "print(get_engine('numba').points(message, np.arange(3)).tolist())"
    )
    message, environment = encode("temperature_2m"), {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], input=message, capture_output=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads(done.stdout) == get_engine("eccodes").points(message, ALL[:3]).tolist()
    assert not list(tmp_path.rglob("*.nbi"))


def test_several_processes_can_fill_an_empty_cache_at_once(tmp_path):
    code = "from hrrr_dask.decode.numba_engine import NumbaEngine"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    started = [subprocess.Popen([sys.executable, "-c", code], env=environment) for _ in range(4)]
    assert [process.wait() for process in started] == [0] * 4
    assert list(tmp_path.rglob("*.nbi"))
