"""Runs a backfill: open or make the store, find what is missing, read it on a cluster, report.

:func:`run_backfill` is the whole sequence; every public function that reads the archive into a store ends in it.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime
from itertools import islice
from typing import Any, Final

import numpy as np
from distributed import Client
from numpy.typing import NDArray

import hrrr_dask
from hrrr_dask.archive.breaker import find_outage
from hrrr_dask.archive.grid_probe import find_point_cells, probe_grid
from hrrr_dask.clusters import check_workers, open_client, parse_cluster
from hrrr_dask.dashboard.publish import shown_on_page
from hrrr_dask.display.progress import Progress, Show
from hrrr_dask.grid.definition import read_grid
from hrrr_dask.job.batching import parse_files_per_task
from hrrr_dask.job.loop import RunResult, run
from hrrr_dask.job.pipeline import Job
from hrrr_dask.job.probe import probe_files, read_surface, read_unknown_surface, warn_of_odd_cells
from hrrr_dask.job.request import Request
from hrrr_dask.ledger.state import ValueStates, count_gaps, find_missing_values, missing
from hrrr_dask.objects.forks import refuse_if_lost
from hrrr_dask.objects.locations import normal_url
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.planning.plan import MissingValues, all_values_of, iter_partitions
from hrrr_dask.records import GribFile
from hrrr_dask.report.results import Report
from hrrr_dask.store.published import repair_status
from hrrr_dask.store.spec import Growth, StoreSpec
from hrrr_dask.store.store import Store, read_states
from hrrr_dask.telemetry.logs import context as log_context
from hrrr_dask.telemetry.logs import get_log

__all__ = [
    "connect",
    "count_files_to_read",
    "find_missing",
    "keep_files",
    "make_report",
    "open_or_describe",
    "read_missing",
    "run_backfill",
]

_log = get_log()

MAX_NAMED_FILES: Final = 20
"""Most files with gaps that a report names; the ledger has all."""


def run_backfill(
    request: Request,
    *,
    client: Client | None = None,
    show: Show | None = None,
    retry_gaps: bool = False,
    only_attempted: bool = False,
    only: Collection[GribFile] | None = None,
) -> Report:
    """Read what is missing of a request into its store.

    Parameters
    ----------
    request : Request
        Of :func:`hrrr_dask.job.request.check_request`.
    client : distributed.Client, optional
        A cluster of the user's; by default the setting ``cluster`` decides.
    show : callable, optional
        Called with :class:`~hrrr_dask.display.progress.Progress`, when the cluster is there and as the work goes on.
    retry_gaps : bool
        Read files with gaps again, however old.
    only_attempted : bool
        Read only files that the store has attempted before, for the points and variables that are new.
    only : collection of GribFile, optional
        Read no other files than these of the request.

    Returns
    -------
    Report
        What was read, and the gaps of the request's period.

    Raises
    ------
    UsageError, StoreError, RunError
        As for :func:`hrrr_dask.backfill`.
    """
    refuse_if_lost("obstore", f"write to {request.store_url}")
    store = open_or_describe(request)
    if request.spec is None:
        warn_of_odd_cells(store.spec.points, store.spec.surface)
    missing_values = find_missing(request, store, retry_gaps=retry_gaps, only_attempted=only_attempted)
    if only is not None:
        missing_values = keep_files(request, missing_values, only)
    result = RunResult((), interrupted=False)
    progress = Progress(files_total=_count_files(request, missing_values))
    if progress.files_total:
        with connect(client, request.settings) as connected:
            store, result = read_missing(request, store, missing_values, connected, progress, show)
    return make_report(request, store, result, progress)


def read_missing(
    request: Request,
    store: Store,
    missing_values: MissingValues,
    client: Client,
    progress: Progress,
    show: Show | None = None,
) -> tuple[Store, RunResult]:
    """Make the store or grow it to the request's period, and read missing values into it.

    Parameters
    ----------
    request : Request
        The request.
    store : Store
        Of :func:`open_or_describe`.
    missing_values : MissingValues
        Of :func:`find_missing`.
    client : distributed.Client
        The cluster, of :func:`connect`.
    progress : Progress
        Updated in place.
    show : callable, optional
        Called after every change; by default, what the run waits for is logged.

    Returns
    -------
    store : Store
        The store as it is now.
    result : RunResult
        What was committed.
    """
    first_day, n_days = request.days
    surface = read_unknown_surface(request)
    store = store.make_or_grow(Growth(asked_from=first_day, n_days=n_days, known=surface))
    progress.dashboard = client.dashboard_link or ""
    partitions = iter_partitions(request.plan, request.axis, missing_values)
    show, job = show or _LogNotices(), _job(request, store)
    page = shown_on_page(client, progress, store.url, request.settings["dollars-per-core-hour"])
    with log_context(job=job.job_id), page:
        _log.info("run started", store=job.store_url, files=progress.files_total)
        show(progress)
        result = run(client, job, partitions, progress, show)
        files = sum(report.files for report in result.reports)
        _log.info("run interrupted" if result.interrupted else "run ended", store=job.store_url, files=files)
    return store, result


def open_or_describe(request: Request) -> Store:
    """Open the request's store, or describe the store that will be made. Writes nothing.

    For a new store, the grid is read from the archive, and every point is checked to lie on it. The elevation and land
    mask of the points' cells are read, too.
    """
    spec = request.spec
    if spec is None:
        probed = probe_grid(probe_files(request), request.sources, request.fetch)
        cells = find_point_cells(request.points, probed.grid_section, request.plan.selection.method)
        first_day, n_days = request.days
        spec = StoreSpec(
            selection=request.plan.selection,
            points=request.points,
            cells=cells,
            grid_section=probed.grid_section,
            layout=request.plan.layout,
            axis=request.axis,
            asked_from=first_day,
            n_days=n_days,
            package_version=hrrr_dask.__version__,
            sources=tuple(request.settings["source"]),
            surface=read_surface(probed, read_grid(probed.grid_section), cells, request),
        )
    return Store(request.store_url, request.settings["store-options"], spec)


def find_missing(
    request: Request, store: Store, *, retry_gaps: bool = False, only_attempted: bool = False
) -> MissingValues:
    """Find the values of a request that the store lacks, and repair ``status`` where it is stale.

    Parameters
    ----------
    request : Request
    The request.
    store : Store
        Of :func:`open_or_describe`.
    retry_gaps, only_attempted : bool
        As for :func:`run_backfill`.
    """
    if request.spec is None or not store.is_open:
        return all_values_of(request.plan, request.axis)
    inits = request.whole_partitions
    states = repair_status(store, inits)
    todo = find_missing_values(states, request.axis, inits, request.now, retry_gaps=retry_gaps)
    return replace(todo, wanted=todo.wanted & states.attempted[None]) if only_attempted else todo


def keep_files(request: Request, values: MissingValues, files: Collection[GribFile]) -> MissingValues:
    """Leave out the values of all other files."""
    kept = np.zeros(values.wanted.shape[1:], dtype=bool)
    hours = np.asarray(request.plan.selection.file_hours)
    for file in files:
        kept[request.axis.index(file.init_time) - values.start, hours == file.lead_hours] = True
    return replace(values, wanted=values.wanted & kept[None])


def count_files_to_read(request: Request) -> int:
    """Count the files that :func:`run_backfill` would read. Writes nothing and does not read the archive."""
    if request.spec is None:
        return request.plan.n_files
    inits = request.whole_partitions
    states = open_or_describe(request).value_states(inits)
    return _count_files(request, find_missing_values(states, request.axis, inits, request.now))


def _count_files(request: Request, todo: MissingValues) -> int:
    return sum(len(partition.readings) for partition in iter_partitions(request.plan, request.axis, todo))


def make_report(request: Request, store: Store, result: RunResult, progress: Progress) -> Report:
    """Report what was read, and the gaps that the ledger now has in the request's period."""
    plan, reports = request.plan, result.reports
    inits = slice(request.axis.index(plan.period.start), request.axis.index(plan.period.end) + 1)
    codes = _own_states(request, store, inits).codes
    by_variable = {
        variable.name: sum(count_gaps(own).values())
        for variable, own in zip(plan.selection.variables, codes, strict=True)
    }
    return Report(
        store=store.url,
        files_wanted=plan.n_files,
        files_done_before=plan.n_files - progress.files_total,
        files_read=sum(report.files for report in reports),
        gaps=count_gaps(codes),
        gaps_by_variable={name: count for name, count in by_variable.items() if count},
        partitions_written=len({report.number for report in reports}),
        bytes_read=sum(report.bytes_read for report in reports),
        requests=sum(report.requests for report in reports),
        bytes_written=sum(report.bytes_written for report in reports),
        seconds=time.perf_counter() - request.started,
        interrupted=result.interrupted,
        decoded_by=dict(sum((Counter(report.decoded_by) for report in reports), Counter())),
        skipped_sources=progress.skipped_sources,
        first_files_with_gaps=tuple(islice(_with_gaps(request, inits.start, codes), MAX_NAMED_FILES)),
        newest_run=_newest_run(request, inits.start, codes),
    )


