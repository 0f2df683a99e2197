"""Builds the manifest for Kubernetes: a DaskCluster, and a DaskAutoscaler for an adaptive size. Pure.

Pods are not root, write to ``/tmp`` only, and contain no secret: see :func:`hrrr_dask.clusters.secrets.refuse_secrets`.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any, Final

import hrrr_dask
from hrrr_dask.clusters.spec import KubernetesSpec

__all__ = ["API_VERSION", "CLUSTER_LABEL", "build_manifest", "merge"]

API_VERSION: Final = "kubernetes.dask.org/v1"
"""API version of the operator's resources."""

CLUSTER_LABEL: Final = "dask.org/cluster-name"
"""Label of everything that the operator creates for one cluster."""

PRELOAD: Final = "hrrr_dask.preload"
"""Preload module of workers and nannies: loads the decoder and drains on SIGTERM."""

_USER: Final = 10001
"""User id of the processes: not root, whatever the image says."""

_GRACE_S: Final = 100
"""Time from the notice to the end of a worker; a spot node has two minutes [s]."""

_SPOT: Final = (
    {"key": "cloud.google.com/gke-spot", "operator": "Equal", "value": "true", "effect": "NoSchedule"},
    {"key": "kubernetes.azure.com/scalesetpriority", "operator": "Equal", "value": "spot", "effect": "NoSchedule"},
)

_ROUTES: Final = (
    "distributed.http.scheduler.prometheus",
    "distributed.http.scheduler.info",
    "distributed.http.scheduler.json",
    "distributed.http.scheduler.api",
    "distributed.http.health",
    "distributed.http.proxy",
    "distributed.http.statics",
)
"""Dask's HTTP routes of the scheduler, and ``api``, with which an operator of any Dask version can scale the
cluster."""

_ENV: Final = {
    "HOME": "/tmp",  # noqa: S108  in the pod
    "DASK_TEMPORARY_DIRECTORY": "/tmp",  # noqa: S108
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "60s",
    "DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "120s",
}
"""The only writable path, and long timeouts: a thousand workers that start at once wait for their turn."""

_WORKER_ENV: Final = {
    "DASK_DISTRIBUTED__WORKER__MEMORY__TARGET": "False",
    "DASK_DISTRIBUTED__WORKER__MEMORY__SPILL": "False",
    "HRRR_DASK_GRACE_S": str(_GRACE_S - 10),
}
"""Nothing is spilled, because workers hold kilobytes; and the time in which they hand over their results."""


def build_manifest(spec: KubernetesSpec, name: str) -> tuple[dict[str, Any], ...]:
    """Build the manifest of a cluster.

    Parameters
    ----------
    spec : KubernetesSpec
        Specification of the cluster.
    name : str
        Name of the cluster.

    Returns
    -------
    tuple of dict
        Documents in the order of their creation.
    """
    cluster = {
        "apiVersion": API_VERSION,
        "kind": "DaskCluster",
        "metadata": _metadata(spec, name),
        "spec": {
            "idleTimeout": spec.idle_timeout_s,
            "worker": {
                "replicas": spec.workers.minimum,
                "spec": merge(_worker_pod(spec), spec.extra_pod_spec),
            },
            "scheduler": {
                "metadata": {"annotations": {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}},
                "spec": merge(_scheduler_pod(spec), spec.extra_scheduler_pod_spec),
                "service": _service(name),
            },
        },
    }
    if not spec.workers.adaptive:
        return (cluster,)
    autoscaler = {
        "apiVersion": API_VERSION,
        "kind": "DaskAutoscaler",
        "metadata": _metadata(spec, name),
        "spec": {"cluster": name, "minimum": spec.workers.minimum, "maximum": spec.workers.maximum},
    }
    return cluster, autoscaler


def merge(base: Any, over: Any) -> Any:
    """Merge one part of a manifest over another.

    Mappings are merged by key, lists of named items by name, and other lists are concatenated; null removes
    a key.

    Examples
    --------
    >>> merge({"a": 1, "b": [{"name": "x", "c": 1}]}, {"a": None, "b": [{"name": "x", "d": 2}]})
    {'b': [{'name': 'x', 'c': 1, 'd': 2}]}
    """
    if isinstance(base, Mapping) and isinstance(over, Mapping):
        found = dict(base)
        for key, value in over.items():
            if value is None:
                found.pop(key, None)
            else:
                found[key] = merge(base.get(key), value)
        return found
    if isinstance(base, Sequence) and isinstance(over, Sequence) and not isinstance(base, str):
        if not all(isinstance(item, Mapping) and "name" in item for item in (*base, *over)):
            return [*base, *over]
        items = {item["name"]: item for item in base}
        for item in over:
            items[item["name"]] = merge(items.get(item["name"], {}), item)
        return list(items.values())
    return over


