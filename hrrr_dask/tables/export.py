"""Exports a store as tables: finds the days that have changed, writes them on a cluster, commits them in batches."""

from __future__ import annotations

import os
import queue
import threading
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from distributed import Client, Future
from distributed.comm import CommClosedError

from hrrr_dask.clusters import check_workers, open_client, parse_cluster, signals
from hrrr_dask.config.period import parse_day
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.display.progress import Count
from hrrr_dask.display.watching import accept_show, show_count
from hrrr_dask.errors import HrrrDaskError, PlanError, RunError
from hrrr_dask.job.request import open_store, resolve_client, url_of
from hrrr_dask.job.waiting import LOST, Watch
from hrrr_dask.objects.locations import normal_url, plain_url
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import Store, partitions_of
from hrrr_dask.tables.day_files import days_per_task, write_day_files
from hrrr_dask.tables.ledger_days import COLUMNS, DayRows, collect_days
from hrrr_dask.tables.places import open_target
from hrrr_dask.tables.report import ExportReport
from hrrr_dask.tables.schema import TableSpec, check_shape, select_variables
from hrrr_dask.tables.targets import DayFile, Target

__all__ = ["export"]

LEDGER_DAYS: Final = 32
"""Days whose ledger is read at once [d]."""

COMMIT_DAYS: Final = 32
"""Days that are committed together; bounds what a kill may lose [d]."""

TASKS_PER_THREAD: Final = 2
"""Tasks in flight for each thread of the cluster: one at work, and one that it finds when that is done."""

_POLL_S: Final = 0.5


@accept_show
def export(
    store: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    format: str = "parquet",  # noqa: A002  the option's name
    layout: str = "long",
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    variables: str | Sequence[str] | None = None,
    with_gaps: bool = False,
    to_options: Mapping[str, str] | None = None,
    table: str | None = None,
    catalog: Mapping[str, str] | None = None,
    client: Client | str | None = None,
    progress: bool | Count | None = None,
    **settings: Any,
) -> ExportReport:
    """Export a store as a table, or update one: only days that have changed in the store are written.

    Readers of the table see each batch of days as before or as after its commit, never in between. An export that was
    killed is completed by the same call.

    Parameters
    ----------
    store : str or path
        An existing store; it can be in use.
    to : str or path
        Where the table is: a directory or ``s3://bucket/prefix`` for Parquet, a file for DuckDB, a warehouse for
        Iceberg. Made if it does not exist, updated if it does.
    format : {'parquet', 'duckdb', 'iceberg'}
        Kind of the table.
    layout : {'long', 'wide'}
        One row for each value, or one column for each variable.
    start, end : str or datetime, optional
        First and last day of init times, both included, UTC; by default all. Other days of the table stay as they are.
    variables : str or sequence of str, optional
        Names of variables of the store; all by default.
    with_gaps : bool
        Make a row of each gap, with a null value and the reason in the column ``gap``. By default, gaps are no rows.
    to_options : mapping of str to str, optional
        Options of the table's endpoint, without secrets; by default those of the store if both are on S3 or both on
        Google's storage.
    table : str, optional
        Name of the table of Iceberg, with its namespace; ``hrrr.forecasts`` by default.
    catalog : mapping of str to str, optional
        Properties of the catalogue of Iceberg, as pyiceberg has them, or the ``name`` of one in its configuration. By
        default, a directory has a catalogue in SQLite, and a bucket that of pyiceberg's configuration.
    client : distributed.Client or str, optional
        As for :func:`hrrr_dask.backfill`. Workers must reach the store, and the place of the table.
    progress : bool or callable, optional
        True for a progress bar, False for nothing; by default, a bar at a terminal or in a notebook. A callable is used
        instead: it is called with the number of days that are up to date, and the total.
    **settings
        Settings of the cluster and ``store_options``, as for :func:`hrrr_dask.backfill`.

    Returns
    -------
    ExportReport
        What was written.

    Raises
    ------
    UsageError
        If the request cannot be met, or the table is of another store or layout; nothing was written.
    StoreError
        If the store cannot be read or the table not be written; what was committed stays.
    RunError
        If the cluster fails; what was committed stays.

    Examples
    --------
    >>> report = hrrr_dask.export("farms.zarr", "tables", layout="wide")
    >>> report.days_written, report.rows
    (2, 54)
    >>> hrrr_dask.export("farms.zarr", "tables", layout="wide").days_written
    0
    """
    began, url, place = time.perf_counter(), url_of(store), url_of(to)
    connected = resolve_client(client, settings)
    resolved = resolve_settings(**settings)
    cluster = parse_cluster(resolved)
    opened = open_store(url, settings)
    existing = opened.existing()
    spec, positions = make_table_spec(opened, existing, layout, variables, with_gaps=with_gaps)
    days = _days(existing, start, end)
    options = _options_of(place, to_options, url, opened.options)
    target = open_target(place, format, spec, options, table, catalog)
    with show_count(progress, "days") as show:
        run = _Run(spec, target, options, days, show)
        changes = _find_changes(run, opened, existing, positions)
        first = next(changes, None)
        if first is not None:
            with signals.call_on_stop(run.interrupt), _cluster(connected, cluster) as workers:
                run.drive(workers, first, changes, resolved["worker-timeout-s"])
        run.commit(run.gone)
    counts = run.counts
    seconds = time.perf_counter() - began
    return ExportReport(url, place, format, layout, **counts, seconds=seconds, interrupted=run.stop.is_set())


