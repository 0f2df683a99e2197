"""Telemetry: what Prometheus can know of workers and commands, and what people are told of them.

Uses only `errors`, `objects`, `outcomes` and `records`. Promises that nothing here raises into the work that is counted
or told of, that labels are bounded, that labels and messages hold no secret, and that every library for it is optional.
"""

__all__ = ["definitions", "metrics", "notify", "output"]
