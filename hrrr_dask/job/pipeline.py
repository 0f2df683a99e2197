"""The two stages of the pipeline: extract one file, write one partition. Does not use Dask.

``extract_file`` and ``write_partition`` are plain functions of values; :mod:`hrrr_dask.job.loop` submits them to a
cluster.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.archive.breaker import find_outage, get_breaker
from hrrr_dask.archive.failover import fill_gaps, remaining_reading
from hrrr_dask.archive.fetch import FetchSettings, Tally, get_client
from hrrr_dask.archive.messages import FileMessages, read_messages
from hrrr_dask.archive.prefixes import Prefixes
from hrrr_dask.archive.sources import Source, object_url
from hrrr_dask.catalog.products import object_key
from hrrr_dask.catalog.selectors import Selector
from hrrr_dask.catalog.variables import Variable
from hrrr_dask.decode import get_engine
from hrrr_dask.errors import ArchiveError, SourceDownError
from hrrr_dask.job.extract import Placement, compute_point_values, wanted_messages
from hrrr_dask.ledger.rows import Attempt, checksum, decode_entry, encode_entry
from hrrr_dask.ledger.state import count_attempts
from hrrr_dask.objects.transactions import is_transactional
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.quality.flags import single_variable_flags
from hrrr_dask.records import Extract, FileOutcome, GribFile, Origin, Partition, Reading, one_of_each_file
from hrrr_dask.store.merge import group_pieces
from hrrr_dask.store.published import publish_ledger, publish_status
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.store.store import Store, count
from hrrr_dask.telemetry import metrics
from hrrr_dask.telemetry.logs import get_log

__all__ = ["Job", "PartitionReport", "extract_file", "failed_extracts", "write_partition"]

_log = get_log("hrrr_dask.job.pipeline")


@dataclass(frozen=True)
class Job:
    """Everything that workers need to know; the same for all files of a command."""

    job_id: str
    """Unique identifier of the command; part of task keys and ledger entries."""
    spec: StoreSpec
    """Specification of the store."""
    store_url: str
    """URL of the store."""
    store_options: tuple[tuple[str, str], ...]
    """Options of the store's endpoint, without secrets."""
    sources: tuple[Source, ...]
    """Sources in the order of fail-over."""
    fetch: FetchSettings
    """Timeouts and attempts for requests to the archive."""
    engine: str
    """Name of the decoding engine."""
    merge_gap_bytes: int
    """Byte ranges closer than this are downloaded as one [B]."""
    package_version: str
    """Version of hrrr_dask, for the ledger."""
    files_per_task: int = 0
    """Files that one task reads; 0 chooses by the size of the cluster."""
    prefix_reads: bool = True
    """Download only the parts of messages that wanted cells need, where the engine can decode these."""
    sources_down: tuple[tuple[str, str], ...] = ()
    """Sources that were down when the command began, and what was wrong: a worker tries them again later."""
    sources_slow: tuple[tuple[str, str], ...] = ()
    """Sources that were slow when the command began, and how slow: a worker reads the others first."""
    worker_timeout_s: float = 600.0
    """Time without a worker that can work after which the run stops; 0 for never [s]."""

    @cached_property
    def placement(self) -> Placement:
        """Points on the grid; computed once in each process."""
        return Placement.of(self.spec.grid, self.spec.cells)

    @cached_property
    def prefixes(self) -> Prefixes | None:
        """Parts of messages to download, learned in each process; None to download whole messages."""
        if not self.prefix_reads or self.engine not in ("auto", "numba"):
            return None
        return Prefixes(self.placement.wanted, self.spec.grid.nx * self.spec.grid.ny)

    @property
    def serial_writes(self) -> bool:
        """Whether steps of different partitions should be written one after the other."""
        return is_transactional(self.store_url)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Variables in the order of the plan."""
        return self.spec.selection.variables

    def named(self, names: Iterable[str]) -> tuple[Variable, ...]:
        """Select variables by name, in the order of the plan."""
        wanted = set(names)
        return tuple(variable for variable in self.variables if variable.name in wanted)


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """Counts for one committed step of a partition, as returned to the client."""

    number: int
    """Number of the partition."""
    files: int
    """Files read."""
    gaps: dict[str, int]
    """Reason to the number of missing values."""
    bytes_read: int
    """Bytes downloaded from the archive [B]."""
    requests: int
    """Requests to the archive."""
    bytes_written: int
    """Bytes written to the store [B]."""
    seconds: float
    """Total worker time of the extractions [s]."""
    decoded_by: dict[str, int] = field(default_factory=dict)
    """Engine to the number of values that it decoded."""
    write_s: float = 0.0
    """Time that a thread of a worker was busy with the commit, or waited for the one before [s]."""


def extract_file(reading: Reading, job: Job) -> list[Extract]:
    """Read one file and return its values at the points, an extract for each lead time.

    Problems of a file are not raised: they are reasons in the outcome. Values that one source lacks are read from the
    next one, in the order of fail-over.

    Raises
    ------
    SourceDownError
        If the file has gaps and all sources were down meanwhile: they say nothing of the file.
    """
    first, *others = _order_sources(job)
    before = {source: get_breaker(source, job.fetch).state for source in job.sources}
    extracts = _extract_from_source(first, reading, job)
    for source in others:
        if not _have_gaps(extracts):
            break
        remaining = remaining_reading(reading, [extract.outcome for extract in extracts])
        extracts = fill_gaps(extracts, _extract_from_source(source, remaining, job))
    if _have_gaps(extracts) and all(_was_down(source, state, job) for source, state in before.items()):
        outage = find_outage(job.sources, job.fetch)
        raise SourceDownError(
            f"no source of the archive responds for {outage.down_s:.0f} s: "
            + "; ".join(f"{name}: {cause}" for name, cause in outage.causes.items())
            + ". What was committed stays; run the same command again later, or add another source"
        )
    return extracts


def _have_gaps(extracts: Iterable[Extract]) -> bool:
    return any(extract.outcome.reasons for extract in extracts)


def _was_down(source: Source, before: tuple[int, bool], job: Job) -> bool:
    """Return whether a source was down at any time since its breaker had that state."""
    _, was_open = before
    return was_open or get_breaker(source, job.fetch).state != before


def _order_sources(job: Job) -> list[Source]:
    """Return the sources in the order of fail-over, those that are slow now after the others."""
    breakers = {source: get_breaker(source, job.fetch) for source in job.sources}
    down, slow = dict(job.sources_down), dict(job.sources_slow)
    for source, breaker in breakers.items():
        if source.name in down:
            breaker.suspect(down[source.name], job.job_id)
        elif source.name in slow:
            breaker.suspect(slow[source.name], job.job_id, slow=True)
    return sorted(job.sources, key=lambda source: breakers[source].is_read_later())


def _extract_from_source(source: Source, reading: Reading, job: Job) -> list[Extract]:
    started, tally = time.perf_counter(), Tally()
    wanted = {lead: wanted_messages(job.named(names)) for lead, names in reading.by_lead}
    try:
        client = get_client(source, job.fetch)
        found = read_messages(client, reading.file, wanted, job.spec.grid, tally, job.merge_gap_bytes, job.prefixes)
    except ArchiveError as error:
        _log.debug("file is not readable", source=source.name, code=error.code, error=str(error))
        found = {lead: _all_missing(reading.file, own, error) for lead, own in wanted.items()}
    fetched = time.perf_counter()
    extracts = [_extract(source, reading, lead, found[lead], job) for lead, _ in reading.by_lead]
    seconds, fetch_s = time.perf_counter() - started, fetched - started
    metrics.count_reading(source.name, tally.counts, fetch_s=fetch_s, decode_s=seconds - fetch_s)

    def with_figures(own: FileOutcome) -> FileOutcome:
        return replace(own, bytes_read=tally.bytes_read, requests=tally.requests, seconds=seconds, fetch_s=fetch_s)

    return [replace(extract, outcome=with_figures(extract.outcome)) for extract in extracts]


def _extract(source: Source, reading: Reading, lead_minutes: int, found: FileMessages, job: Job) -> Extract:
    """Compute the values of one lead time from its messages."""
    names = dict(reading.by_lead)[lead_minutes]
    variables, engine = job.named(names), get_engine(job.engine)
    values, missing, engines = compute_point_values(variables, found.messages, found.gaps, job.placement, engine)
    values = np.ascontiguousarray(values[:, reading.first_point :])
    outcome = FileOutcome(
        file=reading.file,
        lead_minutes=lead_minutes,
        wanted=names,
        reasons={name: _reason(error) for name, error in missing.items()},
        details={name: str(error) for name, error in missing.items()},
        origin=Origin(object_url(source, found.key), found.etag, found.published, found.inventory),
        first_point=reading.first_point,
        n_points=len(job.spec.points),
        engines=engines,
        checksums={
            each.name: checksum(own) for each, own in zip(variables, values, strict=True) if each.name in engines
        },
        flags=single_variable_flags(values, names, variables),
    )
    return Extract(values, outcome)


def write_partition(partition: Partition, extracts: Sequence[Extract], job: Job, attempt: int = 1) -> PartitionReport:
    """Write extracts to the partition's shards, commit them with a ledger entry, and update ``status``."""
    began = time.perf_counter()
    store = Store(job.store_url, dict(job.store_options), job.spec)
    ordered = sorted(extracts, key=lambda extract: (extract.outcome.file, extract.outcome.lead_minutes))
    pieces = group_pieces(
        ordered,
        job.spec.axis,
        partition.number * job.spec.span,
        job.spec.selection.lead_minutes,
        [variable.name for variable in job.variables],
    )
    who = _attempt(partition, job, attempt)

    def join() -> tuple[tuple[Sequence[FileOutcome], bytes, int], str]:
        bytes_written, already = store.merge(partition.number, pieces)
        outcomes = _drop_stored_gaps([extract.outcome for extract in ordered], already)
        entry = encode_entry(outcomes, who, _previous_attempts(store, partition, outcomes))
        if store.blobs.transactional:  # one commit contains the values and their status
            bytes_written += publish_status(store, partition.number, also=[decode_entry(entry)])
        return (outcomes, entry, bytes_written), _message(partition, job, outcomes)

    outcomes, entry, bytes_written = store.transact(join)
    store.ledger.write(who, entry)
    bytes_written += publish_ledger(store, [partition.number])
    report = _report(partition, outcomes, bytes_written)
    metrics.count_commit(job.store_url, outcomes, bytes_written, time.perf_counter() - began)
    return report


