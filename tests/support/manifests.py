"""Reads and validates the manifests in ``cluster/``, and builds the objects that Dask's operator creates."""

from __future__ import annotations

import ast
import copy
import importlib.util
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import kubernetes_validate
import yaml

from support.paths import ROOT

CLUSTER = ROOT / "cluster"
CUSTOM = ("kubernetes.dask.org", "monitoring.coreos.com", "keda.sh")
TOOLS = ("eksctl.io", "kind.x-k8s.io", "kustomize.config.k8s.io")
"""API groups of tools: their files are not applied to Kubernetes."""
OPERATOR = Path(importlib.util.find_spec("dask_kubernetes").submodule_search_locations[0]) / "operator"
CHART = OPERATOR / "deployment" / "helm" / "dask-kubernetes-operator"
VERSIONS = ("1.31", "1.37")
"""Kubernetes versions: the oldest that has all used fields, and the newest with a schema here."""

Document = dict[str, Any]


@dataclass(frozen=True)
class Pod:
    """A pod as it will be created."""

    role: str
    labels: dict[str, str]
    annotations: dict[str, str]
    spec: Document

    @property
    def container(self) -> Document:
        (only,) = self.spec["containers"]
        return only

    def option(self, name: str) -> str:
        args = self.container["args"]
        return args[args.index(name) + 1]


def read_documents(path: Path) -> list[Document]:
    """Read the documents of a YAML file; aliases become copies."""
    found = yaml.load_all(path.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # the other is slow
    return [json.loads(json.dumps(document)) for document in found if document is not None]


def objects() -> list[Document]:
    """All objects in ``cluster/`` that are applied to Kubernetes."""
    found = [
        document for path in sorted(CLUSTER.rglob("*.yaml")) for document in read_documents(path) if "kind" in document
    ]
    return [document for document in found if document["apiVersion"].partition("/")[0] not in TOOLS]


def of_kind(*kinds: str, among: list[Document] | None = None) -> list[Document]:
    return [document for document in (among or objects()) if document["kind"] in kinds]


def get_object(kind: str, name: str) -> Document:
    (only,) = [document for document in of_kind(kind) if document["metadata"]["name"] == name]
    return only


# Validation


@cache
def crd_schema(kind: str) -> Document:
    """JSON schema of a custom resource, from the operator or from ``schemas.yaml``; unknown keys are not allowed."""
    ours = read_documents(ROOT / "tests" / "support" / "schemas.yaml")[0]
    if kind in ours:
        return forbid_unknown_keys(ours[kind])
    (schema,) = [
        definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        for path in CHART.glob("crds/*.yaml")
        for definition in read_documents(path)
        if definition["spec"]["names"]["kind"] == kind
    ]
    common = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {}}
    return forbid_unknown_keys({**schema, "properties": {**schema["properties"], **common}})


