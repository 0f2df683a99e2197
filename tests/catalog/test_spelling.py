"""Other spellings of names and selectors: accepted as what they mean, or answered with the right hint."""

from __future__ import annotations

import re
from datetime import datetime

import eccodes
import pytest
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.catalog.levels import canonical_level
from hrrr_dask.catalog.spelling import SHORT_NAMES, find_name
from hrrr_dask.catalog.variables import CATALOG, parse_variables
from hrrr_dask.errors import ConfigError
from hrrr_dask.testing import write_archive

HOURLY = [name for name, variable in CATALOG.items() if "sfc" in variable.products]
INVENTORIES = sorted((SHARED_DATA / "idx").glob("*.idx"))


def parse_one(text: str):
    (variable,) = parse_variables([text])
    return variable


@pytest.mark.parametrize("name", list(CATALOG))
def test_case_blanks_and_hyphens_of_a_catalogued_name_are_free(name):
    for text in (name.upper(), name.replace("_", " "), name.replace("_", "-").title(), name.replace("_", "")):
        assert parse_one(text) is CATALOG[name]


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("t2m", "temperature_2m"),
        ("2t", "temperature_2m"),
        ("T2M", "temperature_2m"),
        ("d2m", "dewpoint_2m"),
        ("2r", "relative_humidity_2m"),
        ("u10", "u_component_wind_10m"),
        ("10v", "v_component_wind_10m"),
        ("u80", "u_component_wind_80m"),
        ("80v", "v_component_wind_80m"),
        ("sp", "surface_pressure"),
        ("gust", "wind_gust_surface"),
        ("refc", "composite_reflectivity"),
        ("tp", "precipitation_1h"),
    ],
)
def test_short_names_of_eccodes_and_cfgrib_are_names(text, name):
    assert parse_one(text) is CATALOG[name]


def test_short_names_belong_to_the_catalogue_and_are_no_name_of_another_variable():
    assert set(SHORT_NAMES.values()) == set(HOURLY)
    assert not SHORT_NAMES.keys() & CATALOG.keys()
    assert all(find_name(short, CATALOG) == name for short, name in SHORT_NAMES.items())


def messages_in(path):
    """Element, level and both names of every message, by ecCodes."""
    with path.open("rb") as file:
        while (handle := eccodes.codes_grib_new_from_file(file)) is not None:
            yield tuple(eccodes.codes_get(handle, key) for key in ("shortName", "cfVarName", "level"))
            eccodes.codes_release(handle)


@pytest.mark.parametrize("name", HOURLY)
def test_eccodes_gives_a_message_the_short_names_of_its_variable(tmp_path, name):
    archive = write_archive(tmp_path, init_times=[datetime(2024, 1, 1)], lead_hours=[1], variables=[name], decoys=False)
    ((short, cf, level),) = messages_in(archive.path(archive.files[0]))
    if level == 80:  # ecCodes has names with a height for some heights only; ours continue the pattern of 10 and 100 m
        assert (short, cf) in (("u", "u"), ("v", "v"))
        short, cf = f"80{short}", f"{cf}80"
    assert parse_one(short) is parse_one(cf) is CATALOG[name]


@needs.real_bytes
@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("hrrr.20201214.t00z.wrfsfcf12.APCP-two-windows.grib2", "precipitation_1h"),
        ("hrrr.20230722.t06z.wrfsfcf01.UGRD-10m.grib2", "u_component_wind_10m"),
        ("hrrr.20240101.t00z.wrfsfcf00.ak.REFC.grib2", "composite_reflectivity"),
        ("hrrr.20251203.t00z.wrfsfcf00.HPBL-surface.grib2", "boundary_layer_height"),
        ("hrrr.20260703.t00z.wrfsfcf28.DPT-2m.grib2", "dewpoint_2m"),
    ],
)
def test_eccodes_gives_real_messages_the_short_names_of_their_variables(file, name):
    for short, cf, _ in messages_in(SHARED_DATA / "messages" / file):
        assert parse_one(short) is parse_one(cf) is CATALOG[name]


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("tmp:2 m above ground", "TMP:2 m above ground"),
        ("Tmp: 2 M Above  Ground :Instant", "TMP:2 m above ground:instant"),
        ("TMP:2m above ground", "TMP:2 m above ground"),
        ("TMP:850mb", "TMP:850 mb"),
        ("TMP:850 hPa", "TMP:850 mb"),
        ("TMP:850HPA", "TMP:850 mb"),
        ("cape:255 - 0mb above ground", "CAPE:255-0 mb above ground"),
        ("HLCY:3000-0m above ground", "HLCY:3000-0 m above ground"),
        ("GUST:Surface", "GUST:surface"),
        ("HGT:0c isotherm", "HGT:0C isotherm"),
        ("REFD:263k level", "REFD:263 K level"),
        ("TMP:261K level - 256k level", "TMP:261 K level - 256 K level"),
        ("tcdc:Entire Atmosphere", "TCDC:entire atmosphere"),
        (
            "PWAT:entire atmosphere(considered as a single layer)",
            "PWAT:entire atmosphere (considered as a single layer)",
        ),
        ("clwmr:surface", "CLMR:surface"),
        (":TMP:2 m above ground:", "TMP:2 m above ground"),
        ("TMP:2 m above ground:anl", "TMP:2 m above ground:instant"),
        ("TMP:2 m above ground:5 hour fcst", "TMP:2 m above ground:instant"),
        (":TMP:2 m above ground:495 min fcst:", "TMP:2 m above ground:instant"),
        ("APCP:surface:0-1 hour acc fcst", "APCP:surface:1 hour acc"),
        ("APCP:surface:0-1 hour acc", "APCP:surface:1 hour acc"),
        ("APCP:surface:4-5 hour acc fcst", "APCP:surface:1 hour acc"),
        ("APCP:surface:23-24 Hour Acc fcst", "APCP:surface:1 hour acc"),
        ("APCP:surface:0-5 hour acc fcst", "APCP:surface:run acc"),
        ("APCP:surface:0-1 day acc fcst", "APCP:surface:run acc"),
        ("DSWRF:surface:525-540 min ave fcst", "DSWRF:surface:15 min ave"),
        ("DSWRF:surface:0-15 min ave fcst", "DSWRF:surface:15 min ave"),
        ("MAXUW:10m above ground:4-5 hour max fcst", "MAXUW:10 m above ground:1 hour max"),
        ("APCP:surface:1hour  ACC", "APCP:surface:1 hour acc"),
        ("APCP:surface:RUN acc", "APCP:surface:run acc"),
    ],
)
def test_another_spelling_gives_the_variable_of_the_canonical_one(text, canonical):
    assert parse_one(text) == parse_one(canonical)
    assert parse_one(f"x={text}") == parse_one(f"x={canonical}")
    assert str(parse_one(canonical).selector) == canonical


