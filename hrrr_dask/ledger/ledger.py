"""Reads, writes and compacts the ledger: one immutable Parquet object per partition and attempt, the commit.

An entry has a row per (init_time, lead_time, variable) that was read, with its outcome and its source. Entries are
below ``.hrrr/ledger`` in the store, which Zarr readers ignore. The entry is the commit: a value is valid only if an
entry calls it complete. :mod:`hrrr_dask.ledger.state` reduces the rows to the current state.

``compact`` gathers all entries into one object, then deletes them. Every row names its entry, so that a row that is
briefly in both objects counts once. A compacted object is never deleted: whoever does not find an entry that was listed
lists again, and finds its rows in a compacted object that is new.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from hrrr_dask.errors import StoreConflictError, StoreError, StoreMismatchError
from hrrr_dask.ledger.parquet import ParquetFile, encode_tables, open_parquet
from hrrr_dask.ledger.rows import SCHEMA, Attempt, read_ledger_rows
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.objects.transactions import open_blobs

if TYPE_CHECKING:
    import io

    import pandas as pd

__all__ = ["LEDGER_PREFIX", "Ledger", "check_ledger", "to_dataframe"]

LEDGER_PREFIX: Final = ".hrrr/ledger"

GATHERED: Final = f"{LEDGER_PREFIX}/gathered-"
"""Prefix of the keys of compacted objects."""

GATHERED_ROWS: Final = 500_000
"""Approximate number of rows in a row group of a compacted object."""

READERS: Final = 16
"""Entries read concurrently."""

LISTINGS: Final = 100
"""Number of times that entries are listed if some disappear before they are read: each time, another command compacted
the ledger, for which there were new entries."""

_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
"""Time in the name of a compacted object."""


class Ledger:
    """The ledger of one store.

    Parameters
    ----------
    blobs : Blobs
        The store's objects.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def write(self, attempt: Attempt, data: bytes) -> str:
        """Commit one attempt at a partition; returns the entry's key."""
        key = f"{LEDGER_PREFIX}/{attempt.entry}"
        self._blobs.put_new(key, data)
        return key

    def tables(self, partitions: range | None = None, columns: Sequence[str] = ()) -> Iterator[pa.Table]:
        """Yield the rows of partitions, or of the whole store, in the order of their commits.

        Parameters
        ----------
        partitions : range, optional
            Numbers of the partitions; all by default.
        columns : sequence of str, optional
            Names of the columns; all by default.

        Yields
        ------
        pyarrow.Table
            Rows of one entry, or of a part of a compacted object. Few are in memory at a time.

        Raises
        ------
        StoreError
            If an entry cannot be read.
        """
        names = list(columns or SCHEMA.names)
        schema = _schema_of(dict.fromkeys([*names, "entry"]))
        seen: set[str] = set()
        for gathered, single in self._listings(partitions):
            for key in gathered:
                for table in self._gathered_rows(key, schema, partitions, seen):
                    yield table.select(names)
            for key, table in self._entries([key for key in single if _entry_of(key) not in seen], schema):
                if table is None:  # it was compacted since it was listed; later ones wait, to keep the order
                    break
                seen.add(_entry_of(key))
                yield table.select(names)
            else:
                return
        raise self._overtaken()

    def read(self, partition: int | None = None) -> pa.Table:
        """Return all rows of one partition or of the store."""
        tables = list(self.tables(None if partition is None else range(partition, partition + 1)))
        return pa.concat_tables(tables).unify_dictionaries() if tables else SCHEMA.empty_table()

    def n_entries(self) -> int:
        """Return the number of entries that are not compacted."""
        return len(self._listed(None)[1])

    def compact(self, moment: datetime) -> tuple[int, int]:
        """Gather all entries into one object, then delete them; readers and writers can continue meanwhile.

        Parameters
        ----------
        moment : datetime
            Current time, UTC; part of the object's name.

        Returns
        -------
        before, after : int
            Number of objects that hold the rows, before and after.
        """
        seen: set[str] = set()
        known: list[str] = []
        for gathered, single in self._listings(None):
            known += gathered
            for key in gathered:
                for _ in self._gathered_rows(key, _schema_of(["entry"]), None, seen):
                    pass
            before = len(known) + len(single)
            if len(single) < 2:
                return before, before
            fresh = [key for key in single if _entry_of(key) not in seen]
            if fresh and not self._put_gathered(_next_key(moment, known), fresh):
                continue
            for start in range(0, len(single), 1000):
                self._blobs.delete(single[start : start + 1000])
            return before, len(known) + bool(fresh)
        raise self._overtaken()

    def _put_gathered(self, key: str, entries: Sequence[str]) -> bool:
        """Write entries as one object; False if another command compacted some of them first."""
        try:
            self._blobs.put_new(key, self._gather(entries))
        except (_CompactedError, StoreConflictError):
            return False
        return True

    def _gather(self, keys: Sequence[str]) -> bytes:
        """Encode entries as one object; rows of a partition are adjacent, so that statistics locate them."""
        return encode_tables(self._row_groups(keys), SCHEMA, 2 * GATHERED_ROWS)

    def _row_groups(self, keys: Sequence[str]) -> Iterator[pa.Table]:
        pending: list[pa.Table] = []
        for key, table in self._entries(keys, SCHEMA):
            if table is None:
                raise _CompactedError(key)
            pending.append(table)
            if key == keys[-1] or sum(each.num_rows for each in pending) >= GATHERED_ROWS:
                yield pa.concat_tables(pending).unify_dictionaries()
                pending.clear()

    def _listings(self, partitions: range | None) -> Iterator[tuple[list[str], list[str]]]:
        """List the ledger up to :data:`LISTINGS` times: compacted objects that are new since the last time, entries."""
        known: set[str] = set()
        for _ in range(LISTINGS):
            gathered, single = self._listed(partitions)
            yield [key for key in gathered if key not in known], single
            known |= set(gathered)

    def _overtaken(self) -> StoreError:
        return StoreError(
            f"entries of {self._blobs.url}/{LEDGER_PREFIX} disappeared {LISTINGS} times before they were read, because "
            f"other commands compact the ledger again and again: run the command again"
        )

    def _listed(self, partitions: range | None) -> tuple[list[str], list[str]]:
        """List the keys of compacted objects and of single entries; oldest first within a partition."""
        keys = [key for key in self._blobs.keys(LEDGER_PREFIX) if key.endswith(".parquet")]
        gathered = [key for key in keys if key.startswith(GATHERED)]
        single = [key for key in keys if not key.startswith(GATHERED)]
        if partitions is not None:
            single = [key for key in single if _partition_of(_entry_of(key)) in partitions]
        return gathered, single

    def _gathered_rows(
        self, key: str, schema: pa.Schema, partitions: range | None, seen: set[str]
    ) -> Iterator[pa.Table]:
        """Yield the rows of compacted entries that were not seen yet, and mark them as seen."""
        source = self._blobs.open(key)
        if source is None:
            return
        new: set[str] = set()
        file = self._parquet(key, source)
        for number in range(file.num_row_groups):
            if partitions is not None and not _can_contain(file.metadata.row_group(number), partitions):
                continue
            table = self._rows(key, file, schema, number)
            entries = pc.unique(table["entry"]).to_pylist()
            kept = [e for e in entries if e not in seen and (partitions is None or _partition_of(e) in partitions)]
            if len(kept) < len(entries):
                table = table.filter(pc.is_in(table["entry"].cast(pa.string()), pa.array(kept, pa.string())))
            new |= set(kept)
            yield table
        seen |= new

    def _entries(self, keys: Sequence[str], schema: pa.Schema) -> Iterator[tuple[str, pa.Table | None]]:
        """Yield the key and rows of each entry; None instead of rows if it no longer exists."""
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(keys), 4 * READERS):
                some = keys[start : start + 4 * READERS]
                yield from zip(some, pool.map(lambda key: self._read_entry(key, schema), some), strict=True)

    def _read_entry(self, key: str, schema: pa.Schema) -> pa.Table | None:
        data = self._blobs.get(key)
        return None if data is None else self._rows(key, self._parquet(key, data), schema)

    def _parquet(self, key: str, source: bytes | io.RawIOBase) -> ParquetFile:
        try:
            return open_parquet(source)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise self._unreadable(key, error) from error

    def _rows(self, key: str, file: ParquetFile, schema: pa.Schema, row_group: int | None = None) -> pa.Table:
        try:
            return read_ledger_rows(file, schema, row_group)
        except (pa.ArrowException, OSError, ValueError, KeyError) as error:
            raise self._unreadable(key, error) from error

    def _unreadable(self, key: str, error: BaseException) -> StoreError:
        return StoreError(
            f"the ledger entry {self._blobs.url}/{key} cannot be read: {error}. "
            f"Remove it to have what it spoke of read from the archive again"
        )


