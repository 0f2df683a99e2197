"""Waits for the files of the newest runs while NOAA publishes them, and reads them in batches as they come.

A run comes file by file over half an hour to more than an hour, not always in order. One cluster, started with the
first file, reads all batches. What was committed stays: the same command continues a wait that was stopped.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

import numpy as np
from distributed import Client

from hrrr_dask.archive.fetch import Client as ArchiveClient
from hrrr_dask.archive.fetch import FetchSettings, Tally, get_client
from hrrr_dask.archive.messages import is_whole
from hrrr_dask.archive.sources import Source
from hrrr_dask.catalog.products import object_key, usual_publication
from hrrr_dask.clusters import signals
from hrrr_dask.display.progress import Progress, Show
from hrrr_dask.errors import ArchiveError, NotPublishedError, SourceDownError
from hrrr_dask.job.backfill import connect, keep_files, make_report, open_or_describe, read_missing
from hrrr_dask.job.loop import RunResult
from hrrr_dask.job.pipeline import PartitionReport
from hrrr_dask.job.request import Request, utc_now
from hrrr_dask.ledger.state import find_missing_values
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.planning.plan import MissingValues, all_values_of, iter_partitions
from hrrr_dask.planning.runs import EARLY
from hrrr_dask.records import ByteRange, GribFile
from hrrr_dask.report.arrivals import ARRIVAL_COLUMNS, list_arrivals
from hrrr_dask.report.results import Report
from hrrr_dask.store.published import repair_status
from hrrr_dask.store.store import Store

__all__ = ["run_until_complete"]

OVERDUE: Final = timedelta(hours=2)
"""How long after its usual publication a file is waited for."""

FIRST_POLL_S: Final = 30.0
"""Pause after a look that found new files; doubles after each look that found none [s]."""

MAX_POLL_S: Final = 120.0
"""Longest pause between two looks [s]."""

UNCHANGED: Final = timedelta(minutes=5)
"""How long a file without a matching inventory must keep its size to be read, and after which a failed file is read
again although it did not change."""

_MAY_FOLLOW: Final = ("not-published", "truncated", "unreachable", "access-denied", "internal-error", "not-ingested")
"""Outcomes after which a file is still waited for. The others are reasons of a whole file, which do not change."""

_OPEN: Final = [OUTCOMES[name].number for name in (*_MAY_FOLLOW, "complete")]  # complete: for points that are new

Ask = Callable[[], Request]
"""Makes the request anew: the store may have grown since."""


def run_until_complete(
    ask: Ask, deadline: timedelta, *, client: Client | None = None, show: Show | None = None
) -> Report:
    """Read what is missing of a request, and wait for files of its newest runs that are not published yet.

    Parameters
    ----------
    ask : callable
        Makes the request; its period ends with :func:`~hrrr_dask.planning.runs.newest_run`.
    deadline : timedelta
        How long to wait at most. No file is waited for longer than :data:`OVERDUE`.
    client, show
        As for :func:`hrrr_dask.job.backfill.run_backfill`.

    Returns
    -------
    Report
        What was read, the gaps of the period, and when each file of the runs came. Files that did not come are gaps as
        of a backfill, and the next update tries them again.

    Raises
    ------
    UsageError, StoreError, RunError
        As for :func:`hrrr_dask.backfill`. While no source responds, the wait goes on; after the deadline that is an
        error.
    """
    with ExitStack() as stack:
        wait = _Wait(ask, utc_now() + deadline, client, show, stack)
        with signals.call_on_stop(wait.stop.set):
            return wait.run()


@dataclass(frozen=True, slots=True)
class _View:
    """What the store lacks at one moment."""

    request: Request
    store: Store
    todo: MissingValues
    missing: frozenset[GribFile]
    """Files with values to read."""
    open: frozenset[GribFile]
    """Those of them that may still be published, or whose reading may still succeed."""


def _look(ask: Ask) -> _View:
    request = ask()
    store, inits = open_or_describe(request), request.whole_partitions
    states = repair_status(store, inits)
    todo = find_missing_values(states, request.axis, inits, request.now)
    may_follow = replace(todo, wanted=todo.wanted & np.isin(states.codes, _OPEN))
    return _View(request, store, todo, frozenset(_files(request, todo)), frozenset(_files(request, may_follow)))


def _files(request: Request, todo: MissingValues) -> Iterable[GribFile]:
    for partition in iter_partitions(request.plan, request.axis, todo):
        yield from (reading.file for reading in partition.readings)


class _Wait:
    def __init__(self, ask: Ask, until: datetime, client: Client | None, show: Show | None, stack: ExitStack) -> None:
        self.stop = threading.Event()
        self._ask, self._until, self._show = ask, until, show
        self._client, self._connected, self._stack = client, False, stack
        self._began = utc_now()
        self._view = _look(ask)
        self._started = self._view.request.started
        self._progress = Progress(files_total=len(self._view.missing))
        self._reports: list[PartitionReport] = []
        self._arrivals = _Arrivals(self._view.request)
        self._noted: frozenset[GribFile] = frozenset()

    def run(self) -> Report:
        pause_s = FIRST_POLL_S
        while not self.stop.is_set():
            awaited = self._awaited()
            ready = self._arrivals.find(awaited, utc_now())
            batch = ready | (self._view.missing - awaited - self._noted)
            if batch:
                self._read(batch, awaited)
            if not awaited or self.stop.is_set():
                break
            if left := self._awaited():
                pause_s = FIRST_POLL_S if ready else min(2 * pause_s, MAX_POLL_S)
                self._say(left)
                _pause(self.stop, min(pause_s, max((self._until - utc_now()).total_seconds(), 0.0)))
        self._progress.interrupted = self.stop.is_set()
        return self._report()

    def _awaited(self) -> frozenset[GribFile]:
        """Files to wait for; none after the deadline, so that what is missing then is read once more, and noted."""
        now = utc_now()
        if now >= self._until:
            return frozenset()
        return frozenset(file for file in self._view.open if now < usual_publication(file) + OVERDUE)

    def _read(self, batch: frozenset[GribFile], awaited: frozenset[GribFile]) -> None:
        self._view = _look(self._ask)  # another command may have read some of it
        batch &= self._view.missing
        if not batch:
            return
        view, self._progress.notice = self._view, ""
        try:
            _, result = read_missing(
                view.request,
                view.store,
                keep_files(view.request, view.todo, batch),
                self._connect(),
                self._progress,
                self._show,
            )
        except SourceDownError:
            if not awaited:
                raise
            self._arrivals.forget(batch)
            return
        self._reports += result.reports
        if result.interrupted:
            self.stop.set()
        self._view = _look(self._ask)
        self._noted |= (batch & self._view.missing) - (awaited & self._view.open)

    def _connect(self) -> Client:
        if not self._connected:
            with signals.stop_as_interrupt():
                self._client = self._stack.enter_context(connect(self._client, self._view.request.settings))
            self._connected = True
        assert self._client is not None, "connect returns a client"
        return self._client

    def _say(self, awaited: frozenset[GribFile]) -> None:
        runs = ", ".join(f"{init:%Y%m%dT%H}" for init in sorted({file.init_time for file in awaited}))
        self._progress.notice = f"waiting for {len(awaited):,} files of {runs}"
        for name, cause in self._arrivals.down.items():
            self._progress.notice += f"; source {name} does not respond: {cause}"
        if self._show is not None:
            self._show(self._progress)

    def _report(self) -> Report:
        view = replace(self._view, request=replace(self._view.request, started=self._started))
        result = RunResult(tuple(self._reports), self.stop.is_set())
        report = make_report(view.request, view.store, result, self._progress)
        files = sorted(self._files_of_new_runs())
        number = view.request.plan.layout.partition_days * len(view.request.axis.cycles)
        numbers = {view.request.axis.index(file.init_time) // number for file in files}
        tables = view.store.ledger.tables(range(min(numbers), max(numbers) + 1), ARRIVAL_COLUMNS) if files else ()
        return replace(report, arrivals=list_arrivals(tables, files))

    def _files_of_new_runs(self) -> list[GribFile]:
        """Files of the newest run, and of those that were not overdue when the wait began."""
        plan, axis = self._view.request.plan, self._view.request.axis
        files = list(_files(self._view.request, all_values_of(plan, axis)))
        young = {file.init_time for file in files if self._began < usual_publication(file) + OVERDUE}
        return [file for file in files if file.init_time in young | {plan.period.end}]


class _Arrivals:
    """Finds files that were published since."""

    def __init__(self, request: Request) -> None:
        self._sources, self._fetch = request.sources, request.fetch
        self._seen: dict[tuple[Source, GribFile], tuple[int, datetime, bool | None]] = {}
        self._given: dict[GribFile, tuple[tuple[int | None, ...], datetime]] = {}
        self.down: dict[str, str] = {}

    def find(self, awaited: frozenset[GribFile], now: datetime) -> frozenset[GribFile]:
        """Return the files that any source has as a whole; each once, and again when it changes or after a while."""
        self.down = {}
        ready = {file for source in self._sources for file in self._find_in(source, awaited, now)}
        return frozenset(file for file in ready if self._give(file, now))

    def forget(self, files: Iterable[GribFile]) -> None:
        """Return files again although they did not change: they were not read."""
        for file in files:
            self._given.pop(file, None)

    def _give(self, file: GribFile, now: datetime) -> bool:
        sizes = tuple(self._seen.get((source, file), (None,))[0] for source in self._sources)
        before = self._given.get(file)
        if before is not None and before[0] == sizes and now - before[1] < UNCHANGED:
            return False
        self._given[file] = sizes, now
        return True

    def _find_in(self, source: Source, awaited: frozenset[GribFile], now: datetime) -> list[GribFile]:
        found: list[GribFile] = []
        try:
            for file, size in _find_sizes(source, awaited, self._fetch, now).items():
                if self._is_whole(source, file, size, now):
                    found.append(file)
        except ArchiveError as error:
            self.down[source.name] = str(error)
        return found

    def _is_whole(self, source: Source, file: GribFile, size: int, now: datetime) -> bool:
        seen, since, whole = self._seen.get((source, file), (-1, now, None))
        since = since if size == seen else now
        if not whole or size != seen:  # the inventory may follow
            whole = is_whole(get_client(source, self._fetch), file, Tally())
        self._seen[source, file] = size, since, whole
        return bool(whole) or (whole is None and now - since >= UNCHANGED)


def _find_sizes(source: Source, files: Iterable[GribFile], fetch: FetchSettings, now: datetime) -> dict[GribFile, int]:
    """Return the sizes of files that a source has, by one listing a run, or by a request for each file that is due."""
    client, keys = get_client(source, fetch), {object_key(file): file for file in files}
    found: dict[GribFile, int] = {}
    for prefix in sorted({object_key(replace(file, lead_hours=0)).partition("f00.")[0] for file in keys.values()}):
        sizes = client.list_sizes(prefix, Tally())
        if sizes is None:
            return found | {file: size for key, file in keys.items() if (size := _size(client, key, file, now))}
        found |= {keys[key]: size for key, size in sizes.items() if key in keys}
    return found


def _size(client: ArchiveClient, key: str, file: GribFile, now: datetime) -> int | None:
    if now < usual_publication(file) - EARLY:
        return None
    try:
        return client.read_range(key, _BEGINNING, Tally()).size
    except NotPublishedError:
        return None


_BEGINNING: Final = ByteRange(0, 4)


def _pause(stop: threading.Event, seconds: float) -> None:
    stop.wait(seconds)
