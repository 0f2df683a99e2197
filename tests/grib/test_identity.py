"""Messages that differ from the requested one are refused with the reason."""

from __future__ import annotations

import struct
from dataclasses import replace
from datetime import datetime

import pytest
from support.packed import replace_octets, section_starts

from hrrr_dask.catalog.selectors import Selector, Wanted
from hrrr_dask.catalog.variables import CATALOG, find_companion
from hrrr_dask.errors import DecodeError, HrrrDaskError, TruncatedError, WrongIdentityError
from hrrr_dask.grib.identity import check_message
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.records import ByteRange, GribFile, Record, Window
from hrrr_dask.testing import DEFAULT_WINDOW
from hrrr_dask.testing.messages import MESSAGES, encode_message

FILE = GribFile(datetime(2024, 1, 1, 6), 5)
GRID = read_grid(DEFAULT_WINDOW.section3())
MESSAGE = encode_message(MESSAGES["u_component_wind_80m"], FILE, DEFAULT_WINDOW)
SELECTOR = CATALOG["u_component_wind_80m"].selector
INSTANT = Window("instant", 300, 300)


def record_of(selector: Selector, window: Window | None = INSTANT) -> Record:
    return Record(selector.element, selector.level, window, FILE.init_time, ByteRange(0, None))


def check(message=MESSAGE, *, file=FILE, selector=SELECTOR, window=INSTANT, grid=GRID, vector=True):
    check_message(
        message,
        file=file,
        record=record_of(selector, window),
        wanted=Wanted(selector, 60 * file.lead_hours),
        grid=grid,
        vector=vector,
    )


def with_length(message: bytes) -> bytes:
    return message[:8] + struct.pack(">Q", len(message)) + message[16:]


@pytest.mark.parametrize("name", [name for name, kind in MESSAGES.items() if kind.statistic == "instant"])
def test_every_instant_message_passes(name):
    kind = MESSAGES[name]
    selector = Selector.parse(f"{kind.element}:{kind.level}:instant")
    vector = find_companion(selector) is not None
    check(encode_message(kind, FILE, DEFAULT_WINDOW), selector=selector, vector=vector)


def test_a_message_with_a_window_passes():
    kind = MESSAGES["precipitation_1h"]
    selector = Selector.parse("APCP:surface:1 hour acc")
    window = Window("acc", 240, 300)
    check(encode_message(kind, FILE, DEFAULT_WINDOW), selector=selector, window=window, vector=False)


@pytest.mark.parametrize(
    ("decoy", "text"),
    [
        ("v_component_wind_80m", "wanted element UGRD, found VGRD"),
        ("u_component_wind_10m", "wanted level 80 m above ground, found 10 m above ground"),
        ("u_component_wind_500mb", "wanted level 80 m above ground, found 500 mb"),
        ("temperature_surface", "wanted element UGRD, found TMP"),
    ],
)
def test_another_parameter_or_level_is_refused(decoy, text):
    with pytest.raises(WrongIdentityError, match=f"^UGRD:80 m above ground:instant of 20240101T06-f05: {text}"):
        check(encode_message(MESSAGES[decoy], FILE, DEFAULT_WINDOW))


@pytest.mark.parametrize(("octet", "value"), [(10, 3), (11, 3)])
def test_another_category_or_number_is_refused(octet, value):
    with pytest.raises(WrongIdentityError, match="wanted element UGRD"):
        check(replace_octets(MESSAGE, 4, octet, bytes([value])))


def test_another_discipline_is_refused():
    with pytest.raises(WrongIdentityError, match="wanted element UGRD, found var discipline=10"):
        check(MESSAGE[:6] + bytes([10]) + MESSAGE[7:])


def test_another_window_of_the_same_element_and_level_is_refused():
    run_total = encode_message(MESSAGES["precipitation_run"], FILE, DEFAULT_WINDOW)
    selector = Selector.parse("APCP:surface:1 hour acc")
    with pytest.raises(WrongIdentityError, match=r"wanted time window Window\(kind='acc', start=240, stop=300\)"):
        check(run_total, selector=selector, window=Window("acc", 240, 300), vector=False)


def test_a_message_of_another_run_is_refused():
    other = replace(FILE, init_time=datetime(2024, 1, 1, 0))
    with pytest.raises(WrongIdentityError, match=r"wanted reference time 2024-01-01 06:00:00.*00:00:00"):
        check(encode_message(MESSAGES["u_component_wind_80m"], other, DEFAULT_WINDOW))


