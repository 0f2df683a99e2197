"""Whole objects below one URL: the store's and the ledger's only way to the disk or the bucket.

A put is atomic: S3 replaces an object whole, a directory gets the finished file by rename.
"""

from __future__ import annotations

import fcntl
import io
import re
from collections.abc import Callable, Iterator, Mapping
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
from hrrr_dask.objects.locations import local_path, normal_url

if TYPE_CHECKING:
    from obstore import ReadableFile, UpdateVersion

__all__ = ["Blobs", "hint"]

LOCKS: Final = 64
"""Lock files of a directory, which the keys share."""

PATIENCE: Final = 11
"""How often a request that failed is repeated by whom means to write: for a minute or so, as long as a store may refuse
writes while it is busy or restarted. Who only reads is told sooner."""

_SERVERS_WORDS = re.compile(r":? *(<.*)?$")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class Blobs:
    """Objects by key below a URL.

    Parameters
    ----------
    url : str
        A directory, or ``s3://bucket/prefix`` and the like.
    options : mapping of str to str
        Endpoint options without secrets.
    create : bool
        Make the directory when it is not there.

    Raises
    ------
    StoreAccessError
        If there are no credentials, or the place cannot be reached.
    """

    transactional: ClassVar[bool] = False
    """Whether what is put outside ``.hrrr/`` is seen by nobody before it is sealed."""

    def __init__(self, url: str, options: Mapping[str, str], *, create: bool = False) -> None:
        self.url = url.rstrip("/")
        with self._explained("open"):
            patience = {"max_retries": PATIENCE} if create else {}
            self._store = open_object_store(url, options, create=create, **patience)

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is none."""
        with self._explained(f"read {key} of"):
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def open(self, key: str) -> io.RawIOBase | None:
        """The object as a file that is read piece by piece, or None when there is none."""
        with self._explained(f"read {key} of"):
            try:
                return _Pieces(obstore.open_reader(self._store, key), lambda: self._explained(f"read {key} of"))
            except FileNotFoundError:
                return None

    def get_with_etag(self, key: str) -> tuple[bytes, str] | None:
        """The object's bytes and its entity tag, or None when there is none."""
        with self._explained(f"read {key} of"):
            try:
                result = obstore.get(self._store, key)
                return bytes(result.bytes()), self._tag(result.meta)
            except FileNotFoundError:
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write the object whole, over whatever is there."""
        with self._explained(f"write {key} to"):
            obstore.put(self._store, key, data, use_multipart=False)

    def put_new(self, key: str, data: bytes) -> None:
        """Write the object only if there is none; one with the same bytes is no conflict.

        Raises
        ------
        StoreConflictError
            If there is another one already.
        """
        with self._explained(f"write {key} to"):
            try:
                obstore.put(self._store, key, data, mode="create", use_multipart=False)
            except (AlreadyExistsError, PreconditionError, GenericError):
                # Or our own first try was carried out and its answer was lost on the way.
                if self.get(key) != data:
                    raise

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write the object only if it still has that entity tag; one with the same bytes by now is no conflict.

        Directories have no such operation: there a file lock keeps the commands of one machine apart.

        Raises
        ------
        StoreConflictError
            If another writer was there first.
        """
        if not etag:
            raise StoreAccessError(f"{self.url} names no entity tags, without which writers cannot be kept apart")
        with self._explained(f"write {key} to"):
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
            # Ceph's gateway compares with the tag as it is without its quotes. The condition is the same.
            obstore.put(self._store, key, data, mode={"e_tag": etag.strip('"')}, use_multipart=False)

    def _etag(self, key: str) -> str:
        """The object's entity tag; empty when there is none."""
        try:
            return self._tag(obstore.head(self._store, key))
        except FileNotFoundError:
            return ""

    def _tag(self, meta: Mapping[str, Any]) -> str:
        """What tells a version of an object: its entity tag, on Google its generation."""
        return str(meta["version" if self.url.startswith("gs://") else "e_tag"] or "")

    def _unless_changed(self, tag: str) -> UpdateVersion:
        return {"version": tag} if self.url.startswith("gs://") else {"e_tag": tag}

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there are no error."""
        with self._explained("delete from"):
            try:
                obstore.delete(self._store, keys)
            except FileNotFoundError:
                return

    def keys(self, prefix: str, *, after: str = "") -> list[str]:
        """All keys below a prefix, sorted; only those that sort after one of them, if it is given."""
        with self._explained(f"list {prefix} of"):
            batches = obstore.list(self._store, prefix, offset=after or None)
            return sorted(str(meta["path"]) for batch in batches for meta in batch)

    def top_level(self) -> set[str]:
        """Names directly below the URL, of objects and of prefixes."""
        with self._explained("list"):
            found = obstore.list_with_delimiter(self._store)
            prefixes = {str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]}
            return prefixes | {str(meta["path"]).rpartition("/")[2] for meta in found["objects"]}

    def prepare(self) -> None:
        """Make what must be there before the first object; nothing here."""

    def refresh(self) -> None:
        """See what others have sealed since, and forget what is not sealed; here everything is seen at once."""

    def seal(self, message: str) -> str:
        """Show all that was put, at once; here it is shown already.

        Parameters
        ----------
        message : str
            What was done, for people.

        Returns
        -------
        str
            What names the state of the store after it; empty when nothing has changed, and always here.

        Raises
        ------
        StoreConflictError
            If others have sealed something else meanwhile; what was put is forgotten.
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

    @contextmanager
    def _explained(self, doing: str) -> Iterator[None]:
        try:
            yield
        except (AlreadyExistsError, PreconditionError) as error:
            raise StoreConflictError(
                f"cannot {doing} {self.url}: another writer was there first; wait for it, then run again"
            ) from error
        except (PermissionDeniedError, UnauthenticatedError, PermissionError) as error:
            denied = (
                "permission denied; check the credentials and the rights of that place, then run the same command again"
            )
            meaning = _meaning(str(error), _CREDENTIALS) or denied
            raise StoreAccessError(f"cannot {doing} {self.url}: {meaning} ({_cause(error)})") from error
        except (BaseError, OSError, NotImplementedError) as error:
            raise StoreAccessError(f"cannot {doing} {self.url}: {hint(str(error))}{_cause(error)}") from error


class _Pieces(io.RawIOBase):
    """What Python's own files offer, over obstore's."""

    def __init__(self, file: ReadableFile, explained: Callable[[], AbstractContextManager[None]]) -> None:
        self._file = file
        self._explained = explained

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, into: Any) -> int:
        with self._explained():
            data = self._file.read(len(into))
        into[: len(data)] = bytes(data)
        return len(data)


def _cause(error: BaseException) -> str:
    """The first line of what was said, and the server's own word for it."""
    line, code = str(error).partition("\n")[0], _CODE.search(str(error))
    return _SERVERS_WORDS.sub("", line) + (f" ({code[1]})" if code else "") or type(error).__name__


_CREDENTIALS: Final = {
    "ExpiredToken": "the credentials have expired; renew them and run the same command again",
    "TokenRefreshRequired": "the credentials have expired; renew them and run the same command again",
    "RequestTimeTooSkewed": "this machine's clock is wrong; set it and run the same command again",
}
"""A word of S3's to what it means; AWS says the first with a 400, others with a 403."""

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


def hint(text: str) -> str:
    """What an error of the disk or the bucket means, with a colon; empty when nobody knows."""
    meaning = _meaning(text, _MEANINGS)
    return f"{meaning}: " if meaning else ""


def _meaning(text: str, meanings: Mapping[str, str]) -> str:
    return next((meaning for mark, meaning in meanings.items() if mark in text), "")
