"""Sends the few requests to the Kubernetes API server that a cluster needs, one after the other."""

from __future__ import annotations

import json
import logging
import os
import warnings
from collections.abc import Mapping
from contextlib import ExitStack
from traceback import walk_tb
from types import TracebackType
from typing import Any, Final, Self

import kr8s
from anyio.from_thread import BlockingPortal, start_blocking_portal

from hrrr_dask.clusters.api_errors import RefusedError, translate_errors
from hrrr_dask.clusters.manifest import API_VERSION, CLUSTER_LABEL

__all__ = ["KubeApi", "silence_kr8s"]

_TIMEOUT_S: Final = 30
"""Timeout of the API server [s]."""

_LOG_LINES: Final = 15
"""Lines of a container's log at the end of an error."""

_PERMISSIONS: Final = (
    ("create", "kubernetes.dask.org", "daskclusters"),
    ("get", "kubernetes.dask.org", "daskclusters"),
    ("patch", "kubernetes.dask.org", "daskclusters"),
    ("delete", "kubernetes.dask.org", "daskclusters"),
    ("create", "kubernetes.dask.org", "daskautoscalers"),
    ("get", "kubernetes.dask.org", "daskautoscalers"),
    ("delete", "kubernetes.dask.org", "daskautoscalers"),
    ("get", "kubernetes.dask.org", "daskworkergroups"),
    ("list", "", "pods"),
    ("list", "", "events"),
    ("get", "", "services"),
)
"""Verb, group and resource of all requests."""

_FROM_OUTSIDE: Final = ("create", "", "pods/portforward")
"""Needed in addition from outside the cluster, where the scheduler's name cannot be resolved."""


def silence_kr8s() -> None:
    """Silence two messages of kr8s that are no help to users, for the rest of the process.

    It warns of a Kubernetes that is newer than itself, in each of its threads. asyncio logs a traceback for each
    connection that a port forward cannot pass on, at any time until the process ends; the client reports the loss.
    """
    for start in ("Kubernetes version .* is not supported", "Unable to parse Kubernetes version"):
        warnings.filterwarnings("ignore", rf"{start}.*Supported versions for kr8s", UserWarning)
    logging.getLogger("asyncio").addFilter(_is_not_of_a_port_forward)


def _is_not_of_a_port_forward(record: logging.LogRecord) -> bool:
    error = record.exc_info[1] if record.exc_info else None
    frames = walk_tb(error.__traceback__ if error else None)
    return not any(frame.f_globals.get("__name__") == "kr8s._portforward" for frame, _ in frames)


