"""Steps along lead time and between runs, on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from hrrr_dask.catalog.limits import find_limits
from hrrr_dask.catalog.variables import CATALOG, parse_variables
from hrrr_dask.quality.steps import preceding_values, step_flags

ALONG, BETWEEN = 256, 512
TEMPERATURE = CATALOG["temperature_2m"]  # 4 K an hour: 20 K in one hour, 20 sqrt(3) = 34.6 K in three
HOURLY = np.datetime64("2024-01-01T00") + np.arange(3)


def flags_of(runs, init_times, lead_hours, variable=TEMPERATURE):
    values, minutes = np.array(runs, np.float32)[..., None], [int(60 * hours) for hours in lead_hours]
    return step_flags(values, variable, np.asarray(init_times, "datetime64[s]"), minutes)[..., 0].tolist()


def expected_flags(values, hourly_step, init_hours, lead_hours):
    """Apply the rule to one value after the other; times are in hours, which may be fractions."""
    flags = np.zeros(values.shape, int)

    def is_step(value, earlier, hours):
        return abs(value - earlier) > np.float32(5 * hourly_step * np.sqrt(hours))

    for run, lead, point in np.ndindex(values.shape):
        value = values[run, lead, point]
        here = [is_step(value, values[run, k, point], lead_hours[lead] - lead_hours[k]) for k in range(lead)]
        returns = lead > 1 and flags[run, lead - 1, point] & ALONG and not here[-2]
        flags[run, lead, point] |= ALONG * bool(lead and here[-1] and not returns)
        since = init_hours[run] - init_hours[run - 1]
        if run and lead_hours[lead] + since in lead_hours:
            earlier = values[run - 1, list(lead_hours).index(lead_hours[lead] + since), point]
            flags[run, lead, point] |= BETWEEN * bool(is_step(value, earlier, since))
    return flags


@pytest.mark.parametrize(
    ("run", "wanted"),
    [
        ([280, 299.9, 280.1], [0, 0, 0]),
        ([280, 300.1, 305], [0, ALONG, 0]),
        ([280, 259.9, 259], [0, ALONG, 0]),
        ([280, 310, 281], [0, ALONG, 0]),  # returns to the level before: one value is flagged
        ([280, 310, 250], [0, ALONG, ALONG]),
        ([280, 300.1, 280, 300.1, 280], [0, ALONG, 0, ALONG, 0]),
        ([280, np.nan, 310], [0, 0, 0]),
        ([np.nan, 310, 280], [0, 0, ALONG]),
        ([280, np.inf, 280], [0, ALONG, 0]),
        ([280], [0]),
        ([280, 310], [0, ALONG]),
    ],
)
def test_the_value_after_a_step_along_lead_time_is_flagged(run, wanted):
    assert flags_of([run], HOURLY[:1], range(len(run))) == [wanted]


def test_the_allowed_step_grows_with_the_root_of_the_hours():
    assert flags_of([[280, 314.5]], HOURLY[:1], [0, 3]) == [[0, 0]]
    assert flags_of([[280, 314.7]], HOURLY[:1], [0, 3]) == [[0, ALONG]]


def test_a_quarter_of_an_hour_allows_half_the_step_of_an_hour():
    for step, flag in ((10, 0), (10.1, ALONG), (-10.1, ALONG)):
        assert flags_of([[280, 280 + step]], HOURLY[:1], [0, 0.25]) == [[0, flag]]
        assert flags_of([[280, 280 + step]], HOURLY[:1], [5.75, 6]) == [[0, flag]]
    assert flags_of([[280, 295, 281]], HOURLY[:1], [0.25, 0.5, 0.75]) == [[0, ALONG, 0]], "returns in half an hour"
    assert flags_of([[280, 294.2]], HOURLY[:1], [0.5, 1]) == [[0, ALONG]], "20 sqrt(0.5) = 14.1 K"


def test_runs_are_matched_by_minutes_of_valid_time():
    runs = np.full((2, 9), 280.0)  # every quarter of an hour from 0 to 2 h
    runs[1, 3] = 300.1  # valid at 01:45, as lead time 1:45 of the run before
    found = flags_of(runs, HOURLY[:2], np.arange(9) / 4)
    assert found[1][3] == BETWEEN | ALONG
    runs[0, 7] = 300.1
    found = flags_of(runs, HOURLY[:2], np.arange(9) / 4)
    assert found[1][3] == ALONG
    assert flags_of([[280, 280], [301, 301]], HOURLY[:2], [0.25, 1.5]) == [[0, 0], [0, 0]], "no equal valid time"


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "lead_hours",
    [range(7), (0, 1, 3, 4, 9), (1,), np.arange(13) / 4, (0.25, 0.5, 1, 1.25, 2, 2.25, 3)],
    ids=["hourly", "hours", "one", "quarters", "mixed"],
)
@pytest.mark.parametrize("name", ["temperature_2m", "surface_pressure", "UGRD:10 m above ground:5 min ave"])
def test_random_steps_agree_with_the_rule_applied_to_single_values(seed, lead_hours, name):
    random, (variable,) = np.random.default_rng(seed), parse_variables([name])
    step = find_limits(variable.selector).hourly_step
    init_hours = np.cumsum(random.choice([1, 2, 6], 5))
    # Multiples of half the hourly step: many changes are exactly as large as allowed.
    values = (280 + step * random.integers(0, 70, (5, len(lead_hours), 3)) / 2).astype(np.float32)
    values[random.random(values.shape) < 0.1] = np.nan
    expected = expected_flags(values, step, init_hours, list(lead_hours))
    inits = np.datetime64("2024-01-01", "s") + init_hours.astype("timedelta64[h]")
    found = step_flags(values, variable, inits, [int(60 * hours) for hours in lead_hours])
    np.testing.assert_array_equal(found, expected)
    assert len(lead_hours) == 1 or {0, ALONG, BETWEEN} <= set(found.ravel().tolist())


def test_a_run_is_compared_with_the_previous_run_at_the_same_valid_time():
    #        valid at 00   01   02   03   04
    runs = [
        [280, 280, 280],
        [280.0, 300.1, 290],
        [280.2, 290, 280],
    ]
    assert flags_of(runs, HOURLY, range(3)) == [[0, 0, 0], [0, BETWEEN | ALONG, 0], [0, 0, 0]]


def test_runs_are_matched_by_hours_not_by_position():
    six_hourly = ["2024-01-01T00", "2024-01-01T06", "2024-01-02T00"]
    # sqrt(6) hours allow 49 K, sqrt(18) hours 84.9 K; lead times 0, 6 and 18
    runs = [
        [280, 280, 280],
        [329.5, 280, 280],  # 00Z forecast 280 for 06Z
        [364, 280, 280],  # 06Z forecast 280 for the next 00Z, 18 hours ahead
    ]
    found = flags_of(runs, six_hourly, [0, 6, 18])
    assert found[1][0] == BETWEEN
    assert found[2][0] == 0
    runs[2][0] = 365
    assert flags_of(runs, six_hourly, [0, 6, 18])[2][0] == BETWEEN


def test_missing_and_single_runs_have_no_steps():
    assert flags_of([[280, 280], [np.nan, np.nan], [330, 330]], HOURLY, [0, 1]) == [[0, 0]] * 3
    assert flags_of([[280, 280]], HOURLY[:1], [0, 1]) == [[0, 0]]


@pytest.mark.parametrize(
    "variable",
    [
        "precipitation_1h",
        "visible_beam_downward_solar_flux",
        "HGT:500 mb",
        "DSWRF:surface:15 min ave",
        "VBDSF:surface:15 min ave",
        "APCP:surface:15 min acc",
        "WIND:10 m above ground:5 min ave",
    ],
)
def test_variables_without_an_hourly_step_have_no_steps(variable):
    for hours in ([0, 1], [0.25, 0.5]):
        assert flags_of([[0, 1e6]], HOURLY[:1], hours, parse_variables([variable])[0]) == [[0, 0]]


def test_steps_from_and_to_flagged_values_are_ignored():
    values = np.array([[[280], [400], [280]], [[400], [280], [330]]], np.float32)
    flags = np.where(values == 400, np.uint16(2), np.uint16(0))
    found = step_flags(values, TEMPERATURE, HOURLY[:2], [0, 60, 120], flags)
    assert found[..., 0].tolist() == [[0, 0, 0], [0, 0, ALONG]]
    assert values.max() == 400, "values are not changed"


def test_preceding_values():
    values, nan = np.arange(6, dtype=np.float32).reshape(2, 3, 1), np.nan
    along, between = preceding_values(values, HOURLY[:2], [0, 60, 120])
    np.testing.assert_array_equal(along[..., 0], [[nan, 0, 1], [nan, 3, 4]])
    np.testing.assert_array_equal(between[..., 0], [[nan, nan, nan], [1, 2, nan]])
    along, between = preceding_values(values, HOURLY[:2], [15, 45, 75])
    np.testing.assert_array_equal(along[..., 0], [[nan, 0, 1], [nan, 3, 4]])
    np.testing.assert_array_equal(between[..., 0], [[nan, nan, nan], [2, nan, nan]])


def test_points_are_independent():
    values = np.full((2, 2, 3), 280, np.float32)
    values[1, 1, 2] = 330
    found = step_flags(values, TEMPERATURE, HOURLY[:2], [0, 60])
    assert found.dtype == np.uint16
    assert np.argwhere(found).tolist() == [[1, 1, 2]]


def test_shapes_that_do_not_match_are_refused():
    for values in (np.zeros((2, 2), np.float32), np.zeros((2, 3, 4), np.float32)):
        with pytest.raises(ValueError, match="wanted values with dims"):
            step_flags(values, TEMPERATURE, HOURLY[:2], [0, 60])
