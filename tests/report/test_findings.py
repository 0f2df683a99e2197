"""Statistics collected block by block equal those of the whole array, and are counted correctly."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.quality.flags import quality_flags
from hrrr_dask.quality.steps import step_flags
from hrrr_dask.report.findings import ALL_FLAGS, QualityFindings

NAMES = ("temperature_2m", "dewpoint_2m", "CPOFP:surface", "HGT:cloud ceiling")
VARIABLES = parse_variables(NAMES)
LEADS = (0, 60, 180)
INITS = np.datetime64("2024-01-01T00", "s") + np.arange(5) * np.timedelta64(6, "h")
POINTS = ([f"p{k}" for k in range(4)], np.arange(4) + 40.0, np.arange(4) - 100.0)


def plausible_values() -> dict[str, np.ndarray]:
    shape = (len(INITS), len(LEADS), 4)
    values = {variable.name: np.full(shape, 280, np.float32) for variable in VARIABLES}
    values["dewpoint_2m"][...] = 270 + np.arange(4, dtype=np.float32)
    values["cpofp_surface"][...] = 10
    return values


def collect(values, *, block=(5, 4), attempted=None):
    """Collect the findings in blocks of (runs, points), as `assess` does."""
    findings = QualityFindings(VARIABLES, POINTS, INITS, LEADS)
    attempted = np.ones((len(INITS), len(LEADS)), bool) if attempted is None else attempted
    for point in range(0, 4, block[1]):
        for run in range(0, len(INITS), block[0]):
            overlap = min(run, 1)
            runs, points = slice(run - overlap, run + block[0]), slice(point, point + block[1])
            part = {name: array[runs, :, points] for name, array in values.items()}
            flags = quality_flags(part, VARIABLES)
            for variable in VARIABLES:
                steps = step_flags(part[variable.name], variable, INITS[runs], LEADS, flags[variable.name])
                findings.add(
                    variable,
                    part[variable.name],
                    flags[variable.name] | steps,
                    first_run=run - overlap,
                    first_point=point,
                    attempted=attempted[runs],
                    overlap=overlap,
                )
    return findings


def assess(values, **options):
    return collect(values, **options).to_assessment("s.zarr", 15)


def test_plausible_values_have_no_flags_and_are_all_counted():
    found = assess(plausible_values())
    assert (found.values, found.missing, found.flagged) == (4 * 5 * 3 * 4, 0, 0)
    assert (found.flags, found.points, found.runs, found.examples) == ((), (), (), ())
    assert (found.first_init_time, found.last_init_time) == (datetime(2024, 1, 1), datetime(2024, 1, 2))
    assert (found.store, found.files, found.n_points) == ("s.zarr", 15, 4)
    dewpoint = found.variables[1]
    assert (dewpoint.name, dewpoint.units) == ("dewpoint_2m", "K")
    assert (dewpoint.minimum, dewpoint.mean, dewpoint.maximum) == (270, 271.5, 273)
    assert [(row.lead_minutes, row.values, row.flagged) for row in found.leads] == [(k, 80, 0) for k in LEADS]
    assert [row.lead_hours for row in found.leads] == [0, 1, 3]
    assert found.hourly


def implausible_values() -> dict[str, np.ndarray]:
    values = plausible_values()
    values["temperature_2m"][1, 0, 2] = 400  # above limits; a value with a flag makes no step
    values["temperature_2m"][2, 1, 2] = 330  # a step
    values["temperature_2m"][4, 2, 0] = np.nan
    values["dewpoint_2m"][3, 1, 1] = 192.125  # below limits, sentinel
    values["dewpoint_2m"][0, 0, :] = 282  # above the temperature, at four points
    values["cpofp_surface"][2] = -50  # no data
    values["hgt_cloud_ceiling"][0, 0, 0] = np.inf
    return values


def test_flags_are_counted_by_variable_point_run_and_lead_time():
    found = assess(implausible_values())
    counts = {(row.flag, row.variable): (row.values, row.points) for row in found.flags}
    assert counts == {
        ("below-limits", "dewpoint_2m"): (1, 1),
        ("above-limits", "temperature_2m"): (1, 1),
        ("moisture-sentinel", "dewpoint_2m"): (1, 1),
        ("dewpoint-above-temperature", "dewpoint_2m"): (4, 4),
        ("no-data-sentinel", "cpofp_surface"): (12, 4),
        ("step-along-lead-time", "temperature_2m"): (1, 1),
    }
    assert [row.flag for row in found.flags] == sorted(
        (row.flag for row in found.flags), key=[flag.name for flag in ALL_FLAGS].index
    )
    assert found.flagged == 1 + 1 + 1 + 4
    assert [(row.name, row.flagged, row.missing) for row in found.variables] == [
        ("temperature_2m", 2, 1),
        ("dewpoint_2m", 5, 0),
        ("cpofp_surface", 0, 0),
        ("hgt_cloud_ceiling", 0, 0),
    ]
    assert [(row.point_id, row.latitude, row.longitude, row.flagged) for row in found.points] == [
        ("p2", 42, -98, 3),
        ("p1", 41, -99, 2),
        ("p0", 40, -100, 1),
        ("p3", 43, -97, 1),
    ]
    assert [(row.init_time.hour, row.flagged) for row in found.runs] == [(0, 4), (6, 1), (12, 1), (18, 1)]
    assert [(row.values, row.flagged) for row in found.leads] == [(80, 5), (80, 2), (79, 0)]


def test_ranges_exclude_no_data_sentinels_and_infinities():
    found = assess(implausible_values())
    frozen, ceiling = found.variables[2:]
    assert (frozen.minimum, frozen.maximum, frozen.values) == (10, 10, 60)
    assert (ceiling.minimum, ceiling.maximum, ceiling.values) == (280, 280, 60)
    values = plausible_values()
    values["cpofp_surface"][...] = -50
    frozen = assess(values).variables[2]
    assert (frozen.minimum, frozen.mean, frozen.maximum) == (None, None, None)


def test_examples_are_the_most_extreme_values_each_listed_once():
    examples = assess(implausible_values()).examples
    assert len({(one.variable, one.init_time, one.lead_hours, one.point_id) for one in examples}) == len(examples)
    first, second, third = examples[:3]
    assert (first.variable, first.value, first.units, first.point_id) == ("temperature_2m", 330, "K", "p2")
    assert (first.flags, first.before) == (("step-along-lead-time",), 280)
    assert first.valid_time == datetime(2024, 1, 1, 13)
    assert (second.value, second.before, second.init_time, second.lead_hours) == (400, None, datetime(2024, 1, 1, 6), 0)
    assert (third.value, third.flags) == (192.125, ("below-limits", "moisture-sentinel"))
    assert [one.value for one in examples[3:]] == [282, 282, 282], "at most three of a kind"
    assert not [one for one in examples if "no-data-sentinel" in one.flags]


def test_the_most_extreme_values_are_kept_in_any_position():
    values = plausible_values()
    heat = np.random.default_rng(5).permutation(np.arange(340, 400, dtype=np.float32))
    values["temperature_2m"][...] = heat.reshape(values["temperature_2m"].shape)
    for block in ((5, 4), (2, 3)):
        found = assess(values, block=block)
        assert [one.value for one in found.examples] == [399, 398, 397]
        (row,) = found.flags
        assert (row.flag, row.values, row.worst) == ("above-limits", 60, found.examples[0])
        for one in found.examples:
            index = INITS.tolist().index(one.init_time), LEADS.index(one.lead_minutes), POINTS[0].index(one.point_id)
            assert values["temperature_2m"][index] == one.value


def test_values_with_two_flags_count_for_both():
    values = plausible_values()
    values["dewpoint_2m"][...] = 350  # above limits, and above the temperature
    values["temperature_2m"][0] = 400
    found = assess(values)
    assert {row.flag: row.values for row in found.flags if row.variable == "dewpoint_2m"} == {
        "above-limits": 60,
        "dewpoint-above-temperature": 48,
    }
    kinds = [(one.variable, one.flags) for one in found.examples]
    assert kinds.count(("dewpoint_2m", ("above-limits",))) == 3
    assert kinds.count(("temperature_2m", ("above-limits",))) == 3
    assert len(kinds) == 6


@pytest.mark.parametrize("block", [(1, 4), (2, 1), (2, 3), (3, 2), (5, 1)])
def test_the_result_does_not_depend_on_the_block_size(block):
    values = implausible_values()
    values["temperature_2m"][2, 0, 3] = 340  # runs 6 hours apart are not compared by these lead times
    whole, parts = collect(values), collect(values, block=block)
    assert parts.to_assessment("s", 15) == whole.to_assessment("s", 15)
    assert np.array_equal(parts.flag_counts, whole.flag_counts)
    assert np.array_equal(parts.value_counts, whole.value_counts)


def test_a_step_from_the_previous_block_has_the_value_before_it():
    hourly = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[s]")
    findings = QualityFindings(VARIABLES[:1], POINTS, hourly, LEADS)
    values = np.full((2, 3, 4), 280, np.float32)
    values[0, 1, 0] = 330  # the first run's forecast for the second run's start
    flags = step_flags(values, VARIABLES[0], hourly, LEADS)
    attempted = np.ones((2, 3), bool)
    findings.add(VARIABLES[0], values[:1], flags[:1], first_run=0, first_point=0, attempted=attempted[:1])
    findings.add(VARIABLES[0], values, flags, first_run=0, first_point=0, attempted=attempted, overlap=1)
    found = findings.to_assessment("s", 6)
    assert found.values == values.size
    (between,) = [row for row in found.flags if row.flag == "step-between-runs"]
    assert (between.values, between.worst.before, between.worst.value) == (1, 330, 280)


def test_values_of_files_that_were_not_read_are_not_missing():
    values = plausible_values()
    values["temperature_2m"][3:] = np.nan
    attempted = np.ones((5, 3), bool)
    attempted[4] = False
    attempted[0] = False  # an uncommitted attempt: its values do not offset missing ones
    temperature = assess(values, attempted=attempted).variables[0]
    assert (temperature.values, temperature.missing) == (36, 12)


def test_found_returns_the_given_flags_that_occur():
    found = assess(implausible_values())
    assert found.found(["solar-closure", "above-limits"]) == ("above-limits",)
    assert found.found([]) == ()


QUARTERS = tuple(range(0, 120, 15))


def quarter_hourly(values):
    """Findings of air temperature for lead times of every quarter of an hour, and two runs."""
    hourly = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[s]")
    findings = QualityFindings(VARIABLES[:1], POINTS, hourly, QUARTERS)
    flags = quality_flags({"temperature_2m": values}, VARIABLES)["temperature_2m"]
    flags |= step_flags(values, VARIABLES[0], hourly, QUARTERS, flags)
    attempted = np.ones((2, len(QUARTERS)), bool)
    findings.add(VARIABLES[0], values, flags, first_run=0, first_point=0, attempted=attempted)
    return findings.to_assessment("s", 4)


def test_lead_times_of_quarter_hours_are_counted_one_by_one():
    values = np.full((2, len(QUARTERS), 4), 280, np.float32)
    values[0, 5, 2] = 295  # at 1:15; 10 K are allowed in a quarter of an hour
    values[1, 2, 0] = 312  # at 0:30; 20 K are allowed between the runs
    found = quarter_hourly(values)
    assert not found.hourly
    assert [(row.lead_minutes, row.flagged) for row in found.leads] == [
        (lead, int(lead in (30, 75))) for lead in QUARTERS
    ]
    assert found.leads[5].lead_time == timedelta(hours=1, minutes=15)
    assert (found.leads[5].lead_hours, found.leads[4].lead_hours) == (1.25, 1)
    warm, along = found.examples
    assert (along.value, along.before, along.lead_minutes, along.lead_hours) == (295, 280, 75, 1.25)
    assert along.flags == ("step-along-lead-time",)
    assert along.valid_time == datetime(2024, 1, 1, 1, 15)
    assert (warm.flags, warm.before) == (("step-along-lead-time", "step-between-runs"), 280)
    assert warm.valid_time == datetime(2024, 1, 1, 1, 30)


def test_a_step_within_a_quarter_hour_is_rated_by_what_that_allows():
    values = np.full((2, len(QUARTERS), 4), 280, np.float32)
    values[0, 1, 0] = 333.5  # 1.05 times half the range of the limits
    values[0, 5, 2] = 291  # 1.1 times the step that is allowed in a quarter of an hour
    assert [one.value for one in quarter_hourly(values).examples] == [291, 333.5]