def _newest_run(request: Request, first: int, codes: NDArray[np.uint8]) -> datetime | None:
    """Return the last init time with a value, or nothing. Codes have the dims (variable, init_time, lead_time)."""
    runs = np.flatnonzero((codes == COMPLETE).any(axis=(0, 2)))
    return request.axis.init_time(first + int(runs[-1])) if runs.size else None


def _own_states(request: Request, store: Store, inits: slice) -> ValueStates:
    """Return the state of the request's own variables and points: other commands may have added more meanwhile."""
    cohorts = tuple(cohort for cohort in store.spec.cohorts if cohort.n_points <= len(request.points))
    return read_states(store.ledger, replace(store.spec, selection=request.plan.selection, cohorts=cohorts), inits)


def _with_gaps(request: Request, first: int, codes: NDArray[np.uint8]) -> Iterator[str]:
    """Yield the labels of files with gaps, ordered by init time and lead time."""
    selection = request.plan.selection
    places = np.argwhere(missing(codes).any(axis=0)).tolist()
    for at, hour in dict.fromkeys((at, selection.file_hours[lead]) for at, lead in places):
        yield GribFile(request.axis.init_time(first + at), hour, selection.product, selection.domain).label


def _job(request: Request, store: Store) -> Job:
    settings, outage = request.settings, find_outage(request.sources, request.fetch)
    return Job(
        job_id=uuid.uuid4().hex[:8],
        spec=store.spec,
        store_url=normal_url(store.url),
        store_options=tuple(sorted(settings["store-options"].items())),
        sources=request.sources,
        fetch=request.fetch,
        engine=settings["engine"],
        merge_gap_bytes=settings["fetch"]["merge-gap-kb"] * 1024,
        prefix_reads=settings["fetch"]["prefix-reads"],
        package_version=hrrr_dask.__version__,
        worker_timeout_s=settings["worker-timeout-s"],
        files_per_task=parse_files_per_task(settings["files-per-task"]) or 0,
        sources_down=outage.down,
        sources_slow=outage.slow,
    )


def connect(client: Client | None, settings: dict[str, Any]) -> AbstractContextManager[Client]:
    """Check the user's client, or start or connect to the cluster of the settings."""
    if client is None:
        return open_client(parse_cluster(settings))
    check_workers(client)
    return nullcontext(client)


class _LogNotices:
    """Logs what a run waits for, where nobody shows its progress."""

    def __init__(self) -> None:
        self._said = ""

    def __call__(self, progress: Progress) -> None:
        if progress.notice != self._said:
            self._said = progress.notice
            _log.warning(self._said or "the run continues")
