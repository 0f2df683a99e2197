"""Classifies HTTP responses of the archive: complete, failed for good, or to be retried.

===========================================  ===================================================
response                                     becomes
===========================================  ===================================================
404, no such file                            ``NotPublishedError`` at once
401, 403                                     ``AccessDeniedError`` at once
416, or the object ends inside the range     ``TruncatedError`` at once
412, or another entity tag than before       ``UnreachableError`` at once: the object was replaced
no such bucket, directory gone               ``UnreachableError`` at once
anything else: 5xx, 429, 400, resets,        retried after a pause, then ``UnreachableError``
timeouts, the wrong bytes, a web page
===========================================  ===================================================

400 and web pages are retried because overloaded servers send them. obstore follows redirects and does not expose
headers, so a 302 is classified by its target; :mod:`hrrr_dask.archive.retry_after` asks for ``Retry-After``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from obstore.exceptions import NotSupportedError, PermissionDeniedError, PreconditionError, UnauthenticatedError

from hrrr_dask.archive.sources import Source, object_url
from hrrr_dask.errors import (
    AccessDeniedError,
    ArchiveError,
    InventoryError,
    NotPublishedError,
    TruncatedError,
    UnreachableError,
)
from hrrr_dask.objects.locations import local_path
from hrrr_dask.records import ByteRange

if TYPE_CHECKING:
    from obstore import GetOptions, GetResult

__all__ = ["Request", "Response", "RetryError", "check_headers", "check_response", "classify_error", "replaced_error"]

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
"""Error codes of S3, Google and Azure in a 404 that is not about the object."""

# Texts of obstore's errors that have no exception class: a server's 416, and the end of a local file.
_BEYOND_THE_END: Final = ("status code: 416", "Requested range was invalid")

_PREAMBLE = re.compile(r"^Generic \w+ error: |Error performing GET \S+ in \S+ - ")
_QUERY = re.compile(r"(https?://[^\s?#]+)[?#]\S*")
_KIND = re.compile(r"\bkind: (Timeout|Connect|Interrupted|Decode)\b")
_OVERLOADED = re.compile(r"status code: (429|503)\b")
_CAUSE_LENGTH: Final = 200


class RetryError(Exception):
    """One attempt failed in a way that may pass; the text is the cause. Never leaves the fetch layer.

    Parameters
    ----------
    cause : str
        What happened.
    silent : bool
        Whether there was no response: the connection or the wait for it timed out, was refused, or had no host.
    overloaded : bool
        Whether the server said that it is overloaded: 429 or 503.
    """

    def __init__(self, cause: str, *, silent: bool = False, overloaded: bool = False) -> None:
        super().__init__(cause)
        self.silent = silent
        self.overloaded = overloaded


@dataclass(frozen=True, slots=True)
class Request:
    """One request for an object or a byte range."""

    source: Source
    """Source of the object."""
    key: str
    """Key of the object."""
    byte_range: ByteRange | None = None
    """Byte range; None for the whole object."""
    etag: str = ""
    """Entity tag that the object must have; empty for any."""
    limit_bytes: int | None = None
    """Maximum size of the object; None for any [B]."""

    @property
    def url(self) -> str:
        """URL of the object, for messages."""
        return object_url(self.source, self.key)

    def is_small(self, limit_bytes: int) -> bool:
        """Return whether it is for an inventory, or for at most that many bytes."""
        if self.byte_range is None:
            return self.limit_bytes is not None
        return self.byte_range.size is not None and self.byte_range.size <= limit_bytes

    @property
    def options(self) -> GetOptions:
        """The request as obstore's options."""
        options: GetOptions = {}
        if self.byte_range is not None:
            start, stop = self.byte_range.start, self.byte_range.stop
            options["range"] = {"offset": start} if stop is None else (start, stop)
        if self.etag and not self.etag.startswith("W/"):  # If-Match never holds for a weak tag (RFC 9110, 13.1.1)
            options["if_match"] = self.etag
        return options


@dataclass(frozen=True, slots=True)
class Response:
    """Requested bytes and metadata of their object."""

    data: memoryview
    """Exactly the requested bytes, without a copy."""
    size: int
    """Size of the whole object [B]."""
    etag: str
    """Entity tag, including quotes; empty if the source has none."""
    published: datetime | None
    """Last-Modified, UTC; None if the source has none."""


