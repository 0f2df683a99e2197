"""Zarr stores for reading that choose their library in each process, as a dataset may be inherited by a fork."""

from __future__ import annotations

from typing import Any

import obstore.store
from zarr.abc.store import Store
from zarr.storage import FsspecStore, LocalStore, ObjectStore, WrapperStore

from hrrr_dask.objects.forks import is_lost, open_filesystem, refuse_if_lost

__all__ = ["ForkableStore"]


class ForkableStore(WrapperStore[Store]):
    """Zarr store that can be read in a forked process, too.

    Parameters
    ----------
    store : zarr.storage.ObjectStore or icechunk.IcechunkStore
        Store that is read in other processes. After a fork, Zarr's own stores are read instead of an ``ObjectStore``,
        and reading an ``IcechunkStore`` is a :class:`~hrrr_dask.errors.StoreAccessError`.
    """

    def __init__(self, store: Store) -> None:
        self._usual = store

    @property
    def _store(self) -> Store:  # type: ignore[override]  # an attribute there
        if not isinstance(self._usual, ObjectStore):
            refuse_if_lost("icechunk", "read a store on Icechunk")
            return self._usual
        return _forked(self._usual) if is_lost("obstore") else self._usual

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle what is read in other processes."""
        return ForkableStore, (self._usual,)


def _forked(store: ObjectStore[Any]) -> Store:
    if isinstance(store.store, obstore.store.LocalStore):
        return LocalStore(str(store.store.prefix), read_only=True)
    filesystem, root = open_filesystem(store.store, asynchronous=True)
    return FsspecStore(filesystem, read_only=True, path=root)
