"""What is gathered block by block equals what brute force counts in the whole."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.quality.flags import quality_flags
from hrrr_dask.quality.steps import step_flags
from hrrr_dask.report.findings import ALL_FLAGS, Findings

NAMES = ("temperature_2m", "dewpoint_2m", "CPOFP:surface", "HGT:cloud ceiling")
VARIABLES = parse_variables(NAMES)
LEADS = (0, 1, 3)
INITS = np.datetime64("2024-01-01T00", "s") + np.arange(5) * np.timedelta64(6, "h")
PLACES = ([f"p{k}" for k in range(4)], np.arange(4) + 40.0, np.arange(4) - 100.0)


def quiet() -> dict[str, np.ndarray]:
    shape = (len(INITS), len(LEADS), 4)
    values = {variable.name: np.full(shape, 280, np.float32) for variable in VARIABLES}
    values["dewpoint_2m"][...] = 270 + np.arange(4, dtype=np.float32)
    values["cpofp_surface"][...] = 10
    return values


def gathered(values, *, block=(5, 4), tried=None):
    """Findings of blocks of so many runs and points, as they come from a store."""
    findings = Findings(VARIABLES, PLACES, INITS, LEADS)
    tried = np.ones((len(INITS), len(LEADS)), bool) if tried is None else tried
    for point in range(0, 4, block[1]):
        for run in range(0, len(INITS), block[0]):
            known = min(run, 1)
            runs, points = slice(run - known, run + block[0]), slice(point, point + block[1])
            part = {name: array[runs, :, points] for name, array in values.items()}
            flags = quality_flags(part, VARIABLES)
            for variable in VARIABLES:
                steps = step_flags(part[variable.name], variable, INITS[runs], LEADS, flags[variable.name])
                findings.add(
                    variable,
                    part[variable.name],
                    flags[variable.name] | steps,
                    first_run=run - known,
                    first_point=point,
                    tried=tried[runs],
                    known=known,
                )
    return findings


def found_in(values, **more):
    return gathered(values, **more).assessment("s.zarr", 15)


def test_nothing_out_of_place_finds_nothing_but_counts_everything():
    found = found_in(quiet())
    assert (found.values, found.missing, found.flagged) == (4 * 5 * 3 * 4, 0, 0)
    assert (found.flags, found.points, found.runs, found.examples) == ((), (), (), ())
    assert (found.first_init_time, found.last_init_time) == (datetime(2024, 1, 1), datetime(2024, 1, 2))
    assert (found.store, found.files, found.n_points) == ("s.zarr", 15, 4)
    dewpoint = found.variables[1]
    assert (dewpoint.name, dewpoint.units) == ("dewpoint_2m", "K")
    assert (dewpoint.minimum, dewpoint.mean, dewpoint.maximum) == (270, 271.5, 273)
    assert [(row.lead_hours, row.values, row.flagged) for row in found.leads] == [(k, 80, 0) for k in LEADS]


def spoilt() -> dict[str, np.ndarray]:
    values = quiet()
    values["temperature_2m"][1, 0, 2] = 400  # above limits, from which nothing is a step
    values["temperature_2m"][2, 1, 2] = 330  # a step
    values["temperature_2m"][4, 2, 0] = np.nan
    values["dewpoint_2m"][3, 1, 1] = 192.125  # below limits, sentinel
    values["dewpoint_2m"][0, 0, :] = 282  # above the temperature, at four points
    values["cpofp_surface"][2] = -50  # nothing to be frozen
    values["hgt_cloud_ceiling"][0, 0, 0] = np.inf
    return values


def test_every_flag_is_counted_at_its_variable_point_run_and_lead_time():
    found = found_in(spoilt())
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


def test_numbers_that_stand_for_nothing_are_in_no_range_and_infinities_neither():
    found = found_in(spoilt())
    frozen, ceiling = found.variables[2:]
    assert (frozen.minimum, frozen.maximum, frozen.values) == (10, 10, 60)
    assert (ceiling.minimum, ceiling.maximum, ceiling.values) == (280, 280, 60)
    values = quiet()
    values["cpofp_surface"][...] = -50
    frozen = found_in(values).variables[2]
    assert (frozen.minimum, frozen.mean, frozen.maximum) == (None, None, None)


def test_examples_are_the_most_extreme_and_each_value_stands_once():
    examples = found_in(spoilt()).examples
    assert len({(one.variable, one.init_time, one.lead_hours, one.point_id) for one in examples}) == len(examples)
    first, second, third = examples[:3]
    assert (first.variable, first.value, first.units, first.point_id) == ("temperature_2m", 330, "K", "p2")
    assert (first.flags, first.before) == (("step-along-lead-time",), 280)
    assert first.valid_time == datetime(2024, 1, 1, 13)
    assert (second.value, second.before, second.init_time, second.lead_hours) == (400, None, datetime(2024, 1, 1, 6), 0)
    assert (third.value, third.flags) == (192.125, ("below-limits", "moisture-sentinel"))
    assert [one.value for one in examples[3:]] == [282, 282, 282], "no more than three of a kind"
    assert not [one for one in examples if "no-data-sentinel" in one.flags]


def test_the_most_extreme_of_many_are_kept_wherever_they_stand():
    values = quiet()
    heat = np.random.default_rng(5).permutation(np.arange(340, 400, dtype=np.float32))
    values["temperature_2m"][...] = heat.reshape(values["temperature_2m"].shape)
    for block in ((5, 4), (2, 3)):
        found = found_in(values, block=block)
        assert [one.value for one in found.examples] == [399, 398, 397]
        (row,) = found.flags
        assert (row.flag, row.values, row.worst) == ("above-limits", 60, found.examples[0])
        for one in found.examples:
            place = INITS.tolist().index(one.init_time), LEADS.index(one.lead_hours), PLACES[0].index(one.point_id)
            assert values["temperature_2m"][place] == one.value


def test_values_with_two_flags_count_for_both_kinds():
    values = quiet()
    values["dewpoint_2m"][...] = 350  # above limits, and above the temperature
    values["temperature_2m"][0] = 400
    found = found_in(values)
    assert {row.flag: row.values for row in found.flags if row.variable == "dewpoint_2m"} == {
        "above-limits": 60,
        "dewpoint-above-temperature": 48,
    }
    kinds = [(one.variable, one.flags) for one in found.examples]
    assert kinds.count(("dewpoint_2m", ("above-limits",))) == 3
    assert kinds.count(("temperature_2m", ("above-limits",))) == 3
    assert len(kinds) == 6


@pytest.mark.parametrize("block", [(1, 4), (2, 1), (2, 3), (3, 2), (5, 1)])
def test_the_size_of_the_blocks_does_not_matter(block):
    values = spoilt()
    values["temperature_2m"][2, 0, 3] = 340  # runs 6 hours apart are not compared by these lead times
    whole, parts = gathered(values), gathered(values, block=block)
    assert parts.assessment("s", 15) == whole.assessment("s", 15)
    assert np.array_equal(parts.counts, whole.counts)
    assert np.array_equal(parts.looked, whole.looked)


def test_a_step_from_the_block_before_names_the_value_there():
    findings = Findings(VARIABLES[:1], PLACES, HOURLY, LEADS)
    values = np.full((2, 3, 4), 280, np.float32)
    values[0, 1, 0] = 330  # the first run's forecast for the second run's start
    flags = step_flags(values, VARIABLES[0], HOURLY, LEADS)
    tried = np.ones((2, 3), bool)
    findings.add(VARIABLES[0], values[:1], flags[:1], first_run=0, first_point=0, tried=tried[:1])
    findings.add(VARIABLES[0], values, flags, first_run=0, first_point=0, tried=tried, known=1)
    found = findings.assessment("s", 6)
    assert found.values == values.size
    (between,) = [row for row in found.flags if row.flag == "step-between-runs"]
    assert (between.values, between.worst.before, between.worst.value) == (1, 330, 280)


HOURLY = np.array(["2024-01-01T00", "2024-01-01T01"], "datetime64[s]")


def test_files_that_nobody_read_are_not_missing():
    values = quiet()
    values["temperature_2m"][3:] = np.nan
    tried = np.ones((5, 3), bool)
    tried[4] = False
    tried[0] = False  # of an attempt that did not commit: its values make up for no others
    temperature = found_in(values, tried=tried).variables[0]
    assert (temperature.values, temperature.missing) == (36, 12)


def test_which_of_some_flags_were_found():
    found = found_in(spoilt())
    assert found.found(["solar-closure", "above-limits"]) == ("above-limits",)
    assert found.found([]) == ()
