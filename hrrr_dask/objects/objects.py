"""Reads and writes whole objects below one URL, for the store and for the ledger.

In a process that was forked from one that had used obstore, objects are read with fsspec, and writes are refused.

A write is atomic: S3 replaces an object whole, and in a directory the finished file is renamed.
"""

from __future__ import annotations

import fcntl
import io
import re
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final
from zlib import crc32

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    GenericError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from hrrr_dask.errors import StoreAccessError, StoreConflictError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.forks import ForkedObjects, is_lost, refuse_if_lost
from hrrr_dask.objects.locations import local_path, normal_url
from hrrr_dask.objects.pieces import ObjectReader, ObjectWriter

if TYPE_CHECKING:
    from datetime import datetime

    from obstore import UpdateVersion

__all__ = ["Blobs", "explain_error"]

LOCKS: Final = 64
"""Lock files of a directory, shared by all keys."""

WRITE_RETRIES: Final = 11
"""Retries of a failed request when writing: about a minute, as a store may reject writes while it is busy or restarts.
Readers get the error sooner."""

PIECE_BYTES: Final = 8 << 20
"""Size of the parts in which a large object is written; S3 takes no smaller ones than 5 MB, and at most 10,000 [B]."""

PIECES_AT_ONCE: Final = 2
"""Parts of one object that are sent concurrently; each is in memory."""

