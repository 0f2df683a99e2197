"""Workers come, end in good order, and are killed: nothing that is committed is lost, and little is read twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from distributed import Client, LocalCluster, Scheduler, Worker, get_worker
from test_run import LEADS, make_job, readings

from hrrr_dask.errors import ConfigError
from hrrr_dask.pipeline import PartitionReport
from hrrr_dask.preload import GRACE_VARIABLE, Drain, grace_s
from hrrr_dask.records import Extract, FileOutcome, Partition
from hrrr_dask.run import Progress, run
from hrrr_dask.tasks import Stages

HERE = Path(__file__).parent
DASK = Path(sys.executable).with_name("dask")
PRELOAD = ("--preload", "hrrr_dask.preload")
NANNY = (*PRELOAD, "--preload-nanny", "hrrr_dask.preload")


# Stages: importable by name on the workers; the job's URL says where to note what was read


def read_and_note(reading, job):
    with Path(job.store_url).open("a") as notes:
        notes.write(f"{reading.file.label} {os.getpid()}\n")
    time.sleep(0.05)
    return Extract(np.zeros((2, 5), np.float32), FileOutcome(reading.file, reading.variables, {}))


def write_nothing(partition, extracts, job, attempt):
    return PartitionReport(partition.number, len(extracts), {}, 0, 0, 0, 0.0)


BEGUN: list[str] = []
RELEASE = threading.Event()
"""Of workers that live in this process."""


def stick_once(number):
    stuck = number == 5 and "stuck" not in BEGUN
    BEGUN.extend([get_worker().address, "stuck"] if stuck else [get_worker().address])
    if stuck:
        RELEASE.wait(60)
    return number


# Clusters


@pytest.fixture(scope="module")
def client():
    """A scheduler of this process, to which workers come."""
    with (
        LocalCluster(n_workers=0, processes=False, protocol="tcp", dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as connected,
    ):
        yield connected


@contextmanager
def workers(client, directory, *groups):
    """Start ``dask worker`` with each group of options, and wait for them."""
    environment = os.environ | {"PYTHONPATH": str(HERE)}
    with (directory / "log.txt").open("ab") as log:
        started = [
            subprocess.Popen(
                [DASK, "worker", client.scheduler.address, "--no-dashboard", *options],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=directory,
            )
            for options in groups
        ]
    try:
        client.wait_for_workers(len(groups), timeout=60)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def backfill(client, directory, n_runs, read, watch):
    """Read so many runs; ``watch`` is called as it goes. Gives the reports, and how often each file was read."""
    job = make_job(1, directory.name)
    job.__dict__["store_url"] = str(directory / "notes.txt")
    partitions = [Partition(number, readings(n_runs, 24 * number)) for number in range(2)]
    progress = Progress(2 * n_runs * LEADS)
    result = run(client, job, iter(partitions), progress, watch, Stages(read, write_nothing))
    assert sum(report.files for report in result.reports) == 2 * n_runs * LEADS
    notes = [line.split() for line in Path(job.store_url).read_text().splitlines()]
    times = Counter(label for label, _ in notes)
    assert set(times) == {reading.file.label for partition in partitions for reading in partition.readings}
    return times, {int(pid) for _, pid in notes}


# Ending in good order


def test_workers_that_are_told_to_end_hand_over_what_they_have_and_no_file_is_read_twice(client, tmp_path):
    alone = (*PRELOAD, "--no-nanny")
    with workers(client, tmp_path, NANNY, alone, alone) as (*ending, _):
        told: list[None] = []

        def end(progress):
            if progress.files_done > 30 and not told:
                told.extend(process.send_signal(signal.SIGTERM) for process in ending)

        times, pids = backfill(client, tmp_path, 10, read_and_note, end)
        assert [process.wait(timeout=60) for process in ending] == [0, 0]
    assert (set(times.values()), len(pids)) == ({1}, 3)
    assert (tmp_path / "log.txt").read_text().count("0 tasks given back unfinished, results handed over") == 2


def test_what_a_worker_cannot_end_in_its_grace_time_is_given_back():
    async def drain_the_stuck_one():
        async with (
            Scheduler(host="127.0.0.1", port=0, dashboard_address=":0") as scheduler,
            Worker(scheduler.address, host="127.0.0.1", nthreads=1) as a,
            Worker(scheduler.address, host="127.0.0.1", nthreads=1) as b,
            Client(scheduler.address, asynchronous=True) as client,
        ):
            futures = client.map(stick_once, range(10), pure=False)
            while "stuck" not in BEGUN:
                await asyncio.sleep(0.01)
            stuck = a if a.address == BEGUN[BEGUN.index("stuck") - 1] else b
            await asyncio.gather(Drain(stuck, 1.0).once(), Drain(stuck, 1.0).once())
            results = await client.gather(futures)
            left = list(scheduler.workers)
            RELEASE.set()
            return results, stuck.address, left

    results, stuck, left = asyncio.run(drain_the_stuck_one())
    assert results == list(range(10))
    assert stuck not in left
    assert len(BEGUN) == 10 + 1 + 1, "only what stuck was begun twice"


@pytest.mark.parametrize("text", ["", "soon", "-1", "nan", "inf"])
def test_a_grace_time_is_a_number_of_seconds(monkeypatch, text):
    monkeypatch.setenv(GRACE_VARIABLE, text)
    with pytest.raises(ConfigError, match=f"{GRACE_VARIABLE} is a number of seconds from 0 on, not '{text}'"):
        grace_s()
