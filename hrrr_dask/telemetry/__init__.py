"""Telemetry: what Prometheus can know of workers and commands.

Uses only `objects`, `outcomes` and `records`. Promises that nothing here raises into the work that is counted, that
labels are bounded and hold no secret, and that without ``prometheus_client`` every call does nothing.
"""

__all__ = ["definitions", "metrics", "output"]
