"""Puts lazy arrays into Dask chunks, so that what is computed of them stays lazy."""

from __future__ import annotations

from math import prod
from typing import Final

import xarray as xr

__all__ = ["in_chunks"]

BLOCK_BYTES: Final = 2**20
"""Size up to which chunks of the store are read together, so that a point of ten years is a few tasks [B]."""


def in_chunks(array: xr.DataArray) -> xr.DataArray:
    """Put an array into Dask chunks, unless it is. Nothing is read.

    Parameters
    ----------
    array : xarray.DataArray
        Any dims; of a dataset that was opened with ``chunks=None``, for example.

    Returns
    -------
    xarray.DataArray
        In chunks of the store, several along its first dimension if they are small.
    """
    if array.chunks is not None or not array.dims:
        return array
    stored = array.encoding.get("preferred_chunks", {})
    block = {dim: min(stored.get(dim, size), size) for dim, size in array.sizes.items()}
    first = array.dims[0]
    n_bytes = array.dtype.itemsize * prod(max(length, 1) for length in block.values())
    return array.chunk({**block, first: max(block[first], 1) * max(BLOCK_BYTES // n_bytes, 1)})
