"""Opens a store as an xarray dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from zarr.abc.store import Store
from zarr.storage import ObjectStore

from hrrr_dask.errors import StoreMismatchError
from hrrr_dask.objects.backends import open_object_store
from hrrr_dask.objects.icechunk import IcechunkBlobs
from hrrr_dask.objects.zarr_stores import ForkableStore
from hrrr_dask.store.existing import Existing, find_store, open_existing_blobs, refuse_copy
from hrrr_dask.store.settings_attribute import SETTINGS, encode_settings

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["load_existing", "open_dataset"]


def open_dataset(
    url: str | os.PathLike[str], /, *, chunks: Any = None, snapshot: str = "", **options: str
) -> xr.Dataset:
    """Open a store as a lazy dataset with the accessor ``ds.hrrr``, from the first requested day on.

    A copy, such as ``ds.to_zarr`` makes of this dataset or a selection of it, is opened with all that it holds.

    Parameters
    ----------
    url : str or path
        A directory, or a URL such as ``s3://bucket/prefix``.
    chunks : int, dict, 'auto' or None
        None reads lazily without Dask, which is fastest for a few points; ``{}`` makes one Dask task per chunk, and
        other values are those of :func:`xarray.open_dataset`. Coordinates get the chunks of the variables.
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

    Examples
    --------
    >>> ds = hrrr_dask.open_dataset("farms.zarr")
    >>> dict(ds.sizes)
    {'init_time': 4, 'lead_time': 5, 'point': 3}
    >>> ds.temperature_2m.sel(point_id="roscoe", init_time="2024-07-01T12", lead_time="6h").item()
    290.125
    """
    url = os.fspath(url)
    blobs = open_existing_blobs(url, options, snapshot)
    existing = None if blobs is None else find_store(blobs)
    if blobs is None or existing is None:
        raise _no_store(url)
    import hrrr_dask.read.accessor  # noqa: F401, PLC0415  gives datasets their accessor

    if isinstance(blobs, IcechunkBlobs):  # has the documents of all arrays in one object of its own
        dataset = _open_arrays(ForkableStore(blobs.reading()), chunks, consolidated=False)
    else:
        store = ForkableStore(ObjectStore(open_object_store(url, options), read_only=True))
        dataset = _open_arrays(store, chunks, consolidated=True)
    if isinstance(dataset.attrs.get(SETTINGS), dict):  # of a store from before, whose attributes netCDF cannot have
        dataset.attrs[SETTINGS] = encode_settings(dataset.attrs[SETTINGS])
    labelled = _names_first(dataset)
    if "point_id" in dataset.coords and dataset.point_id.ndim:
        labelled = labelled.set_xindex("point_id")
    return labelled.isel(init_time=existing.requested) if _has_own_axis(labelled, existing) else labelled


def _open_arrays(store: Store, chunks: Any, *, consolidated: bool) -> xr.Dataset:
    """Open the arrays of a store; with Dask, coordinates get the chunks of the variables.

    The store keeps coordinates in larger chunks, which are fewer requests to read, but xarray has no
    ``to_dask_dataframe`` for several kinds of chunks. Coordinates are opened in their own chunks first, as Dask has no
    automatic chunks of strings.
    """
    import xarray as xr  # noqa: PLC0415  workers write without it: half their start-up time
    from xarray.backends import ZarrStore  # noqa: PLC0415

    source = ZarrStore.open_group(store, mode="r", consolidated=consolidated, zarr_format=3)
    dataset: xr.Dataset = xr.open_dataset(source, engine="store", chunks=None if chunks is None else {})
    if chunks is None:
        return dataset
    variables = dataset.reset_coords(drop=True)
    if chunks != {}:
        variables = xr.open_dataset(source, engine="store", chunks=chunks, drop_variables=[*map(str, dataset.coords)])
        dataset = dataset.assign({name: dataset[name].copy(data=own.data) for name, own in variables.items()})
    grid = variables.unify_chunks().chunksizes
    coordinates = {name: c.variable for name, c in dataset.coords.items() if name not in dataset.xindexes}
    fitted = {name: c.chunk({dim: grid[dim] for dim in c.dims if dim in grid}) for name, c in coordinates.items()}
    return dataset.assign_coords({name: variable for name, variable in fitted.items() if variable.ndim})


def _names_first(dataset: xr.Dataset) -> xr.Dataset:
    """Put what names a point before its other coordinates: titles of plots and the text of a dataset are cut off."""
    names = (*dataset.dims, "point_id", "name", "latitude", "longitude")  # dims keep their order
    first = [name for name in names if name in dataset.coords]
    return dataset[[*first, *(name for name in dataset.variables if name not in first)]]


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
