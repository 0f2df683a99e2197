"""Planning against brute force: which files, what of them, in which partitions and steps, and how large."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.planning.layout import Axis, Layout
from hrrr_dask.planning.memory import FIELD_BYTES, MERGE_BYTES, MESSAGE_BYTES, STEP_FILES, WORKER_BASE_BYTES
from hrrr_dask.planning.plan import MissingValues, all_values_of, iter_partitions, make_plan, offered, runs
from hrrr_dask.records import GribFile, Reading

LATER = datetime(2030, 1, 1)
TEMPERATURE = parse_variables(["temperature_2m"])
RAIN = parse_variables(["precipitation_1h"])
HUMID = parse_variables(["relative_humidity_2m"])

EDGES = (
    datetime(2014, 7, 30),
    datetime(2016, 8, 23),
    datetime(2018, 7, 12),
    datetime(2020, 12, 2),
    datetime(2024, 2, 28),
)
STEPS = {"sfc": 60, "subh": 15}
CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=6).map(sorted).map(tuple)
SELECTIONS = st.sampled_from(["sfc", "subh"]).flatmap(
    lambda product: st.builds(
        Selection,
        st.sampled_from([TEMPERATURE, RAIN, HUMID, TEMPERATURE + RAIN, RAIN + HUMID]),
        st.sets(st.integers(0, 48 * 60 // STEPS[product]), min_size=1, max_size=6).map(
            lambda steps: tuple(step * STEPS[product] for step in sorted(steps))
        ),
        CYCLES,
        st.just(product),
        st.sampled_from(["conus", "alaska"]),
    )
)


@st.composite
def requests(draw):
    """A selection, a period around an edge of the archive, days in a partition, and a store's first day."""
    selection = draw(SELECTIONS)
    day = draw(st.sampled_from(EDGES)) + timedelta(days=draw(st.integers(0, 3)))
    days = draw(st.integers(0, 4))
    hour, last = draw(st.sampled_from(selection.cycles)), draw(st.sampled_from(selection.cycles))
    if days == 0 and last < hour:
        hour, last = last, hour
    period = Period(day + timedelta(hours=hour), day + timedelta(days=days, hours=last))
    axis = Axis(day - timedelta(days=draw(st.integers(0, 9))), selection.cycles)
    return selection, period, draw(st.integers(1, 5)), axis


def hours_of(period: Period) -> list[datetime]:
    count = int((period.end - period.start) / timedelta(hours=1))
    return [period.start + timedelta(hours=hour) for hour in range(count + 1)]


def offered_names(selection: Selection, hour: datetime, lead: int) -> tuple[str, ...]:
    """Without a thought: which of the variables a run can have at a lead time [min]."""
    reach = last_lead_hour(hour, selection.product, selection.domain)
    if hour.hour not in selection.cycles or lead not in selection.lead_minutes or reach is None or lead > 60 * reach:
        return ()
    can = {
        "temperature_2m": True,
        "precipitation_1h": lead >= 60,
        "relative_humidity_2m": hour >= datetime(2016, 8, 23, 12),
    }
    return tuple(variable.name for variable in selection.variables if can[variable.name])


def wanted_files(selection: Selection, period: Period) -> dict[GribFile, dict[int, tuple[str, ...]]]:
    """Every hour, every file, every quarter of an hour in it, every variable."""
    quarters = {0: [0]} | {hour: [60 * hour - 45, 60 * hour - 30, 60 * hour - 15, 60 * hour] for hour in range(1, 100)}
    return {
        GribFile(init, hour, selection.product, selection.domain): leads
        for init in hours_of(period)
        for hour, minutes in quarters.items()
        if (leads := {lead: names for lead in minutes if (names := offered_names(selection, init, lead))})
    }


@settings(deadline=None)
@given(requests(), st.randoms(use_true_random=False), st.integers(1, 7), st.booleans())
def test_readings_are_exactly_what_is_wanted_and_offered_in_steps_of_bounded_size(request, random, step_files, added):
    selection, period, days, axis = request
    files = wanted_files(selection, period)
    layout = Layout(days, 3, 3)
    plan = make_plan(selection, period, n_points=3, layout=layout, now=LATER, axis=axis, continued=True)
    start = random.randint(0, axis.index(period.start))
    shape = (len(selection.variables), axis.index(period.end) + 1 - start, len(selection.lead_minutes))
    draw = np.random.default_rng(random.randrange(2**32))
    wanted, first_point = draw.random(shape) < 0.5, draw.integers(0, 4, shape).astype(np.int32)
    todo = MissingValues(start, wanted, first_point if added else None)
    partitions = list(iter_partitions(replace(plan, step_files=step_files), axis, todo))

    expected = []
    for file, leads in files.items():
        by_lead, firsts = [], []
        for lead, names in leads.items():
            at = axis.index(file.init_time) - start, selection.lead_minutes.index(lead)
            own = {v.name: k for k, v in enumerate(selection.variables) if v.name in names and wanted[k, at[0], at[1]]}
            if own:
                by_lead.append((lead, tuple(own)))
                firsts += [int(first_point[k, at[0], at[1]]) for k in own.values()]
        if by_lead:
            expected.append(Reading(file, tuple(by_lead), min(firsts) if added else 0))
    assert [reading for partition in partitions for reading in partition.readings] == expected
    for number in {partition.number for partition in partitions}:
        *full, last = [partition for partition in partitions if partition.number == number]
        assert [len(partition.readings) for partition in full] == [step_files] * len(full)
        assert 1 <= len(last.readings) <= step_files
        assert [partition.step for partition in (*full, last)] == list(range(len(full) + 1))
    numbers = [partition.number for partition in partitions]
    assert numbers == sorted(numbers)
    for partition in partitions:
        for reading in partition.readings:
            assert (reading.file.init_time - axis.first_day).days // days == partition.number
    assert max(numbers, default=0) - min(numbers, default=0) < plan.n_partitions


