"""Projects the memory of a worker, and chooses how many files it commits at once so that they fit. Pure."""

from __future__ import annotations

from typing import Final

from hrrr_dask.config.settings import DEFAULTS, FILES_AT_ONCE, Selection
from hrrr_dask.malloc import KEPT_BYTES
from hrrr_dask.planning.layout import Layout

__all__ = [
    "EXTRACT_COPIES",
    "MEMORY_BYTES",
    "MERGE_BYTES",
    "MERGE_COPIES",
    "MESSAGE_BYTES",
    "STEP_FILES",
    "choose_step_files",
    "extract_bytes",
    "fixed_bytes",
    "partition_bytes",
]

MEMORY_BYTES: Final[int] = DEFAULTS["memory-limit-mb"] * 1_000_000
"""Memory of a worker for which steps are chosen by default [B]."""

MESSAGE_BYTES: Final = 1_500_000
"""Typical size of a two-dimensional message of the full CONUS grid [B]."""

FIELD_BYTES: Final = 1799 * 1059 * 8
"""A decoded field of the full CONUS grid in double precision [B]."""

WORKER_BASE_BYTES: Final = 300_000_000 + KEPT_BYTES
"""Memory of a worker process with its libraries loaded, including freed memory that it keeps [B]."""

STEP_FILES: Final = 2_000
"""Maximum number of files committed at once; bounds what a kill may lose."""

EXTRACT_COPIES: Final = 2
"""The extracts of a step are in memory twice: those that are written, and those of the next step."""

EXTRACTS_SHARE: Final = 0.5
"""Part of the memory that nothing else needs which the extracts may take. Workers of Dask move data to disk when they
use 60 % of their memory."""

MERGE_COPIES: Final = 4
"""Memory to merge values into a shard, in multiples of its raw size: it is read, decoded, changed and encoded."""

MERGE_BYTES: Final = 256_000_000
"""Memory of the shards that a process merges at the same time; a larger shard is merged alone [B]."""


def extract_bytes(selection: Selection, n_points: int) -> int:
    """Return the bytes of the values of one file [B]."""
    return selection.leads_per_file * len(selection.variables) * n_points * 4


def partition_bytes(selection: Selection, n_points: int, layout: Layout) -> int:
    """Return the raw size of one partition with all points and variables [B]."""
    blocks = -(-n_points // layout.shard_points)
    return layout.shard_bytes(selection) * blocks * len(selection.variables)


def fixed_bytes(selection: Selection, n_points: int, layout: Layout) -> int:
    """Return the projected memory of a worker without the extracts of steps [B].

    Counts the shards that are merged at the same time, one field, and the messages of the files that are read at once,
    in pieces and joined.
    """
    messages = FILES_AT_ONCE * selection.leads_per_file * len(selection.variables)
    reading = 2 * messages * MESSAGE_BYTES + 3 * FIELD_BYTES
    at_once = min(MERGE_BYTES, MERGE_COPIES * partition_bytes(selection, n_points, layout))
    return WORKER_BASE_BYTES + reading + max(MERGE_COPIES * layout.shard_bytes(selection), at_once)


def choose_step_files(selection: Selection, n_points: int, layout: Layout, memory_bytes: int = MEMORY_BYTES) -> int:
    """Choose how many files are committed at once: as many as fit into memory, up to :data:`STEP_FILES`.

    Each step rewrites the shards of its partition, so few large steps write least. The number is no property of a
    store: each command chooses its own.

    Returns
    -------
    int
        At least 1, even if that does not fit; then see :attr:`Plan.worker_bytes`.
    """
    free = EXTRACTS_SHARE * (memory_bytes - fixed_bytes(selection, n_points, layout))
    return max(1, min(STEP_FILES, int(free // (EXTRACT_COPIES * extract_bytes(selection, n_points)))))
