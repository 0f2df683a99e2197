"""Downloads byte ranges and small objects of the archive, complete or with an error that says why not.

Holds the connections of a source, limits the requests in flight, and retries failed requests (the lower of the two
levels of retry; obstore's own is off). :mod:`hrrr_dask.archive.responses` classifies the responses, and
:mod:`hrrr_dask.archive.breaker` refuses requests to a source that is down.
"""

from __future__ import annotations

import functools
import random
import threading
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Final

import obstore
from obstore.exceptions import BaseError

from hrrr_dask.archive.breaker import Breaker, get_breaker
from hrrr_dask.archive.hedging import Hedges, Waiting
from hrrr_dask.archive.policy import SMALL_BYTES, FetchSettings, max_pause_s
from hrrr_dask.archive.responses import (
    Request,
    Response,
    RetryError,
    check_headers,
    check_response,
    classify_error,
    replaced_error,
)
from hrrr_dask.archive.retry_after import RetryAfter
from hrrr_dask.archive.sources import Source
from hrrr_dask.errors import AccessDeniedError, ArchiveError, NotPublishedError, UnreachableError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.forks import refuse_if_lost
from hrrr_dask.objects.locations import local_path
from hrrr_dask.objects.rate_limit import RateLimit
from hrrr_dask.records import ByteRange
from hrrr_dask.telemetry.logs import get_log

__all__ = [
    "INVENTORY_LIMIT_BYTES",
    "Client",
    "FetchSettings",
    "Response",
    "Tally",
    "get_client",
    "max_pause_s",
]

_log = get_log("hrrr_dask.archive.fetch")

LATE_POLL_S: Final = 0.1
"""Interval at which requests are looked at that wait for a response [s]."""

INVENTORY_LIMIT_BYTES: Final = 4_000_000
"""Size limit of an inventory; the longest, of the native levels, has about 1,200 lines [B]."""