def to_dataframe(url: str | os.PathLike[str], /, **options: str) -> pd.DataFrame:
    """Read the whole ledger of a store.

    Parameters
    ----------
    url : str or path
        URL or directory of the store.
    **options
        Endpoint options without secrets.

    Returns
    -------
    pandas.DataFrame
        One row per attempt at a value, in the order of the commits, with the columns of :data:`SCHEMA`.

    Raises
    ------
    StoreMismatchError
        If there is no ledger at the URL.
    StoreError
        If the ledger cannot be read.

    Examples
    --------
    >>> from hrrr_dask.ledger import to_dataframe
    >>> rows = to_dataframe("farms.zarr")
    >>> rows.outcome.value_counts().to_dict()
    {'complete': 198, 'not-published': 11, 'truncated': 11}
    """
    blobs = open_blobs(os.fspath(url), options)
    rows = Ledger(blobs).read()
    if not rows.num_rows:
        check_ledger(blobs)
    frame: pd.DataFrame = rows.to_pandas(use_threads=False)
    return frame


def check_ledger(blobs: Blobs) -> None:
    """Refuse a place without any object of the ledger; a store has some before anything is read into it.

    Raises
    ------
    StoreMismatchError
        If there is none, as in a copy of the arrays.
    """
    if not blobs.keys(LEDGER_PREFIX.partition("/")[0]):
        raise StoreMismatchError(
            f"{blobs.url} has no ledger (.hrrr), which says what was read: it is no store, or a copy of the arrays, "
            "such as xarray's to_zarr writes; give the store itself, or copy that together with .hrrr. "
            "hrrr_dask.open_dataset reads a copy"
        )


class _CompactedError(Exception):
    """An entry was compacted by another command since it was listed."""


def _next_key(moment: datetime, known: Sequence[str]) -> str:
    """Return the key of a compacted object; it sorts after all known ones, whose rows are older."""
    latest = max((datetime.strptime(key, f"{GATHERED}{_STAMP}.parquet") for key in known), default=datetime.min)
    return f"{GATHERED}{max(moment, latest + timedelta(microseconds=1)):{_STAMP}}.parquet"


def _entry_of(key: str) -> str:
    return key.removeprefix(f"{LEDGER_PREFIX}/")


def _partition_of(entry: str) -> int:
    return int(entry.partition("/")[0])


def _can_contain(group: Any, partitions: range) -> bool:
    """Return whether the statistics of a row group allow rows of those partitions."""
    statistics = group.column(SCHEMA.get_field_index("entry")).statistics
    if statistics is None or not statistics.has_min_max:
        return True
    return _partition_of(statistics.min) < partitions.stop and _partition_of(statistics.max) >= partitions.start


def _schema_of(columns: Iterable[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in columns])
