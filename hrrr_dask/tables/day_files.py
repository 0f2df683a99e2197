"""Writes the Parquet files of some days, on a worker: shards of some points at a time, row groups by run.

A shard has many days, so one task writes several: each shard is read once. In memory are the values of these days at
the points of one shard, and the rows of one row group for each thread.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.parquet import ParquetWriter

from hrrr_dask.errors import StoreError
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs
from hrrr_dask.outcomes import COMPLETE
from hrrr_dask.store.conditional_writes import read_shard
from hrrr_dask.tables.ledger_days import DayRows
from hrrr_dask.tables.rows import Block, make_rows
from hrrr_dask.tables.schema import TableSpec
from hrrr_dask.tables.targets import DayFile
from hrrr_dask.telemetry import faults

__all__ = ["days_per_task", "write_day_files"]

TASK_BYTES: Final = 64_000_000
"""Values that a task has in memory at once, unless a single day at the points of one shard is more [B]."""

FILES_PER_TASK: Final = 8
"""Most files that a task writes concurrently, if the points are in several shards: each has parts in memory."""

GROUP_ROWS: Final = 500_000
"""Approximate number of values in a row group."""

WORDS: Final = ("point_id", "variable", "units", "source", "gap", "latitude", "longitude", "lead_time_h")
"""Columns of few different values, and so with a dictionary; the values of a forecast are stored plainly."""


def days_per_task(spec: TableSpec) -> int:
    """Return how many days of a partition one task writes."""
    size = spec.layout.shard_points
    day_bytes = spec.cycles * len(spec.lead_minutes) * len(spec.variables) * min(size, len(spec.point_id)) * 4
    most = spec.layout.partition_days if len(spec.point_id) <= size else FILES_PER_TASK
    return max(min(TASK_BYTES // day_bytes, most), 1)


@faults.reported("export")
def write_day_files(spec: TableSpec, days: Sequence[DayRows], url: str, options: dict[str, str]) -> list[DayFile]:
    """Write one file for each of some days of one partition.

    Parameters
    ----------
    spec : TableSpec
        The table.
    days : sequence of DayRows
        Days of one partition.
    url : str
        Directory of the files. The name of each is new, and ends with the day's fingerprint.
    options : dict of str to str
        Options of its endpoint.

    Returns
    -------
    list of DayFile
        One for each day. A day without rows has no file, and an empty URL.

    Raises
    ------
    StoreError
        If a shard of the store is missing or cannot be read, or a file cannot be written. None of the files is then of
        use.
    """
    store = open_blobs(spec.store_url, dict(spec.store_options))
    blobs = Blobs(url, options, create=True)
    with ExitStack() as stack:
        writers = [stack.enter_context(_DayWriter(spec, day, blobs)) for day in days]
        for first_point in range(0, len(spec.point_id), spec.layout.shard_points):
            values = _read_values(store, spec, days, first_point)
            for number, writer in enumerate(writers):
                writer.add(values[number], first_point)
            del values
    return [writer.result for writer in writers]


def _read_values(store: Blobs, spec: TableSpec, days: Sequence[DayRows], first_point: int) -> NDArray[np.float32]:
    """Read the values of days at the points of one shard, dims (day, cycle, lead_time, variable, point)."""
    size = min(spec.layout.shard_points, len(spec.point_id) - first_point)
    at = [spec.day_number(day.day) for day in days]
    partition = at[0] // spec.layout.partition_days
    shape = (len(days), spec.cycles, len(spec.lead_minutes), len(spec.variables), size)
    found = np.full(shape, np.nan, dtype=np.float32)
    for v, name in enumerate(spec.variables):
        if not any(_has_values(day, v, first_point, size) for day in days):
            continue
        key = f"{name}/c/{partition}/0/{first_point // spec.layout.shard_points}"
        shard, there = read_shard(store, key, spec.documents[name])
        if there is None:
            raise StoreError(
                f"the shard {store.url}/{key} is missing, and the ledger says that it has values: bring it back from a "
                "copy, or remove the ledger's entries of that partition to have it read from the archive again"
            )
        for k, number in enumerate(at):
            start = (number - partition * spec.layout.partition_days) * spec.cycles
            found[k, :, :, v] = shard[start : start + spec.cycles, :, :size]
    return found


def _has_values(day: DayRows, variable: int, first_point: int, size: int) -> bool:
    own = (day.variable == variable) & (day.code == COMPLETE)
    return bool((own & (day.first_point < first_point + size) & (day.n_points > first_point)).any())


@dataclass(slots=True)
class _DayWriter:
    """Writes the file of one day; made with its first rows."""

    spec: TableSpec
    day: DayRows
    blobs: Blobs
    rows: int = 0
    size: int = 0
    key: str = ""
    _stack: ExitStack = field(default_factory=ExitStack)
    _writer: Any = None
    _sink: Any = None
    _pending: list[pa.Table] = field(default_factory=list)

    def __enter__(self) -> _DayWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            self._flush()
            if self._writer is not None:
                self._writer.close()
                self.size = self._sink.tell()
        self._stack.__exit__(kind, error, trace)

    @property
    def result(self) -> DayFile:
        """The file."""
        url = f"{self.blobs.url}/{self.key}" if self.key else ""
        return DayFile(self.day.day, url, self.rows, self.size, self.day.fingerprint)

    def add(self, values: NDArray[np.float32], first_point: int) -> None:
        """Add the rows of some points, dims (cycle, lead_time, variable, point)."""
        for block in _blocks(values, first_point):
            table = make_rows(self.spec, self.day, block)
            if table.num_rows:
                self._pending.append(table)
                self.rows += table.num_rows
            if sum(each.num_rows for each in self._pending) * self._values_a_row >= GROUP_ROWS:
                self._flush()
        self._flush()  # the dictionaries of the next points are others

    @property
    def _values_a_row(self) -> int:
        return len(self.spec.variables) if self.spec.shape == "wide" else 1

    def _flush(self) -> None:
        """Write what is pending as one row group."""
        if not self._pending:
            return
        table = pa.concat_tables(self._pending).unify_dictionaries()
        self._pending.clear()
        if self._writer is None:
            self._open()
        self._writer.write_table(table, row_group_size=table.num_rows)

    def _open(self) -> None:
        self.key = f"{self.day.day:%Y-%m-%d}-{uuid.uuid4().hex[:8]}-{self.day.fingerprint}.parquet"
        self._sink = self._stack.enter_context(self.blobs.open_new(self.key))
        schema = self.spec.file_schema
        self._writer = ParquetWriter(
            pa.PythonFile(self._sink, mode="w"),
            schema,
            compression="zstd",
            use_dictionary=[name for name in WORDS if name in schema.names],
            store_schema=False,  # words are text to readers, not dictionaries
        )


def _blocks(values: NDArray[np.float32], first_point: int) -> Iterator[Block]:
    """Yield the values of one run after the other, in pieces of lead times if it has too many."""
    n_cycles, n_leads, n_variables, n_points = values.shape
    step = max(GROUP_ROWS // (n_variables * n_points), 1)
    for cycle in range(n_cycles):
        for first in range(0, n_leads, step):
            yield Block(cycle, first, first_point, values[cycle, first : first + step])
