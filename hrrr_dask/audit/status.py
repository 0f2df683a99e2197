"""Reports the status of a store from its ledger, and compacts the ledger."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.grid.cell_surface import describe_odd_cells
from hrrr_dask.ledger.completeness import file_states, summarise
from hrrr_dask.ledger.gaps import COLUMNS, Gap, list_gaps
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import count_gaps
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.read.opening import load_existing
from hrrr_dask.report.heatmap import plot_status
from hrrr_dask.report.results import Status
from hrrr_dask.store.existing import Existing, read_step
from hrrr_dask.store.point_rows import point_steps, points_of, surface_of
from hrrr_dask.store.store import partitions_of, read_states

__all__ = ["compact", "status"]


def status(
    store: str | os.PathLike[str], /, *, plot: str | os.PathLike[str] = "", gaps: bool = False, **options: str
) -> Status:
    """Report which files of a store are complete, missing or to do, from its ledger.

    Parameters
    ----------
    store : str or path
        URL or directory.
    plot : path, optional
        PNG to write: completeness by day and lead time, and the reasons for gaps.
    gaps : bool
        List every gap with its reason, its source, and when it is retried.
    **options
        Endpoint options without secrets.

    Returns
    -------
    Status
        Numbers of files, and the gaps by reason and by time.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    StoreError
        If the ledger cannot be read.

    Examples
    --------
    >>> status = hrrr_dask.status("farms.zarr", gaps=True)
    >>> status.files_complete, status.files_with_gaps, status.files_to_do
    (18, 2, 0)
    >>> for gap in status.gap_list:
    ...     print(gap.init_time, gap.lead_minutes // 60, gap.reason, len(gap.variables))
    2024-07-01 12:00:00 18 not-published 11
    2024-07-02 00:00:00 6 truncated 11
    """
    url, options = os.fspath(store), _options(options)
    existing = load_existing(url, options)
    axis, requested = existing.axis, existing.requested
    blobs = open_blobs(url, options)
    ledger = Ledger(blobs)
    codes = read_states(ledger, existing, requested).published_codes
    times = np.array([axis.init_time(k) for k in range(requested.start, requested.stop)], dtype="datetime64[s]")
    wanted, complete, gapped = file_states(codes, existing.selection.file_hours)
    if plot:
        plot_status(codes, times, existing.selection.lead_minutes, url, os.fspath(plot))
    return Status(
        store=url,
        first_init_time=axis.init_time(requested.start),
        last_init_time=axis.init_time(requested.stop - 1),
        n_points=existing.n_points,
        variables=tuple(variable.name for variable in existing.selection.variables),
        files_complete=int(complete.sum()),
        files_with_gaps=int(gapped.sum()),
        files_to_do=int((wanted & ~complete & ~gapped).sum()),
        gaps=count_gaps(codes),
        by_time=tuple(summarise(codes, times, existing.selection.file_hours)),
        gap_list=_list_gaps(ledger, existing, codes) if gaps else None,
        odd_cells=tuple(_describe_odd_cells(blobs, existing)),
        newest_run=times[np.flatnonzero(complete.any(axis=1))[-1]].item() if complete.any() else None,
    )


def _describe_odd_cells(blobs: Blobs, existing: Existing) -> list[str]:
    """Describe points in water, or far higher or lower than their cells; the steps of growth have both."""
    if "cell_elevation" not in existing.documents:  # made by an earlier version
        return []
    try:
        steps = [read_step(blobs, number) for number in point_steps(existing.settings)]
    except StoreMismatchError:  # a step is lost, which does not concern readers
        return []
    surface = surface_of(steps)
    return [] if surface is None else describe_odd_cells(points_of(steps), surface)


def _list_gaps(ledger: Ledger, existing: Existing, codes: NDArray[np.uint8]) -> tuple[Gap, ...]:
    rows = ledger.tables(partitions_of(existing, existing.requested), COLUMNS)
    return list_gaps(rows, existing.selection, existing.axis, existing.requested, codes, _now())


def compact(store: str | os.PathLike[str], /, **options: str) -> tuple[int, int]:
    """Merge the ledger's entries into one object; the store may be in use.

    Parameters
    ----------
    store : str or path
        URL or directory.
    **options
        Endpoint options without secrets.

    Returns
    -------
    before, after : int
        Number of objects in the ledger, before and after.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.

    Examples
    --------
    >>> before, after = hrrr_dask.compact("farms.zarr")
    >>> after
    1
    """
    url, options = os.fspath(store), _options(options)
    load_existing(url, options)
    return Ledger(open_blobs(url, options)).compact(_now())


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _options(options: Mapping[str, str]) -> dict[str, str]:
    return {**resolve_settings()["store-options"], **options}