def failed_extracts(reading: Reading, job: Job, text: str, reason: str = "internal-error") -> list[Extract]:
    """Make the extracts of a file on which our own code failed: every variable is a gap, with the traceback."""
    n_points = len(job.spec.points)
    outcomes = [
        FileOutcome(
            file=reading.file,
            lead_minutes=lead,
            wanted=names,
            reasons=dict.fromkeys(names, reason),
            details=dict.fromkeys(names, text),
            first_point=reading.first_point,
            n_points=n_points,
        )
        for lead, names in reading.by_lead
    ]
    shapes = ((len(outcome.wanted), n_points - reading.first_point) for outcome in outcomes)
    values = (np.full(shape, np.nan, dtype=np.float32) for shape in shapes)
    return [Extract(own, outcome) for own, outcome in zip(values, outcomes, strict=True)]


def _all_missing(file: GribFile, wanted: Iterable[Selector], error: ArchiveError) -> FileMessages:
    return FileMessages({}, dict.fromkeys(wanted, error), "", "", None, object_key(file))


def _reason(error: ArchiveError) -> str:
    codes = [kind.code for kind in type(error).__mro__ if issubclass(kind, ArchiveError) and kind.code in OUTCOMES]
    return codes[0] if codes else "internal-error"


def _drop_stored_gaps(outcomes: Sequence[FileOutcome], already: set[tuple[str, int]]) -> list[FileOutcome]:
    """Remove gaps whose values an earlier, uncommitted attempt has already written to the store."""
    position: dict[str, int] = {}
    adopted = []
    for outcome in outcomes:
        reasons, details, elsewhere = dict(outcome.reasons), dict(outcome.details), dict(outcome.elsewhere)
        for name in outcome.wanted:
            at = position[name] = position.get(name, -1) + 1
            if name in reasons and (name, at) in already:
                details[name] = f"of an attempt that did not commit; now {reasons.pop(name)}: {details.get(name, '')}"
                elsewhere[name] = Origin()
        adopted.append(replace(outcome, reasons=reasons, details=details, elsewhere=elsewhere))
    return adopted


