"""Finds out why the pods of a cluster do not run, from their status and events. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["Trouble", "is_ready", "story", "troubles"]

Object = Mapping[str, Any]

_IMAGE: Final = ("ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull")
"""Reasons that remain after the image could not be pulled twice."""

_CONFIG: Final = ("CreateContainerConfigError", "CreateContainerError", "RunContainerError")
_CRASHES: Final = 2
"""Number of exits of a container that are not accidental."""

_LAST_EVENTS: Final = 8
"""Number of events at the end of a story."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """Reason why a pod does not run."""

    pod: str
    """Name of the pod."""
    text: str
    """What was found, and what to do."""
    hopeless: bool
    """Whether waiting cannot help."""
    crashes: bool = False
    """Whether its log may show the cause."""


def troubles(pods: Sequence[Object]) -> list[Trouble]:
    """Return the reasons why pods do not run, those that waiting cannot help first."""
    found = [trouble for pod in pods if not is_ready(pod) for trouble in _of_pod(pod)]
    return sorted(found, key=lambda trouble: not trouble.hopeless)


def is_ready(pod: Object) -> bool:
    """Return whether the containers of a pod are ready."""
    return _condition(pod, "Ready").get("status") == "True"


def story(pods: Sequence[Object], events: Sequence[Object]) -> str:
    """Format the pods and their last events, one per line.

    Parameters
    ----------
    pods, events : sequence of mapping
        Objects of the API server.
    """
    lines = [f"pod {_name(pod)}: {_phase(pod)}" for pod in pods] or ["there are no pods"]
    ordered = sorted(events, key=lambda event: str(event.get("lastTimestamp") or event.get("eventTime") or ""))
    for event in ordered[-_LAST_EVENTS:]:
        about = event.get("involvedObject", {}).get("name", "")
        lines.append(f"event of {about}: {event.get('reason', '')}: {' '.join(str(event.get('message', '')).split())}")
    return "\n".join(f"  {line}" for line in lines)


def _of_pod(pod: Object) -> Iterator[Trouble]:
    scheduled = _condition(pod, "PodScheduled")
    if scheduled.get("status") == "False":
        yield Trouble(
            _name(pod),
            f"no node has room for it ({scheduled.get('message', scheduled.get('reason', 'unschedulable'))}): ask for "
            f"less with kubernetes.cpu and kubernetes.memory, add nodes, or look at kubernetes.node-selector and "
            f"kubernetes.tolerations",
            hopeless=False,
        )
    for status in pod.get("status", {}).get("containerStatuses", ()):
        yield from _of_container(_name(pod), status)


def _of_container(pod: str, status: Object) -> Iterator[Trouble]:
    waiting = status.get("state", {}).get("waiting", {})
    reason, message = waiting.get("reason", ""), waiting.get("message", "")
    said = f"{reason}: {message}" if message else reason
    if reason in _IMAGE:
        yield Trouble(
            pod,
            f"image {status.get('image')} cannot be pulled ({said}): check kubernetes.image; a private registry needs "
            f"imagePullSecrets in kubernetes.extra-pod-spec and kubernetes.extra-scheduler-pod-spec",
            hopeless=True,
        )
    elif reason in _CONFIG:
        yield Trouble(
            pod,
            f"its container cannot be made ({said}): check kubernetes.secrets and kubernetes.extra-pod-spec",
            hopeless=True,
        )
    elif status.get("restartCount", 0) >= _CRASHES:
        ended = status.get("lastState", {}).get("terminated", {})
        why = f"{ended.get('reason', 'Error')}, exit code {ended.get('exitCode', '?')}"
        yield Trouble(
            pod,
            f"its container ends again and again ({why}): see whether image {status.get('image')} has hrrr_dask and "
            f"dask, and enough memory",
            hopeless=True,
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
