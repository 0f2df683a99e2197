"""Connects to an existing scheduler, by its address or its scheduler file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import dask.config
from distributed import Client

from hrrr_dask.clusters.spec import AddressSpec
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import ConfigError, RunError

__all__ = ["connect"]

CONNECT_TIMEOUT_S: Final = 20
"""Timeout for the scheduler to respond [s]."""


@contextmanager
def connect(spec: AddressSpec) -> Iterator[Client]:
    """Connect to a cluster and check its versions; the cluster is not stopped.

    Raises
    ------
    ConfigError
        If the cluster is encrypted and certificates are missing.
    RunError
        If no scheduler responds, or the cluster has other versions than this machine.
    """
    where = spec.address or spec.scheduler_file
    if where.startswith(("tls://", "wss://")):
        _check_certificates()
    target = {"address": spec.address} if spec.address else {"scheduler_file": spec.scheduler_file}
    try:
        client = Client(**target, timeout=CONNECT_TIMEOUT_S)
    except (OSError, TimeoutError, ValueError) as error:
        raise RunError(
            f"no Dask scheduler responds at {where}: check that the address is right, that the scheduler runs, and for "
            f"tls:// that both sides trust the same authority ({error})"
        ) from error
    with client:
        check_workers(client)
        yield client


def _check_certificates() -> None:
    """Check that Dask's settings for encrypted connections name readable files.

    Raises
    ------
    ConfigError
        If not; names the setting, and the file if it cannot be read.
    """
    for name in ("ca-file", "client.cert", "client.key"):
        setting = f"distributed.comm.tls.{name}"
        path = dask.config.get(setting, None)
        if name == "client.key" and path is None:
            continue  # the key can be in the certificate's file
        variable = "DASK_" + setting.upper().replace(".", "__").replace("-", "_")
        if path is None:
            raise ConfigError(
                f"an encrypted cluster needs Dask's setting {setting}: name the PEM file there or in {variable}"
            )
        if not os.access(path, os.R_OK):
            raise ConfigError(f"Dask's setting {setting} names {path}, which cannot be read: correct it")
