"""The Dask tasks that workers run: thin adapters of the two stages of the pipeline."""

from __future__ import annotations

import asyncio
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any, Final

from distributed import Worker, WorkerPlugin, get_worker
from distributed.metrics import context_meter

from hrrr_dask.archive.breaker import find_outage
from hrrr_dask.decode import COMPILED_ENGINES, get_engine
from hrrr_dask.errors import SourceDownError, StoreError, UsageError
from hrrr_dask.job import pipeline
from hrrr_dask.job.pipeline import Job, PartitionReport, failed_extracts
from hrrr_dask.malloc import keep_freed_memory
from hrrr_dask.records import Extract, FileOutcome, Partition, Reading, one_of_each_file
from hrrr_dask.telemetry import faults, logs, metrics

__all__ = [
    "Counts",
    "Stages",
    "WarmStart",
    "Work",
    "extract_files",
    "extract_in_child",
    "read_file",
    "share_work",
    "topic_of",
    "write_step",
]

_log = logs.get_log("hrrr_dask.job.tasks")

_WRITING: Final = threading.Lock()

PUBLISH_S: Final = 0.2
"""Interval at which a task with several files publishes its counts [s]."""

OUTAGE_PAUSE_S: Final = 0.1
OUTAGE_POLL_S: Final = 1.0
"""Shortest and longest pause before a file is tried again while no source responds [s]."""

_MIN_CHILD_BYTES: Final = 256 << 20
"""Memory of a process that reads one ordinary file [B]."""

Counts = dict[str, Any]
"""What a worker publishes: its address, counts of files, gaps by reason, requests and bytes_read, the seconds that the
files took, those of them in each stage, and the sources that are down for it."""

SOURCE, DECODE, STORE = "source", "decode", "store"
"""Activities of Dask's page *Fine Performance Metrics*: what a thread is busy with, or waits for."""


@dataclass(frozen=True, slots=True)
class Stages:
    """The two functions that workers call. Tests and simulations of the run loop pass their own.

    Both must be importable by name on the workers.
    """

    extract_file: Callable[[Reading, Job], Sequence[Extract]] = pipeline.extract_file
    """Reads a file and returns its values, an extract for each lead time."""
    write_partition: Callable[[Partition, Sequence[Extract], Job, int], PartitionReport] = pipeline.write_partition
    """Writes the values of a step to the store; the last argument is the number of the attempt."""


@dataclass(frozen=True, slots=True)
class Work:
    """Data shared by all tasks of a run, sent to each worker once."""

    job: Job
    """The job that the stages need."""
    pickled_stages: bytes
    """The stages as pickled names: each process imports its own."""

    @classmethod
    def of(cls, job: Job, stages: Stages) -> Work:
        """Pickle the stages by name."""
        return cls(job, pickle.dumps(stages))

    @property
    def stages(self) -> Stages:
        """The stages, unpickled."""
        found: Stages = pickle.loads(self.pickled_stages)  # noqa: S301  written by our own client
        return found


def topic_of(job: Job) -> str:
    """Return the topic on which workers publish their counts."""
    return f"hrrr-{job.job_id}"


class WarmStart(WorkerPlugin):  # type: ignore[misc]  # distributed says Any
    """Loads the decoder on every worker, also on those that join later, before its first file, and configures malloc.

    Parameters
    ----------
    engine : str
        Decoding engine. The compiled one takes one second to load, three if its kernels must be compiled.
    """

    def __init__(self, engine: str) -> None:
        self.name = f"hrrr-dask-warm-start-{engine}"
        self._engine = engine

    async def setup(self, worker: Worker) -> None:  # noqa: ARG002
        """Load the decoder in a thread, so that the worker continues to respond."""
        logs.configure_from_environment()
        keep_freed_memory()
        metrics.prepare()
        await asyncio.to_thread(_load, self._engine)
        if complaint := await asyncio.to_thread(faults.prepare):
            _log.info(complaint)


