"""The run loop on a small cluster, with stages that only tell what they were given."""

from __future__ import annotations

import os
import signal
import statistics
import time
from itertools import pairwise
from types import SimpleNamespace
from typing import NamedTuple

import dask
import pytest
from dask.utils import key_split
from distributed import Client, Future, LocalCluster, get_worker
from distributed.client import FutureCancelledError
from distributed.scheduler import KilledWorker
from support.jobs import LEADS, fake_extract, make_job, make_readings, write_locally
from support.paths import pythonpath_for

from hrrr_dask.display.progress import Progress
from hrrr_dask.errors import RunError, SourceDownError, StoreConflictError, StoreMismatchError
from hrrr_dask.job import batching
from hrrr_dask.job import loop as run_module
from hrrr_dask.job.loop import run
from hrrr_dask.job.pipeline import PartitionReport
from hrrr_dask.job.tasks import Stages
from hrrr_dask.records import Partition

DEADLY = "20240101T01-f04"


class Done(NamedTuple):
    """What a worker did, and with which task."""

    what: str
    key: str
    labels: tuple[str, ...]
    began: float
    ended: float
    place: tuple[int, int] = (0, 0)


DONE: list[Done] = []
"""Of workers that live in this process."""


@pytest.fixture(autouse=True)
def _forget():
    DONE.clear()


@pytest.fixture(scope="module")
def client():
    """Two workers that are threads of this process."""
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=False, protocol="tcp", dashboard_address=":0"
        ) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


def work(client, partitions, name, *, files_per_task=1, show=None, fetch=None, **stages):
    partitions = list(partitions)
    progress = Progress(sum(len(partition.readings) for partition in partitions))
    told = Stages(**{"extract_file": read, "write_partition": write} | stages)
    return run(
        client,
        make_job(files_per_task, name, **(fetch or {})),
        iter(partitions),
        progress,
        show or (lambda _: None),
        told,
    ), progress


# Stages: importable by name, as the workers want them


def read(reading, job):
    began = time.perf_counter()
    time.sleep(0.002)
    DONE.append(Done("read", str(get_worker().get_current_task()), (reading.file.label,), began, time.perf_counter()))
    return fake_extract(reading)


def write(partition, extracts, job, attempt):
    began = time.perf_counter()
    time.sleep(0.02)
    labels = tuple(extract.outcome.file.label for extract in extracts)
    place = (partition.number, partition.step)
    DONE.append(Done("write", str(get_worker().get_current_task()), labels, began, time.perf_counter(), place))
    gaps = {e.outcome.file.label: 1 for e in extracts if e.outcome.reasons}
    return PartitionReport(partition.number, len(labels), gaps, 0, 0, 0, 0.0)


def read_instantly(reading, job):
    DONE.append(Done("read", str(get_worker().get_current_task()), (reading.file.label,), 0, 0))
    return fake_extract(reading)


def read_with_a_fault(reading, job):
    if reading.file.label == DEADLY:
        raise ZeroDivisionError("our own fault")
    return read(reading, job)


def read_first(reading, job):
    if reading.file.init_time.day > 1 or reading.file.lead_hours >= 3:
        raise SourceDownError("no source responds")
    return read(reading, job)


def read_slowly_at_the_end(reading, job):
    if reading.file.init_time.hour >= 2 and reading.file.lead_hours >= 3:
        time.sleep(0.5)
    return read(reading, job)


def read_and_refuse(reading, job):
    raise StoreMismatchError("another store")


def hand_on_the_second_time(work):
    key = str(get_worker().get_current_task())
    if key.endswith("-0"):
        raise KilledWorker(key, SimpleNamespace(address="tcp://gone"), 3)
    return work


def read_or_die(reading, job):
    if reading.file.lead_hours == 4 and reading.file.init_time.hour < 2:
        os._exit(139)
    return fake_extract(reading)


def write_into_a_conflict(partition, extracts, job, attempt):
    report = write(partition, extracts, job, attempt)
    if (partition.step == 0 and attempt == 1) or job.job_id == "always":
        raise StoreConflictError("another writer")
    return report


def done(what):
    return [each for each in DONE if each.what == what]


def files_of_tasks():
    tasks: dict[str, list[str]] = {}
    for each in done("read"):
        tasks.setdefault(each.key, []).extend(each.labels)
    return tasks


# What is read and written