class KubeApi:
    """Connection to the cluster of the kubeconfig, or of the pod that this process runs in.

    Parameters
    ----------
    namespace : str
        Namespace of the Dask cluster; empty for that of the kubeconfig.

    Raises
    ------
    ConfigError
        If no cluster is configured.
    RunError
        If it does not respond.
    """

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self._stack = ExitStack()
        self._portal: BlockingPortal
        self._api: Any = None

    def __enter__(self) -> Self:
        self._portal = self._stack.enter_context(start_blocking_portal())
        self._stack.callback(lambda: self._portal.call(self._close))
        try:
            with translate_errors("connecting to the cluster"):
                self._api = self._portal.call(self._connect)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def namespace(self) -> str:
        """Namespace of the Dask cluster."""
        return self._namespace or str(self._api.namespace)

    @property
    def inside(self) -> bool:
        """Whether this process runs in a pod of the cluster."""
        return "KUBERNETES_SERVICE_HOST" in os.environ

    def missing_permissions(self) -> list[str]:
        """Return the permissions that this user lacks, as for ``kubectl auth can-i``."""
        permissions = _PERMISSIONS if self.inside else (*_PERMISSIONS, _FROM_OUTSIDE)
        return [
            f"{verb} {resource}{'.' if group else ''}{group}"
            for verb, group, resource in permissions
            if not self._is_allowed(verb, group, resource)
        ]

    def create(self, document: Mapping[str, Any]) -> None:
        """Create one document of a manifest."""
        kind = str(document["kind"])
        self._request("POST", f"creating {kind} {document['metadata']['name']}", kind.lower() + "s", body=document)

    def validate_pod(self, name: str, pod: Mapping[str, Any]) -> None:
        """Let the API server check a pod with a dry run, as the operator will create it.

        Raises
        ------
        RefusedError
            If it would be refused; has the reason.
        """
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": pod}
        query = {"dryRun": "All", "fieldValidation": "Strict"}
        try:
            self._request("POST", f"checking pod {name}", "pods", version="v1", body=body, params=query)
        except RefusedError as error:
            if error.status == 403 and 'create resource "pods"' in error.message:
                return  # the operator creates the pod, not this user
            raise

    def patch(self, kind: str, name: str, changes: Mapping[str, Any]) -> None:
        """Merge changes into an object."""
        self._request("PATCH", f"changing {kind} {name}", f"{kind.lower()}s/{name}", body=changes)

    def delete(self, kind: str, name: str) -> None:
        """Delete an object and what it owns, even if the operator is slow. A missing object is no error."""
        first = {"propagationPolicy": "Foreground"}
        self._request("DELETE", f"deleting {kind} {name}", f"{kind.lower()}s/{name}", body=first, missing=None)

    def get(self, kind: str, name: str) -> Mapping[str, Any] | None:
        """Return an object; None if it does not exist."""
        found = self._request("GET", f"reading {kind} {name}", f"{kind.lower()}s/{name}", missing=None)
        return None if found is None else dict(found)

    def pods(self, cluster: str, component: str) -> list[Mapping[str, Any]]:
        """Return the pods of a cluster that are its ``scheduler`` or its ``worker``."""
        query = {"labelSelector": f"{CLUSTER_LABEL}={cluster},dask.org/component={component}"}
        found = self._request("GET", f"listing pods of {cluster}", "pods", version="v1", params=query)
        return list(found["items"])

    def events(self, name: str) -> list[Mapping[str, Any]]:
        """Return the events of an object."""
        query = {"fieldSelector": f"involvedObject.name={name}"}
        found = self._request("GET", f"listing events of {name}", "events", version="v1", params=query)
        return list(found["items"])

    def log(self, pod: str) -> str:
        """Return the last lines of a pod's log, of the container that exited."""
        for previous in ("true", "false"):
            query = {"tailLines": str(_LOG_LINES), "previous": previous}
            with translate_errors(f"reading the log of {pod}", self.namespace):
                text = self._portal.call(self._text, f"pods/{pod}/log", query)
            if text:
                return text
        return ""

    def _is_allowed(self, verb: str, group: str, resource: str) -> bool:
        name, _, part = resource.partition("/")
        attributes = {"namespace": self.namespace, "verb": verb, "group": group, "resource": name, "subresource": part}
        review = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": {"resourceAttributes": attributes},
        }
        with translate_errors("checking permissions", self.namespace):
            response = self._portal.call(
                self._call, "POST", "selfsubjectaccessreviews", "authorization.k8s.io/v1", review, {}, None
            )
        return bool(response["status"].get("allowed"))

    def _request(
        self,
        method: str,
        action: str,
        url: str,
        *,
        version: str = API_VERSION,
        body: Mapping[str, Any] | None = None,
        params: Mapping[str, str] | None = None,
        missing: object = ...,
    ) -> Any:
        try:
            with translate_errors(action, self.namespace):
                return self._portal.call(self._call, method, url, version, body, params or {}, self.namespace)
        except RefusedError as error:
            if error.status == 404 and missing is not ...:
                return missing
            raise

    async def _connect(self) -> Any:
        api = await kr8s.asyncio.api()
        api.timeout = _TIMEOUT_S
        return api

    async def _close(self) -> None:
        session = getattr(self._api, "_session", None)  # kr8s has no public way to close its connections
        if session is not None:
            await session.aclose()

    async def _call(
        self,
        method: str,
        url: str,
        version: str,
        body: Mapping[str, Any] | None,
        params: Mapping[str, str],
        namespace: str | None,
    ) -> Any:
        content = None if body is None else json.dumps(body)
        headers = {"Content-Type": "application/merge-patch+json" if method == "PATCH" else "application/json"}
        async with self._api.call_api(
            method, version=version, url=url, namespace=namespace, content=content, params=dict(params), headers=headers
        ) as response:
            return response.json()

    async def _text(self, url: str, params: Mapping[str, str]) -> str:
        async with self._api.call_api(
            "GET", version="v1", url=url, namespace=self.namespace, params=dict(params), raise_for_status=False
        ) as response:
            return str(response.text) if response.status_code == 200 else ""
