"""Prints plans, reports and the status of stores as tables, and shows progress on stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from typing import Any, Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    SpinnerColumn,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import (
    Progress as Bar,
)
from rich.table import Table

from hrrr_dask.catalog.lead_times import format_lead_time, format_lead_times
from hrrr_dask.catalog.products import PRODUCTS
from hrrr_dask.job.costs import Costs
from hrrr_dask.job.loop import Progress
from hrrr_dask.ledger.gaps import Gap
from hrrr_dask.outcomes import OUTCOMES
from hrrr_dask.planning.layout import explain_layout
from hrrr_dask.planning.memory import STEP_FILES
from hrrr_dask.planning.plan import Plan
from hrrr_dask.report.results import Report, Status

__all__ = ["ProgressLine", "live_progress", "plan_answer", "plan_table", "report_table", "status_tables"]

MAX_PRINTED_GAPS: Final = 50
"""Maximum number of gaps printed as a table."""


class ProgressLine:
    """Progress line of a run; appears with the first file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Bar(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("{task.fields[gaps]}"),
            TimeElapsedColumn(),
            TextColumn("ETA"),
            TimeRemainingColumn(),
            console=console,
            transient=False,
        )
        self._task: int | None = None
        self._named: set[str] = set()
        self._said = ""

    def __call__(self, progress: Progress) -> None:
        """Update the line; what the run waits for is printed above it, once."""
        if self._task is None:
            if progress.dashboard:
                self._console.print(f"Dask dashboard: [link={progress.dashboard}]{progress.dashboard}[/link]")
            self._bar.start()
            self._task = self._bar.add_task("files", total=progress.files_total, rate="", gaps="")
        self._print_news(progress)
        task = self._bar.tasks[0]
        rate = progress.bytes_read / 1e6 / max(task.elapsed or 0, 1e-3)
        self._bar.update(
            task.id,
            completed=progress.files_done,
            description=_doing(progress),
            rate=f"{rate:.1f} MB/s",
            gaps=f"{progress.gaps:,} values missing" if progress.gaps else "",
        )

    def _print_news(self, progress: Progress) -> None:
        news = [
            f"source {name} is skipped for now, {cause}"
            for name, cause in progress.skipped_sources.items()
            if name not in self._named
        ]
        self._named |= set(progress.skipped_sources)
        if progress.notice != self._said:
            self._said = progress.notice
            news.append(self._said or "the run continues")
        with suppress(OSError):  # a terminal that was closed
            for line in news:
                self._console.print(line, highlight=False, markup=False, soft_wrap=True)

    def stop(self) -> None:
        """Stop updating the line."""
        if self._task is not None:
            self._bar.stop()


def _doing(progress: Progress) -> str:
    if progress.draining:
        return "committing what is read"
    if progress.interrupted:
        return "interrupted"
    if progress.waiting:
        return "waiting for the cluster's workers"
    return f"files ({', '.join(progress.sources_down)} down)" if progress.sources_down else "files"


@contextmanager
def live_progress(console: Console) -> Iterator[ProgressLine]:
    """Show a progress line inside the block."""
    line = ProgressLine(console)
    try:
        yield line
    finally:
        line.stop()


