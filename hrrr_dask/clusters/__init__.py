"""Connects to Dask clusters or starts them: on this machine, at a scheduler's address, or in Kubernetes pods.

``parse_cluster`` makes a frozen value from the settings, and ``open_client`` a client from that value. Uses only
`errors` and `malloc`. Promises that what it starts is stopped, whatever happens.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import yaml
from distributed import Client

from hrrr_dask.clusters import address, local, signals
from hrrr_dask.clusters.clients import check_client
from hrrr_dask.clusters.spec import AddressSpec, KubernetesSpec, LocalSpec, parse_cluster
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import ConfigError

__all__ = [
    "check_client",
    "check_workers",
    "manifest_yaml",
    "open_client",
    "parse_cluster",
    "retry_worker_calls",
    "signals",
]

MAX_ATTEMPTS: Final = 5
"""Maximum attempts of a request to all workers, if some of them stop meanwhile."""

RETRY_S: Final = 0.2
"""Time for the scheduler to notice that a worker has stopped [s]."""

Result = TypeVar("Result")


def open_client(spec: LocalSpec | AddressSpec | KubernetesSpec) -> AbstractContextManager[Client]:
    """Connect to a cluster or start one; a cluster started here is stopped at the end.

    Parameters
    ----------
    spec : LocalSpec, AddressSpec or KubernetesSpec
        Result of :func:`parse_cluster`.

    Raises
    ------
    ConfigError
        If something that it needs is not installed or configured.
    RunError
        If the cluster does not start or respond, or has other versions than this machine.
    """
    if isinstance(spec, LocalSpec):
        return local.start_cluster(spec)
    if isinstance(spec, AddressSpec):
        return address.connect(spec)
    from hrrr_dask.clusters import kubernetes  # noqa: PLC0415  an optional dependency

    return kubernetes.start_cluster(spec)


def manifest_yaml(settings: Mapping[str, Any]) -> str:
    """Return the manifest of ``--cluster kubernetes`` as YAML, without sending it.

    Raises
    ------
    ConfigError
        If the settings name another kind of cluster, or are invalid.
    """
    spec = parse_cluster(settings)
    if not isinstance(spec, KubernetesSpec):
        raise ConfigError(
            f"--dry-run prints the manifest of --cluster kubernetes, and --cluster {settings['cluster']} has none: "
            f"`hrrr-dask plan` prints what would be done"
        )
    from hrrr_dask.clusters import kubernetes  # noqa: PLC0415  an optional dependency

    return yaml.safe_dump_all(kubernetes.build_checked_manifest(spec), sort_keys=False)


def retry_worker_calls(call: Callable[[], Result]) -> Result:
    """Call a function that contacts every worker; retry if a worker stopped meanwhile.

    Raises
    ------
    OSError
        If that happens repeatedly, or the scheduler is lost.
    """
    for _ in range(MAX_ATTEMPTS - 1):
        try:
            return call()
        except OSError:  # a worker that stops closes its connection
            time.sleep(RETRY_S)
    return call()
