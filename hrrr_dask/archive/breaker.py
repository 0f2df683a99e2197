"""Tracks in each process whether a source responds, so that a source that is down costs seconds, not minutes a file.

A breaker opens after requests in a row that show that the source, not one object, is at fault:

===================================================  =========================================================
requests in a row                                    opens after
===================================================  =========================================================
no response: timeout, refused connection, no host    3, or 2 if the source never responded in this process
failed responses, such as 5xx                        5, for at least 3 objects
access denied: 401, 403                              8 objects, and only if the source never returned one:
                                                     S3 without permission to list also denies missing objects
===================================================  =========================================================

While it is open, requests are refused at once, and the next source is read. After a pause one request is let through:
a response closes the breaker, a failure doubles the pause. The pause also doubles when the breaker opens again soon
after it closed. A missing object is a response.

A source that responds slowly is not refused: it is read after the others, until a file that tries it now and then finds
that it is fast again.
"""

from __future__ import annotations

import functools
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from hrrr_dask.archive.policy import FetchSettings
from hrrr_dask.archive.sources import Source
from hrrr_dask.errors import UnreachableError
from hrrr_dask.telemetry import metrics
from hrrr_dask.telemetry.logs import get_log

__all__ = ["Breaker", "Outage", "find_outage", "get_breaker"]

_log = get_log("hrrr_dask.archive.breaker")

SILENT: Final = 3
"""Requests in a row without a response that open the breaker."""

SILENT_AT_FIRST: Final = 2
"""The same, while the source never responded."""

FAILED: Final = 5
"""Failed responses in a row that open the breaker."""

FAILED_OBJECTS: Final = 3
"""Smallest number of objects of these responses: one broken object does not make a source unusable."""

DENIED_OBJECTS: Final = 8
"""Objects in a row to which access is denied that open the breaker."""

FIRST_PAUSE_S: Final = 5.0
"""Pause before the first request that is let through [s]; doubles with each failure."""

MAX_PAUSE_S: Final = 300.0
"""Upper limit of that pause [s]."""

SLOW_S: Final = 2.0
"""A response that takes longer may be slow [s]."""

SLOW_BYTES_S: Final = 10_000
"""It is, below this speed [B/s]."""

SLOW_RESPONSES: Final = 2
"""Slow responses in a row after which the other sources are read first."""

SLOW_PAUSE_S: Final = 60.0
"""Pause before one file reads it first again; doubles each time that it is still slow [s]."""


