"""Reads a sample of a store's files again by an independent route, :mod:`hrrr_dask.audit.reference`, and compares.

For each file, the values that plain xarray reads from the store are compared with those that the route decodes from the
object named in the ledger. A gap in the ledger must be missing in the store, and ``status`` must match the ledger.
"""

from __future__ import annotations

import os
import secrets
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.archive.sources import SOURCES, Source, parse_source
from hrrr_dask.audit.compare import Comparison
from hrrr_dask.catalog.products import ARCHIVE_START
from hrrr_dask.config.settings import DEFAULTS, parse_period, resolve_settings
from hrrr_dask.errors import ArchiveError, ConfigError, NotPublishedError, PlanError, UnreachableError
from hrrr_dask.ledger.expected import EXPECTED_COLUMNS, ExpectedValues, collect_expected, draw_sample
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import ValueStates
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.read.opening import load_existing, open_dataset
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import Findings, VerifyReport
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import read_states

__all__ = ["SAMPLE", "report_of", "requested_inits", "verify"]

SAMPLE: Final = 20
"""Default number of files to verify."""

LATER: Final = datetime(2200, 1, 1)
"""Later than the last run of any store."""

MAX_SILENT_FILES: Final = 3
"""Number of consecutive files without a response from any source, after which no more are requested."""


def verify(
    store: str | os.PathLike[str],
    *,
    sample: int = SAMPLE,
    every_file: bool = False,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    seed: int | None = None,
    source: str | Sequence[str] | None = None,
    source_options: Mapping[str, str] | None = None,
    store_options: Mapping[str, str] | None = None,
    show: Callable[[int, int], None] | None = None,
) -> VerifyReport:
    """Read files again by an independent route, and compare every value with the store.

    Parameters
    ----------
    store : str or path
        URL or directory.
    sample : int
        Number of files, drawn evenly from those with at least one complete value.
    every_file : bool
        Verify all files in the ledger instead of a sample.
    start, end : str or datetime, optional
        First and last init time; by default the requested period of the store.
    seed : int, optional
        Seed of the sample; by default a new one, which the report names.
    source : str or sequence of str, optional
        Sources to read, in the order of fail-over. By default the object named in the ledger, and if it no longer
        exists, the store's own sources.
    source_options, store_options : mapping, optional
        Endpoint options without secrets.
    show : callable, optional
        Called with the number of files verified, and of all.

    Returns
    -------
    VerifyReport
        Values must be equal bit for bit, except those that need arithmetic, which may differ by a few units in the last
        place: turned wind, and means of four cells; see :mod:`hrrr_dask.audit.reference.values`.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    PlanError
        If there is nothing to verify.
    ArchiveError
        If no source responds for any of the first files.
    """
    began, url = time.perf_counter(), os.fspath(store)
    if sample < 1:
        raise ConfigError(f"a sample of {sample} files verifies nothing: give one or more, or --all")
    settings = resolve_settings(source=source, source_options=source_options, store_options=store_options)
    existing = load_existing(url, settings["store-options"])
    inits, ledger = requested_inits(existing, start, end), Ledger(open_blobs(url, settings["store-options"]))
    states = read_states(ledger, existing, inits)
    there = np.argwhere(states.attempted if every_file else (states.covered > 0).any(axis=0))
    if not len(there):
        raise PlanError(f"the ledger of {url} has no value in that period: there is nothing to verify, widen it")
    drawn = not every_file and len(there) > sample
    seed = None if not drawn else secrets.randbelow(1_000_000) if seed is None else seed
    chosen = there if seed is None else there[draw_sample(len(there), sample, seed)]
    findings = Findings()
    with open_dataset(url, **settings["store-options"]) as dataset:
        comparison = Comparison(
            selection=existing.selection,
            grid_section=bytes.fromhex(existing.settings["grid_section"]),
            chunk_points=existing.layout.chunk_points,
            dataset=dataset,
            sources=_sources(settings, existing, given=source is not None),
            as_recorded=source is None,
            findings=findings,
        )
        for done in _look(comparison, _promised(ledger, existing, inits, chosen), states):
            if show is not None:
                show(done, len(chosen))
    return report_of(findings, url, len(chosen), len(there), seed, time.perf_counter() - began)


