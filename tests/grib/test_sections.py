"""Header sections, checked against ecCodes, and arbitrary bytes."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from datetime import datetime

import eccodes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support import needs
from support.packed import replace_octets
from support.paths import SHARED_DATA

from hrrr_dask.catalog.elements import find_element_by_numbers
from hrrr_dask.catalog.levels import format_level
from hrrr_dask.errors import DecodeError, HrrrDaskError, TruncatedError, WrongIdentityError
from hrrr_dask.grib.sections import check_complete, check_prefix, read_header
from hrrr_dask.records import Window

REAL_FILES = sorted(
    path
    for folder in ("archive", "messages", "broken", "other-packing")
    for path in (SHARED_DATA / folder).rglob("*.gr*b*")
)
REAL_INVENTORIES = sorted((SHARED_DATA / "idx").glob("*.idx"))
MISSING = 0xFFFFFFFF
LEVEL_KEYS = [
    f"{what}{which}FixedSurface"
    for which in ("First", "Second")
    for what in ("typeOf", "scaleFactorOf", "scaledValueOf")
]


def make_message(**keys: int) -> bytes:
    """A small complete message of NCEP, with ecCodes keys."""
    handle = eccodes.codes_grib_new_from_samples("GRIB2")
    try:
        eccodes.codes_set(handle, "centre", 7)
        eccodes.codes_set(handle, "localTablesVersion", 1)
        eccodes.codes_set(handle, "dataDate", 20240101)
        eccodes.codes_set(handle, "dataTime", 600)
        if "productDefinitionTemplateNumber" in keys:
            template = keys.pop("productDefinitionTemplateNumber")
            eccodes.codes_set(handle, "productDefinitionTemplateNumber", template)
        for key, value in keys.items():
            if value == MISSING:
                eccodes.codes_set_missing(handle, key)
            else:
                negative = value < 0 and key.startswith("scaledValue")  # ecCodes treats these as unsigned
                eccodes.codes_set(handle, key, 2**31 - value if negative else value)
        return eccodes.codes_get_message(handle)
    finally:
        eccodes.codes_release(handle)


def section(message: bytes, number: int) -> tuple[int, int]:
    """Start and stop of a section."""
    start = 16
    while message[start + 4] != number:
        start += int.from_bytes(message[start : start + 4], "big")
    return start, start + int.from_bytes(message[start : start + 4], "big")


def with_length(message: bytes) -> bytes:
    """The message with its actual length in section 0."""
    return message[:8] + struct.pack(">Q", len(message)) + message[16:]


def real_messages() -> Iterator[tuple[str, int]]:
    for path in REAL_FILES:
        with path.open("rb") as file:
            while True:
                try:
                    handle = eccodes.codes_grib_new_from_file(file)
                except eccodes.CodesInternalError:
                    break
                if handle is None:
                    break
                yield path.name, handle
                eccodes.codes_release(handle)


def minutes(handle: int) -> tuple[int, int]:
    seconds = {0: 60, 1: 3600, 2: 86400, 10: 10800, 11: 21600, 12: 43200, 13: 1}
    start = (
        eccodes.codes_get(handle, "forecastTime")
        * seconds[eccodes.codes_get_long(handle, "indicatorOfUnitOfTimeRange")]
    )
    if eccodes.codes_get(handle, "productDefinitionTemplateNumber") == 0:
        return start // 60, start // 60
    unit = eccodes.codes_get_long(handle, "indicatorOfUnitForTimeRange")
    return start // 60, (start + eccodes.codes_get(handle, "lengthOfTimeRange") * seconds[unit]) // 60


def test_the_header_identifies_the_message():
    message = make_message(
        parameterCategory=2,
        parameterNumber=2,
        typeOfFirstFixedSurface=103,
        scaleFactorOfFirstFixedSurface=0,
        scaledValueOfFirstFixedSurface=80,
        forecastTime=5,
    )
    header = read_header(message)
    start, stop = section(message, 3)
    assert (header.length, header.centre) == (len(message), 7)
    assert (header.discipline, header.category, header.number, header.element) == (0, 2, 2, "UGRD")
    assert header.reference_time == datetime(2024, 1, 1, 6)
    assert header.level == "80 m above ground"
    assert header.window == Window("instant", 300, 300)
    assert header.grid_section == message[start:stop]


def test_vertical_coordinates_are_refused():
    message = make_message()
    with pytest.raises(WrongIdentityError, match="wanted no vertical coordinates in section 4, found 202"):
        read_header(replace_octets(message, 4, 7, b"\xca"))


def test_the_header_is_read_from_bytes_up_to_section_4():
    message = make_message()
    stop = section(message, 4)[1]
    assert read_header(message[:stop]) == read_header(message)


def test_every_shorter_prefix_is_reported_as_truncated():
    message = make_message()
    for size in range(section(message, 4)[1]):
        with pytest.raises(TruncatedError, match="read more"):
            read_header(message[:size])


def test_the_local_use_section_is_skipped():
    message = make_message()
    stop = section(message, 1)[1]
    local = struct.pack(">IB", 505, 2) + bytes(500)
    longer = with_length(message[:stop] + local + message[stop:])
    check_complete(longer)
    assert read_header(longer).level == read_header(message).level
    assert read_header(longer).length == len(message) + 505


@pytest.mark.parametrize(("process", "kind"), [(0, "ave"), (1, "acc"), (2, "max"), (3, "min")])
@pytest.mark.parametrize(
    ("unit", "start", "length_unit", "length", "window"),
    [
        (1, 4, 1, 1, (240, 300)),
        (0, 480, 0, 15, (480, 495)),
        (1, 0, 1, 0, (0, 0)),
        (1, 0, 2, 1, (0, 1440)),
        (13, 3600, 11, 1, (60, 420)),
    ],
)
def test_the_window_of_a_statistic_starts_at_the_forecast_time(process, kind, unit, start, length_unit, length, window):
    message = make_message(
        productDefinitionTemplateNumber=8,
        indicatorOfUnitOfTimeRange=unit,
        forecastTime=start,
        typeOfStatisticalProcessing=process,
        indicatorOfUnitForTimeRange=length_unit,
        lengthOfTimeRange=length,
    )
    assert read_header(message).window == Window(kind, *window)


@pytest.mark.parametrize(
    ("unit", "time", "stop"),
    [(0, 495, 495), (1, 8, 480), (2, 1, 1440), (10, 2, 360), (11, 2, 720), (12, 1, 720), (13, 120, 2)],
)
def test_units_of_the_forecast_time_are_converted_to_minutes(unit, time, stop):
    message = make_message(indicatorOfUnitOfTimeRange=unit, forecastTime=time)
    assert read_header(message).window == Window("instant", stop, stop)


@pytest.mark.parametrize(
    "keys",
    [
        {"indicatorOfUnitOfTimeRange": 3},  # months
        {"indicatorOfUnitOfTimeRange": 13, "forecastTime": 61},  # not a whole minute
        {"productDefinitionTemplateNumber": 1},  # an ensemble member
        {"productDefinitionTemplateNumber": 8, "typeOfStatisticalProcessing": 4},  # a difference
        {"productDefinitionTemplateNumber": 8, "indicatorOfUnitForTimeRange": 3},
        {"productDefinitionTemplateNumber": 8, "numberOfTimeRanges": 2},
    ],
)
def test_messages_other_than_plain_forecasts_have_no_window(keys):
    assert read_header(make_message(**keys)).window is None


@pytest.mark.parametrize("octets", [b"\x80\0\0\1", b"\xff\xff\xff\xff"])
def test_a_negative_or_missing_forecast_time_has_no_window(octets):
    assert read_header(replace_octets(make_message(), 4, 19, octets)).window is None


def test_the_level_of_a_product_without_one_is_its_template():
    message = make_message(productDefinitionTemplateNumber=31)
    header = read_header(message)
    assert (header.level, header.window) == ("product template 4.31", None)


LEVELS = {
    "surface": (1, 0, 0),
    "cloud base": (2, 0, 0),
    "cloud top": (3, 0, 0),
    "0C isotherm": (4, 0, 0),
    "level of adiabatic condensation from sfc": (5, 0, 0),
    "top of atmosphere": (8, 0, 0),
    "entire atmosphere": (10, 0, 0),
    "level of free convection": (14, 0, 0),
    "263 K level": (20, 0, 263),
    "253 K level": (20, 0, 253),
    "261 K level - 256 K level": (20, 0, 261, 20, 0, 256),
    "500 mb": (100, 0, 50000),
    "1000 mb": (100, 0, 100000),
    "2.5 mb": (100, 0, 250),
    "500-1000 mb": (100, 0, 50000, 100, 0, 100000),
    "mean sea level": (101, 0, 0),
    "2 m above ground": (103, 0, 2),
    "1.5 m above ground": (103, 1, 15),
    "1000-0 m above ground": (103, 0, 1000, 103, 0, 0),
    "0-6000 m above ground": (103, 0, 0, 103, -3, 6),
    "0.1 sigma level": (104, 1, 1),
    "0.5-0.8 sigma layer": (104, 1, 5, 104, 1, 8),
    "1 hybrid level": (105, 0, 1),
    "0 m underground": (106, 0, 0),
    "0.01 m underground": (106, 2, 1),
    "0-0 m below ground": (106, 0, 0, 106, 0, 0),
    "180-0 mb above ground": (108, 0, 18000, 108, 0, 0),
    "100-1000 mb above ground": (108, 0, 10000, 108, 0, 100000),
    "-5 m above mean sea level": (102, 0, -5),
    "entire atmosphere (considered as a single layer)": (200, 0, 0),
    "highest tropospheric freezing level": (204, 0, 0),
    "boundary layer cloud layer": (211, 0, 0),
    "low cloud layer": (214, 0, 0),
    "cloud ceiling": (215, 0, 0),
    "middle cloud layer": (224, 0, 0),
    "high cloud layer": (234, 0, 0),
    "equilibrium level": (247, 0, 0),
    "missing mb": (100, None, None),
    "level type 77": (77, None, None),
    "level type 77 value 0.3": (77, 1, 3),
    "surface - top of atmosphere": (1, 0, 0, 8, 0, 0),
}


@pytest.mark.parametrize("text", LEVELS)
def test_levels_are_formatted_as_in_inventories(text):
    assert format_level(*LEVELS[text]) == text


@pytest.mark.parametrize("text", LEVELS)
def test_levels_are_read_from_messages(text):
    values = [*LEVELS[text], *([255, None, None] if len(LEVELS[text]) == 3 else [])]
    keys = {key: MISSING if value is None else value for key, value in zip(LEVEL_KEYS, values, strict=True)}
    assert read_header(make_message(**keys)).level == text


@needs.real_bytes
def test_every_form_of_level_in_real_inventories_is_supported():
    def form(level: str) -> str:
        return " ".join("N" if word[0].isdigit() and word != "0C" else word for word in level.split())

    real = {form(line.split(":")[4]) for path in REAL_INVENTORIES for line in path.read_text().splitlines() if line}
    assert real <= {form(text) for text in LEVELS}


@needs.real_bytes
def test_headers_of_real_messages_agree_with_eccodes():
    count = 0
    for name, handle in real_messages():
        message = eccodes.codes_get_message(handle)
        check_complete(message)
        header = read_header(message)
        numbers = tuple(
            eccodes.codes_get_long(handle, key) for key in ("discipline", "parameterCategory", "parameterNumber")
        )
        assert (header.discipline, header.category, header.number) == numbers, name
        assert header.length == eccodes.codes_get(handle, "totalLength")
        assert f"{header.reference_time:%Y%m%d}" == str(eccodes.codes_get(handle, "dataDate"))
        assert f"{header.reference_time:%H%M}" == f"{eccodes.codes_get(handle, 'dataTime'):04}"
        values = [
            None if eccodes.codes_is_missing(handle, key) else eccodes.codes_get_long(handle, key) for key in LEVEL_KEYS
        ]
        assert header.level == format_level(
            *(255 if value is None and at in (0, 3) else value for at, value in enumerate(values))
        )
        if eccodes.codes_get(handle, "productDefinitionTemplateNumber") in (0, 8):
            assert (header.window.start, header.window.stop) == minutes(handle)
        else:
            assert header.window is None
        if header.centre == 7 and "wrf" in name:
            known = find_element_by_numbers(*numbers)
            assert header.element == known.name if known else header.element.startswith("var discipline=0 center=7")
        count += 1
    assert count > 24 * 52


def test_a_complete_message_passes():
    check_complete(make_message())


def test_every_shorter_message_is_reported_as_truncated():
    message = make_message()
    for size in range(len(message)):
        with pytest.raises(TruncatedError):
            check_complete(message[:size])


def test_a_message_without_7777_is_reported_as_truncated():
    with pytest.raises(TruncatedError, match="7777"):
        check_complete(make_message()[:-4] + b"\0\0\0\0")


def test_bytes_after_the_message_are_refused():
    with pytest.raises(WrongIdentityError, match="walk the file"):
        check_complete(make_message() + b"\0")


every_check = pytest.mark.parametrize("check", [read_header, check_complete, lambda data: check_prefix(data, 400)])


@every_check
@pytest.mark.parametrize("junk", [b"<html>", b"\0" * 400, b"GRIP" + bytes(400)])
def test_bytes_without_grib_are_refused(check, junk):
    with pytest.raises(WrongIdentityError, match="GRIB"):
        check(junk)


@every_check
def test_another_edition_is_refused(check):
    message = make_message()
    with pytest.raises(WrongIdentityError, match="edition 1"):
        check(message[:7] + b"\1" + message[8:])


def test_a_message_with_two_fields_is_refused():
    message = make_message()
    start, stop = section(message, 4)[0], len(message) - 4
    with pytest.raises(DecodeError, match="found 2"):
        check_complete(with_length(message[:stop] + message[start:stop] + b"7777"))


def test_a_message_without_section_7_is_refused():
    message = make_message()
    with pytest.raises(WrongIdentityError, match="section 7"):
        check_complete(with_length(message[: section(message, 7)[0]] + b"7777"))


def test_sections_that_do_not_form_a_chain_are_refused():
    message = make_message()
    start, stop = section(message, 6)
    with pytest.raises(WrongIdentityError, match="wanted section 6"):
        check_complete(with_length(message[:start] + message[stop:]))
    with pytest.raises(WrongIdentityError, match="damaged"):
        check_complete(with_length(message[:-4] + b"\0\0" + b"7777"))


@pytest.mark.parametrize("size", [4, 2**31])
def test_a_section_of_impossible_length_is_refused(size):
    with pytest.raises(WrongIdentityError, match="section 3"):
        read_header(replace_octets(make_message(), 3, 1, struct.pack(">I", size)))


def test_a_section_too_short_for_its_fields_is_refused():
    message = make_message()
    start, stop = section(message, 4)
    short = struct.pack(">IB", 12, 4) + message[start + 5 : start + 12]
    with pytest.raises(WrongIdentityError, match="section 4"):
        read_header(with_length(message[:start] + short + message[stop:]))


def test_a_message_of_impossible_length_is_refused():
    message = make_message()
    with pytest.raises(WrongIdentityError, match="length"):
        read_header(message[:8] + bytes(8) + message[16:])


def test_an_impossible_init_time_is_refused():
    with pytest.raises(WrongIdentityError, match="init time"):
        read_header(replace_octets(make_message(), 1, 15, b"\x0d"))


@pytest.mark.parametrize("form", [bytes, memoryview])
def test_every_prefix_that_reaches_section_7_passes_and_every_shorter_one_is_refused(form):
    message = make_message()
    start = section(message, 7)[0]
    for size in range(start + 5, len(message) + 1):
        check_prefix(form(message[:size]), len(message))
    for size in range(start + 5):
        with pytest.raises(TruncatedError, match="read more of them"):
            check_prefix(form(message[:size]), len(message))


def test_the_end_marker_is_not_checked_in_a_prefix():
    message = make_message()
    check_prefix(message[:-4] + b"0000", len(message))
    with pytest.raises(TruncatedError, match="7777"):
        check_complete(message[:-4] + b"0000")


@pytest.mark.parametrize("other", [-1, 1, 188])
def test_a_prefix_of_a_message_of_another_length_is_refused(other):
    message = make_message()
    with pytest.raises(
        WrongIdentityError, match=r"one message of .* bytes, found one with a length of .*walk the file itself"
    ):
        check_prefix(message, len(message) + other)


def test_a_prefix_is_refused_if_section_7_does_not_end_with_the_message():
    message = make_message()
    start, stop = section(message, 4)[0], len(message) - 4
    twice = with_length(message[:stop] + message[start:stop] + b"7777")
    longer = with_length(message[:stop] + b"\0\0" + b"7777")
    begin, end = section(message, 7)
    shorter = replace_octets(message, 7, 1, struct.pack(">I", end - begin + 1))
    for damaged in (twice, longer, shorter):
        with pytest.raises(WrongIdentityError, match=r"wanted section 7 from byte \d+ to the end .*found section 7 of"):
            check_prefix(damaged, len(damaged))
    with pytest.raises(WrongIdentityError, match=r"found section 6 of"):
        check_prefix(replace_octets(message, 7, 5, b"\6"), len(message))


@pytest.mark.parametrize("number", [1, 3, 4, 5, 6])
def test_a_prefix_is_refused_if_its_sections_do_not_form_a_chain(number):
    message = make_message()
    start, stop = section(message, number)
    without = with_length(message[:start] + message[stop:])
    for size in (section(without, 7)[0] + 5, len(without)):
        with pytest.raises(WrongIdentityError, match=f"wanted section .*{number} at byte {start}"):
            check_prefix(without[:size], len(without))


def check_read_or_refused(data: bytes) -> None:
    for check in (read_header, check_complete, lambda data: check_prefix(data, 300)):
        with contextlib.suppress(HrrrDaskError):
            check(data)


@given(st.binary(max_size=200) | st.binary(max_size=200).map(lambda tail: b"GRIB\0\0\0\2" + tail))
def test_arbitrary_bytes_are_read_or_refused(data):
    check_read_or_refused(data)


MESSAGES = [make_message(), make_message(productDefinitionTemplateNumber=8)]


@settings(max_examples=400)
@given(
    st.sampled_from(MESSAGES),
    st.lists(st.tuples(st.integers(0, 250), st.integers(0, 255)), max_size=6),
    st.integers(0, 300),
)
def test_damaged_messages_are_read_or_refused(message, changes, size):
    damaged = bytearray(message)
    for at, value in changes:
        damaged[at % len(damaged)] = value
    check_read_or_refused(bytes(damaged[:size]))
    check_read_or_refused(bytes(damaged))
