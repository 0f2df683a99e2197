"""Prefect flows: a backfill, month by month, and an hourly update. README.md describes how to deploy and run them.

    prefect deployment run hrrr-backfill/backfill --param start=2024-01-01 --param end=2024-12-31 …

Each task is one call of ``hrrr_dask``. The store knows which files it has, so that a flow run that is repeated, after
a failure or by mistake, reads only what is missing.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

from prefect import flow, get_run_logger, task, unmapped
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.futures import PrefectFuture, wait
from prefect.states import Completed, Failed, State
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff
from pydantic import Field

import hrrr_dask
from hrrr_dask.config.period import Period, split_months
from hrrr_dask.errors import RunError, UsageError


def worth_retrying(_: Any, __: Any, state: State[Any]) -> bool:
    """Return whether a failure may be an outage: everything except a request that cannot be met as given."""
    return not isinstance(state.result(raise_on_failure=False), UsageError)


outages = {
    "retries": 4,
    "retry_delay_seconds": exponential_backoff(60),  # one, two, four and eight minutes
    "retry_jitter_factor": 0.5,
    "retry_condition_fn": worth_retrying,
}
"""How tasks are retried, on top of what hrrr_dask retries itself: requests, and files of lost workers."""


@task(**outages)
def plan(points: str | None, start: str, end: str, store: str, settings: dict[str, Any]) -> tuple[Period, ...]:
    """Check the request, so that a mistake is found before a cluster is started, and split it into months."""
    made = hrrr_dask.plan(points, start, end, store=store, **settings)
    get_run_logger().info("%s", made)
    return split_months(made.period)


@task(task_run_name="read {month.start:%Y-%m}", **outages)
def read_month(month: Period, points: str | None, store: str, settings: dict[str, Any]) -> hrrr_dask.Report:
    """Read what the store does not have of a month."""
    return _finished(hrrr_dask.backfill(points, month.start, month.end, store, progress=False, **settings))


@task(**outages)
def read_newest(store: str, end: str | None, settings: dict[str, Any]) -> hrrr_dask.Report:
    """Read the newest runs, and retry gaps of the days before."""
    return _finished(hrrr_dask.update(store, end=end, progress=False, **settings))


@task(**outages)
def show(store: str, options: dict[str, str], reports: dict[str, hrrr_dask.Report]) -> str:
    """Show what was read, and what the store has, on the page of the flow run; return a summary."""
    name = re.sub(r"[^a-z0-9]+", "-", store.lower()).strip("-")
    table = [
        {
            "init times": label,
            "files wanted": report.files_wanted,
            "done before": report.files_done_before,
            "read": report.files_read,
            "values missing": sum(report.gaps.values()),
            "first files with gaps": ", ".join(report.first_files_with_gaps),
            "MB": round(report.bytes_read / 1e6, 1),
            "seconds": round(report.seconds, 1),
        }
        for label, report in reports.items()
    ]
    create_table_artifact(table, key=f"read-{name}", description=f"What this flow run read into {store}")
    create_markdown_artifact(describe(store, options), key=f"store-{name}", description=f"What {store} has")
    missing = sum(sum(report.gaps.values()) for report in reports.values())
    return f"{sum(report.files_read for report in reports.values()):,} files read, {missing:,} values missing"


def describe(store: str, options: dict[str, str]) -> str:
    """Describe a store in Markdown: its files, its gaps and its age."""
    has = hrrr_dask.status(store, **options)
    newest = has.newest_run
    age_h = 0 if newest is None else (datetime.now(UTC).replace(tzinfo=None) - newest) // timedelta(hours=1)
    rows = {
        "store": f"`{store}`",
        "newest run": "none" if newest is None else f"{newest:%Y-%m-%d %H} UTC, {age_h:,} h ago",
        "period": f"{has.first_init_time:%Y-%m-%d %H} to {has.last_init_time:%Y-%m-%d %H} UTC",
        "points": f"{has.n_points:,}",
        "files complete": f"{has.files_complete:,}",
        "files with gaps": f"{has.files_with_gaps:,}",
        "files to do": f"{has.files_to_do:,}",
        **{f"values {reason}": f"{count:,}" for reason, count in has.gaps.items()},
    }
    return "\n".join(["| | |", "|---|---|", *(f"| {name} | {text} |" for name, text in rows.items())])


@flow(name="hrrr-backfill")
def backfill(
    start: str,
    end: str,
    store: str,
    points: str | None = None,
    cycles: str | None = None,
    lead_hours: str | None = None,
    variables: str | None = None,
    cluster: str = "local",
    workers: int | None = None,
    months_at_once: Annotated[int, Field(ge=1, le=24)] = 1,
    settings: dict[str, Any] | None = None,
) -> State[Any]:
    """Read every file of a period that the store does not have yet, month by month.

    Parameters
    ----------
    start, end : str
        First and last init time, both included, UTC: ``2024-01-31`` or ``2024-01-31T06``.
    store : str
        Directory or URL of the Zarr store, made if it does not exist.
    points : str, optional
        Points file; optional for an existing store.
    cycles, lead_hours, variables : str, optional
        Such as ``0-23/6``, ``0-18`` and ``temperature_2m,wind_gust_surface``.
    cluster : str
        ``local``, ``kubernetes``, or a scheduler's address such as ``tcp://10.0.0.5:8786``.
    workers : int, optional
        Processes of this machine, or pods.
    months_at_once : int
        Months that are read concurrently. More than one helps a large cluster with an address: one month's last files
        do not leave it idle. Any other cluster is started for each month.
    settings : dict, optional
        Further settings of hrrr_dask by name, such as ``{"source": ["google"]}``.
    """
    named = {"cycles": cycles, "lead_hours": lead_hours, "variables": variables, "cluster": cluster, "workers": workers}
    given = {**{name: value for name, value in named.items() if value is not None}, **(settings or {})}
    months = plan(points, start, end, store, given)
    with ThreadPoolTaskRunner(max_workers=months_at_once) as runner:
        # The first month makes the store; then any number of writers can use it, also shards that two months share.
        parameters = {"points": unmapped(points), "store": unmapped(store), "settings": unmapped(given)}
        read: list[PrefectFuture[hrrr_dask.Report]] = []
        for some in (months[:1], months[1:]):
            read += runner.map(read_month, {"month": some, **parameters})
            wait(read)
    labels = [f"{month.start:%Y-%m}" for month in months]
    return _conclude(store, given, {label: each.state for label, each in zip(labels, read, strict=True)})


@flow(name="hrrr-update")
def update(
    store: str,
    end: str | None = None,
    cluster: str = "local",
    workers: int | None = 1,
    settings: dict[str, Any] | None = None,
) -> State[Any]:
    """Read the newest runs into an existing store, and retry gaps of the days before.

    Parameters
    ----------
    store : str
        Directory or URL of an existing store; a backfill makes it.
    end : str, optional
        Last init time; by default now.
    cluster, workers, settings
        As for the backfill. A run has few files: one process reads them in a minute or two.
    """
    given = {"cluster": cluster, **({} if workers is None else {"workers": workers}), **(settings or {})}
    return _conclude(store, given, {"newest": read_newest(store, end, given, return_state=True)})


def _finished(report: hrrr_dask.Report) -> hrrr_dask.Report:
    if report.interrupted:
        raise RunError("the run was interrupted; what was read is in the store, and another run does the rest")
    return report


def _conclude(store: str, settings: dict[str, Any], states: dict[str, State[Any]]) -> State[Any]:
    """Show what was read, also if a part failed, and return the state of the flow run."""
    reports = {label: state.result() for label, state in states.items() if state.is_completed()}
    summary = show(store, settings.get("store_options", {}), reports) if reports else "nothing was read"
    failed = {label: state for label, state in states.items() if label not in reports}
    if failed:
        first, state = next(iter(failed.items()))
        return Failed(message=f"{len(failed)} of {len(states)} failed, the first {first}: {state.message}; {summary}")
    return Completed(message=summary)
