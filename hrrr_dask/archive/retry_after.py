"""Asks a server that is overloaded how long it wants to be left alone: the header ``Retry-After`` (RFC 9110, 10.2.3).

obstore does not expose headers, so the object is requested once more with HEAD, by the standard library. That is
possible for web servers and public buckets; requests to other buckets are signed.
"""

from __future__ import annotations

import math
import threading
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final
from urllib.parse import quote, urlsplit

from hrrr_dask.archive.sources import Source
from hrrr_dask.objects.backends import resolve_s3

__all__ = ["RetryAfter", "ask_retry_after", "parse_retry_after", "public_url"]

STATUSES: Final = (429, 503)
"""Statuses with which servers send the header."""

_GOOGLE: Final = "https://storage.googleapis.com"

ASK_EVERY_S: Final = 1.0
"""A server is asked at most this often by a process [s]."""


class RetryAfter:
    """Asks one source, at most once a second for all threads of a process.

    Parameters
    ----------
    source : Source
        The source.
    timeout_s : float
        Timeout of the question [s].
    """

    def __init__(self, source: Source, timeout_s: float) -> None:
        self._source = source
        self._timeout_s = timeout_s
        self._lock = threading.Lock()
        self._asked_at = -math.inf

    def ask(self, key: str) -> float | None:
        """Ask after a response of an object that says that the server is overloaded.

        Returns
        -------
        float or None
            How long to wait, 0 if the server does not say [s]; None if it was not asked.
        """
        url = public_url(self._source, key)
        with self._lock:
            if url is None or time.monotonic() - self._asked_at < ASK_EVERY_S:
                return None
            self._asked_at = time.monotonic()
        return ask_retry_after(url, self._timeout_s) or 0.0


def public_url(source: Source, key: str) -> str | None:
    """Return the URL at which anyone can read an object; None for a directory or a bucket with signed requests.

    Examples
    --------
    >>> from hrrr_dask.archive.sources import SOURCES
    >>> public_url(SOURCES["aws"], "hrrr.20240101/a.idx")
    'https://s3.us-east-1.amazonaws.com/noaa-hrrr-bdp-pds/hrrr.20240101/a.idx'
    >>> public_url(SOURCES["google"], "a.idx")
    'https://storage.googleapis.com/high-resolution-rapid-refresh/a.idx'
    """
    options, parts = dict(source.options), urlsplit(source.url)
    if parts.scheme in ("http", "https"):
        return f"{source.url}/{quote(key)}"
    if options.get("anonymous") != "true":
        return None
    if parts.scheme == "gs":
        root = f"{options.get('endpoint', _GOOGLE)}/{parts.netloc}"
    elif parts.scheme == "s3":
        place = resolve_s3(source.url, options)
        endpoint = place.endpoint or f"https://s3.{place.region}.amazonaws.com"
        root = f"{endpoint}/{place.bucket}" if place.path_style else endpoint
    else:
        return None
    return "/".join(part for part in (root, parts.path.strip("/"), quote(key)) if part)


def ask_retry_after(url: str, timeout_s: float) -> float | None:
    """Ask how long to wait before the next request.

    Parameters
    ----------
    url : str
        Of :func:`public_url`.
    timeout_s : float
        Timeout of the request [s].

    Returns
    -------
    float or None
        Seconds [s]; 0 if the server is no longer overloaded; None if it does not say.
    """
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310  http and https only
    try:
        with urllib.request.urlopen(request, timeout=timeout_s):  # noqa: S310
            return 0.0
    except urllib.error.HTTPError as error:
        with error:
            return parse_retry_after(error.headers.get("Retry-After", "")) if error.code in STATUSES else 0.0
    except (OSError, ValueError):
        return None


def parse_retry_after(text: str, now: datetime | None = None) -> float | None:
    """Parse the value of the header: a number of seconds, or a date.

    Examples
    --------
    >>> parse_retry_after("120"), parse_retry_after("soon")
    (120.0, None)
    >>> parse_retry_after("Mon, 01 Jan 2024 07:05:09 GMT", datetime(2024, 1, 1, 7, 5, tzinfo=UTC))
    9.0
    """
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - (now or datetime.now(UTC))).total_seconds(), 0.0)
