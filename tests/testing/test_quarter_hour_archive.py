"""The sub-hourly product of the synthetic archive, checked against ecCodes, and NOAA's messages and inventories."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import pairwise, product

import eccodes
import numpy as np
import pytest
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.archive.inventory import parse_inventory
from hrrr_dask.catalog.lead_times import lead_times_of
from hrrr_dask.catalog.products import old_object_key
from hrrr_dask.errors import ConfigError
from hrrr_dask.records import GribFile
from hrrr_dask.testing import (
    DEFAULT_WINDOW,
    GridWindow,
    delete,
    drop_message,
    encode_file,
    expected_field,
    remove_inventories,
    stale_inventory,
    truncate,
    write_archive,
)
from hrrr_dask.testing.__main__ import main
from hrrr_dask.testing.archive import STATIC
from hrrr_dask.testing.damage import split_messages
from hrrr_dask.testing.messages import MESSAGES, SUBHOURLY_MESSAGES, encode_message, messages_of

ALL = frozenset(SUBHOURLY_MESSAGES)
INIT = datetime(2024, 1, 1, 12)
FILE = GribFile(INIT, 9, "subh")
SMALL = GridWindow(300, 800, 4, 5)
KEYS = (
    "stepRange",
    "indicatorOfUnitOfTimeRange",
    "forecastTime",
    "productDefinitionTemplateNumber",
    "validityDate",
    "validityTime",
    "discipline",
    "parameterCategory",
    "parameterNumber",
)
STATISTICAL_KEYS = (
    "typeOfStatisticalProcessing",
    "indicatorOfUnitForTimeRange",
    "lengthOfTimeRange",
    "hourOfEndOfOverallTimeInterval",
    "minuteOfEndOfOverallTimeInterval",
)
LENGTHS = {
    "wind_speed_10m_5min": 5,
    "u_component_wind_10m_5min": 5,
    "v_component_wind_10m_5min": 5,
    "downward_shortwave_flux_15min": 15,
    "visible_beam_downward_solar_flux_15min": 15,
    "precipitation_15min": 15,
}
"""Name to the length of the window [min]; all others are instants."""

INSTANTS_AND_MEANS = {
    "u_component_wind_10m": "u_component_wind_10m_5min",
    "v_component_wind_10m": "v_component_wind_10m_5min",
    "downward_shortwave_flux": "downward_shortwave_flux_15min",
    "visible_beam_downward_solar_flux": "visible_beam_downward_solar_flux_15min",
}


def decode(message, *keys):
    """Decode values as float32, and keys, with ecCodes."""
    handle = eccodes.codes_new_from_message(message)
    try:
        values = eccodes.codes_get_values(handle).astype(np.float32)
        return values, tuple(eccodes.codes_get(handle, key) for key in keys)
    finally:
        eccodes.codes_release(handle)


def in_minutes(step):
    """Convert a step of ecCodes, which writes whole hours as such."""
    return int(step[:-1]) if step.endswith("m") else 60 * int(step)


def section(message, number):
    at = 16
    while message[at + 4] != number:
        at += int.from_bytes(message[at : at + 4], "big")
    return message[at : at + int.from_bytes(message[at : at + 4], "big")]


def texts_of(inventory):
    """Columns 3 to 6 of each line."""
    return [line.split(":", 2)[2] for line in inventory.splitlines()]


def kinds_of(file):
    """Lead time and kind of each message of a file, in its order."""
    return [(lead, kind) for lead in lead_times_of(file) for kind in messages_of(file, ALL, lead)]


# Values


@pytest.mark.parametrize("hour", [0, 1, 2, 9, 18])
def test_every_message_of_a_file_decodes_to_the_expected_bits_under_the_right_times(hour):
    file = GribFile(INIT, hour, "subh")
    content, _ = encode_file(file, DEFAULT_WINDOW, ALL)
    for message, (lead, kind) in zip(split_messages(content), kinds_of(file), strict=True):
        values, found = decode(message, *KEYS)
        expected = expected_field(kind.name, INIT, lead, DEFAULT_WINDOW)
        assert values.tobytes() == expected.tobytes(), (kind.name, lead)
        start, valid = max(lead - LENGTHS.get(kind.name, 0), 0), INIT + timedelta(minutes=lead)
        window = {start, lead} if kind.statistic != "instant" else {lead}
        assert {in_minutes(step) for step in found[0].split("-")} == window, (kind.name, lead)
        assert found[1:4] == (0, start, 0 if kind.statistic == "instant" else 8)
        assert found[4:6] == (int(f"{valid:%Y%m%d}"), int(f"{valid:%H%M}"))
        assert found[6:] == kind.numbers
        if kind.statistic != "instant":
            _, statistics = decode(message, *STATISTICAL_KEYS)
            assert statistics == ({"ave": 0, "acc": 1}[kind.statistic], 0, lead - start, valid.hour, valid.minute)


@pytest.mark.parametrize("name", sorted(ALL - set(STATIC)))
def test_neighbouring_lead_times_have_different_fields(name):
    """By day: irradiance is zero at night."""
    leads = range(15, 301, 15)
    fields = [expected_field(name, INIT.replace(hour=15), lead, DEFAULT_WINDOW) for lead in leads]
    assert len({field.tobytes() for field in fields}) == len(leads)
    if "precipitation" not in name:
        assert all(np.mean(first == second) < 0.5 for first, second in pairwise(fields))


@pytest.mark.parametrize("name", ["temperature_2m", "u_component_wind_10m_5min", "specific_humidity_2m"])
def test_all_lead_times_of_all_runs_have_different_fields(name):
    files = list(product((datetime(2024, 1, day, hour) for day in (1, 15) for hour in range(24)), range(0, 1081, 15)))
    fields = {expected_field(name, init, lead, DEFAULT_WINDOW).tobytes() for init, lead in files}
    assert len(fields) == len(files)


@pytest.mark.parametrize(("instant", "mean"), INSTANTS_AND_MEANS.items())
def test_a_mean_differs_from_the_instant_and_is_close_to_it(instant, mean):
    for lead in range(0, 301, 15):
        now, over = (expected_field(name, datetime(2024, 1, 1, 15), lead, DEFAULT_WINDOW) for name in (instant, mean))
        assert np.mean(now == over) < 0.5
        assert np.abs(over - now).max() < (150 if "flux" in mean else 6)


def test_means_of_irradiance_are_zero_at_night():
    for name in list(INSTANTS_AND_MEANS.values())[2:]:
        message = encode_message(SUBHOURLY_MESSAGES[name], GribFile(datetime(2024, 1, 1, 6), 1, "subh"), SMALL, 45)
        assert len(message) == 212  # 188, and 24 of the statistical template
        assert not decode(message)[0].any()


def test_quarters_of_precipitation_add_up_to_the_hour():
    for hour in range(1, 19):
        quarters = [expected_field("precipitation_15min", INIT, 60 * hour - 15 * k, DEFAULT_WINDOW) for k in range(4)]
        assert np.array_equal(sum(quarters), expected_field("precipitation_1h", INIT, 60 * hour, DEFAULT_WINDOW))
        assert min(quarter.min() for quarter in quarters) >= 0
    assert not expected_field("precipitation_15min", INIT, 0, DEFAULT_WINDOW).any()


@pytest.mark.parametrize("lead", [5, 48, -1])
def test_a_field_between_quarter_hours_is_an_error(lead):
    with pytest.raises(ConfigError, match=f"no file has a lead time of {lead} min: give a multiple of 15 min"):
        expected_field("temperature_2m", INIT, lead, SMALL)


def test_humidity_and_wind_are_plausible():
    whole = GridWindow.whole()
    for lead in (0, 105, 555, 1020):
        humidity, speed, gust = (
            expected_field(name, INIT, lead, whole)
            for name in ("specific_humidity_2m", "wind_speed_10m_5min", "wind_gust_surface")
        )
        assert 0.0005 < humidity.min() < humidity.max() < 0.02
        assert 0 <= speed.min() <= speed.max() <= gust.max()


# Messages


def test_the_packing_is_that_of_noaa():
    for kind in messages_of(FILE, ALL):
        _, (template,) = decode(encode_message(kind, FILE, DEFAULT_WINDOW), "dataRepresentationTemplateNumber")
        assert template == (0 if kind.name in ("u_component_wind_10m", "v_component_wind_10m") else 3), kind.name


@needs.real_bytes
def test_headers_of_whole_grid_messages_equal_noaas_byte_for_byte():
    file = GribFile(datetime(2022, 10, 14, 1), 1, "subh")
    content = (SHARED_DATA / "messages" / "hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2").read_bytes()
    names = ("composite_reflectivity", "visible_beam_downward_solar_flux_15min")
    for real, name in zip(split_messages(content), names, strict=True):
        ours = encode_message(SUBHOURLY_MESSAGES[name], file, GridWindow.whole(), 15)
        assert ours[:8] == real[:8]
        assert [section(ours, number) for number in (1, 3, 4)] == [section(real, number) for number in (1, 3, 4)]


def test_a_file_has_only_messages_published_at_its_init_time():
    _, inventory = encode_file(GribFile(datetime(2015, 5, 1), 1, "subh"), SMALL, ALL)
    assert "DSWRF:surface:0-15 min ave fcst" in inventory
    assert "VBDSF" not in inventory


# Inventories


@needs.real_bytes
@pytest.mark.parametrize(("path", "count"), [("20221014.t01z.wrfsubhf00", 21), ("20221014.t03z.wrfsubhf09", 84)])
def test_inventory_lines_occur_in_noaas_inventory_in_the_same_order(path, count):
    date, hour, lead = re.fullmatch(r"(\d{8})\.t(\d\d)z\.wrfsubhf(\d\d)", path).groups()
    file = GribFile(datetime.strptime(date + hour, "%Y%m%d%H"), int(lead), "subh")
    real = texts_of((SHARED_DATA / "idx" / f"hrrr.{path}.grib2.idx").read_text())
    _, inventory = encode_file(file, SMALL, ALL)
    positions = [real.index(text) for text in texts_of(inventory)]
    assert positions == sorted(set(positions))
    assert len(positions) == count


@pytest.mark.parametrize(
    ("hour", "windows"),
    [
        (0, ["0-0 day ave fcst", "0-0 day ave fcst", "0-0 day acc fcst", "anl"]),
        (1, ["10-15 min ave fcst", "0-15 min ave fcst", "0-15 min acc fcst", "15 min fcst"]),
        (2, ["70-75 min ave fcst", "60-75 min ave fcst", "60-75 min acc fcst", "75 min fcst"]),
    ],
)
def test_windows_are_formatted_as_by_noaa(hour, windows):
    _, inventory = encode_file(GribFile(INIT, hour, "subh"), SMALL, ALL)
    assert re.findall("(?:WIND|DSWRF|APCP):[^:]*:([^:]*):", inventory)[:4] == windows


@pytest.mark.parametrize("hour", [0, 1, 9])
def test_inventories_are_parsed_to_the_windows_and_ranges_of_the_messages(hour):
    file = GribFile(INIT, hour, "subh")
    content, inventory = encode_file(file, SMALL, ALL)
    records = parse_inventory(inventory, INIT)
    messages = list(split_messages(content))
    for record, message, (lead, kind) in zip(records, messages, kinds_of(file), strict=True):
        assert content[record.byte_range.start : record.byte_range.stop] == message
        assert (record.level, record.window.kind) == (kind.level, kind.statistic)
        assert (record.window.start, record.window.stop) == kind.interval(lead)
    assert len({(record.element, record.level, record.window) for record in records}) == len(records)


# Archives


def written(root, **kwargs):
    return write_archive(root, init_times=[INIT], lead_hours=[0, 2], product="subh", window=SMALL, **kwargs)


def test_an_archive_has_a_file_for_each_hour_with_all_variables_of_the_product(tmp_path):
    archive = written(tmp_path)
    assert [file.product for file in archive.files] == ["subh", "subh"]
    names = sorted(path.name for path in tmp_path.rglob("*.*grib2*"))
    assert names[::2] == ["hrrr.t12z.wrfsubhf00.grib2", "hrrr.t12z.wrfsubhf02.grib2"]
    assert set(archive.names) == ALL
    assert "lightning_threat" not in written(tmp_path, decoys=False).names
    first, second = archive.files
    for lead, found in ((None, 120), (75, 75)):
        wanted = expected_field("temperature_2m", INIT, found, SMALL)
        assert np.array_equal(archive.expected("temperature_2m", second, lead), wanted)
    assert np.array_equal(archive.expected("temperature_2m", first), expected_field("temperature_2m", INIT, 0, SMALL))


def test_lead_hours_that_the_product_does_not_have_are_left_out(tmp_path):
    archive = write_archive(tmp_path, init_times=[INIT], lead_hours=[18, 19], product="subh", window=SMALL)
    assert [file.lead_hours for file in archive.files] == [18]


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        (
            {"variables": ["relative_humidity_2m"]},
            "product subh has no 'relative_humidity_2m': use one of composite_.*15min",
        ),
        ({"variables": ["downward_shortwave_flux_15m"]}, "did you mean downward_shortwave_flux_15min"),
        (
            {"product": "sfc", "variables": ["precipitation_15min"]},
            "product sfc has no 'precipitation_15min': use one of",
        ),
        ({"product": "prs"}, "no product 'prs': use sfc or subh"),
        ({"product": "sfc", "old_names": True}, "only files of product subh had other names"),
    ],
)
def test_an_invalid_request_is_an_error(tmp_path, request_, text):
    with pytest.raises(ConfigError, match=text):
        write_archive(tmp_path, **{"init_times": [INIT], "product": "subh", **request_})
    assert not list(tmp_path.iterdir())


def test_the_hourly_product_has_no_variables_of_the_subhourly_one(tmp_path):
    assert set(write_archive(tmp_path, init_times=[INIT], window=SMALL).names) == set(MESSAGES)


def test_the_command_writes_a_product(tmp_path, capsys):
    times = ["--start", "2024-01-01T12", "--end", "2024-01-01T12"]
    assert main(["write", str(tmp_path), *times, "--product", "subh"]) == 0
    assert capsys.readouterr().out == f"2 files in {tmp_path}\n"
    assert sorted(path.name for path in tmp_path.rglob("*.grib2")) == [
        "hrrr.t12z.wrfsubhf00.grib2",
        "hrrr.t12z.wrfsubhf01.grib2",
    ]


# Old names


def test_old_names_have_a_file_for_each_lead_time(tmp_path):
    old, new = written(tmp_path / "old", old_names=True), written(tmp_path / "new")
    stems = [f"hrrr.t12z.wrfsubhf{lead}.grib2" for lead in ("0000", "0115", "0130", "0145", "0200")]
    found = sorted(path.name for path in (tmp_path / "old").rglob("*.*grib2*"))
    assert found == sorted([*stems, *(f"{stem}.idx" for stem in stems)])
    assert old.files == new.files
    file = old.files[1]
    parts = [old.path(file, lead) for lead in (75, 90, 105, 120)]
    assert b"".join(part.read_bytes() for part in parts) == new.path(file).read_bytes()
    assert old.path(file) == parts[-1]
    assert parts[0] == tmp_path / "old" / old_object_key(file, 75)
    texts = [text for lead in (75, 90, 105, 120) for text in texts_of(old.inventory_path(file, lead).read_text())]
    assert texts == texts_of(new.inventory_path(file).read_text())
    for lead in (75, 90, 105, 120):
        text, size = old.inventory_path(file, lead).read_text(), old.path(file, lead).stat().st_size
        records = parse_inventory(text, INIT)
        assert records[0].byte_range.start == 0
        assert records[-1].byte_range.start < size
        assert {record.window.stop for record in records} == {lead}


def test_files_with_old_names_can_be_damaged(tmp_path):
    archive = written(tmp_path, old_names=True)
    first, second = archive.files
    truncate(archive, second, 1000, lead_minutes=90)
    assert archive.path(second, 90).stat().st_size == 1000
    stale_inventory(archive, second, lead_minutes=75)
    assert "d=2024010106:" in archive.inventory_path(second, 75).read_text()
    drop_message(archive, second, "temperature_2m", lead_minutes=105)
    assert "TMP" not in archive.inventory_path(second, 105).read_text()
    assert "TMP" in archive.inventory_path(second, 120).read_text()
    delete(archive, second)
    assert len(list(tmp_path.rglob("*.*grib2*"))) == 2
    remove_inventories(archive)
    assert list(tmp_path.rglob("*.*grib2*")) == [archive.path(first)]


# Damage


@pytest.mark.parametrize(
    ("variable", "lead", "line"),
    [
        ("u_component_wind_10m", 75, "UGRD:10 m above ground:75 min fcst"),
        ("u_component_wind_10m_5min", 75, "UGRD:10 m above ground:70-75 min ave fcst"),
        ("downward_shortwave_flux_15min", 105, "DSWRF:surface:90-105 min ave fcst"),
        ("precipitation_15min", None, "APCP:surface:105-120 min acc fcst"),
        ("composite_reflectivity", None, "REFC:entire atmosphere:120 min fcst"),
    ],
)
def test_a_message_of_one_lead_time_can_be_dropped(tmp_path, variable, lead, line):
    archive = written(tmp_path)
    file = archive.files[1]
    before = list(split_messages(archive.path(file).read_bytes()))
    texts = texts_of(archive.inventory_path(file).read_text())
    position = texts.index(f"d=2024010112:{line}:")
    drop_message(archive, file, variable, lead_minutes=lead)
    assert list(split_messages(archive.path(file).read_bytes())) == before[:position] + before[position + 1 :]
    inventory = archive.inventory_path(file).read_text()
    assert texts_of(inventory) == texts[:position] + texts[position + 1 :]
    starts = [record.byte_range.start for record in parse_inventory(inventory, INIT)]
    sizes = [len(message) for message in split_messages(archive.path(file).read_bytes())]
    assert starts == [sum(sizes[:at]) for at in range(len(sizes))]
    with pytest.raises(ConfigError, match="no message"):
        drop_message(archive, file, variable, lead_minutes=lead)


@pytest.mark.parametrize("lead", [0, 60, 70, 135])
def test_a_lead_time_that_a_file_does_not_have_is_an_error(tmp_path, lead):
    archive = written(tmp_path)
    with pytest.raises(ConfigError, match=f"f02 has no lead time of {lead} min: it has 75, 90, 105, 120"):
        drop_message(archive, archive.files[1], "temperature_2m", lead_minutes=lead)
    with pytest.raises(ConfigError, match="no lead time"):
        archive.expected("temperature_2m", archive.files[1], lead)
