"""Catalogue of variables, and parsing of names and selectors."""

from __future__ import annotations

from datetime import datetime
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.catalog.elements import canonical_element
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import CATALOG, DEFAULT_VARIABLES, VECTOR_PAIRS, find_companion, parse_variables
from hrrr_dask.errors import ConfigError

FACTS = {
    "surface_pressure": ("PRES:surface", (0, 3, 0), "Pa"),
    "surface_roughness": ("SFCR:surface", (2, 0, 1), "m"),
    "visible_beam_downward_solar_flux": ("VBDSF:surface", (0, 4, 200), "W m-2"),
    "visible_diffuse_downward_solar_flux": ("VDDSF:surface", (0, 4, 201), "W m-2"),
    "temperature_2m": ("TMP:2 m above ground", (0, 0, 0), "K"),
    "dewpoint_2m": ("DPT:2 m above ground", (0, 0, 6), "K"),
    "relative_humidity_2m": ("RH:2 m above ground", (0, 1, 1), "%"),
    "u_component_wind_10m": ("UGRD:10 m above ground", (0, 2, 2), "m s-1"),
    "v_component_wind_10m": ("VGRD:10 m above ground", (0, 2, 3), "m s-1"),
    "u_component_wind_80m": ("UGRD:80 m above ground", (0, 2, 2), "m s-1"),
    "v_component_wind_80m": ("VGRD:80 m above ground", (0, 2, 3), "m s-1"),
}
"""Name to inventory spelling, GRIB2 numbers and unit, copied from NOAA's inventories."""

V2 = datetime(2016, 8, 23, 12)
RAW = "var discipline=0 center=7 local_table=1 parmcat=16 parm=201"


def parse_one(text: str):
    (variable,) = parse_variables([text])
    return variable


def test_the_eleven_defaults_match_noaas_inventories():
    found = {name: CATALOG[name] for name in DEFAULT_VARIABLES}
    assert {
        name: (f"{v.selector.element}:{v.selector.level}", v.numbers, v.units) for name, v in found.items()
    } == FACTS
    assert all(v.selector.window.kind == "instant" for v in found.values())


def test_every_message_has_one_name_in_the_catalogue():
    selectors = [variable.selector for variable in CATALOG.values()]
    assert len(set(selectors)) == len(selectors)
    assert all(variable.name == name for name, variable in CATALOG.items())


@pytest.mark.parametrize(
    "name", ["relative_humidity_2m", "visible_beam_downward_solar_flux", "visible_diffuse_downward_solar_flux"]
)
def test_some_variables_are_published_since_the_second_model_version(name):
    assert not CATALOG[name].is_published(datetime(2016, 8, 23, 11), 5)
    assert CATALOG[name].is_published(V2, 5)
    assert CATALOG["temperature_2m"].is_published(datetime(2014, 7, 30), 5)


def test_hourly_precipitation_is_published_from_lead_hour_1():
    assert not CATALOG["precipitation_1h"].is_published(V2, 0)
    assert CATALOG["precipitation_1h"].is_published(V2, 60)
    assert not CATALOG["precipitation_1h"].is_published(V2, 45)


def test_names_and_selectors_are_parsed_in_the_given_order():
    found = parse_variables(["temperature_2m", " GUST:surface ", "rain=APCP:surface:run acc"])
    assert [v.name for v in found] == ["temperature_2m", "gust_surface", "rain"]
    assert str(found[2].selector) == "APCP:surface:run acc"
    assert found[2].long_name.endswith("surface, run acc")
    assert (found[1].numbers, found[1].units) == ((0, 2, 22), "m s-1")


@pytest.mark.parametrize("name", list(CATALOG))
def test_a_catalogued_variable_is_parsed_back_from_its_name_and_selector(name):
    variable = CATALOG[name]
    assert parse_one(f"{variable.name}={variable.selector}") == variable


@given(st.sampled_from(["TMP", "GUST", "UGRD", RAW]), st.sampled_from(["surface", "500 mb", "2 m above ground"]))
def test_any_other_variable_is_parsed_back_from_its_name_and_selector(element, level):
    variable = parse_one(f"{element}:{level}")
    assert parse_one(f"{variable.name}={variable.selector}") == variable


def test_equals_signs_of_raw_notation_are_not_taken_for_a_name():
    variable = parse_one(f"{RAW}:entire atmosphere:1 hour max")
    assert variable.numbers == (0, 16, 201)
    assert variable.units == "1"
    assert variable.long_name.startswith("GRIB2 parameter 0.16.201")
    assert parse_one(f"flash={RAW}:entire atmosphere").name == "flash"


