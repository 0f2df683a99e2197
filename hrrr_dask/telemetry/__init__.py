"""Telemetry: metrics and logs of workers and commands, and what people and Sentry are told of them.

Uses only `display`, `errors`, `objects`, `outcomes` and `records`. Promises that nothing here raises into the work that
is counted or told of, that labels are bounded, that labels, logs and messages hold no secret, and that every library
for it is optional.
"""

__all__ = ["definitions", "faults", "log_progress", "logs", "metrics", "notify", "output"]
