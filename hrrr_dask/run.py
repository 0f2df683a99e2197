"""Feeds partitions to a cluster: one ``extract`` task a file, one ``write`` task a partition, a window in flight.

The client and the scheduler hold the window, never the archive. An interrupt commits what is extracted and stops.
"""

from __future__ import annotations

import math
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

from distributed import Client, Future, Semaphore, get_worker
from distributed.comm import CommClosedError
from distributed.scheduler import KilledWorker

from hrrr_dask.errors import RunError, StoreError, UsageError
from hrrr_dask.pipeline import Job, PartitionReport, extract_file, failed_extract, write_partition
from hrrr_dask.records import Extract, GribFile, Partition

__all__ = ["Progress", "RunResult", "run", "window_size"]

PARTITION_TRIES: Final = 3
"""How often a partition is submitted before the run gives up."""

_WRITE_FIRST: Final = 1_000_000
"""Priority of writing over extracting: a partition that is whole leaves memory."""

TWICE_S: Final = 1.0
"""Signals closer than this are one: timeout(1) sends its own to the command and to its group [s]."""

NOTHING: Final[Mapping[GribFile, Future]] = {}

LOOK_S: Final = 3.0
"""How often the cluster is asked whether it has workers, while nothing is committed [s]."""

_POLL_S: Final = 0.5
"""How soon an interrupt is seen [s]."""


@dataclass(slots=True)
class Progress:
    """How far a run is; updated as it goes."""

    files_total: int
    """Files to read."""
    dashboard: str = ""
    """Link of the Dask dashboard."""
    files_done: int = 0
    """Files extracted."""
    gaps: int = 0
    """Values missing so far."""
    bytes_read: int = 0
    """From the archive [B]."""
    partitions_done: int = 0
    """Partitions committed."""
    waiting: bool = False
    """The cluster has no workers."""
    draining: bool = False
    """An interrupt was seen: what is extracted is being committed."""
    lock: Any = field(default_factory=threading.Lock, repr=False)
    """Guards the counts: worker events come in on another thread."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run."""

    reports: tuple[PartitionReport, ...]
    """One for each partition committed."""
    interrupted: bool
    """Stopped before its end; the same command does the rest."""


@dataclass(slots=True)
class _Flight:
    """One partition in flight."""

    partition: Partition
    attempt: int
    extracts: dict[GribFile, Future]
    write: Future


def window_size(n_threads: int, files_per_partition: int) -> int:
    """Partitions in flight: enough that no thread waits while the oldest one is written.

    Examples
    --------
    >>> window_size(2, 720), window_size(1000, 720)
    (2, 5)
    """
    return math.ceil(2.5 * n_threads / max(files_per_partition, 1)) + 1


def run(
    client: Client, job: Job, partitions: Iterator[Partition], progress: Progress, show: Callable[[Progress], None]
) -> RunResult:
    """Read and commit partitions until there are none left, or an interrupt comes.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    job : Job
        What the workers need to know.
    partitions : iterator of Partition
        Drawn from as the window moves.
    progress : Progress
        Updated in place.
    show : callable
        Called after every change.

    Raises
    ------
    RunError
        If the cluster is lost or a partition fails again and again.
    StoreError, UsageError
        If the store refuses: what is in flight is dropped, what is committed stays.
    """
    loop = _Loop(client, job, progress, show)
    topic = f"hrrr-{job.job_id}"
    client.subscribe_topic(topic, loop.on_event)
    try:
        with _interrupts(loop.interrupt):
            return loop.drive(partitions)
    except (CommClosedError, TimeoutError) as error:
        raise RunError(
            "the cluster's scheduler was lost: look whether it runs, then give the same command again; "
            "what was committed stays"
        ) from error
    finally:
        loop.abandon()
        if client.status == "running":
            client.unsubscribe_topic(topic)