def test_raw_notation_of_a_number_in_the_table_becomes_its_abbreviation():
    variable = parse_one("var discipline=0 center=7 local_table=1 parmcat=4 parm=200:surface")
    assert variable.selector.element == "VBDSF"


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("temperature_2", "did you mean temperature_2m"),
        ("dewpoint", "did you mean dewpoint_2m"),
        ("qqqq", r"available are surface_pressure, .*boundary_layer_height.*[.;] Any message can be named as"),
        ("t=temperature_2m", "unknown"),
        ("TMPP:surface", "did you mean TMP"),
        ("ZZZZZZ:surface", r"is not in the table of GRIB2 numbers.*Otherwise write it by number"),
    ],
)
def test_an_unknown_name_or_element_gets_a_hint(text, hint):
    with pytest.raises(ConfigError, match=hint):
        parse_variables([text])


@pytest.mark.parametrize("element", ["APCP", "WEASD", "FROZR"])
def test_an_element_with_several_windows_requires_a_window(element):
    with pytest.raises(ConfigError, match=f"write '{element}:surface:1 hour acc' or '{element}:surface:run acc'"):
        parse_variables([f"{element}:surface"])
    assert parse_one(f"{element}:surface:run acc").selector.window.kind == "acc"


@pytest.mark.parametrize("name", ["2m", "a b", "a-b", "init_time", "status", "crs", "point", "é", ".hrrr", "a/b"])
def test_invalid_names_and_names_of_coordinates_are_refused(name):
    with pytest.raises(ConfigError, match="is not a valid variable name"):
        parse_variables([f"{name}=TMP:surface"])


def test_a_variable_requested_twice_is_an_error():
    with pytest.raises(ConfigError, match="'temperature_2m' is requested twice"):
        parse_variables(["temperature_2m", "temperature_2m"])
    with pytest.raises(ConfigError, match="'x' is requested twice"):
        parse_variables(["x=TMP:surface", "x=DPT:2 m above ground"])


def test_no_variables_is_an_error():
    with pytest.raises(ConfigError, match="no variables are named"):
        parse_variables([])


@pytest.mark.parametrize(
    ("text", "methods"),
    [
        ("TMP:surface:instant", "lead_time: point"),
        ("APCP:surface:1 hour acc", "lead_time: sum (interval: 60 minutes)"),
        ("WIND:10 m above ground:1 hour max", "lead_time: maximum (interval: 60 minutes)"),
        ("DSWRF:surface:15 min ave", "lead_time: mean (interval: 15 minutes)"),
        ("APCP:surface:run acc", "lead_time: sum (comment: from init_time to valid_time)"),
        ("TMP:surface", ""),
    ],
)
def test_cell_methods_describe_the_window(text, methods):
    assert parse_one(text).cell_methods == methods


@pytest.mark.parametrize("element", list(chain.from_iterable(VECTOR_PAIRS)))
def test_components_of_a_vector_are_companions_of_each_other(element):
    selector = Selector.parse(f"{element}:10 m above ground:instant")
    other, axis = find_companion(selector) or pytest.fail("a component has a companion")
    assert find_companion(other) == (selector, 1 - axis)
    assert (other.level, other.window) == (selector.level, selector.window)


def test_u_is_the_component_along_x_and_a_scalar_has_no_companion():
    assert find_companion(Selector.parse("UGRD:500 mb")) == (Selector.parse("VGRD:500 mb"), 0)
    assert find_companion(Selector.parse("WIND:10 m above ground")) is None


def test_vector_pairs_use_the_canonical_spelling():
    assert all(canonical_element(element) == element for pair in VECTOR_PAIRS for element in pair)


def test_a_catalogued_name_is_refused_for_another_message():
    with pytest.raises(ConfigError, match="temperature_2m is the catalogue's name for TMP:2 m above ground:instant"):
        parse_variables(["temperature_2m=TMP:surface:instant"])


def test_a_level_that_is_not_spelled_as_in_inventories_is_refused():
    with pytest.raises(ConfigError, match="level '2m' is not spelled as in NOAA's inventories"):
        parse_variables(["TMP:2m"])
    parse_variables(["REFD:263 K level", "TMP:261 K level - 256 K level", "UGRD:80 m above ground"])