def _metadata(spec: KubernetesSpec, name: str) -> dict[str, Any]:
    labels = {
        "app.kubernetes.io/name": "hrrr-dask",
        "app.kubernetes.io/part-of": "hrrr-dask",
        "app.kubernetes.io/managed-by": "hrrr-dask",
        "app.kubernetes.io/version": hrrr_dask.__version__.replace("+", "-"),
    }
    where = {"namespace": spec.namespace} if spec.namespace else {}
    return {"name": name, **where, "labels": labels}


def _worker_pod(spec: KubernetesSpec) -> dict[str, Any]:
    args = ["dask", "worker", "--name", "$(DASK_WORKER_NAME)", "--nworkers", "1", "--nthreads", str(spec.threads)]
    args += ["--memory-limit", str(spec.worker_bytes), "--death-timeout", "300"]
    args += ["--no-dashboard", "--dashboard-address", ":8788"]  # without pages, but with /health and /metrics
    if find_spec(PRELOAD) is not None:
        args += ["--preload", PRELOAD, "--preload-nanny", PRELOAD]
    container = _container(spec, "worker", args, spec.cpu, spec.memory, _WORKER_ENV)
    container["ports"] = [{"name": "http-dashboard", "containerPort": 8788, "protocol": "TCP"}]
    container["readinessProbe"] = _probe(period_s=5, failures=3)
    tolerations = [*(_SPOT if spec.spot else ()), *(dict(each) for each in spec.tolerations)]
    pod = _pod(spec, container, _GRACE_S)
    if tolerations:
        pod["tolerations"] = tolerations
    if spec.node_selector:
        pod["nodeSelector"] = dict(spec.node_selector)
    return pod


def _scheduler_pod(spec: KubernetesSpec) -> dict[str, Any]:
    args = ["dask", "scheduler", "--host", "0.0.0.0", "--port", "8786", "--dashboard-address", ":8787"]  # noqa: S104
    if find_spec(PRELOAD) is not None:
        args += ["--preload", PRELOAD]
    routes = {"DASK_DISTRIBUTED__SCHEDULER__HTTP__ROUTES": json.dumps(_ROUTES)}
    container = _container(spec, "scheduler", args, spec.scheduler_cpu, spec.scheduler_memory, routes)
    container["ports"] = [
        {"name": "tcp-comm", "containerPort": 8786, "protocol": "TCP"},
        {"name": "http-dashboard", "containerPort": 8787, "protocol": "TCP"},
    ]
    container["readinessProbe"] = _probe(period_s=1, failures=30)
    container["livenessProbe"] = _probe(period_s=20, failures=6)  # a busy scheduler responds slowly
    return _pod(spec, container, 30)


def _log_env() -> dict[str, str]:
    """Return the variables by which pods write logs as this process does, if it does; Dask waits with chatter."""
    own = {name: value for name, value in os.environ.items() if name.startswith("HRRR_DASK_LOG_")}
    return {**own, "DASK_LOGGING__DISTRIBUTED": "warning"} if own else {}


def _container(
    spec: KubernetesSpec, name: str, args: list[str], cpu: str, memory: str, env: Mapping[str, str]
) -> dict[str, Any]:
    """Build a container without a command: an image may have an entrypoint, which runs the arguments."""
    env = {**_ENV, **_log_env(), **env, **spec.env}
    container: dict[str, Any] = {
        "name": name,
        "image": spec.image,
        "args": args,
        "env": [{"name": key, "value": value} for key, value in env.items()],
        "resources": {"requests": {"cpu": cpu, "memory": memory}, "limits": {"memory": memory}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108  in the pod
    }
    if spec.secrets:
        container["envFrom"] = [{"secretRef": {"name": secret}} for secret in spec.secrets]
    return container


def _pod(spec: KubernetesSpec, container: dict[str, Any], grace_s: int) -> dict[str, Any]:
    pod: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "terminationGracePeriodSeconds": grace_s,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [container],
        "volumes": [{"name": "tmp", "emptyDir": {}}],
    }
    if spec.service_account:
        pod["serviceAccountName"] = spec.service_account
    return pod


def _probe(period_s: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"port": "http-dashboard", "path": "/health"},
        "periodSeconds": period_s,
        "timeoutSeconds": 10,
        "failureThreshold": failures,
    }


def _service(name: str) -> dict[str, Any]:
    ports = (("tcp-comm", 8786), ("http-dashboard", 8787))
    return {
        "type": "ClusterIP",
        "selector": {CLUSTER_LABEL: name, "dask.org/component": "scheduler"},
        "ports": [{"name": port, "protocol": "TCP", "port": number, "targetPort": port} for port, number in ports],
    }
