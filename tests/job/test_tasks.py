"""What a worker does beside the pipeline's stages: it is ready before its first file, and writes one step at a time."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

from hrrr_dask.job import tasks
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
        return partition.number

    job = SimpleNamespace(job_id="a", store_url="x.zarr")
    work = SimpleNamespace(stages=SimpleNamespace(write_partition=write), job=job)
    with ThreadPoolExecutor(4) as pool:
        written = list(pool.map(lambda number: write_step(Partition(number, ()), [], work, 1), range(8)))
    assert (written, max(most)) == (list(range(8)), 1)
