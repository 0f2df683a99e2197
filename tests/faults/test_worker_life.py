"""Workers join, drain and are killed: nothing that is committed is lost, and few files are read twice."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import Client, LocalCluster, Scheduler, Worker, get_worker
from support.jobs import LEADS, fake_extract, make_job, make_readings, write_locally
from support.oracle import cli_command, ledger_keys, object_digests, run_cli, without_dask, write_points
from support.paths import pythonpath_for

import hrrr_dask
from hrrr_dask.display.progress import Progress
from hrrr_dask.errors import ConfigError
from hrrr_dask.job import backfill as job_backfill
from hrrr_dask.job import pipeline
from hrrr_dask.job.loop import run
from hrrr_dask.job.tasks import Stages
from hrrr_dask.ledger.ledger import to_dataframe
from hrrr_dask.preload import GRACE_VARIABLE, Drain, grace_s
from hrrr_dask.records import Partition
from hrrr_dask.testing import GridWindow, write_archive

DASK = Path(sys.executable).with_name("dask")
PRELOAD = ("--preload", "hrrr_dask.preload")
NANNY = (*PRELOAD, "--preload-nanny", "hrrr_dask.preload")
ALONE = (*PRELOAD, "--no-nanny")

WINDOW = GridWindow(288, 794, 8, 10)
PLACES = np.column_stack(WINDOW.latlon(np.array([2.2, 5.7]), np.array([3.1, 8.2]))).tolist()
DAYS = 4
FILES = DAYS * 24 * 2
NAME = "temperature_2m"
GREEDY = "20240102T03-f01"


# How files are read here: importable by name on the workers


def read_and_note(reading, job):
    with Path(os.environ["NOTES"]).open("a") as notes:
        notes.write(f"{reading.file.label} {os.getpid()}\n")
    time.sleep(0.03)
    return pipeline.extract_file(reading, job)


def read_greedily(reading, job):
    if reading.file.label == GREEDY:
        taken = bytearray(b"x") * (1 << 30)
        time.sleep(5)
        del taken
    return read_and_note(reading, job)


BEGUN: list[str] = []
RELEASE = threading.Event()
"""For workers that are threads of this process."""


def stick_once(number):
    stuck = number == 5 and "stuck" not in BEGUN
    BEGUN.extend([get_worker().address, "stuck"] if stuck else [get_worker().address])
    if stuck:
        RELEASE.wait(60)
    return number


# An archive, clusters, and a backfill on them


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """The request, and the store of an undisturbed run."""
    root = tmp_path_factory.mktemp("life")
    times = {"start": datetime(2024, 1, 1), "end": datetime(2024, 1, DAYS, 23)}
    write_archive(root / "archive", **times, lead_hours=[0, 1], variables=[NAME], decoys=False, window=WINDOW)
    asked = {"points": write_points(root / "points.csv", PLACES), "start": "2024-01-01", "end": f"2024-01-{DAYS:02}"}
    asked |= {"source": [str(root / "archive")], "lead_hours": "0-1", "variables": NAME, "partition_days": 1}
    asked |= {"axis_start": "2024-01-01", "engine": "eccodes"}  # eccodes starts sooner
    with without_dask() as client:
        report = hrrr_dask.backfill(store=str(root / "undisturbed.zarr"), client=client, **asked)
    assert (report.outcome, report.files_read) == ("done", FILES)
    return SimpleNamespace(asked=asked, undisturbed=object_digests(root / "undisturbed.zarr"))


@pytest.fixture
def notes(monkeypatch, tmp_path):
    """Where workers started here record the files that they read."""
    path = tmp_path / "notes.txt"
    monkeypatch.setenv("NOTES", str(path))
    monkeypatch.setenv("PYTHONPATH", pythonpath_for(__file__))
    return path


@contextmanager
def scheduler():
    """A scheduler in this process with a permanent worker, which others join."""
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options, protocol="tcp", silence_logs=50) as cluster, Client(cluster) as client:
        yield client


@contextmanager
def workers(client, directory, *groups):
    """Start ``dask worker`` with each group of options, and wait for them."""
    with (directory / "log.txt").open("ab") as log:
        words = [DASK, "worker", client.scheduler.address, "--no-dashboard", "--nthreads", "2"]
        started = [subprocess.Popen([*words, *options], stdout=log, stderr=log, cwd=directory) for options in groups]
    try:
        client.wait_for_workers(1 + len(groups), timeout=100)
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


def backfill(work, client, notes, watch, read=read_and_note):
    """Run a backfill while ``watch`` runs, and compare the store. Returns report, reads of each file, readers."""

    def run_slowly(*arguments):
        return run(*arguments, Stages(read))

    store = notes.with_name("x.zarr")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job_backfill, "run", run_slowly)
        report = hrrr_dask.backfill(store=str(store), client=client, progress=watch, **work.asked)
    assert (report.outcome, report.files_read) == ("done", FILES)
    assert object_digests(store) == work.undisturbed
    read = [line.split() for line in notes.read_text().splitlines()]
    times = Counter(label for label, _ in read)
    assert len(times) == FILES
    return times, {int(pid) for _, pid in read}


# Ending in good order


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_workers_that_are_told_to_end_hand_over_what_they_have_and_no_file_is_read_twice(work, notes, tmp_path, number):
    with scheduler() as client, workers(client, tmp_path, NANNY, ALONE) as ending:
        told: list[None] = []

        def end(progress):
            if progress.files_done > 60 and not told:
                told.extend(process.send_signal(number) for process in ending)

        times, pids = backfill(work, client, notes, end)
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


# Coming and going with the work


READ: list[tuple[str, str]] = []
"""Files and their readers, for workers that are threads of this process."""


def readers():
    return {reader for _, reader in READ}


def read_until_three_did(reading, job):
    READ.append((reading.file.label, get_worker().address))
    time.sleep(0.1 if len(readers()) < 3 else 0.002)
    return fake_extract(reading, 0.1)


@pytest.mark.parametrize("way", ["scaled", "adaptive"])
def test_workers_that_come_get_work_and_what_those_that_go_have_read_is_not_read_again(way):
    """One worker, then three, then one. Steps are small: only the tasks in flight give several workers work."""
    READ.clear()
    partitions = []

    def draw():
        while len(partitions) < 100 and (len(readers()) < 3 or len(partitions) % 20):
            partitions.append(Partition(len(partitions), make_readings(2, 24 * len(partitions))))
            yield partitions[-1]

    def scale(progress):
        here = threading.current_thread() is threading.main_thread()  # other threads may not wait for a response
        if way == "adaptive" or not here or progress.files_done < 10:
            return
        if len(readers()) < 3:
            cluster.scale(3)
        elif len(client.nthreads()) > 1:  # LocalCluster.scale(1) would not hand over results
            client.retire_workers(workers=list(client.nthreads())[1:])

    options = {"n_workers": 1, "threads_per_worker": 4, "processes": False, "dashboard_address": ":0"}
    with LocalCluster(**options, protocol="tcp") as cluster, Client(cluster) as client:
        if way == "adaptive":
            cluster.adapt(minimum=1, maximum=3, interval="100ms")
        stages = Stages(read_until_three_did, write_locally)
        result = run(client, make_job(1, way), draw(), Progress(100 * 2 * LEADS), scale, stages)
        for _ in range(200):
            if len(client.nthreads()) == 1:
                break
            time.sleep(0.05)
        assert len(client.nthreads()) == 1
    times = Counter(label for label, _ in READ)
    assert len(readers()) >= 3
    assert set(times) == {reading.file.label for partition in partitions for reading in partition.readings}
    assert sum(report.files for report in result.reports) == len(times)
    assert sum(times.values()) - len(times) <= 12, "more was read again than what they were at"


# Being killed


@pytest.fixture(scope="module")
def killable():
    """Two workers that are restarted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", pythonpath_for(__file__))
        options = {"n_workers": 2, "threads_per_worker": 1, "memory_limit": "900MB", "dashboard_address": ":0"}
        with LocalCluster(**options, silence_logs=50) as cluster, Client(cluster) as client:
            yield client