@pytest.mark.parametrize("files_per_task", [1, 4, 19])
def test_every_file_is_read_once_and_written_with_its_step(client, files_per_task):
    partitions = [
        Partition(0, make_readings(3)),
        Partition(1, make_readings(2, 24)),
        Partition(1, make_readings(1, 26), step=1),
    ]
    result, progress = work(client, partitions, f"once{files_per_task}", files_per_task=files_per_task)
    labels = [reading.file.label for partition in partitions for reading in partition.readings]
    assert sorted(label for each in done("read") for label in each.labels) == labels
    written = {each.place: each.labels for each in done("write")}
    assert written == {
        (partition.number, partition.step): tuple(reading.file.label for reading in partition.readings)
        for partition in partitions
    }
    assert sorted(report.files for report in result.reports) == [6, 12, 18]
    assert (result.interrupted, progress.partitions_done) == (False, 3)
    tasks = files_of_tasks()
    assert {len(files) for files in tasks.values()} == {{1: 1, 4: 3, 19: 6}[files_per_task]}
    for key, files in tasks.items():
        assert key.startswith(f"extract-{files[0]}-once")
        assert len({label.partition("-")[0] for label in files}) == 1, "of one run"


def test_the_dashboard_has_a_bar_for_each_stage(client):
    work(client, [Partition(0, make_readings(2)), Partition(0, make_readings(1, 2), step=1)], "bars", files_per_task=2)
    assert {key_split(each.key) for each in done("read")} == {"extract"}
    assert {key_split(each.key) for each in done("write")} == {"write"}


def test_progress_counts_files_however_many_a_task_has(client):
    seen = []
    _, progress = work(
        client, [Partition(0, make_readings(8))], "progress", files_per_task=5, show=lambda p: seen.append(p.files_done)
    )
    for _ in range(100):  # the last event may come after the report
        if progress.files_done == 48:
            break
        time.sleep(0.02)
    assert (progress.files_done, progress.bytes_read, progress.gaps) == (48, 7 * 48, 0)
    assert progress.fetch_s + progress.decode_s == pytest.approx(48 * 0.001)
    assert (progress.committed.files, progress.partitions_done, progress.threads) == (48, 1, 2)
    assert progress.write_s >= 0.02
    assert progress.core_s >= 2 * 0.02
    assert seen == sorted(seen)


def test_tasks_carry_more_once_files_are_seen_to_be_quick(client):
    partitions = [Partition(number, make_readings(20 if number < 14 else 5, 24 * number)) for number in range(15)]
    work(client, partitions, "auto", files_per_task=0, extract_file=read_instantly)
    tasks = files_of_tasks()
    sizes = {reading.file.label: 0 for partition in partitions for reading in partition.readings}
    for files in tasks.values():
        sizes |= dict.fromkeys(files, len(files))
    first, middle, last = (
        {sizes[reading.file.label] for reading in partitions[number].readings} for number in (0, 13, 14)
    )
    assert first == {1}, "nothing was measured"
    assert middle == {6}
    assert max(last) <= 3, "at the end there is some for every thread"


# The window


def test_the_client_holds_a_window_and_never_the_archive(client, monkeypatch):
    monkeypatch.setattr(batching, "MAX_UNWRITTEN_BYTES", 60 * 2 * 5 * 4)  # for each of two threads
    drawn: list[int] = []
    written_at_draw = []

    def draw():
        for number in range(30):
            drawn.append(number)
            written_at_draw.append(len(done("write")))
            yield Partition(number, make_readings(4, 24 * number))

    result = run(client, make_job(2, "window"), draw(), Progress(720), lambda _: None, Stages(read, write))
    assert len(result.reports) == 30
    ahead = [number - written for number, written in zip(drawn, written_at_draw, strict=True)]
    assert max(ahead) <= 120 / 24 + 1


def test_the_oldest_step_is_read_first(client):
    partitions = [Partition(0, make_readings(10)), Partition(1, make_readings(10, 24))]
    work(client, partitions, "oldest")
    order = [each.labels[0] for each in done("read")]
    wanted = sorted(order)
    assert sum(label in wanted[:60] for label in order[:60]) >= 55


def test_what_is_read_is_written_before_what_waits_to_be_read():
    """Also where the scheduler keeps no queue, and hundreds of files wait on the workers themselves."""
    partitions = [Partition(n, make_readings(2, 24 * n)) for n in range(20)]
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with (
        dask.config.set({"distributed.scheduler.worker-saturation": "inf"}),
        LocalCluster(**options, protocol="tcp") as cluster,
        Client(cluster) as client,
    ):
        work(client, partitions, "waits")
    reads, between = done("read"), []
    for write_ in done("write"):
        last = max(each.ended for each in reads if each.labels[0] in write_.labels)
        between.append(sum(last < each.began < write_.began for each in reads))
    # Files begin while the scheduler hears of the last one, each for a few milliseconds: how many is the machine's.
    assert statistics.median(between) <= 8, "of two threads, while hundreds wait"
    assert max(between) < len(reads) / 8


