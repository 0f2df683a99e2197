"""Runs half a million files through the run loop, plans the whole archive, and reads a ledger of two million files.

Run ``python -m benchmarks.scale``. Nothing is read: the two stages return immediately, so that only the costs of run
loop, scheduler and workers for each file remain. Every part runs in its own process.
"""

from __future__ import annotations

import argparse
import gc
import os
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from functools import partial
from importlib.metadata import version
from typing import Any, Final

import numpy as np

from benchmarks.measuring import cpu_s, resident, spawn
from benchmarks.running import Answer, Row, make_parser, run_alone, say
from benchmarks.scale_ledger import compact_ledger, fold_ledger, write_ledger
from hrrr_dask.archive.fetch import FetchSettings
from hrrr_dask.archive.grid_probe import find_point_cells
from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import parse_selection, resolve_settings
from hrrr_dask.display.progress import Progress
from hrrr_dask.grid.points import Points
from hrrr_dask.job.loop import run
from hrrr_dask.job.pipeline import Job, PartitionReport
from hrrr_dask.job.tasks import Stages
from hrrr_dask.planning.layout import Axis, choose_layout
from hrrr_dask.planning.plan import Plan, all_values_of, iter_partitions, make_plan
from hrrr_dask.records import Extract, FileOutcome, Origin, Partition, Reading
from hrrr_dask.store.spec import StoreSpec
from hrrr_dask.testing import DEFAULT_WINDOW

FROM: Final = datetime(2018, 7, 13)
"""Since then each run has 19 lead hours and all default variables."""

ARCHIVE: Final[dict[str, Any]] = {
    "start": datetime(2014, 7, 30),
    "end": datetime(2026, 6, 30, 23),
    "lead_hours": "0-48",
}
"""A selection of more than two million files."""

SHARES: Final = (0.1, 0.2, 0.5, 1.0)
"""Of the files: when memory is looked at."""

