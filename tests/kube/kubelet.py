"""The node: accepts pods while it has CPUs, runs them as processes, and reports their status."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path

from kube.containers import Environment, MissingError, end, probe, start
from kube.network import Network
from kube.store import ENDED, RefusedError, now

log = logging.getLogger("kube.kubelet")

NODE = "this-machine"
MISSING_IMAGE = r"[^/]+/missing/.*"
"""Pattern of images that cannot be pulled."""

MAX_GRACE_S = 15
BACK_OFF_S = 1.0


class Kubelet:
    """Runs the pods of a store.

    Parameters
    ----------
    store : Store
        Store with the pods.
    directory : Path
        Parent of a directory for each pod, with its logs.
    network : Network
        Source of the pods' addresses.
    hosts : Path
        File with the names of services.
    cpus : float
        CPUs of the node.
    image : dict
        Path in the image to the same on this machine.
    """

    def __init__(self, store, directory: Path, network: Network, hosts: Path, cpus: float, image: dict[str, str]):
        self.store, self.directory, self.image = store, directory, image
        self.variables = network.environment(hosts)
        self._network, self._cpus, self._runs = network, cpus, {}
        store.create(store.find_resource("Node"), None, {"metadata": {"name": NODE}})

    async def run(self):
        queue = self.store.listen()
        try:
            while True:
                self._reconcile()
                await queue.get()
                await asyncio.sleep(0.02)
                while not queue.empty():
                    queue.get_nowait()
        finally:
            for run in self._runs.values():
                run.stop(0)
            await asyncio.gather(*(run.task for run in self._runs.values()), return_exceptions=True)

    def _reconcile(self):
        pods = {pod["metadata"]["uid"]: pod for pod in self.store.list("Pod")}
        for uid, pod in pods.items():
            leaving = pod["metadata"].get("deletionTimestamp")
            if uid in self._runs and leaving:
                self._runs[uid].stop(min(pod["metadata"]["deletionGracePeriodSeconds"], MAX_GRACE_S))
            elif uid not in self._runs and not leaving and pod["status"]["phase"] == "Pending" and self._has_room(pod):
                self._runs[uid] = PodRun(self, pod, self._network.pod())
        for uid in set(self._runs) - set(pods):
            self._runs[uid].stop(0)  # deleted by force
            if self._runs[uid].task.done():
                del self._runs[uid]

    def _has_room(self, pod):
        """Return whether the pod fits on the node; if not, report it in its status."""
        running = [self.store.items.get(run.key) for run in self._runs.values()]
        taken = sum(_cpus_of(each) for each in running if each and each["status"]["phase"] not in ENDED)
        if _cpus_of(pod) <= self._cpus - taken:
            return True
        text = "0/1 nodes are available: 1 Insufficient cpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
        if condition not in pod["status"].get("conditions", ()):
            self.write_status(pod, {"phase": "Pending", "conditions": [condition]})
            self.store.event(pod, "FailedScheduling", text, "Warning")
        return False

    def write_status(self, pod, status):
        """Write a pod's status, unless the pod is gone."""
        meta = pod["metadata"]
        try:
            self.store.update(
                self.store.find_resource("Pod"),
                meta["namespace"],
                meta["name"],
                lambda old: {**old, "status": status, "spec": old["spec"]},
                part="status",
            )
        except RefusedError as refusal:
            log.info("status of %s: %s", meta["name"], refusal)


