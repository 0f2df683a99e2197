"""Compares a store with the checksums in its ledger, and its documents with its specification. Reads no archive.

Every chunk has a CRC-32C of its bytes, which is checked when it is read. Every ledger row has a CRC-32C of its values,
which detects a shard that was removed, or replaced by another valid one.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime

import google_crc32c
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hrrr_dask.audit.verify import report_of, requested_inits
from hrrr_dask.config.settings import resolve_settings
from hrrr_dask.errors import StoreError
from hrrr_dask.ledger.ledger import Ledger
from hrrr_dask.ledger.state import place_rows
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.read.opening import load_existing
from hrrr_dask.records import GribFile
from hrrr_dask.report.differences import Difference, Findings, Unchecked, VerifyReport
from hrrr_dask.store.conditional_writes import read_shard
from hrrr_dask.store.existing import Existing, load_spec
from hrrr_dask.store.published import PUBLISHED_ARRAYS, published_values
from hrrr_dask.store.store import partitions_of
from hrrr_dask.store.template import ROOT_KEY, build_template
from hrrr_dask.store.user_attributes import keep_user_attributes

__all__ = ["verify_checksums"]


Place = tuple[int, int]
"""Positions (init_time in its partition, lead_time)."""


@dataclass(slots=True)
class _Row:
    """Values of one variable in one file that were committed together."""

    place: Place
    first_point: int
    n_points: int
    known: set[int]
    """Accepted checksums: several commits may have written the values."""
    found: int = 0
    """Checksum of the values read so far."""
    some: bool = False
    """Whether there is any value."""
    readable: bool = True


def verify_checksums(
    store: str | os.PathLike[str],
    *,
    start: str | datetime | None = None,
    end: str | datetime | None = None,
    store_options: Mapping[str, str] | None = None,
    show: Callable[[int, int], None] | None = None,
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
    show : callable, optional
        Called with the number of partitions checked, and of all.

    Returns
    -------
    VerifyReport
        Covers values, documents and coordinates, and the arrays derived from the ledger.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL.
    StoreError
        If the ledger or the steps of growth cannot be read.
    """
    began, url = time.perf_counter(), os.fspath(store)
    options = resolve_settings(store_options=store_options)["store-options"]
    existing = load_existing(url, options)
    inits, blobs = requested_inits(existing, start, end), open_blobs(url, options)
    findings, files = Findings(), 0
    _compare_documents(blobs, findings)
    partitions = partitions_of(existing, inits)
    for done, number in enumerate(partitions, start=1):
        partition = _Partition(number, existing, inits, blobs, findings)
        files += partition.compare()
        if show is not None:
            show(done, len(partitions))
    return report_of(findings, url, files, files, None, time.perf_counter() - began, against="checksums")


def _compare_documents(blobs: Blobs, findings: Findings) -> None:
    """Compare metadata and coordinates with those made from the steps of growth, except user attributes."""
    spec = load_spec(blobs)
    root = blobs.get(ROOT_KEY)
    assert spec is not None, "the store has a root document"
    assert root is not None, "the store has a root document"
    if json.loads(root)["attributes"]["hrrr_dask"]["growth"] != spec.growth:
        told = "the store is between two steps of growth: give the command that was killed again, then verify"
        findings.leave(Unchecked("documents", (), "growing", told, 0))
        return
    template = build_template(spec)
    there = {key: data for key in template if (data := blobs.get(key)) is not None}
    for key, data in keep_user_attributes(template, there).items():
        if there.get(key) != data:
            what = "it is missing" if key not in there else "its bytes are others"
            findings.differ(Difference("other-document", key, key.partition("/")[0], "", None, None, note=what))


