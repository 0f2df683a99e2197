"""The objects of a cluster, their versions, and watches."""

from __future__ import annotations

import asyncio
import copy
import random
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime

from kube.checking import builtin_faults, custom_faults, name_fault, remove_nulls

NAMESPACED = """
v1 pods Pod po; v1 services Service svc; v1 configmaps ConfigMap cm; v1 secrets Secret; v1 events Event ev
v1 serviceaccounts ServiceAccount sa; apps/v1 deployments Deployment deploy
batch/v1 jobs Job; batch/v1 cronjobs CronJob cj
policy/v1 poddisruptionbudgets PodDisruptionBudget pdb; networking.k8s.io/v1 networkpolicies NetworkPolicy netpol
rbac.authorization.k8s.io/v1 roles Role; rbac.authorization.k8s.io/v1 rolebindings RoleBinding
"""
CLUSTER_SCOPED = """
v1 namespaces Namespace ns; v1 nodes Node no
apiextensions.k8s.io/v1 customresourcedefinitions CustomResourceDefinition crd
"""
ENDED = ("Succeeded", "Failed")
FOREGROUND = "foregroundDeletion"
"""Finalizer of objects that wait until everything they own is deleted."""
FIXED = ("uid", "creationTimestamp", "name", "namespace", "generation", "deletionTimestamp")


@dataclass(frozen=True)
class Resource:
    """A kind of object."""

    version: str
    """Group and version: ``apps/v1``."""
    plural: str
    kind: str
    namespaced: bool
    short: str = ""
    schema: dict | None = None
    """Schema of a custom resource."""
    has_status: bool = True
    """Whether the status is a subresource."""

    @property
    def group(self):
        return self.version.rpartition("/")[0]


@dataclass(frozen=True)
class Change:
    """A change that watches report."""

    number: int
    type: str
    resource: Resource
    item: dict


class RefusedError(Exception):
    """An error response of the API."""

    def __init__(self, code, reason, message):
        super().__init__(message)
        self.code, self.reason, self.message = code, reason, message