N_POINTS: Final = 3


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a run costs when its work costs nothing."""

    files: int
    """Read and written."""
    files_per_task: int
    """As set; 0 is auto."""
    workers: int
    """Processes of one thread."""
    tasks: int
    """That were drawn up: reading and writing."""
    seconds: float
    """Wall time [s]."""
    client_cpu_s: float
    """User and system time of the process that has the client and the scheduler [s]."""
    workers_cpu_s: float
    """Of the workers [s]."""
    client_bytes: dict[str, int]
    """Share of the files to resident memory of that process [B]."""
    workers_bytes: dict[str, int]
    """Share of the files to resident memory of the largest worker [B]."""

    def row(self) -> dict[str, float]:
        """Figures for the table."""
        each = 1000 / self.files
        return {
            "files/s": self.files / self.seconds,
            "tasks/s": self.tasks / self.seconds,
            "wall ms/file": self.seconds * each,
            "client CPU ms/file": self.client_cpu_s * each,
            "client CPU ms/task": self.client_cpu_s * 1000 / self.tasks,
            "workers CPU ms/file": self.workers_cpu_s * each,
            **{f"client MB at {share}": size / 1e6 for share, size in self.client_bytes.items()},
            "client MB, growth 20-100 %": (self.client_bytes["100%"] - self.client_bytes["20%"]) / 1e6,
            **{f"worker MB at {share}": size / 1e6 for share, size in self.workers_bytes.items()},
            "worker MB, growth 20-100 %": (self.workers_bytes["100%"] - self.workers_bytes["20%"]) / 1e6,
        }


# The two stages


def extract_nothing(reading: Reading, job: Job) -> list[Extract]:
    """Stand for reading a file."""
    ((lead, names),) = reading.by_lead
    outcome = FileOutcome(reading.file, lead, names, {}, origin=Origin("nowhere", "0" * 32), n_points=N_POINTS)
    return [Extract(np.zeros((len(job.variables), N_POINTS), dtype=np.float32), outcome)]


def count_only(partition: Partition, extracts: Sequence[Extract], job: Job, attempt: int) -> PartitionReport:
    """Stand for writing a step."""
    del job, attempt
    return PartitionReport(partition.number, len(extracts), {}, 0, 0, 0, 0.0)


# The parts


def simulate(n_files: int, files_per_task: int, workers: int) -> dict[str, Any]:
    """Carry files through the run loop on a cluster of this machine."""
    from distributed import Client, LocalCluster

    settings = {"lead_hours": "0-18"}
    plan, axis = make(FROM, FROM + timedelta(hours=-(-n_files // 19) - 1), **settings)
    job = make_job(plan, axis, files_per_task)
    with (
        LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=":0", silence_logs=50) as cluster,
        Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        client.submit(extract_nothing, None, job, pure=False).exception()  # every process has loaded what it needs
        progress, drawn = Progress(plan.n_files), Drawn(files_per_task)
        gc.collect()
        began, cpu = time.perf_counter(), [cpu_s(pid) for pid in [os.getpid(), *pids]]
        with Watch(progress, pids) as watch:
            partitions = drawn.counting(iter_partitions(plan, axis, all_values_of(plan, axis)))
            result = run(client, job, partitions, progress, _silent, Stages(extract_nothing, count_only))
        seconds = time.perf_counter() - began
        ours, *theirs = (cpu_s(pid) - before for pid, before in zip([os.getpid(), *pids], cpu, strict=True))
    files = sum(report.files for report in result.reports)
    if files != plan.n_files:
        raise RuntimeError(f"{files} of {plan.n_files} files came through")
    found = (files, files_per_task, workers, drawn.tasks, seconds, ours, sum(theirs), watch.client, watch.workers)
    return asdict(Simulation(*found))


def plan_archive() -> dict[str, Any]:
    """Plan the whole archive, and draw up every partition."""
    import hrrr_dask.api  # noqa: F401  what the command line has loaded by then

    base, began = resident("VmRSS"), time.perf_counter()
    plan, axis = make(**ARCHIVE)
    planned = time.perf_counter() - began
    steps = files = 0
    for partition in iter_partitions(plan, axis, all_values_of(plan, axis)):
        steps, files = steps + 1, files + len(partition.readings)
    if files != plan.n_files:
        raise RuntimeError(f"the plan has {plan.n_files} files, its partitions have {files}")
    seconds = time.perf_counter() - began
    return {
        "files": files, "steps": steps, "make_plan s": planned, "seconds": seconds,
        "base_bytes": base, "peak_bytes": resident("VmHWM"),
    }  # fmt: skip


def make(start: datetime, end: datetime, **settings: Any) -> tuple[Plan, Axis]:
    """A plan for three points, and the store's axis."""
    selection = parse_selection(resolve_settings(**settings))
    axis = Axis(start.replace(hour=0), selection.cycles)
    layout = choose_layout(selection, N_POINTS)
    return make_plan(
        selection, Period(start, end), n_points=N_POINTS, layout=layout, now=end + timedelta(days=3), axis=axis
    ), axis


def make_job(plan: Plan, axis: Axis, files_per_task: int) -> Job:
    """What the workers are told."""
    latitude, longitude = DEFAULT_WINDOW.latlon(np.arange(N_POINTS) + 2.0, np.arange(N_POINTS) + 2.0)
    names = tuple(f"p{number}" for number in range(N_POINTS))
    points, section = Points(names, names, latitude, longitude), DEFAULT_WINDOW.section3()
    spec = StoreSpec(
        selection=plan.selection,
        points=points,
        cells=find_point_cells(points, section, plan.selection.method),
        grid_section=section,
        layout=plan.layout,
        axis=axis,
        asked_from=0,
        n_days=axis.days_to(plan.period.end),
        package_version=version("hrrr-dask"),
        sources=("nowhere",),
    )
    job = Job("scale", spec, "", (), (), FetchSettings(), "eccodes", 0, spec.package_version)
    object.__setattr__(job, "files_per_task", files_per_task)
    return job


class Drawn:
    """Counts what was drawn up."""

    def __init__(self, files_per_task: int) -> None:
        self._size = files_per_task
        self.tasks = 0

    def counting(self, partitions: Iterator[Partition]) -> Iterator[Partition]:
        """Pass them on; tasks of auto are counted as if they had a run each."""
        from hrrr_dask.job.batching import group

        for partition in partitions:
            self.tasks += 1 + len(group(partition.readings, self._size or 19))
            yield partition


