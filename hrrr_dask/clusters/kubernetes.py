"""Runs workers in Kubernetes pods: Dask's operator creates a cluster for one command, which is always deleted."""

from __future__ import annotations

import signal
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from distributed import Client

from hrrr_dask.clusters import secrets, signals
from hrrr_dask.clusters.diagnosis import is_ready, story, troubles
from hrrr_dask.clusters.manifest import documents
from hrrr_dask.clusters.spec import KubernetesSpec
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import ConfigError, RunError

try:
    from dask_kubernetes.operator import KubeCluster

    from hrrr_dask.clusters import schema
    from hrrr_dask.clusters.api_errors import HELM, RefusedError
    from hrrr_dask.clusters.kube_api import KubeApi
except ImportError as error:
    raise ConfigError(
        f"--cluster kubernetes needs dask-kubernetes, which cannot be imported ({error}): "
        f"pip install 'hrrr-dask[kubernetes]'"
    ) from error

__all__ = ["checked", "started"]

POLL_S: Final = 1.0
"""Interval at which the pods are checked [s]."""

OPERATOR_TIMEOUT_S: Final = 60.0
"""Time without any pod after which the operator has missed the cluster, or is not installed [s]."""

DELETE_S: Final = 60.0
"""Time for the pods of a cluster to be told to stop [s]."""


def checked(spec: KubernetesSpec, name: str = "") -> tuple[dict[str, Any], ...]:
    """Return the manifest of a cluster, checked as far as possible without a cluster.

    Raises
    ------
    ConfigError
        If it does not match the operator's resources, or contains a secret.
    """
    manifest = documents(spec, name or _fresh(spec))
    for document in manifest:
        schema.check(document)
    secrets.refuse(manifest)
    return manifest


@contextmanager
def started(spec: KubernetesSpec) -> Iterator[Client]:
    """Create a cluster, wait for its first worker, and delete it at the end, also after a failure or SIGTERM.

    Raises
    ------
    ConfigError
        If the manifest is invalid, or no Kubernetes cluster is configured.
    RunError
        If the cluster does not start in time, with the events of its pods; or if it cannot be deleted.
    """
    checked(spec)
    with signals.sigterm_as_interrupt(), KubeApi(spec.namespace) as api:
        _refuse_without_rights(api)
        with _made(api, spec) as name, _connected(api, spec, name) as client:
            yield client


@contextmanager
def _made(api: KubeApi, spec: KubernetesSpec) -> Iterator[str]:
    """Yield the name of a cluster with a ready scheduler; created once more if the operator missed it."""
    for last_try in (False, True):
        name = _fresh(spec)
        with _taken_away(api, name):
            if _create(api, spec, name, last_try=last_try):
                yield name
                return


def _create(api: KubeApi, spec: KubernetesSpec, name: str, *, last_try: bool) -> bool:
    manifest = checked(spec, name)
    pods = manifest[0]["spec"]
    api.try_pod(f"{name}-scheduler", pods["scheduler"]["spec"])
    api.try_pod(f"{name}-worker", pods["worker"]["spec"])
    cluster, *others = manifest
    # An operator that polls a missing scheduler for idleness is too busy to delete its cluster.
    api.create({**cluster, "spec": cluster["spec"] | {"idleTimeout": 0}})
    for document in others:
        api.create(document)
    ready = _wait_for_scheduler(api, spec, name, last_try=last_try)
    if ready:
        api.patch("DaskCluster", name, {"spec": {"idleTimeout": spec.idle_timeout_s}})
    return ready


def _wait_for_scheduler(api: KubeApi, spec: KubernetesSpec, name: str, *, last_try: bool) -> bool:
    """Return True when the scheduler is ready, and False if the operator did nothing and another try is left."""
    began = time.monotonic()
    while True:
        pods = api.pods(name, "scheduler")
        if any(is_ready(pod) for pod in pods):
            return True
        _refuse_hopeless(api, name, pods)
        waited = time.monotonic() - began
        if not pods and waited > OPERATOR_TIMEOUT_S:
            if not last_try:
                return False
            raise RunError(
                f"Dask's operator made no pod of cluster {name} in {waited:.0f} s, twice: see whether it runs "
                f"(kubectl get pods -A -l app.kubernetes.io/name=dask-kubernetes-operator), or install it: {HELM}\n"
                f"{story(pods, _events(api, name, pods))}"
            )
        if pods and waited > spec.start_timeout_s:
            raise _late("its scheduler", api, spec, name, pods)
        time.sleep(POLL_S)


