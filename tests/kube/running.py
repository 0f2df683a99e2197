"""Starts and stops the cluster, and gives tests access to it through kubectl."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlencode
from urllib.request import urlopen

import yaml
from support import needs
from support.paths import pythonpath

from kube.containers import POD_NETWORK
from kube.network import Network, prefix_of_this_process
from kube.selectors import is_ready

TESTS = Path(__file__).parents[1]
NEEDED = ("dask_kubernetes", "kopf", "aiohttp", "jsonpatch", "jsonschema", "kubernetes_validate")
"""Modules that the emulator and the operator need."""


OLDEST_KUBECTL = 27
"""Minimum minor version of kubectl 1.x, which leaves validation to the API server."""


def missing() -> str:
    """Return what is not installed, and how to install it; empty if nothing is missing."""
    modules = [name for name in NEEDED if find_spec(name) is None]
    if modules:
        return needs.EXTRAS
    if _kubectl_minor() < OLDEST_KUBECTL:
        return needs.PROGRAMS
    return "" if sys.platform == "linux" else "pods get addresses of their own in 127.0.0.0/8 only on Linux"


def _kubectl_minor() -> int:
    """Return the minor version of kubectl 1.x on this machine; 0 if it is not installed."""
    if shutil.which("kubectl") is None:
        return 0
    words = ("kubectl", "version", "--client", "-o", "json")
    found = json.loads(subprocess.run(words, capture_output=True, text=True, timeout=60, check=True).stdout)
    return int(re.sub(r"\D", "", found["clientVersion"]["minor"]))


@dataclass(frozen=True)
class Kubernetes:
    """A running cluster."""

    directory: Path

    def kubeconfig(self, user: str = "admin") -> str:
        return str(self.directory / f"{user}.yaml")

    def kubectl(self, *words: str, text: str | None = None, fails: bool = False) -> str:
        """Run kubectl and return its stdout; if it must fail, its stderr."""
        environment = {**os.environ, "KUBECONFIG": self.kubeconfig(), "HOME": str(self.directory)}
        done = subprocess.run(
            ["kubectl", *words], input=text, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert (done.returncode != 0) == fails, f"kubectl {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stderr if fails else done.stdout

    def items(self, kind: str, labels: str = "", namespace: str = "default") -> list[dict]:
        """Return the objects of a kind, by HTTP, because kubectl starts slowly."""
        version = {"pods": "api/v1", "events": "api/v1", "jobs": "apis/batch/v1"}.get(
            kind, "apis/kubernetes.dask.org/v1"
        )
        server = yaml.safe_load(Path(self.kubeconfig()).read_text())["clusters"][0]["cluster"]["server"]
        query = urlencode({"labelSelector": labels})
        with urlopen(f"{server}/{version}/namespaces/{namespace}/{kind}?{query}", timeout=30) as response:
            return json.load(response)["items"]

    def ready(self, component: str, namespace: str = "default") -> list[dict]:
        """Return the ready pods of Dask's ``scheduler`` or ``worker``."""
        return [pod for pod in self.items("pods", f"dask.org/component={component}", namespace) if is_ready(pod)]

    def wait_for(self, what: str, find, timeout_s: float = 200):
        """Return the first true result of ``find``; fail with the logs of the pods if there is none in time."""
        until = time.monotonic() + timeout_s
        while not (found := find()):
            assert time.monotonic() < until, f"no {what} in {timeout_s} s\n{self.logs()}"
            time.sleep(0.2)
        return found

    def logs(self, last: int = 25) -> str:
        """Return the last lines of all logs."""
        ends = []
        for path in sorted(self.directory.rglob("*.log"), key=lambda path: path.stat().st_mtime):
            lines = path.read_text(errors="replace").splitlines()
            ends.append("\n".join([f"== {path.relative_to(self.directory)}", *lines[-last:]]))
        return "\n".join(ends)


@contextmanager
def kubernetes(directory: Path, *, operator: bool = True, image: dict[str, str] | None = None) -> Iterator[Kubernetes]:
    """Run a cluster with or without Dask's operator; the operator brings its resource definitions."""
    import dask_kubernetes

    chart = Path(dask_kubernetes.__file__).parent / "operator/deployment/helm/dask-kubernetes-operator/crds"
    definitions = chart if operator else directory / "none"
    network = Network(prefix_of_this_process())
    words = ("-m", "kube", directory, "--definitions", definitions, "--network", network.prefix)
    words += ("--image", json.dumps(image or {}))
    with _process(directory, "kube", *words, PYTHONPATH=pythonpath(TESTS)):
        cluster = Kubernetes(directory)
        cluster.wait_for("API server", Path(cluster.kubeconfig()).exists)
        if not operator:
            yield cluster
            return
        words = ("-m", "kopf", "run", "-m", "dask_kubernetes.operator.controller", "--standalone", "--all-namespaces")
        names = {"PYTHONPATH": str(POD_NETWORK), **network.environment(directory / "hosts")}
        with _process(directory, "operator", *words, KUBECONFIG=cluster.kubeconfig(), **names):
            yield cluster


@contextmanager
def _process(directory: Path, name: str, *words: object, **environment: str) -> Iterator[None]:
    with (directory / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], stdout=log, stderr=log, env={**os.environ, **environment}
        )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