class _Loop:
    def __init__(self, client: Client, job: Job, progress: Progress, show: Callable[[Progress], None]) -> None:
        self._client = client
        self._job = job
        self._progress = progress
        self._show = show
        self._flights: dict[int, _Flight] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._interrupted_at = 0.0
        self._looked_at = 0.0
        self._suspects: dict[int, set[GribFile]] = {}
        self._job_future = client.submit(_same, job, key=f"job-{job.job_id}", pure=False)

    def drive(self, partitions: Iterator[Partition]) -> RunResult:
        reports: list[PartitionReport] = []
        self._fill(partitions)
        while self._flights:
            if self._stop.is_set() and not self._progress.draining:
                self._drain()
            try:
                future = self._ended.get(timeout=_POLL_S)
            except queue.Empty:
                self._look_for_workers()
                continue
            flight = next((flight for flight in self._flights.values() if flight.write.key == future.key), None)
            if flight is None:  # a write that was replaced, by a drain or by another attempt
                continue
            report = self._finish(flight)
            if report is not None:
                reports.append(report)
                self._progress.partitions_done += 1
                self._show(self._progress)
            self._fill(partitions)
        return RunResult(tuple(reports), self._stop.is_set())

    def _look_for_workers(self) -> None:
        if time.monotonic() - self._looked_at > LOOK_S:
            self._looked_at = time.monotonic()
            self._progress.waiting = not self._client.nthreads()
            self._show(self._progress)

    def interrupt(self) -> None:
        first = not self._stop.is_set()
        if first:
            self._interrupted_at = time.monotonic()
            self._stop.set()
        elif time.monotonic() - self._interrupted_at > TWICE_S:
            raise KeyboardInterrupt

    def on_event(self, event: tuple[Any, dict[str, int]]) -> None:
        _, counts = event
        with self._progress.lock:
            self._progress.files_done += 1
            self._progress.gaps += counts["gaps"]
            self._progress.bytes_read += counts["bytes_read"]
        self._show(self._progress)

    def abandon(self) -> None:
        for flight in self._flights.values():
            if self._client.status == "running":
                self._client.cancel([flight.write, *flight.extracts.values()])
        self._flights.clear()

    def _fill(self, partitions: Iterator[Partition]) -> None:
        while not self._stop.is_set():
            threads = sum(self._client.nthreads().values()) or 1
            files = max((len(flight.partition.files) for flight in self._flights.values()), default=1)
            if self._flights and len(self._flights) >= window_size(threads, files):
                return
            partition = next(partitions, None)
            if partition is None:
                return
            self._submit(partition, attempt=1)

    def _submit(self, partition: Partition, attempt: int, ready: Mapping[GribFile, Future] = NOTHING) -> None:
        suspects = self._suspects.get(partition.number, set())
        extracts = {
            file: ready.get(file)
            or self._client.submit(
                _extract_task,
                file,
                self._job_future,
                alone=file in suspects,
                key=f"extract-{file.label}-{self._job.job_id}-{attempt}",
                pure=False,
                priority=-partition.number,
            )
            for file in partition.files
        }
        self._write(partition, attempt, extracts)

    def _write(self, partition: Partition, attempt: int, extracts: dict[GribFile, Future]) -> None:
        write = self._client.submit(
            _write_task,
            partition,
            list(extracts.values()),
            self._job_future,
            key=f"write-{partition.label}-{self._job.job_id}-{attempt}",
            pure=False,
            priority=_WRITE_FIRST,
        )
        self._flights[partition.number] = _Flight(partition, attempt, extracts, write)
        write.add_done_callback(self._ended.put)

    def _drain(self) -> None:
        """Commit what is extracted, drop the rest."""
        self._progress.draining = True
        self._show(self._progress)
        for flight in list(self._flights.values()):
            ready = {file: extract for file, extract in flight.extracts.items() if extract.status == "finished"}
            if len(ready) == len(flight.extracts):
                continue
            self._client.cancel([flight.write])
            self._client.cancel([extract for file, extract in flight.extracts.items() if file not in ready])
            del self._flights[flight.partition.number]
            if ready:
                self._write(replace(flight.partition, files=tuple(ready)), flight.attempt + PARTITION_TRIES, ready)

    def _finish(self, flight: _Flight) -> PartitionReport | None:
        """The report of a partition that is committed; None when it had to be submitted again."""
        del self._flights[flight.partition.number]
        if flight.write.status == "finished":
            report: PartitionReport = flight.write.result()
            return report
        if flight.write.status != "error":
            raise RunError(
                f"the cluster lost {flight.write.key} ({flight.write.status}): look whether its scheduler runs, then "
                f"give the same command again; what was committed stays"
            )
        _refuse_hopeless(flight.write.exception(), flight)
        killers = {file for file, extract in flight.extracts.items() if _killed_a_worker(extract)}
        self._suspects.setdefault(flight.partition.number, set()).update(killers)
        if not self._stop.is_set():
            ready = {file: extract for file, extract in flight.extracts.items() if extract.status == "finished"}
            self._submit(flight.partition, flight.attempt + 1, ready)
        return None


