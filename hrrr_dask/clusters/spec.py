"""Specifies a cluster as frozen values, parsed from settings. Pure.

:func:`parse_cluster` is the only entry: what it accepts can be started, as far as can be checked here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from dask.utils import parse_bytes

from hrrr_dask.errors import ConfigError

__all__ = ["AddressSpec", "KubernetesSpec", "LocalSpec", "Workers", "parse_adapt", "parse_cluster"]

NANNY_BYTES: Final = 256 * 2**20
"""Memory for the nanny in a worker's pod [B]."""

_ADDRESS: Final = r"(tcp|tls|ws|wss|ucx)://\S+:\d+"
_NAME: Final = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_MAX_NAME_LENGTH: Final = 40
"""Maximum length of a name: a random suffix and the operator's additions must fit into the 63 characters of a label."""
_CPU: Final = r"\d+(\.\d+)?|\d+m"
_MEMORY: Final = r"\d+(\.\d+)?[KMGT]i?"
_IMAGE: Final = r"[a-z0-9]+[-a-zA-Z0-9._:/]*(@sha256:[0-9a-f]{64})?"
_ENV_NAME: Final = r"[A-Za-z_][A-Za-z0-9_]*"


@dataclass(frozen=True, slots=True)
class Workers:
    """Number of workers: a range for adaptive scaling, or a fixed number."""

    minimum: int
    """Minimum number."""
    maximum: int
    """Maximum number."""

    def __post_init__(self) -> None:
        if not 1 <= self.minimum <= self.maximum:
            raise ConfigError(
                f"{self.minimum} to {self.maximum} workers is not a range: write --adapt MIN:MAX with 1 <= MIN <= MAX"
            )

    @property
    def adaptive(self) -> bool:
        """Whether the number adapts to the work."""
        return self.minimum < self.maximum


@dataclass(frozen=True, slots=True)
class LocalSpec:
    """Worker processes on this machine."""

    workers: Workers | None = None
    """Number of processes; None for one per core."""
    threads: int = 1
    """Files that each process reads concurrently."""


@dataclass(frozen=True, slots=True)
class AddressSpec:
    """A scheduler that is started and stopped by others."""

    address: str = ""
    """Address, such as ``tcp://10.0.0.5:8786``."""
    scheduler_file: str = ""
    """Or path of the file to which the scheduler wrote its address."""


