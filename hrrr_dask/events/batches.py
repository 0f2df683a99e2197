"""Collects the messages of each run until it is time to read its files. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from hrrr_dask.catalog.products import last_lead_hour
from hrrr_dask.events.messages import NewObject
from hrrr_dask.events.queue import Message
from hrrr_dask.records import GribFile
from hrrr_dask.store.spec import StoreSpec

__all__ = ["Batches", "Told", "files_of_run", "lone_inventories", "retry_delay_s", "wants"]

REMEMBERED: Final = timedelta(days=3)
"""Age, relative to the newest run, up to which the files that are done are remembered."""

LONGEST_RETRY_S: Final = 900.0
"""Longest time until a file that is not there is tried again [s]."""


@dataclass(frozen=True, slots=True)
class Told:
    """A message and the wanted objects that it names."""

    message: Message
    """The message."""
    objects: tuple[NewObject, ...]
    """One or more."""

    @property
    def files(self) -> set[GribFile]:
        """Files of the objects."""
        return {new.file for new in self.objects}

    @property
    def run(self) -> datetime:
        """Init time of the run whose batch the message is in; nearly every message names one file."""
        return min(new.file.init_time for new in self.objects)


@dataclass(slots=True)
class _Run:
    since: float
    told: dict[str, Told] = field(default_factory=dict)

    @property
    def files(self) -> set[GribFile]:
        return {file for told in self.told.values() for file in told.files}


class Batches:
    """Messages that wait to be read, by run.

    Parameters
    ----------
    wait_s : float
        Longest time from the first message of a run until its files are read [s].
    run_files : callable
        Returns the files of a run that the store wants.
    clock : callable
        Returns the current time [s].
    """

    def __init__(
        self, wait_s: float, run_files: Callable[[datetime], Iterable[GribFile]], clock: Callable[[], float]
    ) -> None:
        self._wait_s, self._run_files, self._clock = wait_s, run_files, clock
        self._runs: dict[datetime, _Run] = {}
        self._done: dict[datetime, set[GribFile]] = {}

    def __len__(self) -> int:
        return sum(len(run.told) for run in self._runs.values())

    def add(self, told: Told) -> None:
        """Add a message; if it was received again, its last receipt counts."""
        self._runs.setdefault(told.run, _Run(self._clock())).told[told.message.message_id] = told

    def due_in(self) -> float | None:
        """Return the time until the next run is to be read, 0 if one is now; None without messages [s]."""
        now = self._clock()
        waits = [
            0.0 if self._is_whole(init_time, run) else max(0.0, run.since + self._wait_s - now)
            for init_time, run in self._runs.items()
        ]
        return min(waits, default=None)

    def take(self, *, all_runs: bool = False) -> list[Told]:
        """Remove and return the messages of the runs that are to be read now, oldest run first."""
        now = self._clock()
        ready = sorted(
            init_time
            for init_time, run in self._runs.items()
            if all_runs or self._is_whole(init_time, run) or now - run.since >= self._wait_s
        )
        return [told for init_time in ready for told in self._runs.pop(init_time).told.values()]

    def mark_done(self, files: Iterable[GribFile]) -> None:
        """Remember files that are in the store, so that a run is not waited for longer than for its other files."""
        for file in files:
            self._done.setdefault(file.init_time, set()).add(file)
        oldest = max(self._done, default=datetime.min)
        if oldest - datetime.min > REMEMBERED:
            for init_time in [run for run in self._done if run < oldest - REMEMBERED]:
                del self._done[init_time]

    def is_done(self, file: GribFile) -> bool:
        """Whether a file is remembered as done."""
        return file in self._done.get(file.init_time, ())

    def _is_whole(self, init_time: datetime, run: _Run) -> bool:
        return run.files | self._done.get(init_time, set()) >= set(self._run_files(init_time))


def files_of_run(spec: StoreSpec, init_time: datetime) -> Iterator[GribFile]:
    """Yield the files of a run that a store wants."""
    chosen = spec.selection
    last = last_lead_hour(init_time, chosen.product, chosen.domain)
    for hour in dict.fromkeys(chosen.file_hours):
        if last is not None and hour <= last:
            yield GribFile(init_time, hour, chosen.product, chosen.domain)


def wants(spec: StoreSpec, file: GribFile, now: datetime) -> bool:
    """Return whether a store wants a file: its product, domain, cycles and lead times, from its first day on.

    Parameters
    ----------
    spec : StoreSpec
        The store.
    file : GribFile
        The file.
    now : datetime
        Current time, UTC; no later run can be read.
    """
    chosen = spec.selection
    return (
        (file.product, file.domain) == (chosen.product, chosen.domain)
        and file.init_time.hour in chosen.cycles
        and spec.axis.first_day + timedelta(days=spec.asked_from) <= file.init_time <= now
        and file in files_of_run(spec, file.init_time)
    )


def lone_inventories(batch: Collection[Told], *, seen_files: bool) -> set[GribFile]:
    """Return files of which only the inventory was told, once, where files themselves are told, too.

    Another watcher has the event of the file, and is about to read it: both would read it at the same time.

    Parameters
    ----------
    batch : collection of Told
        Messages about to be read.
    seen_files : bool
        Whether any message so far told of a file itself.
    """
    if not seen_files:
        return set()
    certain = {new.file for told in batch for new in told.objects if not new.is_inventory or told.message.receives > 1}
    return {file for told in batch for file in told.files} - certain


def retry_delay_s(message: Message, visibility_s: float, wait_s: float) -> float:
    """Return the time until a message is received again: longer each time, and longer than a batch takes [s]."""
    retry_s = visibility_s / 2 * float(2 ** min(message.receives - 1, 10))
    return min(max(retry_s, wait_s + 1), LONGEST_RETRY_S)
