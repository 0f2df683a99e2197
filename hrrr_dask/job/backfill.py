"""Carrying out what was asked: the store made or grown, its partitions given to the cluster, and the report."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Client
from numpy.typing import NDArray

import hrrr_dask
from hrrr_dask.clusters import check_workers, open_client, parse_cluster
from hrrr_dask.job.batching import parse_files_per_task
from hrrr_dask.job.loop import Progress, RunResult, run
from hrrr_dask.job.pipeline import Job
from hrrr_dask.job.request import Request, whole_partitions
from hrrr_dask.ledger.state import Folded, count_gaps, missing, unfinished
from hrrr_dask.objects.locations import normal_url
from hrrr_dask.planning.plan import Todo, iter_partitions
from hrrr_dask.records import GribFile
from hrrr_dask.report.results import Report
from hrrr_dask.store.spec import Growth
from hrrr_dask.store.store import Store

if TYPE_CHECKING:
    Show = Callable[[Progress], None]

__all__ = ["carry_out", "count_files", "todo_of"]

MOST_NAMED: Final = 20
"""Files with gaps that a report names; the ledger has all."""


def carry_out(
    request: Request, target: Store, todo: Todo, growth: Growth, client: Client | None, show: Show | None, began: float
) -> Report:
    """Read what is to do into the store, and say what came of it.

    Parameters
    ----------
    request : Request
        What was asked for.
    target : Store
        Where it goes; made first when it is not there yet.
    todo : Todo
        What is to be read of it.
    growth : Growth
        What the store is to have at least, besides the period's days.
    client : distributed.Client, optional
        A cluster of the user's; by default the setting ``cluster`` decides.
    show : callable, optional
        Called as the work goes on.
    began : float
        When the command did, of :func:`time.perf_counter` [s].
    """
    to_read = count_files(request, todo)
    result = RunResult((), interrupted=False)
    if to_read:
        period = request.plan.period
        growth = replace(
            growth, asked_from=request.axis.days_to(period.start) - 1, n_days=request.axis.days_to(period.end)
        )
        with _cluster(client, request.settings) as connected:
            target = target.ready(growth)
            progress = Progress(files_total=to_read, dashboard=connected.dashboard_link or "")
            partitions = iter_partitions(request.plan, request.axis, todo)
            result = run(connected, _job(request, target), partitions, progress, show or _silent)
    return _report(request, target, result, to_read, time.perf_counter() - began)


def todo_of(request: Request, folded: Folded, *, retry_gaps: bool) -> Todo:
    """What of the request is not in the store."""
    return unfinished(folded, request.axis, whole_partitions(request), request.now, retry_gaps=retry_gaps)


def count_files(request: Request, todo: Todo) -> int:
    """How many files that is."""
    return sum(len(partition.readings) for partition in iter_partitions(request.plan, request.axis, todo))


def _report(request: Request, target: Store, result: RunResult, to_read: int, seconds: float) -> Report:
    made, reports = request.plan, result.reports
    inits = slice(request.axis.index(made.period.start), request.axis.index(made.period.end) + 1)
    codes = target.folded(inits).codes
    by_variable = {
        variable.name: sum(count_gaps(own).values())
        for variable, own in zip(made.selection.variables, codes, strict=True)
    }
    return Report(
        store=target.url,
        files_wanted=made.n_files,
        files_done_before=made.n_files - to_read,
        files_read=sum(report.files for report in reports),
        gaps=count_gaps(codes),
        gaps_by_variable={name: count for name, count in by_variable.items() if count},
        partitions_written=len({report.number for report in reports}),
        bytes_read=sum(report.bytes_read for report in reports),
        requests=sum(report.requests for report in reports),
        bytes_written=sum(report.bytes_written for report in reports),
        seconds=seconds,
        interrupted=result.interrupted,
        decoded_by=dict(sum((Counter(report.decoded_by) for report in reports), Counter())),
        first_files_with_gaps=tuple(islice(_with_gaps(request, inits.start, codes), MOST_NAMED)),
    )


def _with_gaps(request: Request, first: int, codes: NDArray[np.uint8]) -> Iterator[str]:
    """Labels of the files of which something is missing, by init time and lead time."""
    selection = request.plan.selection
    for at, lead in np.argwhere(missing(codes).any(axis=0)).tolist():
        init_time, lead_hours = request.axis.init_time(first + at), selection.lead_hours[lead]
        yield GribFile(init_time, lead_hours, selection.product, selection.domain).label


def _job(request: Request, store: Store) -> Job:
    settings = request.settings
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
        files_per_task=parse_files_per_task(settings["files-per-task"]) or 0,
    )


def _cluster(client: Client | None, settings: dict[str, Any]) -> AbstractContextManager[Client]:
    if client is None:
        return open_client(parse_cluster(settings))
    check_workers(client)
    return nullcontext(client)


def _silent(progress: Progress) -> None:
    del progress