def _load(engine: str) -> None:
    if engine in COMPILED_ENGINES:
        from hrrr_dask.decode.kernel_cache import seed_kernel_cache  # noqa: PLC0415  numba takes a while to import

        seed_kernel_cache()
    get_engine(engine)


def share_work(work: Work) -> Work:
    """Return the work unchanged, as a task's result: Dask computes it again if its worker is lost."""
    return work


def extract_files(readings: Sequence[Reading], work: Work) -> list[Extract]:
    """Read files one after the other. A problem of one file is recorded in its outcome."""
    extracts: list[Extract] = []
    extract_file = work.stages.extract_file
    published, since = 0, time.perf_counter()
    for number, reading in enumerate(readings, 1):
        extracts += read_file(extract_file, reading, work.job)
        now = time.perf_counter()
        if now - since > PUBLISH_S or number == len(readings):
            _publish_counts(extracts[published:], now - since, work.job)
            published, since = len(extracts), now
    return extracts


def extract_in_child(readings: Sequence[Reading], work: Work) -> list[Extract]:
    """Read one file in a child process, because a worker crashed while it was reading or queueing that file.

    The file that crashes is then identified exactly, and the worker survives. Workers with a nanny cannot use
    multiprocessing.
    """
    (reading,), began = readings, time.perf_counter()
    extracts = read_file(lambda reading, job: _run_in_child(reading, job, work.pickled_stages), reading, work.job)
    _publish_counts(extracts, time.perf_counter() - began, work.job)
    return list(extracts)


def write_step(
    partition: Partition, extracts: Iterable[Iterable[Extract]], work: Work, attempt: int
) -> PartitionReport:
    """Commit a step of a partition. One step at a time in a process, because memory is planned for one."""
    began = time.perf_counter()
    with (
        _WRITING,
        logs.context(job=work.job.job_id, partition=partition.number),
        faults.reported("write", job=work.job.job_id, store=work.job.store_url),
    ):
        report = work.stages.write_partition(partition, list(chain.from_iterable(extracts)), work.job, attempt)
    write_s = time.perf_counter() - began
    context_meter.digest_metric(STORE, write_s, "seconds")
    return replace(report, write_s=write_s)


def read_file(
    extract_file: Callable[[Reading, Job], Sequence[Extract]], reading: Reading, job: Job
) -> Sequence[Extract]:
    """Read one file, and count it. While no source responds, wait; what our own code does wrong is in the outcome."""
    days_of_axis = (reading.file.init_time - job.spec.axis.first_day).days
    partition = days_of_axis // job.spec.layout.partition_days
    with logs.context(job=job.job_id, partition=partition, file=reading.file.label):
        extracts = _extract(extract_file, reading, job)
        outcomes = [extract.outcome for extract in extracts]
        metrics.count_file(outcomes)
        if _log.is_on("debug"):
            _log_file(outcomes)
    return extracts


def _log_file(outcomes: Sequence[FileOutcome]) -> None:
    (first,) = one_of_each_file(outcomes)
    _log.debug(
        "file read",
        source=first.origin.source,
        seconds=round(first.seconds, 6),
        requests=first.requests,
        bytes_read=first.bytes_read,
        gaps=dict(Counter(reason for outcome in outcomes for reason in outcome.reasons.values())),
    )


def _extract(
    extract_file: Callable[[Reading, Job], Sequence[Extract]], reading: Reading, job: Job
) -> Sequence[Extract]:
    began = time.monotonic()
    while True:
        try:
            return extract_file(reading, job)
        except SourceDownError:
            if not _wait_for_source(job, time.monotonic() - began):
                raise
        except (StoreError, UsageError):
            raise  # not a problem of this file
        except Exception as error:  # noqa: BLE001  a bug with one file must not stop the run: the ledger records it
            _log.error("file is not read: our own code fails on it", code="internal-error", exc_info=True)
            faults.report(error, stage="read", **_tags(reading, job))
            return failed_extracts(reading, job, traceback.format_exc(limit=-5))