_SERVERS_WORDS = re.compile(r":? *(<.*)?$")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class Blobs:
    """Objects by key below a URL.

    Parameters
    ----------
    url : str
        A directory, or a URL such as ``s3://bucket/prefix``.
    options : mapping of str to str
        Endpoint options without secrets.
    create : bool
        Make the directory if it does not exist.

    Raises
    ------
    StoreAccessError
        If there are no credentials, or the URL cannot be reached.
    """

    transactional: ClassVar[bool] = False
    """Whether writes outside ``.hrrr/`` are invisible to readers until they are sealed."""

    def __init__(self, url: str, options: Mapping[str, str], *, create: bool = False) -> None:
        self.url = url.rstrip("/")
        with self._explained("open"):
            patience = {"max_retries": WRITE_RETRIES} if create else {}
            self._store = open_object_store(url, options, create=create, **patience)

    def get(self, key: str) -> bytes | None:
        """Return the object's bytes, or None if it does not exist."""
        with self._explained(f"read {key} of"):
            try:
                if forked := self._forked:
                    return forked.get(key)
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def open(self, key: str) -> io.RawIOBase | None:
        """Open the object as a file that is read piece by piece; None if it does not exist."""
        with self._explained(f"read {key} of"):
            try:
                forked = self._forked
                file = forked.open(key) if forked else obstore.open_reader(self._store, key)
                return ObjectReader(file, lambda: self._explained(f"read {key} of"))
            except FileNotFoundError:
                return None

    def get_with_etag(self, key: str) -> tuple[bytes, str] | None:
        """Return the object's bytes and entity tag, or None if it does not exist.

        The tag is for :meth:`replace`; in a forked process, which cannot write, it is empty.
        """
        with self._explained(f"read {key} of"):
            try:
                if forked := self._forked:
                    return forked.get(key), ""
                result = obstore.get(self._store, key)
                return bytes(result.bytes()), self._tag(result.meta)
            except FileNotFoundError:
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write the whole object, replacing any existing one."""
        with self._writing(f"write {key} to"):
            obstore.put(self._store, key, data, use_multipart=False)

    def put_new(self, key: str, data: bytes) -> None:
        """Write the object only if it does not exist; an object with the same bytes is no conflict.

        Raises
        ------
        StoreConflictError
            If an object with other bytes exists.
        """
        with self._writing(f"write {key} to"):
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError, GenericError):
                # Or our own first attempt succeeded and its response was lost.
                if self.get(key) != data:
                    raise

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write the object only if it still has that entity tag; an object with the same bytes is no conflict.

        Directories have no such operation: a file lock serialises the commands of one machine.

        Raises
        ------
        StoreConflictError
            If another writer replaced the object first.
        """
        if not etag:
            raise StoreAccessError(
                f"{self.url} returns no entity tags, which writers need to detect conflicts: use another "
                "kind of storage"
            )
        with self._writing(f"write {key} to"):
            try:
                self._replace(key, data, etag)
            except (AlreadyExistsError, PreconditionError, GenericError):
                if self.get(key) != data:
                    raise

    def _replace(self, key: str, data: bytes, etag: str) -> None:
        try:
            obstore.put(self._store, key, data, mode=self._unless_changed(etag), use_multipart=False)
        except NotImplementedError:
            with self._locked(key):
                if self._etag(key) != etag:
                    raise PreconditionError(f"{key} was changed by another writer") from None
                obstore.put(self._store, key, data, use_multipart=False)
        except PreconditionError:
            if self._etag(key) != etag:
                raise
            # Ceph's gateway compares the tag without its quotes. The condition is the same.
            obstore.put(self._store, key, data, mode={"e_tag": etag.strip('"')}, use_multipart=False)

    def _etag(self, key: str) -> str:
        """Return the object's entity tag; empty if it does not exist."""
        try:
            return self._tag(obstore.head(self._store, key))
        except FileNotFoundError:
            return ""

    def _tag(self, meta: Mapping[str, Any]) -> str:
        """Return what identifies a version of an object: its entity tag, or on Google its generation."""
        return str(meta["version" if self.url.startswith("gs://") else "e_tag"] or "")

    def _unless_changed(self, tag: str) -> UpdateVersion:
        return {"version": tag} if self.url.startswith("gs://") else {"e_tag": tag}

    @contextmanager
    def open_new(self, key: str) -> Iterator[io.RawIOBase]:
        """Write an object piece by piece inside the block; it exists after the block, and not after an error."""
        with self._writing(f"write {key} to"):
            writer = ObjectWriter(
                obstore.open_writer(self._store, key, buffer_size=PIECE_BYTES, max_concurrency=PIECES_AT_ONCE),
                lambda: self._writing(f"write {key} to"),
            )
        try:
            yield writer
        except BaseException:
            writer.abandon()
            raise
        writer.finish()

    def move(self, key: str, target: str) -> None:
        """Give an object another key, replacing any object there: a rename in a directory, a server's copy elsewhere.

        Raises
        ------
        StoreConflictError
            If it does not exist.
        """
        with self._writing(f"move {key} in"):
            try:
                obstore.rename(self._store, key, target)
            except FileNotFoundError as error:
                raise StoreConflictError(
                    f"{self.url}/{key} was removed while it was in use: run the command again"
                ) from error

    def delete(self, keys: list[str]) -> None:
        """Delete objects; missing ones are no error."""
        with self._writing("delete from"):
            try:
                obstore.delete(self._store, keys)
            except FileNotFoundError:
                return

    def keys(self, prefix: str, *, after: str = "") -> list[str]:
        """List all keys below a prefix, sorted; with ``after``, only those that sort after it."""
        with self._explained(f"list {prefix} of"):
            if forked := self._forked:
                return forked.keys(prefix, after)
            batches = obstore.list(self._store, prefix, offset=after or None)
            return sorted(str(meta["path"]) for batch in batches for meta in batch)

    def dates(self, prefix: str) -> dict[str, datetime]:
        """List all keys below a prefix with the times at which they were last written."""
        with self._explained(f"list {prefix} of"):
            batches = obstore.list(self._store, prefix)
            return {str(meta["path"]): meta["last_modified"] for batch in batches for meta in batch}

    def top_level(self) -> set[str]:
        """Return the names of objects and prefixes directly below the URL."""
        with self._explained("list"):
            if forked := self._forked:
                return forked.top_level()
            found = obstore.list_with_delimiter(self._store)
            prefixes = {str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]}
            return prefixes | {str(meta["path"]).rpartition("/")[2] for meta in found["objects"]}

    def prepare(self) -> None:
        """Make what must exist before the first object; nothing for plain objects."""

    def refresh(self) -> None:
        """Refresh to the latest sealed state and drop unsealed writes; nothing for plain objects."""

    def seal(self, message: str) -> str:
        """Make all writes visible at once; plain objects already are.

        Parameters
        ----------
        message : str
            Description of the change, for people.

        Returns
        -------
        str
            Identifier of the new state; empty if nothing has changed, and for plain objects.

        Raises
        ------
        StoreConflictError
            If another writer sealed a conflicting change; the writes are dropped.
        """
        del message
        return ""

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        directory = local_path(normal_url(self.url))
        assert directory is not None, "only directories lack a conditional put"
        locks = directory / ".hrrr" / "locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / f"{crc32(key.encode()) % LOCKS}").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @property
    def _forked(self) -> ForkedObjects | None:
        """What reads instead of obstore in a forked process."""
        return ForkedObjects(self._store) if is_lost("obstore") else None

    def _writing(self, doing: str) -> AbstractContextManager[None]:
        refuse_if_lost("obstore", f"{doing} {self.url}")
        return self._explained(doing)

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise StoreConflictError(
                f"cannot {doing} {self.url}: another writer changed it first; run the command again"
            ) from error
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            denied = (
                "permission denied; check the credentials and the rights of that place, then run the same command again"
            )
            meaning = _meaning(str(error), _CREDENTIALS) or denied
            raise StoreAccessError(f"cannot {doing} {self.url}: {meaning} ({_cause(error)})") from error
        except (BaseError, OSError, NotImplementedError) as error:
            raise StoreAccessError(f"cannot {doing} {self.url}: {explain_error(str(error))}{_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """Return the first line of an error, and the server's error code."""
    line, code = str(error).partition("\n")[0], _CODE.search(str(error))
    return _SERVERS_WORDS.sub("", line) + (f" ({code[1]})" if code else "") or type(error).__name__


_CREDENTIALS: Final = {
    "ExpiredToken": "the credentials have expired; renew them and run the same command again",
    "TokenRefreshRequired": "the credentials have expired; renew them and run the same command again",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it and run the same command again",
}
"""S3 error codes and their meaning; AWS sends the first with a 400, others with a 403."""

_AGAIN: Final = "the store does not answer as it should; see what is wrong there and run the same command again"

_MEANINGS: Final = _CREDENTIALS | {
    "No space left": "the disk is full; make room and run the same command again",
    "NoSuchBucket": "there is no such bucket; create it first",
    "Permission denied": "the place is not writable for you",
    "Read-only file system": "the place is not writable",
    "Not a directory": "a file stands where a directory is wanted",
    "SlowDown": "the store refuses requests for now; wait, then run the same command again",
    "status code: 503": "the store refuses requests for now; wait, then run the same command again",
    "status code: 5": _AGAIN,
    "status code: 429": _AGAIN,
    "error sending request": _AGAIN,
    "kind: Timeout": _AGAIN,
    "kind: Interrupted": _AGAIN,
}


def explain_error(text: str) -> str:
    """Return what an error of the disk or the bucket means, with a colon; empty if unknown."""
    meaning = _meaning(text, _MEANINGS)
    return f"{meaning}: " if meaning else ""


def _meaning(text: str, meanings: Mapping[str, str]) -> str:
    return next((meaning for mark, meaning in meanings.items() if mark in text), "")
