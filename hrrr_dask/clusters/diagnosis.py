"""Diagnoses why the pods of a Kubernetes cluster do not run, from their status and events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["PodProblem", "describe_pods", "find_problems", "is_ready"]

Object = Mapping[str, Any]

_IMAGE_REASONS: Final = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
"""Reasons that remain after the image could not be pulled twice."""

_CONFIG_REASONS: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_MIN_CRASHES: Final = 2
"""Number of exits of a container after which it is not expected to recover."""

_LAST_EVENTS: Final = 8
"""Number of events that a description ends with."""


@dataclass(frozen=True, slots=True)
class PodProblem:
    """Reason why a pod does not run."""

    pod: str
    """Name of the pod."""
    text: str
    """What was found, and what to do."""
    permanent: bool
    """Whether waiting cannot help."""
    crashes: bool = False
    """Whether its log may show the cause."""


def find_problems(pods: Sequence[Object]) -> list[PodProblem]:
    """Return the reasons why pods do not run, permanent ones first."""
    found = [problem for pod in pods if not is_ready(pod) for problem in _pod_problems(pod)]
    return sorted(found, key=lambda problem: not problem.permanent)


def is_ready(pod: Object) -> bool:
    """Return whether the containers of a pod are ready."""
    return _condition(pod, "Ready").get("status") == "True"


def describe_pods(pods: Sequence[Object], events: Sequence[Object]) -> str:
    """Format the pods and their last events, one per line.

    Parameters
    ----------
    pods, events : sequence of mapping
        Objects of the API server.
    """
    lines = [f"pod {_name(pod)}: {_phase(pod)}" for pod in pods] or ["no pods exist"]
    ordered = sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in ordered[-_LAST_EVENTS:]:
        about = event.get("involvedObject", {}).get("name", "")
        lines.append(f"event of {about}: {event.get('reason', '')}: {' '.join(str(event.get('message', '')).split())}")
    return "\n".join(f"  {line}" for line in lines)


def _pod_problems(pod: Object) -> Iterator[PodProblem]:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield PodProblem(
            _name(pod),
            f"no node has room for it ({scheduled.get('message', scheduled.get('reason', 'unschedulable'))}): request "
            f"less with kubernetes.cpu and kubernetes.memory, add nodes, or check kubernetes.node-selector and "
            f"kubernetes.tolerations",
            permanent=False,
        )
    for status in pod.get("status", {}).get("containerStatuses", ()):
        yield from _container_problems(_name(pod), status)


def _container_problems(pod: str, status: Object) -> Iterator[PodProblem]:
    waiting = status.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    text = f"{reason}: {message}" if message else reason
    if reason in _IMAGE_REASONS:
        yield PodProblem(
            pod,
            f"image {status.get('image')} cannot be pulled ({text}): check kubernetes.image; a private registry needs "
            f"imagePullSecrets in kubernetes.extra-pod-spec and kubernetes.extra-scheduler-pod-spec",
            permanent=True,
        )
    elif reason in _CONFIG_REASONS:
        yield PodProblem(
            pod,
            f"its container cannot be created ({text}): check kubernetes.secrets and kubernetes.extra-pod-spec",
            permanent=True,
        )
    elif status.get("restartCount", 0) >= _MIN_CRASHES:
        ended = status.get("lastState", {}).get("terminated", {})
        why = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', '?')}"
        yield PodProblem(
            pod,
            f"its container exits repeatedly ({why}): check that image {status.get('image')} has hrrr_dask and "
            f"dask, and that the memory suffices",
            permanent=True,
            crashes=True,
        )


def _condition(pod: Object, kind: str) -> Object:
    conditions = pod.get("status", {}).get("conditions", ())
    return next((each for each in conditions if each.get("type") == kind), {})


def _phase(pod: Object) -> str:
    status = pod.get("status", {})
    waiting = [each.get("state", {}).get("waiting", {}).get("reason") for each in status.get("containerStatuses", ())]
    reasons = [reason for reason in (_condition(pod, "PodScheduled").get("reason"), *waiting) if reason]
    return ", ".join([status.get("phase", "Unknown"), *reasons, *(["ready"] if is_ready(pod) else [])])


def _name(pod: Object) -> str:
    return str(pod.get("metadata", {}).get("name", ""))
