"""What the package does, as functions: plan, backfill, status. The command line calls these and prints."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
from distributed import Client
from numpy.typing import NDArray

import hrrr_dask
from hrrr_dask.blobs import Blobs
from hrrr_dask.clusters import check_cluster, check_workers, open_client
from hrrr_dask.config import parse_period, parse_selection, resolve_settings
from hrrr_dask.decode import engine_named
from hrrr_dask.errors import ConfigError, PlanError, StoreMismatchError
from hrrr_dask.existing import Existing, find_store_at
from hrrr_dask.fetch import FetchSettings
from hrrr_dask.ledger import Ledger, count_gaps, finished
from hrrr_dask.locations import check_options, normal_url
from hrrr_dask.outcomes import COMPLETE, NOT_OFFERED
from hrrr_dask.pipeline import Job
from hrrr_dask.planning import Axis, Plan, choose_layout, first_axis, iter_partitions, make_plan
from hrrr_dask.points import Points, read_points
from hrrr_dask.probe import find_grid, place_points
from hrrr_dask.records import GribFile
from hrrr_dask.reports import Report, Status
from hrrr_dask.run import Progress, RunResult, run
from hrrr_dask.sources import SOURCES, Source, parse_source
from hrrr_dask.store import Store, fold_outcomes
from hrrr_dask.template import StoreSpec, identity

__all__ = ["backfill", "plan", "status"]

if TYPE_CHECKING:
    import pandas as pd

    PointsLike = str | os.PathLike[str] | pd.DataFrame | Points


@dataclass(frozen=True, slots=True)
class _Prepared:
    """A request, checked against the archive and the store as far as that is possible without writing."""

    settings: dict[str, Any]
    points: Points
    plan: Plan
    axis: Axis
    existing: Existing | None
    sources: tuple[Source, ...]
    fetch: FetchSettings


def plan(points: PointsLike, start: str | datetime, end: str | datetime, *, store: str = "", **settings: Any) -> Plan:
    """Say what a backfill would do; nothing is written, and the archive is not read.

    Parameters
    ----------
    points : path, DataFrame or Points
        The places; see :func:`hrrr_dask.points.read_points`.
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
    now = _utc_now()
    prepared = _prepare(points, start, end, store, settings, now)
    if prepared.existing is None:
        return prepared.plan
    done = _done(prepared, _target(prepared, store), now, retry_gaps=False)
    to_read = sum(len(partition.files) for partition in iter_partitions(prepared.plan, prepared.axis, done))
    return replace(prepared.plan, n_done=prepared.plan.n_files - to_read)


def backfill(
    points: PointsLike,
    start: str | datetime,
    end: str | datetime,
    store: str | os.PathLike[str],
    *,
    client: Client | None = None,
    retry_gaps: bool = False,
    show: Callable[[Progress], None] | None = None,
    **settings: Any,
) -> Report:
    """Read every file of a period that the store does not have yet.

    Parameters
    ----------
    points : path, DataFrame or Points
        The places; see :func:`hrrr_dask.points.read_points`.
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
        As in :data:`hrrr_dask.config.DEFAULTS`, with underscores.

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
    began, now = time.perf_counter(), _utc_now()
    store = os.fspath(store)
    if not store.strip():
        raise ConfigError("the store's URL is empty: give --store a directory or s3://bucket/prefix")
    prepared = _prepare(points, start, end, store, settings, now)
    target = _target(prepared, store)
    done = _done(prepared, target, now, retry_gaps=retry_gaps)
    to_read = sum(len(partition.files) for partition in iter_partitions(prepared.plan, prepared.axis, done))
    result = RunResult((), interrupted=False)
    if to_read:
        with _cluster(client, prepared.settings) as connected:
            target = target.ready(prepared.axis.days_to(prepared.plan.period.end), hrrr_dask.__version__)
            progress = Progress(files_total=to_read, dashboard=connected.dashboard_link or "")
            partitions = iter_partitions(prepared.plan, prepared.axis, done)
            result = run(connected, _job(prepared, target), partitions, progress, show or _silent)
    return _report(prepared, target, result, to_read, time.perf_counter() - began)


def status(store: str, /, **options: str) -> Status:
    """Say how a store stands, from its ledger.

    Parameters
    ----------
    store : str
        URL or directory.
    **options
        Endpoint options without secrets.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at that place.
    """
    options = {**resolve_settings()["store-options"], **options}
    existing = find_store_at(store, options)
    if existing is None:
        raise StoreMismatchError(f"{store} holds no store: check the URL, or make one with hrrr-dask backfill")
    rows = Ledger(Blobs(store, options)).read()
    codes = fold_outcomes(rows, existing.selection, existing.axis, slice(0, existing.n_init))
    wanted = (codes != NOT_OFFERED).any(axis=0)
    read = ((codes != 0) & (codes != NOT_OFFERED)).any(axis=0)
    whole = ((codes == COMPLETE) | (codes == NOT_OFFERED)).all(axis=0) & wanted
    axis = existing.axis
    return Status(
        store=store,
        first_init_time=axis.init_time(0),
        last_init_time=axis.init_time(existing.n_init - 1),
        n_points=existing.n_points,
        variables=tuple(variable.name for variable in existing.selection.variables),
        files_complete=int(whole.sum()),
        files_with_gaps=int((read & ~whole).sum()),
        files_to_do=int((wanted & ~read).sum()),
        gaps=count_gaps(codes),
    )


def _prepare(
    points: PointsLike, start: str | datetime, end: str | datetime, store: str, given: dict[str, Any], now: datetime
) -> _Prepared:
    settings = resolve_settings(**given)
    selection = parse_selection(settings)
    period = parse_period(start, end, selection.cycles)
    places = read_points(points)
    fetch = settings["fetch"]
    patience = FetchSettings(**{key.replace("-", "_"): value for key, value in fetch.items() if key != "merge-gap-kb"})
    engine_named(settings["engine"])
    check_cluster(settings["cluster"])
    sources = tuple(_source(text, settings["source-options"]) for text in settings["source"])
    existing = None
    if store:
        check_options(normal_url(store), settings["store-options"])
        existing = find_store_at(store, settings["store-options"])
    if existing is not None:
        existing.check_same(identity(selection, places))
        selection, layout, axis = existing.selection, existing.layout, existing.axis
        if settings["partition-days"] not in (0, layout.partition_days):
            raise StoreMismatchError(
                f"{store} was made with partitions of {layout.partition_days} days, which cannot be changed to "
                f"{settings['partition-days']}: leave --partition-days out"
            )
        if period.start < axis.first_day:
            raise StoreMismatchError(
                f"{store} begins on {axis.first_day:%Y-%m-%d} and cannot grow backwards to {period.start:%Y-%m-%d}: "
                f"make another store that begins there"
            )
    else:
        layout = choose_layout(selection, len(places), settings["partition-days"])
        axis = first_axis(selection, period)
    made = make_plan(
        selection, period, n_points=len(places), layout=layout, now=now, axis=axis, continued=existing is not None
    )
    limit = settings["memory-limit-mb"] * 1_000_000
    if made.worker_bytes > limit:
        raise PlanError(
            f"a worker would need {made.worker_bytes / 1e6:,.0f} MB, more than memory-limit-mb = {limit / 1e6:,.0f}: "
            f"raise --memory-limit-mb, lower --partition-days (now {layout.partition_days}), or ask for less"
        )
    return _Prepared(settings, places, made, axis, existing, sources, patience)


def _source(text: str, options: dict[str, str]) -> Source:
    """The public mirrors know how they are reached; the options are for a source of one's own."""
    return parse_source(text, {} if text in SOURCES else options)