@settings(deadline=None)
@given(requests())
def test_an_empty_store_lacks_every_file_of_the_plan(request):
    selection, period, days, axis = request
    layout = Layout(days, 3, 3)
    plan = make_plan(selection, period, n_points=3, layout=layout, now=LATER, axis=axis, continued=True)
    found = [reading for each in iter_partitions(plan, axis, all_values_of(plan, axis)) for reading in each.readings]
    assert {reading.file: dict(reading.by_lead) for reading in found} == wanted_files(selection, period)
    assert len(found) == plan.n_files
    assert {reading.first_point for reading in found} <= {0}


def test_steps_are_long_unless_told():
    plan = plan_for(tuple(range(0, 1140, 60)), datetime(2024, 1, 1), datetime(2024, 1, 5, 23), days=30, axis=JANUARY)
    steps = list(iter_partitions(plan, JANUARY, all_values_of(plan, JANUARY)))
    assert [(step.number, step.step, len(step.readings)) for step in steps] == [(0, 0, STEP_FILES), (0, 1, 280)]


@settings(deadline=None)
@given(requests())
def test_a_plan_counts_what_a_loop_over_all_hours_counts(request):
    selection, period, days, axis = request
    inits = [hour for hour in hours_of(period) if hour.hour in selection.cycles]
    reach = {init: last_lead_hour(init, selection.product, selection.domain) for init in inits}
    skipped = {
        lead: sum(1 for last in reach.values() if last is None or lead > 60 * last) for lead in selection.lead_minutes
    }
    options = {"n_points": 3, "layout": Layout(days, 3, 3), "now": LATER, "axis": axis}
    plan = make_plan(selection, period, **options, continued=True)
    assert plan.n_runs == len(inits)
    files = wanted_files(selection, period)
    assert (plan.n_files, plan.n_leads) == (len(files), sum(map(len, files.values())))
    assert plan.skipped == {lead: count for lead, count in skipped.items() if count}
    assert plan.not_started == 0
    parts = {(init - axis.first_day).days // days for init in inits}
    assert plan.n_partitions == max(parts) - min(parts) + 1
    if max(skipped.values()) == len(inits) or not plan.n_files:
        with pytest.raises(PlanError, match=r"not reached|has no alaska runs|has none of these variables"):
            make_plan(selection, period, **options)
    else:
        assert make_plan(selection, period, **options) == plan


def test_runs_of_a_period_begin_and_end_where_it_does():
    period = Period(datetime(2024, 1, 1, 18), datetime(2024, 1, 3, 6))
    assert runs(period, (6, 18)) == [datetime(2024, 1, 1, 18)] + [
        datetime(2024, 1, day, hour) for day, hour in ((2, 6), (2, 18), (3, 6))
    ]


JANUARY = Axis(datetime(2024, 1, 1), tuple(range(24)))
ARCHIVE = datetime(2014, 7, 30)


def plan_for(
    leads,
    start,
    end,
    *,
    now=LATER,
    variables=TEMPERATURE,
    cycles=tuple(range(24)),
    domain="conus",
    days=1,
    n_points=2,
    shard_points=2,
    **more,
):
    selection = Selection(variables, leads, cycles, domain=domain)
    layout = Layout(days, shard_points, shard_points)
    options = {"n_points": n_points, "layout": layout, "now": now, "axis": Axis(ARCHIVE, cycles)} | more
    return make_plan(selection, Period(start, end), **options)


def test_leads_that_no_run_reaches_are_refused_with_the_furthest_one():
    with pytest.raises(PlanError, match=r"lead times 24 h, 36 h are not reached by the run 2024-01-01T05: .* is 18 h"):
        plan_for((0, 1440, 2160), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5))
    with pytest.raises(PlanError, match=r"the lead times 19 h are not reached by any of the 5 runs"):
        plan_for((1140,), datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 5))
    assert plan_for((0, 2880), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 6)).skipped == {2880: 1}


