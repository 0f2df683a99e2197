"""Encodes one whole shard of an array as the bytes of its object, and decodes it. Pure: zarr writes to a dictionary."""

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
    """Return the shape of one shard of an array.

    Parameters
    ----------
    document : mapping
        The array's ``zarr.json``.
    """
    return tuple(document["chunk_grid"]["configuration"]["chunk_shape"])


def encode_shard(document: Mapping[str, Any], values: NDArray[Any]) -> bytes:
    """Encode a whole shard; equal values give equal bytes.

    A shard with fill values only is an object too, so that a committed shard differs from a lost one.

    Parameters
    ----------
    document : mapping
        The array's ``zarr.json``.
    values : ndarray
        Values with the shape of the shard.

    Raises
    ------
    ValueError
        If the values are not a whole shard.
    """
    shape = shard_shape(document)
    if values.shape != shape:
        raise ValueError(f"values of shape {values.shape} are not a whole shard of {shape}")
    sharded = document["codecs"][0]["name"] == "sharding_indexed"
    if not sharded and (values == document["fill_value"]).all():
        # zarr omits a chunk with fill values only. The fill value is not part of the bytes, so use another one.
        document = {**document, "fill_value": document["fill_value"] + 1}
    objects = _one_shard_array(document)
    zarr.open_array(MemoryStore(objects), mode="r+")[...] = values
    found = objects.get(_key(shape))
    return _empty_shard(document) if found is None else bytes(found.to_bytes())


def decode_shard(document: Mapping[str, Any], data: bytes) -> NDArray[Any]:
    """Decode a shard, the reverse of :func:`encode_shard`.

    Raises
    ------
    ValueError, RuntimeError, TypeError
        As zarr raises them for damaged bytes.
    """
    if not data:
        raise ValueError("it is empty")  # zarr would treat it as a missing shard
    objects = _one_shard_array(document)
    objects[_key(shard_shape(document))] = _buffer(data)
    values: NDArray[Any] = np.asarray(zarr.open_array(MemoryStore(objects), mode="r")[...])
    return values


def fill_shard(document: Mapping[str, Any]) -> NDArray[Any]:
    """Return the values of a shard that does not exist."""
    values: NDArray[Any] = np.asarray(zarr.open_array(MemoryStore(_one_shard_array(document)), mode="r")[...])
    return values


def _one_shard_array(document: Mapping[str, Any]) -> dict[str, Buffer]:
    """Make an array that is exactly one shard large."""
    return {"zarr.json": _buffer(json.dumps({**document, "shape": list(shard_shape(document))}).encode())}


def _key(shape: tuple[int, ...]) -> str:
    return "c/" + "/".join("0" * len(shape))


def _buffer(data: bytes) -> Buffer:
    return default_buffer_prototype().buffer.from_bytes(data)


_ABSENT: Final = b"\xff" * 16
"""Offset and length of a missing inner chunk (Zarr 3 sharding codec, version 1.0)."""


def _empty_shard(document: Mapping[str, Any]) -> bytes:
    inner = document["codecs"][0]["configuration"]["chunk_shape"]
    n_chunks = prod(whole // part for whole, part in zip(shard_shape(document), inner, strict=True))
    table: bytes = _ABSENT * n_chunks
    checksum: int = google_crc32c.value(table)
    return table + checksum.to_bytes(4, "little")
