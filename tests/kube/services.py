"""Services: an address for each, the names that pods know, and the way from the address to ready pods."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kube.network import Network, true_port
from kube.selectors import is_ready


class Services:
    """Keeps the names' file and the listening sockets as the services are."""

    def __init__(self, store, hosts: Path, network: Network):
        self._store, self._hosts, self._network = store, hosts, network
        self._servers, self._backends = {}, {}
        self._write_hosts()

    async def run(self):
        box = self._store.listen()
        while True:
            await self._look()
            await box.get()
            await asyncio.sleep(0.02)
            while not box.empty():
                box.get_nowait()

    async def _look(self):
        for service in self._store.list("Service"):
            if not service["spec"].get("clusterIP"):
                self._give_address(service)
        self._write_hosts()
        wanted = {}
        for service in self._store.list("Service"):
            for port in service["spec"].get("ports", ()):
                backends = list(self._ready(service, port["targetPort"]))
                if backends and service["spec"].get("clusterIP") != "None":
                    wanted[service["spec"]["clusterIP"], true_port(port["port"])] = backends
        for key in set(self._servers) - set(wanted):
            self._servers.pop(key).close()  # and connections are refused, as by kube-proxy
        self._backends = wanted
        for key in set(wanted) - set(self._servers):
            self._servers[key] = await asyncio.start_server(self._joiner(key), *key)

    def _give_address(self, service):
        address = self._network.service()
        meta, resource = service["metadata"], self._store.of("Service")
        place = (resource, meta["namespace"], meta["name"])
        self._store.update(*place, lambda old: {**old, "spec": old["spec"] | {"clusterIP": address}})
        self._store.update(*place, lambda old: {**old, "status": {"loadBalancer": {}}}, part="status")

    def _write_hosts(self):
        lines = []
        for service in self._store.list("Service"):
            name, namespace = (service["metadata"][key] for key in ("name", "namespace"))
            address = service["spec"].get("clusterIP")
            if address and address != "None":
                lines.append(f"{address} {name}.{namespace} {name}.{namespace}.svc.cluster.local {name}\n")
        half = self._hosts.with_suffix(".new")
        half.write_text("".join(lines))
        half.replace(self._hosts)

    def _ready(self, service, target):
        wanted = service["spec"].get("selector") or {}
        for pod in self._store.list("Pod", service["metadata"]["namespace"]):
            labels = pod["metadata"].get("labels") or {}
            if wanted and wanted.items() <= labels.items() and is_ready(pod):
                number = target if isinstance(target, int) else port_named(pod, target)
                if number and not pod["metadata"].get("deletionTimestamp"):
                    yield pod["status"]["podIP"], true_port(number)

    def _joiner(self, key):
        async def join(reader, writer):
            try:
                other_reader, other_writer = await asyncio.open_connection(*random.choice(self._backends[key]))
            except (KeyError, OSError):
                writer.close()
                return
            await asyncio.gather(pumped(reader, other_writer), pumped(other_reader, writer))

        return join


def port_named(pod, name):
    """The number of a container's port; None when there is none of that name."""
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports", ()))
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)


async def pumped(reader, writer):
    """Copy bytes until one side ends."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side was killed, which is what some tests are about
    finally:
        writer.close()
