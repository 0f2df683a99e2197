"""The measured process of :mod:`benchmarks.end_to_end`: a backfill on two workers, and its stages one after the other.

The cost of a stage is the CPU time of the process, all threads, while only that stage runs.
"""

from __future__ import annotations

import gc
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, Final
from unittest.mock import patch

import numpy as np
import obstore
from distributed import Client
from distributed.versions import get_versions

from benchmarks.bare_socket import Range, receive
from benchmarks.case import FILE, scatter_points
from benchmarks.full_archive import Archive
from benchmarks.measuring import cpu_s, resident
from hrrr_dask import api
from hrrr_dask.catalog.variables import DEFAULT_VARIABLES
from hrrr_dask.display.progress import Progress
from hrrr_dask.job import backfill as job_backfill
from hrrr_dask.job import pipeline
from hrrr_dask.job.loop import RunResult
from hrrr_dask.job.pipeline import Job, PartitionReport
from hrrr_dask.malloc import keep_freed_memory
from hrrr_dask.records import Partition
from hrrr_dask.testing import GridWindow, expected_field

__all__ = ["REHEARSAL", "STAGES", "archive_of", "run_backfill", "run_stages", "run_stages_after_rehearsal"]

STAGES: Final = {
    "fetch": "read_messages",
    "decode": "compute_point_values",
}
"""Stage to the function of :mod:`hrrr_dask.job.pipeline` that is all of it, and is called once a file and source."""

REHEARSAL: Final = ((288, 794, 24, 32), 1, 1)
"""Of an :class:`~benchmarks.full_archive.Archive`: one small file."""