class PodRun:
    """The run of one pod on the node."""

    def __init__(self, kubelet: Kubelet, pod, address: str):
        meta = pod["metadata"]
        self._kubelet, self._pod, self._address = kubelet, pod, address
        self._store = kubelet.store
        self.key = self._store.key(self._store.find_resource("Pod"), meta["namespace"], meta["name"])
        self._directory = kubelet.directory / meta["name"]
        self._directory.mkdir(parents=True, exist_ok=True)
        self._environment = Environment(self._store, pod, address, self._directory, kubelet.variables, kubelet.image)
        self._reported, self._statuses = None, {}
        self._grace_s, self._stopping = 0, False
        place = (self._store.find_resource("Pod"), meta["namespace"], meta["name"])
        self._store.update(*place, lambda old: {**old, "spec": old["spec"] | {"nodeName": NODE}})
        self._store.event(pod, "Scheduled", f"Successfully assigned {meta['name']} to {NODE}")
        self.task = asyncio.create_task(self._run())

    def stop(self, grace_s):
        """Stop its containers; a later call can only shorten the grace period."""
        if not self._stopping or grace_s < self._grace_s:
            self._grace_s, self._stopping = grace_s, True
            log.info("pod %s is to end within %s s", self.key[3], grace_s)
            self.task.cancel()

    async def _run(self):
        containers = self._pod["spec"]["containers"]
        codes = []
        try:
            codes = await asyncio.gather(*(self._run_container(container) for container in containers))
            self._write_status("Failed" if any(codes) else "Succeeded")
        except asyncio.CancelledError:
            log.info("pod %s has ended", self.key[3])
            self._write_status("Failed" if any(codes) else "Succeeded")
            if self.key in self._store.items:
                self._store.delete(self._store.find_resource("Pod"), self.key[2], self.key[3], grace_s=0)

    async def _run_container(self, container):
        """Run a container, again if the pod's restartPolicy requires it; return its last exit code."""
        policy = self._pod["spec"].get("restartPolicy", "Always")
        await self._pull(container)
        restarts, pause_s = 0, BACK_OFF_S
        while True:
            code = await self._run_once(container, restarts)
            if policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            restarts += 1
            waiting = {"waiting": {"reason": "CrashLoopBackOff", "message": f"back-off {pause_s:.0f}s restarting"}}
            self._set(container, ready=False, restartCount=restarts, state=waiting)
            text = f"Back-off restarting failed container {container['name']}"
            self._store.event(self._pod, "BackOff", text, "Warning")
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 30)

    async def _pull(self, container):
        """Wait forever if the image cannot be pulled."""
        image = container["image"]
        if not re.fullmatch(MISSING_IMAGE, image):
            return
        text = f'Failed to pull image "{image}": not found'
        self._set(container, ready=False, state={"waiting": {"reason": "ErrImagePull", "message": text}})
        self._store.event(self._pod, "Failed", text, "Warning")
        await asyncio.sleep(0.5)
        text = f'Back-off pulling image "{image}"'
        self._set(container, ready=False, state={"waiting": {"reason": "ImagePullBackOff", "message": text}})
        self._store.event(self._pod, "BackOff", text)
        await asyncio.Event().wait()

    async def _run_once(self, container, restarts):
        variables = await self._wait_for_config(container)
        words = self._environment.command(container, variables)
        process = await start(words, variables, self._directory / f"{container['name']}.log", self._directory)
        running_state = {"running": {"startedAt": now()}}
        self._set(container, ready=False, restartCount=restarts, started=True, state=running_state)
        probing = asyncio.create_task(
            probe(self._pod, container, self._address, lambda ready: self._set(container, ready=ready))
        )
        code = 127
        try:
            code = await process.wait() if process else code
        finally:
            probing.cancel()
            await asyncio.shield(asyncio.ensure_future(self._stop_process(container, process)))
        code = code if code >= 0 else 128 - code
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": now()}
        self._set(container, ready=False, state={"terminated": ended}, lastState={"terminated": ended})
        return code

    async def _stop_process(self, container, process):
        """Stop the process group of a container within the grace period."""
        await end(process, self._grace_s)
        if process is not None and self._stopping:
            code = process.returncode if process.returncode >= 0 else 128 - process.returncode
            self._set(container, ready=False, state={"terminated": {"exitCode": code, "finishedAt": now()}})

    async def _wait_for_config(self, container):
        while True:
            try:
                self._environment.write_volumes()
                return self._environment.variables(container)
            except MissingError as missing:
                waiting = {"reason": "CreateContainerConfigError", "message": str(missing)}
                self._set(container, ready=False, state={"waiting": waiting})
                self._store.event(self._pod, "Failed", f"Error: {missing}", "Warning")
                await asyncio.sleep(BACK_OFF_S)

    def _set(self, container, **changes):
        empty = {"name": container["name"], "image": container["image"], "restartCount": 0, "ready": False}
        empty["imageID"] = "none"
        self._statuses[container["name"]] = self._statuses.get(container["name"], empty) | changes
        running = any("waiting" not in status.get("state", {}) for status in self._statuses.values())
        restarted = any(status["restartCount"] for status in self._statuses.values())
        self._write_status("Running" if running or restarted else "Pending")

    def _write_status(self, phase):
        statuses = list(self._statuses.values())
        complete = len(statuses) == len(self._pod["spec"]["containers"])
        ready = phase == "Running" and complete and all(status["ready"] for status in statuses)
        as_text = {True: "True", False: "False"}
        status = {
            "phase": phase,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "hostIP": "127.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": as_text[ready]},
                {"type": "Ready", "status": as_text[ready]},
            ],
            "containerStatuses": statuses,
        }
        if status != self._reported:
            self._reported = status
            self._kubelet.write_status(self._pod, status)


def _cpus_of(pod):
    total = 0.0
    for container in pod["spec"]["containers"]:
        requested = str(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
        total += float(requested[:-1]) / 1000 if requested.endswith("m") else float(requested)
    return total
