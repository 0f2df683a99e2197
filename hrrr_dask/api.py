"""What the package does, as functions: plan, backfill, update. The command line calls these and prints."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Client

from hrrr_dask.job.execution import carry_out, count_files, todo_of
from hrrr_dask.job.request import asked_period, prepare, store_at, target_of, url_of, utc_now, whole_partitions
from hrrr_dask.ledger.state import HEALING_DAYS
from hrrr_dask.planning.plan import Plan, all_of
from hrrr_dask.report.results import Report
from hrrr_dask.store.published import mended
from hrrr_dask.store.spec import Growth

if TYPE_CHECKING:
    from hrrr_dask.job.execution import Show
    from hrrr_dask.job.request import PointsLike

__all__ = ["backfill", "plan", "update"]

MOST_ENTRIES: Final = 200
"""So many entries of the ledger an update leaves as they are: each one is read whenever its partition is written."""


def plan(
    points: PointsLike | None, start: str | datetime, end: str | datetime, *, store: str = "", **settings: Any
) -> Plan:
    """Say what a backfill would do; nothing is written, and the archive is not read.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        The places; see :func:`hrrr_dask.grid.points.read_points`. None for a store that is there: it has its own.
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
    to_read = count_files(request, todo_of(request, folded, retry_gaps=False))
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
        The places; see :func:`hrrr_dask.grid.points.read_points`. None for a store that is there: it has its own.
    start, end : str or datetime
        First and last init time, both included, UTC: dates (as an end: that day's last run) or full hours.
    store : str or path
        URL or directory of the Zarr store; made when it is not there, continued when it is.
    client : distributed.Client, optional
        A cluster of your own; by default the setting ``cluster`` decides.
    retry_gaps : bool
        Read files with gaps again even when their gaps are not expected to heal.
    show : callable, optional
        Called with :class:`~hrrr_dask.job.loop.Progress` as the work goes on.
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
    began, url = time.perf_counter(), url_of(store)
    request = prepare(points, start, end, url, settings)
    target = target_of(request, url)
    todo = all_of(request.plan, request.axis)
    if request.spec is not None and target.is_open:
        todo = todo_of(request, mended(target, whole_partitions(request)), retry_gaps=retry_gaps)
    return carry_out(request, target, todo, Growth(), client, show, began)


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
    url = url_of(store)
    target = store_at(url, settings)
    spec, cycles = target.spec, len(target.spec.axis.cycles)
    folded = target.folded(slice(spec.asked_from * cycles, spec.n_days * cycles))
    touched = np.flatnonzero(folded.touched.any(axis=1))
    period = asked_period(spec)
    begin = spec.axis.init_time(spec.asked_from * cycles + int(touched[-1])) if touched.size else None
    start = period.start if begin is None else max(period.start, begin - timedelta(days=HEALING_DAYS))
    last = end or utc_now().replace(minute=0, second=0, microsecond=0)
    report = backfill(None, start, last, url, client=client, show=show, **settings)
    if target.ledger.n_entries() > MOST_ENTRIES:
        target.ledger.compact(utc_now())
    return report
