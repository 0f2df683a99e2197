"""The public functions that plan and read: plan, backfill, update, add_points, add_variables."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from distributed import Client

from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.catalog.variables import check_product, parse_variables
from hrrr_dask.config.duration import parse_duration
from hrrr_dask.config.period import parse_period
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.display.watching import accept_show, show_run
from hrrr_dask.grid.points import read_points
from hrrr_dask.job.backfill import count_files_to_read, run_backfill
from hrrr_dask.job.probe import add_surface
from hrrr_dask.job.request import (
    check_request,
    open_store,
    requested_period,
    resolve_client,
    url_of,
    utc_now,
    warn_of_other_columns,
)
from hrrr_dask.job.until_complete import run_until_complete
from hrrr_dask.ledger.state import HEALING_DAYS
from hrrr_dask.planning.plan import Plan
from hrrr_dask.planning.runs import newest_run
from hrrr_dask.report.results import Report
from hrrr_dask.store.spec import Growth

if TYPE_CHECKING:
    from hrrr_dask.display.progress import Show
    from hrrr_dask.job.request import PointsLike

__all__ = ["add_points", "add_variables", "backfill", "plan", "update"]

MAX_ENTRIES: Final = 200
"""Number of ledger entries above which an update compacts them; writing to a partition reads all its entries."""


def plan(
    points: PointsLike | None,
    start: str | datetime,
    end: str | datetime,
    *,
    store: str | os.PathLike[str] = "",
    **settings: Any,
) -> Plan:
    """Plan a backfill, without writing anything or reading the archive.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        The points, see :func:`hrrr_dask.read_points`. None for an existing store, which has its own.
    start, end : str or datetime
        First and last init time, both included, UTC.
    store : str or path
        URL or directory of an existing store to continue: its layout is used, and files that it has are not planned
        again.
    **settings
        Settings as in :data:`hrrr_dask.config.DEFAULTS`, with underscores.

    Returns
    -------
    Plan
        The files, the layout of the store and what a worker needs.

    Raises
    ------
    UsageError
        If the request cannot be met.

    Examples
    --------
    >>> plan = hrrr_dask.plan("points.csv", "2024-07-01", "2024-07-02")
    >>> plan.n_runs, plan.n_files, plan.n_points
    (4, 20, 3)
    """
    request = check_request(points, start, end, os.fspath(store), settings)
    return replace(request.plan, n_done=request.plan.n_files - count_files_to_read(request))


@accept_show
def backfill(
    points: PointsLike | None,
    start: str | datetime,
    end: str | datetime,
    store: str | os.PathLike[str],
    *,
    client: Client | str | None = None,
    retry_gaps: bool = False,
    progress: bool | Show | None = None,
    **settings: Any,
) -> Report:
    """Read every file of a period that the store does not have yet, and write its values.

    Parameters
    ----------
    points : path, DataFrame or Points, optional
        The points, see :func:`hrrr_dask.read_points`. None for an existing store, which has its own.
    start, end : str or datetime
        First and last init time, both included, UTC: dates (as an end: that day's last run) or full hours.
    store : str or path
        URL or directory of the Zarr store; made if it does not exist, continued if it does.
    client : distributed.Client or str, optional
        Client of an existing cluster, or the address of its scheduler: then a client is made, and closed at the end.
        By default the setting ``cluster`` decides.
    retry_gaps : bool
        Read files with gaps again, however old.
    progress : bool or callable, optional
        True for a progress bar with the address of the dashboard, False for nothing. By default, a bar where a person
        looks on: stderr is a terminal, or Python runs in a notebook. A callable is used instead of a bar: it is called
        with :class:`~hrrr_dask.display.progress.Progress` when the cluster is there and as files are read, from any
        thread.
    **settings
        Settings as in :data:`hrrr_dask.config.DEFAULTS`, with underscores. An existing store keeps its own for those
        that are not given.

    Returns
    -------
    Report
        What was read, and the gaps of the period.

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
    >>> report = hrrr_dask.backfill("points.csv", "2024-07-01", "2024-07-01", "new.zarr", variables="temperature_2m")
    >>> report.outcome, report.files_read
    ('done-with-gaps', 10)
    >>> report.gaps
    {'not-published': 1}
    """
    connected = resolve_client(client, settings)
    request = check_request(points, start, end, url_of(store), settings)
    with show_run(progress) as show:
        return run_backfill(request, client=connected, show=show, retry_gaps=retry_gaps)


@accept_show
def update(
    store: str | os.PathLike[str],
    *,
    client: Client | str | None = None,
    progress: bool | Show | None = None,
    end: str | datetime | None = None,
    until_complete: bool = False,
    **settings: Any,
) -> Report:
    """Read the newest runs, retry gaps of the days before them, and compact the ledger if needed.

    Parameters
    ----------
    store : str or path
        An existing store.
    client, progress
        As for :func:`backfill`.
    end : str or datetime, optional
        Last init time; by default now.
    until_complete : bool
        Wait for the files of the newest runs that are not published yet, and read them in batches as they come; the
        last run is then the newest one of which a wanted file should be published by now. The wait ends when every file
        is there, after the setting ``deadline`` (``"2h"``), or when what is missing is overdue by two hours.
    **settings
        As for :func:`backfill`, except settings that are fixed in the store.

    Returns
    -------
    Report
        What was read, and the gaps of the period; with `until_complete` also when each file came. A file that did not
        come is a gap, and the next update tries it again.

    Raises
    ------
    StoreMismatchError
        If there is no store.

    Examples
    --------
    >>> hrrr_dask.backfill("points.csv", "2024-07-01", "2024-07-01", "new.zarr").files_read
    0
    >>> hrrr_dask.update("new.zarr", end="2024-07-02T12").files_read
    10
    """
    url = url_of(store)
    target = open_store(url, settings)
    spec, cycles = target.spec, len(target.spec.axis.cycles)
    states = target.value_states(slice(spec.asked_from * cycles, spec.n_days * cycles))
    attempted = np.flatnonzero(states.attempted.any(axis=1))
    period = requested_period(spec)
    begin = spec.axis.init_time(spec.asked_from * cycles + int(attempted[-1])) if attempted.size else None
    start = period.start if begin is None else max(period.start, begin - timedelta(days=HEALING_DAYS))
    last = end or utc_now().replace(minute=0, second=0, microsecond=0)
    newest = newest_run(spec.selection, utc_now()) if until_complete else None
    if newest is None:
        report = backfill(None, start, last, url, client=client, progress=progress, **settings)
    else:
        last = min(newest, parse_period(start, last, spec.axis.cycles).end) if newest >= start else last
        report = _wait(url, start, last, client, progress, settings)
    if target.ledger.n_entries() > MAX_ENTRIES:
        target.ledger.compact(utc_now())
    return report


def _wait(
    url: str,
    start: datetime,
    last: str | datetime,
    client: Client | str | None,
    progress: bool | Show | None,
    settings: dict[str, Any],
) -> Report:
    seconds = parse_duration("deadline", resolve_settings(deadline=settings.get("deadline"))["deadline"])
    connected = resolve_client(client, settings)
    with show_run(progress) as show:
        return run_until_complete(
            lambda: check_request(None, start, last, url, settings),
            timedelta(seconds=seconds),
            client=connected,
            show=show,
        )


@accept_show
def add_points(
    store: str | os.PathLike[str],
    points: PointsLike,
    *,
    client: Client | str | None = None,
    progress: bool | Show | None = None,
    **settings: Any,
) -> Report:
    """Add points to a store, and read them from every file that the store has.

    Parameters
    ----------
    store : str or path
        An existing store; it can be in use.
    points : path, DataFrame or Points
        The new points; can include points that the store has, whose columns stay as they are.
    client, progress, **settings
        As for :func:`hrrr_dask.backfill`.

    Returns
    -------
    Report
        Report of the backfill. After a kill or an interrupt, the same call does the rest.

    Raises
    ------
    PointsError
        If a point is outside the grid, or at other coordinates in the store, or a column has values of another type
        than in the store, even if added just now. Nothing was written.

    Examples
    --------
    >>> import pandas as pd
    >>> more = pd.DataFrame({"point_id": ["maryneal"], "latitude": [32.24], "longitude": [-100.45]})
    >>> hrrr_dask.add_points("farms.zarr", more).files_read
    18
    >>> hrrr_dask.open_dataset("farms.zarr").sizes["point"]
    4
    """
    url, new = url_of(store), read_points(points)
    spec, growth = open_store(url, settings).spec, Growth(points=new)
    growth.check(spec, url)
    find_point_cells(new, spec.grid_section, spec.selection.method)
    warn_of_other_columns(spec.points, new)
    return _grow(url, growth, settings, client, progress)


@accept_show
def add_variables(
    store: str | os.PathLike[str],
    variables: str | list[str],
    *,
    client: Client | str | None = None,
    progress: bool | Show | None = None,
    **settings: Any,
) -> Report:
    """Add variables to a store, and read them from every file that the store has.

    Parameters
    ----------
    store : str or path
        An existing store; it can be in use.
    variables : str or list of str
        Names or selectors, as for :func:`hrrr_dask.backfill`; can include variables that the store has.
    client, progress, **settings
        As for :func:`hrrr_dask.backfill`.

    Returns
    -------
    Report
        Report of the backfill. After a kill or an interrupt, the same call does the rest.

    Raises
    ------
    ConfigError
        If a variable is unknown or not in the product's files, or the store has another one by that name, even if added
        just now. Nothing was written.

    Examples
    --------
    >>> hrrr_dask.add_variables("farms.zarr", "wind_gust_surface").files_read
    20
    >>> "wind_gust_surface" in hrrr_dask.open_dataset("farms.zarr")
    True
    """
    url = url_of(store)
    growth = Growth(variables=parse_variables(resolve_settings(variables=variables)["variables"]))
    spec = open_store(url, settings).spec
    growth.check(spec, url)
    known = {variable.name for variable in spec.selection.variables}
    check_product((each for each in growth.variables if each.name not in known), spec.selection.product)
    return _grow(url, growth, settings, client, progress)


def _grow(
    url: str, growth: Growth, settings: dict[str, Any], client: Client | str | None, progress: bool | Show | None
) -> Report:
    """Grow the store, then read what is new in it from every file that it has."""
    connected = resolve_client(client, settings)
    store = open_store(url, settings)
    period = requested_period(store.spec)
    request = check_request(None, period.start, period.end, url, settings)  # what it refuses leaves the store as it is
    growth = add_surface(growth, request)
    period = requested_period(store.grow(growth).spec)
    request = check_request(None, period.start, period.end, url, settings)
    with show_run(progress) as show:
        return run_backfill(request, client=connected, show=show, only_attempted=True)
