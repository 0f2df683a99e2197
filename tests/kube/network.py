"""Addresses of pods and services, on the loopback interface, and the ports behind theirs.

A socket of another process that listens everywhere, such as somebody's Dask dashboard at 8787, would be in the way of
the same port at every address. So a pod's well-known ports are others in truth, and ``pod_network`` translates.
"""

from __future__ import annotations

import os

OFFSET = 11_000
WELL_KNOWN = 10_000
"""Ports below it are translated; those that a process announces are already true."""


def true_port(port: int) -> int:
    """Where a port is listened at."""
    return port + OFFSET if 0 < port < WELL_KNOWN else port


def prefix_of_this_process() -> str:
    """So that two clusters on one machine have addresses apart."""
    return f"127.{64 + os.getpid() % 128}."


class Network:
    """The next address, always."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self._pods = self._services = 0

    def pod(self) -> str:
        self._pods += 1
        return f"{self.prefix}{self._pods // 250}.{self._pods % 250 + 1}"

    def service(self) -> str:
        self._services += 1
        return f"{self.prefix}{128 + self._services // 250}.{self._services % 250 + 1}"

    def environment(self, hosts: object) -> dict[str, str]:
        """What ``pod_network`` reads."""
        return {"KUBE_HOSTS": str(hosts), "KUBE_NETWORK": self.prefix, "KUBE_OFFSET": str(OFFSET)}
