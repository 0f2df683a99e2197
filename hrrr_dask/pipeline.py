"""The spine: what happens to one file, and what happens to one partition. No Dask here.

``extract_file`` and ``write_partition`` are plain functions of values; :mod:`hrrr_dask.run` hands them to a cluster.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np

from hrrr_dask.assemble import assemble
from hrrr_dask.catalog import object_key
from hrrr_dask.decode import engine_named
from hrrr_dask.errors import ArchiveError
from hrrr_dask.extract import Placement, point_values, wanted_messages
from hrrr_dask.fetch import FetchSettings, Tally, client_for
from hrrr_dask.ledger import encode_entry
from hrrr_dask.messages import Found, read_messages
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.records import Extract, FileOutcome, GribFile, Partition
from hrrr_dask.selectors import Selector
from hrrr_dask.sources import Source, object_url
from hrrr_dask.store import Store
from hrrr_dask.template import StoreSpec
from hrrr_dask.variables import Variable

__all__ = ["Job", "PartitionReport", "extract_file", "failed_extract", "write_partition"]


@dataclass(frozen=True)
class Job:
    """Everything a worker needs to know, the same for all files of a command."""

    job_id: str
    """Unique to this command; part of task keys and ledger entries."""
    spec: StoreSpec
    """The store."""
    store_url: str
    """Where it is."""
    store_options: tuple[tuple[str, str], ...]
    """Its endpoint, without secrets."""
    sources: tuple[Source, ...]
    """In the order of fail-over."""
    fetch: FetchSettings
    """How patiently the archive is read."""
    engine: str
    """Decoder."""
    merge_gap_bytes: int
    """Ranges closer than this are read as one [B]."""
    package_version: str
    """For the ledger."""

    @cached_property
    def placement(self) -> Placement:
        """The points on the grid, made once in each process."""
        return Placement.of(self.spec.grid, self.spec.cells)

    @property
    def variables(self) -> tuple[Variable, ...]:
        """In plan order."""
        return self.spec.selection.variables

    def offered(self, file: GribFile) -> tuple[Variable, ...]:
        """The variables that the archive can have in a file."""
        return tuple(v for v in self.variables if v.offered(file.init_time, file.lead_hours))


@dataclass(frozen=True, slots=True)
class PartitionReport:
    """What came of one partition: a few numbers for the client."""

    number: int
    """Which."""
    files: int
    """Files looked at."""
    gaps: dict[str, int]
    """Reason to the number of values that are missing."""
    bytes_read: int
    """From the archive [B]."""
    requests: int
    """To the archive."""
    bytes_written: int
    """To the store [B]."""
    seconds: float
    """Worker time of the extractions, added up [s]."""


def extract_file(file: GribFile, job: Job) -> Extract:
    """Read one file and keep its values at the points.

    Never raises for what is wrong with a file: that is in the outcome. Sources are tried in their order until one
    has everything.
    """
    best: Extract | None = None
    for source in job.sources:
        extract = _extract_from(source, file, job)
        if best is None or len(extract.outcome.reasons) < len(best.outcome.reasons):
            best = extract
        if not extract.outcome.reasons:
            break
    assert best is not None, "a job has at least one source"
    return best


def _extract_from(source: Source, file: GribFile, job: Job) -> Extract:
    started, tally = time.perf_counter(), Tally()
    variables = job.offered(file)
    wanted = wanted_messages(variables)
    try:
        client = client_for(source, job.fetch)
        found = read_messages(client, file, wanted, job.spec.grid, tally, job.merge_gap_bytes)
    except ArchiveError as error:
        found = _nothing(wanted, error)
    values, missing = point_values(variables, found.messages, found.gaps, job.placement, engine_named(job.engine))
    outcome = FileOutcome(
        file=file,
        wanted=tuple(variable.name for variable in variables),
        reasons={name: _reason(error) for name, error in missing.items()},
        details={name: str(error) for name, error in missing.items()},
        source=object_url(source, object_key(file)),
        etag=found.etag,
        published=found.published,
        inventory=found.inventory,
        bytes_read=tally.bytes_read,
        requests=tally.requests,
        seconds=time.perf_counter() - started,
    )
    return Extract(_in_plan_order(values, variables, job), outcome)


def write_partition(partition: Partition, extracts: Sequence[Extract], job: Job) -> PartitionReport:
    """Lay the extracts over what the partition holds, write its shards, then commit by the ledger entry."""
    store = Store(job.store_url, dict(job.store_options), job.spec)
    selection = job.spec.selection
    names = [variable.name for variable in selection.variables]
    slab = assemble(
        store.read_slab(partition.number),
        extracts,
        axis=job.spec.axis,
        first_init=partition.number * job.spec.span,
        variables=names,
        lead_hours=selection.lead_hours,
    )
    bytes_written = store.write_slab(partition.number, slab)
    outcomes = sorted((extract.outcome for extract in extracts), key=lambda outcome: outcome.file)
    entry = encode_entry(outcomes, _note(partition, job))
    store.ledger.write(partition.number, _attempt_name(job), entry)
    return _report(partition, outcomes, bytes_written)


def failed_extract(file: GribFile, job: Job, text: str) -> Extract:
    """What stands for a file on which our own code failed: every variable a gap, with the traceback."""
    names = tuple(variable.name for variable in job.offered(file))
    reasons = dict.fromkeys(names, "internal-error")
    outcome = FileOutcome(file=file, wanted=names, reasons=reasons, details=dict.fromkeys(names, text))
    values = np.full((len(job.variables), len(job.spec.points)), np.nan, dtype=np.float32)
    return Extract(values, outcome)


def _nothing(wanted: Iterable[Selector], error: ArchiveError) -> Found:
    return Found({}, dict.fromkeys(wanted, error), "", "", None)


def _reason(error: ArchiveError) -> str:
    return error.code if error.code in OUTCOMES else "internal-error"


def _in_plan_order(values: np.ndarray[Any, np.dtype[np.float32]], variables: Sequence[Variable], job: Job) -> Any:
    if len(variables) == len(job.variables):
        return values
    spread = np.full((len(job.variables), values.shape[1]), np.nan, dtype=np.float32)
    spread[[job.variables.index(variable) for variable in variables]] = values
    return spread


def _note(partition: Partition, job: Job) -> dict[str, Any]:
    return {
        "job": job.job_id,
        "partition": partition.number,
        "package_version": job.package_version,
        "engine": job.engine,
        "n_points": len(job.spec.points),
        "ingested": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def _attempt_name(job: Job) -> str:
    """Sorts by the time of the commit; unique through the job."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{job.job_id}"


def _report(partition: Partition, outcomes: Sequence[FileOutcome], bytes_written: int) -> PartitionReport:
    gaps: dict[str, int] = {}
    for outcome in outcomes:
        for reason in outcome.reasons.values():
            gaps[reason] = gaps.get(reason, 0) + 1
    return PartitionReport(
        number=partition.number,
        files=len(outcomes),
        gaps=gaps,
        bytes_read=sum(outcome.bytes_read for outcome in outcomes),
        requests=sum(outcome.requests for outcome in outcomes),
        bytes_written=bytes_written,
        seconds=sum(outcome.seconds for outcome in outcomes),
    )
