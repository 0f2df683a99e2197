"""What Kubernetes itself keeps as it should be: Deployments, Jobs, and nothing without an owner."""

from __future__ import annotations

import asyncio
import copy
import logging

from kube.selectors import is_ready
from kube.store import ENDED, FOREGROUND, RefusedError, ending, now, owners_of

log = logging.getLogger("kube.controllers")


class Controllers:
    """Look at everything after each change; what should be there is made, what should not is deleted."""

    def __init__(self, store):
        self._store = store

    async def run(self):
        box = self._store.listen()
        while True:
            for look in (self.orphans, self.deployments, self.jobs):
                try:
                    look()
                except RefusedError as refusal:
                    log.warning("%s: %s", look.__name__, refusal)
            await box.get()
            await asyncio.sleep(0.02)
            while not box.empty():
                box.get_nowait()

    def orphans(self):
        """Delete what is owned by nothing that is there, or by what waits for its end."""
        store = self._store
        there = {item["metadata"]["uid"] for item in store.items.values()}
        for key, item in list(store.items.items()):
            meta = item["metadata"]
            if (owners := owners_of(item)) and not owners & there:
                self._delete(key)
            if FOREGROUND in meta.get("finalizers", ()):
                left = store.owned_by(item)
                for owned in left:
                    self._delete(owned)
                if not left:
                    store.update(store.resources[key[:2]], *key[2:], _without_foreground)

    def _delete(self, key):
        item = self._store.items.get(key)
        if item is not None and not item["metadata"].get("deletionTimestamp"):
            self._store.delete(self._store.resources[key[:2]], *key[2:], foreground=True)

    def deployments(self):
        for deployment in self._store.list("Deployment"):
            if deployment["metadata"].get("deletionTimestamp"):
                continue
            wanted = deployment["spec"]["replicas"]
            live = [pod for pod in self._pods_of(deployment) if pod["status"]["phase"] not in ENDED]
            for _ in range(wanted - len(live)):
                self._make_pod(deployment, deployment["spec"]["template"])
            for pod in live[wanted:]:
                self._store.delete(self._store.of("Pod"), pod["metadata"]["namespace"], pod["metadata"]["name"])
            ready = sum(is_ready(pod) for pod in live)
            self._say(deployment, {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready})

    def jobs(self):
        for job in self._store.list("Job"):
            before = job.get("status", {})
            if job["metadata"].get("deletionTimestamp") or before.get("conditions"):
                continue
            pods = self._pods_of(job, gone=True)
            by_phase = {phase: [pod for pod in pods if pod["status"]["phase"] == phase] for phase in ENDED}
            done, failed = len(by_phase["Succeeded"]), len(by_phase["Failed"])
            active = len(pods) - done - failed
            status = {"startTime": before.get("startTime", now()), "succeeded": done, "failed": failed}
            if done:
                status |= {"conditions": [{"type": "Complete", "status": "True"}], "completionTime": now()}
            elif reason := _hopeless(job, by_phase["Failed"]):
                status["conditions"] = [{"type": "Failed", "status": "True", "reason": reason}]
            elif not active:
                self._make_pod(job, job["spec"]["template"])
                active = 1
            self._say(job, status | {"active": active})

    def _pods_of(self, owner, *, gone=False):
        pods = self._store.list("Pod", owner["metadata"]["namespace"])
        mine = [pod for pod in pods if owner["metadata"]["uid"] in owners_of(pod)]
        return [pod for pod in mine if gone or not pod["metadata"].get("deletionTimestamp")]

    def _make_pod(self, owner, template):
        meta = owner["metadata"]
        own = {key: template.get("metadata", {}).get(key, {}) for key in ("labels", "annotations")}
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"]}
        owners = [reference | {"uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}]
        pod = {"metadata": own | {"name": f"{meta['name']}-{ending()}", "ownerReferences": owners}}
        pod["spec"] = {"restartPolicy": "Always"} | template["spec"]
        try:
            self._store.create(self._store.of("Pod"), meta["namespace"], copy.deepcopy(pod))
        except RefusedError as refusal:
            self._store.event(owner, "FailedCreate", f"Error creating: {refusal.message}", "Warning")
            raise

    def _say(self, item, status):
        if item.get("status") != status:
            meta = item["metadata"]
            resource = self._store.of(item["kind"])
            self._store.update(
                resource, meta["namespace"], meta["name"], lambda old: {**old, "status": status}, part="status"
            )


def _hopeless(job, failed):
    codes = {
        status["state"]["terminated"]["exitCode"]
        for pod in failed
        for status in pod["status"].get("containerStatuses", ())
        if "terminated" in status["state"]
    }
    for rule in job["spec"].get("podFailurePolicy", {}).get("rules", ()):
        wanted = rule.get("onExitCodes", {})
        if rule["action"] == "FailJob" and wanted.get("operator") == "In" and codes & set(wanted["values"]):
            return "PodFailurePolicy"
    return "BackoffLimitExceeded" if len(failed) > job["spec"].get("backoffLimit", 6) else ""


def _without_foreground(item):
    item["metadata"]["finalizers"] = [each for each in item["metadata"]["finalizers"] if each != FOREGROUND]
    return item
