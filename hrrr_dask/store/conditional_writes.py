"""Writes objects that several writers may change: a conditional PUT, repeated from a new read after a conflict."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from hrrr_dask.errors import StoreConflictError, StoreError
from hrrr_dask.ledger.ledger import LEDGER_PREFIX
from hrrr_dask.objects.objects import Blobs
from hrrr_dask.store.shards import decode_shard, encode_shard, fill_shard

__all__ = ["AT_ONCE", "TRIES", "decode_found", "pause", "put_if_unchanged", "read_shard", "update_shard"]

TRIES: Final = 50
"""Maximum attempts to write one object against other writers."""

_PAUSE_S: Final = 0.02
"""Mean pause of a writer after a conflict [s]."""

AT_ONCE: Final = 8
"""Small objects read or written concurrently."""


def put_if_unchanged(blobs: Blobs, key: str, data: bytes, found: tuple[bytes, str] | None) -> None:
    """Write an object if it is unchanged since it was read.

    Raises
    ------
    StoreConflictError
        If another writer changed it first.
    """
    if found is None:
        blobs.put_new(key, data)
    else:
        blobs.replace(key, data, found[1])


def read_shard(blobs: Blobs, key: str, document: Mapping[str, Any]) -> tuple[NDArray[Any], tuple[bytes, str] | None]:
    """Read a shard: its values, and its object with the entity tag; fill values and None if it does not exist.

    Raises
    ------
    StoreError
        If it cannot be read.
    """
    found = blobs.get_with_etag(key)
    return decode_found(blobs, key, document, found), found


def decode_found(blobs: Blobs, key: str, document: Mapping[str, Any], found: tuple[bytes, str] | None) -> NDArray[Any]:
    """Decode a shard that was read with its entity tag; fill values if it does not exist.

    Raises
    ------
    StoreError
        If it cannot be decoded.
    """
    if found is None:
        return fill_shard(document).copy()
    try:
        return decode_shard(document, found[0]).copy()
    except (ValueError, RuntimeError, TypeError) as error:
        raise StoreError(
            f"the shard {blobs.url}/{key} cannot be read: {error}. Remove it and the ledger's entries below "
            f"{LEDGER_PREFIX}/{int(key.split('/')[2]):06d} to have the partition read from the archive again"
        ) from error


def update_shard(
    blobs: Blobs, key: str, document: Mapping[str, Any], change: Callable[[NDArray[np.float32]], list[bool]]
) -> tuple[int, list[bool]]:
    """Change a shard in place, repeated after conflicts; returns the bytes written and the result of ``change``."""
    for _ in range(TRIES):
        shard, found = read_shard(blobs, key, document)
        before = shard.copy()
        answer = change(shard)
        if found is not None and np.array_equal(shard.view(np.uint32), before.view(np.uint32)):
            return 0, answer
        data = encode_shard(document, shard)
        try:
            put_if_unchanged(blobs, key, data, found)
        except StoreConflictError:
            pause()
            continue
        return len(data), answer
    raise StoreConflictError(f"{blobs.url}/{key} is being written by too many other commands: run the command again")


def pause() -> None:
    """Wait a moment after a conflict with another writer."""
    time.sleep(random.uniform(0.5, 1.5) * _PAUSE_S)  # noqa: S311  only to keep two writers out of step