@dataclass(frozen=True, slots=True)
class KubernetesSpec:
    """A cluster of pods that Dask's operator creates for one command, and that is deleted with it."""

    image: str
    """Image with hrrr_dask, and the Python and Dask of this machine; its entrypoint, if any, must run its arguments."""
    workers: Workers
    """Worker pods, with one process each."""
    threads: int
    """Files that each process reads concurrently."""
    name: str = "hrrr-dask"
    """Prefix of the names of its objects."""
    namespace: str = ""
    """Namespace; empty for that of the kubeconfig or the pod."""
    cpu: str = "1"
    """CPU request of a worker in Kubernetes' spelling: ``2`` or ``500m``."""
    memory: str = "6Gi"
    """Memory request and limit of a worker: ``6Gi``."""
    scheduler_cpu: str = "1"
    """CPU request of the scheduler."""
    scheduler_memory: str = "4Gi"
    """Memory request and limit of the scheduler."""
    spot: bool = False
    """Whether workers may run on spot nodes of GKE and AKS, whose taints they then tolerate; the scheduler never
    does."""
    tolerations: tuple[Mapping[str, Any], ...] = ()
    """Further tolerations of workers."""
    node_selector: Mapping[str, str] = field(default_factory=dict)
    """Labels of the nodes for workers."""
    service_account: str = ""
    """Service account of scheduler and workers, which gives access to the store without a secret."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Environment of scheduler and workers, without secrets."""
    secrets: tuple[str, ...] = ()
    """Names of Secrets in the namespace whose keys become environment variables (``secretRef``)."""
    extra_pod_spec: Mapping[str, Any] = field(default_factory=dict)
    """Merged over the workers' pod spec: mappings by key, lists of named items by name; null removes a key."""
    extra_scheduler_pod_spec: Mapping[str, Any] = field(default_factory=dict)
    """Merged over the scheduler's pod spec in the same way."""
    start_timeout_s: float = 600.0
    """Timeout for the scheduler and the first worker to be ready; nodes may have to be added first [s]."""
    idle_timeout_s: int = 3600
    """Time without work after which the operator deletes a cluster that lost its command; 0 for never [s]."""

    def __post_init__(self) -> None:
        if not self.image:
            raise ConfigError(
                "setting kubernetes.image is missing: name an image that has hrrr_dask, such as "
                "--kubernetes-option image=registry.example/hrrr-dask:1.0"
            )
        _matches("image", self.image, _IMAGE, "registry.example/hrrr-dask:1.0")
        _matches("name", self.name, _NAME, "hrrr-dask", most=_MAX_NAME_LENGTH)
        for key in ("namespace", "service_account"):
            _matches(key, getattr(self, key) or "x", _NAME, "weather", most=63)
        for name in self.secrets:
            _matches("secrets", name, rf"{_NAME}(\.{_NAME})*", "store-credentials")
        for key in ("cpu", "scheduler_cpu"):
            _matches(key, getattr(self, key), _CPU, "2 or 500m")
        for key in ("memory", "scheduler_memory"):
            _matches(key, getattr(self, key), _MEMORY, "6Gi")
        for key in self.env:
            _matches("env", key, _ENV_NAME, "NAME: value")

    @property
    def worker_bytes(self) -> int:
        """Memory limit of the worker's process; the rest of its pod is for the nanny, which enforces it [B]."""
        whole = int(parse_bytes(self.memory + "B"))
        return max(whole - NANNY_BYTES, whole * 3 // 4)


def parse_cluster(settings: Mapping[str, Any]) -> LocalSpec | AddressSpec | KubernetesSpec:
    """Parse the settings ``cluster``, ``workers``, ``adapt``, ``threads`` and ``kubernetes``.

    Parameters
    ----------
    settings : mapping
        Resolved settings.

    Raises
    ------
    ConfigError
        If one is invalid, before anything is started or read.
    """
    cluster = settings["cluster"]
    workers = _workers(settings["workers"], settings["adapt"])
    threads = max(settings["threads"], 1)
    if cluster == "local":
        return LocalSpec(workers, threads)
    if cluster == "kubernetes":
        return _kubernetes(settings, workers, threads)
    if settings["adapt"]:
        raise ConfigError(
            f"--adapt is for clusters that are started here, not for {cluster}: leave it out, "
            f"or let whoever started that cluster adapt it"
        )
    if re.fullmatch(_ADDRESS, cluster):
        return AddressSpec(address=cluster)
    if cluster.endswith(".json"):
        if not Path(cluster).is_file():
            raise ConfigError(
                f"scheduler file {cluster} does not exist: start `dask scheduler --scheduler-file {cluster}` first"
            )
        return AddressSpec(scheduler_file=cluster)
    raise ConfigError(
        f"cluster {cluster!r} is unknown: write 'local', 'kubernetes', "
        f"a scheduler's address, tcp://HOST:8786, or its file, /shared/scheduler.json"
    )


def parse_adapt(text: str) -> Workers:
    """Parse ``MIN:MAX``.

    Raises
    ------
    ConfigError
        If it is not a range of whole numbers from 1 on.

    Examples
    --------
    >>> parse_adapt("2:200")
    Workers(minimum=2, maximum=200)
    """
    match = re.fullmatch(r"\s*(\d{1,6})\s*:\s*(\d{1,6})\s*", text)
    if match is None:
        raise ConfigError(f"--adapt {text!r} is not a range: write MIN:MAX, such as 2:200 (in YAML in quotes)")
    return Workers(int(match[1]), int(match[2]))


def _workers(number: int, adapt: str) -> Workers | None:
    if adapt and number:
        raise ConfigError(f"--workers {number} and --adapt {adapt} exclude each other: give one of them")
    if adapt:
        return parse_adapt(adapt)
    return Workers(number, number) if number else None


def _kubernetes(settings: Mapping[str, Any], workers: Workers | None, threads: int) -> KubernetesSpec:
    if workers is None:
        raise ConfigError("--cluster kubernetes needs the number of pods: give --workers N or --adapt MIN:MAX")
    given = {key.replace("-", "_"): value for key, value in settings["kubernetes"].items()}
    given |= {key: tuple(given[key]) for key in ("tolerations", "secrets")}
    spec = KubernetesSpec(workers=workers, threads=threads, **given)
    limit = settings["memory-limit-mb"] * 1_000_000
    if spec.worker_bytes < limit:
        raise ConfigError(
            f"a plan may take {settings['memory-limit-mb']} MB a worker, but setting kubernetes.memory {spec.memory} "
            f"leaves it {spec.worker_bytes // 1_000_000} MB: give more, or refuse larger plans with "
            f"--memory-limit-mb {spec.worker_bytes // 1_000_000}"
        )
    return spec


def _matches(key: str, value: str, pattern: str, example: str, most: int = 250) -> None:
    if not re.fullmatch(pattern, value) or len(value) > most:
        setting = "kubernetes." + key.replace("_", "-")
        longest = f", of at most {most} characters" if len(value) > most else ""
        raise ConfigError(f"setting {setting} {value!r} is not valid in Kubernetes: write it like {example}{longest}")