class Breaker:
    """State of one source. Thread-safe.

    Parameters
    ----------
    name : str
        Name of the source, for messages.
    clock : callable, optional
        Returns seconds that only increase [s].
    """

    def __init__(self, name: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._name = name
        self._clock = clock
        self._lock = threading.Lock()
        self._responded = False
        self._openings = 0
        self._cause = ""
        self._suspected_by: set[str] = set()
        self._slow, self._slow_cause, self._slow_until, self._slow_pause_s = 0, "", 0.0, SLOW_PAUSE_S
        self._opened_at = self._retry_at = self._closed_at = 0.0
        self._pause_s = 0.0
        self._probing = False
        self._reset()

    def _reset(self) -> None:
        self._silent = self._failed = 0
        self._failed_keys: set[str] = set()
        self._denied_keys: set[str] = set()

    @property
    def cause(self) -> str:
        """What is wrong with the source; empty while it is in use."""
        with self._lock:
            return self._cause

    @property
    def state(self) -> tuple[int, bool]:
        """How often the breaker opened so far, and whether it is open: unchanged and closed if all was well."""
        with self._lock:
            return self._openings, bool(self._cause)

    @property
    def slow_cause(self) -> str:
        """In which way the source is slow; empty if it is not."""
        with self._lock:
            return self._slow_cause

    def is_read_later(self) -> bool:
        """Return whether other sources are read first; after a pause, one caller is told to try the source."""
        with self._lock:
            if not self._slow_cause or self._clock() < self._slow_until:
                return bool(self._slow_cause)
            self._wait_for_speed(2 * self._slow_pause_s)
            return False

    @property
    def down_s(self) -> float:
        """Time since the breaker opened; 0 while the source is in use [s]."""
        with self._lock:
            return self._clock() - self._opened_at if self._cause else 0.0

    @property
    def retry_in_s(self) -> float:
        """Time until a request is let through; 0 while the source is in use [s]."""
        with self._lock:
            return max(self._retry_at - self._clock(), 0.0) if self._cause else 0.0

    def admit(self) -> None:
        """Admit one request; every admitted request must be followed by one of the other calls.

        Raises
        ------
        UnreachableError
            If the breaker is open and it is not yet time to try the source again, or another request tries it.
        """
        with self._lock:
            if not self._cause:
                return
            if self._clock() < self._retry_at or self._probing:
                raise UnreachableError(
                    f"source {self._name} is skipped, {self._cause}: try again later, or add another source"
                )
            self._probing = True

    def responded(self, n_bytes: int = 0, seconds: float = 0.0) -> None:
        """Record a response that says something about the object: its bytes, or that there is none.

        Parameters
        ----------
        n_bytes : int
            Size of the response [B].
        seconds : float
            How long it took [s].
        """
        with self._lock:
            self._record_speed(n_bytes, seconds)
            self._responded = True
            if self._cause:
                _log.info("source responds again", source=self._name, seconds=round(self._clock() - self._opened_at, 3))
                self._cause, self._closed_at, self._probing = "", self._clock(), False
                metrics.note_source(self._name, down=False)
            self._reset()

    def no_response(self, cause: str) -> None:
        """Record a request without a response."""
        with self._lock:
            self._silent += 1
            if self._silent >= (SILENT if self._responded else SILENT_AT_FIRST):
                self._open(f"{self._silent} requests in a row had no response, the last error was: {cause}")
            self._again()

    def failed(self, key: str, cause: str) -> None:
        """Record a response that may be a failure of the source."""
        with self._lock:
            self._failed += 1
            self._failed_keys.add(key)
            if self._failed >= FAILED and len(self._failed_keys) >= FAILED_OBJECTS:
                self._open(f"{self._failed} requests in a row failed, the last error was: {cause}")
            self._again()

    def denied(self, key: str) -> None:
        """Record that access to an object was denied."""
        with self._lock:
            self._denied_keys.add(key)
            if len(self._denied_keys) >= DENIED_OBJECTS and not self._responded:
                self._open(f"it denied access to the first {len(self._denied_keys)} objects")
            self._again()

    def abandoned(self) -> None:
        """Record that an admitted request ended without a result, because it was cancelled."""
        with self._lock:
            self._probing = False

    def pause(self, cause: str, seconds: float) -> None:
        """Open the breaker for a time that the source asks for [s]."""
        with self._lock:
            self._open(cause)
            self._retry_at = self._clock() + seconds

    def suspect(self, cause: str, job_id: str, *, slow: bool = False) -> None:
        """Open the breaker, once for each job, because another process found the source down; or take it for slow."""
        with self._lock:
            if job_id in self._suspected_by:
                return
            self._suspected_by.add(job_id)
            if slow:
                self._slow_cause = cause
                self._wait_for_speed(SLOW_PAUSE_S)
            else:
                self._open(cause)

    def _record_speed(self, n_bytes: int, seconds: float) -> None:
        if n_bytes >= SLOW_BYTES_S * seconds:
            if n_bytes:
                self._slow, self._slow_cause = 0, ""
        elif seconds > SLOW_S:
            self._slow += 1
            if self._slow >= SLOW_RESPONSES:
                if not self._slow_cause:
                    self._wait_for_speed(SLOW_PAUSE_S)
                self._slow_cause = f"it is slow: the last {n_bytes:,} bytes took {seconds:.0f} s"

    def _wait_for_speed(self, pause_s: float) -> None:
        self._slow_pause_s = min(pause_s, MAX_PAUSE_S)
        self._slow_until = self._clock() + self._slow_pause_s

    def _open(self, cause: str) -> None:
        if not self._cause:
            self._openings += 1
            self._opened_at = self._clock()
            again = self._opened_at - self._closed_at < 2 * self._pause_s
            self._wait(2 * self._pause_s if again else FIRST_PAUSE_S)
            metrics.note_source(self._name, down=True)
            _log.warning("source is skipped", source=self._name, cause=cause)
        self._cause = cause

    def _again(self) -> None:
        """After a request that was let through failed: wait longer before the next one."""
        if self._probing:
            self._probing = False
            self._wait(2 * self._pause_s)

    def _wait(self, pause_s: float) -> None:
        self._pause_s = min(pause_s, MAX_PAUSE_S)
        self._retry_at = self._clock() + self._pause_s


def get_breaker(source: Source, settings: FetchSettings) -> Breaker:
    """Return the process's breaker of a source, without opening the source."""
    with _BREAKER_LOCK:
        return _breaker(source, settings)


_BREAKER_LOCK = threading.Lock()


@functools.lru_cache(maxsize=32)
def _breaker(source: Source, settings: FetchSettings) -> Breaker:
    del settings  # clients with other timeouts may come to another conclusion
    metrics.note_source(source.name, down=False)
    return Breaker(source.name)


@dataclass(frozen=True, slots=True)
class Outage:
    """Sources that are down, as this process sees them."""

    causes: dict[str, str]
    """Name of each source that is down or slow to what is wrong with it."""
    down: tuple[tuple[str, str], ...]
    """The same of those that are down."""
    slow: tuple[tuple[str, str], ...]
    """The same of those that are slow."""
    total: bool
    """Whether all sources are down."""
    down_s: float
    """Time since all are down [s]."""
    retry_in_s: float
    """Time until one of them is tried again [s]."""


def find_outage(sources: Sequence[Source], settings: FetchSettings) -> Outage:
    """Find which sources are down, from the requests of this process so far. Sends no request."""
    breakers = {source.name: get_breaker(source, settings) for source in sources}
    causes = {name: breaker.cause or breaker.slow_cause for name, breaker in breakers.items()}
    return Outage(
        {name: cause for name, cause in causes.items() if cause},
        tuple((name, breaker.cause) for name, breaker in breakers.items() if breaker.cause),
        tuple((name, breaker.slow_cause) for name, breaker in breakers.items() if breaker.slow_cause),
        total=bool(breakers) and all(breaker.cause for breaker in breakers.values()),
        down_s=min((breaker.down_s for breaker in breakers.values()), default=0.0),
        retry_in_s=min((breaker.retry_in_s for breaker in breakers.values()), default=0.0),
    )
