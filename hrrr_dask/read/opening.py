"""Opens a store as an xarray dataset."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zarr.storage import ObjectStore

from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.icechunk import IcechunkBlobs
from hrrr_dask.objects.zarr_stores import ForkableStore
from hrrr_dask.store.existing import Existing, find_store, open_existing_blobs, refuse_copy

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["load_existing", "open_dataset"]


def open_dataset(url: str, /, *, chunks: Any = None, snapshot: str = "", **options: str) -> xr.Dataset:
    """Open a store as a lazy dataset with the accessor ``ds.hrrr``, from the first requested day on.

    A copy, such as ``ds.to_zarr`` makes of this dataset or a selection of it, is opened with all that it holds.

    Parameters
    ----------
    url : str
        A directory, or a URL such as ``s3://bucket/prefix``.
    chunks : int, dict, 'auto' or None
        None reads lazily without Dask, which is fastest for a few points; ``{}`` makes one Dask task per chunk.
    snapshot : str
        Identifier of an earlier state of a store on Icechunk; :func:`hrrr_dask.objects.transactions.history` lists
        them.
    **options
        Endpoint options without secrets, such as ``endpoint="http://localhost:9000"``.

    Returns
    -------
    xarray.Dataset
        Variables with dims ``(init_time, lead_time, point)``, float32, in the units of their attributes; ``point``
        can be selected by ``point_id``: ``ds.sel(point_id="kboi")``. Further columns of the points are coordinates
        along ``point``, as are ``cell_elevation`` [m] and ``cell_is_land`` [1] of the nearest grid cells.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at the URL, or no such snapshot.
    ConfigError
        If Icechunk is needed and not installed, or a snapshot of a plain store is requested.
    StoreAccessError
        If the URL cannot be read.
    """
    blobs = open_existing_blobs(url, options, snapshot)
    existing = None if blobs is None else find_store(blobs)
    if blobs is None or existing is None:
        raise _no_store(url)
    import xarray as xr  # noqa: PLC0415  workers write without it: half their start-up time

    import hrrr_dask.read.accessor  # noqa: F401, PLC0415  gives datasets their accessor

    if isinstance(blobs, IcechunkBlobs):  # has the documents of all arrays in one object of its own
        dataset = xr.open_zarr(ForkableStore(blobs.reading()), chunks=chunks, consolidated=False, zarr_format=3)
    else:
        store = ForkableStore(ObjectStore(open_object_store(url, options), read_only=True))
        dataset = xr.open_zarr(store, chunks=chunks, consolidated=True, zarr_format=3)
    labelled: xr.Dataset = dataset
    if "point_id" in dataset.coords and dataset.point_id.ndim:
        labelled = dataset.set_xindex("point_id")
    return labelled.isel(init_time=existing.requested) if _has_own_axis(labelled, existing) else labelled


def _has_own_axis(dataset: xr.Dataset, existing: Existing) -> bool:
    """Return whether the init_time axis is the store's: a copy has the attributes of the store, and any axis."""
    times, n_init = dataset.indexes.get("init_time"), existing.n_days * len(existing.axis.cycles)
    document = existing.documents.get("init_time", {})  # of the same moment as the settings: the dataset may be longer
    return times is not None and document.get("shape") == [n_init] and times[0] == existing.axis.init_time(0)


def load_existing(url: str, options: Mapping[str, str]) -> Existing:
    """Load the metadata of a store that has a ledger.

    Raises
    ------
    StoreMismatchError
        If there is no store, or a copy without the ledger.
    """
    blobs = open_existing_blobs(url, options)
    existing = None if blobs is None else find_store(blobs)
    if blobs is None or existing is None:
        raise _no_store(url)
    refuse_copy(blobs)
    return existing


def _no_store(url: str) -> StoreMismatchError:
    return StoreMismatchError(f"{url} holds no store: check the URL, or make one with hrrr-dask backfill")