def make_table_spec(
    store: Store, existing: Existing, layout: str, variables: str | Sequence[str] | None, *, with_gaps: bool
) -> tuple[TableSpec, list[int]]:
    """Describe the table of a store, and say which of the store's variables it has.

    Raises
    ------
    ConfigError
        If the layout or a variable is unknown.
    """
    selection, points = existing.selection, store.spec.points
    positions = select_variables(variables, [variable.name for variable in selection.variables], existing.url)
    wanted = [selection.variables[k] for k in positions]
    n_points = existing.n_points
    spec = TableSpec(
        store_url=normal_url(store.url),
        store_options=tuple(sorted(store.options.items())),
        shape=check_shape(layout),
        with_gaps=with_gaps,
        variables=tuple(variable.name for variable in wanted),
        units=tuple(variable.units for variable in wanted),
        lead_minutes=selection.lead_minutes,
        axis=existing.axis,
        layout=existing.layout,
        documents={variable.name: existing.documents[variable.name] for variable in wanted},
        point_id=points.point_id[:n_points],
        latitude=points.latitude[:n_points],
        longitude=points.longitude[:n_points],
    )
    return spec, positions


@dataclass(slots=True)
class _Run:
    """An export at work."""

    spec: TableSpec
    target: Target
    options: Mapping[str, str]
    days: range
    """Days of the axis that are wanted."""
    show: Count
    held: dict[date, str] = field(default_factory=dict)
    stop: threading.Event = field(default_factory=threading.Event)
    gone: set[date] = field(default_factory=set)
    written: list[DayFile] = field(default_factory=list)
    """Files to commit."""
    counts: dict[str, int] = field(default_factory=dict)
    """Figures of the report."""
    _empty: int = 0
    """Days without anything in the store."""

    def __post_init__(self) -> None:
        self.held = self.target.read_fingerprints()
        names = ("days_written", "days_unchanged", "days_removed", "rows", "bytes")
        self.counts = dict.fromkeys(names, 0)
        self._show_done()

    def interrupt(self) -> None:
        """Stop, and commit what is written; at once if called again."""
        if self.stop.is_set():
            raise KeyboardInterrupt
        self.stop.set()

    def compare(self, found: Sequence[DayRows], days: range) -> list[DayRows]:
        """Return the days that have changed, of those that the ledger has in a range of the axis."""
        changed = [day for day in found if self.held.get(day.day) != day.fingerprint]
        there = {day.day for day in found}
        self.gone |= {day for day in map(self.spec.day_at, days) if day in self.held and day not in there}
        self.counts["days_unchanged"] += len(found) - len(changed)
        self._empty += len(days) - len(found)
        self._show_done()
        return changed

    def drive(self, client: Client, first: list[DayRows], changes: Iterator[list[DayRows]], limit_s: float) -> None:
        """Write the days that have changed, with a bounded number of tasks in flight, and commit batches."""
        watch = Watch(client, limit_s)
        done: queue.SimpleQueue[Future] = queue.SimpleQueue()
        spec = client.submit(_share, self.spec, key=f"table-{time.time_ns()}", pure=False)
        in_flight: set[Future] = set()
        waiting: list[DayRows] | None = first
        try:
            while in_flight or waiting:
                watch.look(self.counts["days_written"], 0)
                while waiting and not self.stop.is_set() and len(in_flight) < TASKS_PER_THREAD * watch.threads:
                    in_flight.add(future := self._submit(client, spec, waiting))
                    future.add_done_callback(done.put)
                    waiting = next(changes, None)
                if self.stop.is_set():
                    break
                self._take(done, in_flight)
        except (CommClosedError, TimeoutError, CancelledError) as error:
            raise RunError(LOST) from error
        finally:
            if client.status == "running":
                client.cancel(list(in_flight))
            self.commit()

    def _submit(self, client: Client, spec: Future, days: list[DayRows]) -> Future:
        label = f"{days[0].day:%Y%m%d}-{days[0].fingerprint[:6]}-{time.time_ns()}"
        url, options = self.target.files_url, dict(self.options)
        return client.submit(write_day_files, spec, days, url, options, key=f"export-{label}", pure=False)

    def _take(self, done: queue.SimpleQueue[Future], in_flight: set[Future]) -> None:
        """Take the files of a task that is done, if one is done soon."""
        try:
            future = done.get(timeout=_POLL_S)
        except queue.Empty:
            return
        if future not in in_flight:
            return
        in_flight.discard(future)
        if future.status == "cancelled":  # only if the connection is lost
            raise RunError(LOST)
        if future.status == "error":
            error = future.exception()
            if isinstance(error, HrrrDaskError):
                raise error
            raise RunError(
                f"{future.key} failed with {type(error).__name__}: {error}. What was committed stays; run the same "
                "command again"
            ) from error
        self.written += future.result()
        if len(self.written) >= COMMIT_DAYS:
            self.commit()

    def commit(self, gone: Collection[date] = ()) -> None:
        """Commit the files that are written."""
        new = sorted(self.written, key=lambda file: file.day)
        if not new and not gone:
            return
        self.target.commit(new, gone)
        self.written.clear()
        self.counts["days_written"] += len(new)
        self.counts["days_removed"] += len(gone)
        self.counts["rows"] += sum(file.rows for file in new)
        self.counts["bytes"] += sum(file.bytes for file in new)
        self._show_done()

    def _show_done(self) -> None:
        done = self.counts["days_written"] + self.counts["days_unchanged"] + self._empty
        self.show(done, len(self.days))


