"""How many files a task carries, and when another step is submitted."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import chain

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrrr_dask.errors import ConfigError
from hrrr_dask.job.batching import (
    ASSUMED_FILE_S,
    MAX_TASKS_IN_FLIGHT,
    MAX_TASKS_PER_THREAD,
    MAX_UNWRITTEN_BYTES,
    TASKS_PER_S,
    TASKS_PER_THREAD,
    InFlight,
    files_per_task,
    group,
    has_room,
    parse_files_per_task,
    tasks_ahead,
)
from hrrr_dask.records import GribFile, Reading

THREADS = st.integers(0, 20_000)
SECONDS = st.floats(0, 100)
LEADS = st.integers(1, 49)
LEFT = st.integers(0, 10**7)


@pytest.mark.parametrize("text", ["1", " 19 ", "007", "auto", "AUTO"])
def test_the_setting_is_auto_or_a_whole_number(text):
    assert parse_files_per_task(text) == (None if text.lower() == "auto" else int(text))


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "many", "²", "1,2"])
def test_another_setting_is_refused_and_told_what_it_takes(text):
    with pytest.raises(ConfigError, match="files-per-task is 'auto' or a whole number from 1 on, not"):
        parse_files_per_task(text)


@pytest.mark.parametrize(("threads", "file_s"), [(1, 0.3), (2, 0.3), (16, 0.05), (100, 0.3)])
def test_a_task_reads_one_file_on_a_laptop_and_a_small_cluster(threads, file_s):
    assert files_per_task(threads, file_s, 19, 500_000) == 1


@given(THREADS, SECONDS, LEADS, LEFT)
def test_no_fewer_files_would_do_and_more_only_if_nothing_is_lost(threads, file_s, leads, left):
    size = files_per_task(threads, file_s, leads, left)
    assert 1 <= size <= leads

    def keeps_up(size):
        return threads <= max(file_s, 1e-6) * size * TASKS_PER_S * (1 + 1e-9)

    if size > 1:
        assert not keeps_up((size - 1) * (1 - 1e-8)), "fewer would have done"
        assert left >= size * TASKS_PER_THREAD * threads, "some threads would have nothing to do"
    largest = size == leads or left < (size + 1) * TASKS_PER_THREAD * max(threads, 1)
    assert keeps_up(size) or largest


@given(st.lists(st.integers(0, 60), unique=True).map(sorted), st.integers(1, 20))
def test_a_group_is_of_one_run_and_none_is_left_out(hours, size):
    start = datetime(2024, 1, 1)
    readings = [Reading(GribFile(start + timedelta(hours=hour // 19), hour % 19), ("t",)) for hour in hours]
    groups = group(iter(readings), size)
    assert list(chain.from_iterable(groups)) == readings
    by_run: dict[datetime, list[int]] = {}
    for each in groups:
        (run,) = {reading.file.init_time for reading in each}
        by_run.setdefault(run, []).append(len(each))
    for sizes in by_run.values():
        assert max(sizes) <= size
        assert max(sizes) - min(sizes) <= 1
        assert len(sizes) == -(-sum(sizes) // size)


def test_there_is_always_a_step_that_waits_for_the_one_that_is_written():
    assert has_room(InFlight(0, 0, 0, 0), 1, 1, 10**9)
    assert has_room(InFlight(1, MAX_TASKS_IN_FLIGHT, MAX_TASKS_IN_FLIGHT, MAX_TASKS_IN_FLIGHT), 1, 1, 10**9)


@pytest.mark.parametrize(("threads", "size"), [(1, 1), (50, 1), (1000, 6)])
def test_steps_are_submitted_until_each_thread_has_its_tasks(threads, size):
    steps, unread = 2, 0
    while has_room(InFlight(steps, unread // size, unread, unread), threads, size, 4400):
        steps, unread = steps + 1, unread + 2000
    wanted = tasks_ahead(threads, size, ASSUMED_FILE_S) * size
    assert wanted <= unread < wanted + 2000


@given(THREADS, st.integers(1, 49), SECONDS)
def test_there_are_tasks_for_each_thread_and_work_enough_to_ask_for_as_many_again(threads, size, file_s):
    ahead = tasks_ahead(threads, size, file_s)
    assert TASKS_PER_THREAD * threads <= ahead <= MAX_TASKS_PER_THREAD * threads
    wanted_threads = ahead * size * file_s / 5.0  # as distributed's Scheduler.adaptive_target has it
    assert wanted_threads >= 2 * threads or ahead == MAX_TASKS_PER_THREAD * threads


def test_what_is_read_and_waits_to_be_written_is_bounded():
    held = 10 * MAX_UNWRITTEN_BYTES // 4400
    assert has_room(InFlight(9, 1000, held - 1000, 0), 10, 1, 4400)
    assert not has_room(InFlight(9, 1000, held + 1000, 0), 10, 1, 4400)
    assert not has_room(InFlight(9, MAX_TASKS_IN_FLIGHT, MAX_TASKS_IN_FLIGHT, 0), 10_000, 1, 44)