def test_a_message_of_another_lead_time_is_refused_even_if_its_inventory_agrees():
    message = encode_message(MESSAGES["u_component_wind_80m"], replace(FILE, lead_hours=6), DEFAULT_WINDOW)
    with pytest.raises(WrongIdentityError, match="time window"):
        check(message)
    with pytest.raises(WrongIdentityError, match=r"wanted lead time \[min\] 300, found 360"):
        check(message, window=Window("instant", 360, 360))


def test_a_message_that_is_not_a_plain_forecast_is_refused():
    with pytest.raises(WrongIdentityError, match=r"wanted .*, found None"):
        check(replace_octets(MESSAGE, 4, 9, b"\1"))  # template 4.1, an ensemble member


@pytest.mark.parametrize(
    "window",
    [
        replace(DEFAULT_WINDOW, row=DEFAULT_WINDOW.row + 1),
        replace(DEFAULT_WINDOW, column=DEFAULT_WINDOW.column - 1),
        replace(DEFAULT_WINDOW, nx=DEFAULT_WINDOW.nx + 1),
        replace(DEFAULT_WINDOW, row=100, column=100, domain="alaska"),
    ],
    ids=["a row north", "a column west", "a column more", "alaska"],
)
def test_another_grid_is_refused_even_if_shifted_by_one_cell(window):
    message = encode_message(MESSAGES["u_component_wind_80m"], FILE, window)
    with pytest.raises(WrongIdentityError, match=r"wanted the grid .*, found "):
        check(message)


def test_the_older_grid_with_its_origin_53_m_away_passes():
    start = section_starts(MESSAGE)[3] + 38  # octets 39-42: latitude of the first cell, in millionths
    latitude = int.from_bytes(MESSAGE[start : start + 4], "big")
    check(replace_octets(MESSAGE, 3, 39, struct.pack(">I", latitude + 450)))


def test_earth_relative_wind_is_refused():
    with pytest.raises(WrongIdentityError, match=r"resolution and component flags, bit 5.*east and north"):
        check(replace_octets(MESSAGE, 3, 47, b"\0"))


def test_the_wind_flag_is_ignored_for_a_scalar():
    message = encode_message(MESSAGES["temperature_2m"], FILE, DEFAULT_WINDOW)
    check(replace_octets(message, 3, 47, b"\0"), selector=CATALOG["temperature_2m"].selector, vector=False)


@pytest.mark.parametrize("missing", [1, 4, 100])
def test_a_message_without_its_end_is_reported_as_truncated(missing):
    with pytest.raises(TruncatedError, match="wanted a message of"):
        check(MESSAGE[:-missing])
    with pytest.raises(TruncatedError, match="wanted 7777"):
        check(with_length(MESSAGE[:-missing]))


def test_bytes_after_the_message_are_refused():
    with pytest.raises(WrongIdentityError, match="the inventory belongs to another file"):
        check(MESSAGE + b"GRIB")


def test_several_fields_in_a_message_are_refused():
    start, stop = section_starts(MESSAGE)[4], len(MESSAGE) - 4
    twice = with_length(MESSAGE[:stop] + MESSAGE[start:stop] + b"7777")
    with pytest.raises(DecodeError, match="wanted one field in the message, found 2"):
        check(twice)


@pytest.mark.parametrize("junk", [b"", b"GRIB", b"<html>" * 40, bytes(400)])
def test_other_bytes_are_refused(junk):
    with pytest.raises((TruncatedError, WrongIdentityError)):
        check(junk)


def test_any_changed_header_octet_is_refused_unless_it_is_unused():
    accepted = set()
    for at in range(section_starts(MESSAGE)[5]):
        damaged = MESSAGE[:at] + bytes([MESSAGE[at] ^ 0xFF]) + MESSAGE[at + 1 :]
        try:
            check(damaged)
        except HrrrDaskError:
            continue
        accepted.add(at)
    # Not used: reserved octets, versions, statuses and generating processes; the type of an absent list of numbers;
    # unused radii of the earth; the unused value of the second surface; millionths of a degree.
    start1, start3, start4 = (section_starts(MESSAGE)[number] for number in (1, 3, 4))
    unused = {4, 5}
    unused |= {start1 + octet - 1 for octet in (5, 6, 7, 8, 9, 10, 11, 12, 18, 19, 20, 21)}
    unused |= {start3 + octet - 1 for octet in (12, *range(16, 31), 42, 46, 51, 55, 59, 63, 69, 73, *range(74, 82), 38)}
    unused |= {start4 + octet - 1 for octet in (6, 7, *range(12, 18), *range(30, 35))}
    assert accepted <= unused, sorted(accepted - unused)
