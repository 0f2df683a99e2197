"""The memory of a worker: it is enough for any size of store, and steps have as many files as fit."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import DEFAULTS, FILES_AT_ONCE, Selection
from hrrr_dask.planning.layout import Axis, Layout, choose_layout
from hrrr_dask.planning.memory import MESSAGE_BYTES, extract_bytes, fixed_bytes, partition_bytes
from hrrr_dask.planning.plan import Plan, all_values_of, iter_partitions, make_plan

DAY = datetime(2024, 1, 1)
LIMIT = DEFAULTS["memory-limit-mb"] * 1_000_000
FIFTY = parse_variables([f"TMP:{level} mb" for level in range(50, 1050, 20)])
CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=24).map(sorted).map(tuple)
ALL_RUNS = tuple(range(24))


def plan_for(n_points: int, n_leads: int, n_variables: int, *, cycles=ALL_RUNS, layout=None, **more) -> Plan:
    selection = Selection(FIFTY[:n_variables], tuple(range(0, 60 * n_leads, 60)), cycles)
    layout = layout or choose_layout(selection, n_points)
    period = Period(DAY.replace(hour=cycles[0]), DAY.replace(hour=cycles[-1]))
    options = {"n_points": n_points, "layout": layout, "now": datetime(2030, 1, 1), "axis": Axis(DAY, cycles)} | more
    return make_plan(selection, period, continued=True, **options)


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 50_000), st.integers(1, 49), st.integers(1, 50), CYCLES)
@example(20_000, 12, 11, ALL_RUNS)
@example(20_000, 19, 11, ALL_RUNS)
@example(50_000, 49, 50, ALL_RUNS)
@example(1_000, 49, 1, ALL_RUNS)
def test_no_size_needs_more_than_the_default_memory_limit(n_points, n_leads, n_variables, cycles):
    plan = plan_for(n_points, n_leads, n_variables, cycles=cycles)
    assert plan.worker_bytes <= LIMIT
    assert plan.layout.shard_points % plan.layout.chunk_points == 0


@settings(deadline=None, max_examples=300)
@given(st.integers(1, 50_000), st.integers(1, 49), st.integers(1, 50))
@example(50_000, 49, 50)
def test_a_partition_is_written_in_few_steps_and_a_step_is_many_files(n_points, n_leads, n_variables):
    plan = plan_for(n_points, n_leads, n_variables)
    steps = -(-plan.partition_files // plan.step_files)
    limited = plan.step_files < 2_000
    assert steps <= (2 if limited and plan.layout.partition_days > 1 else 18)
    assert plan.step_files >= n_leads, "no step is less than a run"


@settings(deadline=None)
@given(st.integers(1, 50_000), st.integers(1, 50), st.integers(500, 64_000))
def test_steps_are_as_large_as_half_of_the_free_memory_allows(n_points, n_variables, limit_mb):
    layout = Layout(1, 1000, 100)
    plan = plan_for(n_points, 49, n_variables, layout=layout, memory_bytes=limit_mb * 1_000_000)
    file = 2 * 4 * n_points * n_variables
    without = plan.worker_bytes - min(plan.step_files, plan.partition_files) * file
    free = (limit_mb * 1_000_000 - without) / 2
    assert 1 <= plan.step_files <= 2_000
    assert plan.step_files * file <= free or plan.step_files == 1
    assert (plan.step_files + 1) * file > free or plan.step_files == 2_000


def test_a_store_of_long_partitions_is_written_in_more_steps():
    layout = Layout(30, 1000, 20)
    plan = plan_for(20_000, 12, 11, layout=layout)
    axis = Axis(DAY, ALL_RUNS)
    assert plan.worker_bytes <= LIMIT
    assert plan.step_files < 1_000
    small = plan_for(20_000, 12, 11, layout=layout, memory_bytes=1_200_000_000)
    steps = list(iter_partitions(small, axis, all_values_of(small, axis)))
    assert [len(step.readings) for step in steps[:-1]] == [small.step_files] * (len(steps) - 1)
    assert sum(len(step.readings) for step in steps) == small.n_files
    assert [(step.number, step.step) for step in steps] == [(0, k) for k in range(len(steps))]
    assert len(steps) > 1


@pytest.mark.parametrize(
    ("layout", "memory_bytes"), [(Layout(365, 50_000, 50_000), LIMIT), (Layout(1, 1000, 100), 500_000_000)]
)
def test_sizes_that_cannot_fit_are_not_made_to(layout, memory_bytes):
    plan = plan_for(50_000, 12, 11, layout=layout, memory_bytes=memory_bytes)
    assert plan.step_files == 1
    assert plan.worker_bytes > memory_bytes


def test_a_file_with_four_lead_times_has_four_times_the_messages_and_values():
    hourly = Selection(FIFTY[:11], (0, 60, 120))
    quarters = replace(hourly, lead_minutes=tuple(range(0, 121, 15)), product="subh")
    layout = Layout(1, 10, 10)
    assert extract_bytes(quarters, 10) == 4 * extract_bytes(hourly, 10)
    messages = 3 * 2 * FILES_AT_ONCE * 11 * MESSAGE_BYTES
    more = 4 * (partition_bytes(quarters, 10, layout) - partition_bytes(hourly, 10, layout))
    assert fixed_bytes(quarters, 10, layout) == fixed_bytes(hourly, 10, layout) + messages + more
