"""The metrics: name, kind, help, unit and labels of each. ``python docs/metrics.py`` writes their reference page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from hrrr_dask.outcomes import OUTCOMES

__all__ = ["COMMAND_METRICS", "FILE_OUTCOMES", "REASONS", "WORKER_METRICS", "Metric"]

FILE_OUTCOMES: Final = ("complete", "partial", "missing")
"""Outcomes of a file: every wanted value is there, some are, none is."""

REASONS: Final = tuple(name for name in OUTCOMES if name not in ("not-ingested", "complete", "partial"))
"""Reasons of one missing value."""

_FETCH_S: Final = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_DECODE_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
_WRITE_S: Final = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0)
_LATENCY_S: Final = (60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 10800.0, 21600.0, 43200.0, 86400.0)


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Its name follows Prometheus' conventions: the unit in the plural, and ``_total`` for a counter."""

    name: str
    """Full name, as it is queried; a histogram's series have ``_bucket``, ``_sum`` and ``_count`` after it."""
    kind: Literal["counter", "gauge", "histogram"]
    """Type of the metric."""
    unit: str
    """Unit of the value."""
    help: str
    """One sentence, also on ``/metrics``."""
    labels: tuple[str, ...] = ()
    """Names of the labels."""
    values: tuple[str, ...] = ()
    """All values of the only label, if they are known: their series exist from the start, with 0."""
    buckets: tuple[float, ...] = ()
    """Upper limits of a histogram's buckets."""

    @property
    def series(self) -> tuple[str, ...]:
        """Names that a query can use."""
        return tuple(self.name + end for end in ("_bucket", "_sum", "_count")) if self.buckets else (self.name,)


WORKER_METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "hrrr_dask_files_total",
            "counter",
            "files",
            "Files read: complete, partial (some values are missing) or missing (all are).",
            ("outcome",),
            FILE_OUTCOMES,
        ),
        Metric(
            "hrrr_dask_requests_total",
            "counter",
            "requests",
            "Requests to a source of the archive, including retries.",
            ("source",),
        ),
        Metric(
            "hrrr_dask_retries_total",
            "counter",
            "requests",
            "Requests to a source that repeat a failed one.",
            ("source",),
        ),
        Metric(
            "hrrr_dask_read_bytes_total",
            "counter",
            "bytes",
            "Bytes received from a source of the archive.",
            ("source",),
        ),
        Metric(
            "hrrr_dask_fetch_seconds",
            "histogram",
            "seconds",
            "Time to download the wanted messages of one file from a source, with retries.",
            ("source",),
            buckets=_FETCH_S,
        ),
        Metric(
            "hrrr_dask_decode_seconds",
            "histogram",
            "seconds",
            "Time to decode the wanted messages of one file and to compute the values at the points.",
            buckets=_DECODE_S,
        ),
        Metric(
            "hrrr_dask_write_seconds",
            "histogram",
            "seconds",
            "Time to write and commit one step of a partition.",
            buckets=_WRITE_S,
        ),
        Metric(
            "hrrr_dask_values_written_total",
            "counter",
            "values",
            "Values (init_time, lead_time, variable) committed to a store.",
        ),
        Metric(
            "hrrr_dask_values_missing_total",
            "counter",
            "values",
            "Values (init_time, lead_time, variable) committed as gaps, by reason, each time that they are tried.",
            ("reason",),
            REASONS,
        ),
        Metric(
            "hrrr_dask_written_bytes_total",
            "counter",
            "bytes",
            "Bytes written to a store.",
        ),
        Metric(
            "hrrr_dask_publication_to_store_seconds",
            "histogram",
            "seconds",
            "Time from the publication of a file to its commit; only files published less than two days ago count.",
            buckets=_LATENCY_S,
        ),
        Metric(
            "hrrr_dask_newest_run_timestamp_seconds",
            "gauge",
            "seconds since 1970",
            "Init time of the newest run of which values were committed to a store; its age is time() minus this.",
            ("store",),
        ),
        Metric(
            "hrrr_dask_source_down",
            "gauge",
            "0 or 1",
            "Whether this process skips a source because it does not respond; 0 again with its next response.",
            ("source",),
        ),
    )
}
"""On ``/metrics`` of every worker, by name."""

COMMAND_METRICS: Final = {
    metric.name: metric
    for metric in (
        Metric(
            "hrrr_dask_command_exit_code",
            "gauge",
            "code",
            "Exit code of the last run of a command: 0 done, 1 failed, 2 usage, 3 done with gaps.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_end_timestamp_seconds",
            "gauge",
            "seconds since 1970",
            "When the last run of a command ended.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_duration_seconds",
            "gauge",
            "seconds",
            "Wall time of the last run of a command.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_files",
            "gauge",
            "files",
            "Files that the last run of a command read, or compared.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_requests",
            "gauge",
            "requests",
            "Requests of the last run of a command to the archive, including retries.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_read_bytes",
            "gauge",
            "bytes",
            "Bytes that the last run of a command read from the archive.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_written_bytes",
            "gauge",
            "bytes",
            "Bytes that the last run of a command wrote to the store.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_gaps",
            "gauge",
            "values",
            "Missing values (init_time, lead_time, variable) of the period of the last run of a command, by reason.",
            ("command", "store", "reason"),
        ),
        Metric(
            "hrrr_dask_command_newest_run_timestamp_seconds",
            "gauge",
            "seconds since 1970",
            "Init time of the newest run with values in the period of the last run of a command.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_differences",
            "gauge",
            "values",
            "Values that differ from the archive or from their checksums, as the last run of verify found.",
            ("command", "store"),
        ),
        Metric(
            "hrrr_dask_command_ledger_objects",
            "gauge",
            "objects",
            "Objects of the ledger after the last run of compact.",
            ("command", "store"),
        ),
    )
}
"""Of ``--metrics``, by name."""
