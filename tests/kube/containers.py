"""Runs a container as a process: its command, environment, files, start, probes and stop."""

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
from support.paths import pythonpath

from kube.network import real_port
from kube.services import find_port

POD_NETWORK = Path(__file__).parent / "pod_network"
PROBE_INTERVAL_S = 0.3
"""Interval between two probes of a container that is not ready [s]."""


class MissingError(Exception):
    """A ConfigMap or a Secret of a container does not exist."""


class Environment:
    """Environment of the containers of a pod."""

    def __init__(self, store, pod, address, directory, network, image):
        self._store, self._pod, self._address = store, pod, address
        self._directory, self._network, self._image = directory, network, image

    def variables(self, container):
        """Return the variables of a container: those of the pod's network, then its own."""
        found = {
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "HOME": str(self._directory),
            "HOSTNAME": self._pod["metadata"]["name"],
            "PYTHONPATH": pythonpath(POD_NETWORK),
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
                value = self._resolve_reference(container, variable["valueFrom"])
            found[variable["name"]] = _expand(value, found)
        return {name: self._on_this_machine(value) for name, value in found.items()}

    def command(self, container, variables):
        """Return the command line, as the entrypoint of the image would run it."""
        words = [*container.get("command", ()), *container.get("args", ())]
        return [self._on_this_machine(_expand(word, variables)) for word in words]

    def write_volumes(self):
        """Write ConfigMaps and Secrets as files."""
        for volume in self._pod["spec"].get("volumes", ()):
            for kind, key in (("ConfigMap", "configMap"), ("Secret", "secret")):
                if key in volume:
                    name = volume[key].get("name") or volume[key].get("secretName")
                    place = self._directory / "volumes" / volume["name"]
                    place.mkdir(parents=True, exist_ok=True)
                    for file, text in self._data(kind, name).items():
                        (place / file).write_text(text)

    def _on_this_machine(self, word):
        """Map paths of the image and of mounted volumes to paths of this machine."""
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
                try:
                    return self._data(kind, source[key]["name"])
                except MissingError:
                    if not source[key].get("optional"):
                        raise
        return {}

    def _resolve_reference(self, container, source):
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
        item = self._store.items.get(self._store.key(self._store.find_resource(kind), namespace, name))
        if item is None:
            raise MissingError(f'{kind.lower()} "{name}" not found')
        data = item.get("data", {})
        if kind == "ConfigMap":
            return dict(data)
        return {key: base64.b64decode(value).decode() for key, value in data.items()} | item.get("stringData", {})


def _expand(word, variables):
    return re.sub(r"\$\(([\w.]+)\)", lambda match: variables.get(match[1], match[0]), word)


async def start(words, variables, log, directory):
    """Start the process of a container in its own process group; None, with the error in its log, if that fails."""
    with log.open("ab") as out:
        try:
            return await asyncio.create_subprocess_exec(
                *words, env=variables, cwd=directory, stdout=out, stderr=out, start_new_session=True
            )
        except OSError as error:
            out.write(f"{error}\n".encode())
            return None


async def end(process, grace_s):
    """Send SIGTERM to the process, and SIGKILL to its group after the grace period."""
    if process is None:
        return
    with contextlib.suppress(ProcessLookupError):
        if grace_s and process.returncode is None:
            process.send_signal(signal.SIGTERM)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), grace_s)
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


async def probe(pod, container, address, report):
    """Call ``report`` with whether a container is ready, after each probe."""
    wanted = container.get("readinessProbe", {}).get("httpGet")
    if wanted is None:
        report(True)
        return
    number = wanted["port"] if isinstance(wanted["port"], int) else find_port(pod, wanted["port"])
    url = f"http://{address}:{real_port(number)}{wanted.get('path', '/')}"
    patience = aiohttp.ClientTimeout(total=container["readinessProbe"].get("timeoutSeconds", 1))
    async with aiohttp.ClientSession(timeout=patience) as session:
        while True:
            try:
                async with session.get(url) as response:
                    ready = response.status < 400
            except (aiohttp.ClientError, OSError, TimeoutError):
                ready = False
            report(ready)
            await asyncio.sleep(container["readinessProbe"].get("periodSeconds", 10) if ready else PROBE_INTERVAL_S)