class Watch:
    """Looks at memory when shares of the files are done, from a thread of its own."""

    def __init__(self, progress: Progress, workers: Sequence[int]) -> None:
        self._progress, self._pids = progress, workers
        self.client: dict[str, int] = {}
        self.workers: dict[str, int] = {}
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _look(self) -> None:
        for share in SHARES:
            while self._progress.files_done < share * self._progress.files_total and not self._end.wait(0.02):
                pass
            self.client[f"{share:.0%}"] = resident("VmRSS")
            self.workers[f"{share:.0%}"] = max(resident("VmRSS", pid) for pid in self._pids)


def _silent(progress: Progress) -> None:
    del progress


# Each in a process of its own


PARTS: Final[dict[str, Callable[..., dict[str, Any]]]] = {
    "simulate": simulate,
    "plan": plan_archive,
    "write_ledger": write_ledger,
    "fold": fold_ledger,
    "compact": compact_ledger,
}


def run_part(name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Measure in this process."""
    return PARTS[name](**arguments)


def elsewhere(name: str, **arguments: Any) -> dict[str, Any]:
    """One part, measured in a process of its own."""
    found: dict[str, Any] = spawn("benchmarks.scale.run_part", os.environ, name=name, arguments=arguments)
    return found


def measure_ledger(n_files: int) -> dict[str, dict[str, Any]]:
    """Fold a ledger as separate entries and as one object; both must say the same."""
    with tempfile.TemporaryDirectory() as directory:
        written = elsewhere("write_ledger", url=directory, n_files=n_files)
        found = {"separate entries": elsewhere("fold", url=directory) | written}
        found["compact"] = elsewhere("compact", url=directory)
        found["one object"] = elsewhere("fold", url=directory)
    if found["one object"]["complete"] != found["separate entries"]["complete"]:
        raise RuntimeError(f"a compacted ledger says something else: {found}")
    return found


def parser() -> argparse.ArgumentParser:
    """Its options."""
    made = make_parser("scale", __doc__, quick="5,000 files, a ledger of 20,000")
    made.add_argument("--files", type=int, default=500_000, help="to simulate (default 500,000)")
    made.add_argument("--second-files", type=int, default=0, help="in the second simulation (default: as many)")
    made.add_argument(
        "--files-per-task", type=_size, default=19, metavar="auto|N", help="of the second simulation (default 19)"
    )
    made.add_argument("--workers", type=int, default=0, help="processes of one thread (default: one for each core)")
    made.add_argument("--ledger-files", type=int, default=2_000_000, help="of the ledger (default 2,000,000)")
    made.add_argument("--plan-only", action="store_true", help="no simulation and no ledger")
    return made


def collect(given: argparse.Namespace) -> Answer:
    """Measure."""
    n_files, n_ledger = (5_000, 20_000) if given.quick else (given.files, given.ledger_files)
    found: Answer = {"machine": f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} at the start"}
    parts: dict[str, Callable[[], Any]] = {"plan": partial(elsewhere, "plan")}
    if not given.plan_only:
        workers = given.workers or os.cpu_count() or 1
        for size, files in ((1, n_files), (given.files_per_task, given.second_files or n_files)):
            label = f"simulation, {size or 'auto'} a task"
            parts[label] = partial(elsewhere, "simulate", n_files=files, files_per_task=size, workers=workers)
        parts["ledger"] = partial(measure_ledger, n_ledger)
    for label, part in parts.items():
        found[label] = part()
        say(f"{label}: measured")
    return found


def show(answer: Answer) -> None:
    """Print for people."""
    for label, figures in answer.items():
        if isinstance(figures, dict):
            print_part(label, figures)
        else:
            print(f"{label:<12} {figures}")


def readme_rows(answer: Answer) -> list[Row]:
    """For the README: nothing, no figure is a ratio."""
    del answer
    return []


def print_part(label: str, figures: dict[str, Any]) -> None:
    """Print for people."""
    print(f"\n{label}", flush=True)
    if label.startswith("simulation"):
        figures = {"files": figures["files"], "seconds": figures["seconds"]} | Simulation(**figures).row()
    for name, value in figures.items():
        if isinstance(value, dict):
            print_part(f"  {name}", value)
        else:
            shown = f"{value / 1e6:,.0f} MB" if name.endswith("bytes") else f"{value:,.3f}".rstrip("0").rstrip(".")
            print(f"  {name:<30}{shown:>16}")


def _size(text: str) -> int:
    from hrrr_dask.job.batching import parse_files_per_task

    return parse_files_per_task(text) or 0


if __name__ == "__main__":
    run_alone("scale")
