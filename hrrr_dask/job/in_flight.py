"""What of a run is in flight: the tasks and the write of each step, and the files that are suspected of killing."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from distributed import Future
from distributed.scheduler import KilledWorker

from hrrr_dask.errors import RunError, StoreError, UsageError
from hrrr_dask.job.batching import InFlight, group
from hrrr_dask.records import Partition, Reading

__all__ = ["Flight", "Suspects", "Task", "first_steps", "in_flight"]

FAILURES: Final = 3
"""How often a step may fail before the run gives up, not counting when that told which files kill workers."""

ATTEMPTS: Final = 8
"""How often it may fail at all."""


@dataclass(frozen=True, slots=True)
class Task:
    """One that reads."""

    readings: tuple[Reading, ...]
    """What it reads, all of one run."""
    future: Future
    """Of a list of extracts."""

    @property
    def killed_a_worker(self) -> bool:
        """Whether workers ended again and again while they had it, not something that it needs."""
        error = self.future.exception() if self.future.status == "error" else None
        return isinstance(error, KilledWorker) and error.task == self.future.key


@dataclass(slots=True)
class Flight:
    """One step of a partition in flight."""

    partition: Partition
    """The step, as far as it is to be committed."""
    order: int
    """How many steps were drawn before it."""
    tasks: list[Task] = field(default_factory=list)
    """Together they read it."""
    write: Future | None = None
    """Of its report; None while an earlier step of the partition is in flight."""
    attempt: int = 1
    """Tells apart the keys of what is submitted again."""
    failures: int = 0
    """Attempts that failed, and nobody knows why."""

    @property
    def place(self) -> tuple[int, int]:
        """What no other flight has."""
        return self.partition.number, self.partition.step

    def ends_with(self, future: Future) -> bool:
        """Whether that is its write."""
        return self.write is not None and self.write.key == future.key

    def unassigned(self) -> list[Reading]:
        """What none of its tasks reads."""
        known = {reading for task in self.tasks for reading in task.readings}
        return [reading for reading in self.partition.readings if reading not in known]

    def try_again(self) -> None:
        """Get ready for another attempt; tasks that did not fail stay."""
        self.attempt += 1
        self.tasks = [task for task in self.tasks if task.future.status in ("finished", "pending")]

    def keep_what_is_read(self) -> list[Future]:
        """Give up the rest, and the write that waits for it; returns what is to be cancelled."""
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

    def refuse_hopeless(self, error: BaseException) -> None:
        """Raise what another attempt cannot mend.

        Raises
        ------
        StoreError, UsageError
            As it was raised on the worker, unless it may heal.
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


class Suspects:
    """Files that were being read, or waited their turn, when a worker ended.

    Those of one task are tried again each in a task of its own. One that was so is read in a process of its own.
    """

    def __init__(self) -> None:
        self._split: set[Reading] = set()
        self._alone: set[Reading] = set()

    def blame(self, tasks: Iterable[Task]) -> bool:
        """Note the files of tasks that ended with their worker; False when that tells nothing new."""
        before = len(self._split) + len(self._alone)
        for task in tasks:
            if task.killed_a_worker:
                (self._split if len(task.readings) > 1 else self._alone).update(task.readings)
        self._split |= self._alone
        return len(self._split) + len(self._alone) > before

    def divide(
        self, readings: Sequence[Reading], size: int
    ) -> tuple[list[tuple[Reading, ...]], list[tuple[Reading, ...]]]:
        """Which files a task reads, as usual and in a process of its own."""
        together = group((reading for reading in readings if reading not in self._split), size)
        split = [reading for reading in readings if reading in self._split and reading not in self._alone]
        alone = [reading for reading in readings if reading in self._alone]
        return [*together, *((reading,) for reading in split)], [(reading,) for reading in alone]


def first_steps(flights: Iterable[Flight]) -> list[Flight]:
    """Of each partition the step that is to be written next: two at once would be in each other's way."""
    first: dict[int, Flight] = {}
    for flight in flights:
        known = first.setdefault(flight.partition.number, flight)
        if flight.partition.step < known.partition.step:
            first[flight.partition.number] = flight
    return list(first.values())


def in_flight(flights: Collection[Flight]) -> InFlight:
    """Count what is submitted and not committed."""
    tasks = [task for flight in flights for task in flight.tasks]
    return InFlight(
        steps=len(flights),
        tasks=len(tasks),
        files=sum(len(task.readings) for task in tasks),
        unread=sum(len(task.readings) for task in tasks if task.future.status == "pending"),
    )
