"""What the package does, as functions: plan, backfill, update, add. The command line calls these and prints."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Client

import hrrr_dask
from hrrr_dask.batching import parse_files_per_task
from hrrr_dask.clusters import check_workers, open_client
from hrrr_dask.config import resolve_settings
from hrrr_dask.errors import ConfigError, PointsError, StoreMismatchError
from hrrr_dask.existing import load_spec_at, places
from hrrr_dask.folding import HEALING_DAYS, Folded, count_gaps, unfinished
from hrrr_dask.locations import normal_url
from hrrr_dask.pipeline import Job
from hrrr_dask.planning import Plan, Todo, all_of, iter_partitions
from hrrr_dask.points import Points, read_points
from hrrr_dask.probe import place_points
from hrrr_dask.reports import Report
from hrrr_dask.request import Request, asked_period, prepare, target_of, utc_now, whole_partitions
from hrrr_dask.run import Progress, RunResult, run
from hrrr_dask.spec import Growth, StoreSpec
from hrrr_dask.store import Store
from hrrr_dask.variables import parse_variables

__all__ = ["add_points", "add_variables", "backfill", "plan", "update"]

MOST_ENTRIES: Final = 200
"""So many entries of the ledger an update leaves as they are: each one is read whenever its partition is written."""

if TYPE_CHECKING:
    import pandas as pd

    PointsLike = str | os.PathLike[str] | pd.DataFrame | Points
    Show = Callable[[Progress], None]


def plan(
    points: PointsLike | None, start: str | datetime, end: str | datetime, *, store: str = "", **settings: Any
) -> Plan:
    """Say what a backfill would do; nothing is written, and the archive is not read.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        The places; see :func:`hrrr_dask.points.read_points`. None for a store that is there: it has its own.
    start, end : str or datetime
        First and last init time, both included, UTC.
    store : str
        A store to continue: its layout then holds, and what it has is not planned again.
    **settings
        As in :data:`hrrr_dask.config.DEFAULTS`, with underscores.

    Raises
    ------
    UsageError
        If the request cannot be met.
    """
    request = prepare(points, start, end, store, settings)
    if request.spec is None:
        return request.plan
    folded = target_of(request, store).folded(whole_partitions(request))
    to_read = _count_files(request, _todo(request, folded, retry_gaps=False))
    return replace(request.plan, n_done=request.plan.n_files - to_read)


def backfill(
    points: PointsLike | None,
    start: str | datetime,
    end: str | datetime,
    store: str | os.PathLike[str],
    *,
    client: Client | None = None,
    retry_gaps: bool = False,
    show: Show | None = None,
    **settings: Any,
) -> Report:
    """Read every file of a period that the store does not have yet.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        The places; see :func:`hrrr_dask.points.read_points`. None for a store that is there: it has its own.
    start, end : str or datetime
        First and last init time, both included, UTC: dates (as an end: that day's last run) or full hours.
    store : str or path
        URL or directory of the Zarr store; made when it is not there, continued when it is.
    client : distributed.Client, optional
        A cluster of your own; by default the setting ``cluster`` decides.
    retry_gaps : bool
        Read files with gaps again even when their gaps are not expected to heal.
    show : callable, optional
        Called with :class:`~hrrr_dask.run.Progress` as the work goes on.
    **settings
        As in :data:`hrrr_dask.config.DEFAULTS`, with underscores. A store that is there has its own for those that
        are left out.

    Returns
    -------
    Report
        What was done, and the gaps of the period.

    Raises
    ------
    UsageError
        If the request cannot be met; nothing was written.
    StoreError
        If the store cannot be read or written; what was committed stays.
    RunError
        If the cluster fails; what was committed stays.

    Examples
    --------
    >>> report = backfill("farms.csv", "2024-01-01", "2024-01-31", "s3://my-bucket/farms.zarr")  # doctest: +SKIP
    """
    began, url = time.perf_counter(), _url(store)
    request = prepare(points, start, end, url, settings)
    target = target_of(request, url)
    todo = all_of(request.plan, request.axis)
    if request.spec is not None and target.is_open:
        todo = _todo(request, _mended(target, whole_partitions(request)), retry_gaps=retry_gaps)
    return _carry_out(request, target, todo, Growth(), client, show, began)


def update(
    store: str | os.PathLike[str],
    *,
    client: Client | None = None,
    show: Show | None = None,
    end: str | datetime | None = None,
    **settings: Any,
) -> Report:
    """Read the newest runs, and what was missing in the days before them; keep the ledger compact.

    Parameters
    ----------
    store : str or path
        A store that is there.
    client, show
        As for :func:`backfill`.
    end : str or datetime, optional
        The last init time; now by default.
    **settings
        As for :func:`backfill`; what fixes a store is its own.

    Raises
    ------
    StoreMismatchError
        If there is no store.
    """
    url = _url(store)
    spec, folded = _everything(url, settings)
    touched = np.flatnonzero(folded.touched.any(axis=1))
    period = asked_period(spec)
    begin = spec.axis.init_time(spec.asked_from * len(spec.axis.cycles) + int(touched[-1])) if touched.size else None
    start = period.start if begin is None else max(period.start, begin - timedelta(days=HEALING_DAYS))
    last = end or utc_now().replace(minute=0, second=0, microsecond=0)
    report = backfill(None, start, last, url, client=client, show=show, **settings)
    ledger = Store(url, _options(settings.get("store_options") or {}), spec).ledger
    if ledger.n_entries() > MOST_ENTRIES:
        ledger.compact(utc_now())
    return report


def add_points(
    store: str | os.PathLike[str],
    points: PointsLike,
    *,
    client: Client | None = None,
    show: Show | None = None,
    **settings: Any,
) -> Report:
    """Add points to a store, and read them out of every file that the store has been given before.

    Parameters
    ----------
    store : str or path
        A store that is there; it may be in use.
    points : path, DataFrame or Points
        The new places; those that the store has already may be among them.
    client, show, **settings
        As for :func:`backfill`.

    Returns
    -------
    Report
        Of the backfill. Killed or interrupted: the same call again does the rest.

    Raises
    ------
    PointsError
        If a point lies outside the grid, or elsewhere in the store; nothing was written.
    """
    url, new = _url(store), read_points(points)
    spec = _must_load(url, settings)
    known = places(spec.points)
    moved = [p for p, place in places(new).items() if known.get(p, place) != place]
    if moved:
        raise PointsError(f"{', '.join(moved[:5])}: the store has that point_id elsewhere; give new points new ids")
    place_points(new, spec.grid_section, spec.selection.method)
    return _add(url, Growth(points=new), settings, client, show)


def add_variables(
    store: str | os.PathLike[str],
    variables: str | list[str],
    *,
    client: Client | None = None,
    show: Show | None = None,
    **settings: Any,
) -> Report:
    """Add variables to a store, and read them out of every file that the store has been given before.

    Parameters
    ----------
    store : str or path
        A store that is there; it may be in use.
    variables : str or list of str
        Names or selectors, as for :func:`backfill`; those that the store has already may be among them.
    client, show, **settings
        As for :func:`backfill`.

    Returns
    -------
    Report
        Of the backfill. Killed or interrupted: the same call again does the rest.

    Raises
    ------
    ConfigError
        If a variable is unknown, or the store has another one by that name; nothing was written.
    """
    url = _url(store)
    new = parse_variables(resolve_settings(variables=variables)["variables"])
    known = {variable.name: variable for variable in _must_load(url, settings).selection.variables}
    for variable in new:
        if variable.name in known and known[variable.name].selector != variable.selector:
            raise ConfigError(
                f"{url} has {variable.name} as {known[variable.name].selector}, not {variable.selector}: give the new "
                f"one another name, NAME={variable.selector}"
            )
    return _add(url, Growth(variables=new), settings, client, show)


def _add(url: str, growth: Growth, settings: dict[str, Any], client: Client | None, show: Show | None) -> Report:
    """Let the store grow, then read what is missing of all files that it has been given before."""
    began = time.perf_counter()
    store = Store(url, _options(settings.get("store_options") or {}), _must_load(url, settings)).grow(growth)
    period = asked_period(store.spec)
    request = prepare(None, period.start, period.end, url, settings)
    target = target_of(request, url)
    folded = _mended(target, whole_partitions(request))
    todo = _todo(request, folded, retry_gaps=False)
    todo = replace(todo, wanted=todo.wanted & folded.touched[None])
    return _carry_out(request, target, todo, Growth(), client, show, began)


def _carry_out(
    request: Request, target: Store, todo: Todo, growth: Growth, client: Client | None, show: Show | None, began: float
) -> Report:
    to_read = _count_files(request, todo)
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


def _mended(target: Store, inits: slice) -> Folded:
    """How the values stand; where a writer was killed after its commit, ``status`` is brought up to it."""
    folded = target.folded(inits)
    if stale := target.stale_status(folded, inits):
        target.follow_ledger(stale)
    return folded


def _todo(request: Request, folded: Folded, *, retry_gaps: bool) -> Todo:
    return unfinished(folded, request.axis, whole_partitions(request), request.now, retry_gaps=retry_gaps)


def _count_files(request: Request, todo: Todo) -> int:
    return sum(len(partition.readings) for partition in iter_partitions(request.plan, request.axis, todo))


def _everything(url: str, settings: dict[str, Any]) -> tuple[StoreSpec, Folded]:
    spec = _must_load(url, settings)
    cycles = len(spec.axis.cycles)
    target = Store(url, _options(settings.get("store_options") or {}), spec)
    return spec, target.folded(slice(spec.asked_from * cycles, spec.n_days * cycles))


def _must_load(url: str, settings: dict[str, Any]) -> StoreSpec:
    spec = load_spec_at(url, _options(settings.get("store_options") or {}))
    if spec is None:
        raise StoreMismatchError(f"{url} holds no store: check the URL, or make one with hrrr-dask backfill")
    return spec


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
    )


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
        package_version=hrrr_dask.__version__,
        files_per_task=parse_files_per_task(settings["files-per-task"]) or 0,
    )


def _cluster(client: Client | None, settings: dict[str, Any]) -> AbstractContextManager[Client]:
    if client is None:
        return open_client(settings["cluster"], settings["workers"])
    check_workers(client)
    return nullcontext(client)


def _url(store: str | os.PathLike[str]) -> str:
    url = os.fspath(store)
    if not url.strip():
        raise ConfigError("the store's URL is empty: give --store a directory or s3://bucket/prefix")
    return url


def _options(options: dict[str, str]) -> dict[str, str]:
    return {**resolve_settings()["store-options"], **options}


def _silent(progress: Progress) -> None:
    del progress
