"""Write ``docs/metrics.md``: every metric with its labels, unit and meaning, from ``hrrr_dask.telemetry.definitions``.

Usage: python docs/metrics.py
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from hrrr_dask.telemetry.definitions import COMMAND_METRICS, WORKER_METRICS, Metric

PAGE = Path(__file__).with_suffix(".md")

HEAD = """\
# Metrics

Every metric of this package. `python docs/metrics.py` writes this page from `hrrr_dask/telemetry/definitions.py`; a
test checks that it is up to date. [Operations](operations.md) shows how they are scraped, drawn and alerted on.

Sources and stores are labelled by their name or URL, without user, password and query.

## Workers

On `/metrics` of each Dask worker, beside [Dask's own](https://distributed.dask.org/en/stable/prometheus.html). Counters
start at 0 with each worker, and count all work that is done: a file that is read again, because its worker was lost,
counts twice. Without such files their sums are the figures of the report.
"""

COMMANDS = """
## Commands

Of `--metrics FILE` or `--metrics http://HOST:9091`, when a command ends. Each has the labels `command` and `store`. A
failed command has only its exit code, end and duration.
"""


def rows(metrics: Iterable[Metric], common: tuple[str, ...] = ()) -> Iterator[str]:
    """Lines of a table."""
    yield "\n| metric | type | labels | unit | meaning |\n| --- | --- | --- | --- | --- |\n"
    for metric in metrics:
        own = [name for name in metric.labels if name not in common]
        labels = ", ".join(f"`{name}`" + (f" ({', '.join(metric.values)})" if metric.values else "") for name in own)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.unit} | {metric.help} |\n"


def write() -> str:
    """The page."""
    commands = rows(COMMAND_METRICS.values(), ("command", "store"))
    return "".join([HEAD, *rows(WORKER_METRICS.values()), COMMANDS, *commands])


if __name__ == "__main__":
    PAGE.write_text(write(), encoding="utf-8")