def _refuse_hopeless(error: BaseException, flight: _Flight) -> None:
    """Raise what another attempt cannot mend."""
    if isinstance(error, StoreError | UsageError) and not error.retryable:
        raise error
    if flight.attempt >= PARTITION_TRIES:
        raise RunError(
            f"partition {flight.partition.label} failed {flight.attempt} times, at last with "
            f"{type(error).__name__}: {error}. What was committed stays; run the same command again"
        ) from error


def _killed_a_worker(extract: Future) -> bool:
    return extract.status == "error" and isinstance(extract.exception(), KilledWorker)


def _same(job: Job) -> Job:
    """The job as a task's result: computed again wherever a worker is lost."""
    return job


def _extract_task(file: GribFile, job: Job, *, alone: bool) -> Extract:
    try:
        extract = _extract_alone(file, job) if alone else extract_file(file, job)
    except (StoreError, UsageError):
        raise  # nothing that is wrong with this one file
    except Exception:  # noqa: BLE001  our own fault on one file must not end the run: it is in the ledger
        extract = failed_extract(file, job, traceback.format_exc(limit=-5))
    counts = {"gaps": len(extract.outcome.reasons), "bytes_read": extract.outcome.bytes_read}
    get_worker().log_event(f"hrrr-{job.job_id}", counts)
    return extract


def _extract_alone(file: GribFile, job: Job) -> Extract:
    """Read a file in a process of its own: it was being read, or waiting its turn, when a worker ended.

    The blame is exact then, and the worker lives on. A worker that has a nanny may not use multiprocessing.
    """
    code = "import pickle, sys; file, job = pickle.load(sys.stdin.buffer); " + (
        "from hrrr_dask.pipeline import extract_file; sys.stdout.buffer.write(pickle.dumps(extract_file(file, job)))"
    )
    command = [sys.executable, "-c", code]
    child = subprocess.run(command, input=pickle.dumps((file, job)), capture_output=True, check=False)  # noqa: S603
    if child.returncode:
        last = child.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        return failed_extract(file, job, f"reading this file ends its process with code {child.returncode}: {last}")
    extract: Extract = pickle.loads(child.stdout)  # noqa: S301  written by our own child
    return extract


def _write_task(partition: Partition, extracts: list[Extract], job: Job) -> PartitionReport:
    # A drain may replace a write that has just begun; with a lease, a lost worker does not hold the others up.
    with Semaphore(max_leases=1, name=f"hrrr-write-{job.store_url}-{partition.number}"):
        return write_partition(partition, extracts, job)


@contextmanager
def _interrupts(handler: Callable[[], None]) -> Iterator[None]:
    """Call ``handler`` on SIGINT and SIGTERM while the block runs; only possible in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    signals = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: handler()) for number in signals}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
