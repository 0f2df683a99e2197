"""Opens the objects of a store, plain or in an Icechunk repository, depending on its URL."""

from __future__ import annotations

import os
from collections.abc import Mapping

from hrrr_dask.errors import ConfigError, StoreMismatchError
from hrrr_dask.objects.icechunk import IcechunkBlobs, Snapshot, load_icechunk
from hrrr_dask.objects.locations import ICECHUNK, local_path, normal_url
from hrrr_dask.objects.objects import Blobs

__all__ = ["check_installed", "history", "is_transactional", "open_blobs"]


def is_transactional(url: str) -> bool:
    """Return whether the arrays are in an Icechunk repository."""
    return url.startswith(ICECHUNK)


def check_installed(url: str) -> None:
    """Check that Icechunk is installed if the URL needs it.

    Raises
    ------
    ConfigError
        If it is not installed; says how to install it.
    """
    if is_transactional(url):
        load_icechunk()


def open_blobs(url: str, options: Mapping[str, str], *, create: bool = False, snapshot: str = "") -> Blobs:
    """Open the objects below a URL, with the class for its scheme.

    Parameters
    ----------
    url : str
        URL of a store, as the user gave it.
    options : mapping of str to str
        Endpoint options without secrets.
    create : bool
        Open for writing.
    snapshot : str
        Identifier of an earlier state of an Icechunk repository; the latest by default.

    Raises
    ------
    ConfigError
        If Icechunk is not installed, or a snapshot of a plain store is requested.
    StoreMismatchError
        If a file is there.
    StoreAccessError
        If there are no credentials, or the URL cannot be reached.
    """
    path = local_path(normal_url(url))
    if path is not None and path.is_file():
        raise StoreMismatchError(f"{url} is a file, not a store: give the directory or URL of one")
    if is_transactional(url):
        return IcechunkBlobs(url, options, create=create, snapshot=snapshot)
    if snapshot:
        raise ConfigError(f"{url} is a plain store and has no snapshots: URLs of Icechunk stores start with {ICECHUNK}")
    return Blobs(url, options, create=create)


def history(url: str | os.PathLike[str], /, **options: str) -> list[Snapshot]:
    """Return the states of a store on Icechunk, the latest first.

    Parameters
    ----------
    url : str or path
        URL of the store, ``icechunk+…``.
    **options
        Endpoint options without secrets.

    Raises
    ------
    ConfigError
        If the store is a plain one, or Icechunk is not installed.
    """
    url = os.fspath(url)
    if not is_transactional(url):
        raise ConfigError(f"{url} is a plain store and has no history: URLs of Icechunk stores start with {ICECHUNK}")
    return IcechunkBlobs(url, options).history()
