"""Translates errors of the Kubernetes API server into errors that say what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import httpx
import kr8s

from hrrr_dask.errors import ConfigError, HrrrDaskError, RunError

__all__ = ["INSTALL_OPERATOR", "RefusedError", "translate_errors"]

INSTALL_OPERATOR: Final = (
    "helm install --repo https://helm.dask.org --create-namespace --namespace dask-operator "
    "--generate-name dask-kubernetes-operator"
)
"""Command that installs Dask's operator in a cluster."""


class RefusedError(RunError):
    """The API server responded and refused the request."""

    def __init__(self, text: str, status: int, message: str) -> None:
        super().__init__(text, status, message)
        self.status = status
        """HTTP status."""
        self.message = message
        """Message of the API server."""

    def __str__(self) -> str:
        return str(self.args[0])


@contextmanager
def translate_errors(what: str, namespace: str = "") -> Iterator[None]:
    """Translate the exceptions of a block.

    Parameters
    ----------
    what : str
        Action that failed, for the text.
    namespace : str
        Namespace of the action.

    Raises
    ------
    ConfigError
        If no cluster is configured.
    RefusedError
        If the API server refuses.
    RunError
        If the API server does not respond.
    """
    try:
        yield
    except HrrrDaskError:
        raise
    except kr8s.ServerError as error:
        raise _refusal(what, namespace, error) from error
    except (httpx.TransportError, kr8s.APITimeoutError, kr8s.ConnectionClosedError) as error:
        raise RunError(
            f"Kubernetes does not respond: {what}, {type(error).__name__} {error}: check that `kubectl get nodes` works"
        ) from error
    except (ValueError, KeyError, OSError) as error:  # raised while the kubeconfig is read
        raise ConfigError(
            f"no Kubernetes is configured here ({error or type(error).__name__}): set KUBECONFIG to a kubeconfig file "
            f"with a current context, so that `kubectl get nodes` works"
        ) from error


def _refusal(what: str, namespace: str, error: kr8s.ServerError) -> RefusedError:
    status = error.response.status_code if error.response is not None else 0
    message = " ".join(str(error).split())
    return RefusedError(
        f"{what}: Kubernetes returned {status}, {message}: {_remedy(status, message, namespace)}", status, message
    )


def _remedy(status: int, message: str, namespace: str) -> str:
    if status == 401:
        return "log in again, so that `kubectl get nodes` works"
    if status == 403 and "exceeded quota" in message:
        return "request fewer or smaller workers, or have the namespace's quota raised"
    if status == 403 and "PodSecurity" in message:
        return "adapt the pods with kubernetes.extra-pod-spec, or use another namespace"
    if status == 403:
        return "have an administrator of the cluster grant that right, or use another kubernetes.namespace"
    if status == 404 and message.startswith("namespaces "):
        return f"create it, kubectl create namespace {namespace}, or set kubernetes.namespace to an existing one"
    if status == 404:
        return f"Dask's operator is not installed in that cluster: {INSTALL_OPERATOR}"
    if status in (400, 409, 422):
        return "correct the settings below kubernetes: that it names; --dry-run prints the manifest"
    return "run the same command again later"
