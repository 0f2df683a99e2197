"""Table of plausible limits: consistency and look-up; real fields are checked with the flags."""

from __future__ import annotations

import pytest

from hrrr_dask.catalog.elements import ELEMENTS
from hrrr_dask.catalog.levels import canonical_level
from hrrr_dask.catalog.limits import LIMITS, find_limits
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import CATALOG, parse_variables

SUMS = ("15 min acc", "1 hour acc", "run acc")


@pytest.mark.parametrize("key", LIMITS)
def test_rows_are_consistent(key):
    row = LIMITS[key]
    assert row.low < row.high
    assert row.source
    assert row.hourly_step is None or 0 < row.hourly_step < (row.high - row.low) / 5
    element, *rest = key.split(":", maxsplit=1)
    assert element in ELEMENTS
    if rest:
        selector = Selector.parse(key)
        assert canonical_level(selector.level) == selector.level
        assert str(selector) == key


@pytest.mark.parametrize("name", CATALOG)
def test_every_catalogued_variable_has_limits(name):
    assert CATALOG[name].limits is not None


@pytest.mark.parametrize(
    ("variable", "limits"),
    [
        ("temperature_2m", (203.15, 333.15)),
        ("TMP:850 mb", (150, 340)),
        ("APCP:surface:1 hour acc", (0, 500)),
        ("APCP:surface:run acc", (0, 2_000)),
        ("APCP:surface:15 min acc", (0, 250)),
        ("DSWRF:surface:15 min ave", (0, 1408)),
        ("VBDSF:surface:15 min ave", (0, 1361)),
        ("WIND:10 m above ground:5 min ave", (0, 150)),
        ("UGRD:10 m above ground:5 min ave", (-100, 100)),
        ("UGRD:80 m above ground", (-120, 120)),
        ("UGRD:250 mb", (-150, 150)),
        ("HGT:500 mb", None),
        ("PRES:80 m above ground", None),
    ],
)
def test_the_longest_matching_key_applies(variable, limits):
    assert parse_variables([variable])[0].limits == limits


def test_a_shorter_sum_of_precipitation_has_the_smaller_limit():
    quarter, hour, run = (find_limits(Selector.parse(f"APCP:surface:{window}")) for window in SUMS)
    assert quarter.high < hour.high < run.high
    assert quarter.high > hour.high / 4, "more than a quarter of an hour's rain can fall in a quarter of an hour"


@pytest.mark.parametrize("key", ["DSWRF:surface", "VBDSF:surface", "UGRD:10 m above ground", "VGRD:10 m above ground"])
def test_averages_have_the_limits_of_instants(key):
    for window in ("5 min ave", "15 min ave"):
        assert find_limits(Selector.parse(f"{key}:{window}")) == find_limits(Selector.parse(f"{key}:instant"))