def test_steps_of_one_partition_are_written_one_after_the_other_and_partitions_at_once(client):
    partitions = [Partition(n, make_readings(1, 24 * n + s), step=s) for n in range(2) for s in range(5)]
    work(client, partitions, "steps")
    writes = sorted(done("write"), key=lambda each: each.began)
    for number in range(2):
        own = [each for each in writes if each.place[0] == number]
        assert [each.place[1] for each in own] == list(range(5))
        assert all(before.ended <= after.began for before, after in pairwise(own))


def test_a_step_that_is_tried_again_lets_no_later_step_pass(client):
    partitions = [Partition(0, make_readings(1, s), step=s) for s in range(4)]
    result, _ = work(client, partitions, "again", write_partition=write_into_a_conflict)
    assert len(result.reports) == 4
    assert [each.place[1] for each in sorted(done("write"), key=lambda each: each.began)] == [0, 0, 1, 2, 3]
    assert len(done("read")) == 4 * LEADS, "nothing is read twice"


# What goes wrong


def test_our_own_fault_on_one_file_of_a_task_is_a_gap_of_that_file_only(client):
    result, _ = work(
        client, [Partition(0, make_readings(3))], "fault", files_per_task=6, extract_file=read_with_a_fault
    )
    assert result.reports[0].gaps == {DEADLY: 1}
    assert result.reports[0].files == 18


def test_a_write_that_never_succeeds_ends_the_run(client):
    with pytest.raises(RunError, match=r"partition 20240101 failed at attempt 3 with StoreConflictError: another"):
        work(client, [Partition(0, make_readings(1))], "always", write_partition=write_into_a_conflict)
    assert len(done("write")) == 3
    assert len(done("read")) == LEADS


def test_a_scheduler_that_is_lost_before_a_result_is_fetched_is_said_in_words(client, monkeypatch):
    def cancelled(future, timeout=None):
        raise FutureCancelledError(future.key, "scheduler-connection-lost")

    monkeypatch.setattr(Future, "result", cancelled)
    with pytest.raises(RunError, match=r"connection to the cluster's scheduler was lost: .*same command again"):
        work(client, [Partition(0, make_readings(1))], "lost")


def test_a_store_that_refuses_ends_the_run_at_once(client):
    with pytest.raises(StoreMismatchError, match="another store"):
        work(client, [Partition(0, make_readings(1))], "refuses", extract_file=read_and_refuse)
    assert not done("write")


def test_an_interrupt_commits_the_tasks_that_are_finished(client):
    def interrupt(progress):
        # A worker tells its counts before its task has ended: 2 of the 6 tasks that count may still run.
        if progress.files_done >= 3 * LEADS and not progress.draining:
            os.kill(os.getpid(), signal.SIGINT)

    partitions = [Partition(0, make_readings(8)), Partition(1, make_readings(8, 24))]
    result, progress = work(
        client,
        partitions,
        "stop",
        files_per_task=3,
        show=interrupt,
        extract_file=read_slowly_at_the_end,
    )
    assert result.interrupted
    assert progress.draining
    written = [label for each in done("write") for label in each.labels]
    assert 2 * LEADS <= len(written) == sum(report.files for report in result.reports) < 16 * LEADS
    whole = {tuple(files) for files in files_of_tasks().values() if len(files) == 3}
    assert {label for files in whole for label in files} >= set(written)
    assert len(written) % 3 == 0


@pytest.mark.timeout(60)
def test_without_a_source_the_run_ends_in_time_and_commits_what_is_read(client):
    """The limit also holds where this process does not see the outage, as when a child process reads the file."""
    partitions = [Partition(0, make_readings(1)), Partition(1, make_readings(1, 24))]
    with pytest.raises(SourceDownError, match="no source responds"):
        work(client, partitions, "nowhere", fetch={"outage_limit_s": 1.0}, extract_file=read_first)
    written = sorted(label for each in done("write") for label in each.labels)
    assert "20240101T00-f00" in written
    assert set(written) <= {label for each in done("read") for label in each.labels}


def test_what_all_tasks_need_is_given_anew_when_its_workers_ended_and_no_file_is_blamed(client, monkeypatch):
    """Once all workers that have it end, whoever makes it again may end as well: it is no fault of the files."""
    monkeypatch.setattr(run_module, "share_work", hand_on_the_second_time)
    result, _ = work(client, [Partition(0, make_readings(3))], "given")
    assert (result.reports[0].files, result.reports[0].gaps) == (18, {})
    assert len(done("read")) == 18


def test_files_that_kill_their_worker_are_the_only_gaps_of_their_tasks(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", pythonpath_for(__file__))  # for the process of its own
    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),
        LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        result, _ = work(
            client,
            [Partition(0, make_readings(4))],
            "killers",
            files_per_task=6,
            extract_file=read_or_die,
            write_partition=write_locally,
        )
    (report,) = result.reports
    assert report.gaps == {"20240101T00-f04": 1, DEADLY: 1}
    assert report.files == 24
