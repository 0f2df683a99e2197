"""Submits partitions to a Dask cluster: ``extract`` tasks of one or more files, and one ``write`` task for each step.

A bounded number of tasks is in flight, so that client and scheduler never hold the whole archive. An interrupt commits
what is extracted and stops.
"""

from __future__ import annotations

import queue
import statistics
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final

from distributed import Client, Future, span
from distributed.comm import CommClosedError

from hrrr_dask.clusters import retry_worker_calls, signals
from hrrr_dask.display.progress import Progress, Show
from hrrr_dask.errors import RunError, SourceDownError
from hrrr_dask.job.batching import ASSUMED_FILE_S, files_per_task, has_room
from hrrr_dask.job.in_flight import SubmittedStep, SuspectFiles, Task, count_in_flight, next_to_write
from hrrr_dask.job.pipeline import Job, PartitionReport
from hrrr_dask.job.tasks import (
    Counts,
    Stages,
    WarmStart,
    Work,
    extract_files,
    extract_in_child,
    share_work,
    topic_of,
    write_step,
)
from hrrr_dask.job.waiting import LOST, Watch
from hrrr_dask.planning.memory import extract_bytes
from hrrr_dask.records import Partition, Reading
from hrrr_dask.telemetry.logs import get_log

__all__ = ["RunResult", "run"]

_log = get_log("hrrr_dask.job.loop")

_WRITE_PRIORITY: Final = 1_000_000_000
"""Priority of writing over extracting: a step that is complete frees memory."""

SAME_SIGNAL_S: Final = 1.0
"""Signals closer together than this count as one: timeout(1) sends one to the command and one to its group [s]."""

_POLL_S: Final = 0.5
"""Interval at which the loop checks for an interrupt and for room for another step [s]."""

_RECENT_TASKS: Final = 500
"""Number of recent tasks over which the median time of a file is taken."""


@dataclass(frozen=True, slots=True)
class RunResult:
    """Result of a run."""

    reports: tuple[PartitionReport, ...]
    """One report for each committed step."""
    interrupted: bool
    """Whether the run stopped early; the same command does the rest."""


def run(
    client: Client,
    job: Job,
    partitions: Iterator[Partition],
    progress: Progress,
    show: Show,
    stages: Stages = Stages(),  # noqa: B008  frozen
) -> RunResult:
    """Read and commit partitions until none are left or an interrupt arrives.

    Parameters
    ----------
    client : distributed.Client
        The cluster.
    job : Job
        What workers need to know.
    partitions : iterator of Partition
        Consumed as steps are committed; the steps of a partition follow one another.
    progress : Progress
        Updated in place.
    show : callable
        Called after every change.
    stages : Stages
        Functions that the workers call; a simulation passes its own.

    Raises
    ------
    RunError
        If the cluster is lost, or a step fails again and again.
    SourceDownError
        If no source of the archive responds; what is extracted is committed first.
    StoreError, UsageError
        If the store rejects a write. Tasks in flight are cancelled; committed steps stay.
    """
    loop = _Loop(client, Work.of(job, stages), progress, show)
    client.subscribe_topic(topic_of(job), loop.on_event)
    try:
        retry_worker_calls(lambda: client.register_plugin(WarmStart(job.engine)))
        with signals.call_on_stop(loop.interrupt), span("hrrr-dask", job.job_id):
            return loop.drive(partitions)
    except (CommClosedError, TimeoutError, CancelledError) as error:  # cancelled only if it is lost
        raise RunError(LOST) from error
    finally:
        loop.abandon()
        if client.status == "running":
            client.unsubscribe_topic(topic_of(job))