def test_a_store_with_long_leads_is_continued_by_runs_that_do_not_reach_them():
    made = plan_for((0, 1440), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5), continued=True)
    assert (made.n_files, made.skipped) == (1, {1440: 1})
    assert plan_for((1440,), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5), continued=True).n_files == 0


def test_alaska_without_any_run_says_when_it_runs():
    with pytest.raises(PlanError, match="alaska starts in 2018 and runs every 3 h"):
        plan_for((0,), datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 2), domain="alaska")


def test_variables_that_the_period_never_has_are_refused():
    with pytest.raises(PlanError, match="has none of these variables at these lead times between 2016-08-01T00"):
        plan_for((0, 60), datetime(2016, 8, 1), datetime(2016, 8, 23, 11), variables=HUMID)
    with pytest.raises(PlanError, match="has none of these variables"):
        plan_for((0,), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=RAIN)
    assert plan_for((0, 60), datetime(2016, 8, 1), datetime(2016, 8, 23, 12), variables=HUMID).n_runs == 541


def test_runs_of_the_future_are_left_out_and_counted():
    now = datetime(2024, 1, 1, 4, 59)
    plan = plan_for((0, 60), datetime(2024, 1, 1), datetime(2024, 1, 1, 9), now=now)
    assert (plan.n_runs, plan.not_started, plan.period.end) == (5, 5, datetime(2024, 1, 1, 4))
    assert plan_for((0,), datetime(2024, 1, 1, 4), datetime(2024, 1, 1, 4), now=datetime(2024, 1, 1, 4)).n_runs == 1
    with pytest.raises(PlanError, match="has started yet: it is 2024-01-01T04:59 UTC"):
        plan_for((0,), datetime(2024, 1, 1, 5), datetime(2024, 1, 2), now=now)


def test_what_is_offered_depends_on_reach_era_and_window():
    selection = Selection(TEMPERATURE + RAIN + HUMID, (0, 60, 960))
    assert offered(selection, [datetime(2016, 8, 23, 11), datetime(2016, 8, 23, 12)]).tolist() == [
        [[True, True, False], [True, True, True]],
        [[False, True, False], [False, True, True]],
        [[False, False, False], [True, True, True]],
    ]
    assert not offered(selection, [datetime(2014, 7, 29)]).any()
    assert offered(selection, []).shape == (3, 0, 3)


def test_variables_that_none_of_the_files_has_are_named():
    early = plan_for((0, 60), datetime(2016, 8, 23), datetime(2016, 8, 23, 11), variables=TEMPERATURE + HUMID)
    assert early.absent == ("relative_humidity_2m",)
    zero = plan_for((0,), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=TEMPERATURE + RAIN)
    assert zero.absent == ("precipitation_1h",)
    assert plan_for((0, 60), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=RAIN + HUMID).absent == ()


def test_a_period_before_the_axis_begins_is_refused_with_what_to_do():
    with pytest.raises(PlanError, match=r"axis begins on 2024-01-01, which cannot be changed, .* on 2023-12-31: start"):
        plan_for((0,), datetime(2023, 12, 31), datetime(2024, 1, 2), axis=JANUARY)


def test_what_is_read_grows_with_files_and_variables_and_not_with_what_is_done():
    plan = plan_for((0, 60), datetime(2024, 1, 1), datetime(2024, 1, 1, 23), variables=TEMPERATURE + RAIN)
    assert plan.n_files == 48
    assert plan.bytes_to_read == 48 * 2 * MESSAGE_BYTES
    assert plan.requests == 48 * 3
    part = replace(plan, n_done=40)
    assert (part.bytes_to_read, part.requests) == (8 * 2 * MESSAGE_BYTES, 8 * 3)


@settings(deadline=None)
@given(st.integers(1, 5000), st.integers(1, 1200), st.integers(1, 40), st.integers(1, 48), st.integers(1, 3))
def test_memory_and_sizes_are_what_the_layout_makes_of_them(n_points, shard_points, days, n_leads, n_variables):
    variables = (TEMPERATURE + RAIN + HUMID)[:n_variables]
    plan = plan_for(
        tuple(range(60, 60 * n_leads + 1, 60)),
        datetime(2024, 1, 1),
        datetime(2024, 1, 1, 12),
        cycles=(0, 12),
        variables=variables,
        days=days,
        n_points=n_points,
        shard_points=shard_points,
    )
    values = np.zeros((2 * days, n_leads, shard_points), np.float32)
    assert plan.shard_bytes == values.nbytes
    assert plan.partition_bytes == values.nbytes * n_variables * len(range(0, n_points, shard_points))
    assert plan.partition_files == 2 * days * n_leads
    step = min(plan.partition_files, plan.step_files)
    assert plan.worker_bytes == (
        WORKER_BASE_BYTES
        + 2 * step * n_variables * n_points * 4
        + max(4 * values.nbytes, min(4 * plan.partition_bytes, MERGE_BYTES))
        + 3 * FIELD_BYTES
        + 8 * n_variables * MESSAGE_BYTES
    )
