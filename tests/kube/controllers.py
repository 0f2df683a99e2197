"""Controllers of Deployments and Jobs, and the garbage collector."""

from __future__ import annotations

import asyncio
import copy
import logging

from kube.selectors import is_ready
from kube.store import ENDED, FOREGROUND, RefusedError, now, owners_of, random_suffix

log = logging.getLogger("kube.controllers")


class Controllers:
    """Check all objects after each change; create and delete pods as needed."""

    def __init__(self, store):
        self._store = store

    async def run(self):
        queue = self._store.listen()
        while True:
            for reconcile in (self.orphans, self.deployments, self.jobs):
                try:
                    reconcile()
                except RefusedError as refusal:
                    log.warning("%s: %s", reconcile.__name__, refusal)
            await queue.get()
            await asyncio.sleep(0.02)
            while not queue.empty():
                queue.get_nowait()

    def orphans(self):
        """Delete objects whose owners are gone, or are deleted in the foreground."""
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
                meta = pod["metadata"]
                self._store.delete(self._store.find_resource("Pod"), meta["namespace"], meta["name"])
            ready = sum(is_ready(pod) for pod in live)
            self._write_status(deployment, {"replicas": wanted, "readyReplicas": ready, "availableReplicas": ready})

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
            elif reason := _failure_reason(job, by_phase["Failed"]):
                status["conditions"] = [{"type": "Failed", "status": "True", "reason": reason}]
            elif not active:
                self._make_pod(job, job["spec"]["template"])
                active = 1
            self._write_status(job, status | {"active": active})

    def _pods_of(self, owner, *, gone=False):
        pods = self._store.list("Pod", owner["metadata"]["namespace"])
        mine = [pod for pod in pods if owner["metadata"]["uid"] in owners_of(pod)]
        return [pod for pod in mine if gone or not pod["metadata"].get("deletionTimestamp")]

    def _make_pod(self, owner, template):
        meta = owner["metadata"]
        own = {key: template.get("metadata", {}).get(key, {}) for key in ("labels", "annotations")}
        reference = {"apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": meta["name"]}
        owners = [reference | {"uid": meta["uid"], "controller": True, "blockOwnerDeletion": True}]
        pod = {"metadata": own | {"name": f"{meta['name']}-{random_suffix()}", "ownerReferences": owners}}
        pod["spec"] = {"restartPolicy": "Always"} | template["spec"]
        try:
            self._store.create(self._store.find_resource("Pod"), meta["namespace"], copy.deepcopy(pod))
        except RefusedError as refusal:
            self._store.event(owner, "FailedCreate", f"Error creating: {refusal.message}", "Warning")
            raise

    def _write_status(self, item, status):
        if item.get("status") != status:
            meta = item["metadata"]
            resource = self._store.find_resource(item["kind"])
            self._store.update(
                resource, meta["namespace"], meta["name"], lambda old: {**old, "status": status}, part="status"
            )


def _failure_reason(job, failed):
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
