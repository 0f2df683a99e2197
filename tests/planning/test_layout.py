"""The axis of init times as arithmetic, and sizes of shards and chunks within their limits."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES, parse_variables
from hrrr_dask.config.settings import Selection
from hrrr_dask.errors import PlanError
from hrrr_dask.planning.layout import (
    CHUNK_BYTES,
    CHUNK_POINTS,
    PARTITION_BYTES,
    SHARD_BYTES,
    SHARD_POINTS,
    Axis,
    Layout,
    choose_layout,
    explain_layout,
)

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
    return layout.partition_days * len(selection.cycles) * len(selection.lead_minutes) * 4


def partition_bytes(selection: Selection, n_points: int, days: int) -> int:
    """Every value of a partition that the archive can have, one by one."""
    reaches = [last_lead_hour(datetime(2024, 5, 5, cycle)) for cycle in selection.cycles]
    files = sum(1 for reach in reaches for lead in selection.lead_minutes if lead <= 60 * reach)
    return days * files * len(selection.variables) * n_points * 4


def most_partitions_of_a_year(days: int) -> int:
    """Wherever a year of 366 days begins."""
    return max(len({day // days for day in range(first, first + 366)}) for first in range(days))


ELEVEN = parse_variables(list(DEFAULT_VARIABLES))
VARIABLES = st.integers(1, 11).map(lambda n: ELEVEN[:n])
SIZES = st.integers(1, 50_000) | st.integers(1, 300)


@settings(deadline=None, max_examples=300)
@given(SIZES, LEADS, CYCLES, VARIABLES)
@example(363, tuple(range(0, 2940, 60)), ALL_RUNS, TEMPERATURE)
@example(1_000, tuple(range(0, 2940, 60)), ALL_RUNS, TEMPERATURE)
@example(1_000, tuple(range(0, 1140, 60)), ALL_RUNS, ELEVEN)
@example(50_000, tuple(range(0, 2940, 60)), ALL_RUNS, ELEVEN)
def test_a_chosen_layout_stays_within_its_limits_and_has_room(n_points, leads, cycles, variables):
    selection = Selection(variables, leads, cycles)
    layout = choose_layout(selection, n_points)
    size = point_bytes(selection, layout)
    assert layout.partition_days in (32, 16, 8, 4, 2, 1)
    assert layout.shard_bytes(selection) == layout.shard_points * size <= SHARD_BYTES
    assert partition_bytes(selection, n_points, layout.partition_days) <= PARTITION_BYTES or layout.partition_days == 1
    assert layout.shard_points % layout.chunk_points == 0
    assert layout.chunk_points in CHUNK_POINTS
    assert layout.chunk_points * size <= CHUNK_BYTES or layout.chunk_points == CHUNK_POINTS[0]
    assert min(n_points + 1, SHARD_POINTS) <= layout.shard_points <= SHARD_POINTS
    if n_points < SHARD_POINTS * 4 // 5:
        assert layout.shard_points >= n_points * 1.25 - 1, "a quarter more points fit without new objects"
    assert layout.shard_points < max(n_points * 1.25, n_points + 1) + layout.chunk_points


@settings(deadline=None, max_examples=300)
@given(SIZES, LEADS, CYCLES, VARIABLES)
@example(1_000, tuple(range(0, 2940, 60)), ALL_RUNS, ELEVEN)
def test_a_points_year_is_under_sixty_requests_unless_partitions_are_too_large(n_points, leads, cycles, variables):
    selection = Selection(variables, leads, cycles)
    layout = choose_layout(selection, n_points)
    requests = 9 + layout.requests_per_shard * most_partitions_of_a_year(layout.partition_days)
    assert requests <= 60 or partition_bytes(selection, n_points, 2 * layout.partition_days) > PARTITION_BYTES


@settings(deadline=None, max_examples=300)
@given(SIZES, LEADS, CYCLES, VARIABLES)
def test_an_update_rewrites_few_runs_or_a_single_small_chunk(n_points, leads, cycles, variables):
    selection = Selection(variables, leads, cycles)
    layout = choose_layout(selection, n_points)
    small = layout.shard_points == layout.chunk_points and layout.shard_bytes(selection) <= CHUNK_BYTES
    assert layout.partition_days * len(cycles) <= 384 or small


@settings(deadline=None, max_examples=300)
@given(SIZES, LEADS, CYCLES, VARIABLES)
def test_partitions_are_no_shorter_than_needed(n_points, leads, cycles, variables):
    """The next longer partition would be too large, or be rewritten with too many runs for what is not one chunk."""
    selection = Selection(variables, leads, cycles)
    chosen = choose_layout(selection, n_points)
    days = 2 * chosen.partition_days
    if days > 32:
        return
    longer = choose_layout(selection, n_points, partition_days=days)
    one_chunk = longer.shard_points == longer.chunk_points and longer.shard_bytes(selection) <= CHUNK_BYTES
    too_large = longer.shard_bytes(selection) > SHARD_BYTES
    too_large |= partition_bytes(selection, n_points, days) > PARTITION_BYTES
    many_runs = days * len(cycles) > 384 and not one_chunk
    chosen_has_one = chosen.shard_points == chosen.chunk_points and not one_chunk
    assert too_large or many_runs or chosen_has_one


@settings(deadline=None)
@given(
    st.integers(1, 20_000),
    st.sampled_from([0, 1, 3, 365]),
    st.sampled_from([0, 1, 7, 40, 1000, 1234]),
    st.sampled_from([0, 1, 5, 20, 300]),
)
def test_sizes_that_are_given_are_kept_and_shards_are_whole_chunks(n_points, days, shard_points, chunk_points):
    selection = Selection(TEMPERATURE, tuple(range(0, 1140, 60)))
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
    if days:
        return
    assert layout.partition_days in (32, 16, 8, 4, 2, 1)
    assert layout.shard_points * point_bytes(selection, layout) <= SHARD_BYTES or layout.partition_days == 1


@pytest.mark.parametrize(
    ("n_points", "expected"),
    [
        (1, Layout(32, 10, 10)),
        (9, Layout(16, 20, 20)),
        (20, Layout(8, 50, 50)),
        (50, Layout(16, 80, 20)),
        (800, Layout(16, 1000, 20)),
        (1000, Layout(16, 1000, 20)),
        (15_000, Layout(16, 1000, 20)),
        (25_000, Layout(8, 1000, 50)),
        (50_000, Layout(4, 1000, 100)),
    ],
)
def test_layouts_of_all_runs_with_nineteen_leads(n_points, expected):
    assert choose_layout(Selection(TEMPERATURE, tuple(range(0, 1140, 60))), n_points) == expected


def test_partitions_of_more_variables_are_shorter_once_an_update_rewrites_too_much():
    leads = tuple(range(0, 1140, 60))
    few, many = Selection(TEMPERATURE, leads), Selection(ELEVEN, leads)
    assert choose_layout(many, 1000) == choose_layout(few, 1000) == Layout(16, 1000, 20)
    assert choose_layout(few, 10_000) == Layout(16, 1000, 20)
    assert choose_layout(many, 10_000) == Layout(2, 1000, 100)


def test_lead_times_that_most_runs_do_not_reach_do_not_shorten_partitions():
    assert choose_layout(Selection(ELEVEN, tuple(range(0, 2940, 60))), 1000).partition_days == 16


def test_a_layout_says_why_it_was_chosen():
    hourly, daily = Selection(ELEVEN, tuple(range(0, 720, 60))), Selection(ELEVEN, tuple(range(0, 720, 60)), (0,))

    def reason(selection: Selection, n_points: int, **sizes: int) -> str:
        return explain_layout(choose_layout(selection, n_points, **sizes), selection, n_points)

    assert reason(hourly, 10) == "points of a shard in one chunk, read in one request and cheap to rewrite"
    assert reason(hourly, 1000) == "the shortest with which a point's year stays below 60 requests"
    assert reason(daily, 1000) == "the longest there is, as few runs are rewritten"
    assert reason(hourly, 10_000) == "the longest whose partition, which each update rewrites, is at most 512 MB raw"
    assert reason(hourly, 50_000) == "the shortest, as each update rewrites the partition"
    assert reason(hourly, 1000, partition_days=30) == "as given, or fixed when the store was made"
    assert reason(hourly, 1000, shard_points=100, chunk_points=100).startswith("points of a shard in one chunk")


def test_few_lead_times_make_chunks_of_more_points():
    for leads, expected in ((1, 20), (2, 10), (19, 10)):
        layout = choose_layout(Selection(TEMPERATURE, tuple(range(0, 60 * leads, 60))), 1000, partition_days=400)
        assert layout.chunk_points == expected
    assert choose_layout(Selection(TEMPERATURE, (0,), (0,)), 1000).chunk_points == 100
