"""Verifies a sample of a store's files against the archive, which an independent reader decodes again.

Values read from the store by xarray are compared with values that :mod:`hrrr_dask.audit.reference` decodes from the
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
from hrrr_dask.audit.reference import LastObject
from hrrr_dask.catalog.lead_times import file_hour
from hrrr_dask.catalog.products import ARCHIVE_START
from hrrr_dask.config.period import parse_period
from hrrr_dask.config.settings import DEFAULTS, Selection, resolve_settings
from hrrr_dask.display.progress import Count
from hrrr_dask.display.watching import accept_show, show_count
from hrrr_dask.errors import ArchiveError, ConfigError, NotPublishedError, PlanError, UnreachableError
from hrrr_dask.ledger.expected import EXPECTED_COLUMNS, ExpectedValues, collect_expected, draw_sample
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.read.opening import load_existing, open_dataset
from hrrr_dask.records import Forecast, GribFile
from hrrr_dask.report.differences import VerifyFindings, VerifyReport
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.store import read_states

__all__ = ["LOOKS", "LOOK_PAUSE_S", "SAMPLE", "find_period", "make_report", "verify"]

SAMPLE: Final = 20
"""Default number of files to verify."""

FAR_FUTURE: Final = datetime(2200, 1, 1)
"""Default end of the period: later than the last run of any store."""

LOOKS: Final = 3
"""Number of times that what other commands may be changing is compared before it is reported as different."""

LOOK_PAUSE_S: Final = 0.5
"""Pause before it is compared again; longer than a writer takes from its ledger entry to ``status`` [s]."""

MAX_SILENT_FILES: Final = 3
"""Number of consecutive files without a response from any source, after which verification stops reading."""


@accept_show
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
    progress: bool | Count | None = None,
) -> VerifyReport:
    """Read files of the archive again by an independent route, and compare every value with the store.

    Parameters
    ----------
    store : str or path
        URL or directory.
    sample : int
        Number of files, drawn evenly over the period from those with at least one complete value.
    every_file : bool
        Verify all files in the ledger instead of a sample.
    start, end : str or datetime, optional
        First and last init time; by default the requested period of the store.
    seed : int, optional
        Seed of the sample; by default a random one, which the report contains.
    source : str or sequence of str, optional
        Sources to read, in fail-over order. By default the object named in the ledger, or the store's own sources if
        it no longer exists.
    source_options, store_options : mapping, optional
        Endpoint options without secrets.
    progress : bool or callable, optional
        True for a progress bar, False for nothing; by default, a bar at a terminal or in a notebook. A callable is used
        instead: it is called with the number of files verified, and the total.

    Returns
    -------
    VerifyReport
        Values must be equal bit for bit. Turned wind and means of four cells, which need arithmetic, may differ by a
        few units in the last place; see :mod:`hrrr_dask.audit.reference.values`.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    PlanError
        If there is nothing to verify.
    ArchiveError
        If no source responds for any of the first files.

    Examples
    --------
    >>> report = hrrr_dask.verify("farms.zarr", sample=5, seed=1)
    >>> report.outcome, report.files, report.files_in_store
    ('equal', 5, 18)
    """
    started, url = time.perf_counter(), os.fspath(store)
    if sample < 1:
        raise ConfigError(f"a sample of {sample} files verifies nothing: give one or more, or --all")
    settings = resolve_settings(source=source, source_options=source_options, store_options=store_options)
    existing = load_existing(url, settings["store-options"])
    inits, ledger = find_period(existing, start, end), Ledger(open_blobs(url, settings["store-options"]))
    states = read_states(ledger, existing, inits)
    candidates = np.argwhere(states.attempted if every_file else (states.covered > 0).any(axis=0))
    if not len(candidates):
        raise PlanError(
            f"the ledger of {url} has no value in that period, so there is nothing to verify: widen the period"
        )
    files = files_of(candidates, existing.selection)
    chosen, seed = (files, None) if every_file else _draw(files, sample, seed)
    findings = VerifyFindings()
    with (
        open_dataset(url, **settings["store-options"]) as dataset,
        LastObject() as last_object,
        show_count(progress, "files") as show,
    ):
        comparison = Comparison(
            selection=existing.selection,
            grid_section=bytes.fromhex(existing.settings["grid_section"]),
            chunk_points=existing.layout.chunk_points,
            dataset=dataset,
            sources=_sources(settings, existing, given=source is not None),
            as_recorded=source is None,
            findings=findings,
            last_object=last_object,
        )

        def read_status() -> NDArray[np.uint8]:
            return read_states(ledger, load_existing(url, settings["store-options"]), inits).status()

        last_of_file = np.cumsum([len(leads) for leads in chosen])
        expected_files = _expected_files(ledger, existing, inits, np.concatenate(chosen))
        for done in _compare_files(comparison, expected_files, states.status(), read_status):
            show(int(np.searchsorted(last_of_file, done, side="right")), len(chosen))
    return make_report(findings, url, len(chosen), len(files), seed, time.perf_counter() - started)


def files_of(places: NDArray[np.int64], selection: Selection) -> list[NDArray[np.int64]]:
    """Group positions (init_time, lead_time) by file, in their order."""
    names = np.column_stack([places[:, 0], np.asarray(selection.file_hours)[places[:, 1]]])
    starts = np.flatnonzero((np.diff(names, axis=0) != 0).any(axis=1)) + 1
    return np.split(places, starts)


def _draw(files: list[NDArray[np.int64]], sample: int, seed: int | None) -> tuple[list[NDArray[np.int64]], int | None]:
    """Draw a sample of files; also return the seed, or None if there are no more files than that."""
    if len(files) <= sample:
        return files, None
    seed = secrets.randbelow(1_000_000) if seed is None else seed
    return [files[k] for k in draw_sample(len(files), sample, seed)], seed


def find_period(existing: Existing, start: str | datetime | None, end: str | datetime | None) -> slice:
    """Return the part of the store's requested period from `start` to `end`, as positions on its axis."""
    axis, requested = existing.axis, existing.requested
    first, last = axis.init_time(requested.start), axis.init_time(requested.stop - 1)
    period = parse_period(start or ARCHIVE_START, end or FAR_FUTURE, axis.cycles)
    if period.start > last or period.end < first:
        raise PlanError(
            f"{existing.url} has runs from {first:%Y-%m-%dT%H} to {last:%Y-%m-%dT%H}, none of them in that period: "
            f"change --start and --end"
        )
    return slice(max(requested.start, axis.index(period.start)), min(requested.stop, axis.index(period.end) + 1))


