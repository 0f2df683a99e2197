"""What a worker does beside the pipeline's stages: it is ready before its first file, and writes one step at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from hrrr_dask.archive.breaker import Outage
from hrrr_dask.job import tasks
from hrrr_dask.job.pipeline import PartitionReport
from hrrr_dask.job.tasks import WarmStart, write_step
from hrrr_dask.records import Partition


def test_a_worker_loads_the_decoder_and_keeps_its_memory_when_it_starts(monkeypatch):
    done: list[tuple[str, bool]] = []
    main = threading.current_thread()
    monkeypatch.setattr(tasks, "get_engine", lambda name: done.append((name, threading.current_thread() is main)))
    monkeypatch.setattr(tasks, "keep_freed_memory", lambda: done.append(("memory", threading.current_thread() is main)))
    asyncio.run(WarmStart("numba").setup(worker=None))
    assert done == [("memory", True), ("numba", False)]


def test_workers_of_one_engine_have_one_plugin():
    assert WarmStart("auto").name == WarmStart("auto").name != WarmStart("eccodes").name


def test_steps_are_written_one_at_a_time_in_a_process():
    writing, most = [], []

    def write(partition, extracts, job, attempt):
        writing.append(partition.number)
        most.append(len(writing))
        time.sleep(0.01)
        writing.remove(partition.number)
        return PartitionReport(partition.number, 0, {}, 0, 0, 0, 0.0)

    job = SimpleNamespace(job_id="a", store_url="x.zarr")
    work = SimpleNamespace(stages=SimpleNamespace(write_partition=write), job=job)
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: write_step(Partition(number, ()), [], work, 1), range(8)))
    assert ([report.number for report in written], max(most)) == (list(range(8)), 1)
    assert min(report.write_s for report in written) >= 0.01
    assert max(report.write_s for report in written) >= 0.03, (
        "a thread that waits for the commit before waits for the store"
    )


def test_the_wait_for_a_source_that_is_down_is_time_of_the_source(monkeypatch):
    events, slept = [], []
    worker = SimpleNamespace(address="w", log_event=lambda _, counts: events.append(counts))
    monkeypatch.setattr(tasks, "get_worker", lambda: worker)
    monkeypatch.setattr(tasks, "find_outage", lambda *_: Outage({"aws": "503"}, (), (), True, 9.0, 0.5))
    monkeypatch.setattr(tasks.time, "sleep", slept.append)
    job = SimpleNamespace(job_id="j", sources=(), fetch=SimpleNamespace(outage_limit_s=60.0))
    assert tasks._wait_for_source(job, 1.0)
    (counts,) = events
    assert [counts["fetch_s"]] == slept == [0.5]
    assert (counts["files"], counts["decode_s"], counts["sources_down"]) == (0, 0, {"aws": "503"})
