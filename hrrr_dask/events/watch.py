"""Watches a queue: messages to files, files to committed values, and only then messages deleted."""

from __future__ import annotations

import copy
import math
import os
import time
from collections import Counter
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from threading import Lock
from typing import Any, Final

from distributed import Client

from hrrr_dask.api import update
from hrrr_dask.clusters import open_client, parse_cluster, signals
from hrrr_dask.config.duration import format_age, parse_duration
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.display.figures import format_count
from hrrr_dask.display.progress import Show
from hrrr_dask.display.watching import show_run
from hrrr_dask.errors import ConfigError, RunError, SourceDownError
from hrrr_dask.events.batches import Batches, Told, files_of_run, lone_inventories, retry_delay_s, wants
from hrrr_dask.events.messages import UnreadableMessageError, parse_message
from hrrr_dask.events.queue import AT_ONCE, Message, Queue, open_queue, parse_queue
from hrrr_dask.events.reading import find_done, newest_run, partition_groups, read_files
from hrrr_dask.events.trouble import Troubles
from hrrr_dask.job.request import open_store, requested_period, resolve_client, url_of, utc_now
from hrrr_dask.records import GribFile
from hrrr_dask.report.watched import WatchReport
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.telemetry.logs import get_log

__all__ = ["watch"]

_log = get_log()

POLL_S: Final = 5
"""Longest time that a request waits for a message; a signal is noticed after it at the latest [s]."""

RECEIVERS: Final = 8
"""Requests to the queue at once while there are many messages."""

MOST_HELD: Final = 2_000
"""Messages above which files are read before more are received."""

SWEEP_DELAY: Final = timedelta(hours=3)
"""Age of the newest run that a sweep reads: events tell of younger ones, whose files still appear."""

SILENCE_S: Final = 60.0
"""Time after which a queue that does not respond is told of [s]."""

QUEUE_PAUSE_S: Final = 10.0
"""Pause after the queue did not respond [s]."""


def watch(
    store: str | os.PathLike[str],
    queue: str,
    *,
    queue_options: Mapping[str, str] | None = None,
    batch_wait: str | float | timedelta = "60s",
    run_for: str | float | timedelta | None = None,
    once: bool = False,
    sweep: str | float | timedelta = "1h",
    client: Client | str | None = None,
    progress: bool | Show | None = False,
    say: Callable[[str], None] | None = None,
    on_change: Callable[[str, bool], None] | None = None,
    **settings: Any,
) -> WatchReport:
    """Read files into a store as messages of an SQS queue tell of them, until a signal arrives.

    A message is deleted after the values of its file are committed. Any number of watchers can share a queue.

    Parameters
    ----------
    store : str or path
        An existing store.
    queue : str
        URL of an SQS queue that is subscribed to NOAA's topic, or gets the events of another bucket.
    queue_options : mapping of str to str, optional
        ``endpoint``, ``region``, and ``visibility``: the time after which the messages of a killed watcher are
        received again (``120s``).
    batch_wait : str, float or timedelta
        Longest wait for further files of a run before those that are told are read; a number is seconds.
    run_for : str, float or timedelta, optional
        End after this time; by default, only a signal ends it.
    once : bool
        End when the queue is empty.
    sweep : str, float or timedelta
        Interval at which :func:`hrrr_dask.update` reads runs older than three hours of which no message told; with
        `once`, one sweep at the end. 0 for none.
    client : distributed.Client or str, optional
        As for :func:`hrrr_dask.backfill`. A cluster that is started here stays until the end.
    progress : bool or callable, optional
        As for :func:`hrrr_dask.backfill`, for each batch.
    say : callable, optional
        Called with a line of text after each batch and sweep; by default, the lines are logged.
    on_change : callable, optional
        Called with a sentence and False when the queue or the archive does not respond, and once with True when it
        does again.
    **settings
        As for :func:`hrrr_dask.update`.

    Returns
    -------
    WatchReport
        Numbers of messages and files, and how old the newest run of the store is.

    Raises
    ------
    ConfigError
        If the queue does not exist or denies access, or a setting is invalid.
    StoreMismatchError
        If there is no store.
    StoreError, RunError
        If the store or the cluster fails; messages of files that are not committed go back to the queue.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with hrrr_dask.testing.loopback_s3() as server, patch.dict("os.environ", server.environment()):
    ...     queue = server.client("sqs").create_queue(QueueName="new-files")["QueueUrl"]
    ...     report = hrrr_dask.watch("farms.zarr", queue, once=True, sweep=0)
    >>> report.messages, report.files_read
    (0, 0)
    """
    spec = parse_queue(queue, queue_options)
    wait_s, sweep_s = parse_duration("batch-wait", batch_wait), parse_duration("sweep", sweep)
    for_s = math.inf if run_for is None else parse_duration("for", run_for)
    if once and run_for is not None:
        raise ConfigError("once and for say in two ways when to end: give one of them")
    url, connected = url_of(store), resolve_client(client, settings)
    known = open_store(url, settings).spec
    parse_cluster(resolve_settings(**settings))
    opened = open_queue(spec)
    with ExitStack() as stack:
        say, troubles = say or _log.info, Troubles(on_change, time.monotonic)
        watcher = _Watcher(url, known, opened, wait_s, settings, connected, progress, say, troubles, stack)
        stack.enter_context(signals.call_on_stop(watcher.stop))
        stack.enter_context(opened.extending())
        stack.callback(watcher.release)
        watcher.run(for_s, sweep_s, once=once)
        return watcher.report()


