"""Runs the merges of several shards at the same time, within a limit on the memory of the process."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from hrrr_dask.planning.memory import MERGE_BYTES

__all__ = ["MERGE_MEMORY", "SHARDS_AT_ONCE", "MemoryBudget", "run_together"]

SHARDS_AT_ONCE: Final = 16
"""Shards merged concurrently: each waits for the store twice."""

_Item = TypeVar("_Item")
_Answer = TypeVar("_Answer")


class MemoryBudget:
    """Limits the memory that all threads of a process use together for one purpose.

    Parameters
    ----------
    total : int
        Memory to share [B]. A reservation of more waits until there is no other, so that it is possible at all.
    """

    def __init__(self, total: int) -> None:
        self._total = total
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, n_bytes: int) -> Iterator[None]:
        """Wait until there is room, and occupy it inside the block."""
        with self._changed:
            self._changed.wait_for(lambda: not self._used or self._used + n_bytes <= self._total)
            self._used += n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= n_bytes
                self._changed.notify_all()


MERGE_MEMORY: Final = MemoryBudget(MERGE_BYTES)
"""Memory for merging shards, of all partitions that this process writes at the same time."""


def run_together(work: Callable[[_Item], _Answer], items: Sequence[_Item], at_once: int) -> list[_Answer]:
    """Call a function for several items in threads.

    After an error no further call begins, and the error is raised when the calls that have begun are over: nothing
    writes any more when the caller handles it.

    Parameters
    ----------
    work : callable
        Called once for each item.
    items : sequence
        Its arguments.
    at_once : int
        Maximum number of concurrent calls; 1 calls in this thread, in order.

    Returns
    -------
    list
        The results, in the order of the items.
    """
    if at_once == 1 or len(items) < 2:
        return [work(item) for item in items]
    over = threading.Event()

    def call(item: _Item) -> Any:
        if over.is_set():
            return None  # another call has failed, and its error is raised
        try:
            return work(item)
        except BaseException:
            over.set()
            raise

    with ThreadPoolExecutor(min(at_once, len(items))) as pool:
        calls = [pool.submit(call, item) for item in items]
        try:
            return [each.result() for each in calls]
        finally:
            over.set()