def test_a_catalogued_variable_may_be_named_with_its_selector_in_another_spelling():
    assert parse_one("temperature_2m=tmp:2m above ground:anl") is CATALOG["temperature_2m"]


def test_two_spellings_of_one_variable_are_requested_twice():
    with pytest.raises(ConfigError, match="'temperature_2m' is requested twice"):
        parse_variables(["temperature_2m", "t2m"])
    with pytest.raises(ConfigError, match="'tmp_850_mb' is requested twice"):
        parse_variables(["TMP:850 mb", "tmp:850hPa"])


@needs.real_bytes
@pytest.mark.parametrize("path", INVENTORIES, ids=lambda path: path.name)
def test_every_line_of_a_real_inventory_is_a_selector(path):
    for line in path.read_text().splitlines():
        element, level, window = line.split(":")[3:6]
        without_blanks = re.sub(r"(?<! -) (?!- )", "", level)
        assert canonical_level(without_blanks.upper()) == canonical_level(without_blanks.lower()) == level
        if re.match(r"0-0 ", window):
            continue  # a sum over no time: the same line for any length
        variable = parse_one(f"{element}:{level}:{window}")
        statistic = re.fullmatch(r"\d+-\d+ \w+ (acc|ave|max|min) fcst", window)
        assert variable.selector.window.kind == (statistic[1] if statistic else "instant")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("TMP:2m", "level '2m' is not spelled as in NOAA's inventories: did you mean '2 m above ground'"),
        ("TMP:2 m", "did you mean '2 m above ground'"),
        ("UGRD:80 M", "did you mean '80 m above ground'"),
        ("HLCY:0-3000m", "did you mean '0-3000 m above ground'"),
        ("TMP:2 meters above ground", r"did you mean '2 m above ground'\?"),
        ("TMP:500", r"did you mean '500 mb'\?"),
        ("TMP:sfc", r"did you mean 'surface'\?"),
        ("PWAT:entire", "did you mean 'entire atmosphere'"),
        ("GUST", r"without its level: did you mean wind_gust_surface\? Otherwise write GUST:LEVEL\[:WINDOW\]"),
        ("TMP", r"did you mean temperature_2m\? Otherwise write TMP:LEVEL"),
        ("UGRD", r"did you mean u_component_wind_10m or u_component_wind_80m or u_component_wind_10m_5min\?"),
        ("prate", r"is an element without its level: write PRATE:LEVEL\[:WINDOW\] with a level of NOAA's inv"),
        ("wind_speed_80m", "components: request u_component_wind_80m and v_component_wind_80m, "),
        ("windspeed 10m", "components: request u_component_wind_10m and v_component_wind_10m, "),
        ("wind_direction_10m", "components: request u_component_wind_10m and v_component_wind_10m, "),
        ("ws80", "components: request u_component_wind_80m and v_component_wind_80m, "),
        ("10si", "components: request u_component_wind_10m and v_component_wind_10m, "),
        ("WIND", r"is an element without its level: did you mean wind_speed_10m_5min\? Otherwise write WIND:LEVEL"),
        ("wind", "u_component_wind_10m and v_component_wind_10m, or u_component_wind_80m and v_component_wind_80m, "),
        ("u100", "u_component_wind_10m and v_component_wind_10m, or u_component_wind_80m and v_component_wind_80m, "),
        ("wind_gust", r"did you mean wind_gust_surface"),
        ("u_wind_10m", r"did you mean u_component_wind_10m"),
        ("x=t2m", r"variable 'x=t2m' is unknown: write x=TMP:2 m above ground:instant, as only selectors are renamed"),
        ("2t:2 m above ground", r"element '2t' .*: did you mean temperature_2m, without a level\?"),
        ("APCP:surface:5-0 day acc fcst", "time window '5-0 day acc fcst' is not understood"),
        ("APCP:surface:5-4 hour acc fcst", "time window '5-4 hour acc fcst' is not understood"),
    ],
)
def test_what_is_ambiguous_gets_the_right_hint(text, hint):
    with pytest.raises(ConfigError, match=hint):
        parse_variables([text])


@pytest.mark.parametrize("text", ["TMP:2m", "TMP:2 m", "UGRD:10m"])
def test_a_height_is_never_taken_for_a_pressure(text):
    with pytest.raises(ConfigError) as caught:
        parse_variables([text])
    assert " mb" not in str(caught.value)
