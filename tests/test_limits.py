"""The table of plausible values: sound in itself, and with room around real fields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from oracle import read_fields

from hrrr_dask.elements import ELEMENTS
from hrrr_dask.levels import check_level
from hrrr_dask.limits import LIMITS, limits_of
from hrrr_dask.selectors import Selector
from hrrr_dask.variables import CATALOG, parse_variables

REAL = Path(__file__).parents[2] / "shared" / "data"


@pytest.mark.parametrize("key", LIMITS)
def test_every_row_is_sound(key):
    row = LIMITS[key]
    assert row.low < row.high
    assert row.source
    assert row.hourly_step is None or 0 < row.hourly_step < (row.high - row.low) / 5
    element, *rest = key.split(":", maxsplit=1)
    assert element in ELEMENTS
    if rest:
        selector = Selector.parse(key)
        check_level(selector.level)
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
        ("UGRD:80 m above ground", (-120, 120)),
        ("UGRD:250 mb", (-150, 150)),
        ("HGT:500 mb", None),
        ("PRES:80 m above ground", None),
    ],
)
def test_the_longest_row_that_fits_holds(variable, limits):
    assert parse_variables([variable])[0].limits == limits


@pytest.mark.skipif(not REAL.is_dir(), reason="needs real HRRR bytes, which are not shipped")
def test_hourly_steps_are_those_of_the_real_day():
    keys = {
        (0, 3, 0, 1, 0): "PRES:surface",
        (0, 0, 0, 103, 2): "TMP:2 m above ground",
        (0, 0, 6, 103, 2): "DPT:2 m above ground",
        (0, 1, 1, 103, 2): "RH:2 m above ground",
        (0, 2, 2, 103, 10): "UGRD:10 m above ground",
        (0, 2, 3, 103, 10): "VGRD:10 m above ground",
        (0, 2, 22, 1, 0): "GUST:surface",
    }
    days = {numbers: [] for numbers in keys}
    for path in sorted((REAL / "archive").rglob("*.grib2")):
        for field in read_fields(path):
            if field.numbers in days and field.step == "1":
                days[field.numbers].append(field.values)
    for numbers, key in keys.items():
        hours = np.array(days[numbers])
        assert hours.shape == (24, 3198), key
        row = limits_of(Selector.parse(key))
        rare = np.percentile(np.abs(np.diff(hours, axis=0)), 99)
        assert 0.5 * row.hourly_step < rare <= row.hourly_step, (key, rare)
        assert row.low < hours.min(), key
        assert hours.max() < row.high, key