def _tags(reading: Reading, job: Job) -> dict[str, object]:
    """Tags of a fault: what was read, and for which command."""
    file = reading.file
    where = {"file": file.label, "product": file.product, "domain": file.domain}
    return {"job": job.job_id, "store": job.store_url, "engine": job.engine, **where}


def _wait_for_source(job: Job, waited_s: float) -> bool:
    """Wait before a file is tried again; return False if no source has responded for too long.

    The file itself counts, too: a child process that reads it finds the outage, and this process knows nothing of it.
    """
    outage = find_outage(job.sources, job.fetch)
    pause_s = min(max(outage.retry_in_s, OUTAGE_PAUSE_S), OUTAGE_POLL_S)
    _publish_counts((), 0.0, job, pause_s=pause_s)
    time.sleep(pause_s)
    return max(outage.down_s, waited_s) < job.fetch.outage_limit_s


def _publish_counts(extracts: Sequence[Extract], seconds: float, job: Job, *, pause_s: float = 0.0) -> None:
    worker = get_worker()
    files = one_of_each_file(extract.outcome for extract in extracts)
    fetch_s = sum(file.fetch_s for file in files)
    decode_s = sum(file.seconds for file in files) - fetch_s
    fetch_s += pause_s
    context_meter.digest_metric(SOURCE, fetch_s, "seconds")
    context_meter.digest_metric(DECODE, decode_s, "seconds")
    counts: Counts = {
        "worker": worker.address,
        "files": len(files),
        "gaps": dict(Counter(reason for extract in extracts for reason in extract.outcome.reasons.values())),
        "bytes_read": sum(file.bytes_read for file in files),
        "requests": sum(file.requests for file in files),
        "seconds": seconds,
        "fetch_s": fetch_s,
        "decode_s": decode_s,
        "sources_down": find_outage(job.sources, job.fetch).causes,
    }
    worker.log_event(topic_of(job), counts)


_CHILD: Final = """\
import pickle, resource, sys
if limit := int(sys.argv[1]):
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
pickled_stages, reading, job = pickle.load(sys.stdin.buffer)
from hrrr_dask.errors import RunError, StoreError, UsageError
from hrrr_dask.telemetry import metrics
kept = metrics.keep()
try:
    found = pickle.loads(pickled_stages).extract_file(reading, job)
except (RunError, StoreError, UsageError) as error:  # not a problem of the file
    found = error
sys.stdout.buffer.write(pickle.dumps((found, kept)))
"""


def _memory_left(worker: Worker) -> int:
    """Memory that a child process may use, so that the pod is not killed; 0 is no limit [B]."""
    limit, used = int(worker.memory_manager.memory_limit or 0), int(worker.monitor.get_process_memory())
    return max((limit - used) // int(worker.state.nthreads), _MIN_CHILD_BYTES) if limit else 0


def _run_in_child(reading: Reading, job: Job, pickled_stages: bytes) -> Sequence[Extract]:
    command, given = (
        [sys.executable, "-c", _CHILD, str(_memory_left(get_worker()))],
        pickle.dumps((pickled_stages, reading, job)),
    )
    child = subprocess.run(command, input=given, capture_output=True, check=False)  # noqa: S603
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        detail = f"reading this file crashes its process with code {child.returncode}: {last}"
        _log.error(detail, code="poisoned")
        faults.report_message(detail, kind=f"poisoned-{child.returncode}", stage="read", **_tags(reading, job))
        return failed_extracts(reading, job, detail, "poisoned")
    found: Sequence[Extract] | Exception
    found, kept = pickle.loads(child.stdout)  # noqa: S301  written by our own child
    metrics.replay(kept)
    if isinstance(found, Exception):
        raise found
    return found
