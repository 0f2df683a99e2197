"""The progress of a run as a value, and the functions that are called with progress."""

from __future__ import annotations

import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Committed", "Count", "Progress", "Show"]


@dataclass(slots=True)
class Committed:
    """What is in the store: sums over the committed steps, without what was read twice."""

    files: int = 0
    """Files of the steps."""
    gaps: Counter[str] = field(default_factory=Counter)
    """Reason to the number of missing values."""
    bytes_read: int = 0
    """Bytes downloaded for them [B]."""
    requests: int = 0
    """Requests to the archive for them."""
    bytes_written: int = 0
    """Bytes written to the store [B]."""


@dataclass(slots=True)
class Progress:
    """Progress of a run, updated as it proceeds."""

    files_total: int
    """Number of files to read."""
    dashboard: str = ""
    """URL of the Dask dashboard."""
    page: str = ""
    """URL of our own page on it; empty if the scheduler does not have it."""
    files_done: int = 0
    """Number of files extracted."""
    gaps: int = 0
    """Number of missing values so far."""
    bytes_read: int = 0
    """Bytes downloaded from the archive [B]."""
    requests: int = 0
    """Requests to the archive."""
    gaps_by_reason: Counter[str] = field(default_factory=Counter)
    """Reason to the number of missing values so far."""
    fetch_s: float = 0.0
    """Time that threads of workers spent on downloads [s]."""
    decode_s: float = 0.0
    """Time that they spent on decoding and on values at points [s]."""
    write_s: float = 0.0
    """Time that they spent on commits, or waited for the commit before [s]."""
    threads: int = 0
    """Threads of all workers at the last look."""
    core_s: float = 0.0
    """Time that the cluster's threads existed since the run began, busy or not [s]."""
    committed: Committed = field(default_factory=Committed)
    """What is in the store."""
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
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    """Identifies the command on the dashboard's page."""
    began: float = field(default_factory=time.time)
    """When the command began, as POSIX time [s]."""
    lock: Any = field(default_factory=threading.Lock, repr=False)
    """Protects the counts: events of workers arrive on another thread."""


Show = Callable[[Progress], None]
"""Called with the progress of a run after every change, from any thread."""

Count = Callable[[int, int], None]
"""Called with the number of files or the like that are done, and their total."""