def _sources(settings: Mapping[str, Any], existing: Existing, *, given: bool) -> tuple[Source, ...]:
    """Return the given sources, or the store's own; the public mirrors have their own options."""
    own = not given and settings["source"] == DEFAULTS["source"]
    texts = existing.settings["source"] if own else settings["source"]
    return tuple(parse_source(text, {} if text in SOURCES else settings["source-options"]) for text in texts)


_ExpectedFile = tuple[tuple[int, int], Forecast, dict[str, ExpectedValues]]
"""Position (init_time, lead_time), file and lead time, and the expected values by variable name."""


def _expected_files(
    ledger: Ledger, existing: Existing, inits: slice, chosen: NDArray[np.int64]
) -> Iterator[_ExpectedFile]:
    """Yield the expected values of the chosen files, partition by partition, of the variables that were there."""
    selection, axis = existing.selection, existing.axis
    span = existing.layout.partition_days * len(axis.cycles)
    partition_of = (chosen[:, 0] + inits.start) // span
    for partition in np.unique(partition_of).tolist():
        positions = {
            (axis.init_time(inits.start + i), selection.lead_minutes[k]): (i, k)
            for i, k in chosen[partition_of == partition].tolist()
        }
        by_name = collect_expected(ledger.tables(range(partition, partition + 1), EXPECTED_COLUMNS), positions)
        for (init_time, lead), position in positions.items():
            file = GribFile(init_time, file_hour(lead), selection.product, selection.domain)
            known = by_name[init_time, lead]
            yield (
                position,
                Forecast(file, lead),
                {each.name: known[each.name] for each in selection.variables if each.name in known},
            )


def _compare_files(
    comparison: Comparison,
    expected_files: Iterator[_ExpectedFile],
    status: NDArray[np.uint8],
    read_status: Callable[[], NDArray[np.uint8]],
) -> Iterator[int]:
    """Compare files one by one, each lead time by itself; yields the number of lead times done."""
    silent, done = 0, 0
    unequal: list[tuple[tuple[int, int], Forecast]] = []
    error: ArchiveError | None = None
    for position, file, by_name in expected_files:
        if not comparison.has_status(file, int(status[position])):
            unequal.append((position, file))
        if silent >= MAX_SILENT_FILES:
            reason = f"not requested, after {MAX_SILENT_FILES} consecutive files without a response: {error}"
            comparison.skip_file(file, by_name, UnreachableError(reason))
        else:
            error = comparison.compare_values(file, by_name)
            silent = 0 if error is None or isinstance(error, NotPublishedError) else silent + 1
        done += 1
        if error is not None and silent == done == MAX_SILENT_FILES:
            raise error
        yield done
    if error is not None and silent == done:
        raise error
    for _ in range(LOOKS - 1):  # other commands may have written to the store since the ledger was read
        if unequal:
            time.sleep(LOOK_PAUSE_S)
            status = read_status()
            unequal = [(at, file) for at, file in unequal if not comparison.has_status(file, int(status[at]))]
    for position, file in unequal:
        comparison.compare_status(file, int(status[position]))


def make_report(
    findings: VerifyFindings,
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
