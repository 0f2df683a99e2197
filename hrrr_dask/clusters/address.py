"""A scheduler that is there already: at an address, or where its file says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from distributed import Client

from hrrr_dask.clusters.certificates import check_certificates
from hrrr_dask.clusters.spec import AddressSpec
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import RunError

__all__ = ["connected"]

CONNECT_TIMEOUT_S: Final = 20
"""For a scheduler to answer [s]."""


@contextmanager
def connected(spec: AddressSpec) -> Iterator[Client]:
    """Connect, check, and leave the cluster as it is.

    Raises
    ------
    ConfigError
        If an encrypted one is wanted without certificates.
    RunError
        If no scheduler answers, or the cluster's versions are not this machine's.
    """
    where = spec.address or spec.scheduler_file
    if where.startswith(("tls://", "wss://")):
        check_certificates()
    target = {"address": spec.address} if spec.address else {"scheduler_file": spec.scheduler_file}
    try:
        client = Client(**target, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(
            f"no Dask scheduler answers at {where}: check it, that it runs, and with tls:// that both sides "
            f"know the same authority ({error})"
        ) from error
    with client:
        check_workers(client)
        yield client
