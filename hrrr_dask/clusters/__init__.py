"""Where the workers are: on this machine, behind a scheduler's address, or in pods of Kubernetes.

``parse_cluster`` makes a frozen value out of the settings, ``open_client`` a client out of that value; the rest of the
package asks for no more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Final, TypeVar

import yaml
from distributed import Client

from hrrr_dask.clusters import address, local
from hrrr_dask.clusters.spec import AddressSpec, KubernetesSpec, LocalSpec, parse_cluster
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import ConfigError

__all__ = ["ask_all", "check_workers", "manifest_yaml", "open_client", "parse_cluster"]

ASKED: Final = 5
"""How often all workers are asked at most, when some of them end meanwhile."""

LEFT_S: Final = 0.2
"""Until the scheduler has noticed that a worker ended [s]."""

Answer = TypeVar("Answer")


def open_client(spec: LocalSpec | AddressSpec | KubernetesSpec) -> AbstractContextManager[Client]:
    """Connect to a cluster, or start one; what was started here is stopped at the end.

    Parameters
    ----------
    spec : LocalSpec, AddressSpec or KubernetesSpec
        Of :func:`parse_cluster`.

    Raises
    ------
    ConfigError
        If what it needs is not installed or configured.
    RunError
        If the cluster does not start or answer, or runs other versions than this machine.
    """
    if isinstance(spec, LocalSpec):
        return local.started(spec)
    if isinstance(spec, AddressSpec):
        return address.connected(spec)
    from hrrr_dask.clusters import kubernetes  # noqa: PLC0415  an optional dependency

    return kubernetes.started(spec)


def manifest_yaml(settings: Mapping[str, Any]) -> str:
    """What ``--cluster kubernetes`` would send, as YAML; nothing is sent.

    Raises
    ------
    ConfigError
        If the settings name another cluster, or it cannot be made out of them.
    """
    spec = parse_cluster(settings)
    if not isinstance(spec, KubernetesSpec):
        raise ConfigError(
            f"--dry-run prints the manifest of --cluster kubernetes, and there is none for {settings['cluster']}: "
            f"`hrrr-dask plan` says what would be done"
        )
    from hrrr_dask.clusters import kubernetes  # noqa: PLC0415  an optional dependency

    return yaml.safe_dump_all(kubernetes.checked(spec), sort_keys=False)


def ask_all(ask: Callable[[], Answer]) -> Answer:
    """Do what asks every worker; again when one of them ended meanwhile.

    Raises
    ------
    OSError
        If that happens again and again, or the scheduler is lost.
    """
    for _ in range(ASKED - 1):
        try:
            return ask()
        except OSError:  # a worker that ends takes its connection with it
            time.sleep(LEFT_S)
    return ask()
