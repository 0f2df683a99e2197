"""The node: it takes pods as long as it has CPUs for them, runs them as processes, and says how they are."""

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
"""Images that no registry has."""

MOST_GRACE_S = 15
BACK_OFF_S = 1.0


class Kubelet:
    """Looks after the pods of a store.

    Parameters
    ----------
    store : Store
        Where they are.
    directory : Path
        Each has a directory of its own below it, with its logs.
    network : Network
        Where pods get addresses from.
    hosts : Path
        Names of services.
    cpus : float
        Of the node.
    image : dict
        Path in our image to the path of the same on this machine.
    """

    def __init__(self, store, directory: Path, network: Network, hosts: Path, cpus: float, image: dict[str, str]):
        self.store, self.directory, self.image = store, directory, image
        self.variables = network.environment(hosts)
        self._network, self._cpus, self._runs = network, cpus, {}
        store.create(store.of("Node"), None, {"metadata": {"name": NODE}})

    async def run(self):
        box = self.store.listen()
        try:
            while True:
                self._look()
                await box.get()
                await asyncio.sleep(0.02)
                while not box.empty():
                    box.get_nowait()
        finally:
            for run in self._runs.values():
                run.stop(0)
            await asyncio.gather(*(run.task for run in self._runs.values()), return_exceptions=True)

    def _look(self):
        pods = {pod["metadata"]["uid"]: pod for pod in self.store.list("Pod")}
        for uid, pod in pods.items():
            leaving = pod["metadata"].get("deletionTimestamp")
            if uid in self._runs and leaving:
                self._runs[uid].stop(min(pod["metadata"]["deletionGracePeriodSeconds"], MOST_GRACE_S))
            elif uid not in self._runs and not leaving and pod["status"]["phase"] == "Pending" and self._has_room(pod):
                self._runs[uid] = PodRun(self, pod, self._network.pod())
        for uid in set(self._runs) - set(pods):
            self._runs[uid].stop(0)  # deleted by force
            if self._runs[uid].task.done():
                del self._runs[uid]

    def _has_room(self, pod):
        """Whether the scheduler puts it here; it says so."""
        running = [self.store.items.get(run.key) for run in self._runs.values()]
        taken = sum(_cpus_of(each) for each in running if each and each["status"]["phase"] not in ENDED)
        if _cpus_of(pod) <= self._cpus - taken:
            return True
        text = "0/1 nodes are available: 1 Insufficient cpu."
        condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": text}
        if condition not in pod["status"].get("conditions", ()):
            self.say(pod, {"phase": "Pending", "conditions": [condition]})
            self.store.event(pod, "FailedScheduling", text, "Warning")
        return False

    def say(self, pod, status):
        """Write a pod's status, unless it is gone."""
        meta = pod["metadata"]
        try:
            self.store.update(
                self.store.of("Pod"),
                meta["namespace"],
                meta["name"],
                lambda old: {**old, "status": status, "spec": old["spec"]},
                part="status",
            )
        except RefusedError as refusal:
            log.info("status of %s: %s", meta["name"], refusal)


class PodRun:
    """One pod's life on the node."""

    def __init__(self, kubelet: Kubelet, pod, address: str):
        meta = pod["metadata"]
        self._kubelet, self._pod, self._address = kubelet, pod, address
        self._store = kubelet.store
        self.key = self._store.key(self._store.of("Pod"), meta["namespace"], meta["name"])
        self._directory = kubelet.directory / meta["name"]
        self._directory.mkdir(parents=True, exist_ok=True)
        self._environment = Environment(self._store, pod, address, self._directory, kubelet.variables, kubelet.image)
        self._said, self._statuses = None, {}
        self._grace_s, self._stopping = 0, False
        place = (self._store.of("Pod"), meta["namespace"], meta["name"])
        self._store.update(*place, lambda old: {**old, "spec": old["spec"] | {"nodeName": NODE}})
        self._store.event(pod, "Scheduled", f"Successfully assigned {meta['name']} to {NODE}")
        self.task = asyncio.create_task(self._live())

    def stop(self, grace_s):
        """End its containers, once; the sooner the later it is told again."""
        if not self._stopping or grace_s < self._grace_s:
            self._grace_s, self._stopping = grace_s, True
            log.info("pod %s is to end within %s s", self.key[3], grace_s)
            self.task.cancel()

    async def _live(self):
        containers = self._pod["spec"]["containers"]
        codes = []
        try:
            codes = await asyncio.gather(*(self._contain(container) for container in containers))
            self._say("Failed" if any(codes) else "Succeeded")
        except asyncio.CancelledError:
            log.info("pod %s has ended", self.key[3])
            self._say("Failed" if any(codes) else "Succeeded")
            if self.key in self._store.items:
                self._store.delete(self._store.of("Pod"), self.key[2], self.key[3], grace_s=0)

    async def _contain(self, container):
        """Run it again and again as the pod's restartPolicy says; its last exit code."""
        policy = self._pod["spec"].get("restartPolicy", "Always")
        await self._pull(container)
        restarts, pause_s = 0, BACK_OFF_S
        while True:
            code = await self._once(container, restarts)
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
        """Wait for ever for an image that is nowhere."""
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

    async def _once(self, container, restarts):
        variables = await self._prepared(container)
        words = self._environment.command(container, variables)
        process = await start(words, variables, self._directory / f"{container['name']}.log", self._directory)
        began = {"running": {"startedAt": now()}}
        self._set(container, ready=False, restartCount=restarts, started=True, state=began)
        probing = asyncio.create_task(
            probe(self._pod, container, self._address, lambda ready: self._set(container, ready=ready))
        )
        code = 127
        try:
            code = await process.wait() if process else code
        finally:
            probing.cancel()
            await asyncio.shield(asyncio.ensure_future(self._ended(container, process)))
        code = code if code >= 0 else 128 - code
        ended = {"exitCode": code, "reason": "Error" if code else "Completed", "finishedAt": now()}
        self._set(container, ready=False, state={"terminated": ended}, lastState={"terminated": ended})
        return code

    async def _ended(self, container, process):
        """Its whole group, within the grace that was given."""
        await end(process, self._grace_s)
        if process is not None and self._stopping:
            code = process.returncode if process.returncode >= 0 else 128 - process.returncode
            self._set(container, ready=False, state={"terminated": {"exitCode": code, "finishedAt": now()}})

    async def _prepared(self, container):
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
        self._say("Running" if running or restarted else "Pending")

    def _say(self, phase):
        statuses = list(self._statuses.values())
        complete = len(statuses) == len(self._pod["spec"]["containers"])
        ready = phase == "Running" and complete and all(status["ready"] for status in statuses)
        spelled = {True: "True", False: "False"}
        status = {
            "phase": phase,
            "podIP": self._address,
            "podIPs": [{"ip": self._address}],
            "hostIP": "127.0.0.1",
            "conditions": [
                {"type": "PodScheduled", "status": "True"},
                {"type": "Initialized", "status": "True"},
                {"type": "ContainersReady", "status": spelled[ready]},
                {"type": "Ready", "status": spelled[ready]},
            ],
            "containerStatuses": statuses,
        }
        if status != self._said:
            self._said = status
            self._kubelet.say(self._pod, status)


def _cpus_of(pod):
    total = 0.0
    for container in pod["spec"]["containers"]:
        asked = str(container.get("resources", {}).get("requests", {}).get("cpu", "0"))
        total += float(asked[:-1]) / 1000 if asked.endswith("m") else float(asked)
    return total
