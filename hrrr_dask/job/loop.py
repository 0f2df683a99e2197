"""Feeds partitions to a cluster: ``extract`` tasks of one or more files, one ``write`` task a step, a window in flight.

The client and the scheduler hold the window, never the archive. An interrupt commits what is extracted and stops.
"""

from __future__ import annotations

import queue
import signal
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from distributed import Client, Future
from distributed.comm import CommClosedError

from hrrr_dask.clusters import ask_all
from hrrr_dask.errors import RunError
from hrrr_dask.job.batching import ASSUMED_FILE_S, files_per_task, has_room
from hrrr_dask.job.in_flight import Flight, Suspects, Task, first_steps, in_flight
from hrrr_dask.job.pipeline import Job, PartitionReport
from hrrr_dask.job.tasks import (
    Counts,
    Stages,
    WarmStart,
    Work,
    extract_alone,
    extract_files,
    hand_on,
    topic_of,
    write_step,
)
from hrrr_dask.records import Partition, Reading

__all__ = ["Progress", "RunResult", "run"]

_WRITE_FIRST: Final = 1_000_000_000
"""Priority of writing over extracting: a step that is whole leaves memory."""

TWICE_S: Final = 1.0
"""Signals closer than this are one: timeout(1) sends its own to the command and to its group [s]."""

LOOK_S: Final = 3.0
"""How often the cluster is asked for its threads [s]."""

_LOST: Final = (
    "the connection to the cluster's scheduler was lost: look whether it runs, then give the same command again; "
    "what was committed stays"
)

_POLL_S: Final = 0.5
"""How soon an interrupt is seen, and room for another step [s]."""

_MEASURED: Final = 500
"""Of so many tasks, the latest, the median tells what a file takes."""


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
    """Steps of partitions committed."""
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
    """One for each step committed."""
    interrupted: bool
    """Stopped before its end; the same command does the rest."""


def run(
    client: Client,
    job: Job,
    partitions: Iterator[Partition],
    progress: Progress,
    show: Callable[[Progress], None],
    stages: Stages = Stages(),  # noqa: B008  frozen
) -> RunResult:
    """Read and commit partitions until there are none left, or an interrupt comes.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    job : Job
        What the workers need to know.
    partitions : iterator of Partition
        Drawn from as the window moves; the steps of a partition follow one another.
    progress : Progress
        Updated in place.
    show : callable
        Called after every change.
    stages : Stages
        What the workers do; a simulation has its own.

    Raises
    ------
    RunError
        If the cluster is lost or a step fails again and again.
    StoreError, UsageError
        If the store refuses: what is in flight is dropped, what is committed stays.
    """
    loop = _Loop(client, Work.of(job, stages), progress, show)
    client.subscribe_topic(topic_of(job), loop.on_event)
    try:
        ask_all(lambda: client.register_plugin(WarmStart(job.engine)))
        with _interrupts(loop.interrupt):
            return loop.drive(partitions)
    except (CommClosedError, TimeoutError, CancelledError) as error:  # a result is cancelled by a lost connection only
        raise RunError(_LOST) from error
    finally:
        loop.abandon()
        if client.status == "running":
            client.unsubscribe_topic(topic_of(job))


