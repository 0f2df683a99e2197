"""Costs against brute force: every file, message, object and byte counted one by one."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from datetime import datetime, timedelta
from itertools import product

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES, parse_variables
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.job.costs import DEFAULT_CALIBRATION, DOLLARS_PER_CORE_HOUR, Calibration, estimate
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.plan import Plan, make_plan

LATER = datetime(2030, 1, 1)
NAMES = ("temperature_2m", "precipitation_1h", "relative_humidity_2m", "u_component_wind_10m", "v_component_wind_10m")
NEEDS = {"u_component_wind_10m": {"u10", "v10"}, "v_component_wind_10m": {"u10", "v10"}}
"""Messages of a variable that needs more than its own."""


def planned(selection: Selection, period: Period, n_points: int, layout: Layout, **more: bool) -> Plan:
    axis = Axis(period.start.replace(hour=0), selection.cycles)
    return make_plan(selection, period, n_points=n_points, layout=layout, now=LATER, axis=axis, **more)


@st.composite
def plans(draw):
    """Plans of a few days around the edge of an era, with leads that every run there reaches."""
    variables = parse_variables(["temperature_2m", *draw(st.sets(st.sampled_from(NAMES[1:])).map(sorted))])
    leads = draw(
        st.sets(st.integers(0, 15), min_size=1, max_size=4).map(
            lambda hours: tuple(60 * hour for hour in sorted(hours))
        )
    )
    cycles = draw(st.sets(st.integers(0, 23), min_size=1, max_size=4).map(sorted).map(tuple))
    first = datetime(2016, 8, 21) + timedelta(days=draw(st.integers(0, 4)), hours=cycles[0])
    last = first.replace(hour=cycles[-1]) + timedelta(days=draw(st.integers(0, 9)))
    chunk = draw(st.integers(1, 4))
    layout = Layout(draw(st.integers(1, 400)), chunk * draw(st.integers(1, 3)), chunk)
    return planned(Selection(variables, leads, cycles), Period(first, last), draw(st.integers(1, 30)), layout)


def variables_of_files(plan: Plan) -> list[list[str]]:
    """Names of the variables of every file that has any."""
    found = []
    hour = plan.period.start
    while hour <= plan.period.end:
        for lead in plan.selection.lead_minutes if hour.hour in plan.selection.cycles else ():
            reach = last_lead_hour(hour)
            names = [
                v.name
                for v in plan.selection.variables
                if (v.name != "precipitation_1h" or lead > 0)
                and (v.name != "relative_humidity_2m" or hour >= datetime(2016, 8, 23, 12))
            ]
            if reach is not None and lead <= 60 * reach and names:
                found.append(names)
        hour += timedelta(hours=1)
    return found


def keys_of(plan: Plan, partitions: int) -> set[str]:
    """Every object that partitions may have."""
    blocks = [k for k in range(plan.n_points) if k % plan.layout.shard_points == 0]
    names = [variable.name for variable in plan.selection.variables]
    numbers = range(partitions)
    shards = {f"{name}/c/{number}/0/{block}" for name, number, block in product(names, numbers, blocks)}
    others = {f"{name}/c/{number}/0" for name, number in product(["status", "quality", "available_at"], numbers)}
    n_files = plan.layout.partition_days * len(plan.selection.cycles) * len(plan.selection.lead_minutes)
    steps = {file // plan.step_files for file in range(n_files)}
    return shards | others | {f".hrrr/ledger/{number:06d}/{step}" for number, step in product(numbers, steps)}


@given(plans())
def test_messages_and_stored_bytes_are_those_of_every_file_one_by_one(plan):
    files = variables_of_files(plan)
    costs = estimate(plan)
    assert costs.files == len(files)
    assert costs.messages == sum(len(set().union(*(NEEDS.get(name, {name}) for name in file))) for file in files)
    values = sum(len(file) for file in files) * plan.n_points
    assert costs.stored_bytes == round(values * 4 / 2.5)
    assert costs.stored_bytes_a_year == round(values / plan.n_runs * 365 * len(plan.selection.cycles) * 4 / 2.5)


@given(plans(), st.floats(0, 1), st.floats(0, 1), st.integers(1, 64), st.floats(0, 10))
def test_core_hours_are_the_seconds_of_files_and_messages(plan, a_message, a_file, cores, price):
    costs = estimate(plan, Calibration(a_message, a_file, cores), price)
    seconds = costs.files * a_file + costs.messages * a_message
    assert math.isclose(costs.core_hours * 3600, seconds, abs_tol=1e-300)  # below, floats have fewer digits
    assert costs.dollars == costs.core_hours * price
    assert costs.hours == costs.core_hours / cores


@given(plans())
def test_objects_are_counted_as_keys_are(plan):
    costs = estimate(plan)
    assert costs.objects == len(keys_of(plan, plan.n_partitions))
    a_year = len({day // plan.layout.partition_days for day in range(365)})
    assert costs.objects_a_year == len(keys_of(plan, a_year))
    assert costs.series_requests == a_year * (1 if plan.layout.shard_points == plan.layout.chunk_points else 2)


@given(plans())
def test_an_update_writes_what_earlier_runs_of_its_partition_have_written_too(plan):
    costs = estimate(plan)
    n_runs = plan.layout.partition_days * len(plan.selection.cycles)
    run = sum(len(file) for file in variables_of_files(plan)) * plan.n_points * 4 / plan.n_runs
    written = [run * k / 2.5 for k in range(1, n_runs + 1)]
    assert costs.update_new_bytes == round(run)
    assert costs.update_most_bytes == pytest.approx(written[-1], abs=1)
    assert costs.update_mean_bytes == pytest.approx(sum(written) / n_runs, abs=1)


def test_smaller_steps_are_more_entries_of_the_ledger():
    plan = plan_of(1000, ["temperature_2m"])
    more = estimate(replace(plan, step_files=100)).objects_a_year - estimate(plan).objects_a_year
    assert more == 53 * (32 - 2), "a week has 3,192 files"


@given(plans(), st.data())
def test_files_of_the_store_are_not_paid_for_again(plan, data):
    done = data.draw(st.integers(0, plan.n_files))
    whole, rest = estimate(plan), estimate(replace(plan, n_done=done))
    assert rest.files == plan.n_files - done
    assert abs(rest.messages - whole.messages * rest.files / whole.files) <= 0.5
    same = ("objects", "objects_a_year", "stored_bytes", "stored_bytes_a_year", "series_bytes")
    assert [getattr(rest, name) for name in same] == [getattr(whole, name) for name in same]


def test_a_plan_whose_files_are_all_done_costs_nothing():
    plan = plan_of(1000, ["temperature_2m"])
    costs = estimate(replace(plan, n_done=plan.n_files))
    assert (costs.files, costs.messages, costs.core_hours, costs.dollars) == (0, 0, 0.0, 0.0)


def test_a_plan_without_any_file_costs_nothing():
    selection = Selection(parse_variables(["temperature_2m"]), (1440,))
    period = Period(datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5))
    costs = estimate(planned(selection, period, 2, Layout(1, 2, 2), continued=True))
    assert (costs.files, costs.messages, costs.dollars, costs.stored_bytes) == (0, 0, 0.0, 0)


def plan_of(n_points: int, names: list[str], end: datetime = datetime(2024, 12, 31, 23), domain: str = "conus") -> Plan:
    selection = Selection(parse_variables(names), tuple(range(0, 1140, 60)), domain=domain)
    return planned(selection, Period(datetime(2024, 1, 1), end), n_points, Layout(7, 1000, 50))


def test_a_week_of_shards_is_read_as_often_as_was_measured():
    costs = estimate(plan_of(1000, ["temperature_2m"]))
    assert costs.series_requests == 106  # design notes: one point's year out of weekly shards
    assert costs.shard_bytes == 168 * 19 * 1000 * 4


def test_a_year_of_the_defaults_is_what_a_person_works_out():
    costs = estimate(plan_of(1000, list(DEFAULT_VARIABLES), datetime(2024, 12, 30, 23)))
    assert costs.files == 365 * 24 * 19
    assert costs.messages == costs.files * 11, "both components of each wind are wanted anyway"
    assert costs.core_hours == pytest.approx(166_440 * (0.025 + 11 * 0.002) / 3600)
    assert costs.dollars == pytest.approx(0.0978, abs=0.001)
    assert costs.objects_a_year == 53 * (11 + 3 + 2) == costs.objects, "a week has 3,192 files: two steps"
    assert costs.stored_bytes == costs.stored_bytes_a_year == 166_440 * 11 * 1000 * 4 / 2.5
    assert (costs.calibration, costs.dollars_per_core_hour) == (DEFAULT_CALIBRATION, DOLLARS_PER_CORE_HOUR)
    assert asdict(costs)["calibration"]["measured"] is False


def test_leads_that_few_runs_reach_do_not_count_as_stored():
    selection = Selection(parse_variables(["temperature_2m"]), tuple(range(0, 2940, 60)))
    period = Period(datetime(2024, 1, 1), datetime(2024, 1, 7, 23))
    costs = estimate(planned(selection, period, 50, Layout(7, 50, 50)))
    values_a_day = 4 * 49 + 20 * 19
    assert costs.stored_bytes == 7 * values_a_day * 50 * 4 / 2.5
    assert costs.series_bytes == 53 * (round(7 * values_a_day * 50 * 4 / 2.5) + 20)


def test_room_for_more_points_in_a_chunk_is_not_read():
    selection = Selection(parse_variables(["temperature_2m"]), (0,), (0,))
    period = Period(datetime(2024, 1, 1), datetime(2024, 1, 30))
    few, full = (estimate(planned(selection, period, n, Layout(30, 100, 100))) for n in (3, 100))
    assert few.series_requests == full.series_requests == 13, "a shard of one chunk is read whole"
    assert few.series_bytes == 13 * (round(30 * 3 * 4 / 2.5) + 20)
    assert full.series_bytes == 13 * (round(30 * 100 * 4 / 2.5) + 20)


def test_a_component_alone_still_needs_its_companion():
    one, both = (
        estimate(plan_of(2, [f"{c}_component_wind_80m" for c in components], datetime(2024, 1, 2)))
        for components in ("v", "uv")
    )
    assert one.messages == both.messages == 2 * one.files
    assert 2 * one.stored_bytes == both.stored_bytes


def test_a_smaller_grid_takes_less_time():
    alaska = estimate(plan_of(2, ["temperature_2m"], domain="alaska"), Calibration(0.03, 0.0))
    assert alaska.core_hours * 3600 == pytest.approx(alaska.messages * 0.03 * (1299 * 919) / (1799 * 1059))


def test_the_shards_index_is_as_long_as_zarr_writes_it():
    store: dict[str, object] = {}
    array = zarr.create_array(
        zarr.storage.MemoryStore(store),  # type: ignore[arg-type]
        shape=(3, 2, 6),
        chunks=(3, 2, 2),
        shards=(3, 2, 6),
        dtype="float32",
        compressors=None,
        filters=None,
    )
    array[...] = np.ones((3, 2, 6), dtype=np.float32)
    (shard,) = (value for key, value in store.items() if key.endswith("c/0/0/0"))
    selection = Selection(parse_variables(["temperature_2m"]), (0, 60), (0, 6, 12))
    period = Period(datetime(2024, 1, 1), datetime(2024, 1, 1, 12))
    costs = estimate(planned(selection, period, 6, Layout(1, 6, 2)))
    assert costs.shard_bytes == 3 * 2 * 6 * 4
    index = len(shard) - costs.shard_bytes  # type: ignore[arg-type]
    assert costs.series_bytes == 365 * (index + round(3 * 2 * 2 * 4 / 2.5))


@pytest.mark.parametrize("wrong", [{"seconds_per_message": -0.1}, {"seconds_per_file": math.nan}, {"cores": 0}])
def test_a_calibration_that_cannot_be_is_refused(wrong):
    with pytest.raises(ValueError, match="seconds from 0 on and at least one core"):
        replace(DEFAULT_CALIBRATION, **wrong)
