"""Limits the rate of requests to a source, across the processes of this machine.

Servers such as NOMADS count requests by address, not by process. The time of the next free slot is in a small file that
the processes update in turn. Where such a file cannot be written, each process applies the limit alone.
"""

from __future__ import annotations

import fcntl
import os
import re
import struct
import tempfile
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["RateLimit", "next_slot"]

BURST: Final = 10
"""Requests that may be sent at once after a pause."""

PERIOD_S: Final = 60.0
"""Period of a limit [s]."""


def next_slot(now: float, full_at: float, per_minute: int) -> tuple[float, float]:
    """Return when the next request may be sent (generic cell rate algorithm of ATM networks, ITU-T I.371).

    Parameters
    ----------
    now : float
        Seconds since 1970 [s].
    full_at : float
        When all slots taken so far are used up, as returned by the previous call [s].
    per_minute : int
        Requests per minute.

    Returns
    -------
    start, full_at : float
        The moment, not before now; and what to remember [s].

    Examples
    --------
    >>> next_slot(now=100.0, full_at=0.0, per_minute=60)
    (100.0, 101.0)
    >>> next_slot(now=100.0, full_at=112.0, per_minute=60)
    (102.0, 113.0)
    """
    interval = PERIOD_S / per_minute
    full_at = min(max(full_at, now), now + 10 * PERIOD_S)  # a clock that was set back must not block requests for hours
    start = max(now, full_at - min(BURST, per_minute) * interval)
    return start, full_at + interval


class RateLimit:
    """Limit on the requests to one source.

    Parameters
    ----------
    name : str
        Name of the source; processes with the same name share the limit.
    per_minute : int
        Requests per minute.
    """

    def __init__(self, name: str, per_minute: int) -> None:
        owner = os.getuid()
        place = Path(tempfile.gettempdir()) / f"hrrr-dask-{owner}-{re.sub(r'[^A-Za-z0-9]+', '-', name)}.limit"
        self._per_minute = per_minute
        self._lock = threading.Lock()
        self._full_at = 0.0
        self._file = -1
        with suppress(OSError):  # then this process applies the limit alone
            self._file = os.open(place, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)

    def wait(self, stop: threading.Event) -> bool:
        """Wait for a slot; return True if stopped meanwhile."""
        now = time.time()
        return stop.wait(self._take(now) - now)

    def _take(self, now: float) -> float:
        with self._lock:
            if self._file < 0:
                start, self._full_at = next_slot(now, self._full_at, self._per_minute)
                return start
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                known = os.pread(self._file, 8, 0)
                full_at = struct.unpack("<d", known)[0] if len(known) == 8 else 0.0
                start, full_at = next_slot(now, full_at, self._per_minute)
                os.pwrite(self._file, struct.pack("<d", full_at), 0)
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            return start
