"""Table of elements, checked against real inventories and against ecCodes, which shares no code with it."""

from __future__ import annotations

import re

import eccodes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import needs
from support.paths import SHARED_DATA

from hrrr_dask.catalog.elements import (
    ELEMENTS,
    canonical_element,
    find_element,
    find_element_by_numbers,
    format_element,
    parse_raw_element,
)

REAL_INVENTORIES = sorted((SHARED_DATA / "idx").glob("*.idx"))


RAW_RADAR = "var discipline=0 center=7 local_table=1 parmcat=16 parm=201"

NEVER_NAMED = {RAW_RADAR}
"""Raw notation in real inventories without an abbreviation in NOAA's tables."""

OTHER_UNITS = {
    "HGT": "gpm",  # a geopotential metre
    "VIL": "kg m-1",  # the WMO's table and NCEP's (kg m-2, a column) differ
    "REFD": "dB",
    "REFC": "dB",
}
"""Units that differ from those of ecCodes on purpose."""

PURE = {"Numeric", "Proportion", "dimensionless", "(0 - 1)", "Integer(0-13)", "-"}


def eccodes_units(numbers: tuple[int, int, int]) -> str:
    handle = eccodes.codes_grib_new_from_samples("GRIB2")
    try:
        for key, value in {"centre": 7, "tablesVersion": 30, "localTablesVersion": 1}.items():
            eccodes.codes_set(handle, key, value)
        for key, value in zip(("discipline", "parameterCategory", "parameterNumber"), numbers, strict=True):
            eccodes.codes_set(handle, key, value)
        units = eccodes.codes_get(handle, "units")
        return eccodes.codes_get(handle, "parameterUnits") if units == "unknown" else units
    finally:
        eccodes.codes_release(handle)


def udunits(units: str) -> str:
    for theirs, ours in (("**", ""), ("Degree true", "degree"), ("kg/kg", "kg kg-1"), ("/kg", "kg-1")):
        units = units.replace(theirs, ours)
    return "1" if units in PURE or units.lower().startswith("(code table") else units


def test_numbers_of_elements_are_unique():
    numbers = [each for element in ELEMENTS.values() for each in (element.numbers, *element.other_numbers)]
    assert len(numbers) == len(set(numbers))


@pytest.mark.parametrize("name", ELEMENTS)
def test_units_agree_with_eccodes(name):
    element = ELEMENTS[name]
    for numbers in (element.numbers, *element.other_numbers):
        units = udunits(eccodes_units(numbers))
        if not units.isdigit() or units == "1":  # ecCodes returns the number of a parameter that it does not know
            assert units in (element.units, OTHER_UNITS.get(name))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("PRES", (0, 3, 0)),
        ("SFCR", (2, 0, 1)),
        ("VBDSF", (0, 4, 200)),
        ("VDDSF", (0, 4, 201)),
        ("TMP", (0, 0, 0)),
        ("DPT", (0, 0, 6)),
        ("RH", (0, 1, 1)),
        ("UGRD", (0, 2, 2)),
        ("VGRD", (0, 2, 3)),
    ],
)
def test_default_elements_have_the_numbers_of_real_files(name, numbers):
    assert ELEMENTS[name].numbers == numbers
    assert find_element_by_numbers(*numbers) is ELEMENTS[name]


def test_an_element_is_found_by_its_alternative_numbers():
    assert find_element_by_numbers(0, 16, 3) is find_element_by_numbers(0, 16, 197) is ELEMENTS["RETOP"]
    assert find_element_by_numbers(0, 16, 201) is None


def test_an_element_is_found_by_its_older_abbreviation():
    assert find_element("CLWMR") is find_element("CLMR") is ELEMENTS["CLMR"]
    assert find_element("NONSENSE") is None


@needs.real_bytes
@pytest.mark.parametrize("path", REAL_INVENTORIES, ids=lambda path: path.name)
def test_every_element_of_a_real_inventory_is_in_the_table(path):
    found = {canonical_element(line.split(":")[3]) for line in path.read_text().splitlines() if line.strip()}
    assert {name for name in found if find_element(name) is None} <= NEVER_NAMED


@pytest.mark.parametrize(
    ("raw", "numbers"),
    [
        (RAW_RADAR, (0, 16, 201)),
        ("var discipline=2 center=7 local_table=1 parmcat=0 parm=231", (2, 0, 231)),
        ("var discipline=0 master_table=2 parmcat=1 parm=222", (0, 1, 222)),
        ("var parmcat=4 parm=200", (0, 4, 200)),
        ("var center=7 parmcat=4 parm=200", (0, 4, 200)),
    ],
)
def test_raw_notation_is_parsed(raw, numbers):
    assert parse_raw_element(raw) == numbers


@pytest.mark.parametrize(
    "text",
    [
        "TMP",
        "",
        "var",
        "var parmcat=4",
        "var discipline=0 center=98 local_table=1 parmcat=4 parm=200",
        "xvar parmcat=4 parm=200",
    ],
)
def test_other_text_is_not_raw_notation_and_is_returned_unchanged(text):
    assert parse_raw_element(text) is None
    assert canonical_element(text) == text


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("var discipline=0 center=7 local_table=1 parmcat=4 parm=200", "VBDSF"),
        ("var discipline=0 center=7 local_table=1 parmcat=4 parm=201", "VDDSF"),
        ("var discipline=2 center=7 local_table=1 parmcat=0 parm=232", "VEGMAX"),
        ("var discipline=0 center=7 local_table=1 parmcat=7 parm=206", "CANGLE"),
        ("CLWMR", "CLMR"),
        ("TMP", "TMP"),
        ("NONSENSE", "NONSENSE"),
        ("var parmcat=16 parm=201", RAW_RADAR),
    ],
)
def test_spellings_of_an_element_are_normalised(raw, name):
    assert canonical_element(raw) == name


def test_local_numbers_of_another_centre_use_raw_notation():
    assert format_element(0, 4, 200) == "VBDSF"
    assert format_element(0, 4, 200, 1, 59) == "var discipline=0 center=59 local_table=1 parmcat=4 parm=200"
    assert format_element(0, 0, 0, 0, 98) == "TMP"


octets = st.integers(0, 255)


@given(octets, octets, octets, octets)
def test_a_formatted_element_is_parsed_back(discipline, category, number, local_table):
    text = format_element(discipline, category, number, local_table)
    element = find_element(text)
    numbers = parse_raw_element(text) if element is None else (element.numbers, *element.other_numbers)
    assert (discipline, category, number) in (numbers, *numbers)


@given(st.text(max_size=80) | st.builds(format_element, octets, octets, octets, octets))
def test_normalising_twice_changes_nothing(text):
    assert canonical_element(canonical_element(text)) == canonical_element(text)


def test_abbreviations_are_single_words():
    assert all(re.fullmatch(r"[A-Z0-9]+", name) for name in ELEMENTS)
