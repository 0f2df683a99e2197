"""Tracks submitted tasks and writes, and the files that may have crashed a worker."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from distributed import Future
from distributed.scheduler import KilledWorker

from hrrr_dask.errors import RunError, StoreError, UsageError
from hrrr_dask.job.batching import InFlight, group
from hrrr_dask.records import Partition, Reading

__all__ = ["SubmittedStep", "SuspectFiles", "Task", "count_in_flight", "next_to_write"]

FAILURES: Final = 3
"""Maximum failures of a step before the run stops, not counting those that identified a crashing file."""

ATTEMPTS: Final = 8
"""Maximum attempts of a step."""


@dataclass(frozen=True, slots=True)
class Task:
    """One submitted task that reads files."""

    readings: tuple[Reading, ...]
    """The files it reads, all of one run."""
    future: Future
    """Future of its list of extracts."""

    @property
    def killed_a_worker(self) -> bool:
        """Whether its workers crashed repeatedly while they ran this task, rather than one that it depends on."""
        error = self.future.exception() if self.future.status == "error" else None
        return isinstance(error, KilledWorker) and error.task == self.future.key


@dataclass(slots=True)
class SubmittedStep:
    """One submitted step of a partition: its tasks and its write."""

    partition: Partition
    """The step, reduced to the files that will be committed."""
    order: int
    """Number of steps submitted before it."""
    tasks: list[Task] = field(default_factory=list)
    """Tasks that together read the files of the step."""
    write: Future | None = None
    """Future of its report; None until the earlier steps of the partition are written."""
    attempt: int = 1
    """Number of the attempt; part of the task keys."""
    failures: int = 0
    """Failed attempts without a known cause."""

    @property
    def key(self) -> tuple[int, int]:
        """Unique key of the step: numbers of the partition and of the step in it."""
        return self.partition.number, self.partition.step

    def is_write(self, future: Future) -> bool:
        """Whether a future is the write of this step."""
        return self.write is not None and self.write.key == future.key

    def unsubmitted_readings(self) -> list[Reading]:
        """Files that none of its tasks reads."""
        known = {reading for task in self.tasks for reading in task.readings}
        return [reading for reading in self.partition.readings if reading not in known]

    def prepare_retry(self) -> None:
        """Prepare another attempt: keep the tasks that did not fail."""
        self.attempt += 1
        self.tasks = [task for task in self.tasks if task.future.status in ("finished", "pending")]

    def drop_unread(self) -> list[Future]:
        """Reduce the step to the files that are already read, and return the futures to cancel."""
        ready = [task for task in self.tasks if task.future.status == "finished"]
        if len(ready) == len(self.tasks):
            return []
        dropped = [task.future for task in self.tasks if task.future.status != "finished"]
        dropped += [] if self.write is None else [self.write]
        read = {reading for task in ready for reading in task.readings}
        kept = tuple(reading for reading in self.partition.readings if reading in read)
        self.partition, self.tasks, self.write = replace(self.partition, readings=kept), ready, None
        self.attempt += 1
        return dropped

    def raise_if_hopeless(self, error: BaseException) -> None:
        """Raise the error if another attempt cannot help.

        Raises
        ------
        StoreError, UsageError
            As raised on the worker, if it is not retryable.
        RunError
            After too many attempts.
        """
        if isinstance(error, StoreError | UsageError) and not error.retryable:
            raise error
        if self.failures >= FAILURES or self.attempt >= ATTEMPTS:
            raise RunError(
                f"partition {self.partition.label} failed at attempt {self.attempt} with "
                f"{type(error).__name__}: {error}. What was committed stays; run the same command again"
            ) from error


class SuspectFiles:
    """Files that were being read, or were queued, when a worker crashed.

    The files of a crashed task are first retried in a task each. If such a task crashes too, its file is read in a
    child process.
    """

    def __init__(self) -> None:
        self._split: set[Reading] = set()
        self._alone: set[Reading] = set()

    def record_crashes(self, tasks: Iterable[Task]) -> bool:
        """Record the files of tasks whose worker crashed; return False if that adds nothing new."""
        before = len(self._split) + len(self._alone)
        for task in tasks:
            if task.killed_a_worker:
                (self._split if len(task.readings) > 1 else self._alone).update(task.readings)
        self._split |= self._alone
        return len(self._split) + len(self._alone) > before

    def divide(
        self, readings: Sequence[Reading], size: int
    ) -> tuple[list[tuple[Reading, ...]], list[tuple[Reading, ...]]]:
        """Divide files into groups for ordinary tasks and into files to read in a child process."""
        together = group((reading for reading in readings if reading not in self._split), size)
        split = [reading for reading in readings if reading in self._split and reading not in self._alone]
        alone = [reading for reading in readings if reading in self._alone]
        return [*together, *((reading,) for reading in split)], [(reading,) for reading in alone]


def next_to_write(steps: Iterable[SubmittedStep]) -> list[SubmittedStep]:
    """Return the next step to write of each partition: two writes of one partition would conflict."""
    first: dict[int, SubmittedStep] = {}
    for step in steps:
        known = first.setdefault(step.partition.number, step)
        if step.partition.step < known.partition.step:
            first[step.partition.number] = step
    return list(first.values())


def count_in_flight(steps: Collection[SubmittedStep]) -> InFlight:
    """Count what is submitted and not yet committed."""
    tasks = [task for step in steps for task in step.tasks]
    return InFlight(
        steps=len(steps),
        tasks=len(tasks),
        files=sum(len(task.readings) for task in tasks),
        unread=sum(len(task.readings) for task in tasks if task.future.status == "pending"),
    )
