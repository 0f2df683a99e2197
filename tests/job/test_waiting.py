"""What a run says while nothing can be read, and when it stops: no workers, paused ones, a scheduler that hangs."""

from __future__ import annotations

import os
import signal
import threading
import time
from dataclasses import replace

import pytest
from distributed import Client, LocalCluster, Status
from support.jobs import fake_extract, make_job, make_readings, write_locally

from hrrr_dask.display.progress import Progress
from hrrr_dask.errors import RunError
from hrrr_dask.job import waiting
from hrrr_dask.job.loop import run
from hrrr_dask.job.tasks import Stages
from hrrr_dask.job.waiting import Watch, find_cause
from hrrr_dask.records import Partition

FILES = 12


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("LOOK_S", "SAY_AFTER_S", "QUIET_S"):
        monkeypatch.setattr(waiting, name, 0.1)


@pytest.fixture
def cluster():
    """A scheduler without workers; workers are threads of this process."""
    options = {"n_workers": 0, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options, protocol="tcp", memory_limit=0) as found:
        yield found


def work(cluster, name, react, limit_s=60.0, read=None, also=lambda _: None):
    """Run two steps; ``react`` is called in the main thread, and ``also`` in any. Returns result, notices, progress."""
    notices = [""]

    def show(progress):
        also(progress)
        if progress.notice != notices[-1]:
            notices.append(progress.notice)
        if threading.current_thread() is threading.main_thread():
            react(progress)

    progress = Progress(FILES)
    job = make_job(1, name)
    job.__dict__["worker_timeout_s"] = limit_s
    partitions = iter([Partition(number, make_readings(1, 24 * number)) for number in range(2)])
    with Client(cluster) as client:
        stages = Stages(read or read_file, write_locally)
        return run(client, job, partitions, progress, show, stages), notices[1:], progress


def read_file(reading, job):
    time.sleep(0.1)
    return fake_extract(reading)


HELD = threading.Event()


def read_when_released(reading, job):
    HELD.wait(60)
    return fake_extract(reading)


# Which cause is found


def test_a_cause_is_found_by_the_states_of_the_workers():
    def found(statuses, quiet_s=0.0):
        cause = find_cause(statuses, "tcp://s:1", "http://s:2/status", quiet_s)
        return cause and cause.found

    assert found(["running"]) is None
    assert found(["running", "paused"], 60) is None
    assert found([]) == "no worker is connected to the scheduler tcp://s:1"
    assert found(["paused", "paused"]) == "all 2 workers are paused"
    assert found(None) == "the scheduler tcp://s:1 does not respond"
    assert found(["running"], 121) == "no file was read or written for 120 s, by 1 workers"


def test_only_workers_that_can_work_have_no_limit():
    causes = {text: find_cause(*given) for text, given in GIVEN.items()}
    assert {text: cause.can_work for text, cause in causes.items()} == dict.fromkeys(GIVEN, False) | {"stalled": True}
    assert "http://s:2/status" in causes["stalled"].remedy
    assert "dask worker tcp://s:1" in causes["none"].remedy


GIVEN = {
    "none": ([], "tcp://s:1", "", 0.0),
    "paused": (["paused"], "tcp://s:1", "", 0.0),
    "hangs": (None, "tcp://s:1", "", 0.0),
    "stalled": (["running"], "tcp://s:1", "http://s:2/status", 1000.0),
}


# A cluster without workers


def test_a_run_without_workers_says_so_and_ends_after_the_limit(cluster):
    said = []
    ending = r"no worker is connected to .*, for 2 s \(setting worker-timeout-s\): start some"
    with pytest.raises(RunError, match=ending):
        work(cluster, "none", lambda progress: said.append((progress.waiting, progress.notice)), limit_s=2)
    address = cluster.scheduler_address
    waiting_text = f"no worker is connected to the scheduler {address}, waiting up to 2 s (setting worker-timeout-s): "
    assert said[0] == (True, "")
    assert said[-1][1].startswith(waiting_text)


def test_a_worker_that_comes_late_does_the_work(cluster):
    def react(progress):
        if progress.notice:
            cluster.scale(1)

    result, notices, progress = work(cluster, "late", react, limit_s=0)
    assert sum(report.files for report in result.reports) == FILES
    assert notices[0].startswith("no worker is connected")
    assert "waiting without a limit" in notices[0]
    assert (notices[-1], progress.waiting) == ("", False)


def test_workers_that_all_end_in_the_middle_are_missed(cluster):
    cluster.scale(1)
    ended = []

    def end(progress):
        if progress.files_done and not ended:
            ended.append(cluster.workers[0])
            cluster.loop.add_callback(cluster.workers[0].close, executor_wait=False)

    def react(progress):
        if progress.notice:
            cluster.scale(2)

    result, notices, _ = work(cluster, "middle", react, also=end)
    assert sum(report.files for report in result.reports) == FILES
    assert notices[0].startswith("no worker is connected")
    assert notices[-1] == ""


def test_an_interrupt_without_workers_commits_nothing_and_does_not_claim_to(cluster):
    seen = []

    def react(progress):
        seen.append((progress.interrupted, progress.draining))
        if progress.notice and not progress.interrupted:
            os.kill(os.getpid(), signal.SIGTERM)

    result, *_ = work(cluster, "stop", react)
    assert result == replace(result, reports=(), interrupted=True)
    assert seen[-1] == (True, False)
    assert not any(draining for _, draining in seen)


# Workers that cannot work


def test_paused_workers_are_named_and_the_run_ends_after_the_limit(cluster):
    cluster.scale(1)
    with Client(cluster) as client:
        client.wait_for_workers(1, timeout=60)
        client.run(pause)
    said = []
    with pytest.raises(RunError, match=r"all 1 workers are paused, for 2 s .*: their memory is full, or the disk"):
        work(cluster, "paused", lambda progress: said.append(progress.notice), limit_s=2)
    assert said[-1].startswith("all 1 workers are paused, waiting up to 2 s")


def pause(dask_worker):
    dask_worker.status = Status.paused


def test_work_that_stands_still_is_said_and_never_ends_the_run(cluster, monkeypatch):
    monkeypatch.setattr(waiting, "STALLED_S", 0.5)
    cluster.scale(1)
    with Client(cluster) as client:
        client.wait_for_workers(1, timeout=60)
    HELD.clear()

    def react(progress):
        if progress.notice and not HELD.is_set():
            assert not progress.waiting
            HELD.set()

    result, notices, _ = work(cluster, "stalled", react, limit_s=0.3, read=read_when_released)
    assert sum(report.files for report in result.reports) == FILES
    assert any(text.startswith("no file was read or written for 0 s, by 1 workers: the archive or") for text in notices)


# A scheduler that hangs


class HangingClient:
    """A client whose scheduler does not respond."""

    class scheduler:  # noqa: N801
        """Its connection."""

        address = "tcp://s:1"
        ncores = None

    def sync(self, call, workers, callback_timeout):
        raise self.error


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (TimeoutError(), r"the scheduler tcp://s:1 does not respond, for 0\.2 s .*: look whether it hangs"),
        (OSError("Timed out trying to connect"), "connection to the cluster's scheduler was lost"),
    ],
)
def test_a_scheduler_that_hangs_or_is_gone_ends_the_run(error, text):
    client = HangingClient()
    client.error = error
    watch = Watch(client, 0.2)
    with pytest.raises(RunError, match=text):
        look_again_and_again(watch)


def look_again_and_again(watch):
    for _ in range(50):
        watch.look(0, 0)
        time.sleep(0.02)
