"""The Zarr store: made once from its template, grown by metadata, written in whole shards, opened by anybody.

Together with the ledger this is all that writes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from zarr.storage import ObjectStore

from hrrr_dask.assemble import Slab
from hrrr_dask.blobs import Blobs
from hrrr_dask.config import Selection
from hrrr_dask.errors import StoreConflictError, StoreError, StoreMismatchError
from hrrr_dask.existing import Existing, find_store, find_store_at
from hrrr_dask.ledger import LEDGER_PREFIX, Ledger, fold
from hrrr_dask.outcomes import COMPLETE, NOT_INGESTED, NOT_OFFERED
from hrrr_dask.planning import Axis, offered
from hrrr_dask.shards import decode_array, encode_array
from hrrr_dask.storage import open_object_store
from hrrr_dask.template import (
    ROOT_KEY,
    StoreSpec,
    build_template,
)

if TYPE_CHECKING:
    import xarray as xr

__all__ = ["Store", "fold_outcomes", "open_dataset"]

CLAIM_KEY: Final = ".hrrr/claim.json"
"""The root document as it will be, put by whoever makes the store before anything else."""

GROW_ATTEMPTS: Final = 20
"""How often growing is tried against other writers."""


class Store:
    """A store to write to. Nothing is read or written until a method is called.

    Parameters
    ----------
    url : str
        Directory, or ``s3://bucket/prefix`` and the like.
    options : mapping of str to str
        Its endpoint, without secrets.
    spec : StoreSpec
        What it is; ``n_days`` is 0 for a store that is to be made.
    """

    def __init__(self, url: str, options: Mapping[str, str], spec: StoreSpec) -> None:
        self.url = url
        self.options = dict(options)
        self.spec = spec

    @cached_property
    def blobs(self) -> Blobs:
        """Its objects."""
        return Blobs(self.url, self.options, create=True)

    @property
    def ledger(self) -> Ledger:
        """What was done."""
        return Ledger(self.blobs)

    def ready(self, n_days: int, package_version: str) -> Store:
        """Make the store, or let it grow, as far as it must reach.

        Parameters
        ----------
        n_days : int
            Days that the init_time axis must have at least [d].
        package_version : str
            Recorded in a new store.
        """
        if self.spec.n_days:
            return self.grow(n_days)
        made = Store(self.url, self.options, replace(self.spec, n_days=n_days))
        made.create(package_version)
        return made

    def create(self, package_version: str) -> None:
        """Claim the place, then write every document, the root last.

        A creation that is killed leaves no root: nothing can open it, and the same command begins anew.

        Raises
        ------
        StoreConflictError
            If another command makes another store there.
        """
        documents = build_template(self.spec, package_version)
        self._claim(documents[ROOT_KEY])
        self.blobs.put(".hrrr/README", _README.encode())
        *parts, (root_key, root) = documents.items()
        for key, data in parts:
            self.blobs.put(key, data)
        try:
            self.blobs.put_new(root_key, root)
        except StoreConflictError:  # the same command, given twice, wrote the same documents
            if self.blobs.get(root_key) != root:
                raise

    def _claim(self, root: bytes) -> None:
        """Only who holds the claim writes: the coordinates of another store must not land under this one's root."""
        try:
            self.blobs.put_new(CLAIM_KEY, root)
        except StoreConflictError:
            if self.blobs.get(CLAIM_KEY) != root:
                raise StoreConflictError(
                    f"another command makes another store at {self.url}: wait for it and run again. If none "
                    f"does, it was killed: give that command again, or remove {self.url}"
                ) from None

    def grow(self, n_days: int) -> Store:
        """Let the init_time axis reach further: a change of metadata, the root document last.

        Parameters
        ----------
        n_days : int
            Days that the axis must have at least [d]; it never shrinks.

        Returns
        -------
        Store
            With the grown specification.

        Raises
        ------
        StoreConflictError
            If other writers were faster too often.
        """
        self._existing().check_writer(self.spec)
        lost = False
        for _ in range(GROW_ATTEMPTS):
            found = self.blobs.get_with_etag(ROOT_KEY)
            if found is None:
                raise StoreError(f"{self.url} lost its root document while it was in use")
            data, etag = found
            settings = json.loads(data)["attributes"]["hrrr_dask"]
            grown = Store(self.url, self.options, replace(self.spec, n_days=max(n_days, settings["n_days"])))
            if grown.spec.n_days == settings["n_days"] and not lost:
                return grown
            *parts, (_, root) = build_template(grown.spec, settings["package_version"]).items()
            for key, part in parts:
                self.blobs.put(key, part)
            if grown.spec.n_days == settings["n_days"]:
                return grown  # the winner's root, and the parts that belong to it
            try:
                self.blobs.replace(ROOT_KEY, root, etag)
            except StoreConflictError:
                lost = True
                continue
            return grown
        raise StoreConflictError(f"{self.url} is being grown by too many writers: run the command again")

    def read_slab(self, number: int) -> Slab:
        """What is committed in a partition; NaN where nothing is.

        Values that an attempt wrote without committing them do not count.
        """
        spec = self.spec
        first = number * spec.span
        rows = self.ledger.read(number)
        codes = fold_outcomes(rows, spec.selection, spec.axis, slice(first, first + spec.span))
        values = np.full((*codes.shape, len(spec.points)), np.nan, dtype=np.float32)
        if rows.num_rows:
            existing = self._existing()
            for v, variable in enumerate(spec.selection.variables):
                values[v] = self._read_array(existing, variable.name, number)
            values[codes != COMPLETE] = np.nan
        return Slab(values, codes)

    def write_slab(self, number: int, slab: Slab) -> int:
        """Replace the shards of a partition whole; the caller commits by the ledger entry that follows.

        Returns
        -------
        int
            Bytes written [B].

        Raises
        ------
        StoreMismatchError
            If the store is no longer the one this writer knows.
        ValueError
            If the slab is not the partition's shape.
        """
        spec = self.spec
        if slab.values.shape != (*slab.outcomes.shape, len(spec.points)) or slab.outcomes.shape[1] != spec.span:
            raise ValueError(f"a slab of shape {slab.values.shape} is not a partition of {spec.span} init times")
        existing = self._existing()
        existing.check_writer(spec)
        if (number + 1) * spec.span > -(-existing.n_init // spec.span) * spec.span:
            raise ValueError(f"partition {number} lies beyond the store's {existing.n_init} init times")
        padding = -len(spec.points) % spec.layout.shard_points
        written = 0
        for v, variable in enumerate(spec.selection.variables):
            padded = np.pad(slab.values[v], ((0, 0), (0, 0), (0, padding)), constant_values=np.nan)
            written += self._put_array(existing, variable.name, padded, (number * spec.span, 0, 0))
        return written + self._put_array(existing, "status", slab.status, (number * spec.span, 0))

    def folded(self) -> NDArray[np.uint8]:
        """Outcome numbers of every value, dims (variable, init_time, lead_time)."""
        return fold_outcomes(self.ledger.read(), self.spec.selection, self.spec.axis, slice(0, self.spec.n_init))

    def _existing(self) -> Existing:
        existing = find_store(self.blobs)
        if existing is None:
            raise StoreError(f"{self.url} lost its root document while it was in use")
        return existing

    def _read_array(self, existing: Existing, name: str, number: int) -> NDArray[np.float32]:
        spec = self.spec
        document = existing.documents[name]
        blocks = -(-len(spec.points) // spec.layout.shard_points)
        keys = [f"c/{number}/0/{block}" for block in range(blocks)]
        objects = {f"c/0/0/{block}": self.blobs.get(f"{name}/{key}") for block, key in enumerate(keys)}
        shape = (spec.span, len(spec.selection.lead_hours), len(spec.points))
        try:
            found: NDArray[np.float32] = decode_array(json.dumps(document).encode(), objects, shape)
        except (ValueError, RuntimeError, TypeError) as error:
            raise StoreError(
                f"a shard of {self.url}/{name}/c/{number} cannot be read: {error}. Remove the ledger's entries below "
                f"{LEDGER_PREFIX}/{number:06d} and the shard to have the partition read from the archive again"
            ) from error
        return found

    def _put_array(self, existing: Existing, name: str, values: NDArray[Any], offset: tuple[int, ...]) -> int:
        encoded = encode_array(json.dumps(existing.documents[name]).encode(), values, offset)
        written = 0
        for key, data in encoded.items():
            if data is None:
                self.blobs.delete([f"{name}/{key}"])
            else:
                self.blobs.put(f"{name}/{key}", data)
                written += len(data)
        return written


def fold_outcomes(rows: pa.Table, selection: Selection, axis: Axis, inits: slice) -> NDArray[np.uint8]:
    """What the ledger and the catalogue say of each value.

    Parameters
    ----------
    rows : pyarrow.Table
        Of the ledger.
    selection : Selection
        What is wanted.
    axis : Axis
        The store's axis.
    inits : slice
        Part of it, from start to stop.

    Returns
    -------
    ndarray of uint8, dims (variable, init_time, lead_time)
        Outcome numbers.
    """
    names = [variable.name for variable in selection.variables]
    codes = fold(rows, axis, inits.stop, selection.lead_hours, names)[:, inits.start :]
    there = offered(selection, [axis.init_time(k) for k in range(inits.start, inits.stop)])
    codes[(codes == NOT_INGESTED) & ~there] = NOT_OFFERED
    return codes


def open_dataset(url: str, /, *, chunks: Any = None, **options: str) -> xr.Dataset:
    """Open a store for reading.

    Parameters
    ----------
    url : str
        A directory, or ``s3://bucket/prefix`` and the like.
    chunks : int, dict, 'auto' or None
        None reads lazily without Dask, which is fastest for a few points; ``{}`` makes one Dask task per chunk.
    **options
        Endpoint options without secrets, such as ``endpoint="http://localhost:9000"``.

    Returns
    -------
    xarray.Dataset
        Variables with dims ``(init_time, lead_time, point)``, float32, in the units of their attributes; ``point``
        can be selected by ``point_id``: ``ds.sel(point_id="kboi")``.

    Raises
    ------
    StoreMismatchError
        If there is no store of hrrr_dask at that place.
    StoreAccessError
        If the place cannot be read.
    """
    if find_store_at(url, options) is None:
        raise StoreMismatchError(f"{url} holds no store: check the URL, or make one with hrrr-dask backfill")
    import xarray as xr  # noqa: PLC0415  workers write without it: half their start-up time

    store = ObjectStore(open_object_store(url, options), read_only=True)
    dataset = xr.open_zarr(store, chunks=chunks, consolidated=True, zarr_format=3)
    labelled: xr.Dataset = dataset.set_xindex("point_id")
    return labelled


_README: Final = """\
hrrr_dask keeps its ledger here: one Parquet file per partition and attempt, below ledger/.
Read it with hrrr_dask.ledger.to_dataframe(url), DuckDB or pyarrow. Zarr readers do not need it.
"""