def _previous_attempts(store: Store, partition: Partition, outcomes: Sequence[FileOutcome]) -> NDArray[np.int32]:
    """Count the earlier attempts at each value of an entry, one count for each row."""
    spec = store.spec
    first = partition.number * spec.span
    rows = store.ledger.tables(range(partition.number, partition.number + 1))
    tried = count_attempts(rows, spec.selection, spec.axis, slice(first, first + spec.span))
    at = {variable.name: v for v, variable in enumerate(spec.selection.variables)}
    leads = {lead: k for k, lead in enumerate(spec.selection.lead_minutes)}
    places = [
        (at[name], spec.axis.index(outcome.file.init_time) - first, leads[outcome.lead_minutes])
        for outcome in outcomes
        for name in outcome.wanted
    ]
    found: NDArray[np.int32] = tried[tuple(np.array(places, dtype=np.int64).reshape(-1, 3).T)]
    return found


def _attempt(partition: Partition, job: Job, number: int) -> Attempt:
    return Attempt(
        partition=partition.number,
        job=job.job_id,
        number=partition.step * 100 + number,
        ingested=datetime.now(UTC).replace(tzinfo=None),
        engine=job.engine,
        package_version=job.package_version,
    )


def _message(partition: Partition, job: Job, outcomes: Sequence[FileOutcome]) -> str:
    files, values = len(one_of_each_file(outcomes)), sum(len(outcome.wanted) for outcome in outcomes)
    missing = sum(len(outcome.reasons) for outcome in outcomes)
    counts = [count(files, "file"), count(values, "value"), f"{missing:,} missing"]
    return f"{partition.label}: {', '.join(counts)}; job {job.job_id}"


def _report(partition: Partition, outcomes: Sequence[FileOutcome], bytes_written: int) -> PartitionReport:
    gaps: dict[str, int] = {}
    for outcome in outcomes:
        for reason in outcome.reasons.values():
            gaps[reason] = gaps.get(reason, 0) + 1
    files = one_of_each_file(outcomes)
    return PartitionReport(
        number=partition.number,
        files=len(files),
        gaps=gaps,
        bytes_read=sum(file.bytes_read for file in files),
        requests=sum(file.requests for file in files),
        bytes_written=bytes_written,
        seconds=sum(file.seconds for file in files),
        decoded_by=dict(Counter(name for outcome in outcomes for name in outcome.engines.values())),
    )