def check_headers(request: Request, result: GetResult) -> None:
    """Reject a response by its headers, before its body is read.

    Raises
    ------
    RetryError
        If the response is a web page.
    InventoryError
        If the object is larger than the request's limit.
    """
    if str(result.attributes.get("Content-Type", "")).startswith("text/html"):
        raise RetryError("the server responded with a web page, as overloaded servers do")
    size = result.meta["size"]
    if request.limit_bytes is not None and size > request.limit_bytes:
        raise InventoryError(
            f"{request.url} has {size:,} bytes, an inventory at most {request.limit_bytes:,}: it is another kind of "
            "file; check how the source is laid out"
        )


def check_response(request: Request, result: GetResult, data: memoryview) -> Response:
    """Check that a response has exactly the requested bytes, and return it.

    Raises
    ------
    TruncatedError
        If the object ends inside the range.
    UnreachableError
        If the entity tag is another one.
    RetryError
        If the number of bytes is wrong.
    """
    meta = result.meta
    response = Response(data, meta["size"], meta["e_tag"] or "", _published(meta["last_modified"]))
    if request.etag and response.etag and response.etag != request.etag:
        raise replaced_error(request)
    start, stop = (request.byte_range.start, request.byte_range.stop) if request.byte_range else (0, None)
    if stop is not None and stop > response.size:
        raise _truncated(request, f"it has only {response.size:,}")
    wanted = (response.size if stop is None else stop) - start
    if len(data) != wanted:
        raise RetryError(f"{len(data):,} bytes were received instead of {wanted:,}")
    return response


def _published(last_modified: datetime) -> datetime | None:
    # obstore returns the epoch if the source gave no time
    return last_modified.astimezone(UTC).replace(tzinfo=None) if last_modified.timestamp() > 0 else None


def classify_error(request: Request, error: Exception) -> ArchiveError | RetryError:
    """Classify an exception of obstore, as in the module's table."""
    text = str(error)
    match error:
        case FileNotFoundError():
            return _absent(request, text)
        case PermissionDeniedError() | UnauthenticatedError() | PermissionError():
            return AccessDeniedError(
                f"{request.url} may not be read: {_one_line(text)}; check the credentials, or read a public bucket "
                "with the option anonymous=true"
            )
        case PreconditionError():
            return replaced_error(request)
        case NotSupportedError():
            return RetryError("the server ignores byte ranges and sends the whole object")
    if request.byte_range is not None and any(words in text for words in _BEYOND_THE_END):
        return _truncated(request, "it ends before them")
    kind = _KIND.search(text)
    return RetryError(
        _one_line(text),
        silent=kind is not None and kind[1] in ("Timeout", "Connect"),
        overloaded=_OVERLOADED.search(text) is not None,
    )


def _absent(request: Request, text: str) -> ArchiveError:
    root = local_path(request.source.url)
    if any(code in text for code in _NO_BUCKET) or (root is not None and not root.is_dir()):
        return UnreachableError(
            f"{request.source.url} is not there, so nothing can be said of {request.key}: check the name of the "
            "bucket or directory"
        )
    return NotPublishedError(
        f"{request.url} is not in the archive; a recent run may follow, and another source may have an old one"
    )


def _truncated(request: Request, found: str) -> TruncatedError:
    assert request.byte_range is not None, "a whole object has no range to end in"
    start, stop = request.byte_range.start, request.byte_range.stop
    return TruncatedError(
        f"bytes {start:,} to {'the end' if stop is None else f'{stop:,}'} of {request.url} were wanted, but {found}: "
        "the object is incomplete or its inventory is of another one; try another source"
    )


def replaced_error(request: Request) -> UnreachableError:
    """Return the error for an object that was replaced since the last request."""
    return UnreachableError(f"{request.url} was replaced while it was read: read the file again")


def _one_line(text: str) -> str:
    # Only the first line of obstore's text is for people; the kind of error follows under 'Debug source'.
    line = _QUERY.sub(r"\1", _PREAMBLE.sub("", text.partition("\n")[0])).strip().rstrip(":")
    kind = _KIND.search(text)
    return line[:_CAUSE_LENGTH] + (f" ({kind[1].lower()})" if kind else "")
