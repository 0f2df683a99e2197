"""Publishes the state of the ledger to readers, in the arrays ``status``, ``quality`` and ``available_at``."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import StoreConflictError
from hrrr_dask.ledger.state import ValueStates, available_at, quality_of, reduce_rows
from hrrr_dask.outcomes import NOT_INGESTED, NOT_OFFERED
from hrrr_dask.store.conditional_writes import AT_ONCE, TRIES, decode_found, pause, put_if_unchanged, read_shard
from hrrr_dask.store.existing import Existing
from hrrr_dask.store.shards import encode_shard
from hrrr_dask.store.store import Store, count

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = [
    "PUBLISHED_ARRAYS",
    "find_stale_status",
    "publish_ledger",
    "publish_status",
    "published_values",
    "repair_status",
]

PUBLISHED_ARRAYS: Final = ("available_at", "quality", "status")
"""Arrays derived from the ledger, in the order in which they are written."""

_UNATTEMPTED: Final = (NOT_INGESTED, NOT_OFFERED)
"""Status of files without a row in the ledger."""


def publish_status(store: Store, partition: int, also: Sequence[pa.Table] = ()) -> int:
    """Update the arrays :data:`PUBLISHED_ARRAYS` of one partition from the ledger; the caller seals the change.

    The shards are read first, then the root document, then the ledger. So the last writer has read every earlier entry,
    and knows the variables and points that the entry is about. ``status`` is written last, so that it shows whether the
    others were written.

    Parameters
    ----------
    store : Store
        The store.
    partition : int
        Number of the partition.
    also : sequence of pyarrow.Table
        Further rows that are about to be committed.

    Returns
    -------
    int
        Bytes written [B].
    """
    inits = slice(partition * store.spec.span, (partition + 1) * store.spec.span)
    keys = {name: f"{name}/c/{partition}/0" for name in PUBLISHED_ARRAYS}
    for _ in range(TRIES):
        before = {name: store.blobs.get_with_etag(key) for name, key in keys.items()}
        existing = store.existing()
        rows = [*store.ledger.tables(range(partition, partition + 1)), *also]
        now = published_values(rows, existing, inits)
        encoded = {
            name: encode_shard(existing.documents[name], now[name])
            for name, key in keys.items()
            if before[name] is None
            or not np.array_equal(decode_found(store.blobs, key, existing.documents[name], before[name]), now[name])
        }
        try:
            for name, data in encoded.items():
                put_if_unchanged(store.blobs, keys[name], data, before[name])
        except StoreConflictError:
            pause()
            continue
        return sum(map(len, encoded.values()))
    raise StoreConflictError(
        f"{store.url}/{keys['status']} is being written by too many other commands: run the command again"
    )


def published_values(rows: Sequence[pa.Table], existing: Existing, inits: slice) -> dict[str, NDArray[Any]]:
    """Compute the arrays :data:`PUBLISHED_ARRAYS` from ledger rows, dims (init_time, lead_time)."""
    return {
        "available_at": available_at(rows, existing.selection, existing.axis, inits),
        "quality": quality_of(rows, existing.selection, existing.axis, inits),
        "status": reduce_rows(rows, existing.selection, existing.axis, inits, existing.cohort_sizes).status(),
    }


def publish_ledger(store: Store, partitions: Sequence[int]) -> int:
    """Update the arrays :data:`PUBLISHED_ARRAYS` of partitions from the ledger; returns bytes written [B]."""

    def work() -> tuple[int, str]:
        written = sum(publish_status(store, number) for number in partitions)
        return written, f"status of {count(len(partitions), 'partition')} follows the ledger"

    return store.transact(work)


def find_stale_status(store: Store, states: ValueStates, inits: slice) -> list[int]:
    """Return the partitions whose ``status`` differs from the ledger, because a writer was killed after its commit.

    Parameters
    ----------
    store : Store
        The store.
    states : ValueStates
        State of the values of ``inits``.
    inits : slice
        Range of positions on the axis, in whole partitions.
    """
    existing, span = store.existing(), store.spec.span
    wanted = states.status()
    begun = [
        number
        for number in range(inits.start // span, inits.stop // span)
        if np.isin(wanted[_rows(number, span, inits)], _UNATTEMPTED, invert=True).any()
    ]

    def is_stale(number: int) -> bool:
        shard = read_shard(store.blobs, f"status/c/{number}/0", existing.documents["status"])[0]
        return not np.array_equal(shard, wanted[_rows(number, span, inits)])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [number for number, stale in zip(begun, pool.map(is_stale, begun), strict=True) if stale]


def repair_status(store: Store, inits: slice) -> ValueStates:
    """Return the state of values from the ledger, and repair ``status`` where it is stale."""
    states = store.value_states(inits)
    if stale := find_stale_status(store, states, inits):
        publish_ledger(store, stale)
    return states


def _rows(number: int, span: int, inits: slice) -> slice:
    first = number * span - inits.start
    return slice(first, first + span)
