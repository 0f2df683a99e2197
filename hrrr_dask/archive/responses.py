"""What an answer of the archive means: a complete response, an error that ends the matter, or another try.

===========================================  ===================================================
answer                                       becomes
===========================================  ===================================================
404, no such file                            ``NotPublishedError`` at once
401, 403                                     ``AccessDeniedError`` at once
416, or the object ends inside the range     ``TruncatedError`` at once
412, or another entity tag than before       ``UnreachableError`` at once: the object was replaced
no such bucket, directory gone               ``UnreachableError`` at once
anything else: 5xx, 429, 400, resets,        tried again after a pause, then ``UnreachableError``
timeouts, the wrong bytes, a web page
===========================================  ===================================================

400 and pages are tried again because servers over their limit answer with them. obstore follows redirects and does
not show headers, so a 302 is judged by what it leads to, and ``Retry-After`` cannot be honoured.
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

__all__ = ["Request", "Response", "TryAgainError", "accept", "error_meaning", "look_before_reading", "replaced"]

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
"""Error codes of S3, Google and Azure, in a 404 that says nothing about the object."""

# How obstore words what it gives no exception of its own: a server's 416, and a local file's end.
_BEYOND_THE_END: Final = ("status code: 416", "Requested range was invalid")

_PREAMBLE = re.compile(r"^Generic \w+ error: |Error performing GET \S+ in \S+ - ")
_QUERY = re.compile(r"(https?://[^\s?#]+)[?#]\S*")
_KIND = re.compile(r"\bkind: (Timeout|Connect|Interrupted|Decode)\b")
_CAUSE_LENGTH: Final = 200


class TryAgainError(Exception):
    """One attempt failed in a way that may pass; its text is the cause. Never leaves the fetch layer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is wanted of one object."""

    source: Source
    """Where it lives."""
    key: str
    """Its name there."""
    byte_range: ByteRange | None = None
    """Which bytes; None for the whole object."""
    etag: str = ""
    """Entity tag that it must have; empty for any."""
    limit_bytes: int | None = None
    """Largest size of the object that is accepted; None for any [B]."""

    @property
    def url(self) -> str:
        """For messages."""
        return object_url(self.source, self.key)

    @property
    def options(self) -> GetOptions:
        """The same, as obstore takes it."""
        options: GetOptions = {}
        if self.byte_range is not None:
            start, stop = self.byte_range.start, self.byte_range.stop
            options["range"] = {"offset": start} if stop is None else (start, stop)
        if self.etag and not self.etag.startswith("W/"):  # If-Match never holds for a weak tag (RFC 9110, 13.1.1)
            options["if_match"] = self.etag
        return options


@dataclass(frozen=True, slots=True)
class Response:
    """The bytes that were asked for, and what the source said about their object."""

    data: memoryview
    """Exactly the range, as it was received: nothing is copied."""
    size: int
    """Of the whole object [B]."""
    etag: str
    """Its entity tag, quotes included; empty when the source gives none."""
    published: datetime | None
    """Its Last-Modified, UTC; None when the source gives none."""


def look_before_reading(request: Request, result: GetResult) -> None:
    """Refuse by its headers an answer whose body is not worth reading.

    Raises
    ------
    TryAgainError
        If it is a web page.
    InventoryError
        If the object is larger than the request's limit.
    """
    if str(result.attributes.get("Content-Type", "")).startswith("text/html"):
        raise TryAgainError("the server answered with a web page, as some do over their limit")
    size = result.meta["size"]
    if request.limit_bytes is not None and size > request.limit_bytes:
        raise InventoryError(
            f"{request.url} has {size:,} bytes, an inventory at most {request.limit_bytes:,}: it is another kind of "
            "file; check how the source is laid out"
        )


def accept(request: Request, result: GetResult, data: memoryview) -> Response:
    """Make a response of an answer that holds exactly what was asked for.

    Raises
    ------
    TruncatedError
        If the object ends inside the range.
    UnreachableError
        If its entity tag is another one.
    TryAgainError
        If the number of bytes is wrong.
    """
    meta = result.meta
    response = Response(data, meta["size"], meta["e_tag"] or "", _published(meta["last_modified"]))
    if request.etag and response.etag and response.etag != request.etag:
        raise replaced(request)
    start, stop = (request.byte_range.start, request.byte_range.stop) if request.byte_range else (0, None)
    if stop is not None and stop > response.size:
        raise _truncated(request, f"it has only {response.size:,}")
    wanted = (response.size if stop is None else stop) - start
    if len(data) != wanted:
        raise TryAgainError(f"{len(data):,} bytes came instead of {wanted:,}")
    return response


def _published(last_modified: datetime) -> datetime | None:
    # obstore puts the epoch where the source gave nothing.
    return last_modified.astimezone(UTC).replace(tzinfo=None) if last_modified.timestamp() > 0 else None


def error_meaning(request: Request, error: Exception) -> ArchiveError | TryAgainError:
    """What an exception of obstore says about the object, as in the module's table."""
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
            return replaced(request)
        case NotSupportedError():
            return TryAgainError("the server ignores byte ranges and sends the whole object")
    if request.byte_range is not None and any(words in text for words in _BEYOND_THE_END):
        return _truncated(request, "it ends before them")
    return TryAgainError(_one_line(text))


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


def replaced(request: Request) -> UnreachableError:
    """The error for an object that is not the one of a moment ago."""
    return UnreachableError(f"{request.url} was replaced while it was read: read the file again")


def _one_line(text: str) -> str:
    # obstore's texts go on for pages under 'Debug source'; only the first line is for people, but the kind is there.
    line = _QUERY.sub(r"\1", _PREAMBLE.sub("", text.partition("\n")[0])).strip().rstrip(":")
    kind = _KIND.search(text)
    return line[:_CAUSE_LENGTH] + (f" ({kind[1].lower()})" if kind else "")
