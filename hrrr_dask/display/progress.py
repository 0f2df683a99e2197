"""The progress of a run as a value, and the functions that are called with progress."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Count", "Progress", "Show"]


@dataclass(slots=True)
class Progress:
    """Progress of a run, updated as it proceeds."""

    files_total: int
    """Number of files to read."""
    dashboard: str = ""
    """URL of the Dask dashboard."""
    files_done: int = 0
    """Number of files extracted."""
    gaps: int = 0
    """Number of missing values so far."""
    bytes_read: int = 0
    """Bytes downloaded from the archive [B]."""
    partitions_done: int = 0
    """Number of committed steps of partitions."""
    waiting: bool = False
    """Whether the cluster has no worker that can work."""
    notice: str = ""
    """Why nothing is read or written, and what to do; empty if all is well."""
    interrupted: bool = False
    """Whether an interrupt was received."""
    sources_down: dict[str, str] = field(default_factory=dict)
    """Sources that are down for a worker now, with what is wrong."""
    skipped_sources: dict[str, str] = field(default_factory=dict)
    """Sources that were down at any time, with what was wrong first."""
    draining: bool = False
    """Whether extracted files are being committed after an interrupt."""
    lock: Any = field(default_factory=threading.Lock, repr=False)
    """Protects the counts: events of workers arrive on another thread."""


Show = Callable[[Progress], None]
"""Called with the progress of a run after every change, from any thread."""

Count = Callable[[int, int], None]
"""Called with the number of files or the like that are done, and their total."""