@dataclass(frozen=True, slots=True)
class _Partition:
    """One partition of a store."""

    number: int
    existing: Existing
    inits: slice
    """Range of the axis to check."""
    blobs: Blobs
    findings: Findings

    def compare(self) -> int:
        """Compare the partition with the ledger; returns the number of files in the ledger."""
        tables = list(Ledger(self.blobs).tables(range(self.number, self.number + 1)))
        if not any(table.num_rows for table in tables):
            return 0
        self._compare_published(tables)
        places: set[Place] = set()
        for v, variable in enumerate(self.existing.selection.variables):
            rows = self._rows(tables, v)
            self._read(variable.name, rows)
            for row in rows:
                self._judge(variable.name, row)
            places |= {row.place for row in rows}
        return len(places)

    @property
    def _whole(self) -> slice:
        """Init times of the partition."""
        span = self.existing.layout.partition_days * len(self.existing.axis.cycles)
        return slice(self.number * span, (self.number + 1) * span)

    def _file(self, place: Place) -> GribFile:
        selection = self.existing.selection
        init_time = self.existing.axis.init_time(self._whole.start + place[0])
        return GribFile(init_time, selection.lead_hours[place[1]], selection.product, selection.domain)

    def _rows(self, tables: Iterable[pa.Table], v: int) -> list[_Row]:
        """Collect the expected values of one variable."""
        found: dict[tuple[int, int, int, int], _Row] = {}
        for table in tables:
            placed = place_rows(table, self.existing.selection, self.existing.axis, self._whole)
            variables, inits, leads = placed.place
            kept = np.flatnonzero((variables == v) & (placed.codes == COMPLETE) & self._wanted(inits))
            columns = table.select(("first_point", "n_points", "checksum")).take(placed.rows[kept]).to_pydict()
            places = zip(inits[kept].tolist(), leads[kept].tolist(), strict=True)
            for place, first, last, known in zip(places, *columns.values(), strict=True):
                row = found.setdefault((*place, first, last), _Row(place, first, last, set()))
                row.known |= set() if known is None else {known}
        return sorted(found.values(), key=lambda row: (row.place, row.first_point))

    def _wanted(self, inits: NDArray[np.int64]) -> NDArray[np.bool_]:
        at = inits + self._whole.start
        wanted: NDArray[np.bool_] = (at >= self.inits.start) & (at < self.inits.stop)
        return wanted

    def _read(self, name: str, rows: list[_Row]) -> None:
        """Read the variable's shards, each once, and update the checksums."""
        size, document = self.existing.layout.shard_points, self.existing.documents[name]
        for block in range(-(-max((row.n_points for row in rows), default=0) // size)):
            key = f"{name}/c/{self.number}/0/{block}"
            shard: NDArray[np.float32] | None = None
            try:
                shard, _ = read_shard(self.blobs, key, document)
            except StoreError as error:
                note = f"{error}".partition(": ")[2].partition(". Remove")[0]
                self.findings.differ(Difference("damaged-chunk", key, name, "", None, None, note=note))
            for row, start, stop in _overlaps(rows, block * size, size):
                if shard is None:
                    row.readable = False
                else:
                    values = np.ascontiguousarray(shard[(*row.place, slice(start, stop))], dtype="<f4")
                    row.found = google_crc32c.extend(row.found, values.tobytes())
                    row.some |= bool(np.isfinite(values).any())

    def _judge(self, name: str, row: _Row) -> None:
        n_values, file = row.n_points - row.first_point, self._file(row.place)
        if not row.readable:  # the shard is already reported
            self.findings.compared += n_values
            return
        if not row.known:
            told = "an attempt that did not commit wrote them, and left no checksum: compare them with the archive"
            self.findings.leave(Unchecked(file.label, (name,), "no-checksum", told, n_values))
            return
        self.findings.compared += n_values
        if row.found in row.known:
            self.findings.equal += n_values
            return
        kind = "other-checksum" if row.some else "value-is-missing"
        self.findings.differ(Difference(kind, file.label, name, "", None, None, n_values))

    def _compare_published(self, tables: list[pa.Table]) -> None:
        """Compare the arrays derived from the ledger."""
        expected = published_values(tables, self.existing, self._whole)
        for name in PUBLISHED_ARRAYS:
            key = f"{name}/c/{self.number}/0"
            try:
                shard, _ = read_shard(self.blobs, key, self.existing.documents[name])
            except StoreError as error:
                note = f"{error}".partition(": ")[2].partition(". Remove")[0]
                self.findings.differ(Difference("damaged-chunk", key, name, "", None, None, note=note))
                continue
            for place in np.argwhere(shard != expected[name]).tolist():
                here, there = int(shard[tuple(place)]), int(expected[name][tuple(place)])
                file = self._file((place[0], place[1]))
                self.findings.differ(Difference("other-status", file.label, name, "", here, there))


def _overlaps(rows: list[_Row], first: int, size: int) -> Iterator[tuple[_Row, int, int]]:
    """Yield the rows with points in a block, and the range of these points in it."""
    for row in rows:
        start, stop = max(row.first_point, first), min(row.n_points, first + size)
        if start < stop:
            yield row, start - first, stop - first
