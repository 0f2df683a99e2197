"""Steps along lead time and between runs, on small arrays."""

from __future__ import annotations

import numpy as np
import pytest

from hrrr_dask.catalog.variables import CATALOG, parse_variables
from hrrr_dask.quality.steps import preceding_values, step_flags

ALONG, BETWEEN = 256, 512
TEMPERATURE = CATALOG["temperature_2m"]  # 4 K an hour: 20 K in one hour, 20 sqrt(3) = 34.6 K in three
HOURLY = np.datetime64("2024-01-01T00") + np.arange(3)


def flags_of(runs, init_times, lead_hours, variable=TEMPERATURE):
    values = np.array(runs, np.float32)[..., None]
    return step_flags(values, variable, np.asarray(init_times, "datetime64[s]"), lead_hours)[..., 0].tolist()


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


@pytest.mark.parametrize("variable", ["precipitation_1h", "visible_beam_downward_solar_flux", "HGT:500 mb"])
def test_variables_without_an_hourly_step_have_no_steps(variable):
    assert flags_of([[0, 1e6]], HOURLY[:1], [0, 1], parse_variables([variable])[0]) == [[0, 0]]


def test_steps_from_and_to_flagged_values_are_ignored():
    values = np.array([[[280], [400], [280]], [[400], [280], [330]]], np.float32)
    flags = np.where(values == 400, np.uint16(2), np.uint16(0))
    found = step_flags(values, TEMPERATURE, HOURLY[:2], range(3), flags)
    assert found[..., 0].tolist() == [[0, 0, 0], [0, 0, ALONG]]
    assert values.max() == 400, "values are not changed"


def test_preceding_values():
    values = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    along, between = preceding_values(values, HOURLY[:2], range(3))
    nan = np.nan
    np.testing.assert_array_equal(along[..., 0], [[nan, 0, 1], [nan, 3, 4]])
    np.testing.assert_array_equal(between[..., 0], [[nan, nan, nan], [1, 2, nan]])


def test_points_are_independent():
    values = np.full((2, 2, 3), 280, np.float32)
    values[1, 1, 2] = 330
    found = step_flags(values, TEMPERATURE, HOURLY[:2], [0, 1])
    assert found.dtype == np.uint16
    assert np.argwhere(found).tolist() == [[1, 1, 2]]


def test_shapes_that_do_not_match_are_refused():
    for values in (np.zeros((2, 2), np.float32), np.zeros((2, 3, 4), np.float32)):
        with pytest.raises(ValueError, match="wanted values with dims"):
            step_flags(values, TEMPERATURE, HOURLY[:2], [0, 1])