def set_notes(path):
    os.environ["NOTES"] = path


def suspect_after(n_ends, dask_scheduler):
    dask_scheduler.allowed_failures = n_ends


def test_a_worker_that_is_killed_is_started_again_and_only_what_it_had_is_read_twice(work, notes, killable):
    killable.run(set_notes, str(notes))
    killable.run_on_scheduler(suspect_after, 1)
    victim = list(killable.run(os.getpid).values())[:1]

    def kill(progress):
        if progress.partitions_done and victim:
            os.kill(victim.pop(), signal.SIGKILL)

    times, _ = backfill(work, killable, notes, kill)
    assert max(times.values()) <= 2


def end_its_life(dask_worker):
    """Simulate the end of a lifetime with ``--lifetime-restart``."""
    dask_worker.loop.call_later(0, dask_worker.close_gracefully, True)


def test_a_worker_that_ends_its_lifetime_and_comes_back_loses_nothing(work, notes, killable):
    killable.run(set_notes, str(notes))
    (old, *_) = killable.run(os.getpid).values()
    (ends, *_) = living = list(killable.run(os.getpid))

    def end(progress):
        here = threading.current_thread() is threading.main_thread()  # other threads may not wait for a response
        if here and progress.partitions_done and living:
            living.clear()
            killable.run(end_its_life, workers=[ends])

    times, _ = backfill(work, killable, notes, end)
    assert sum(times.values()) - FILES <= 2, "more was read again than what it was at"
    killable.wait_for_workers(2, timeout=60)
    assert old not in killable.run(os.getpid).values()