@contextmanager
def _connected(api: KubeApi, spec: KubernetesSpec, name: str) -> Iterator[Client]:
    try:
        cluster = KubeCluster.from_name(
            name, namespace=api.namespace, quiet=True, port_forward_cluster_ip=None if api.inside else True
        )
    except (OSError, ValueError, RuntimeError, TimeoutError) as error:
        raise RunError(f"the scheduler of cluster {name} runs, but cannot be reached from here: {error}") from error
    with cluster, Client(cluster) as client:
        _wait_for_worker(api, spec, name, client.nthreads)
        check_workers(client)
        yield client


def _wait_for_worker(api: KubeApi, spec: KubernetesSpec, name: str, workers: Callable[[], Any]) -> None:
    began = time.monotonic()
    while not workers():
        pods = api.pods(name, "worker")
        _refuse_hopeless(api, name, pods)
        if time.monotonic() - began > spec.start_timeout_s:
            raise _late("a worker", api, spec, name, pods)
        time.sleep(POLL_S)


@contextmanager
def _taken_away(api: KubeApi, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        try:
            _delete(api, name)
        except RunError as left:
            error.add_note(str(left))
        raise
    _delete(api, name)


def _delete(api: KubeApi, name: str) -> None:
    """Delete the cluster whatever signals arrive: forgotten pods cost money."""
    with signals.ignored(signal.SIGINT, signal.SIGTERM):
        began = time.monotonic()
        try:
            for kind in ("DaskAutoscaler", "DaskCluster"):
                api.delete(kind, name)
            while not _is_terminating(api, name):
                if time.monotonic() - began > DELETE_S:
                    raise RunError(f"its pods still run after {DELETE_S:.0f} s")
                time.sleep(POLL_S / 4)
        except RunError as error:
            raise RunError(
                f"cluster {name} could not be deleted and may cost money: kubectl delete daskcluster {name} "
                f"--namespace {api.namespace} ({error})"
            ) from error


def _is_terminating(api: KubeApi, name: str) -> bool:
    """Return whether the cluster is gone, or all its pods were told to stop, which may take them some time.

    Without pods the cluster must be gone: otherwise the operator may be about to create them.
    """
    if api.get("DaskCluster", name) is None:
        return True
    pods = [*api.pods(name, "scheduler"), *api.pods(name, "worker")]
    return bool(pods) and all("deletionTimestamp" in pod["metadata"] for pod in pods)


def _refuse_without_rights(api: KubeApi) -> None:
    missing = api.missing_rights()
    if missing:
        raise RunError(
            f"this user may not do in namespace {api.namespace} what --cluster kubernetes does: {', '.join(missing)}. "
            f"Have an administrator of the cluster grant that (a Role and a RoleBinding), or take another "
            f"kubernetes.namespace"
        )


def _refuse_hopeless(api: KubeApi, name: str, pods: list[Any]) -> None:
    for trouble in troubles(pods):
        if trouble.hopeless:
            log = api.log(trouble.pod) if trouble.crashes else ""
            said = "\nits log ends with\n" + "\n".join(f"  {line}" for line in log.splitlines()) if log else ""
            raise RunError(
                f"pod {trouble.pod} of cluster {name} does not start: {trouble.text}{said}\n"
                f"{story(pods, _events(api, name, pods))}"
            )


def _late(what: str, api: KubeApi, spec: KubernetesSpec, name: str, pods: list[Any]) -> RunError:
    found = troubles(pods)
    why = f"pod {found[0].pod}: {found[0].text}" if found else "nothing says why"
    return RunError(
        f"{what} of cluster {name} is not ready after {spec.start_timeout_s:.0f} s "
        f"(kubernetes.start-timeout-s): {why}\n{story(pods, _events(api, name, pods))}"
    )


def _events(api: KubeApi, name: str, pods: list[Any]) -> list[Any]:
    about = [name, f"{name}-scheduler", *(pod["metadata"]["name"] for pod in pods[:3])]
    try:
        return [event for each in about for event in api.events(each)]
    except RefusedError as error:  # the story is printed without them
        return [{"reason": "unknown", "message": str(error), "involvedObject": {"name": name}}]


def _fresh(spec: KubernetesSpec) -> str:
    return f"{spec.name}-{uuid.uuid4().hex[:8]}"
