"""Services: assigns addresses, writes DNS names for pods, and forwards connections to ready pods."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from kube.network import Network, real_port
from kube.selectors import is_ready


class Services:
    """Keeps the file of names and the listening sockets up to date with the services."""

    def __init__(self, store, hosts: Path, network: Network):
        self._store, self._hosts, self._network = store, hosts, network
        self._servers, self._backends = {}, {}
        self._write_hosts()

    async def run(self):
        queue = self._store.listen()
        while True:
            await self._reconcile()
            await queue.get()
            await asyncio.sleep(0.02)
            while not queue.empty():
                queue.get_nowait()

    async def _reconcile(self):
        for service in self._store.list("Service"):
            if not service["spec"].get("clusterIP"):
                self._give_address(service)
        self._write_hosts()
        wanted = {}
        for service in self._store.list("Service"):
            for port in service["spec"].get("ports", ()):
                backends = list(self._ready(service, port["targetPort"]))
                if backends and service["spec"].get("clusterIP") != "None":
                    wanted[service["spec"]["clusterIP"], real_port(port["port"])] = backends
        for key in set(self._servers) - set(wanted):
            self._servers.pop(key).close()  # connections are then refused, as by kube-proxy
        self._backends = wanted
        for key in set(wanted) - set(self._servers):
            self._servers[key] = await asyncio.start_server(self._joiner(key), *key)

    def _give_address(self, service):
        address = self._network.service()
        meta, resource = service["metadata"], self._store.find_resource("Service")
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
                number = target if isinstance(target, int) else find_port(pod, target)
                if number and not pod["metadata"].get("deletionTimestamp"):
                    yield pod["status"]["podIP"], real_port(number)

    def _joiner(self, key):
        async def join(reader, writer):
            try:
                other_reader, other_writer = await asyncio.open_connection(*random.choice(self._backends[key]))
            except (KeyError, OSError):
                writer.close()
                return
            await asyncio.gather(copy_bytes(reader, other_writer), copy_bytes(other_reader, writer))

        return join


def find_port(pod, name):
    """Return the number of a container's port by its name; None if no port has it."""
    ports = (port for container in pod["spec"]["containers"] for port in container.get("ports", ()))
    return next((port["containerPort"] for port in ports if port.get("name") == name), None)


async def copy_bytes(reader, writer):
    """Copy bytes until one side closes."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass  # one side was killed, as in some tests
    finally:
        writer.close()
