"""What a worker does for a task: thin adapters of the pipeline's two stages."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

from distributed import Worker, WorkerPlugin, get_worker

from hrrr_dask.decode import COMPILED, engine_named
from hrrr_dask.errors import StoreError, UsageError
from hrrr_dask.job import pipeline
from hrrr_dask.job.pipeline import Job, PartitionReport, failed_extract
from hrrr_dask.malloc import keep_freed_memory
from hrrr_dask.records import Extract, Partition, Reading

__all__ = [
    "Counts",
    "Stages",
    "WarmStart",
    "Work",
    "extract_alone",
    "extract_files",
    "hand_on",
    "topic_of",
    "write_step",
]

_WRITING: Final = threading.Lock()

TELL_S: Final = 0.2
"""How long a task with several files may keep what it has done to itself [s]."""

_LEAST_BYTES: Final = 256 << 20
"""What a process that reads a file takes without having a large one [B]."""

Counts = dict[str, float]
"""What a worker tells as it goes: files, gaps, bytes_read, and seconds that the files took."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The two functions that the workers call; others stand in for them where only the run loop is of interest.

    Both must be importable by name on the workers.
    """

    extract_file: Callable[[Reading, Job], Extract] = pipeline.extract_file
    """From a file to its values."""
    write_partition: Callable[[Partition, Sequence[Extract], Job, int], PartitionReport] = pipeline.write_partition
    """From the values of a step to the store; the last argument tells attempts apart."""


@dataclass(frozen=True, slots=True)
class Work:
    """What is the same for all tasks of a run, sent to a worker once."""

    job: Job
    """What the stages need to know."""
    named: bytes
    """The stages, as pickle spells their names: each process finds its own."""

    @classmethod
    def of(cls, job: Job, stages: Stages) -> Work:
        """Spell the names."""
        return cls(job, pickle.dumps(stages))

    @property
    def stages(self) -> Stages:
        """What is done."""
        found: Stages = pickle.loads(self.named)  # noqa: S301  written by our own client
        return found


def topic_of(job: Job) -> str:
    """Under which name the workers tell what they have done."""
    return f"hrrr-{job.job_id}"


class WarmStart(WorkerPlugin):  # type: ignore[misc]  # distributed says Any
    """Each worker, those that join later too, loads the decoder before its first file comes, and keeps its memory.

    Parameters
    ----------
    engine : str
        Decoder; the compiled one takes a second to load, and three where it was never compiled before.
    """

    def __init__(self, engine: str) -> None:
        self.name = f"hrrr-dask-warm-start-{engine}"
        self._engine = engine

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Load it on a thread, so that the worker goes on to answer."""
        keep_freed_memory()
        await asyncio.to_thread(_load, self._engine)


def _load(engine: str) -> None:
    if engine in COMPILED:
        from hrrr_dask.decode.kernel_cache import seed_kernel_cache  # noqa: PLC0415  numba takes a while to import

        seed_kernel_cache()
    engine_named(engine)


def hand_on(work: Work) -> Work:
    """Give back the work as a task's result: computed again wherever a worker is lost."""
    return work


def extract_files(readings: Sequence[Reading], work: Work) -> list[Extract]:
    """Read some files one after the other; what goes wrong with one is in its outcome."""
    extracts: list[Extract] = []
    extract_file = work.stages.extract_file
    told, since = 0, time.perf_counter()
    for reading in readings:
        extracts.append(_guarded(extract_file, reading, work.job))
        now = time.perf_counter()
        if now - since > TELL_S or len(extracts) == len(readings):
            _tell(extracts[told:], now - since, work.job)
            told, since = len(extracts), now
    return extracts


def extract_alone(readings: Sequence[Reading], work: Work) -> list[Extract]:
    """Read a file in a process of its own: it was being read, or waiting its turn, when a worker ended.

    The blame is exact then, and the worker lives on. A worker that has a nanny may not use multiprocessing.
    """
    (reading,), began = readings, time.perf_counter()
    extract = _guarded(lambda reading, job: _in_a_child(reading, job, work.named), reading, work.job)
    _tell([extract], time.perf_counter() - began, work.job)
    return [extract]


def write_step(
    partition: Partition, extracts: Iterable[Iterable[Extract]], work: Work, attempt: int
) -> PartitionReport:
    """Commit a step of a partition; one at a time in a process, whose memory is planned for that."""
    with _WRITING:
        return work.stages.write_partition(partition, list(chain.from_iterable(extracts)), work.job, attempt)


def _guarded(extract_file: Callable[[Reading, Job], Extract], reading: Reading, job: Job) -> Extract:
    try:
        return extract_file(reading, job)
    except (StoreError, UsageError):
        raise  # nothing that is wrong with this one file
    except Exception:  # noqa: BLE001  our own fault on one file must not end the run: it is in the ledger
        return failed_extract(reading, job, traceback.format_exc(limit=-5))


def _tell(extracts: Sequence[Extract], seconds: float, job: Job) -> None:
    counts: Counts = {
        "files": len(extracts),
        "gaps": sum(len(extract.outcome.reasons) for extract in extracts),
        "bytes_read": sum(extract.outcome.bytes_read for extract in extracts),
        "seconds": seconds,
    }
    get_worker().log_event(topic_of(job), counts)


_CHILD: Final = """\
import pickle, resource, sys
if limit := int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
named, reading, job = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(pickle.loads(named).extract_file(reading, job)))
"""


def _memory_left(worker: Worker) -> int:
    """What a thread's child may take of the worker's memory: more, and a pod would be killed with the worker in it.

    0 stands for any [B].
    """
    limit, used = int(worker.memory_manager.memory_limit or 0), int(worker.monitor.get_process_memory())
    return max((limit - used) // int(worker.state.nthreads), _LEAST_BYTES) if limit else 0


def _in_a_child(reading: Reading, job: Job, named: bytes) -> Extract:
    command, given = (
        [sys.executable, "-c", _CHILD, str(_memory_left(get_worker()))],
        pickle.dumps((named, reading, job)),
    )
    child = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        told = f"reading this file ends its process with code {child.returncode}: {last}"
        return failed_extract(reading, job, told, "poisoned")
    extract: Extract = pickle.loads(child.stdout)  # noqa: S301  written by our own child
    return extract
