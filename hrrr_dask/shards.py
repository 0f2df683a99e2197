"""Whole shards of one array to the bytes of objects and back: zarr works on a dictionary. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

__all__ = ["decode_array", "encode_array"]


def encode_array(document: bytes, values: NDArray[Any], offset: tuple[int, ...]) -> dict[str, bytes | None]:
    """Encode whole shards of one array.

    Parameters
    ----------
    document : bytes
        The array's ``zarr.json``.
    values : ndarray
        A slab that begins on shard borders and covers whole shards up to the array's end in every dimension.
    offset : tuple of int
        Where the slab begins in the array.

    Returns
    -------
    dict of str to (bytes or None)
        Key below the array to the object; None for a shard that holds only fill values and needs no object.

    Raises
    ------
    ValueError
        If the slab is not made of whole shards: half a shard is never written.
    """
    metadata = json.loads(document)
    shards = tuple(metadata["chunk_grid"]["configuration"]["chunk_shape"])
    if len(offset) != values.ndim or any(start % size for start, size in zip(offset, shards, strict=True)):
        raise ValueError(f"a slab at {offset} does not begin on the borders of shards {shards}")
    if any(n % size for n, size in zip(values.shape, shards, strict=True)):
        raise ValueError(f"a slab of shape {values.shape} is not made of whole shards {shards}")
    metadata["shape"] = list(values.shape)
    objects: dict[str, Buffer] = {
        "zarr.json": default_buffer_prototype().buffer.from_bytes(json.dumps(metadata).encode())
    }
    zarr.open_array(MemoryStore(objects), mode="r+")[...] = values
    first = [start // size for start, size in zip(offset, shards, strict=True)]
    encoded: dict[str, bytes | None] = {}
    for place in np.ndindex(*(n // size for n, size in zip(values.shape, shards, strict=True))):
        here = objects.get("c/" + "/".join(map(str, place)))
        there = "c/" + "/".join(str(a + b) for a, b in zip(first, place, strict=True))
        encoded[there] = None if here is None else here.to_bytes()
    return encoded


def decode_array(document: bytes, objects: Mapping[str, bytes | None], shape: tuple[int, ...]) -> NDArray[Any]:
    """Decode shards that begin at the array's origin: the reverse of :func:`encode_array`.

    Parameters
    ----------
    document : bytes
        The array's ``zarr.json``.
    objects : mapping of str to (bytes or None)
        Key below the array to the object; None where there is none.
    shape : tuple of int
        How much of them is wanted.
    """
    metadata = json.loads(document)
    metadata["shape"] = list(shape)
    make = default_buffer_prototype().buffer.from_bytes
    held = {key: make(data) for key, data in objects.items() if data is not None}
    held["zarr.json"] = make(json.dumps(metadata).encode())
    values: NDArray[Any] = np.asarray(zarr.open_array(MemoryStore(held), mode="r")[...])
    return values
