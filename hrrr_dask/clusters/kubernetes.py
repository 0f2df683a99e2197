"""Runs workers in Kubernetes pods: Dask's operator creates a cluster for one command, which is always deleted."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

from distributed import Client

from hrrr_dask.clusters import secrets, signals
from hrrr_dask.clusters.diagnosis import describe_pods, find_problems, is_ready
from hrrr_dask.clusters.manifest import build_manifest
from hrrr_dask.clusters.spec import KubernetesSpec
from hrrr_dask.clusters.versions import check_workers
from hrrr_dask.errors import ConfigError, RunError

try:
    from dask_kubernetes.operator import KubeCluster

    from hrrr_dask.clusters import schema
    from hrrr_dask.clusters.api_errors import INSTALL_OPERATOR, RefusedError
    from hrrr_dask.clusters.kube_api import KubeApi, silence_kr8s
except ImportError as error:
    raise ConfigError(
        f"--cluster kubernetes needs dask-kubernetes, which cannot be imported ({error}): "
        f"pip install 'hrrr-dask[kubernetes]'"
    ) from error

__all__ = ["build_checked_manifest", "start_cluster"]

POLL_S: Final = 1.0
"""Interval at which the pods are checked [s]."""

OPERATOR_TIMEOUT_S: Final = 60.0
"""Time without any pod after which the operator has missed the cluster, or is not installed [s]."""

DELETE_S: Final = 60.0
"""Timeout for the pods of a cluster to start terminating [s]."""


def build_checked_manifest(spec: KubernetesSpec, name: str = "") -> tuple[dict[str, Any], ...]:
    """Return the manifest of a cluster, checked as far as possible without a cluster.

    Raises
    ------
    ConfigError
        If it does not match the operator's resources, or contains a secret.
    """
    manifest = build_manifest(spec, name or _unique_name(spec))
    for document in manifest:
        schema.check(document)
    secrets.refuse_secrets(manifest)
    return manifest


@contextmanager
def start_cluster(spec: KubernetesSpec) -> Iterator[Client]:
    """Create a cluster, wait for its first worker, and delete it at the end, also after a failure or a signal.

    Raises
    ------
    ConfigError
        If the manifest is invalid, or no Kubernetes cluster is configured.
    RunError
        If the cluster does not start in time, with the events of its pods; or if it cannot be deleted.
    """
    build_checked_manifest(spec)
    silence_kr8s()
    with signals.stop_as_interrupt(), KubeApi(spec.namespace) as api:
        _check_permissions(api)
        with _create_cluster(api, spec) as name, _connect(api, spec, name) as client:
            yield client


@contextmanager
def _create_cluster(api: KubeApi, spec: KubernetesSpec) -> Iterator[str]:
    """Yield the name of a cluster with a ready scheduler; created once more if the operator missed it."""
    for last_try in (False, True):
        name = _unique_name(spec)
        with _delete_on_exit(api, name):
            if _try_create(api, spec, name, last_try=last_try):
                yield name
                return


def _try_create(api: KubeApi, spec: KubernetesSpec, name: str, *, last_try: bool) -> bool:
    manifest = build_checked_manifest(spec, name)
    pods = manifest[0]["spec"]
    api.validate_pod(f"{name}-scheduler", pods["scheduler"]["spec"])
    api.validate_pod(f"{name}-worker", pods["worker"]["spec"])
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
    """Return True when the scheduler is ready, and False if the operator did nothing and one attempt is left."""
    start_time = time.monotonic()
    while True:
        pods = api.pods(name, "scheduler")
        if any(is_ready(pod) for pod in pods):
            return True
        _raise_if_failed(api, name, pods)
        waited = time.monotonic() - start_time
        if not pods and waited > OPERATOR_TIMEOUT_S:
            if not last_try:
                return False
            raise RunError(
                f"Dask's operator created no pod of cluster {name} in {waited:.0f} s, twice: check that it runs "
                f"(kubectl get pods -A -l app.kubernetes.io/name=dask-kubernetes-operator), or install it: "
                f"{INSTALL_OPERATOR}\n"
                f"{describe_pods(pods, _events(api, name, pods))}"
            )
        if pods and waited > spec.start_timeout_s:
            raise _timeout_error("its scheduler", api, spec, name, pods)
        time.sleep(POLL_S)


@contextmanager
def _connect(api: KubeApi, spec: KubernetesSpec, name: str) -> Iterator[Client]:
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
    start_time = time.monotonic()
    while not workers():
        pods = api.pods(name, "worker")
        _raise_if_failed(api, name, pods)
        if time.monotonic() - start_time > spec.start_timeout_s:
            raise _timeout_error("a worker", api, spec, name, pods)
        time.sleep(POLL_S)


@contextmanager
def _delete_on_exit(api: KubeApi, name: str) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        try:
            _delete(api, name)
        except RunError as deletion_error:
            error.add_note(str(deletion_error))
        raise
    _delete(api, name)


def _delete(api: KubeApi, name: str) -> None:
    """Delete the cluster whatever signals arrive: forgotten pods cost money."""
    with signals.ignore_signals(*signals.stop_signals()):
        start_time = time.monotonic()
        try:
            for kind in ("DaskAutoscaler", "DaskCluster"):
                api.delete(kind, name)
            while not _is_terminating(api, name):
                if time.monotonic() - start_time > DELETE_S:
                    raise RunError(f"its pods still run after {DELETE_S:.0f} s")
                time.sleep(POLL_S / 4)
        except RunError as error:
            raise RunError(
                f"cluster {name} could not be deleted and may cost money: kubectl delete daskcluster {name} "
                f"--namespace {api.namespace} ({error})"
            ) from error


def _is_terminating(api: KubeApi, name: str) -> bool:
    """Return whether the cluster is gone, or all its pods are terminating, which may take them some time.

    Without pods the cluster must be gone: otherwise the operator may be about to create them.
    """
    if api.get("DaskCluster", name) is None:
        return True
    pods = [*api.pods(name, "scheduler"), *api.pods(name, "worker")]
    return bool(pods) and all("deletionTimestamp" in pod["metadata"] for pod in pods)


def _check_permissions(api: KubeApi) -> None:
    missing = api.missing_permissions()
    if missing:
        raise RunError(
            f"this user lacks permissions in namespace {api.namespace} that --cluster kubernetes needs: "
            f"{', '.join(missing)}. Have an administrator of the cluster grant them (a Role and a RoleBinding), or use "
            f"another kubernetes.namespace"
        )


def _raise_if_failed(api: KubeApi, name: str, pods: list[Any]) -> None:
    for problem in find_problems(pods):
        if problem.permanent:
            log = api.log(problem.pod) if problem.crashes else ""
            log_end = "\nits log ends with\n" + "\n".join(f"  {line}" for line in log.splitlines()) if log else ""
            raise RunError(
                f"pod {problem.pod} of cluster {name} does not start: {problem.text}{log_end}\n"
                f"{describe_pods(pods, _events(api, name, pods))}"
            )


def _timeout_error(what: str, api: KubeApi, spec: KubernetesSpec, name: str, pods: list[Any]) -> RunError:
    found = find_problems(pods)
    why = f"pod {found[0].pod}: {found[0].text}" if found else "no reason was found"
    return RunError(
        f"{what} of cluster {name} is not ready after {spec.start_timeout_s:.0f} s "
        f"(kubernetes.start-timeout-s): {why}\n{describe_pods(pods, _events(api, name, pods))}"
    )


def _events(api: KubeApi, name: str, pods: list[Any]) -> list[Any]:
    about = [name, f"{name}-scheduler", *(pod["metadata"]["name"] for pod in pods[:3])]
    try:
        return [event for each in about for event in api.events(each)]
    except RefusedError as error:  # the description is printed without them
        return [{"reason": "unknown", "message": str(error), "involvedObject": {"name": name}}]


def _unique_name(spec: KubernetesSpec) -> str:
    return f"{spec.name}-{uuid.uuid4().hex[:8]}"