def requested_inits(existing: Existing, start: str | datetime | None, end: str | datetime | None) -> slice:
    """Return the requested range of the axis, within the store's requested period."""
    axis, asked = existing.axis, existing.requested
    first, last = axis.init_time(asked.start), axis.init_time(asked.stop - 1)
    period = parse_period(start or ARCHIVE_START, end or LATER, axis.cycles)
    if period.start > last or period.end < first:
        raise PlanError(
            f"{existing.url} has runs from {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}, none of them in that period: "
            f"change --start and --end"
        )
    return slice(max(asked.start, axis.index(period.start)), min(asked.stop, axis.index(period.end) + 1))


def _sources(settings: Mapping[str, Any], existing: Existing, *, given: bool) -> tuple[Source, ...]:
    """Return the given sources, else the store's own; the public mirrors have their own options."""
    own = not given and settings["source"] == DEFAULTS["source"]
    texts = existing.settings["source"] if own else settings["source"]
    return tuple(parse_source(text, {} if text in SOURCES else settings["source-options"]) for text in texts)


_ExpectedFile = tuple[tuple[int, int], GribFile, dict[str, ExpectedValues]]
"""Position in the arrays (init_time, lead_time), file, and variable name to expected values."""


def _promised(ledger: Ledger, existing: Existing, inits: slice, chosen: NDArray[np.int64]) -> Iterator[_ExpectedFile]:
    """Yield the expected values of the chosen files, partition by partition."""
    selection, axis = existing.selection, existing.axis
    span = existing.layout.partition_days * len(axis.cycles)
    partition_of = (chosen[:, 0] + inits.start) // span
    for partition in np.unique(partition_of).tolist():
        places = {
            (axis.init_time(inits.start + i), selection.lead_hours[k]): (i, k)
            for i, k in chosen[partition_of == partition].tolist()
        }
        by_name = collect_expected(ledger.tables(range(partition, partition + 1), EXPECTED_COLUMNS), places)
        for (init_time, lead_hours), place in places.items():
            file = GribFile(init_time, lead_hours, selection.product, selection.domain)
            yield place, file, by_name[init_time, lead_hours]


def _look(comparison: Comparison, promised: Iterator[_ExpectedFile], states: ValueStates) -> Iterator[int]:
    """Compare one file after the other; yields the number of files done."""
    status, silent, done = states.status(), 0, 0
    error: ArchiveError | None = None
    for place, file, by_name in promised:
        comparison.status(file, int(status[place]))
        if silent >= MAX_SILENT_FILES:
            given_up = f"not asked for, after {MAX_SILENT_FILES} files in a row without an answer: {error}"
            comparison.leave(file, by_name, UnreachableError(given_up))
        else:
            error = comparison.values(file, by_name)
            silent = 0 if error is None or isinstance(error, NotPublishedError) else silent + 1
        done += 1
        if error is not None and silent == done == MAX_SILENT_FILES:
            raise error
        yield done
    if error is not None and silent == done:
        raise error


def report_of(
    findings: Findings,
    url: str,
    files: int,
    files_in_store: int,
    seed: int | None,
    seconds: float,
    against: str = "archive",
) -> VerifyReport:
    """Make the report of the findings."""
    return VerifyReport(
        store=url,
        against=against,
        files=files,
        files_in_store=files_in_store,
        seed=seed,
        values_compared=findings.compared,
        values_equal=findings.equal,
        gap_values=findings.gap_values,
        counts=dict(findings.counts),
        differences=tuple(findings.differences),
        unchecked_values=findings.unchecked_values,
        unchecked=tuple(findings.unchecked),
        healed_gaps=findings.healed_gaps,
        healed=tuple(findings.healed),
        bytes_read=findings.bytes_read,
        seconds=seconds,
    )