def plan_table(plan: Plan, costs: Costs) -> Table:
    """Format a plan as a table."""
    selection, layout = plan.selection, plan.layout
    whole = (plan.n_files - plan.n_done) * PRODUCTS[selection.product].file_bytes
    done = f"; {plan.n_done:,} are already in the store" if plan.n_done else ""
    table = _table("plan")
    rows = [
        ("runs", f"{plan.n_runs:,} from {plan.period.start:%Y-%m-%dT%H} to {plan.period.end:%Y-%m-%dT%H}"),
        ("lead times", format_lead_times(selection.lead_minutes)),
        ("variables", ", ".join(variable.name for variable in selection.variables)),
        ("points", f"{plan.n_points:,}, {selection.method}"),
        ("files", f"{plan.n_files:,} of wrf{selection.product}, {selection.domain}" + done),
        (
            "to read",
            f"about {_size(plan.bytes_to_read)} of {_size(whole)}, in about {plan.requests:,} requests, "
            f"for files of the size that NOAA publishes for {selection.domain}",
        ),
        (
            "partitions",
            f"{plan.n_partitions:,} of {layout.partition_days} days, {_size(plan.partition_bytes)} raw each",
        ),
        (
            "shards",
            f"{layout.partition_days} days x all leads x {layout.shard_points} points, {_size(plan.shard_bytes)} raw, "
            f"in chunks of {layout.chunk_points} points",
        ),
        ("chosen", _reasons(plan)),
        (
            "store",
            f"about {costs.objects_a_year:,} objects and {_size(costs.stored_bytes_a_year)} a year; "
            f"one point's year of a variable is {costs.series_requests} requests, {_size(costs.series_bytes)}",
        ),
        (
            "update",
            f"one run is {_size(costs.update_new_bytes)} of values; its update writes "
            f"{_size(costs.update_mean_bytes)} on average ({_ratio(costs.update_mean_bytes, costs)}) and "
            f"{_size(costs.update_most_bytes)} at most ({_ratio(costs.update_most_bytes, costs)})",
        ),
        ("memory", f"about {_size(plan.worker_bytes)} a worker"),
        ("work", _work(costs)),
    ]
    rows += [("not reached", f"lead times {leads}: {count:,} runs do not reach them") for leads, count in _skips(plan)]
    if plan.absent:
        rows.append(("not available", f"{', '.join(plan.absent)}: no file of these runs and lead times has them"))
    if plan.not_started:
        rows.append(("in the future", f"{plan.not_started:,} runs have not started yet and are left out"))
    for row in rows:
        table.add_row(*row)
    return table


