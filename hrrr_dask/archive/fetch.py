"""The only reader of the archive: byte ranges that arrive complete, or an error that says why not.

Keeps the connections, caps the requests in flight, and has the lower of the two levels of retry (obstore's own is
off). :mod:`hrrr_dask.archive.responses` classifies the responses.
"""

from __future__ import annotations

import functools
import math
import random
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Final

import obstore
from obstore.exceptions import BaseError

from hrrr_dask.archive.responses import (
    Request,
    Response,
    TryAgainError,
    accept,
    error_meaning,
    look_before_reading,
    replaced,
)
from hrrr_dask.archive.sources import Source
from hrrr_dask.errors import ConfigError, UnreachableError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.rate_limit import RateLimit
from hrrr_dask.records import ByteRange

__all__ = ["INVENTORY_LIMIT_BYTES", "Client", "FetchSettings", "Response", "Tally", "client_for", "longest_pause_s"]

INVENTORY_LIMIT_BYTES: Final = 4_000_000
"""No inventory is larger: the longest, of the native levels, has some 1,200 lines [B]."""


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How patiently the archive is read. A ``backoff_s`` of 0 tries again without a pause, for tests."""

    attempts: int = 5
    """Requests for one range before giving up, the first included."""
    timeout_s: float = 60.0
    """For one whole request, body included [s]."""
    connect_timeout_s: float = 10.0
    """For reaching the server [s]."""
    backoff_s: float = 0.5
    """Longest pause before the second request; it doubles with each further one [s]."""
    max_backoff_s: float = 20.0
    """Longest pause of all [s]."""
    concurrency: int = 8
    """Requests in flight at once, per process and source."""

    def __post_init__(self) -> None:
        for name in ("attempts", "concurrency"):
            if getattr(self, name) < 1:
                raise ConfigError(f"fetch.{name} is 1 or more, not {getattr(self, name)}")
        for name in ("timeout_s", "connect_timeout_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise ConfigError(f"fetch.{name} is a number of seconds above 0, not {getattr(self, name)}")
        for name in ("backoff_s", "max_backoff_s"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"fetch.{name} is a number of seconds, 0 or more, not {getattr(self, name)}")


def longest_pause_s(settings: FetchSettings, attempt: int) -> float:
    """Longest pause before an attempt; the real one is drawn evenly from 0 to this ("full jitter").

    Parameters
    ----------
    settings : FetchSettings
        The policy.
    attempt : int
        Attempts made so far.

    Returns
    -------
    float
        Seconds [s].

    Examples
    --------
    >>> [longest_pause_s(FetchSettings(), attempt) for attempt in range(5)]
    [0.0, 0.5, 1.0, 2.0, 4.0]
    """
    return min(settings.max_backoff_s, settings.backoff_s * 2 ** (attempt - 1)) if attempt else 0.0


class Tally:
    """Counts what was asked and received; one may be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = 0
        self._bytes_read = 0

    @property
    def requests(self) -> int:
        """Requests made, retries included."""
        return self._requests

    @property
    def bytes_read(self) -> int:
        """Bytes received, those of answers that were thrown away included [B]."""
        return self._bytes_read

    def add(self, *, requests: int = 0, bytes_read: int = 0) -> None:
        """Count requests and bytes [B]."""
        with self._lock:
            self._requests += requests
            self._bytes_read += bytes_read


def client_for(source: Source, settings: FetchSettings) -> Client:
    """The process's one client of a source: connections, and the cap on requests in flight, are shared.

    Raises
    ------
    StoreAccessError
        If the source is a directory that this machine does not have, or needs credentials and none are found.
    """
    with _CLIENT_LOCK:
        return _client(source, settings)


_CLIENT_LOCK = threading.Lock()


@functools.lru_cache(maxsize=32)
def _client(source: Source, settings: FetchSettings) -> Client:
    return Client(source, settings)


