"""How patient requests to the archive are: timeouts, attempts, pauses and concurrency."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from hrrr_dask.errors import ConfigError

__all__ = ["SMALL_BYTES", "FetchSettings", "max_pause_s"]

SMALL_BYTES: Final = 100_000
"""Requests for at most so many bytes have a shorter timeout [B]."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """Timeouts, attempts and concurrency of requests to the archive; with ``backoff_s`` 0 retries do not pause."""

    attempts: int = 5
    """Maximum requests for one range, including the first."""
    timeout_s: float = 60.0
    """Timeout of one whole request, including its body [s]."""
    small_timeout_s: float = 10.0
    """The same for a request for at most :data:`SMALL_BYTES`, such as an inventory [s]."""
    connect_timeout_s: float = 5.0
    """Timeout for connecting to the server [s]."""
    read_timeout_s: float = 5.0
    """Longest wait for the first byte of a response, and for the next bytes of its body [s]."""
    backoff_s: float = 0.5
    """Longest pause before the second request; doubles with each further request [s]."""
    max_backoff_s: float = 20.0
    """Upper limit of that pause [s]."""
    concurrency: int = 8
    """Requests in flight for each process and source."""
    outage_limit_s: float = 40.0
    """How long a run waits while no source responds, before it ends [s]."""

    def __post_init__(self) -> None:
        for name in ("attempts", "concurrency"):
            if getattr(self, name) < 1:
                raise ConfigError(f"fetch.{name} is 1 or more, not {getattr(self, name)}")
        for name in ("timeout_s", "small_timeout_s", "connect_timeout_s", "read_timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"fetch.{name} is a number of seconds above 0, not {getattr(self, name)}")
        for name in ("backoff_s", "max_backoff_s", "outage_limit_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"fetch.{name} is a number of seconds, 0 or more, not {getattr(self, name)}")


def max_pause_s(settings: FetchSettings, attempt: int) -> float:
    """Return the longest pause before an attempt; the pause is drawn uniformly from 0 to this ("full jitter").

    Parameters
    ----------
    settings : FetchSettings
        The retry policy.
    attempt : int
        Attempts made so far.

    Returns
    -------
    float
        Seconds [s].

    Examples
    --------
    >>> [max_pause_s(FetchSettings(), attempt) for attempt in range(5)]
    [0.0, 0.5, 1.0, 2.0, 4.0]
    """
    return min(settings.max_backoff_s, settings.backoff_s * 2 ** (attempt - 1)) if attempt else 0.0
