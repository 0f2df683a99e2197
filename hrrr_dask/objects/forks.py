"""Reads objects in a forked process, in which obstore cannot be used, and refuses what cannot be done there.

A fork copies only the thread that calls it. A library with threads of its own, once used, waits for them for ever in
the copy. Such libraries here are obstore and Icechunk; fsspec and Zarr start new threads after a fork. Processes are
forked by :mod:`multiprocessing` on Linux before Python 3.14, and by servers and schedulers of tasks.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from obstore.store import HTTPStore, LocalStore, S3Store

from hrrr_dask.errors import StoreAccessError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

__all__ = ["ForkedObjects", "is_lost", "note_use", "open_filesystem", "refuse_if_lost"]

Library = Literal["obstore", "icechunk"]

_USERS: Final[dict[Library, int]] = {}
"""Library to the process that used it first: this one, or one that it was forked from."""


def note_use(library: Library) -> None:
    """Note that this process uses a library, before its first use."""
    _USERS.setdefault(library, os.getpid())


def is_lost(library: Library) -> bool:
    """Return whether a library cannot be used, as this process was forked from one that had used it."""
    process = os.getpid()
    return _USERS.get(library, process) != process


def refuse_if_lost(library: Library, doing: str) -> None:
    """Refuse something that needs a library, if it cannot be used.

    Raises
    ------
    StoreAccessError
        Says what can be done instead.
    """
    if is_lost(library):
        raise _lost_error(library, doing)


def _lost_error(library: Library, doing: str, remedy: str = "") -> StoreAccessError:
    return StoreAccessError(
        f"this process was forked from one that had used {library}, whose threads do not survive a fork, so it cannot "
        f"{doing}: {remedy}start it by multiprocessing.get_context('spawn') or 'forkserver', or fork before a store is "
        f"opened"
    )


def open_filesystem(store: ObjectStore, *, asynchronous: bool = False) -> tuple[Any, str]:
    """Open what an obstore store opens with fsspec.

    Parameters
    ----------
    store : ObjectStore
        Store of :func:`hrrr_dask.objects.backends.open_object_store`.
    asynchronous : bool
        For use in coroutines.

    Returns
    -------
    fsspec.AbstractFileSystem
        One in each process.
    str
        Path of the store's root.

    Raises
    ------
    StoreAccessError
        If the kind of storage is not supported, or a library is not installed.
    """
    config: dict[str, Any] = {}
    if isinstance(store, LocalStore):
        protocol, root = "file", str(store.prefix)
    elif isinstance(store, HTTPStore):
        protocol, root = urlsplit(store.url).scheme, store.url.rstrip("/")
    elif isinstance(store, S3Store):
        config = dict(store.config)
        protocol, root = "s3", "/".join(filter(None, (config["bucket"], store.prefix)))
    else:
        raise _lost_error("obstore", "read gs://")
    try:
        return _filesystem(os.getpid(), protocol, asynchronous, frozenset(config.items())), root
    except ImportError as error:
        raise _lost_error("obstore", f"read {protocol}://", f"{error}, or ") from error


@functools.lru_cache(maxsize=8)
def _filesystem(process: int, protocol: str, asynchronous: bool, config: frozenset[tuple[str, Any]]) -> Any:
    import fsspec  # noqa: PLC0415  only needed after a fork

    del process  # a filesystem has a thread and connections, which the next fork does not have either
    return fsspec.filesystem(
        protocol,
        asynchronous=asynchronous,
        skip_instance_cache=True,
        use_listings_cache=False,
        **(_s3_options(dict(config)) if protocol == "s3" else {}),
    )


def _s3_options(config: dict[str, Any]) -> dict[str, Any]:
    """Translate the configuration of an obstore store; credentials come from botocore's chain in both."""
    in_host = str(config.get("virtual_hosted_style_request")).lower() == "true"
    endpoint = str(config.get("endpoint", ""))
    if in_host:  # obstore's endpoint then names the bucket, to which botocore adds it
        endpoint = endpoint.replace(f"://{config['bucket']}.", "://", 1)
    return {
        "anon": str(config.get("skip_signature")).lower() == "true",
        "endpoint_url": endpoint or None,
        "client_kwargs": {"region_name": config["region"]},
        "config_kwargs": {"s3": {"addressing_style": "virtual" if in_host else "path"}},
    }


class ForkedObjects:
    """Reads the objects of an obstore store without obstore; errors are those of the operating system.

    Parameters
    ----------
    store : ObjectStore
        Store of :func:`hrrr_dask.objects.backends.open_object_store`.
    """

    def __init__(self, store: ObjectStore) -> None:
        self._files, self._root = open_filesystem(store)
        self._listed = not isinstance(store, HTTPStore)

    def get(self, key: str) -> bytes:
        """Return the object's bytes."""
        with _as_os_errors():
            data: bytes = self._files.cat_file(f"{self._root}/{key}")
            return data

    def open(self, key: str) -> Any:
        """Open the object as a file."""
        with _as_os_errors():
            return self._files.open(f"{self._root}/{key}", "rb")

    def keys(self, prefix: str, after: str) -> list[str]:
        """List all keys below a prefix, sorted; only those that sort after another one."""
        self._check_listed()
        with _as_os_errors():
            found = self._files.find(f"{self._root}/{prefix}")
        return sorted(key for key in (path.removeprefix(f"{self._root}/") for path in found) if key > after)

    def top_level(self) -> set[str]:
        """Return the names of objects and prefixes at the top."""
        self._check_listed()
        with _as_os_errors():
            try:
                found = self._files.ls(self._root, detail=False)
            except FileNotFoundError:
                return set()
        return {path.rstrip("/").rpartition("/")[2] for path in found}

    def _check_listed(self) -> None:
        if not self._listed:
            raise NotImplementedError("a web server does not list its objects")


@contextmanager
def _as_os_errors() -> Iterator[None]:
    from aiohttp import ClientError  # noqa: PLC0415  only needed after a fork
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415

    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OSError(str(error)) from error
