"""What was done: one immutable Parquet object per partition and attempt, written after the shards.

An entry has a row per (init_time, lead_time, variable) with its outcome and where the bytes came from. Entries lie
below ``.hrrr/ledger`` in the store, where Zarr readers do not look. The entry is the commit: values whose partition
has no entry are not there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from io import BytesIO
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hrrr_dask.blobs import Blobs
from hrrr_dask.errors import StoreError
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED, OUTCOMES, outcome_numbered
from hrrr_dask.planning import Axis
from hrrr_dask.records import FileOutcome

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["LEDGER_PREFIX", "Ledger", "encode_entry", "finished", "fold", "to_dataframe"]

LEDGER_PREFIX: Final = ".hrrr/ledger"
ENTRY_VERSION: Final = 1

HEALING_DAYS: Final = 7
"""While a model run is younger than this, what was missing may still come [d]."""

_WORD: Final = pa.dictionary(pa.int32(), pa.string())
SCHEMA: Final = pa.schema(
    [
        pa.field("init_time", pa.timestamp("s"), nullable=False),
        pa.field("lead_hours", pa.int16(), nullable=False),
        pa.field("variable", _WORD, nullable=False),
        pa.field("outcome", _WORD, nullable=False),
        pa.field("detail", _WORD),
        pa.field("source", _WORD),
        pa.field("etag", _WORD),
        pa.field("published", pa.timestamp("s")),
        pa.field("inventory", _WORD),
        pa.field("file_bytes_read", pa.int64()),
        pa.field("file_requests", pa.int32()),
        pa.field("file_seconds", pa.float32()),
    ]
)
"""Columns of an entry; the ``file_`` columns repeat the file's figure on each of its variables' rows."""


class Ledger:
    """The entries of one store.

    Parameters
    ----------
    blobs : Blobs
        The store's objects.
    """

    def __init__(self, blobs: Blobs) -> None:
        self._blobs = blobs

    def write(self, partition: int, attempt: str, entry: bytes) -> str:
        """Commit one partition's attempt; returns the entry's key.

        Raises
        ------
        StoreConflictError
            If that attempt has an entry already.
        """
        key = f"{LEDGER_PREFIX}/{partition:06d}/{attempt}.parquet"
        self._blobs.put_new(key, entry)
        return key

    def read(self, partition: int | None = None) -> pa.Table:
        """All rows, of one partition or of the store, in the order in which they were committed."""
        prefix = LEDGER_PREFIX if partition is None else f"{LEDGER_PREFIX}/{partition:06d}"
        entries = (key for key in self._blobs.keys(prefix) if key.endswith(".parquet"))
        keys = sorted(entries, key=lambda key: key.rpartition("/")[2])
        if not keys:
            return SCHEMA.empty_table()
        with ThreadPoolExecutor(8) as pool:
            tables = list(pool.map(self._read_entry, keys))
        return pa.concat_tables(tables).unify_dictionaries()

    def _read_entry(self, key: str) -> pa.Table:
        data = self._blobs.get(key)
        try:
            return pq.read_table(BytesIO(data or b"")).cast(SCHEMA)
        except (pa.ArrowException, OSError, ValueError) as error:
            raise StoreError(
                f"the ledger entry {self._blobs.url}/{key} cannot be read: {error}. "
                f"Remove it to have that partition read from the archive again"
            ) from error


def encode_entry(outcomes: Iterable[FileOutcome], note: dict[str, Any]) -> bytes:
    """Spell an entry as Parquet.

    Parameters
    ----------
    outcomes : iterable of FileOutcome
        What came of each file: a row for each variable that was wanted of it.
    note : dict
        About the attempt: package version, engine, job; kept in the Parquet metadata.

    Returns
    -------
    bytes
        The object.
    """
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for outcome in outcomes:
        wanted = outcome.wanted
        rows: dict[str, list[Any]] = {
            "init_time": [outcome.file.init_time] * len(wanted),
            "lead_hours": [outcome.file.lead_hours] * len(wanted),
            "variable": list(wanted),
            "outcome": [outcome.reasons.get(name, "complete") for name in wanted],
            "detail": [outcome.details.get(name, "") for name in wanted],
            "source": [outcome.source] * len(wanted),
            "etag": [outcome.etag] * len(wanted),
            "published": [outcome.published] * len(wanted),
            "inventory": [outcome.inventory] * len(wanted),
            "file_bytes_read": [outcome.bytes_read] * len(wanted),
            "file_requests": [outcome.requests] * len(wanted),
            "file_seconds": [outcome.seconds] * len(wanted),
        }
        for name, values in rows.items():
            columns[name].extend(values)
    arrays = [pa.array(columns[field.name], type=_plain(field.type)).cast(field.type) for field in SCHEMA]
    about = {"hrrr_dask": json.dumps({"entry_version": ENTRY_VERSION, **note})}
    table = pa.Table.from_arrays(arrays, schema=SCHEMA.with_metadata(about))
    sink = BytesIO()
    pq.write_table(table, sink, compression="zstd")
    return sink.getvalue()


def fold(
    table: pa.Table, axis: Axis, n_init: int, lead_hours: Sequence[int], variables: Sequence[str]
) -> NDArray[np.uint8]:
    """Reduce the rows to one outcome per value: a value once complete stays so, else the latest attempt counts.

    Returns
    -------
    ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers; 0 (not ingested) where the ledger says nothing.
    """
    folded = np.full((len(variables), n_init, len(lead_hours)), NOT_INGESTED, dtype=np.uint8)
    if table.num_rows == 0:
        return folded
    hours = table["init_time"].to_numpy().astype("datetime64[h]").astype(np.int64)
    first = np.datetime64(axis.first_day, "h").astype(np.int64)
    day, hour = np.divmod(hours - first, 24)
    cycles = _positions(hour, axis.cycles)
    inits = day * len(axis.cycles) + cycles
    leads = _positions(table["lead_hours"].to_numpy(), lead_hours)
    names = _coded(table["variable"], {name: k for k, name in enumerate(variables)})
    codes = _coded(table["outcome"], {outcome.name: outcome.number for outcome in OUTCOMES.values()})
    known = (names >= 0) & (codes >= 0) & (cycles >= 0) & (inits >= 0) & (inits < n_init) & (leads >= 0)
    place = (names[known], inits[known], leads[known])
    codes = codes[known].astype(np.uint8)
    folded[place] = codes  # numpy keeps the last of repeated places, which is the latest attempt
    complete = codes == COMPLETE
    folded[tuple(index[complete] for index in place)] = COMPLETE
    return folded


def finished(folded: NDArray[np.uint8], axis: Axis, now: datetime, *, retry_gaps: bool = False) -> NDArray[np.bool_]:
    """Which files need not be read again.

    Parameters
    ----------
    folded : ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers, with :data:`~hrrr_dask.outcomes.NOT_OFFERED` where the archive cannot have the value.
    axis : Axis
        The store's axis.
    now : datetime
        UTC.
    retry_gaps : bool
        Try every gap again, whatever its age.

    Returns
    -------
    ndarray of bool, dims (init_time, lead_time)
        True when every variable is complete or a gap that will not heal.
    """
    heals = np.array([outcome_numbered(number).heals for number in range(len(OUTCOMES))])
    always, young = (heals == "always")[folded], (heals == "young")[folded]
    oldest = now - timedelta(days=HEALING_DAYS)
    again = [retry_gaps or axis.init_time(k) >= oldest for k in range(folded.shape[1])]
    open_ones = always | (young & np.array(again, dtype=bool)[None, :, None])
    done: NDArray[np.bool_] = ~np.any(open_ones, axis=0)
    return done


def count_gaps(folded: NDArray[np.uint8]) -> dict[str, int]:
    """Values that are missing for a reason of the archive, by reason."""
    numbers = np.bincount(folded.ravel(), minlength=len(OUTCOMES))
    silent = (NOT_INGESTED, COMPLETE, NOT_OFFERED)
    counts = Counter({o.name: int(numbers[o.number]) for o in OUTCOMES.values() if o.number not in silent})
    return {name: count for name, count in counts.most_common() if count}


def to_dataframe(url: str, /, **options: str) -> pd.DataFrame:
    """Read a store's whole ledger.

    Parameters
    ----------
    url : str
        The store.
    **options
        Endpoint options without secrets.

    Returns
    -------
    pandas.DataFrame
        A row per attempt at a value, in the order in which they were committed; columns as in :data:`SCHEMA`.
    """
    frame: pd.DataFrame = Ledger(Blobs(url, options)).read().to_pandas()
    return frame


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _positions(values: NDArray[np.int64], axis: Sequence[int]) -> NDArray[np.int64]:
    """Index of each value on a small ascending axis, -1 where it is not on it."""
    table = np.full(max([*axis, int(values.max(initial=0))]) + 1, -1, dtype=np.int64)
    table[list(axis)] = np.arange(len(axis))
    return table[values]


def _coded(column: pa.ChunkedArray, numbers: dict[str, int]) -> NDArray[np.int64]:
    """Translate a dictionary column into numbers, -1 for words that are not known."""
    combined = column.combine_chunks()
    words = [numbers.get(word, -1) for word in combined.dictionary.to_pylist()]
    numbered: NDArray[np.int64] = np.asarray([*words, -1], dtype=np.int64)[combined.indices.to_numpy()]
    return numbered
