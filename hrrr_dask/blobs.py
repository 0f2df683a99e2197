"""Whole objects below one URL: the store's and the ledger's only way to the disk or the bucket.

A put is atomic: S3 replaces an object whole, a directory gets the finished file by rename.
"""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import obstore
from obstore.exceptions import (
    AlreadyExistsError,
    BaseError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)

from hrrr_dask.errors import StoreAccessError, StoreConflictError
from hrrr_dask.locations import local_path, normal_url
from hrrr_dask.storage import open_object_store

__all__ = ["Blobs"]


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

    def __init__(self, url: str, options: Mapping[str, str], *, create: bool = False) -> None:
        self.url = url.rstrip("/")
        with self._explained("open"):
            self._store = open_object_store(url, options, create=create)

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None when there is none."""
        with self._explained(f"read {key} of"):
            try:
                return bytes(obstore.get(self._store, key).bytes())
            except FileNotFoundError:
                return None

    def get_with_etag(self, key: str) -> tuple[bytes, str] | None:
        """The object's bytes and its entity tag, or None when there is none."""
        with self._explained(f"read {key} of"):
            try:
                result = obstore.get(self._store, key)
                return bytes(result.bytes()), str(result.meta["e_tag"] or "")
            except FileNotFoundError:
                return None

    def put(self, key: str, data: bytes) -> None:
        """Write the object whole, over whatever is there."""
        with self._explained(f"write {key} to"):
            obstore.put(self._store, key, data, use_multipart=False)

    def put_new(self, key: str, data: bytes) -> None:
        """Write the object only if there is none.

        Raises
        ------
        StoreConflictError
            If there is one already.
        """
        with self._explained(f"write {key} to"):
            obstore.put(self._store, key, data, mode="create", use_multipart=False)

    def replace(self, key: str, data: bytes, etag: str) -> None:
        """Write the object only if it still has that entity tag.

        Directories have no such operation: there a file lock keeps the commands of one machine apart.

        Raises
        ------
        StoreConflictError
            If another writer was there first.
        """
        with self._explained(f"write {key} to"):
            try:
                obstore.put(self._store, key, data, mode={"e_tag": etag}, use_multipart=False)
            except NotImplementedError:
                with self._locked():
                    found = self.get_with_etag(key)
                    if found is None or found[1] != etag:
                        raise StoreConflictError(f"{key} of {self.url} was changed by another writer") from None
                    obstore.put(self._store, key, data, use_multipart=False)

    def delete(self, keys: list[str]) -> None:
        """Remove objects; those that are not there are no error."""
        with self._explained("delete from"):
            try:
                obstore.delete(self._store, keys)
            except FileNotFoundError:
                return

    def keys(self, prefix: str) -> list[str]:
        """All keys below a prefix, sorted."""
        with self._explained(f"list {prefix} of"):
            batches = obstore.list(self._store, prefix)
            return sorted(str(meta["path"]) for batch in batches for meta in batch)

    def top_level(self) -> set[str]:
        """Names directly below the URL, of objects and of prefixes."""
        with self._explained("list"):
            found = obstore.list_with_delimiter(self._store)
            prefixes = {str(prefix).rstrip("/").rpartition("/")[2] for prefix in found["common_prefixes"]}
            return prefixes | {str(meta["path"]).rpartition("/")[2] for meta in found["objects"]}

    @contextmanager
    def _locked(self) -> Iterator[None]:
        directory = local_path(normal_url(self.url))
        assert directory is not None, "only directories lack a conditional put"
        (directory / ".hrrr").mkdir(exist_ok=True)
        with (directory / ".hrrr" / "lock").open("w") as file:
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
            raise StoreAccessError(
                f"cannot {doing} {self.url}: permission denied; check the credentials and the rights of that place "
                f"({_first_line(error)})"
            ) from error
        except (BaseError, OSError, NotImplementedError) as error:
            raise StoreAccessError(f"cannot {doing} {self.url}: {_hint(error)}{_first_line(error)}") from error


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip() or type(error).__name__


def _hint(error: BaseException) -> str:
    text = str(error)
    hints: dict[str, Any] = {
        "No space left": "the disk is full; make room and run the same command again: ",
        "NoSuchBucket": "there is no such bucket; create it first: ",
        "Permission denied": "the place is not writable for you: ",
        "Read-only file system": "the place is not writable: ",
        "Not a directory": "a file stands where a directory is wanted: ",
    }
    return next((hint for mark, hint in hints.items() if mark in text), "")
