"""Reads files that messages name into the store, and says which of them need no more reading."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from itertools import groupby
from typing import Any, Final

import numpy as np
from distributed import Client
from numpy.typing import NDArray

from hrrr_dask.archive.grid_probe import find_published
from hrrr_dask.audit.recent import look_back
from hrrr_dask.display.progress import Show
from hrrr_dask.job.backfill import run_backfill
from hrrr_dask.job.request import check_request, open_store
from hrrr_dask.outcomes import COMPLETE, OUTCOMES
from hrrr_dask.records import GribFile
from hrrr_dask.report.results import Report
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.store.store import Store

__all__ = ["find_done", "newest_run", "partition_groups", "read_files"]

_OPEN: Final = np.array(
    [
        outcome.heals == "always" or outcome.name in ("not-published", "truncated", "wrong-identity")
        for outcome in sorted(OUTCOMES.values(), key=lambda outcome: outcome.number)
    ]
)
"""For each outcome number, whether another attempt at the same object may succeed soon. Other gaps are in the bytes of
the file: its event is answered, and only updates try again."""


def find_done(store: Store, files: Collection[GribFile]) -> set[GribFile]:
    """Return which files need no more reading: every value is there at all points, or is a gap for good."""
    axis, hours = store.spec.axis, np.asarray(store.spec.selection.file_hours)
    places = {file: axis.index(file.init_time) for file in files}
    first = min(places.values())
    states = store.value_states(slice(first, max(places.values()) + 1))
    unread: NDArray[np.bool_] = _OPEN[states.codes] | ((states.codes == COMPLETE) & ~states.whole)
    return {file for file, at in places.items() if not unread[:, at - first, hours == file.lead_hours].any()}


def read_files(
    url: str, files: Collection[GribFile], settings: Mapping[str, Any], client: Client, show: Show | None
) -> Report | None:
    """Read those of the files that are in the archive, and commit their values; None if none is.

    Parameters
    ----------
    url : str
        URL of the store.
    files : collection of GribFile
        Files of one partition.
    settings : mapping
        As for :func:`hrrr_dask.backfill`.
    client : distributed.Client
        The cluster.
    show : callable, optional
        Called with the progress.
    """
    times = [file.init_time for file in files]
    request = check_request(None, min(times), max(times), url, settings)
    there = find_published(files, request.sources, request.fetch)
    return run_backfill(request, client=client, show=show, retry_gaps=True, only=there) if there else None


def partition_groups(spec: StoreSpec, files: Iterable[GribFile]) -> list[list[GribFile]]:
    """Group files by the partition of the store that they are in, oldest first."""

    def partition(file: GribFile) -> int:
        return spec.axis.index(file.init_time) // spec.span

    return [list(group) for _, group in groupby(sorted(files), partition)]


def newest_run(url: str, settings: Mapping[str, Any]) -> datetime | None:
    """Return the init time of the newest run of which the store has any value; reads the ledger of few partitions."""
    store = open_store(url, settings)
    existing = store.existing()
    return look_back(store.ledger, existing, existing.requested.stop)