class _Watcher:
    def __init__(
        self,
        url: str,
        spec: StoreSpec,
        queue: Queue,
        wait_s: float,
        settings: dict[str, Any],
        client: Client | None,
        progress: bool | Show | None,
        say: Callable[[str], None],
        troubles: Troubles,
        stack: ExitStack,
    ) -> None:
        self._url, self._spec, self._queue, self._wait_s = url, spec, queue, wait_s
        self._settings, self._client, self._progress, self._say = settings, client, progress, say
        self._troubles, self._stack = troubles, stack
        self._batches = Batches(wait_s, lambda init_time: files_of_run(self._spec, init_time), time.monotonic)
        self._counts: Counter[str] = Counter()
        self._lock = Lock()
        self._began, self._stopped_at = time.monotonic(), 0.0
        self._seen_files = False
        self._newest = newest_run(url, settings)

    def run(self, for_s: float, sweep_s: float, *, once: bool) -> None:
        """Receive, read and delete until it is time to end."""
        self._say(f"watching {self._queue.spec.url}; {self._age()}")
        end, next_sweep = self._began + for_s, self._began + (sweep_s or math.inf)
        with ThreadPoolExecutor(RECEIVERS, thread_name_prefix="hrrr-receive") as pool:
            while not self._stopped_at:
                received = self._receive(pool, min(end, next_sweep), once=once)
                at_once = len(self._batches) >= MOST_HELD or (once and not received)
                self._read(self._batches.take(all_runs=at_once), once=once)
                now = time.monotonic()
                if once and not received and not len(self._batches):
                    break
                if now >= next_sweep and not once and not self._stopped_at:
                    self._sweep()
                    next_sweep = time.monotonic() + sweep_s
                if now >= end:
                    break
        if once and sweep_s and not self._stopped_at:
            self._sweep()

    def stop(self) -> None:
        """End after what is being done; a second signal, a second later or more, ends at once."""
        if self._stopped_at and time.monotonic() - self._stopped_at > 1:
            raise KeyboardInterrupt
        self._stopped_at = self._stopped_at or time.monotonic()

    def release(self) -> None:
        """Let the messages that are held be received at once by other watchers."""
        try:
            self._queue.postpone(self._queue.held, lambda _: 0)
        except (ConfigError, RunError) as error:
            _log.warning(f"messages come again only after {self._queue.spec.visibility_s} s: {error}")

    def report(self) -> WatchReport:
        """Return what was done."""
        count = self._counts
        return WatchReport(
            store=self._url,
            queue=self._queue.spec.url,
            messages=count["messages"],
            ignored=count["ignored"],
            unreadable=count["unreadable"],
            files_told=count["told"],
            files_done_before=count["done_before"],
            files_read=count["read"],
            files_swept=count["swept"],
            times_left=count["left"],
            sweeps=count["sweeps"],
            newest_run=self._newest,
            newest_run_age_s=None if self._newest is None else (utc_now() - self._newest).total_seconds(),
            seconds=time.monotonic() - self._began,
            interrupted=bool(self._stopped_at),
        )

    def _receive(self, pool: ThreadPoolExecutor, until: float, *, once: bool) -> int:
        """Receive messages, waiting for the first; many at once while there are many. Returns their number."""
        left = min(until - time.monotonic(), POLL_S, math.inf if (due := self._batches.due_in()) is None else due)
        most_s = time.monotonic() + self._queue.spec.visibility_s / 3
        try:
            received = newest = self._take(1 if once else max(0, math.ceil(left)))
            while newest >= AT_ONCE and len(self._batches) < MOST_HELD and not self._stopped_at:
                if (self._batches.due_in() == 0 and not once) or time.monotonic() > most_s:
                    break
                newest = sum(pool.map(self._take, [0] * RECEIVERS))
                received += newest
        except RunError as error:
            if once:
                raise
            self._troubles.fails("queue", f"{error}", lasting_s=SILENCE_S)
            self._say(f"{error}; trying again")
            time.sleep(min(QUEUE_PAUSE_S, max(0.0, until - time.monotonic())))
            return 0
        self._troubles.works("queue")
        return received

    def _take(self, wait_s: int) -> int:
        """Receive up to ten messages, and delete those of other files at once. Returns their number."""
        messages = self._queue.receive(wait_s)
        foreign: list[Message] = []
        now = utc_now()
        with self._lock:
            for message in messages:
                self._counts["messages"] += 1
                try:
                    objects = parse_message(message.body)
                except UnreadableMessageError as error:
                    self._counts["unreadable"] += 1
                    _log.warning(f"a message is left to the queue's redrive policy: {error}")
                    continue
                objects = tuple(new for new in objects if wants(self._spec, new.file, now))
                if not objects:
                    self._counts["ignored"] += 1
                    foreign.append(message)
                    continue
                self._seen_files |= any(not new.is_inventory for new in objects)
                self._queue.hold([message])
                self._batches.add(Told(message, objects))
        self._queue.delete(foreign)
        return len(messages)

    def _read(self, batch: list[Told], *, once: bool) -> None:
        """Read the files of messages, partition by partition, and delete the messages of those that are done."""
        if not batch:
            return
        store = open_store(self._url, self._settings)
        self._spec = store.spec
        files = {file for told in batch for file in told.files}
        done = {file for file in files if self._batches.is_done(file)}
        lone = set() if once else lone_inventories(batch, seen_files=self._seen_files)
        n_before, n_read = len(done), 0
        for group in partition_groups(self._spec, files):
            found = find_done(store, group)
            n_before += len(found - done)
            wanted = [file for file in group if file not in found | done | lone]
            if wanted and not self._stopped_at:
                n_read += self._read_group(wanted)
                found |= find_done(store, wanted)
            done |= found
            self._batches.mark_done(found)
            batch = self._delete_done(batch, done)
        visibility_s = self._queue.spec.visibility_s
        self._queue.postpone([told.message for told in batch], lambda m: retry_delay_s(m, visibility_s, self._wait_s))
        self._counts.update(told=len(files), done_before=n_before, read=n_read, left=len(files - done - lone))
        if n_read or files - done - lone:
            self._newest = newest_run(self._url, self._settings)
            runs = format_count(len({file.init_time for file in files}), "run")
            left = len(files - done)
            self._say(f"read {format_count(n_read, 'file')} of {runs}, left {left:,} in the queue; {self._age()}")

    def _read_group(self, files: list[GribFile]) -> int:
        """Read files of one partition; returns how many were read and committed."""
        try:
            with show_run(self._progress) as show:
                report = read_files(self._url, files, self._settings, self._connected(), show)
        except SourceDownError as error:
            self._troubles.fails("archive", f"{error}")
            self._say(f"{error}; the files stay in the queue")
            return 0
        self._troubles.works("archive")
        if report is not None and report.interrupted:
            self._stopped_at = self._stopped_at or time.monotonic()
        return 0 if report is None else report.files_read

    def _delete_done(self, batch: list[Told], done: set[GribFile]) -> list[Told]:
        """Delete the messages whose files are all done; returns the others."""
        self._queue.delete(told.message for told in batch if told.files <= done)
        return [told for told in batch if not told.files <= done]

    def _sweep(self) -> None:
        """Read what no message told of."""
        spec = open_store(self._url, self._settings).spec
        end = (utc_now() - SWEEP_DELAY).replace(minute=0, second=0, microsecond=0)
        if requested_period(spec).start > end:
            return
        try:
            report = update(
                self._url, client=self._connected(), progress=self._progress, end=end, **copy.deepcopy(self._settings)
            )
        except SourceDownError as error:
            self._troubles.fails("archive", f"{error}")
            self._say(f"{error}; the next sweep tries again")
            return
        self._troubles.works("archive")
        if report.interrupted:
            self._stopped_at = self._stopped_at or time.monotonic()
        self._counts.update(swept=report.files_read, sweeps=1)
        self._newest = newest_run(self._url, self._settings)
        self._say(f"a sweep read {format_count(report.files_read, 'file')} that no message told of; {self._age()}")

    def _connected(self) -> Client:
        """Return the client; a cluster is started when files are read for the first time."""
        if self._client is None:
            self._client = self._stack.enter_context(open_client(parse_cluster(resolve_settings(**self._settings))))
        return self._client

    def _age(self) -> str:
        if self._newest is None:
            return "the store has no run yet"
        age = format_age((utc_now() - self._newest).total_seconds())
        return f"the newest run is {self._newest:%Y-%m-%dT%H}, {age} old"