WORKER_VARIABLES: Final = ("MALLOC_TRIM_THRESHOLD_", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
"""What a nanny may set for its workers."""


def run_backfill(request: dict[str, Any], store: str, workers: int) -> dict[str, Any]:
    """Backfill on a local cluster, whose processes have loaded what they need before.

    Parameters
    ----------
    request : dict
        ``archive`` (of :class:`~benchmarks.full_archive.Archive`), ``share``, ``url``, ``options``, ``engine``,
        ``threads``, and ``small``: URL of the archive of :data:`REHEARSAL`.
    store : str
        A directory that is not there.
    workers : int
        Processes.
    """
    from hrrr_dask.clusters import open_client
    from hrrr_dask.clusters.spec import LocalSpec, Workers

    with open_client(LocalSpec(Workers(workers, workers), request["threads"])) as client:
        _rehearse(request)
        loaded = client.run(_rehearse, request)
        pids = [os.getpid(), *(pid for pid, _ in loaded.values())]
        command_s = sum(_timed(pids, lambda: _backfill(_small(request), f"{store}.small", client))[0])
        gc.collect()
        began = time.perf_counter()
        (client_s, *workers_s), report = _timed(pids, lambda: _backfill(request, store, client))
        seconds = time.perf_counter() - began
        peak = max(resident("VmHWM", pid) for pid in pids[1:])
    _check_values(request, store)
    return {
        "seconds": seconds,
        "client_cpu_s": client_s,
        "workers_cpu_s": sum(workers_s),
        "command_cpu_s": command_s,
        "worker_peak_bytes": peak,
        "files": report.files_read,
        "bytes_read": report.bytes_read,
        "requests": report.requests,
        "environment": next(iter(loaded.values()))[1],
    }


def run_stages_after_rehearsal(request: dict[str, Any], store: str) -> dict[str, float]:
    """:func:`run_stages`, in a process that has loaded what it needs before."""
    _rehearse(request)
    return run_stages(request, store)


def run_stages(request: dict[str, Any], store: str) -> dict[str, float]:
    """Do the same in this process, without Dask: CPU time of each stage [s].

    Returns
    -------
    dict
        ``fetch``, ``decode``, ``store``; ``rest`` is what a worker does with a file besides; ``socket`` is receiving
        the same byte ranges on a bare socket, into one buffer; NaN for a source on S3.
    """
    meter = Meter()
    ranges: list[Range] = []

    def get_and_note(store: Any, key: str, *, options: Any) -> Any:
        given = options.get("range", (0, None))
        start, stop = (given["offset"], None) if isinstance(given, dict) else given
        ranges.append((key, start, stop))
        return obstore.get(store, key, options=options)

    def run_here(
        client: object, job: Job, partitions: Iterator[Partition], progress: Progress, show: object
    ) -> RunResult:
        del client, progress, show
        return RunResult(tuple(_one_after_the_other(job, partitions, meter)), interrupted=False)

    with (
        patch.object(job_backfill, "run", run_here),
        patch("hrrr_dask.archive.fetch.obstore", SimpleNamespace(get=get_and_note)),
    ):
        report = _backfill(request, store, _NoCluster())
    if report.files_read != len(_archive(request).files):
        raise RuntimeError(f"{report.files_read} files came through")
    spent = meter.cpu_s
    spent["rest"] = spent.pop("extract") - sum(spent[stage] for stage in STAGES)
    spent["socket"] = math.nan if request["url"].startswith("s3://") else receive(request["url"], ranges)
    return spent


@dataclass(slots=True)
class Meter:
    """Adds up CPU time by name."""

    cpu_s: dict[str, float] = field(default_factory=dict)
    """Name to what the process has used under it [s]."""

    def metered(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, with its CPU time added up."""

        def wrapper(*arguments: Any, **named: Any) -> Any:
            before = time.process_time()
            try:
                return function(*arguments, **named)
            finally:
                self.cpu_s[name] = self.cpu_s.get(name, 0.0) + time.process_time() - before

        return wrapper


def _one_after_the_other(job: Job, partitions: Iterator[Partition], meter: Meter) -> Iterator[PartitionReport]:
    extract, write = (
        meter.metered(name, function)
        for name, function in (("extract", pipeline.extract_file), ("store", pipeline.write_partition))
    )
    with ExitStack() as stack:
        for stage, name in STAGES.items():
            stack.enter_context(patch.object(pipeline, name, meter.metered(stage, getattr(pipeline, name))))
        for partition in partitions:
            extracts = [each for reading in partition.readings for each in extract(reading, job)]
            yield write(partition, extracts, job)


class _NoCluster(Client):  # type: ignore[misc]  # distributed says Any
    """As much of a client as a backfill asks for before it runs."""

    status, asynchronous, dashboard_link = "running", False, ""

    def __init__(self) -> None:
        """Connect to nothing."""

    def __del__(self) -> None:
        """Close nothing."""

    __repr__ = object.__repr__

    def get_versions(self, packages: Sequence[str]) -> dict[str, Any]:
        here = get_versions(packages)
        return {"client": here, "scheduler": here, "workers": {}}


def archive_of(sizes: Sequence[Any]) -> Archive:
    """An archive out of what JSON carries: the window's four numbers, runs and lead hours."""
    window, *counts = sizes
    return Archive(GridWindow(*window), *counts)


def _archive(request: dict[str, Any]) -> Archive:
    return archive_of(request["archive"])


def _backfill(request: dict[str, Any], store: str, client: Any) -> Any:
    archive = _archive(request)
    first, last = archive.files[0].init_time, archive.files[-1].init_time
    report = api.backfill(
        scatter_points(archive.window, request["share"]),
        first,
        last,
        store,
        client=client,
        source=[request["url"]],
        source_options=request["options"],
        engine=request["engine"],
        lead_hours=[file.lead_hours for file in archive.files[: archive.n_leads]],
        cycles=list(range(archive.n_runs)),
        axis_start=f"{first:%Y-%m-%d}",
        partition_days=1,
    )
    if report.gaps:
        raise RuntimeError(f"the synthetic archive has no gaps, the store has {report.gaps}")
    return report


def _check_values(request: dict[str, Any], store: str) -> None:
    """Compare a store with what went into the archive, bit for bit but for the wind, which was turned."""
    import hrrr_dask

    archive = _archive(request)
    with hrrr_dask.open_dataset(store) as dataset:
        y, x = dataset["cell_y"].to_numpy(), dataset["cell_x"].to_numpy()
        for name in DEFAULT_VARIABLES:
            found = dataset[name].to_numpy()[: archive.n_runs]
            wanted = expected_field(name, FILE.init_time, 60 * FILE.lead_hours, archive.window)[y, x]
            if np.isnan(found).any() or ("wind" not in name and (found != wanted).any()):
                raise RuntimeError(f"{name} has other values than the archive; no figure is worth printing")


def _timed(pids: Sequence[int], work: Callable[[], Any]) -> tuple[list[float], Any]:
    """CPU time that some processes use while something is done [s]."""
    before = [cpu_s(pid) for pid in pids]
    result = work()
    return [cpu_s(pid) - was for pid, was in zip(pids, before, strict=True)], result


def _small(request: dict[str, Any]) -> dict[str, Any]:
    return request | {"archive": REHEARSAL, "url": request["small"]}


def _rehearse(request: dict[str, Any]) -> tuple[int, dict[str, str]]:
    """Do all stages once, for one small file: imports, tables, compiled code.

    Gives the process's id, and what its nanny set.
    """
    keep_freed_memory()  # as the run loop has it on its workers
    with tempfile.TemporaryDirectory() as directory:
        run_stages(_small(request), f"{directory}/store.zarr")
    return os.getpid(), {name: os.environ[name] for name in WORKER_VARIABLES if name in os.environ}