def _reasons(plan: Plan) -> str:
    layout, steps = plan.layout, -(-plan.partition_files // plan.step_files)
    why = "the most there are" if plan.step_files == STEP_FILES else "as many as the memory limit allows"
    parts = "one step writes" if steps == 1 else f"{steps} steps of at most {plan.step_files:,} files, {why}, write"
    return f"{layout.partition_days} days: {explain_layout(layout, plan.selection, plan.n_points)}; {parts} a partition"


def _ratio(n_bytes: int, costs: Costs) -> str:
    return f"{n_bytes / max(costs.update_new_bytes, 1):,.3g} times the values"


def _work(costs: Costs) -> str:
    calibration = costs.calibration
    basis = "measured" if calibration.measured else "assumed; measure with --calibrate"
    return (
        f"about {costs.core_hours:,.3g} core-hours with {calibration.engine} "
        f"({calibration.seconds_per_message * 1000:.3g} ms a message, {basis}), "
        f"{costs.dollars:,.3g} dollars at {costs.dollars_per_core_hour:g} a core-hour"
    )


def plan_answer(made: Plan, costs: Costs) -> dict[str, Any]:
    """Return a plan as JSON."""
    return {
        "start": made.period.start,
        "end": made.period.end,
        "runs": made.n_runs,
        "not_started": made.not_started,
        "files": made.n_files,
        "files_done": made.n_done,
        "lead_hours_not_reached": {f"{lead / 60:g}": count for lead, count in made.skipped.items()},
        "variables_never_there": made.absent,
        "points": made.n_points,
        "variables": {variable.name: str(variable.selector) for variable in made.selection.variables},
        "partitions": made.n_partitions,
        "layout": asdict(made.layout),
        "layout_reason": explain_layout(made.layout, made.selection, made.n_points),
        "step_files": made.step_files,
        "shard_bytes": made.shard_bytes,
        "partition_bytes": made.partition_bytes,
        "bytes_to_read": made.bytes_to_read,
        "requests": made.requests,
        "worker_bytes": made.worker_bytes,
        "costs": asdict(costs),
    }


def report_table(report: Report) -> Table:
    """Format the report of a backfill as a table."""
    table = _table(report.outcome)
    rate = report.bytes_read / 1e6 / max(report.seconds, 1e-3)
    table.add_row("store", report.store)
    table.add_row(
        "files", f"{report.files_read:,} read, {report.files_done_before:,} done before, of {report.files_wanted:,}"
    )
    table.add_row("read", f"{_size(report.bytes_read)} in {report.requests:,} requests, {rate:.1f} MB/s")
    if other := {name: count for name, count in report.decoded_by.items() if name != "numba"}:
        table.add_row("decoded", ", ".join(f"{_values(count)} by {name}" for name, count in other.items()))
    table.add_row("written", f"{_size(report.bytes_written)} in {report.partitions_written:,} partitions")
    table.add_row("time", f"{report.seconds:.1f} s")
    for name, cause in report.skipped_sources.items():
        table.add_row("source", f"{name} was skipped for a while, {cause}")
    for reason, count in report.gaps.items():
        table.add_row("gaps", f"{_values(count)} {reason}: {OUTCOMES[reason].meaning}")
    if report.gaps_by_variable:
        table.add_row("", ", ".join(f"{name} {count:,}" for name, count in report.gaps_by_variable.items()))
    if report.interrupted:
        table.add_row("", "interrupted: run the same command again for the rest")
    return table


def status_tables(status: Status) -> list[Table]:
    """Format the status of a store as tables: as a whole, and by day or month."""
    tables = [_status_table(status), _by_time(status)] if status.by_time else [_status_table(status)]
    return tables if status.gap_list is None else [*tables, _gap_table(status.gap_list)]


def _gap_table(gaps: tuple[Gap, ...]) -> Table:
    more = f", the first {MAX_PRINTED_GAPS:,}; --json has all" if len(gaps) > MAX_PRINTED_GAPS else ""
    table = Table(
        title=f"\n{len(gaps):,} gaps{more}", title_justify="left", box=None, pad_edge=False, header_style="bold"
    )
    for column in ("init_time", "lead", "reason", "tried", "retry"):
        table.add_column(column, justify="right" if column in ("lead", "tried") else "left", no_wrap=True)
    table.add_column("variables: detail")
    for gap in gaps[:MAX_PRINTED_GAPS]:
        mark = "quarantined: " if gap.quarantined else ""
        found = f"{mark}{gap.detail.strip().splitlines()[-1]}" if gap.detail.strip() else gap.source
        names = gap.variables[0] if len(gap.variables) == 1 else f"{gap.variables[0]} and {len(gap.variables) - 1} more"
        when = f"{gap.init_time:%Y-%m-%dT%H}"
        table.add_row(
            when, format_lead_time(gap.lead_minutes), gap.reason, f"{gap.attempts}", gap.again, f"{names}: {found}"
        )
    return table


def _by_time(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("\ninit_time", no_wrap=True)
    for column in ("files", "complete", "with gaps", "to do"):
        table.add_column(f"\n{column}", justify="right", no_wrap=True)
    table.add_column("\nmissing values")
    for row in status.by_time:
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in row.reasons)
        counts = (row.files_wanted, row.files_complete, row.files_with_gaps, row.files_to_do)
        table.add_row(row.label, *(f"{count:,}" if count else "-" for count in counts), reasons)
    return table


def _status_table(status: Status) -> Table:
    table = _table("status")
    table.add_row("store", status.store)
    table.add_row("runs", f"{status.first_init_time:%Y-%m-%dT%H} to {status.last_init_time:%Y-%m-%dT%H}")
    table.add_row("points", f"{status.n_points:,}")
    table.add_row("variables", ", ".join(status.variables))
    table.add_row(
        "files",
        f"{status.files_complete:,} complete, {status.files_with_gaps:,} with gaps, {status.files_to_do:,} to do",
    )
    for reason, count in status.gaps.items():
        table.add_row("gaps", f"{_values(count)} {reason}: {OUTCOMES[reason].meaning}")
    return table


def _table(title: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    return table


def _skips(plan: Plan) -> list[tuple[str, int]]:
    """Group lead times that some runs do not reach by the number of runs."""
    grouped: dict[int, list[int]] = {}
    for lead, count in plan.skipped.items():
        grouped.setdefault(count, []).append(lead)
    return [(format_lead_times(leads), count) for count, leads in grouped.items()]


def _values(count: int) -> str:
    return f"{count:,} value{'' if count == 1 else 's'}"


def _size(n_bytes: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 1000:
            return f"{n_bytes:.0f} {unit}" if unit == "B" else f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.3g} TB"
