"""A container as a process: its command, environment and files; how it starts, is probed and ends."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import re
import signal
import sys
from pathlib import Path

import aiohttp

from kube.network import true_port
from kube.services import port_named

POD_NETWORK = Path(__file__).parent / "pod_network"
CLOSE_S = 0.3
"""Between two probes of what is not ready [s]."""


class MissingError(Exception):
    """A ConfigMap or a Secret that a container names is not there."""


class Environment:
    """What the containers of a pod find around them."""

    def __init__(self, store, pod, address, directory, network, image):
        self._store, self._pod, self._address = store, pod, address
        self._directory, self._network, self._image = directory, network, image

    def variables(self, container):
        """All of a container's; those of the pod's network, then its own."""
        found = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self._directory),
            "HOSTNAME": self._pod["metadata"]["name"],
            "PYTHONPATH": str(POD_NETWORK),
            "PYTHONDONTWRITEBYTECODE": "1",
            "KUBE_POD_IP": self._address,
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            **self._network,
        }
        for source in container.get("envFrom", ()):
            found |= self._contents(source)
        for variable in container.get("env", ()):
            value = variable.get("value", "")
            if "valueFrom" in variable:
                value = self._referred(container, variable["valueFrom"])
            found[variable["name"]] = _expanded(value, found)
        return {name: self._on_this_machine(value) for name, value in found.items()}

    def command(self, container, variables):
        """As the entrypoint of our image would run it: its arguments."""
        words = [*container.get("command", ()), *container.get("args", ())]
        return [self._on_this_machine(_expanded(word, variables)) for word in words]

    def write_volumes(self):
        """ConfigMaps and Secrets as files."""
        for volume in self._pod["spec"].get("volumes", ()):
            for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
                if key in volume:
                    name = volume[key].get("name") or volume[key].get("secretName")
                    place = self._directory / "volumes" / volume["name"]
                    place.mkdir(parents=True, exist_ok=True)
                    for file, text in self._data(kind, name).items():
                        (place / file).write_text(text)

    def _on_this_machine(self, word):
        """Paths of the image and of mounted volumes are elsewhere here."""
        places = dict(self._image)
        mapped = {v["name"] for v in self._pod["spec"].get("volumes", ()) if {"configMap", "secret"} & v.keys()}
        for container in self._pod["spec"]["containers"]:
            for mount in container.get("volumeMounts", ()):
                if mount["name"] in mapped:
                    places[mount["mountPath"]] = str(self._directory / "volumes" / mount["name"])
        for inside, outside in places.items():
            if word == inside or word.startswith(inside + "/"):
                return outside + word.removeprefix(inside)
        return word

    def _contents(self, source):
        for kind, key in (("ConfigMap", "configMapRef"), ("Secret", "secretRef")):
            if key in source:
                return self._data(kind, source[key]["name"])
        return {}

    def _referred(self, container, source):
        if "fieldRef" in source:
            meta = self._pod["metadata"]
            known = {"metadata.name": meta["name"], "metadata.namespace": meta["namespace"]}
            return (known | {"status.podIP": self._address})[source["fieldRef"]["fieldPath"]]
        if "resourceFieldRef" in source:
            limits = container.get("resources", {}).get("limits", {})
            return str(limits[source["resourceFieldRef"]["resource"].rpartition(".")[2]])
        [(key, reference)] = source.items()
        kind = "Secret" if key == "secretKeyRef" else "ConfigMap"
        return self._data(kind, reference["name"])[reference["key"]]

    def _data(self, kind, name):
        namespace = self._pod["metadata"]["namespace"]
        item = self._store.items.get(self._store.key(self._store.of(kind), namespace, name))
        if item is None:
            raise MissingError(f'{kind.lower()} "{name}" not found')
        data = item.get("data", {})
        if kind == "ConfigMap":
            return dict(data)
        return {key: base64.b64decode(value).decode() for key, value in data.items()} | item.get("stringData", {})


def _expanded(word, variables):
    return re.sub(r"\$\(([\w.]+)\)", lambda match: variables.get(match[1], match[0]), word)


async def start(words, variables, log, directory):
    """The process of a container, in a group of its own; None, with its log saying why, when it cannot start."""
    with log.open("ab") as out:
        try:
            return await asyncio.create_subprocess_exec(
                *words, env=variables, cwd=directory, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            out.write(f"{error}\n".encode())
            return None


async def end(process, grace_s):
    """First politely, then all of its group."""
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        if grace_s and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def probe(pod, container, address, said):
    """Call ``said`` with whether a container is ready, whenever that changes."""
    wanted = container.get("readinessProbe", {}).get("httpGet")
    if wanted is None:
        said(True)
        return
    number = wanted["port"] if isinstance(wanted["port"], int) else port_named(pod, wanted["port"])
    url = f"http://{address}:{true_port(number)}{wanted.get('path', '/')}"
    patience = aiohttp.ClientTimeout(total=container["readinessProbe"].get("timeoutSeconds", 1))
    async with aiohttp.ClientSession(timeout=patience) as session:
        while True:
            try:
                async with session.get(url) as answer:
                    ready = answer.status < 400
            except (aiohttp.ClientError, OSError, TimeoutError):
                ready = False
            said(ready)
            await asyncio.sleep(container["readinessProbe"].get("periodSeconds", 10) if ready else CLOSE_S)
