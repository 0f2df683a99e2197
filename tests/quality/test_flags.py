"""Quality flags: values just inside and outside of each rule, real fields, and values that stay unchanged."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from support import needs
from support.oracle import read_fields
from support.paths import ROOT, SHARED_DATA

from hrrr_dask.catalog.limits import find_limits
from hrrr_dask.catalog.variables import CATALOG, parse_variables
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.quality.flags import (
    CLOSURE_MIN_FLUX,
    DEWPOINT_TOLERANCE,
    DRY_DEWPOINT,
    FLAGS,
    NO_DATA_VALUES,
    SINGLE_VARIABLE_FLAGS,
    SOLAR_CONSTANT,
    STEP_FLAGS,
    flag_names,
    quality_flags,
    single_variable_flags,
)
from hrrr_dask.testing import GridWindow, expected_field

BELOW, ABOVE, MOISTURE, BEAM, DEWPOINT, CLOSURE, NO_DATA = 1, 2, 4, 8, 16, 32, 64


def flags_of(variable: str, *values: float) -> list[int]:
    """Flags of values of a single variable."""
    (parsed,) = parse_variables([variable])
    found = quality_flags({parsed.name: np.array(values, np.float32)}, [parsed])
    assert list(found) == [parsed.name]
    assert found[parsed.name].dtype == np.uint16
    return found[parsed.name].tolist()


def flags_at(variables: dict[str, float], **more) -> list[int]:
    """Flags of one value of each of several variables."""
    parsed = parse_variables(list(variables))
    values = {made.name: np.array([value], np.float32) for made, value in zip(parsed, variables.values(), strict=True)}
    return [int(found[0]) for found in quality_flags(values, parsed, **more).values()]


def test_masks_are_one_bit_each_and_names_are_single_words():
    table = (*FLAGS.values(), *STEP_FLAGS.values())
    assert [flag.mask for flag in table] == [1 << k for k in range(7)] + [256, 512]
    for flag in table:
        assert flag.name.replace("-", "").isalpha()
        assert flag.name not in OUTCOMES
        assert flag.meaning
        assert flag.source
    assert flag_names(0) == ()
    assert flag_names(2 + 8 + 512) == ("above-limits", "beam-above-solar-constant", "step-between-runs")


@pytest.mark.parametrize(
    ("variable", "inside", "outside", "flag"),
    [
        ("surface_pressure", 40_000, 39_999, BELOW),
        ("surface_pressure", 110_000, 110_001, ABOVE),
        ("surface_roughness", 0, -0.0001, BELOW),
        ("surface_roughness", 5, 5.001, ABOVE),
        ("visible_beam_downward_solar_flux", 0, -0.5, BELOW),
        ("visible_beam_downward_solar_flux", 1361, 1361.5, ABOVE | BEAM),
        ("visible_diffuse_downward_solar_flux", 1408, 1409, ABOVE),
        ("temperature_2m", 203.16, 203.1, BELOW),
        ("temperature_2m", 333.1, 333.2, ABOVE),
        ("dewpoint_2m", 203.16, 203.1, BELOW),
        ("dewpoint_2m", 313.1, 313.2, ABOVE),
        ("dewpoint_2m", 192.0, 192.125, BELOW | MOISTURE),
        ("dewpoint_2m", 192.25, 192.12479, BELOW | MOISTURE),
        ("relative_humidity_2m", 0.0, -0.1, BELOW),
        ("relative_humidity_2m", 100.04, 100.1, ABOVE),
        ("relative_humidity_2m", 1.1, 1.0, MOISTURE),
        ("relative_humidity_2m", 0.9, 1.0, MOISTURE),
        ("u_component_wind_10m", -100, -100.1, BELOW),
        ("v_component_wind_10m", 100, 100.1, ABOVE),
        ("u_component_wind_80m", 120, 120.1, ABOVE),
        ("v_component_wind_80m", -120, -120.1, BELOW),
        ("wind_gust_surface", 120, 120.1, ABOVE),
        ("downward_shortwave_flux", 1408, 1409, ABOVE),
        ("total_cloud_cover", 100, 101, ABOVE),
        ("precipitation_1h", 500, 501, ABOVE),
        ("APCP:surface:run acc", 501, 2_001, ABOVE),
        ("APCP:surface:15 min acc", 250, 251, ABOVE),
        ("DSWRF:surface:15 min ave", 1408, 1409, ABOVE),
        ("VBDSF:surface:15 min ave", 1361, 1361.5, ABOVE | BEAM),
        ("UGRD:10 m above ground:5 min ave", -100, -100.1, BELOW),
        ("WIND:10 m above ground:5 min ave", 150, 150.1, ABOVE),
        ("boundary_layer_height", 10_000, 10_001, ABOVE),
        ("composite_reflectivity", 90, 90.1, ABOVE),
        ("RETOP:cloud top", 12_000, -999, NO_DATA),
        ("RETOP:cloud top", 0, -998, BELOW),
        ("CPOFP:surface", 0, -50, NO_DATA),
        ("HGT:cloud ceiling", 9998, 9999, NO_DATA),
        ("HGT:500 mb", 9998, np.inf, 0),
        ("temperature_2m", 290, np.inf, ABOVE),
        ("temperature_2m", 290, -np.inf, BELOW),
    ],
)
def test_only_values_just_outside_are_flagged(variable, inside, outside, flag):
    expected_inside = BELOW if variable == "dewpoint_2m" and inside < 200 else 0
    assert flags_of(variable, inside, outside, np.nan) == [expected_inside, flag, 0]


def test_a_dewpoint_above_the_temperature_is_flagged_beyond_the_packing_step():
    for warmer, flag in ((0.0, 0), (1 / 16, 0), (0.09, 0), (0.125, DEWPOINT), (5.0, DEWPOINT)):
        assert flags_at({"temperature_2m": 280, "dewpoint_2m": 280 + warmer}) == [0, flag]
    assert flags_at({"DPT:surface": 290, "temperature_2m": 280}) == [0, 0], "another level"
    assert flags_at({"dewpoint_2m": 290, "temperature_2m": np.nan}) == [0, 0]


def test_a_dewpoint_is_flagged_with_humidity_at_its_floor():
    assert flags_at({"relative_humidity_2m": 1.0, "dewpoint_2m": 209.446}) == [MOISTURE, MOISTURE]
    assert flags_at({"dewpoint_2m": 209.446, "relative_humidity_2m": 1.2}) == [0, 0]
    assert flags_at({"dewpoint_2m": np.nan, "relative_humidity_2m": 1.0}) == [0, MOISTURE]
    assert flags_at({"RH:850 mb": 1.0, "dewpoint_2m": 250}) == [MOISTURE, 0], "another level"


SOLAR = ("downward_shortwave_flux", "visible_beam_downward_solar_flux", "visible_diffuse_downward_solar_flux")
OVERHEAD = {"valid_time": datetime(2024, 3, 20, 12, 7), "latitude": 0.15, "longitude": 0.0}
AT_60 = OVERHEAD | {"latitude": 60.0}
LOW = OVERHEAD | {"latitude": 80.0}
NIGHT = OVERHEAD | {"longitude": 180.0}


@pytest.mark.parametrize(
    ("where", "light", "closes"),
    [
        (OVERHEAD, (900, 800, 100), True),
        (OVERHEAD, (900 * 1.07, 800, 100), True),
        (OVERHEAD, (900 * 1.09, 800, 100), False),
        (OVERHEAD, (900 * 0.91, 800, 100), False),
        (AT_60, (500, 800, 100), True),
        (AT_60, (900, 800, 100), False),
        (LOW, (0.17365 * 800 + 100, 800, 100), True),
        (LOW, ((0.17365 * 800 + 100) * 1.13, 800, 100), True),
        (LOW, ((0.17365 * 800 + 100) * 1.17, 800, 100), False),
        (OVERHEAD, (10, 20, 25), True),  # too little irradiance to test
        (OVERHEAD, (10, 20, 35), False),
        (NIGHT, (900, 0, 0), True),
        (OVERHEAD, (np.nan, 800, 100), True),
        (OVERHEAD, (900, np.nan, 100), True),
        (OVERHEAD, (0, 0, 0), True),
    ],
)
def test_global_irradiance_is_compared_with_beam_and_diffuse(where, light, closes):
    wanted = [0 if closes else CLOSURE] * 3
    assert flags_at(dict(zip(SOLAR, light, strict=True)), **where) == wanted
    shuffled = dict(sorted(zip(SOLAR, light, strict=True), key=lambda item: item[0], reverse=True))
    assert flags_at(shuffled, **where) == wanted, "in any order"


def test_closure_requires_all_three_components_of_the_same_time_and_coordinates():
    dark = dict(zip(SOLAR, (0, 800, 100), strict=True))
    assert flags_at(dark) == [0, 0, 0]
    assert flags_at(dark, **(OVERHEAD | {"valid_time": None})) == [0, 0, 0]
    assert flags_at(dict(list(dark.items())[:2]), **OVERHEAD) == [0, 0]
    averages = {
        f"{element}:surface:15 min ave": light for element, light in (("DSWRF", 0), ("VBDSF", 8e2), ("VDDSF", 1e2))
    }
    assert flags_at(averages, **OVERHEAD) == [0, 0, 0], "the sun moves during the window"
    mixed = {"DSWRF:surface:instant": 0, "VBDSF:surface:15 min ave": 800, "VDDSF:surface:instant": 100}
    assert flags_at(mixed, **OVERHEAD) == [0, 0, 0]
    assert flags_at(averages | dark, **OVERHEAD) == [0, 0, 0, CLOSURE, CLOSURE, CLOSURE], "instants beside averages"


def test_flags_have_the_shape_of_the_values_which_stay_unchanged():
    variables = [CATALOG[name] for name in SOLAR]
    values = {name: np.full((2, 3, 4), light, np.float32) for name, light in zip(SOLAR, (900, 800, 100), strict=True)}
    values[SOLAR[1]][1, 2, 3] = 5000
    before = {name: array.copy() for name, array in values.items()}
    times = np.array([["2024-03-20T12:07"] * 3, ["2024-03-20T00:07"] * 3], "datetime64[s]")
    found = quality_flags(values, variables, valid_time=times[..., None], latitude=np.zeros(4), longitude=np.zeros(4))
    for name in SOLAR:
        assert np.array_equal(values[name], before[name])
        assert found[name].shape == (2, 3, 4)
        assert not found[name][0].any(), "closed by day, not tested by night"
    assert found[SOLAR[1]][1, 2, 3] == ABOVE | BEAM
    assert quality_flags({"temperature_2m": np.float32(400)}, [CATALOG["temperature_2m"]])["temperature_2m"] == ABOVE
    assert quality_flags({}, variables) == {}
    assert quality_flags({SOLAR[0]: np.zeros(0, np.float32)}, variables)[SOLAR[0]].shape == (0,)


def test_single_variable_flags_do_not_depend_on_other_variables():
    names = ["temperature_2m", "dewpoint_2m", "relative_humidity_2m", "visible_beam_downward_solar_flux"]
    values = np.array([[280, 400], [300, np.nan], [1, 50], [0, 5000]], np.float32)
    together = single_variable_flags(values, names, list(CATALOG.values()))
    assert together == {names[0]: ABOVE, names[2]: MOISTURE, names[3]: ABOVE | BEAM}
    alone = {}
    for k, name in enumerate(names):
        alone |= single_variable_flags(values[k : k + 1], [name], [CATALOG[name]])
    assert alone == together
    assert single_variable_flags(values[:0], [], []) == {}
    assert (
        sum(flag.mask for flag in SINGLE_VARIABLE_FLAGS)
        == sum(flag.mask for flag in FLAGS.values()) - DEWPOINT - CLOSURE
    )


def test_differing_shapes_and_unknown_names_are_refused():
    some = {"temperature_2m": np.zeros(3, np.float32), "dewpoint_2m": np.zeros(4, np.float32)}
    with pytest.raises(ValueError, match=r"one shape, found \(3,\) for temperature_2m and \(4,\) for dewpoint_2m"):
        quality_flags(some, list(CATALOG.values()))
    with pytest.raises(ValueError, match="values of weather are not among the variables"):
        quality_flags({"weather": np.zeros(3, np.float32)}, list(CATALOG.values()))


@pytest.mark.parametrize("lead_hours", [0, 7])
@pytest.mark.parametrize("day", [datetime(2024, 1, 1), datetime(2024, 1, 1, 18), datetime(2024, 7, 1, 18)])
def test_synthetic_fields_have_no_flags(day, lead_hours):
    window = GridWindow(300, 500, 200, 300)
    values = {name: expected_field(name, day, 60 * lead_hours, window) for name in CATALOG}
    latitude, longitude = window.latlon(*np.indices(window.shape, sparse=True))
    place = {"valid_time": day + timedelta(hours=lead_hours), "latitude": latitude, "longitude": longitude}
    found = quality_flags(values, list(CATALOG.values()), **place)
    assert not {name: np.unique(flags).tolist() for name, flags in found.items() if flags.any()}


@needs.real_bytes
def test_a_real_dewpoint_sentinel_is_flagged():
    (field,) = read_fields(SHARED_DATA / "messages/hrrr.20260703.t00z.wrfsfcf28.DPT-2m.grib2")
    flags = quality_flags({"dewpoint_2m": field.values.astype(np.float32)}, [CATALOG["dewpoint_2m"]])["dewpoint_2m"]
    flagged = np.flatnonzero(flags)
    assert [divmod(cell, 1799) for cell in flagged] == [(895, 285), (896, 285), (920, 285)]
    assert flags[flagged].tolist() == [BELOW | MOISTURE, BELOW, BELOW]
    assert field.values[flagged].round(2).tolist() == [192.12, 193.5, 193.19]


@needs.real_bytes
def test_real_fields_of_a_quarter_hour_have_no_flags():
    variables = parse_variables(["composite_reflectivity", "VBDSF:surface:15 min ave"])
    fields = read_fields(SHARED_DATA / "messages/hrrr.20221014.t01z.wrfsubhf.REFC-VBDSF.grib2")
    assert [(field.numbers[:3], field.step) for field in fields] == [
        (variables[0].numbers, "15m"),
        (variables[1].numbers, "0m-15m"),
    ]
    values = {one.name: field.values.astype(np.float32) for one, field in zip(variables, fields, strict=True)}
    found = quality_flags(values, variables)
    assert [int(flags.max()) for flags in found.values()] == [0, 0]
    assert [float(array.max()) for array in values.values()] == [73, 484]


NUMBERS = {
    (*CATALOG[name].numbers, *surface): CATALOG[name]
    for surface, names in {
        (103, 2): ("temperature_2m", "dewpoint_2m", "relative_humidity_2m"),
        (103, 10): ("u_component_wind_10m", "v_component_wind_10m"),
        (1, 0): ("surface_pressure", "surface_roughness", "wind_gust_surface", *SOLAR),
    }.items()
    for name in names
}
"""GRIB2 numbers, type of surface and level to variable, for the fields of the real day."""


@pytest.fixture(scope="module")
def real_day():
    """Values by hour and variable, and the coordinates of the cells."""
    hours = []
    for hour in range(24):
        fields = read_fields(SHARED_DATA / f"archive/hrrr.20180722/conus/hrrr.t{hour:02}z.wrfsfcf01.grib2")
        own = [field for field in fields if field.numbers in NUMBERS and field.step == "1"]
        hours.append({NUMBERS[field.numbers].name: field.values.astype(np.float32) for field in own})
    assert all(len(hour) == 11 for hour in hours)
    return hours, {"latitude": own[0].latitude, "longitude": own[0].longitude}


@needs.real_bytes
def test_the_real_day_has_one_flagged_cell_without_moisture(real_day):
    hours, place = real_day
    found = {}
    for hour, values in enumerate(hours):
        valid_time = np.datetime64("2018-07-22") + np.timedelta64(hour + 1, "h")
        for name, flags in quality_flags(values, list(CATALOG.values()), valid_time=valid_time, **place).items():
            found |= {(hour, name, int(cell)): int(flags[cell]) for cell in np.flatnonzero(flags)}
    assert found == {(9, "dewpoint_2m", 2496): MOISTURE, (9, "relative_humidity_2m", 2496): MOISTURE}


@needs.real_bytes
def test_hourly_steps_agree_with_the_real_day(real_day):
    hours, _ = real_day
    stepped = [variable for variable in NUMBERS.values() if find_limits(variable.selector).hourly_step]
    assert len(stepped) == 7
    for variable in stepped:
        values = np.array([hour[variable.name] for hour in hours])
        assert values.shape == (24, 3198)
        rare = np.percentile(np.abs(np.diff(values, axis=0)), 99)
        step = find_limits(variable.selector).hourly_step
        assert 0.5 * step < rare <= step, (variable.name, rare)


def test_the_documentation_lists_every_flag_with_its_mask():
    text = (ROOT / "docs" / "quality.md").read_text()
    rows = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| `")]
    flags = (*FLAGS.values(), *STEP_FLAGS.values())
    assert [(name.strip(), int(mask)) for name, mask in rows] == [(f"`{flag.name}`", flag.mask) for flag in flags]
    for number in (
        DRY_DEWPOINT,
        DEWPOINT_TOLERANCE,
        SOLAR_CONSTANT,
        CLOSURE_MIN_FLUX,
        *map(abs, NO_DATA_VALUES.values()),
    ):
        assert f"{number:g}" in text
    assert all(key.rpartition(":")[2] in text for key in NO_DATA_VALUES)
