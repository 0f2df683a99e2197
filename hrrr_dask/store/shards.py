"""One whole shard of one array to the bytes of its object and back: zarr works on a dictionary. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any, Final

import google_crc32c
import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer, default_buffer_prototype
from zarr.storage import MemoryStore

__all__ = ["decode_shard", "encode_shard", "shard_shape"]


def shard_shape(document: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of what one object of an array holds.

    Parameters
    ----------
    document : mapping
        The array's ``zarr.json``.
    """
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def encode_shard(document: Mapping[str, Any], values: NDArray[Any]) -> bytes:
    """Encode a whole shard; equal values give equal bytes.

    A shard of fill values alone is an object too: what is committed can be told from what was lost.

    Parameters
    ----------
    document : mapping
        The array's ``zarr.json``.
    values : ndarray
        Of the shard's shape.

    Raises
    ------
    ValueError
        If the values are not a whole shard: half a shard is never written.
    """
    shape = shard_shape(document)
    if values.shape != shape:
        raise ValueError(f"values of shape {values.shape} are not a whole shard of {shape}")
    sharded = document["codecs"][0]["name"] == "sharding_indexed"
    if not sharded and (values == document["fill_value"]).all():
        # zarr leaves out a chunk of nothing but the fill value, which is no part of the bytes: name another one.
        document = {**document, "fill_value": document["fill_value"] + 1}
    objects = _alone(document)
    zarr.open_array(MemoryStore(objects), mode="r+")[...] = values
    found = objects.get(_key(shape))
    return _empty_shard(document) if found is None else bytes(found.to_bytes())


def decode_shard(document: Mapping[str, Any], data: bytes) -> NDArray[Any]:
    """The reverse of :func:`encode_shard`.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        As zarr does when the bytes are damaged.
    """
    if not data:
        raise ValueError("it is empty")  # zarr would take it for a shard that is not there
    objects = _alone(document)
    objects[_key(shard_shape(document))] = _buffer(data)
    values: NDArray[Any] = np.asarray(zarr.open_array(MemoryStore(objects), mode="r")[...])
    return values


def fill_shard(document: Mapping[str, Any]) -> NDArray[Any]:
    """The values of a shard that is not there."""
    values: NDArray[Any] = np.asarray(zarr.open_array(MemoryStore(_alone(document)), mode="r")[...])
    return values


def _alone(document: Mapping[str, Any]) -> dict[str, Buffer]:
    """An array that is just one shard large."""
    return {"zarr.json": _buffer(json.dumps({**document, "shape": list(shard_shape(document))}).encode())}


def _key(shape: tuple[int, ...]) -> str:
    return "c/" + "/".join("0" * len(shape))


def _buffer(data: bytes) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(data)


_ABSENT: Final = b"\xff" * 16
"""Offset and length of an inner chunk that a shard does not have (Zarr 3 sharding codec, version 1.0)."""


def _empty_shard(document: Mapping[str, Any]) -> bytes:
    inner = document["codecs"][0]["configuration"]["chunk_shape"]
    n_chunks = prod(whole // part for whole, part in zip(shard_shape(document), inner, strict=True))
    table: bytes = _ABSENT * n_chunks
    checksum: int = google_crc32c.value(table)
    return table + checksum.to_bytes(4, "little")
