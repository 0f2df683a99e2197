"""Counts work where it is done, in the default registry of prometheus_client, which Dask's ``/metrics`` serves.

Each function is one call for a file or a commit, not for a message. Without prometheus_client the functions do nothing.
A process that nobody scrapes, such as a child that reads one file, can keep its calls and hand them to its parent.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import urlsplit

from hrrr_dask.records import FileOutcome, one_of_each_file
from hrrr_dask.telemetry.definitions import WORKER_METRICS, Metric

__all__ = [
    "count_commit",
    "count_file",
    "count_reading",
    "keep",
    "make",
    "note_source",
    "prepare",
    "replay",
    "safe_label",
]

_Live = Mapping[str, Any]
"""Name of each metric to its object of prometheus_client."""

_Figures = ParamSpec("_Figures")

Calls = list[tuple[str, tuple[Any, ...], dict[str, Any]]]
"""Calls of the functions of this module: name and arguments."""

RECENT_S: Final = 2 * 86_400.0
"""A file published longer ago is read by a backfill; the time since then says nothing of how fast this is [s]."""

_LOCK: Final = threading.Lock()
_made: _Live | None = None
_kept: Calls | None = None
_FUNCTIONS: Final[dict[str, Callable[..., None]]] = {}


def make(metric: Metric, registry: Any) -> Any:
    """Make the object of prometheus_client for a metric, and the series that are known."""
    import prometheus_client  # noqa: PLC0415  loaded by processes that count, not by every command

    kind = {"counter": prometheus_client.Counter, "gauge": prometheus_client.Gauge}.get(metric.kind)
    if kind is None:
        return prometheus_client.Histogram(
            metric.name, metric.help, metric.labels, buckets=metric.buckets, registry=registry
        )
    made = kind(metric.name, metric.help, metric.labels, registry=registry)
    for value in metric.values:
        made.labels(value)
    return made


def _live() -> _Live:
    """Return the metrics of this process, made and registered by the first call; empty without prometheus_client."""
    global _made  # noqa: PLW0603  prometheus_client's registry is one for the process, too
    if _made is None:
        with _LOCK:
            if _made is None:
                try:
                    from prometheus_client import REGISTRY  # noqa: PLC0415  see make
                except ImportError:
                    _made = {}
                else:
                    _made = {name: make(metric, REGISTRY) for name, metric in WORKER_METRICS.items()}
    return _made


def _counted(function: Callable[Concatenate[_Live, _Figures], None]) -> Callable[_Figures, None]:
    """Call a function with the metrics of this process; not at all without, and later if calls are kept."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: _Figures.args, **figures: _Figures.kwargs) -> None:
        if _kept is not None:
            _kept.append((name, args, figures))
        elif live := _live():
            function(live, *args, **figures)

    _FUNCTIONS[name] = call
    return call


def prepare() -> None:
    """Make the metrics, so that a process shows zeros before its first file: a rate needs a first value."""
    _live()


def keep() -> Calls:
    """Keep all further calls of this process in the list that is returned, for :func:`replay` in another process."""
    global _kept  # noqa: PLW0603  for the whole process
    _kept = []
    return _kept


def replay(calls: Calls) -> None:
    """Count what another process kept."""
    for name, args, figures in calls:
        _FUNCTIONS[name](*args, **figures)


@functools.lru_cache(maxsize=256)
def safe_label(url: str) -> str:
    """Return a URL as the value of a label: without user, password, query and fragment. Names stay as they are.

    Examples
    --------
    >>> safe_label("https://me:hunter2@example.org/hrrr/?signature=hunter2")
    'https://example.org/hrrr'
    >>> safe_label("aws")
    'aws'
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        return "malformed"
    if not parts.scheme:
        return url.partition("?")[0]
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")


@_counted
def count_reading(live: _Live, source: str, counts: tuple[int, int, int], *, fetch_s: float, decode_s: float) -> None:
    """Count one file read from one source: its requests, retries and bytes [B], and the times of the two stages [s]."""
    source, (requests, retries, bytes_read) = safe_label(source), counts
    live["hrrr_dask_requests_total"].labels(source).inc(requests)
    live["hrrr_dask_retries_total"].labels(source).inc(retries)
    live["hrrr_dask_read_bytes_total"].labels(source).inc(bytes_read)
    live["hrrr_dask_fetch_seconds"].labels(source).observe(fetch_s)
    live["hrrr_dask_decode_seconds"].observe(decode_s)


@_counted
def count_file(live: _Live, outcomes: Sequence[FileOutcome]) -> None:
    """Count one file, from its outcomes at each lead time."""
    wanted = sum(len(outcome.wanted) for outcome in outcomes)
    missing = sum(len(outcome.reasons) for outcome in outcomes)
    outcome = "complete" if not missing else "partial" if missing < wanted else "missing"
    live["hrrr_dask_files_total"].labels(outcome).inc()


@_counted
def count_commit(live: _Live, store: str, outcomes: Sequence[FileOutcome], bytes_written: int, seconds: float) -> None:
    """Count one committed step of a store: the outcomes of its files, what was written [B], how long it took [s]."""
    gaps = Counter(reason for outcome in outcomes for reason in outcome.reasons.values())
    live["hrrr_dask_values_written_total"].inc(sum(len(outcome.wanted) for outcome in outcomes) - gaps.total())
    for reason, count in gaps.items():
        live["hrrr_dask_values_missing_total"].labels(reason).inc(count)
    live["hrrr_dask_written_bytes_total"].inc(bytes_written)
    live["hrrr_dask_write_seconds"].observe(seconds)
    now, latency = datetime.now(UTC), live["hrrr_dask_publication_to_store_seconds"]
    files = one_of_each_file(outcome for outcome in outcomes if len(outcome.reasons) < len(outcome.wanted))
    for published in (file.origin.published for file in files):
        age_s = RECENT_S if published is None else (now - published.replace(tzinfo=UTC)).total_seconds()
        if 0 <= age_s < RECENT_S:
            latency.observe(age_s)
    if files:
        newest = max(file.file.init_time for file in files)
        _raise_newest(live, safe_label(store), newest.replace(tzinfo=UTC).timestamp())


_newest: Final[dict[str, float]] = {}


def _raise_newest(live: _Live, store: str, timestamp: float) -> None:
    """Set the newest run of a store, which an older one does not replace."""
    with _LOCK:
        _newest[store] = max(timestamp, _newest.get(store, timestamp))
        live["hrrr_dask_newest_run_timestamp_seconds"].labels(store).set(_newest[store])


@_counted
def note_source(live: _Live, source: str, *, down: bool) -> None:
    """Note whether a source is skipped by this process."""
    live["hrrr_dask_source_down"].labels(safe_label(source)).set(down)
