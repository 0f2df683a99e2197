"""Stores that grow on request: more points, more variables, read out of every file that the store was given before."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from distributed import Client

from hrrr_dask.archive.grid_probe import place_points
from hrrr_dask.catalog.variables import parse_variables
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.grid.points import read_points
from hrrr_dask.job.execution import carry_out, todo_of
from hrrr_dask.job.request import asked_period, prepare, store_at, target_of, url_of, whole_partitions
from hrrr_dask.report.results import Report
from hrrr_dask.store.published import mended
from hrrr_dask.store.spec import Growth

if TYPE_CHECKING:
    from hrrr_dask.job.execution import Show
    from hrrr_dask.job.request import PointsLike

__all__ = ["add_points", "add_variables"]


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
        As for :func:`hrrr_dask.backfill`.

    Returns
    -------
    Report
        Of the backfill. Killed or interrupted: the same call again does the rest.

    Raises
    ------
    PointsError
        If a point lies outside the grid, or elsewhere in the store, be it since a moment ago; nothing was written.
    """
    url, new = url_of(store), read_points(points)
    spec, growth = store_at(url, settings).spec, Growth(points=new)
    growth.check(spec, url)
    place_points(new, spec.grid_section, spec.selection.method)
    return _add(url, growth, settings, client, show)


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
        Names or selectors, as for :func:`hrrr_dask.backfill`; those that the store has already may be among them.
    client, show, **settings
        As for :func:`hrrr_dask.backfill`.

    Returns
    -------
    Report
        Of the backfill. Killed or interrupted: the same call again does the rest.

    Raises
    ------
    ConfigError
        If a variable is unknown, or the store has another one by that name, be it since a moment ago; nothing was
        written.
    """
    url = url_of(store)
    growth = Growth(variables=parse_variables(resolve_settings(variables=variables)["variables"]))
    growth.check(store_at(url, settings).spec, url)
    return _add(url, growth, settings, client, show)


def _add(url: str, growth: Growth, settings: dict[str, Any], client: Client | None, show: Show | None) -> Report:
    """Let the store grow, then read what is missing of all files that it has been given before."""
    began = time.perf_counter()
    store = store_at(url, settings).grow(growth)
    period = asked_period(store.spec)
    request = prepare(None, period.start, period.end, url, settings)
    target = target_of(request, url)
    folded = mended(target, whole_partitions(request))
    todo = todo_of(request, folded, retry_gaps=False)
    todo = replace(todo, wanted=todo.wanted & folded.touched[None])
    return carry_out(request, target, todo, Growth(), client, show, began)