class Client:
    """Reads objects of one source; safe to share by threads, made anew in each process by :func:`client_for`.

    Parameters
    ----------
    source : Source
        Where to read.
    settings : FetchSettings
        How patiently.
    """

    def __init__(self, source: Source, settings: FetchSettings) -> None:
        self.source = source
        self.settings = settings
        self._store = open_object_store(
            source.url,
            dict(source.options),
            timeout_s=settings.timeout_s,
            connect_timeout_s=settings.connect_timeout_s,
            max_retries=0,
        )
        self._limit = RateLimit(source.name, source.per_minute) if source.per_minute else None
        # Starts its threads with the first requests. Every request goes through it: it is the cap.
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="hrrr-fetch")

    def read_all(self, key: str, tally: Tally, limit_bytes: int = INVENTORY_LIMIT_BYTES) -> Response:
        """Read a whole small object, such as an inventory.

        Parameters
        ----------
        key : str
            Of the object.
        tally : Tally
            Counts what this takes.
        limit_bytes : int
            Refuse a larger object, before its body is read [B].

        Returns
        -------
        Response
            The object; no bytes if it is empty.

        Raises
        ------
        InventoryError
            If the object is larger than the limit.
        NotPublishedError, AccessDeniedError, UnreachableError
            As in the table of :mod:`hrrr_dask.archive.responses`.
        """
        return self._read_together([Request(self.source, key, limit_bytes=limit_bytes)], tally)[0]

    def read_range(self, key: str, byte_range: ByteRange, tally: Tally, etag: str = "") -> Response:
        """Read one range; see :meth:`read_ranges`."""
        return self._read_together([Request(self.source, key, byte_range, etag)], tally)[0]

    def read_ranges(self, key: str, ranges: Sequence[ByteRange], tally: Tally, etag: str = "") -> list[Response]:
        """Read ranges of one object at once.

        Parameters
        ----------
        key : str
            Of the object.
        ranges : sequence of ByteRange
            Half-open; an open stop means to the object's end.
        tally : Tally
            Counts what this takes; requests still in flight when an error is raised are counted as they end.
        etag : str
            Entity tag that the object must still have; empty for whatever all ranges agree on.

        Returns
        -------
        list of Response
            In the order of ``ranges``, all of the same version of the object.

        Raises
        ------
        TruncatedError
            If the object ends inside or before a range.
        UnreachableError
            If a range got no complete answer after all attempts, or the object was replaced in between.
        NotPublishedError, AccessDeniedError
            As in the table of :mod:`hrrr_dask.archive.responses`.
        """
        requests = [Request(self.source, key, byte_range, etag) for byte_range in ranges]
        responses = self._read_together(requests, tally)
        if len({(response.etag, response.size) for response in responses}) > 1:
            raise replaced(requests[0])
        return responses

    def _read_together(self, requests: Sequence[Request], tally: Tally) -> list[Response]:
        stop = threading.Event()
        futures = [self._pool.submit(self._read, request, tally, stop) for request in requests]
        try:
            for future in as_completed(futures):
                future.result()
        finally:
            stop.set()
            for future in futures:
                future.cancel()
        return [future.result() for future in futures]

    def _read(self, request: Request, tally: Tally, stop: threading.Event) -> Response:
        cause = ""
        for attempt in range(self.settings.attempts):
            pause_s = random.uniform(0, longest_pause_s(self.settings, attempt))  # noqa: S311  # jitter, not a secret
            if stop.wait(pause_s) or (self._limit is not None and self._limit.wait(stop)):
                break
            try:
                return self._attempt(request, tally)
            except TryAgainError as error:
                cause = str(error)
        raise UnreachableError(
            f"{request.url} gave no complete answer in {self.settings.attempts} attempts, at last: {cause}; try again "
            "later, or add another source"
        )

    def _attempt(self, request: Request, tally: Tally) -> Response:
        tally.add(requests=1)
        try:
            result = obstore.get(self._store, request.key, options=request.options)
            look_before_reading(request, result)
            data = memoryview(result.bytes())
        except (BaseError, OSError) as error:
            # Without the cause: its many lines would end up in every ledger entry, and name what a redirect led to.
            raise error_meaning(request, error) from None
        tally.add(bytes_read=len(data))
        return accept(request, result, data)