def _find_changes(run: _Run, store: Store, existing: Existing, positions: Sequence[int]) -> Iterator[list[DayRows]]:
    """Yield the days that have changed, those of one task at a time."""
    spec, partition_days = run.spec, run.spec.layout.partition_days
    span = max(LEDGER_DAYS // partition_days, 1) * partition_days
    size = days_per_task(spec)
    for start in range(run.days.start // span * span, run.days.stop, span):
        days = range(max(start, run.days.start), min(start + span, run.days.stop))
        inits = slice(days.start * spec.cycles, days.stop * spec.cycles)
        tables = store.ledger.tables(partitions_of(existing, inits), COLUMNS)
        changed = run.compare(collect_days(tables, spec, existing.selection, inits, positions), days)
        for first in range(days.start // partition_days * partition_days, days.stop, partition_days):
            own = [day for day in changed if first <= spec.day_number(day.day) < first + partition_days]
            yield from (own[k : k + size] for k in range(0, len(own), size))


def _share(spec: TableSpec) -> TableSpec:
    """Return the table's description as a task's result: Dask computes it again if its worker is lost."""
    return spec


def _days(existing: Existing, start: str | datetime | None, end: str | datetime | None) -> range:
    """Return the days of the axis to export."""
    cycles, axis = len(existing.axis.cycles), existing.axis
    first, last = existing.requested.start // cycles, existing.requested.stop // cycles
    if start is not None:
        first = max(first, (parse_day("start", _as_text(start)) - axis.first_day).days)
    if end is not None:
        last = min(last, (parse_day("end", _as_text(end)) - axis.first_day).days + 1)
    if first >= last:
        there = [axis.init_time(k) for k in (existing.requested.start, existing.requested.stop - 1)]
        raise PlanError(
            f"{existing.url} has no day from {start or 'its first'} to {end or 'its last'}: it has runs from "
            f"{there[0]:%Y-%m-%d} to {there[1]:%Y-%m-%d}"
        )
    return range(first, last)


def _as_text(moment: str | datetime) -> str:
    return moment if isinstance(moment, str) else f"{moment:%Y-%m-%d}"


def _options_of(to: str, given: Mapping[str, str] | None, store: str, options: Mapping[str, str]) -> dict[str, str]:
    """Return the options of the table's endpoint."""
    if given is not None:
        return dict(given)
    schemes = [urlsplit(plain_url(normal_url(url))).scheme for url in (to, store)]
    return dict(options) if schemes[0] == schemes[1] else {}


def _cluster(client: Client | None, spec: Any) -> AbstractContextManager[Client]:
    if client is None:
        return open_client(spec)
    check_workers(client)
    return nullcontext(client)
