"""Assigns loopback addresses to pods and services, and translates their ports.

A socket of another process that listens on all addresses, such as a Dask dashboard on 8787, would block the same port
on every address. So the well-known ports of a pod are shifted, and ``pod_network`` translates them.
"""

from __future__ import annotations

import os

OFFSET = 11_000
WELL_KNOWN = 10_000
"""Ports below this are translated; ports that a process chooses and announces are not."""


def real_port(port: int) -> int:
    """Return the port on which a pod really listens."""
    return port + OFFSET if 0 < port < WELL_KNOWN else port


def prefix_of_this_process() -> str:
    """Return a prefix of addresses that differs between two clusters on one machine."""
    return f"127.{64 + os.getpid() % 128}."


class Network:
    """Assigns consecutive addresses."""

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
        """Return the variables that ``pod_network`` reads."""
        return {"KUBE_HOSTS": str(hosts), "KUBE_NETWORK": self.prefix, "KUBE_OFFSET": str(OFFSET)}
