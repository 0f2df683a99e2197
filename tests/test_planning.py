"""Planning against brute force: which files, in which partitions, and how large."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.catalog import last_lead_hour
from hrrr_dask.config import Period, Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.planning import (
    PARTITION_BYTES,
    PARTITION_FILES,
    SHARD_POINTS,
    Axis,
    Layout,
    choose_layout,
    first_axis,
    iter_partitions,
    make_plan,
    offered,
    runs,
)
from hrrr_dask.records import GribFile
from hrrr_dask.variables import parse_variables

LATER = datetime(2030, 1, 1)
TEMPERATURE = parse_variables(["temperature_2m"])
RAIN = parse_variables(["precipitation_1h"])
HUMID = parse_variables(["relative_humidity_2m"])
NONE_DONE = np.zeros((0, 0), dtype=bool)

EDGES = (
    datetime(2014, 7, 30),
    datetime(2016, 8, 23),
    datetime(2018, 7, 12),
    datetime(2020, 12, 2),
    datetime(2024, 2, 28),
)
CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=6).map(sorted).map(tuple)
SELECTIONS = st.builds(
    Selection,
    st.sampled_from([TEMPERATURE, RAIN, HUMID, TEMPERATURE + RAIN, RAIN + HUMID]),
    st.sets(st.integers(0, 48), min_size=1, max_size=6).map(sorted).map(tuple),
    CYCLES,
    st.sampled_from(["sfc", "subh"]),
    st.sampled_from(["conus", "alaska"]),
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


def wanted_files(selection: Selection, period: Period) -> list[GribFile]:
    """Every hour, every lead, every variable: without a thought."""
    found = []
    for hour in hours_of(period):
        for lead in range(100):
            reach = last_lead_hour(hour, selection.product, selection.domain)
            if hour.hour in selection.cycles and lead in selection.lead_hours and reach is not None and lead <= reach:
                has_rain_window = lead >= 1
                after_v1 = hour >= datetime(2016, 8, 23, 12)
                names = {variable.name for variable in selection.variables}
                if (
                    "temperature_2m" in names
                    or ("precipitation_1h" in names and has_rain_window)
                    or ("relative_humidity_2m" in names and after_v1)
                ):
                    found.append(GribFile(hour, lead, selection.product, selection.domain))
    return found


@given(requests(), st.randoms(use_true_random=False))
def test_partitions_cover_exactly_the_wanted_files_that_are_not_done(request, random):
    selection, period, days, axis = request
    wanted = wanted_files(selection, period)
    try:
        plan = make_plan(selection, period, n_points=3, layout=Layout(days, 3, 3), now=LATER, axis=axis)
    except PlanError:
        reached = {file.lead_hours for file in wanted}
        assert reached != set(selection.lead_hours) or not wanted
        return
    n_done = random.randrange(axis.index(period.end) + 2)
    done = np.array([[random.random() < 0.5 for _ in selection.lead_hours] for _ in range(n_done)], dtype=bool)
    done = done.reshape(n_done, len(selection.lead_hours))
    partitions = list(iter_partitions(plan, axis, done))
    found = [file for partition in partitions for file in partition.files]

    def is_done(file: GribFile) -> bool:
        index = axis.index(file.init_time)
        return index < n_done and bool(done[index, selection.lead_hours.index(file.lead_hours)])

    assert found == [file for file in wanted if not is_done(file)]
    assert all(partition.files for partition in partitions)
    numbers = [partition.number for partition in partitions]
    assert numbers == sorted(set(numbers))
    for partition in partitions:
        for file in partition.files:
            assert (file.init_time - axis.first_day).days // days == partition.number
    assert max(numbers, default=0) - min(numbers, default=0) < plan.n_partitions


@given(requests())
def test_a_plan_counts_what_a_loop_over_all_hours_counts(request):
    selection, period, days, axis = request
    inits = [hour for hour in hours_of(period) if hour.hour in selection.cycles]
    reach = {init: last_lead_hour(init, selection.product, selection.domain) for init in inits}
    skipped = {lead: sum(1 for last in reach.values() if last is None or lead > last) for lead in selection.lead_hours}
    try:
        plan = make_plan(selection, period, n_points=3, layout=Layout(days, 3, 3), now=LATER, axis=axis)
    except PlanError:
        assert max(skipped.values()) == len(inits) or not wanted_files(selection, period)
        return
    assert plan.n_runs == len(inits)
    assert plan.n_files == len(wanted_files(selection, period))
    assert plan.skipped == {lead: count for lead, count in skipped.items() if count}
    assert plan.not_started == 0
    parts = {(init - axis.first_day).days // days for init in inits}
    assert plan.n_partitions == max(parts) - min(parts) + 1


@given(CYCLES, st.integers(-10_000, 10_000))
def test_an_index_and_its_init_time_are_each_others_inverse(cycles, index):
    axis = Axis(datetime(2024, 1, 1), cycles)
    init_time = axis.init_time(index)
    assert axis.index(init_time) == index
    assert init_time.hour in cycles
    assert axis.init_time(index + 1) > init_time
    assert axis.init_time(len(cycles)) == datetime(2024, 1, 2, cycles[0])


def test_a_run_at_another_hour_is_not_on_the_axis():
    with pytest.raises(PlanError, match=r"2024-01-01T03 is no init time of this store: its cycles are \[0, 6\]"):
        Axis(datetime(2024, 1, 1), (0, 6)).index(datetime(2024, 1, 1, 3))


def test_days_are_counted_to_the_end_of_a_day():
    axis = Axis(datetime(2024, 1, 1), (0, 18))
    assert [axis.days_to(datetime(2024, 1, day, hour)) for day, hour in ((1, 0), (1, 18), (2, 0))] == [1, 1, 2]


def test_a_new_axis_begins_at_midnight():
    selection = Selection(TEMPERATURE, (0,), (6, 18))
    period = Period(datetime(2024, 1, 1, 18), datetime(2024, 1, 3, 6))
    assert first_axis(selection, period) == Axis(datetime(2024, 1, 1), (6, 18))
    assert runs(period, (6, 18)) == [datetime(2024, 1, 1, 18)] + [
        datetime(2024, 1, day, hour) for day, hour in ((2, 6), (2, 18), (3, 6))
    ]


@given(
    st.integers(1, 20_000),
    st.sets(st.integers(0, 48), min_size=1).map(sorted).map(tuple),
    CYCLES,
    st.sampled_from([TEMPERATURE, TEMPERATURE + RAIN]),
)
def test_a_layout_is_the_longest_that_stays_within_the_limits(n_points, leads, cycles, variables):
    selection = Selection(variables, leads, cycles)
    layout = choose_layout(selection, n_points)

    def fits(days: int) -> bool:
        files = days * len(cycles) * len(leads)
        return files <= PARTITION_FILES and files * n_points * 4 * len(variables) <= PARTITION_BYTES

    assert layout.partition_days == (30 if fits(30) else 7 if fits(7) else 1)
    assert layout.shard_points % layout.chunk_points == 0
    assert layout.chunk_points <= min(n_points, 50)
    assert layout.shard_points <= SHARD_POINTS
    assert layout.shard_points - n_points < layout.chunk_points, "no shard is larger than the points need"


@pytest.mark.parametrize(
    ("n_points", "expected"),
    [
        (1, Layout(7, 1, 1)),
        (49, Layout(7, 49, 49)),
        (51, Layout(7, 100, 50)),
        (1000, Layout(7, 1000, 50)),
        (1001, Layout(7, 1000, 50)),
        (25_000, Layout(1, 1000, 50)),
    ],
)
def test_layouts_of_all_runs_with_nineteen_leads(n_points, expected):
    selection = Selection(TEMPERATURE, tuple(range(19)))
    assert choose_layout(selection, n_points) == expected


def test_days_may_be_given():
    assert choose_layout(Selection(TEMPERATURE, (0,)), 100_000, partition_days=365).partition_days == 365


def plan_for(leads, start, end, *, now=LATER, variables=TEMPERATURE, cycles=tuple(range(24)), domain="conus", **more):
    selection = Selection(variables, leads, cycles, domain=domain)
    return make_plan(selection, Period(start, end), n_points=2, layout=Layout(1, 2, 2), now=now, **more)


def test_leads_that_no_run_reaches_are_refused_with_the_furthest_one():
    with pytest.raises(PlanError, match=r"lead hours 24, 36 are not reached by the run 2024-01-01T05: .* is 18 h"):
        plan_for((0, 24, 36), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5))
    with pytest.raises(PlanError, match=r"lead hours 19 are not reached by any of the 5 runs"):
        plan_for((19,), datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 5))
    assert plan_for((0, 48), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 6)).skipped == {48: 1}


def test_a_store_with_long_leads_is_continued_by_runs_that_do_not_reach_them():
    made = plan_for((0, 24), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5), continued=True)
    assert (made.n_files, made.skipped) == (1, {24: 1})
    assert plan_for((24,), datetime(2024, 1, 1, 5), datetime(2024, 1, 1, 5), continued=True).n_files == 0


def test_alaska_without_any_run_says_when_it_runs():
    with pytest.raises(PlanError, match="alaska starts in 2018 and runs every 3 h"):
        plan_for((0,), datetime(2024, 1, 1, 1), datetime(2024, 1, 1, 2), domain="alaska")


def test_variables_that_the_period_never_has_are_refused():
    with pytest.raises(PlanError, match="has none of these variables at these lead hours between 2016-08-01T00"):
        plan_for((0, 1), datetime(2016, 8, 1), datetime(2016, 8, 23, 11), variables=HUMID)
    with pytest.raises(PlanError, match="has none of these variables"):
        plan_for((0,), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=RAIN)
    assert plan_for((0, 1), datetime(2016, 8, 1), datetime(2016, 8, 23, 12), variables=HUMID).n_runs == 541


def test_runs_of_the_future_are_left_out_and_counted():
    now = datetime(2024, 1, 1, 4, 59)
    plan = plan_for((0, 1), datetime(2024, 1, 1), datetime(2024, 1, 1, 9), now=now)
    assert (plan.n_runs, plan.not_started, plan.period.end) == (5, 5, datetime(2024, 1, 1, 4))
    assert plan_for((0,), datetime(2024, 1, 1, 4), datetime(2024, 1, 1, 4), now=datetime(2024, 1, 1, 4)).n_runs == 1
    with pytest.raises(PlanError, match="has started yet: it is 2024-01-01T04:59 UTC"):
        plan_for((0,), datetime(2024, 1, 1, 5), datetime(2024, 1, 2), now=now)


def test_what_is_offered_depends_on_reach_era_and_window():
    selection = Selection(TEMPERATURE + RAIN + HUMID, (0, 1, 16))
    assert offered(selection, [datetime(2016, 8, 23, 11), datetime(2016, 8, 23, 12)]).tolist() == [
        [[True, True, False], [True, True, True]],
        [[False, True, False], [False, True, True]],
        [[False, False, False], [True, True, True]],
    ]
    assert not offered(selection, [datetime(2014, 7, 29)]).any()
    assert offered(selection, []).shape == (3, 0, 3)


def test_variables_that_none_of_the_files_has_are_named():
    early = plan_for((0, 1), datetime(2016, 8, 23), datetime(2016, 8, 23, 11), variables=TEMPERATURE + HUMID)
    assert early.absent == ("relative_humidity_2m",)
    zero = plan_for((0,), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=TEMPERATURE + RAIN)
    assert zero.absent == ("precipitation_1h",)
    assert plan_for((0, 1), datetime(2024, 1, 1), datetime(2024, 1, 1), variables=RAIN + HUMID).absent == ()


def test_sizes_grow_with_files_variables_and_points():
    plan = plan_for((0, 1), datetime(2024, 1, 1), datetime(2024, 1, 1, 23), variables=TEMPERATURE + RAIN)
    assert plan.n_files == 48
    assert plan.bytes_to_read == 48 * 2 * 1_500_000
    assert plan.requests == 48 * 3
    assert plan.partition_bytes == 24 * 2 * 2 * 4 * 2
    assert plan.worker_bytes > 3 * plan.partition_bytes + 1799 * 1059 * 8
