"""Opens a whole object of the archive as a local file; objects in buckets and on web servers are downloaded to disk."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, BinaryIO, Final, Self

import obstore
from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError

from hrrr_dask.archive.sources import Source, object_url
from hrrr_dask.errors import AccessDeniedError, NotPublishedError, StoreAccessError, UnreachableError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.forks import refuse_if_lost
from hrrr_dask.objects.locations import local_path

if TYPE_CHECKING:
    from obstore import GetResult
    from obstore.store import ObjectStore

__all__ = ["LastObject", "open_object"]

CHUNK_BYTES: Final = 4_000_000
"""Approximate bytes of an object in memory at a time [B]."""

TRIES: Final = 3
"""Maximum attempts to download an object; obstore retries failed requests within each attempt."""

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
"""Error codes of S3, Google and Azure in a 404 response for a missing bucket."""

TIMEOUT_S: Final = 900.0
"""Timeout for one whole object [s]."""


class LastObject:
    """Keeps the object that was opened last: its other lead times are read without another download."""

    def __init__(self) -> None:
        self._place: tuple[Source, str] | None = None
        self._stack = ExitStack()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def open(self, source: Source, key: str) -> tuple[BinaryIO, int]:
        """Open an object as :func:`open_object` does; the size is 0 if it is still open."""
        if self._file is not None and self._place == (source, key):
            return self._file, 0
        self._place, self._file = None, None
        self._stack.close()
        self._file, size = self._stack.enter_context(open_object(source, key))
        self._place = source, key
        return self._file, size


@contextmanager
def open_object(source: Source, key: str) -> Iterator[tuple[BinaryIO, int]]:
    """Open an object for reading; a temporary file is deleted afterwards, even after a kill.

    Parameters
    ----------
    source : Source
        Source of the object.
    key : str
        Key of the object.

    Yields
    ------
    file : BinaryIO
        Positioned at its start.
    size : int
        Size of the object [B].

    Raises
    ------
    NotPublishedError
        If the object does not exist.
    AccessDeniedError
        If access is denied.
    UnreachableError
        If the source sends no complete response.
    StoreAccessError
        If the disk of this machine is full.
    """
    directory = local_path(source.url)
    if directory is None:
        with tempfile.TemporaryFile(prefix="hrrr-dask-verify-") as file:
            size = _download(source, key, file)
            file.seek(0)
            yield file, size
        return
    try:
        opened = (directory / key).open("rb")
    except FileNotFoundError:
        raise _not_published(source, key) from None
    except PermissionError as error:
        raise AccessDeniedError(
            f"{object_url(source, key)} cannot be read: {error.strerror}; check its permissions"
        ) from error
    except OSError as error:
        raise UnreachableError(f"{object_url(source, key)} cannot be opened: {error.strerror or error}") from error
    with opened:
        yield opened, os.fstat(opened.fileno()).st_size


def _download(source: Source, key: str, file: BinaryIO) -> int:
    refuse_if_lost("obstore", f"read {source.url}")
    store = open_object_store(source.url, dict(source.options), timeout_s=TIMEOUT_S, max_retries=3)
    cause: object = None
    for _ in range(TRIES):
        result = _request(store, source, key)
        file.seek(0)
        file.truncate()
        try:
            for chunk in result.stream(min_chunk_size=CHUNK_BYTES):
                _write_chunk(file, chunk)
        except (BaseError, OSError) as error:
            cause = error
            continue
        file.flush()
        size = int(result.meta["size"])
        if file.tell() == size:
            return size
        cause = f"received {file.tell():,} of {size:,} bytes"
    raise UnreachableError(f"the download of {object_url(source, key)} failed {TRIES} times: {cause}")


def _request(store: ObjectStore, source: Source, key: str) -> GetResult:
    try:
        return obstore.get(store, key)
    except FileNotFoundError as error:
        if any(code in str(error) for code in _NO_BUCKET):
            raise UnreachableError(f"the bucket of {source.url} does not exist: check the source's URL") from error
        raise _not_published(source, key) from error
    except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
        raise AccessDeniedError(
            f"{source.url} denies access to {key}: check the credentials, or set the option anonymous=true"
        ) from error
    except (BaseError, OSError) as error:
        text = str(error).partition("\n")[0]
        raise UnreachableError(f"{object_url(source, key)} cannot be read: {text}; check the source's URL") from error


def _write_chunk(file: BinaryIO, chunk: bytes) -> None:
    try:
        file.write(chunk)
    except OSError as error:
        raise StoreAccessError(
            f"a file of the archive does not fit into {tempfile.gettempdir()}: {error.strerror}; "
            f"set TMPDIR to a directory with more free space"
        ) from error


def _not_published(source: Source, key: str) -> NotPublishedError:
    return NotPublishedError(f"{object_url(source, key)} does not exist")
