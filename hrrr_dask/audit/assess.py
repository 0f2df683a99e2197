"""Assesses the plausibility of a store's values: reads them block by block, flags and counts them, changes nothing."""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.catalog.lead_times import file_hour
from hrrr_dask.config.period import parse_period
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.display.progress import Count
from hrrr_dask.display.watching import show_count
from hrrr_dask.errors import ConfigError, PlanError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, PARTIAL
from hrrr_dask.quality.flags import quality_flags
from hrrr_dask.quality.steps import step_flags
from hrrr_dask.read.opening import load_existing, open_dataset
from hrrr_dask.report.assessment import Assessment
from hrrr_dask.report.findings import ALL_FLAGS, QualityFindings
from hrrr_dask.report.flagmap import plot_flags
from hrrr_dask.report.quality_page import format_quality_page
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import read_states

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["assess", "count_files", "parse_flags"]

BLOCK_BYTES: Final = 32_000_000
"""Maximum bytes of values in memory, of all variables; processing takes about five times that [B]."""


def assess(
    store: str | os.PathLike[str],
    /,
    *,
    start: str | datetime = "",
    end: str | datetime = "",
    markdown: str | os.PathLike[str] = "",
    plot: str | os.PathLike[str] = "",
    progress: bool | Count | None = None,
    **options: str,
) -> Assessment:
    """Check every value of a store for physical plausibility.

    Parameters
    ----------
    store : str or path
        URL or directory.
    start, end : str or datetime, optional
        First and last init time, both included, UTC; by default the requested period of the store.
    markdown : path, optional
        Markdown page to write.
    plot : path, optional
        PNG to write: flagged values by variable and time, and flags by time.
    progress : bool or callable, optional
        True for a progress bar, False for nothing; by default, a bar at a terminal or in a notebook. A callable is used
        instead: it is called with the number of parts of the store that were checked, and the total.
    **options
        Endpoint options without secrets.

    Returns
    -------
    Assessment
        Counts by flag, variable, point, run and lead time, ranges, and the most extreme examples.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    PlanError
        If the store has no run in that period.
    ConfigError
        If the directory of `markdown` or `plot` does not exist.
    StoreError
        If the ledger cannot be read.

    Examples
    --------
    >>> found = hrrr_dask.assess("farms.zarr", markdown="quality.md")
    >>> found.files, found.values, found.flagged
    (18, 594, 0)
    >>> found.variables[0].name, round(found.variables[0].maximum, 1)
    ('surface_pressure', 95076.0)
    """
    url, options = os.fspath(store), {**resolve_settings()["store-options"], **options}
    for path in (markdown, plot):
        _check_writable(path)
    existing = load_existing(url, options)
    runs = _runs_between(existing, url, start, end)
    codes = read_states(Ledger(open_blobs(url, options)), existing, runs).published_codes
    attempted = (codes != NOT_INGESTED) & (codes != NOT_OFFERED)
    times = [existing.axis.init_time(k) for k in (runs.start, runs.stop - 1)]
    dataset = open_dataset(url, **options).sel(init_time=slice(*times)).isel(point=slice(existing.n_points))
    points = dataset.point_id.to_numpy().tolist(), dataset.latitude.to_numpy(), dataset.longitude.to_numpy()
    lead_minutes = existing.selection.lead_minutes
    findings = QualityFindings(existing.selection.variables, points, dataset.init_time.to_numpy(), lead_minutes)
    blocks, partitions = list(_blocks_of_points(existing, len(lead_minutes))), _partitions(existing, runs)
    with show_count(progress, "parts") as show:
        for number, block in enumerate(blocks):
            for done in _assess_points(dataset, block, partitions, attempted, findings):
                show(number * len(partitions) + done, len(blocks) * len(partitions))
    found = findings.to_assessment(url, count_files(codes, lead_minutes))
    if markdown:
        Path(markdown).write_text(format_quality_page(found), encoding="utf-8")
    if plot:
        plot_flags(findings, found, plot)
    return found


def parse_flags(text: str) -> tuple[str, ...]:
    """Parse names of flags, separated by commas.

    Raises
    ------
    ConfigError
        If a flag is unknown.

    Examples
    --------
    >>> parse_flags("solar-closure, above-limits")
    ('solar-closure', 'above-limits')
    """
    known = [flag.name for flag in ALL_FLAGS]
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=2, cutoff=0.5)
            hint = f"did you mean {' or '.join(near)}?" if near else f"use {', '.join(known)}"
            raise ConfigError(f"flag {name!r} is unknown: {hint}")
    return names


