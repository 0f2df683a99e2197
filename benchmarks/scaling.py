"""Estimates hours and dollars for years of the archive by the number of workers, and the limit reached first.

Run ``python -m benchmarks.scaling``. Nothing is measured: files, bytes, requests and CPU time are from the package's
plan and cost model, speeds from ``benchmarks/README.md``, limits of S3 from AWS. docs/scaling.md has the tables.
"""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Final

from hrrr_dask.config.period import Period
from hrrr_dask.config.settings import FILES_AT_ONCE, parse_selection, resolve_settings
from hrrr_dask.job.batching import files_per_task
from hrrr_dask.job.costs import DEFAULT_CALIBRATION, DOLLARS_PER_CORE_HOUR, Costs, estimate
from hrrr_dask.planning.layout import Axis, choose_layout
from hrrr_dask.planning.plan import Plan, make_plan

__all__ = ["PERIODS", "Limits", "Outlook", "limits_of", "look", "outlook", "plan_of", "sizes", "tables"]

PERIODS: Final = {
    "1 year": (datetime(2025, 1, 1), datetime(2025, 12, 31, 23)),
    "5 years": (datetime(2021, 1, 1), datetime(2025, 12, 31, 23)),
    "11 years": (datetime(2015, 1, 1), datetime(2025, 12, 31, 23)),
}
"""First and last init time."""

WORKERS: Final = (10, 50, 200, 1000)

N_POINTS: Final = 500

SIZES: Final = (1, 10, 100, 1_000, 10_000, 20_000, 50_000)
"""Numbers of points."""

OPENING_REQUESTS: Final = 9
"""Requests to open a store with Zarr and to read its coordinates, counted by :mod:`benchmarks.store_read`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What bounds the files a second that are read, beside the workers' own CPU time."""

    file_s: float = 0.17
    """One file in one thread, most of it waiting, at 60 MB/s a connection: 2 workers of one thread read 11.8 files/s
    (benchmarks/README.md, a backfill) [s]."""
    threads: int = FILES_AT_ONCE
    """Files that a worker reads at once."""
    node_cores: int = 8
    """Workers of one node: one core each."""
    node_gbit: float = 10.0
    """Network of a node [Gbit/s]."""
    gets_per_s: float = 5500.0
    """Of one partitioned prefix, https://docs.aws.amazon.com/AmazonS3/latest/userguide/optimizing-performance.html
    [1/s]."""
    prefixes: int = 1
    """Into how many of them S3 has divided what is read at a time; each day of the archive begins with another one."""
    task_s: float = 0.00187
    """Of the scheduler and the client, for a task: 501 files/s at a file a task and 4,430 at 19 (benchmarks/README.md,
    scale) are this and the next [s]."""
    task_file_s: float = 0.000127
    """The same for each file of a task [s]."""

    def files_per_s(self, plan: Plan, cpu_s: float, workers: int) -> dict[str, float]:
        """What each of them allows [1/s].

        Parameters
        ----------
        plan : Plan
            How large a file is, and how many lead hours a task may carry.
        cpu_s : float
            CPU time of a file [s].
        workers : int
            One core each.
        """
        size = files_per_task(workers * self.threads, self.file_s, len(plan.selection.lead_minutes), plan.n_files)
        bytes_a_file, requests_a_file = plan.bytes_to_read / plan.n_files, plan.requests / plan.n_files
        return {
            "cores": workers / cpu_s,
            "threads": workers * self.threads / self.file_s,
            "network": workers / self.node_cores * self.node_gbit * 1e9 / 8 / bytes_a_file,
            "scheduler": size / (self.task_s + size * self.task_file_s),
            "prefix": self.prefixes * self.gets_per_s / requests_a_file,
        }


@dataclass(frozen=True, slots=True)
class Outlook:
    """What so many workers make of a plan."""

    period: str
    """Its name."""
    files: int
    """To read."""
    workers: int
    """One core each."""
    files_per_s: float
    """With all limits [1/s]."""
    limit: str
    """Which is reached first."""
    hours: float
    """Wall time, without the start of nodes [h]."""
    busy: float
    """Share of the cores' time that is used."""
    dollars: float
    """Of the workers' cores, whether they are busy or wait [USD]."""


@cache
def plan_of(period: str) -> tuple[Plan, Costs]:
    """The eleven variables, hourly runs, lead hours 0-18, of one of :data:`PERIODS`; and what they cost."""
    selection, (start, end) = parse_selection(resolve_settings()), PERIODS[period]
    plan = make_plan(
        selection,
        Period(start, end),
        n_points=N_POINTS,
        layout=choose_layout(selection, N_POINTS),
        now=datetime(2026, 6, 1),
        axis=Axis(start, selection.cycles),
    )
    return plan, estimate(plan, DEFAULT_CALIBRATION, DOLLARS_PER_CORE_HOUR)


