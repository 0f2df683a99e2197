"""What .ci/workflows asks the engines: what their last runs did, and whether Airflow can fork the tasks of its DAGs.

Usage: workflow_state.py server | prefect | dags | forks PARAMETERS | airflow DATABASE
"""

from __future__ import annotations

import json
import multiprocessing
import os
import sqlite3
import sys
import time
from typing import Any
from urllib.request import Request, urlopen

TIMEOUT_S = 240.0
"""For a task in a forked process [s]."""


def main(what: str, *arguments: str) -> None:
    """Print one line, or wait."""
    if what == "server":
        wait_for_server()
    elif what == "prefect":
        print(describe_last_flow_run())  # noqa: T201
    elif what == "dags":
        print(check_dags())  # noqa: T201
    elif what == "forks":
        print(run_in_forks(json.loads(arguments[0])))  # noqa: T201
    else:
        print(describe_last_dag_run(*arguments))  # noqa: T201


def wait_for_server() -> None:
    """Wait until Prefect's server responds."""
    while True:
        try:
            urlopen(f"{os.environ['PREFECT_API_URL']}/health", timeout=20).close()  # noqa: S310  loopback
        except OSError:
            time.sleep(0.2)
        else:
            return


def describe_last_flow_run() -> str:
    """Return state and message of the last flow run, and what its page shows of the store."""
    (run,) = _ask("flow_runs", {"sort": "EXPECTED_START_TIME_DESC", "limit": 1})
    shown = {"artifacts": {"flow_run_id": {"any_": [run["id"]]}, "type": {"any_": ["markdown"]}}}
    pages = [artifact["data"] for artifact in _ask("artifacts", shown)]
    lines = [line for page in pages for line in page.splitlines() if line.startswith(("| files complete", "| newest"))]
    retried = sum(task["run_count"] > 1 for task in _ask("task_runs", {"flow_runs": {"id": {"any_": [run["id"]]}}}))
    return "; ".join([run["state"]["name"], run["state"]["message"] or "", f"{retried} tasks retried", *lines])


def _ask(what: str, which: dict[str, Any]) -> list[dict[str, Any]]:
    request = Request(  # noqa: S310  loopback
        f"{os.environ['PREFECT_API_URL']}/{what}/filter",
        json.dumps(which).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=30) as answer:  # noqa: S310
        found: list[dict[str, Any]] = json.load(answer)
        return found


def check_dags() -> str:
    """Parse the DAGs; an error if one cannot be parsed."""
    return ", ".join(f"{name}: {len(dag.tasks)} tasks" for name, dag in sorted(_parse_dags().items()))


def run_in_forks(params: dict[str, Any]) -> str:
    """Run the tasks of a backfill, each in a process that is forked from this one, as by a worker of Airflow."""
    dag = _parse_dags()["hrrr_backfill"]
    params = {**dag.params.dump(), **params}
    reports = [_fork(dag, "read_month", month=month, params=params) for month in _fork(dag, "plan", params=params)]
    shown = _fork(dag, "show", reports=reports, params=params)
    return f"{len(reports)} months, {shown['files_read']} files read, {shown['files_complete']} files complete"


def _fork(dag: Any, task: str, **arguments: Any) -> Any:
    context = multiprocessing.get_context("fork")
    answers = context.SimpleQueue()
    call = dag.get_task(task).python_callable
    child = context.Process(target=lambda: answers.put(call(**arguments)))
    child.start()
    child.join(TIMEOUT_S)
    hangs = child.is_alive()
    child.kill()
    assert not hangs, f"{task} hangs in a forked process"
    assert child.exitcode == 0, f"{task} fails in a forked process"
    return answers.get()


def _parse_dags() -> dict[str, Any]:
    from airflow.dag_processing.dagbag import DagBag  # noqa: PLC0415  only in Airflow's environment

    bag = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"])
    assert not bag.import_errors, bag.import_errors
    assert sorted(bag.dags) == ["hrrr_backfill", "hrrr_backfill_pods", "hrrr_update"], bag.dags
    started = {"obstore", "zarr", "distributed"} & set(sys.modules)
    assert not started, f"parsing the DAGs imports {started}, which do not survive a fork"
    return dict(bag.dags)


def describe_last_dag_run(database: str) -> str:
    """Return the state of the last DAG run, and the XCom of its task ``show``."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        run, dag, state = connection.execute("SELECT run_id, dag_id, state FROM dag_run ORDER BY id DESC").fetchone()
        of_run = "dag_id = ? AND run_id = ?"
        query = f"SELECT value FROM xcom WHERE {of_run} AND task_id = 'show' AND key = 'return_value'"  # noqa: S608
        row = connection.execute(query, (dag, run)).fetchone()
        query = f"SELECT count(*) FROM task_instance WHERE {of_run} AND try_number > 1"  # noqa: S608
        (retries,) = connection.execute(query, (dag, run)).fetchone()
    read = ""
    if row:
        found = json.loads(row[0])
        shown = json.loads(found) if isinstance(found, str) else found
        read = "{files_read} files read, {values_missing} values missing, newest {newest_run}, ".format(**shown)
    return f"{dag}: {state}; {read}{retries} retries"


if __name__ == "__main__":
    main(*sys.argv[1:])
