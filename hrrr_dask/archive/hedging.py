"""Finds requests that have been waiting for a response far longer than others, so that they are sent a second time.

The first response counts. A server that forgets one request in a hundred then costs about a second for each, not the
whole timeout.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final

import numpy as np

__all__ = ["Hedges", "Waiting"]

KNOWN: Final = 50
"""Responses after which it is known how long they take."""

RECENT: Final = 500
"""Recent responses that count."""

QUANTILE: Final = 0.95
TIMES: Final = 5.0
"""A request is late after so many times this quantile of the recent waits."""

LATE_S: Final = 1.0
"""And after at least this time [s]."""

SHARE: Final = 0.05
"""Largest part of the requests that is sent again: an overloaded server must not get twice as many."""


class Waiting:
    """One request that waits for the first bytes of its response."""

    def __init__(self) -> None:
        self.since = math.inf
        """Time at which its last attempt was sent, infinite while none waits [s]."""


class Hedges:
    """Decides which requests of one source are sent again. Thread-safe.

    Parameters
    ----------
    clock : callable, optional
        Returns seconds that only increase [s].
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._waits_s: deque[float] = deque(maxlen=RECENT)
        self._responses = self._sent_again = 0

    def sent(self, waiting: Waiting) -> None:
        """Record that a request is sent."""
        waiting.since = self._clock()

    def responded(self, waiting: Waiting) -> None:
        """Record that the first bytes of its response arrived."""
        with self._lock:
            self._waits_s.append(self._clock() - waiting.since)
            self._responses += 1
        waiting.since = math.inf

    def send_again(self, waiting: Waiting) -> bool:
        """Return whether a request is so late that it should be sent again; counts it if so."""
        waited_s = self._clock() - waiting.since
        if waited_s < LATE_S:
            return False
        with self._lock:
            if len(self._waits_s) < KNOWN or self._sent_again >= SHARE * self._responses:
                return False
            if waited_s < TIMES * float(np.quantile(self._waits_s, QUANTILE)):
                return False
            self._sent_again += 1
            return True