def test_a_file_that_takes_more_memory_than_a_worker_has_is_the_only_gap(work, notes, killable, monkeypatch):
    """The nanny stops the worker; the file is then read in a child process with the same limit."""
    killable.run(set_notes, str(notes))
    killable.run_on_scheduler(suspect_after, 0)
    monkeypatch.setattr(job_backfill, "run", lambda *arguments: run(*arguments, Stages(read_greedily)))
    store = str(notes.with_name("x.zarr"))
    report = hrrr_dask.backfill(store=store, client=killable, **work.asked)
    assert (report.gaps, report.first_files_with_gaps) == ({"poisoned": 1}, (GREEDY,))
    assert report.exit_code == 3
    frame = to_dataframe(store)
    (lost,) = frame[frame.outcome != "complete"].itertuples()
    assert f"{lost.init_time:%Y%m%dT%H}-f{lost.lead_hours:02}" == GREEDY
    assert lost.detail == "reading this file crashes its process with code 1: MemoryError"
    assert len(frame) == FILES


def test_without_its_scheduler_a_command_ends_in_words_and_with_another_one_it_does_the_rest(work, tmp_path):
    store = tmp_path / "x.zarr"
    with remote(tmp_path / "remote") as (address, processes):
        started = subprocess.Popen(
            cli_command("backfill", store=store, cluster=address, json=True, **work.asked),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not ledger_keys(store):
            assert started.poll() is None, started.communicate()
            time.sleep(0.002)
        processes[0].kill()
        stdout, stderr = started.communicate(timeout=60)
    assert started.returncode == 1
    said = json.loads(stdout)["error"]
    assert said["code"] == "run"
    assert said["text"].startswith("the connection to the cluster's scheduler was lost: look whether it runs, then")
    assert f"error: {said['text']}" in stderr
    assert "Traceback" not in stderr
    assert len(stderr.splitlines()) < 10
    committed = hrrr_dask.status(str(store)).files_complete
    assert 0 < committed < FILES, "the kill came too late to show anything"

    with scheduler() as another:
        address = another.scheduler.address
        code, report, stderr = run_cli("backfill", store=store, cluster=address, json=True, **work.asked)
    assert (code, report["files_done_before"], report["files_read"]) == (0, committed, FILES - committed), stderr
    assert object_digests(store) == work.undisturbed


@contextmanager
def remote(directory):
    """A scheduler and a worker as commands; returns the address and the processes."""
    directory.mkdir()
    file = directory / "scheduler.json"
    words = {"scheduler": ["--host", "127.0.0.1", "--port", "0"], "worker": ["--nthreads", "1", "--no-nanny"]}
    with (directory / "log.txt").open("ab") as log:
        processes = [
            subprocess.Popen(
                [DASK, kind, "--no-dashboard", "--scheduler-file", file, *options],
                stdout=log,
                stderr=log,
                cwd=directory,
            )
            for kind, options in words.items()
        ]
    try:
        with Client(scheduler_file=str(file), timeout=60) as client:
            client.wait_for_workers(1, timeout=60)
            address = client.scheduler.address
        yield address, processes
    finally:
        for process in processes:
            process.kill()
            process.wait()