def forbid_unknown_keys(schema: Any) -> Any:
    """Convert the schema of a CRD to JSON schema without additional keys, which an API server would drop silently."""
    if isinstance(schema, list):
        return [forbid_unknown_keys(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        key: {name: forbid_unknown_keys(one) for name, one in value.items()}
        if key == "properties"
        else forbid_unknown_keys(value)
        for key, value in schema.items()
        if not key.startswith("x-") and key not in ("format", "description", "default", "nullable")
    }
    if schema.get("x-kubernetes-int-or-string"):
        made = {"type": ["integer", "string"]}
    if "properties" in made and not schema.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def check_schema(document: Document) -> None:
    """Raise if Kubernetes would reject the document, or drop part of it."""
    if document["apiVersion"].partition("/")[0] in (*CUSTOM, *TOOLS):
        jsonschema.Draft202012Validator(crd_schema(document["kind"])).validate(document)
        return
    for version in VERSIONS:
        kubernetes_validate.validate(document, version, strict=True)


# Objects that the operator creates


@cache
def _builders() -> dict[str, Any]:
    """Functions of the operator that build objects; extracted, because importing the operator takes seconds."""
    tree = ast.parse((OPERATOR / "controller" / "controller.py").read_text())
    wanted = [node for node in tree.body if _builds(node) or _imports(node)]
    space: dict[str, Any] = {"copy": copy, "SCHEDULER_NAME_TEMPLATE": "{cluster_name}-scheduler"}
    space["get_job_runner_pod_name"] = "{}-runner".format
    exec(compile(ast.Module(wanted, []), "controller.py", "exec"), space)
    return space


def _builds(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name.startswith("build_")


def _imports(node: ast.stmt) -> bool:
    return isinstance(node, ast.ImportFrom) and node.module == "__future__"


def dask_clusters(among: list[Document] | None = None) -> list[Document]:
    """Clusters in manifests, and those that jobs create."""
    found = of_kind("DaskCluster", among=among)
    for job in of_kind("DaskJob", among=among):
        meta, spec = job["metadata"], job["spec"]["cluster"]["spec"]
        made = _builders()["build_cluster_spec"](meta["name"], spec["worker"], spec["scheduler"], {}, meta["labels"])
        made["metadata"]["namespace"] = meta["namespace"]
        found.append(made)
    return found


def operator_objects(cluster: Document) -> tuple[Document, Document, Document]:
    """Deployment of the scheduler, its service, and the deployment of a worker, as built by the operator."""
    meta, spec, build = cluster["metadata"], cluster["spec"], _builders()
    name, labels = meta["name"], meta["labels"]

    def annotations(role: str) -> dict[str, str]:
        return spec[role].get("metadata", {}).get("annotations", {})

    scheduler = build["build_scheduler_deployment_spec"](
        name, spec["scheduler"]["spec"], annotations("scheduler"), labels
    )
    service = build["build_scheduler_service_spec"](name, spec["scheduler"]["service"], {}, labels)
    worker = build["build_worker_deployment_spec"](
        f"{name}-default", meta["namespace"], name, "0", spec["worker"]["spec"], annotations("worker"), labels
    )
    return scheduler, service, worker


def pods(among: list[Document] | None = None) -> Iterator[Pod]:
    """All pods that will be created."""
    for cluster in dask_clusters(among):
        scheduler, _, worker = operator_objects(cluster)
        yield _pod("scheduler", scheduler["spec"]["template"])
        yield _pod("worker", worker["spec"]["template"])
    for job in of_kind("DaskJob", among=among):
        meta, inner = job["metadata"], job["spec"]["job"]
        annotations = inner.get("metadata", {}).get("annotations", {})
        build = _builders()["build_job_pod_spec"]
        yield _pod(
            "runner",
            build(meta["name"], meta["name"], meta["namespace"], inner["spec"], annotations, meta["labels"]),
        )
    for cron in of_kind("CronJob", among=among):
        yield _pod("update", cron["spec"]["jobTemplate"]["spec"]["template"])
    for deployment in of_kind("Deployment", among=among):
        yield _pod("watch", deployment["spec"]["template"])


def _pod(role: str, template: Document) -> Pod:
    meta = template["metadata"]
    return Pod(role, meta["labels"], meta.get("annotations", {}), template["spec"])


def selector_matches(selector: Document, labels: dict[str, str]) -> bool:
    """Whether a label selector matches labels."""
    expressions = selector.get("matchExpressions", [])
    assert all(one["operator"] == "In" for one in expressions), "only the operator In is supported"
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(one["key"]) in one["values"] for one in expressions
    )


# Kustomize: the subset that is used


def render_kustomization(directory: Path) -> list[Document]:
    """Render a kustomization: resources with patches and images applied."""
    (given,) = read_documents(directory / "kustomization.yaml")
    found: list[Document] = []
    for name in given["resources"]:
        path = (directory / name).resolve()
        found += render_kustomization(path) if path.is_dir() else read_documents(path)
    for patch in given.get("patches", []):
        wanted = patch["target"].items()
        hit = [one for one in found if wanted <= {"kind": one["kind"], "name": one["metadata"]["name"]}.items()]
        assert hit, f"{directory.name}: no object matches {dict(wanted)}"
        for one in hit:
            changed = jsonpatch.apply_patch(copy.deepcopy(one), yaml.safe_load(patch["patch"]))
            one.clear()
            one.update(changed)
    for image in given.get("images", []):
        for container in _containers(found):
            if container["image"].rpartition(":")[0] == image["name"]:
                container["image"] = f"{image['newName']}:{image['newTag']}"
    return found


def _containers(node: Any) -> Iterator[Document]:
    if isinstance(node, dict):
        yield from node.get("containers", [])
        node = [value for key, value in node.items() if key != "containers"]
    if isinstance(node, list):
        for one in node:
            yield from _containers(one)
