"""What the ledger says, shown to readers of the arrays: ``status``, ``quality`` and ``available_at`` of each file."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import StoreConflictError
from hrrr_dask.ledger.state import Folded, available_at, fold, quality_of
from hrrr_dask.outcomes import NOT_INGESTED, NOT_OFFERED
from hrrr_dask.store.conditional_writes import AT_ONCE, TRIES, pause, put_over, read_shard
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.shards import encode_shard
from hrrr_dask.store.store import Store, count

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["SHOWN", "follow_ledger", "mended", "show_status", "shown_values", "stale_status"]

SHOWN: Final = ("available_at", "quality", "status")
"""Arrays that follow the ledger, in the order in which they are written."""

_UNTOUCHED: Final = (NOT_INGESTED, NOT_OFFERED)
"""Status of files of which the ledger says nothing."""


def show_status(store: Store, partition: int, also: Sequence[pa.Table] = ()) -> int:
    """Let ``status`` and its like of one partition say what the ledger says; the caller seals it.

    The shards are read before the ledger: so whoever writes last has read every entry that was there before. ``status``
    is written last: by it is seen whether the others were.

    Parameters
    ----------
    store : Store
        The store.
    partition : int
        Which one.
    also : sequence of pyarrow.Table
        Rows that are about to be committed.

    Returns
    -------
    int
        Bytes written [B].
    """
    existing = store.existing()
    inits = slice(partition * store.spec.span, (partition + 1) * store.spec.span)
    keys = {name: f"{name}/c/{partition}/0" for name in SHOWN}
    for _ in range(TRIES):
        before = {name: read_shard(store.blobs, key, existing.documents[name]) for name, key in keys.items()}
        rows = [*store.ledger.tables(range(partition, partition + 1)), *also]
        now = shown_values(rows, existing, inits)
        encoded = {
            name: encode_shard(existing.documents[name], now[name])
            for name, (shard, found) in before.items()
            if found is None or not np.array_equal(shard, now[name])
        }
        try:
            for name, data in encoded.items():
                put_over(store.blobs, keys[name], data, before[name][1])
        except StoreConflictError:
            pause()
            continue
        return sum(map(len, encoded.values()))
    raise StoreConflictError(f"{store.url}/{keys['status']} is being written by too many others: run it again")


def shown_values(rows: Sequence[pa.Table], existing: Existing, inits: slice) -> dict[str, NDArray[Any]]:
    """What the arrays :data:`SHOWN` hold when they say what the ledger says, dims (init_time, lead_time)."""
    return {
        "available_at": available_at(rows, existing.selection, existing.axis, inits),
        "quality": quality_of(rows, existing.selection, existing.axis, inits),
        "status": fold(rows, existing.selection, existing.axis, inits, existing.cohort_sizes).status(),
    }


def follow_ledger(store: Store, partitions: Sequence[int]) -> int:
    """Let ``status`` and its like of partitions say what the ledger says; returns bytes written [B]."""

    def work() -> tuple[int, str]:
        written = sum(show_status(store, number) for number in partitions)
        return written, f"status of {count(len(partitions), 'partition')} follows the ledger"

    return store.transact(work)


def stale_status(store: Store, folded: Folded, inits: slice) -> list[int]:
    """The partitions whose ``status`` is not what the ledger says: their writer was killed after its commit.

    Parameters
    ----------
    store : Store
        The store.
    folded : Folded
        How the values of ``inits`` stand.
    inits : slice
        Whole partitions, from start to stop.
    """
    existing, span = store.existing(), store.spec.span
    wanted = folded.status()
    begun = [
        number
        for number in range(inits.start // span, inits.stop // span)
        if np.isin(wanted[_rows(number, span, inits)], _UNTOUCHED, invert=True).any()
    ]

    def is_stale(number: int) -> bool:
        shard = read_shard(store.blobs, f"status/c/{number}/0", existing.documents["status"])[0]
        return not np.array_equal(shard, wanted[_rows(number, span, inits)])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [number for number, stale in zip(begun, pool.map(is_stale, begun), strict=True) if stale]


def mended(store: Store, inits: slice) -> Folded:
    """How the values stand; where a writer was killed after its commit, ``status`` is brought up to it."""
    folded = store.folded(inits)
    if stale := stale_status(store, folded, inits):
        follow_ledger(store, stale)
    return folded


def _rows(number: int, span: int, inits: slice) -> slice:
    first = number * span - inits.start
    return slice(first, first + span)
