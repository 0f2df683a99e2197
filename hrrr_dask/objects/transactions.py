"""The objects of a store, plain or in an Icechunk repository: which it is, its URL says."""

from __future__ import annotations

from collections.abc import Mapping

from hrrr_dask.errors import ConfigError
from hrrr_dask.objects.icechunk import IcechunkBlobs, Snapshot, load_icechunk
from hrrr_dask.objects.locations import ICECHUNK
from hrrr_dask.objects.objects import Blobs

__all__ = ["check_installed", "history", "is_transactional", "open_blobs"]


def is_transactional(url: str) -> bool:
    """Whether the arrays are in an Icechunk repository."""
    return url.startswith(ICECHUNK)


def check_installed(url: str) -> None:
    """Refuse what needs Icechunk where it is not installed.

    Raises
    ------
    ConfigError
        Saying how to install it.
    """
    if is_transactional(url):
        load_icechunk()


def open_blobs(url: str, options: Mapping[str, str], *, create: bool = False, snapshot: str = "") -> Blobs:
    """The objects below a URL, of the class that its scheme asks for.

    Parameters
    ----------
    url : str
        Of a store, as a user writes it.
    options : mapping of str to str
        Endpoint options without secrets.
    create : bool
        Whether it will be written to.
    snapshot : str
        An earlier state of an Icechunk repository, by its id; the latest by default.

    Raises
    ------
    ConfigError
        If Icechunk is not installed, or a snapshot is asked of a plain store.
    StoreAccessError
        If there are no credentials, or the place cannot be reached.
    """
    if is_transactional(url):
        return IcechunkBlobs(url, options, create=create, snapshot=snapshot)
    if snapshot:
        raise ConfigError(f"{url} is a plain store and has no snapshots: those of Icechunk begin with {ICECHUNK}")
    return Blobs(url, options, create=create)


def history(url: str, /, **options: str) -> list[Snapshot]:
    """The states that a store on Icechunk has had, the latest first.

    Parameters
    ----------
    url : str
        The store, ``icechunk+…``.
    **options
        Endpoint options without secrets.

    Raises
    ------
    ConfigError
        If it is a plain store, or Icechunk is not installed.
    """
    if not is_transactional(url):
        raise ConfigError(f"{url} is a plain store and has no history: those of Icechunk begin with {ICECHUNK}")
    return IcechunkBlobs(url, options).history()
