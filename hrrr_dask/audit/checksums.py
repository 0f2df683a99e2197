"""Verifies a store by the CRC-32C checksums in its ledger, and its documents by its specification. Reads no archive.

Every chunk has a CRC-32C of its bytes, which is checked when it is read. Every ledger row has a CRC-32C of its values,
which detects a shard that was removed, or replaced by another valid one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.audit.verify import LOOK_PAUSE_S, LOOKS, find_period, make_report
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.display.progress import Count
from hrrr_dask.display.watching import accept_show, show_count
from hrrr_dask.errors import StoreAccessError, StoreError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import place_rows
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.read.opening import load_existing
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import Difference, Unchecked, VerifyFindings, VerifyReport
from hrrr_dask.store.conditional_writes import read_shard
from hrrr_dask.store.existing import Existing, find_store, later_steps, load_spec
from hrrr_dask.store.published import PUBLISHED_ARRAYS, published_values
from hrrr_dask.store.settings_attribute import encode_root, settings_in
from hrrr_dask.store.store import partitions_of
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.store.user_attributes import keep_user_attributes

__all__ = ["sample_checksums", "verify_checksums"]

Position = tuple[int, int]
"""Position (init_time in the partition, lead_time)."""


@dataclass(slots=True)
class _Row:
    """Values of one variable in one file that were committed together."""

    position: Position
    first_point: int
    n_points: int
    expected: set[int]
    """Accepted checksums; several if several commits wrote the values, none if no commit did."""
    checksum: int = 0
    """Checksum of the values read so far."""
    has_values: bool = False
    """Whether any value is finite."""
    readable: bool = True


@accept_show
def verify_checksums(
    store: str | os.PathLike[str],
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    store_options: Mapping[str, str] | None = None,
    progress: bool | Count | None = None,
) -> VerifyReport:
    """Compare every value with its checksum in the ledger, without reading the archive.

    Parameters
    ----------
    store : str or path
        URL or directory.
    start, end : str or datetime, optional
        First and last init time; by default the requested period of the store.
    store_options : mapping, optional
        Endpoint options without secrets.
    progress : bool or callable, optional
        True for a progress bar, False for nothing; by default, a bar at a terminal or in a notebook. A callable is used
        instead: it is called with the number of partitions checked, and the total.

    Returns
    -------
    VerifyReport
        Result for values, documents, coordinates, and the arrays derived from the ledger.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    StoreError
        If the ledger or the steps of growth cannot be read.

    Examples
    --------
    >>> report = hrrr_dask.verify_checksums("farms.zarr")
    >>> report.outcome, report.values_differing
    ('equal', 0)
    """
    started, url = time.perf_counter(), os.fspath(store)
    options = resolve_settings(store_options=store_options)["store-options"]
    existing = load_existing(url, options)
    inits, blobs = find_period(existing, start, end), open_blobs(url, options)
    findings, files = VerifyFindings(), 0
    _compare_documents(blobs, findings)
    partitions = partitions_of(existing, inits)
    with show_count(progress, "partitions") as show:
        for done, number in enumerate(partitions, start=1):
            partition = _Partition(number, existing, inits, blobs, findings)
            files += partition.compare()
            show(done, len(partitions))
    return make_report(findings, url, files, files, None, time.perf_counter() - started, against="checksums")


def sample_checksums(
    existing: Existing, blobs: Blobs, inits: slice, tables: Sequence[pa.Table], arrays: Iterable[tuple[int, int]]
) -> VerifyFindings:
    """Compare the values of some variables in some partitions with their checksums.

    Parameters
    ----------
    existing : Existing
        The store.
    blobs : Blobs
        Its objects.
    inits : slice
        Range of the axis to check.
    tables : sequence of pyarrow.Table
        Rows of the ledger of at least these partitions.
    arrays : iterable of (int, int)
        Number of a partition, and position of a variable.
    """
    findings = VerifyFindings()
    for number, variable in arrays:
        _Partition(number, existing, inits, blobs, findings).compare_variable(tables, variable)
    return findings


def _compare_documents(blobs: Blobs, findings: VerifyFindings) -> None:
    """Compare metadata and coordinates, except user attributes, with those made from the steps of growth."""
    for look in range(LOOKS):
        time.sleep(LOOK_PAUSE_S if look else 0)
        unequal = _unequal_documents(blobs)
        if unequal is not None:
            break
    else:
        note = "the store is between two steps of growth: run the interrupted command again, then verify"
        findings.add_unchecked(Unchecked("documents", (), "growing", note, 0))
        return
    for key, note in unequal.items():
        findings.add_difference(Difference("other-document", key, key.partition("/")[0], "", None, None, note=note))


def _unequal_documents(blobs: Blobs) -> dict[str, str] | None:
    """Return the documents that differ, and how; None if the store is growing or grew meanwhile."""
    spec = load_spec(blobs)
    root = blobs.get(ROOT_KEY)
    assert spec is not None, "the store has a root document"
    assert root is not None, "the store has a root document"
    if settings_in(json.loads(root))["growth"] != spec.growth:
        return None
    template = build_template(spec)
    found = {key: data for key in template if (data := blobs.get(key)) is not None}
    found[ROOT_KEY] = encode_root(found[ROOT_KEY])  # a store that has not grown since may have it another way
    unequal = [key for key, data in keep_user_attributes(template, found).items() if found.get(key) != data]
    if unequal and later_steps(blobs, spec.growth):
        return None
    return {key: "its bytes differ" if key in found else "it is missing" for key in unequal}


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition of a store."""

    number: int
    existing: Existing
    inits: slice
    """Range of the axis to check."""
    blobs: Blobs
    findings: VerifyFindings

    def compare(self) -> int:
        """Compare the partition with the ledger; returns the number of files in the ledger."""
        tables = self._read_ledger()
        if not any(table.num_rows for table in tables):
            return 0
        self._compare_published(tables)
        positions: set[Position] = set()
        for v in range(len(self.existing.selection.variables)):
            positions |= self.compare_variable(tables, v)
        return len(positions)

    def compare_variable(self, tables: Iterable[pa.Table], v: int) -> set[Position]:
        """Compare the values of one variable with the ledger; returns the positions that have some."""
        name, rows = self.existing.selection.variables[v].name, self._collect_rows(tables, v)
        self._read_values(name, rows)
        for row in rows:
            self._compare_row(name, row)
        return {row.position for row in rows}

    def _read_ledger(self) -> list[pa.Table]:
        return list(Ledger(self.blobs).tables(range(self.number, self.number + 1)))

    @property
    def _all_inits(self) -> slice:
        """Range of the axis in the partition."""
        span = self.existing.layout.partition_days * len(self.existing.axis.cycles)
        return slice(self.number * span, (self.number + 1) * span)

    def _file(self, position: Position) -> GribFile:
        selection = self.existing.selection
        init_time = self.existing.axis.init_time(self._all_inits.start + position[0])
        return GribFile(init_time, selection.file_hours[position[1]], selection.product, selection.domain)

    def _collect_rows(self, tables: Iterable[pa.Table], v: int) -> list[_Row]:
        """Collect the expected values of one variable."""
        found: dict[tuple[int, int, int, int], _Row] = {}
        for table in tables:
            placed = place_rows(table, self.existing.selection, self.existing.axis, self._all_inits)
            variables, inits, leads = placed.place
            kept = np.flatnonzero((variables == v) & (placed.codes == COMPLETE) & self._in_period(inits))
            columns = table.select(("first_point", "n_points", "checksum")).take(placed.rows[kept]).to_pydict()
            positions = zip(inits[kept].tolist(), leads[kept].tolist(), strict=True)
            for position, first, last, checksum in zip(positions, *columns.values(), strict=True):
                row = found.setdefault((*position, first, last), _Row(position, first, last, set()))
                row.expected |= set() if checksum is None else {checksum}
        return sorted(found.values(), key=lambda row: (row.position, row.first_point))

    def _in_period(self, inits: NDArray[np.int64]) -> NDArray[np.bool_]:
        on_axis = inits + self._all_inits.start
        inside: NDArray[np.bool_] = (on_axis >= self.inits.start) & (on_axis < self.inits.stop)
        return inside

    def _read_values(self, name: str, rows: list[_Row]) -> None:
        """Read each shard of a variable once, and update the checksums of the rows."""
        size = self.existing.layout.shard_points
        for block in range(-(-max((row.n_points for row in rows), default=0) // size)):
            key = f"{name}/c/{self.number}/0/{block}"
            shard = self._read_shard(name, key)
            for row, start, stop in _overlaps(rows, block * size, size):
                if shard is None:
                    row.readable = False
                else:
                    values = np.ascontiguousarray(shard[(*row.position, slice(start, stop))], dtype="<f4")
                    row.checksum = google_crc32c.extend(row.checksum, values.tobytes())
                    row.has_values |= bool(np.isfinite(values).any())

    def _read_shard(self, name: str, key: str) -> NDArray[Any] | None:
        """Read a shard; a damaged one is recorded."""
        try:
            return read_shard(self.blobs, key, self.existing.documents[name])[0]
        except StoreAccessError:
            raise
        except StoreError as error:
            note = f"{error}".partition(": ")[2].partition(". Remove")[0]
            self.findings.add_difference(Difference("damaged-chunk", key, name, "", None, None, note=note))
            return None

    def _compare_row(self, name: str, row: _Row) -> None:
        n_values, file = row.n_points - row.first_point, self._file(row.position)
        if not row.readable:  # the damaged shard is recorded
            self.findings.compared += n_values
            return
        if not row.expected:
            note = "written by an attempt that did not commit and left no checksum: verify these with the archive"
            self.findings.add_unchecked(Unchecked(file.label, (name,), "no-checksum", note, n_values))
            return
        self.findings.compared += n_values
        if row.checksum in row.expected:
            self.findings.equal += n_values
            return
        kind = "other-checksum" if row.has_values else "value-is-missing"
        self.findings.add_difference(Difference(kind, file.label, name, "", None, None, n_values))

    def _compare_published(self, tables: list[pa.Table]) -> None:
        """Compare the arrays derived from the ledger, again if others may have written since it was read."""
        existing, shards = self.existing, dict.fromkeys(PUBLISHED_ARRAYS, np.empty(0))
        for look in range(LOOKS):
            if look:
                time.sleep(LOOK_PAUSE_S)
                existing, tables = find_store(self.blobs) or existing, self._read_ledger()
            expected = published_values(tables, existing, self._all_inits)
            found = {name: self._read_shard(name, f"{name}/c/{self.number}/0") for name in shards}
            shards = {n: s for n, s in found.items() if s is not None and not np.array_equal(s, expected[n])}
            if not shards:
                return
        for name, shard in shards.items():
            for init, lead in np.argwhere(shard != expected[name]).tolist():
                shown, wanted = int(shard[init, lead]), int(expected[name][init, lead])
                file = self._file((init, lead))
                self.findings.add_difference(Difference("other-status", file.label, name, "", shown, wanted))


def _overlaps(rows: list[_Row], first: int, size: int) -> Iterator[tuple[_Row, int, int]]:
    """Yield the rows with points in a block, and the range of these points in the block."""
    for row in rows:
        start, stop = max(row.first_point, first), min(row.n_points, first + size)
        if start < stop:
            yield row, start - first, stop - first