def outlook(period: str, plan: Plan, costs: Costs, workers: int, limits: Limits) -> Outlook:
    """Apply the limits."""
    cpu_s = costs.core_hours * 3600 / costs.files
    allowed = limits.files_per_s(plan, cpu_s, workers)
    limit = min(allowed, key=lambda name: allowed[name])
    hours = costs.files / allowed[limit] / 3600
    return Outlook(
        period=period,
        files=costs.files,
        workers=workers,
        files_per_s=allowed[limit],
        limit=limit,
        hours=hours,
        busy=costs.core_hours / (hours * workers),
        dollars=hours * workers * costs.dollars_per_core_hour,
    )


def limits_of(plan: Plan, costs: Costs, limits: Limits) -> dict[str, float]:
    """How many workers each limit can keep busy; for a node's network: cores of a node."""
    cpu_s = costs.core_hours * 3600 / costs.files
    one = limits.files_per_s(plan, cpu_s, 1)
    leads = len(plan.selection.lead_minutes)
    return {
        "scheduler, a file a task": cpu_s / (limits.task_s + limits.task_file_s),
        "scheduler, a run a task": cpu_s * leads / (limits.task_s + leads * limits.task_file_s),
        "one prefix of the archive": cpu_s * limits.gets_per_s * plan.n_files / plan.requests,
        f"network of a node, {limits.node_gbit:g} Gbit/s": limits.node_cores * one["network"] * cpu_s,
    }


def look(workers: Sequence[int], limits: Limits) -> list[Outlook]:
    """Every period with every number of workers."""
    return [outlook(period, *plan_of(period), number, limits) for period in PERIODS for number in workers]


def tables(workers: Sequence[int], limits: Limits) -> str:
    """Both tables, as docs/scaling.md has them."""
    lines = ["| limit | cores that it can keep busy |", "|---|---|"]
    lines += [f"| {name} | {number:,.1f} |" for name, number in limits_of(*plan_of("1 year"), limits).items()]
    lines += ["", "| period | files | workers | files/s | limit | hours | cores busy | dollars |", "|" + "---|" * 8]
    for one in look(workers, limits):
        speed = f"{one.files_per_s:,.0f} | {one.limit} | {_hours(one.hours)} | {one.busy:.0%}"
        lines.append(f"| {one.period} | {one.files:,} | {one.workers:,} | {speed} | {one.dollars:.2f} |")
    return "\n".join(lines)


def sizes() -> str:
    """Sizes that the layout rule chooses by the number of points, as docs/scaling.md has them."""
    lines = [
        "| points | days | points in a shard, a chunk | files a step | memory, GB | requests for a point's year | "
        "update, MB: values | written, average | at most |",
        "|" + "---:|" * 9,
    ]
    selection = parse_selection(resolve_settings(lead_hours="0-11"))
    start, end = PERIODS["1 year"]
    for n_points in SIZES:
        layout = choose_layout(selection, n_points)
        axis, now = Axis(start, selection.cycles), datetime(2026, 6, 1)
        plan = make_plan(selection, Period(start, end), n_points=n_points, layout=layout, now=now, axis=axis)
        costs = estimate(plan)
        written = (costs.update_new_bytes, costs.update_mean_bytes, costs.update_most_bytes)
        cells = [
            f"{n_points:,}",
            f"{layout.partition_days}",
            f"{layout.shard_points:,}, {layout.chunk_points}",
            f"{min(plan.step_files, plan.partition_files):,}",
            f"{plan.worker_bytes / 1e9:.2f}",
            f"{costs.series_requests + OPENING_REQUESTS}",
            f"{_megabytes(written[0])}",
            *(f"{_megabytes(one)} ({one / written[0]:,.0f} x)" for one in written[1:]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _megabytes(n_bytes: float) -> str:
    return f"{n_bytes / 1e6:.{max(0, 1 - math.floor(math.log10(n_bytes / 1e6)))}f}"


def _hours(hours: float) -> str:
    return f"{hours:.{max(0, 1 - math.floor(math.log10(hours)))}f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling", description=(__doc__ or "").splitlines()[0])
    defaults = Limits()
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS), help="default: 10 50 200 1000")
    parser.add_argument("--node-gbit", type=float, default=defaults.node_gbit, help="network of a node (default 10)")
    parser.add_argument("--node-cores", type=int, default=defaults.node_cores, help="workers of a node (default 8)")
    parser.add_argument("--prefixes", type=int, default=defaults.prefixes, help="partitions that S3 made (default 1)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the second table there")
    given = parser.parse_args(arguments)
    limits = Limits(node_gbit=given.node_gbit, node_cores=given.node_cores, prefixes=given.prefixes)
    if given.json:
        given.json.write_text(json.dumps([asdict(one) for one in look(given.workers, limits)], indent=1))
    print(tables(given.workers, limits), sizes(), sep="\n\n")


if __name__ == "__main__":
    main()
