"""The axis of init times as arithmetic, and sizes of shards and chunks within their limits."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.planning.layout import CHUNK_BYTES, CHUNK_POINTS, SHARD_BYTES, SHARD_POINTS, Axis, Layout, choose_layout

TEMPERATURE = parse_variables(["temperature_2m"])
CYCLES = st.sets(st.integers(0, 23), min_size=1, max_size=24).map(sorted).map(tuple)
LEADS = st.sets(st.integers(0, 48), min_size=1).map(sorted).map(tuple)
ALL_RUNS = tuple(range(24))


@settings(deadline=None)
@given(CYCLES, st.integers(-10_000, 10_000))
def test_an_index_and_its_init_time_are_each_others_inverse(cycles, index):
    axis = Axis(datetime(2024, 1, 1), cycles)
    init_time = axis.init_time(index)
    assert axis.index(init_time) == index
    assert init_time.hour in cycles
    assert axis.init_time(index + 1) > init_time
    assert axis.init_time(len(cycles)) == datetime(2024, 1, 2, cycles[0])


def test_a_run_at_another_hour_is_not_on_the_axis():
    with pytest.raises(PlanError, match=r"2024-01-01T03 is not an init time of this store: its cycles are \[0, 6\]"):
        Axis(datetime(2024, 1, 1), (0, 6)).index(datetime(2024, 1, 1, 3))


def test_days_are_counted_to_the_end_of_a_day():
    axis = Axis(datetime(2024, 1, 1), (0, 18))
    assert [axis.days_to(datetime(2024, 1, day, hour)) for day, hour in ((1, 0), (1, 18), (2, 0))] == [1, 1, 2]


def point_bytes(selection: Selection, layout: Layout) -> int:
    return layout.partition_days * len(selection.cycles) * len(selection.lead_hours) * 4


@settings(deadline=None)
@given(st.integers(1, 20_000), LEADS, CYCLES)
@example(363, tuple(range(49)), ALL_RUNS)
@example(1_000, tuple(range(19)), ALL_RUNS)
def test_a_chosen_layout_stays_within_its_limits_and_has_room(n_points, leads, cycles):
    selection = Selection(TEMPERATURE, leads, cycles)
    layout = choose_layout(selection, n_points)
    size = point_bytes(selection, layout)
    assert layout.partition_days in (30, 7, 1)
    assert layout.shard_points * size <= SHARD_BYTES or layout.partition_days == 1
    assert layout.shard_points % layout.chunk_points == 0
    assert layout.chunk_points in CHUNK_POINTS
    assert layout.chunk_points * size <= CHUNK_BYTES or layout.chunk_points == CHUNK_POINTS[0]
    assert min(n_points + 1, SHARD_POINTS) <= layout.shard_points <= SHARD_POINTS
    if n_points < SHARD_POINTS * 4 // 5:
        assert layout.shard_points >= n_points * 1.25 - 1, "a quarter more points fit without new objects"
    assert layout.shard_points < max(n_points * 1.25, n_points + 1) + layout.chunk_points


@settings(deadline=None)
@given(st.integers(1, 20_000), LEADS, CYCLES)
def test_longer_partitions_than_the_chosen_ones_would_be_too_large(n_points, leads, cycles):
    selection = Selection(TEMPERATURE, leads, cycles)
    chosen = choose_layout(selection, n_points)
    for days in (30, 7):
        if days > chosen.partition_days:
            longer = choose_layout(selection, n_points, partition_days=days)
            assert longer.shard_points * point_bytes(selection, longer) > SHARD_BYTES


@settings(deadline=None)
@given(
    st.integers(1, 20_000),
    st.sampled_from([0, 1, 3, 365]),
    st.sampled_from([0, 1, 7, 40, 1000, 1234]),
    st.sampled_from([0, 1, 5, 20, 300]),
)
def test_sizes_that_are_given_are_kept_and_shards_are_whole_chunks(n_points, days, shard_points, chunk_points):
    selection = Selection(TEMPERATURE, tuple(range(19)))
    given_sizes = {"partition_days": days, "shard_points": shard_points, "chunk_points": chunk_points}
    if chunk_points and shard_points % chunk_points:
        with pytest.raises(PlanError, match=f"shards of {shard_points} points are not made of whole chunks of"):
            choose_layout(selection, n_points, **given_sizes)
        return
    layout = choose_layout(selection, n_points, **given_sizes)
    assert layout.partition_days == days or not days
    assert layout.shard_points == shard_points or not shard_points
    assert layout.chunk_points == chunk_points or not chunk_points
    assert layout.shard_points % layout.chunk_points == 0
    assert layout.shard_points * point_bytes(selection, layout) <= SHARD_BYTES or layout.partition_days in (1, days)


@pytest.mark.parametrize(
    ("n_points", "expected"),
    [
        (1, Layout(30, 10, 10)),
        (9, Layout(30, 20, 10)),
        (50, Layout(30, 70, 10)),
        (800, Layout(30, 1000, 10)),
        (1000, Layout(30, 1000, 10)),
        (25_000, Layout(30, 1000, 10)),
    ],
)
def test_layouts_of_all_runs_with_nineteen_leads(n_points, expected):
    assert choose_layout(Selection(TEMPERATURE, tuple(range(19))), n_points) == expected


def test_more_variables_need_no_smaller_shards():
    few = Selection(TEMPERATURE, tuple(range(19)))
    many = Selection(parse_variables(["temperature_2m", "precipitation_1h", "wind_gust_surface"]), few.lead_hours)
    assert choose_layout(many, 1000) == choose_layout(few, 1000)


def test_few_lead_times_make_chunks_of_more_points():
    for leads, expected in ((1, 20), (2, 10), (19, 10)):
        layout = choose_layout(Selection(TEMPERATURE, tuple(range(leads))), 1000, partition_days=400)
        assert layout.chunk_points == expected
    assert choose_layout(Selection(TEMPERATURE, (0,), (0,)), 1000).chunk_points == 100
