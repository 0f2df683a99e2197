"""Re-reads a sample of a store from the archive by another route, :mod:`hrrr_dask.audit.reference`, and compares.

Of each file, what plain xarray reads of the store is compared with what the route finds in the object that the ledger
names. What the ledger calls a gap must be missing in the store, and ``status`` must be what the ledger amounts to.
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
from hrrr_dask.ledger.expected import PROMISED, Promise, draw, promises_of
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import Folded
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.read.opening import must_exist, open_dataset
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import Findings, VerifyReport
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import fold_inits

__all__ = ["SAMPLE", "asked_inits", "report_of", "verify"]

SAMPLE: Final = 20
"""Files that are looked at when nobody says how many."""

LATER: Final = datetime(2200, 1, 1)
"""After the last run of any store."""

PATIENCE: Final = 3
"""After so many files in a row about which no source gives an answer, no more are asked for."""


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
    """Read files again, by another route, and compare every value with the store.

    Parameters
    ----------
    store : str or path
        URL or directory.
    sample : int
        How many files, drawn evenly over those of which the ledger calls anything complete.
    every_file : bool
        All files that the ledger says anything of, instead of a sample.
    start, end : str or datetime, optional
        First and last init time; by default all that was asked of the store.
    seed : int, optional
        The same draws the same files; by default a new one, which the report names.
    source : str or sequence of str, optional
        Where to read, in the order of fail-over. By default the object that the ledger names, and if it is not there
        any longer, the store's own sources.
    source_options, store_options : mapping, optional
        Endpoint options without secrets.
    show : callable, optional
        Called with the number of files looked at, and of all.

    Returns
    -------
    VerifyReport
        Values are equal bit for bit. Those that take arithmetic may differ by a few units in the last place: turned
        wind, and means of four cells; see :mod:`hrrr_dask.audit.reference.values`.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at that place.
    PlanError
        If there is nothing to verify.
    ArchiveError
        If no source gives an answer about any of the first files.
    """
    began, url = time.perf_counter(), os.fspath(store)
    if sample < 1:
        raise ConfigError(f"a sample of {sample} files verifies nothing: ask for one or more, or for all")
    settings = resolve_settings(source=source, source_options=source_options, store_options=store_options)
    existing = must_exist(url, settings["store-options"])
    inits, ledger = asked_inits(existing, start, end), Ledger(open_blobs(url, settings["store-options"]))
    folded = fold_inits(ledger, existing, inits)
    there = np.argwhere(folded.touched if every_file else (folded.covered > 0).any(axis=0))
    if not len(there):
        raise PlanError(f"the ledger of {url} has no value in that period: there is nothing to verify, widen it")
    drawn = not every_file and len(there) > sample
    seed = None if not drawn else secrets.randbelow(1_000_000) if seed is None else seed
    chosen = there if seed is None else there[draw(len(there), sample, seed)]
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
        for done in _look(comparison, _promised(ledger, existing, inits, chosen), folded):
            if show is not None:
                show(done, len(chosen))
    return report_of(findings, url, len(chosen), len(there), seed, time.perf_counter() - began)


def asked_inits(existing: Existing, start: str | datetime | None, end: str | datetime | None) -> slice:
    """The part of the axis that is wanted, within what was asked of the store."""
    axis, asked = existing.axis, existing.asked
    first, last = axis.init_time(asked.start), axis.init_time(asked.stop - 1)
    period = parse_period(start or ARCHIVE_START, end or LATER, axis.cycles)
    if period.start > last or period.end < first:
        raise PlanError(
            f"{existing.url} has runs from {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}, none of them in that period: "
            f"change --start and --end"
        )
    return slice(max(asked.start, axis.index(period.start)), min(asked.stop, axis.index(period.end) + 1))


def _sources(settings: Mapping[str, Any], existing: Existing, *, given: bool) -> tuple[Source, ...]:
    """Those given, else the store's own; the public mirrors know how they are reached."""
    own = not given and settings["source"] == DEFAULTS["source"]
    texts = existing.settings["source"] if own else settings["source"]
    return tuple(parse_source(text, {} if text in SOURCES else settings["source-options"]) for text in texts)


_Promised = tuple[tuple[int, int], GribFile, dict[str, Promise]]
"""Place in the arrays (init_time, lead_time), file, and variable name to what the ledger says."""


def _promised(ledger: Ledger, existing: Existing, inits: slice, chosen: NDArray[np.int64]) -> Iterator[_Promised]:
    """What the ledger says of the chosen files, read partition by partition."""
    selection, axis = existing.selection, existing.axis
    span = existing.layout.partition_days * len(axis.cycles)
    partition_of = (chosen[:, 0] + inits.start) // span
    for partition in np.unique(partition_of).tolist():
        places = {
            (axis.init_time(inits.start + i), selection.lead_hours[k]): (i, k)
            for i, k in chosen[partition_of == partition].tolist()
        }
        promises = promises_of(ledger.tables(range(partition, partition + 1), PROMISED), places)
        for (init_time, lead_hours), place in places.items():
            file = GribFile(init_time, lead_hours, selection.product, selection.domain)
            yield place, file, promises[init_time, lead_hours]


def _look(comparison: Comparison, promised: Iterator[_Promised], folded: Folded) -> Iterator[int]:
    """Look at one file after the other; yields how many have been."""
    status, silent, done = folded.status(), 0, 0
    error: ArchiveError | None = None
    for place, file, promises in promised:
        comparison.status(file, int(status[place]))
        if silent >= PATIENCE:
            given_up = f"not asked for, after {PATIENCE} files in a row without an answer: {error}"
            comparison.leave(file, promises, UnreachableError(given_up))
        else:
            error = comparison.values(file, promises)
            silent = 0 if error is None or isinstance(error, NotPublishedError) else silent + 1
        done += 1
        if error is not None and silent == done == PATIENCE:
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
    """Make the report of what was found."""
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