class _Loop:
    def __init__(self, client: Client, work: Work, progress: Progress, show: Callable[[Progress], None]) -> None:
        self._client = client
        self._job = work.job
        self._progress = progress
        self._show = show
        self._flights: dict[tuple[int, int], Flight] = {}
        self._ended: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._interrupted_at = 0.0
        self._threads, self._looked_at = 1, 0.0
        self._measured_s: deque[float] = deque(maxlen=_MEASURED)
        self._drawn, self._files_left = 0, progress.files_total
        self._suspects = Suspects()
        self._given, self._givings = work, 0
        self._work = self._give()

    def drive(self, partitions: Iterator[Partition]) -> RunResult:
        reports: list[PartitionReport] = []
        self._fill(partitions)
        while self._flights:
            if self._stop.is_set() and not self._progress.draining:
                self._drain()
            try:
                future = self._ended.get(timeout=_POLL_S)
            except queue.Empty:
                self._fill(partitions)
                continue
            flight = next((flight for flight in self._flights.values() if flight.ends_with(future)), None)
            if flight is None:  # a write that was replaced, by a drain or by another attempt
                continue
            report = self._finish(flight)
            if report is not None:
                reports.append(report)
                self._progress.partitions_done += 1
                self._show(self._progress)
            self._start_writes()
            self._fill(partitions)
        return RunResult(tuple(reports), self._stop.is_set())

    def interrupt(self) -> None:
        first = not self._stop.is_set()
        if first:
            self._interrupted_at = time.monotonic()
            self._stop.set()
        elif time.monotonic() - self._interrupted_at > TWICE_S:
            raise KeyboardInterrupt

    def on_event(self, event: tuple[Any, Counts]) -> None:
        _, counts = event
        with self._progress.lock:
            self._progress.files_done += int(counts["files"])
            self._progress.gaps += int(counts["gaps"])
            self._progress.bytes_read += int(counts["bytes_read"])
            self._measured_s.append(counts["seconds"] / counts["files"])
        self._show(self._progress)

    def abandon(self) -> None:
        for flight in self._flights.values():
            if self._client.status == "running":
                writes = [] if flight.write is None else [flight.write]
                self._client.cancel([*writes, *(task.future for task in flight.tasks)])
        self._flights.clear()

    def _fill(self, partitions: Iterator[Partition]) -> None:
        self._look_for_workers()
        while not self._stop.is_set():
            size = self._files_per_task()
            if not has_room(in_flight(self._flights.values()), self._threads, size, self._file_bytes, self._file_s):
                return
            partition = next(partitions, None)
            if partition is None:
                return
            flight = Flight(partition, self._drawn)
            self._drawn += 1
            self._files_left -= len(partition.readings)
            self._submit(flight, size)

    def _look_for_workers(self) -> None:
        if time.monotonic() - self._looked_at < LOOK_S:
            return
        self._looked_at = time.monotonic()
        threads = sum(self._client.nthreads().values())
        self._threads = max(threads, 1)
        if self._progress.waiting != (not threads):
            self._progress.waiting = not threads
            self._show(self._progress)

    def _files_per_task(self) -> int:
        if given := self._job.files_per_task:
            return given
        n_leads = len(self._job.spec.selection.lead_hours)
        return files_per_task(self._threads, self._file_s, n_leads, self._files_left)

    @property
    def _file_s(self) -> float:
        with self._progress.lock:
            return statistics.median(self._measured_s or [ASSUMED_FILE_S])

    @property
    def _file_bytes(self) -> int:
        return len(self._job.variables) * len(self._job.spec.points) * 4

    def _submit(self, flight: Flight, size: int) -> None:
        """Have read what no task of the flight reads yet."""
        together, alone = self._suspects.divide(flight.unassigned(), size)
        flight.tasks += self._extract(extract_files, together, flight)
        flight.tasks += self._extract(extract_alone, alone, flight)
        self._flights[flight.place] = flight
        self._start_writes()

    def _extract(
        self, function: Callable[..., Any], groups: Sequence[tuple[Reading, ...]], flight: Flight
    ) -> list[Task]:
        if not groups:
            return []
        ending = f"{self._job.job_id}-{flight.attempt}"
        keys = [f"extract-{readings[0].file.label}-{ending}" for readings in groups]
        futures = self._client.map(function, groups, work=self._work, key=keys, pure=False, priority=-flight.order)
        return [Task(readings, future) for readings, future in zip(groups, futures, strict=True)]

    def _give(self) -> Future:
        """Have the work given to the workers; under another key each time."""
        key = f"job-{self._job.job_id}-{self._givings}"
        self._givings += 1
        return self._client.submit(hand_on, self._given, key=key, pure=False)

    def _start_writes(self) -> None:
        ready = first_steps(self._flights.values())
        if self._job.serial_writes:
            ready = sorted(ready, key=lambda flight: flight.order)[:1]
        for flight in ready:
            if flight.write is None:
                flight.write = self._client.submit(
                    write_step,
                    flight.partition,
                    [task.future for task in flight.tasks],
                    self._work,
                    flight.attempt,
                    key=f"write-{flight.partition.label}-{self._job.job_id}-{flight.attempt}",
                    pure=False,
                    priority=_WRITE_FIRST - flight.order,
                )
                flight.write.add_done_callback(self._ended.put)

    def _drain(self) -> None:
        """Commit what is extracted, drop the rest."""
        self._progress.draining = True
        self._show(self._progress)
        for flight in list(self._flights.values()):
            self._client.cancel(flight.keep_what_is_read())
            if not flight.tasks:
                del self._flights[flight.place]
        self._start_writes()

    def _finish(self, flight: Flight) -> PartitionReport | None:
        """The report of a step that is committed; None when it had to be submitted again."""
        write, flight.write = flight.write, None
        del self._flights[flight.place]
        assert write is not None, "only a write ends a flight"
        if write.status == "finished":
            report: PartitionReport = write.result()
            return report
        if write.status != "error":  # nobody but the client itself cancels, when it loses its connection
            raise RunError(_LOST)
        flight.failures += not self._suspects.blame(flight.tasks)
        flight.refuse_hopeless(write.exception())
        if self._work.status == "error":  # all its workers ended, again and again
            self._work = self._give()
        flight.try_again()
        self._submit(flight, self._files_per_task())
        return None


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