class Tally:
    """Counts requests and bytes; can be shared by threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests = self._retries = 0
        self._bytes_read = 0

    @property
    def requests(self) -> int:
        """Requests made, including retries."""
        return self._requests

    @property
    def bytes_read(self) -> int:
        """Bytes received, including those of discarded responses [B]."""
        return self._bytes_read

    @property
    def counts(self) -> tuple[int, int, int]:
        """Requests, retries and bytes [B]."""
        with self._lock:
            return self._requests, self._retries, self._bytes_read

    def add(self, *, requests: int = 0, retries: int = 0, bytes_read: int = 0) -> None:
        """Add to the counts of requests, of retries among them, and of bytes [B]."""
        with self._lock:
            self._requests += requests
            self._retries += retries
            self._bytes_read += bytes_read


def get_client(source: Source, settings: FetchSettings) -> Client:
    """Return the process's client of a source, which shares its connections and its limit on requests in flight.

    Raises
    ------
    StoreAccessError
        If the source is a directory that does not exist here, needs credentials and none are found, or this is a
        forked process that cannot use obstore.
    """
    refuse_if_lost("obstore", f"read {source.url}")
    with _CLIENT_LOCK:
        return _client(source, settings)


_CLIENT_LOCK = threading.Lock()


@functools.lru_cache(maxsize=32)
def _client(source: Source, settings: FetchSettings) -> Client:
    return Client(source, settings, get_breaker(source, settings))


class Client:
    """Reads objects of one source. Thread-safe; :func:`get_client` makes one in each process.

    Parameters
    ----------
    source : Source
        The source to read from.
    settings : FetchSettings
        Timeouts and attempts.
    breaker : Breaker, optional
        Refuses requests while the source is down; one of its own by default.
    """

    def __init__(self, source: Source, settings: FetchSettings, breaker: Breaker | None = None) -> None:
        self.source = source
        self.settings = settings
        self.breaker = breaker or Breaker(source.name)
        self._hedges = Hedges()
        self._retry_after = RetryAfter(source, settings.read_timeout_s)
        self._not_before = 0.0
        self._store, self._small_store = (
            open_object_store(
                source.url,
                dict(source.options),
                timeout_s=timeout_s,
                connect_timeout_s=settings.connect_timeout_s,
                read_timeout_s=settings.read_timeout_s,
                max_retries=0,
            )
            for timeout_s in (settings.timeout_s, min(settings.small_timeout_s, settings.timeout_s))
        )
        self._limit = RateLimit(source.name, source.per_minute) if source.per_minute else None
        # Threads start with the first requests. Every request goes through this pool, which limits them.
        self._pool = ThreadPoolExecutor(settings.concurrency, thread_name_prefix="hrrr-fetch")

    def read_all(self, key: str, tally: Tally, limit_bytes: int = INVENTORY_LIMIT_BYTES) -> Response:
        """Read a whole small object, such as an inventory.

        Parameters
        ----------
        key : str
            Key of the object.
        tally : Tally
            Counts the requests and bytes.
        limit_bytes : int
            Larger objects are refused before their body is read [B].

        Returns
        -------
        Response
            The object; without bytes if it is empty.

        Raises
        ------
        InventoryError
            If the object is larger than the limit.
        NotPublishedError, AccessDeniedError, UnreachableError
            As in the table of :mod:`hrrr_dask.archive.responses`; ``UnreachableError`` at once while the source is
            down.
        """
        return self._read_together([Request(self.source, key, limit_bytes=limit_bytes)], tally)[0]

    def read_range(self, key: str, byte_range: ByteRange, tally: Tally, etag: str = "") -> Response:
        """Read one range; see :meth:`read_ranges`."""
        return self._read_together([Request(self.source, key, byte_range, etag)], tally)[0]

    def read_ranges(self, key: str, ranges: Sequence[ByteRange], tally: Tally, etag: str = "") -> list[Response]:
        """Read ranges of one object concurrently. A request that is late is sent again; the first response counts.

        Parameters
        ----------
        key : str
            Key of the object.
        ranges : sequence of ByteRange
            Half-open ranges; one without a stop extends to the object's end.
        tally : Tally
            Counts the requests and bytes; requests in flight when an error is raised are counted when they finish.
        etag : str
            Entity tag that the object must have; empty accepts any that is the same for all ranges.

        Returns
        -------
        list of Response
            In the order of ``ranges``, all of the same version of the object.

        Raises
        ------
        TruncatedError
            If the object ends inside or before a range.
        UnreachableError
            If a range got no complete response after all attempts, or the object was replaced meanwhile.
        NotPublishedError, AccessDeniedError
            As in the table of :mod:`hrrr_dask.archive.responses`.
        """
        requests = [Request(self.source, key, byte_range, etag) for byte_range in ranges]
        responses = self._read_together(requests, tally)
        if len({(response.etag, response.size) for response in responses}) > 1:
            raise replaced_error(requests[0])
        return responses

    def list_sizes(self, prefix: str, tally: Tally) -> dict[str, int] | None:
        """List objects with one request, or one a thousand keys of its folder where the source has no better way.

        Parameters
        ----------
        prefix : str
            Beginning of the keys: a folder, and the beginning of the names in it.
        tally : Tally
            Counts the request.

        Returns
        -------
        dict of str to int, optional
            Key to size [B]; None if the source cannot be listed: a web server, or a bucket that does not allow it.

        Raises
        ------
        UnreachableError
            If the source gave no answer, or is down. It is not asked again: the caller looks once more later.
        """
        if self.source.url.startswith(("http://", "https://")):
            return None
        if self._limit is not None:
            self._limit.wait(threading.Event())
        request = Request(self.source, prefix)
        self.breaker.admit()
        tally.add(requests=1)
        try:
            found = self._list(prefix)
        except (BaseError, OSError) as error:
            cause = classify_error(request, error)
            if isinstance(cause, AccessDeniedError | NotPublishedError):  # objects may be readable nevertheless
                self.breaker.responded()
                return None
            self._record(request, cause)
            raise UnreachableError(f"{request.url}* cannot be listed: {cause}") from None
        self.breaker.responded()
        return found

    def _list(self, prefix: str) -> dict[str, int]:
        folder, _, _ = prefix.rpartition("/")
        found: dict[str, int] = {}
        for chunk in obstore.list(self._store, f"{folder}/", offset=prefix):
            found |= {each["path"]: each["size"] for each in chunk if each["path"].startswith(prefix)}
            in_order = local_path(self.source.url) is None
            if in_order and not chunk[-1]["path"].startswith(prefix):
                break
        return found

    def _read_together(self, requests: Sequence[Request], tally: Tally) -> list[Response]:
        stop = threading.Event()
        waiting = [Waiting() for _ in requests]

        def submit(number: int, own: Waiting) -> Future[Response]:
            return self._pool.submit(self._read, requests[number], tally, stop, own)

        pending = {submit(number, own): number for number, own in enumerate(waiting)}
        found: dict[int, Response] = {}
        try:
            while len(found) < len(requests):
                done, _ = wait(pending, timeout=LATE_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    number = pending.pop(future)
                    if number not in found and not (future.exception() and number in pending.values()):
                        found[number] = future.result()
                for number in {*pending.values()} - found.keys():
                    if self._hedges.send_again(waiting[number]):
                        waiting[number] = Waiting()  # is not sent a third time
                        pending[submit(number, Waiting())] = number
        finally:
            stop.set()
            for future in pending:
                future.cancel()
        return [found[number] for number in range(len(requests))]

    def _read(self, request: Request, tally: Tally, stop: threading.Event, waiting: Waiting) -> Response:
        cause = ""
        for attempt in range(self.settings.attempts):
            pause_s = random.uniform(0, max_pause_s(self.settings, attempt))  # noqa: S311  # jitter, not a secret
            pause_s = max(pause_s, self._not_before - time.monotonic())
            if stop.wait(pause_s) or (self._limit is not None and self._limit.wait(stop)):
                break
            self.breaker.admit()
            began = time.perf_counter()
            try:
                response = self._attempt(request, tally, waiting, attempt)
            except (RetryError, ArchiveError) as error:
                self._record(request, error)
                if isinstance(error, ArchiveError):
                    raise
                cause = str(error)
                _log.debug("request failed", source=self.source.name, url=request.url, attempt=attempt + 1, error=cause)
                if error.overloaded and self.settings.backoff_s:
                    self._ask_retry_after(request, tally)
            except BaseException:
                self.breaker.abandoned()
                raise
            else:
                self.breaker.responded(len(response.data), time.perf_counter() - began)
                return response
        raise UnreachableError(
            f"{request.url} gave no complete response in {self.settings.attempts} attempts, "
            f"the last error was: {cause}; try again "
            "later, or add another source"
        )

    def _record(self, request: Request, error: RetryError | ArchiveError) -> None:
        """Tell the breaker what an error says of the source. The errors of a directory say nothing."""
        if local_path(self.source.url) is not None:
            return
        match error:
            case RetryError(silent=True):
                self.breaker.no_response(str(error))
            case RetryError() | UnreachableError():
                self.breaker.failed(request.key, str(error))
            case AccessDeniedError():
                self.breaker.denied(request.key)
            case _:
                self.breaker.responded()

    def _ask_retry_after(self, request: Request, tally: Tally) -> None:
        """Learn when an overloaded server wants the next request; if that is late, use the next source meanwhile."""
        seconds = self._retry_after.ask(request.key)
        if seconds is None:
            return
        tally.add(requests=1)
        if seconds > self.settings.max_backoff_s:
            self.breaker.pause(f"it asks for a pause of {seconds:.0f} s", seconds)
        else:
            self._not_before = time.monotonic() + seconds

    def _attempt(self, request: Request, tally: Tally, waiting: Waiting, attempt: int) -> Response:
        tally.add(requests=1, retries=attempt > 0)
        self._hedges.sent(waiting)
        try:
            store = self._small_store if request.is_small(SMALL_BYTES) else self._store
            result = obstore.get(store, request.key, options=request.options)
            self._hedges.responded(waiting)
            check_headers(request, result)
            data = memoryview(result.bytes())
        except (BaseError, OSError) as error:
            # Without the cause: its many lines would be copied into every ledger entry, with the target of redirects.
            raise classify_error(request, error) from None
        tally.add(bytes_read=len(data))
        return check_response(request, result, data)
