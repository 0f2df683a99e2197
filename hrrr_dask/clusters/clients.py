"""Checks a client that the user passes."""

from __future__ import annotations

from typing import Final

from distributed import Client

from hrrr_dask.errors import UsageError

__all__ = ["check_client"]

_INSTEAD: Final = "make another one, distributed.Client(…), or pass the scheduler's address, client='tcp://HOST:8786'"


def check_client(client: object) -> None:
    """Refuse what is no connected, synchronous client.

    Raises
    ------
    UsageError
        Says what to pass instead.
    """
    if not isinstance(client, Client):
        raise UsageError(
            f"client= is a distributed.Client or a scheduler's address such as 'tcp://HOST:8786', "
            f"not {type(client).__name__}: of a cluster, pass distributed.Client(cluster)"
        )
    if client.status != "running":
        found = "closed" if client.status in ("closed", "closing") else "not connected to its scheduler"
        raise UsageError(f"a connected distributed.Client is needed, and this one is {found}: {_INSTEAD}")
    if client.asynchronous:
        raise UsageError(
            f"a synchronous distributed.Client is needed, and this one is asynchronous: make it without "
            f"asynchronous=True, or pass its scheduler's address, client={client.scheduler.address!r}"
        )