def count_files(codes: NDArray[np.uint8], lead_minutes: Sequence[int]) -> int:
    """Count the files with at least one value.

    Parameters
    ----------
    codes : ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers.
    lead_minutes : sequence of int
        Ascending [min]. A file of quarter hours has several of them.
    """
    has_values = ((codes == COMPLETE) | (codes == PARTIAL)).any(axis=0)
    _, first = np.unique([file_hour(lead) for lead in lead_minutes], return_index=True)
    return int(np.logical_or.reduceat(has_values, first, axis=1).sum())


def _check_writable(path: str | os.PathLike[str]) -> None:
    """Check that the directory of a file to write exists, before anything is read."""
    parent = Path(path).parent
    if os.fspath(path) and not parent.is_dir():
        raise ConfigError(f"{os.fspath(path)} cannot be written: directory {parent} does not exist: create it first")


def _runs_between(existing: Existing, url: str, start: str | datetime, end: str | datetime) -> slice:
    """Return the range of positions on the store's axis."""
    axis, requested = existing.axis, existing.requested
    first, last = axis.init_time(requested.start), axis.init_time(requested.stop - 1)
    period = parse_period(start or first, end or last, axis.cycles)
    runs = slice(max(axis.index(period.start), requested.start), min(axis.index(period.end) + 1, requested.stop))
    if runs.start >= runs.stop:
        raise PlanError(
            f"{url} has runs from {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}, and none from "
            f"{period.start:%Y-%m-%dT%H} to {period.end:%Y-%m-%dT%H}: change --start or --end"
        )
    return runs


def _blocks_of_points(existing: Existing, n_leads: int) -> Iterator[slice]:
    """Yield blocks of points: as many whole inner chunks as fit into :data:`BLOCK_BYTES`."""
    layout = existing.layout
    n_times = layout.partition_days * len(existing.axis.cycles) * n_leads
    chunk_bytes = n_times * len(existing.selection.variables) * layout.chunk_points * 4
    step = layout.chunk_points * max(1, min(BLOCK_BYTES // chunk_bytes, layout.shard_points // layout.chunk_points))
    for start in range(0, existing.n_points, step):
        yield slice(start, min(start + step, existing.n_points))


def _partitions(existing: Existing, runs: slice) -> list[slice]:
    """Split the period at the borders of partitions; returns positions in the period."""
    span = existing.layout.partition_days * len(existing.axis.cycles)
    edges = [runs.start, *range((runs.start // span + 1) * span, runs.stop, span), runs.stop]
    return [slice(start - runs.start, stop - runs.start) for start, stop in pairwise(edges)]


def _assess_points(
    dataset: xr.Dataset, points: slice, partitions: list[slice], attempted: NDArray[np.bool_], findings: QualityFindings
) -> Iterator[int]:
    """Assess a block of points; yields the number of partitions done.

    The last run of a partition is kept for the steps of the next one.
    """
    cells = {
        "latitude": dataset.cell_latitude[points].to_numpy(),
        "longitude": dataset.cell_longitude[points].to_numpy(),
    }
    last: dict[str, tuple[NDArray[np.float32], NDArray[np.uint16]]] = {}
    for done, runs in enumerate(partitions, start=1):
        if not attempted[:, runs].any():
            last = {}
            yield done
            continue
        block = dataset.isel(init_time=runs, point=points)
        values = {variable.name: block[variable.name].to_numpy() for variable in findings.variables}
        flags = quality_flags(values, findings.variables, valid_time=block.valid_time.to_numpy()[..., None], **cells)
        first = runs.start - 1 if last else runs.start
        times = dataset.init_time[first : runs.stop].to_numpy()
        for row, variable in enumerate(findings.variables):
            added, added_flags = values[variable.name], flags[variable.name]
            if last:
                previous, previous_flags = last[variable.name]
                added = np.concatenate([previous, added])
                added_flags = np.concatenate([previous_flags, added_flags])
            steps = step_flags(added, variable, times, findings.lead_minutes, added_flags)
            findings.add(
                variable,
                added,
                added_flags | steps,
                first_run=first,
                first_point=points.start,
                attempted=attempted[row, first : runs.stop],
                overlap=runs.start - first,
            )
        last = {name: (values[name][-1:], flags[name][-1:]) for name in values}
        yield done