def now():
    """Return the time as Kubernetes formats it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Store:
    """All objects of the cluster."""

    def __init__(self):
        self.number = 100
        self.resources = {}
        self.items = {}
        self.changes = []
        self.listeners = set()
        for text, namespaced in ((NAMESPACED, True), (CLUSTER_SCOPED, False)):
            for line in text.replace(";", "\n").strip().splitlines():
                version, plural, kind, *short = line.split()
                has_status = kind in ("Pod", "Service", "Deployment", "Job", "CronJob", "Node")
                resource = Resource(version, plural, kind, namespaced, "".join(short), has_status=has_status)
                self.resources[version, plural] = resource
        for name in ("default", "kube-system"):
            self.create(self.find_resource("Namespace"), None, {"metadata": {"name": name}})

    def find_resource(self, kind):
        """Return the resource of a kind."""
        return next(resource for resource in self.resources.values() if resource.kind == kind)

    def key(self, resource, namespace, name):
        return (resource.version, resource.plural, namespace if resource.namespaced else None, name)

    def get(self, resource, namespace, name):
        try:
            return self.items[self.key(resource, namespace, name)]
        except KeyError:
            full = f"{resource.plural}.{resource.group}" if resource.group else resource.plural
            raise RefusedError(404, "NotFound", f'{full} "{name}" not found') from None

    def list(self, kind, namespace=None):
        resource = kind if isinstance(kind, Resource) else self.find_resource(kind)
        place = (resource.version, resource.plural)
        return [item for key, item in self.items.items() if key[:2] == place and namespace in (None, key[2])]

    def listen(self):
        """Return a queue of the changes from now on."""
        queue = asyncio.Queue()
        self.listeners.add(queue)
        return queue

    def create(self, resource, namespace, item, *, strict=False, dry=False):
        item = remove_nulls(copy.deepcopy(item))
        meta = item.setdefault("metadata", {})
        if not meta.get("name") and meta.get("generateName"):
            meta["name"] = meta["generateName"] + random_suffix()
        self._set_namespace(resource, namespace, meta)
        key = self.key(resource, meta.get("namespace"), meta["name"])
        if key in self.items:
            raise RefusedError(409, "AlreadyExists", f'{resource.plural} "{meta["name"]}" already exists')
        item |= {"apiVersion": resource.version, "kind": resource.kind}
        self._check(resource, item, strict=strict)
        if dry:
            return item
        meta |= {"uid": str(uuid.uuid4()), "creationTimestamp": now(), "generation": 1}
        if resource.kind != "Event":
            item.pop("status", None)
        self._prepare(resource, item)
        self.items[key] = item
        self._notify("ADDED", resource, item)
        return item

    def update(self, resource, namespace, name, change, *, part=None, number=None, strict=False):
        """Replace an object by the result of ``change``; its status only as a subresource, if it is one."""
        old = self.get(resource, namespace, name)
        new = change(copy.deepcopy(old))
        number = number or new["metadata"].get("resourceVersion")
        if number and number != old["metadata"]["resourceVersion"]:
            raise RefusedError(409, "Conflict", f'{resource.plural} "{name}": the object has been modified; try again')
        new["metadata"] |= {field: old["metadata"][field] for field in FIXED if field in old["metadata"]}
        if part == "status":
            new = {**old, "status": new.get("status", {})}
        elif resource.has_status:
            new.pop("status", None)
            new |= {"status": old["status"]} if "status" in old else {}
        new = copy.deepcopy(remove_nulls(new))
        if part != "status":
            self._check(resource, new, strict=strict)
        if new == old:
            return old
        if any(new.get(key) != old.get(key) for key in ("spec", "data")):
            new["metadata"]["generation"] = old["metadata"]["generation"] + 1
        self.items[self.key(resource, namespace, name)] = new
        if resource.kind == "CustomResourceDefinition":
            self._define(new)
        leaving = new["metadata"].get("deletionTimestamp") and not new["metadata"].get("finalizers")
        if leaving and not (resource.kind == "Pod" and _runs(new)):
            return self.remove(resource, namespace, name)
        self._notify("MODIFIED", resource, new)
        return new

    def delete(self, resource, namespace, name, grace_s=None, *, foreground=False):
        """Start to delete an object: waits for pods to stop, finalizers, and owned objects if in the foreground."""
        item = self.get(resource, namespace, name)
        meta = item["metadata"]
        if foreground and FOREGROUND not in meta.setdefault("finalizers", []):
            meta["finalizers"] = [*meta["finalizers"], FOREGROUND]
        ends = resource.kind == "Pod" and grace_s != 0 and _runs(item)
        if not ends and not meta.get("finalizers"):
            return self.remove(resource, namespace, name)
        if not meta.get("deletionTimestamp"):
            grace_s = (
                item["spec"].get("terminationGracePeriodSeconds", 30) if ends and grace_s is None else grace_s or 0
            )
            meta |= {"deletionTimestamp": now(), "deletionGracePeriodSeconds": grace_s}
            self._notify("MODIFIED", resource, item)
        return item

    def owned_by(self, owner):
        """Return the keys of the objects that an object owns."""
        uid = owner["metadata"]["uid"]
        return [key for key, item in self.items.items() if uid in owners_of(item)]

    def remove(self, resource, namespace, name):
        item = self.items.pop(self.key(resource, namespace, name))
        self._notify("DELETED", resource, item)
        return item

    def event(self, about, reason, message, kind="Normal"):
        """Record an event about an object."""
        meta = about["metadata"]
        reference = {"kind": about["kind"], "name": meta["name"], "namespace": meta.get("namespace", "default")}
        body = {"metadata": {"generateName": f"{meta['name']}."}, "involvedObject": reference | {"uid": meta["uid"]}}
        body |= {"reason": reason, "message": message, "type": kind, "lastTimestamp": now(), "count": 1}
        self.create(self.find_resource("Event"), reference["namespace"], body)

    def _set_namespace(self, resource, namespace, meta):
        if fault := name_fault(meta.get("name", "")):
            raise RefusedError(422, "Invalid", f"{resource.kind} is invalid: {fault}")
        if not resource.namespaced:
            return
        meta["namespace"] = namespace or meta.get("namespace") or "default"
        if ("v1", "namespaces", None, meta["namespace"]) not in self.items:
            raise RefusedError(404, "NotFound", f'namespaces "{meta["namespace"]}" not found')

    def _check(self, resource, item, *, strict):
        faults = (
            custom_faults(item, resource.schema, strict=strict)
            if resource.schema
            else builtin_faults(item, strict=strict)
        )
        if faults and "strict decoding" in faults[0]:
            raise RefusedError(
                400, "BadRequest", f"{resource.kind} in version {resource.version}: {'; '.join(faults[:3])}"
            )
        if faults:
            text = f'{resource.kind} "{item["metadata"]["name"]}" is invalid: {"; ".join(faults[:3])}'
            raise RefusedError(422, "Invalid", text)

    def _prepare(self, resource, item):
        if resource.kind == "Pod":
            item["status"] = {"phase": "Pending"}
        elif resource.kind == "Namespace":
            item["status"] = {"phase": "Active"}
        elif resource.kind == "Deployment":
            item["spec"].setdefault("replicas", 1)
        elif resource.kind == "Service":
            item["spec"].setdefault("type", "ClusterIP")
            for port in item["spec"].get("ports", ()):
                port.setdefault("targetPort", port["port"])
        elif resource.kind == "CustomResourceDefinition":
            self._define(item)

    def _define(self, definition):
        spec = definition["spec"]
        names, namespaced = spec["names"], spec["scope"] == "Namespaced"
        for version in spec["versions"]:
            full = f"{spec['group']}/{version['name']}"
            self.resources[full, names["plural"]] = Resource(
                full,
                names["plural"],
                names["kind"],
                namespaced,
                ",".join(names.get("shortNames", ())),
                version.get("schema", {}).get("openAPIV3Schema"),
                "status" in version.get("subresources", {}),
            )
        conditions = [{"type": kind, "status": "True"} for kind in ("NamesAccepted", "Established")]
        definition["status"] = {"acceptedNames": names, "conditions": conditions}

    def _notify(self, kind, resource, item):
        self.number += 1
        item["metadata"]["resourceVersion"] = str(self.number)
        change = Change(self.number, kind, resource, copy.deepcopy(item))
        self.changes.append(change)
        for queue in self.listeners:
            queue.put_nowait(change)


def owners_of(item):
    """Return the uids of an object's owners."""
    return {reference["uid"] for reference in item["metadata"].get("ownerReferences", ())}


def random_suffix(letters="bcdfghjklmnpqrstvwxz2456789"):
    """Return the random suffix of a generated name."""
    return "".join(random.choices(letters, k=5))


def _runs(pod):
    return bool(pod["spec"].get("nodeName")) and pod["status"].get("phase") not in ENDED
