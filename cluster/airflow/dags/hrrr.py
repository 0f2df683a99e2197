"""Airflow DAGs: a backfill, month by month, and an hourly update. ../README.md describes how to install and run them.

Each task is one call of ``hrrr_dask``. The store knows which files it has, so that a DAG run that is repeated, after a
failure or by mistake, reads only what is missing.

Airflow forks a process for each task. The libraries that hrrr_dask reads and writes with have threads, which do not
survive a fork: so each task imports them itself, and nothing here may use them while Airflow parses the file.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import ExceptionRetryPolicy, Param, RetryAction, RetryRule, dag, task

MONTHS_AT_ONCE = int(os.environ.get("HRRR_MONTHS_AT_ONCE", "1"))
"""Months that are read concurrently. More than one helps a large cluster with an address; any other cluster is started
for each month."""

STORE = os.environ.get("HRRR_STORE", "s3://my-bucket/farms.zarr")
"""The default of the parameter ``store``."""

OUTAGES: dict[str, Any] = {
    "retries": 4,
    "retry_delay": timedelta(minutes=1),
    "retry_exponential_backoff": 2,  # one, two, four and eight minutes
    # Everything may be an outage, except a request that cannot be met as given.
    "retry_policy": ExceptionRetryPolicy(
        rules=[RetryRule(exception="hrrr_dask.errors.UsageError", action=RetryAction.FAIL)]
    ),
}
"""How tasks are retried, on top of what hrrr_dask retries itself: requests, and files of lost workers."""

TEXT = ["null", "string"]

READING = {
    "store": Param(STORE, type="string", description="Directory or URL of the Zarr store."),
    "cluster": Param("local", type="string", description="local, kubernetes, or an address: tcp://10.0.0.5:8786."),
    "workers": Param(None, type=["null", "integer"], description="Processes of this machine, or pods."),
    "settings": Param({}, type="object", description='Further settings of hrrr_dask: {"source": ["google"]}.'),
}
"""Parameters of both DAGs."""

PERIOD = {
    "start": Param(None, type=TEXT, description="First init time, UTC: 2024-01-31 or 2024-01-31T06."),
    "end": Param(None, type=TEXT, description="Last init time, included."),
    "points": Param(None, type=TEXT, description="Points file; optional for an existing store."),
    "cycles": Param(None, type=TEXT, description="Hours at which runs start, such as 0-23/6."),
    "lead_hours": Param(None, type=TEXT, description="Such as 0-18."),
    "variables": Param(None, type=TEXT, description="Names, with commas."),
}
"""Parameters of the backfill."""


def settings_of(params: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of hrrr_dask that were given."""
    names = ("cycles", "lead_hours", "variables", "cluster", "workers")
    given = {name: params[name] for name in names if params.get(name) is not None}
    return {**given, **params["settings"]}


def read(function: str, *arguments: Any, **settings: Any) -> dict[str, Any]:
    """Call a function of hrrr_dask that reads the archive, and return its report."""
    from dataclasses import asdict  # noqa: PLC0415

    import hrrr_dask  # noqa: PLC0415  see above
    from hrrr_dask.errors import RunError  # noqa: PLC0415

    report = getattr(hrrr_dask, function)(*arguments, progress=False, **settings)
    if report.interrupted:
        raise RunError("the run was interrupted; what was read is in the store, and another run does the rest")
    return asdict(report)


@task(**OUTAGES)
def show(reports: list[dict[str, Any]], params: dict[str, Any]) -> dict[str, Any]:
    """Return what was read, and the files, gaps and age of the store."""
    import hrrr_dask  # noqa: PLC0415  see above

    reports = list(reports)  # it is fetched anew each time
    has = hrrr_dask.status(params["store"], **params["settings"].get("store_options", {}))
    newest = has.newest_run
    return {
        "files_read": sum(report["files_read"] for report in reports),
        "values_missing": sum(sum(report["gaps"].values()) for report in reports),
        "newest_run": None if newest is None else f"{newest:%Y-%m-%dT%H}",
        "age_h": None if newest is None else (datetime.now(UTC).replace(tzinfo=None) - newest) // timedelta(hours=1),
        "files_complete": has.files_complete,
        "files_with_gaps": has.files_with_gaps,
        "files_to_do": has.files_to_do,
        "gaps": has.gaps,
    }


@dag(schedule=None, catchup=False, tags=["hrrr"], params={**PERIOD, **READING}, doc_md=__doc__)
def hrrr_backfill() -> None:
    """Read every file of a period that the store does not have yet."""

    @task(**OUTAGES)
    def plan(params: dict[str, Any]) -> list[dict[str, str]]:
        """Check the request, so that a mistake is found before a cluster is started, and split it into months."""
        import hrrr_dask  # noqa: PLC0415  see above
        from hrrr_dask.config.period import split_months  # noqa: PLC0415
        from hrrr_dask.errors import PlanError  # noqa: PLC0415

        if not (params["start"] and params["end"]):
            raise PlanError("a backfill needs the parameters start and end: 2024-01-31 or 2024-01-31T06, UTC")
        made = hrrr_dask.plan(
            params["points"], params["start"], params["end"], store=params["store"], **settings_of(params)
        )
        print(made)  # noqa: T201  the task's log
        months = split_months(made.period)
        return [{"start": f"{month.start:%Y-%m-%dT%H}", "end": f"{month.end:%Y-%m-%dT%H}"} for month in months]

    @task(
        max_active_tis_per_dagrun=MONTHS_AT_ONCE, map_index_template="{{ task.op_kwargs['month']['start'] }}", **OUTAGES
    )
    def read_month(month: dict[str, str], params: dict[str, Any]) -> dict[str, Any]:
        """Read what the store does not have of a month."""
        return read("backfill", params["points"], month["start"], month["end"], params["store"], **settings_of(params))

    show(read_month.expand(month=plan()))


@dag(
    schedule="25 * * * *",  # 18 lead hours are published about 80 to 90 minutes after the init time
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,  # two at once would be harmless, but useless
    tags=["hrrr"],
    params={
        **READING,
        "workers": Param(1, type=["null", "integer"], description="Processes; a run has few files."),
        "end": Param(None, type=TEXT, description="Last init time; by default now."),
    },
    doc_md=__doc__,
)
def hrrr_update() -> None:
    """Read the newest runs into an existing store, and retry gaps of the days before."""

    @task(**OUTAGES)
    def read_newest(params: dict[str, Any]) -> list[dict[str, Any]]:
        """Read the newest runs."""
        return [read("update", params["store"], end=params["end"], **settings_of(params))]

    show(read_newest())


hrrr_backfill()
hrrr_update()