def _target(prepared: _Prepared, url: str) -> Store:
    """The store as it is, or as it will be; nothing is written yet, and the points are known to lie on the grid."""
    existing, made = prepared.existing, prepared.plan
    if existing is None:
        section = find_grid(_probe_files(prepared), prepared.sources, prepared.fetch)
    else:
        section = existing.grid_section
    spec = StoreSpec(
        selection=made.selection,
        points=prepared.points,
        cells=place_points(prepared.points, section, made.selection.method),
        grid_section=section,
        layout=made.layout,
        axis=prepared.axis,
        n_days=existing.n_days if existing else 0,
    )
    return Store(url, prepared.settings["store-options"], spec)


def _done(prepared: _Prepared, target: Store, now: datetime, *, retry_gaps: bool) -> NDArray[np.bool_]:
    """Which files need not be read, dims (init_time, lead_time)."""
    if prepared.existing is None:
        return np.zeros((0, len(prepared.plan.selection.lead_hours)), dtype=bool)
    return finished(target.folded(), prepared.axis, now, retry_gaps=retry_gaps)


def _report(prepared: _Prepared, target: Store, result: RunResult, to_read: int, seconds: float) -> Report:
    made, reports = prepared.plan, result.reports
    period = slice(prepared.axis.index(made.period.start), prepared.axis.index(made.period.end) + 1)
    codes = target.folded()[:, period]
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
        partitions_written=len(reports),
        bytes_read=sum(report.bytes_read for report in reports),
        requests=sum(report.requests for report in reports),
        bytes_written=sum(report.bytes_written for report in reports),
        seconds=seconds,
        interrupted=result.interrupted,
    )


def _probe_files(prepared: _Prepared) -> Iterator[GribFile]:
    """One file of each run first, so that a missing day is soon left behind."""
    nothing: NDArray[np.bool_] = np.zeros((0, len(prepared.plan.selection.lead_hours)), dtype=bool)
    last: datetime | None = None
    for partition in iter_partitions(prepared.plan, prepared.axis, nothing):
        for file in partition.files:
            if file.init_time != last:
                yield file
            last = file.init_time


def _job(prepared: _Prepared, store: Store) -> Job:
    settings = prepared.settings
    return Job(
        job_id=uuid.uuid4().hex[:8],
        spec=store.spec,
        store_url=normal_url(store.url),
        store_options=tuple(sorted(settings["store-options"].items())),
        sources=prepared.sources,
        fetch=prepared.fetch,
        engine=settings["engine"],
        merge_gap_bytes=settings["fetch"]["merge-gap-kb"] * 1024,
        package_version=hrrr_dask.__version__,
    )


def _cluster(client: Client | None, settings: dict[str, Any]) -> AbstractContextManager[Client]:
    if client is None:
        return open_client(settings["cluster"], settings["workers"])
    check_workers(client)
    return nullcontext(client)


def _silent(progress: Progress) -> None:
    del progress


def _utc_now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)