class _Loop:
    def __init__(self, client: Client, work: Work, progress: Progress, show: Show) -> None:
        self._client = client
        self._job = work.job
        self._progress = progress
        self._show = show
        self._steps: dict[tuple[int, int], SubmittedStep] = {}
        self._finished_writes: queue.SimpleQueue[Future] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._interrupted_at = 0.0
        self._watch = Watch(client, work.job.worker_timeout_s, progress.dashboard)
        self._recent_s: deque[float] = deque(maxlen=_RECENT_TASKS)
        self._down: dict[str, dict[str, str]] = {}
        self._last_file_at = self._counted_at = time.monotonic()
        self._source_error: SourceDownError | None = None
        self._submitted, self._files_left = 0, progress.files_total
        self._suspects = SuspectFiles()
        self._shared, self._work_number = work, 0
        self._work = self._submit_work()

    def drive(self, partitions: Iterator[Partition]) -> RunResult:
        reports: list[PartitionReport] = []
        self._submit_steps(partitions)
        while self._steps:
            if self._stop.is_set() and not self._progress.interrupted:
                self._drain()
            try:
                future = self._finished_writes.get(timeout=_POLL_S)
            except queue.Empty:
                self._submit_steps(partitions)
                continue
            step = next((step for step in self._steps.values() if step.is_write(future)), None)
            if step is None:  # a write that was replaced after an interrupt or by a retry
                continue
            report = self._finish(step)
            if report is not None:
                reports.append(report)
                self._note_commit(report)
                self._show(self._progress)
            self._start_writes()
            self._submit_steps(partitions)
        if self._source_error is not None:
            raise self._source_error
        return RunResult(tuple(reports), self._stop.is_set())

    def interrupt(self) -> None:
        first = not self._stop.is_set()
        if first:
            self._interrupted_at = time.monotonic()
            self._stop.set()
        elif time.monotonic() - self._interrupted_at > SAME_SIGNAL_S:
            raise KeyboardInterrupt

    def on_event(self, event: tuple[Any, Counts]) -> None:
        _, counts = event
        with self._progress.lock:
            self._progress.files_done += int(counts["files"])
            self._progress.gaps += sum(counts["gaps"].values())
            self._progress.gaps_by_reason.update(counts["gaps"])
            self._progress.bytes_read += int(counts["bytes_read"])
            self._progress.requests += int(counts["requests"])
            self._progress.fetch_s += counts["fetch_s"]
            self._progress.decode_s += counts["decode_s"]
            self._note_sources(counts["worker"], counts["sources_down"])
            if counts["files"]:
                self._last_file_at = time.monotonic()
                self._recent_s.append(counts["seconds"] / counts["files"])
        self._show(self._progress)

    def _note_commit(self, report: PartitionReport) -> None:
        progress = self._progress
        with progress.lock:
            progress.partitions_done += 1
            progress.write_s += report.write_s
            committed = progress.committed
            committed.files += report.files
            committed.gaps.update(report.gaps)
            committed.bytes_read += report.bytes_read
            committed.requests += report.requests
            committed.bytes_written += report.bytes_written

    def _count_core_time(self) -> None:
        now, threads = time.monotonic(), self._watch.paid_threads
        self._progress.threads = threads
        self._progress.core_s += threads * (now - self._counted_at)
        self._counted_at = now

    def _note_sources(self, worker: str, down: dict[str, str]) -> None:
        self._down[worker] = down
        self._progress.sources_down = {name: why for own in self._down.values() for name, why in own.items()}
        self._progress.skipped_sources = self._progress.sources_down | self._progress.skipped_sources

    def abandon(self) -> None:
        self._count_core_time()
        for step in self._steps.values():
            if self._client.status == "running":
                writes = [] if step.write is None else [step.write]
                self._client.cancel([*writes, *(task.future for task in step.tasks)])
        self._steps.clear()

    def _submit_steps(self, partitions: Iterator[Partition]) -> None:
        self._look()
        while not self._stop.is_set():
            size, threads = self._files_per_task(), self._watch.threads
            if not has_room(count_in_flight(self._steps.values()), threads, size, self._file_bytes, self._file_s):
                return
            partition = next(partitions, None)
            if partition is None:
                return
            step = SubmittedStep(partition, self._submitted)
            self._submitted += 1
            self._files_left -= len(partition.readings)
            self._submit(step, size)

    def _look(self) -> None:
        """Look at the cluster, and show why nothing happens."""
        self._count_core_time()
        if self._watch.look(self._progress.files_done, self._progress.partitions_done):
            self._progress.waiting, self._progress.notice = self._watch.no_worker, self._watch.notice
            self._show(self._progress)

    def _files_per_task(self) -> int:
        if given := self._job.files_per_task:
            return given
        files_of_a_run = len(set(self._job.spec.selection.file_hours))
        return files_per_task(self._watch.threads, self._file_s, files_of_a_run, self._files_left)

    @property
    def _file_s(self) -> float:
        with self._progress.lock:
            return statistics.median(self._recent_s or [ASSUMED_FILE_S])

    @property
    def _file_bytes(self) -> int:
        return extract_bytes(self._job.spec.selection, len(self._job.spec.points))

    def _submit(self, step: SubmittedStep, size: int) -> None:
        """Submit tasks for all files of the step that no task reads yet."""
        together, alone = self._suspects.divide(step.unsubmitted_readings(), size)
        step.tasks += self._submit_extracts(extract_files, together, step)
        step.tasks += self._submit_extracts(extract_in_child, alone, step)
        self._steps[step.key] = step
        self._start_writes()

    def _submit_extracts(
        self, function: Callable[..., Any], groups: Sequence[tuple[Reading, ...]], step: SubmittedStep
    ) -> list[Task]:
        if not groups:
            return []
        ending = f"{self._job.job_id}-{step.attempt}"
        keys = [f"extract-{readings[0].file.label}-{ending}" for readings in groups]
        futures = self._client.map(function, groups, work=self._work, key=keys, pure=False, priority=-step.order)
        return [Task(readings, future) for readings, future in zip(groups, futures, strict=True)]

    def _submit_work(self) -> Future:
        """Submit the shared work as a task, with a new key each time."""
        key = f"job-{self._job.job_id}-{self._work_number}"
        self._work_number += 1
        return self._client.submit(share_work, self._shared, key=key, pure=False)

    def _start_writes(self) -> None:
        ready = next_to_write(self._steps.values())
        if self._job.serial_writes:
            ready = sorted(ready, key=lambda step: step.order)[:1]
        for step in ready:
            if step.write is None:
                step.write = self._client.submit(
                    write_step,
                    step.partition,
                    [task.future for task in step.tasks],
                    self._work,
                    step.attempt,
                    key=f"write-{step.partition.label}-{self._job.job_id}-{step.attempt}",
                    pure=False,
                    priority=_WRITE_PRIORITY - step.order,
                )
                step.write.add_done_callback(self._finished_writes.put)

    def _drain(self) -> None:
        """Commit what is extracted and cancel the rest."""
        self._progress.interrupted = True
        for step in list(self._steps.values()):
            self._client.cancel(step.drop_unread())
            if not step.tasks:
                del self._steps[step.key]
        self._progress.draining = bool(self._steps)
        self._show(self._progress)
        self._start_writes()

    def _finish(self, step: SubmittedStep) -> PartitionReport | None:
        """Return the report of a committed step, or None if the step was submitted again."""
        write, step.write = step.write, None
        del self._steps[step.key]
        assert write is not None, "only a write ends a step"
        if write.status == "finished":
            report: PartitionReport = write.result()
            _log_commit(report)
            return report
        if write.status != "error":  # only the client cancels, when it loses its connection
            raise RunError(LOST)
        error = write.exception()
        if isinstance(error, SourceDownError):
            self._end_if_nothing_is_read(error)
        else:
            step.failures += not self._suspects.record_crashes(step.tasks)
            step.raise_if_hopeless(error)
        if self._work.status == "error":  # all workers that held it crashed repeatedly
            self._work = self._submit_work()
        step.prepare_retry()
        if self._stop.is_set():  # what is read is committed, the rest is dropped
            self._steps[step.key] = step
            self._drain()
        else:
            self._submit(step, self._files_per_task())
        return None

    def _end_if_nothing_is_read(self, error: SourceDownError) -> None:
        """End the run if no worker reads anything; else the step is submitted again, as only some have no source."""
        if time.monotonic() - self._last_file_at >= self._job.fetch.outage_limit_s:
            self._source_error = error
            self._stop.set()


def _log_commit(report: PartitionReport) -> None:
    _log.info(
        "partition committed",
        partition=report.number,
        files=report.files,
        gaps=report.gaps,
        bytes_read=report.bytes_read,
        bytes_written=report.bytes_written,
        requests=report.requests,
        seconds=round(report.seconds, 3),
    )
