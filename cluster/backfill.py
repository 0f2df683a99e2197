"""Backfill a store on an existing Dask cluster; README.md describes how to start one.

Run it on a machine with access to the scheduler, the archive and the store:

    python cluster/backfill.py tcp://10.0.0.5:8786 farms.csv 2024-01-01 2024-01-31 s3://my-bucket/farms.zarr

It prints the report as JSON to stdout, and its log to stderr. After an interruption, run the same command again to
do the rest. On Kubernetes it is the command of ``backfill/job.yaml``, which may start before the scheduler and the
first worker.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from distributed import Client
from pods import parse_settings, run_and_report

import hrrr_dask
from hrrr_dask.clusters import check_workers
from hrrr_dask.errors import RunError
from hrrr_dask.telemetry.log_progress import LogProgress

if TYPE_CHECKING:
    from hrrr_dask.report.results import Report

CONNECT_TIMEOUT_S = 20.0
"""Timeout of one attempt to connect to the scheduler [s]."""


def main() -> int:
    """Connect, check versions, backfill and report; return the exit code of ``hrrr-dask backfill``."""
    given = _parser().parse_args()
    return run_and_report(lambda: _backfill(given), gaps_are_done=given.gaps_are_done)


def _backfill(given: argparse.Namespace) -> Report:
    with _connect(given.scheduler, given.workers, given.wait) as client:
        check_workers(client)
        return hrrr_dask.backfill(
            given.points,
            given.start,
            given.end,
            given.store,
            client=client,
            progress=LogProgress(),
            **parse_settings(given.setting),
        )


def _connect(scheduler: str, workers: int, wait_s: float) -> Client:
    """Return a client when the scheduler responds and the given number of workers has joined."""
    deadline = time.monotonic() + wait_s
    while True:
        try:
            client = Client(scheduler, timeout=min(CONNECT_TIMEOUT_S, max(deadline - time.monotonic(), 1)))
            break
        except (OSError, TimeoutError) as error:
            if time.monotonic() >= deadline:
                raise RunError(
                    f"no Dask scheduler responds at {scheduler} after {wait_s:.0f} s: check the address, and that it "
                    f"runs ({error})"
                ) from error
            time.sleep(1)  # the name may not resolve yet, which fails immediately
    try:
        client.wait_for_workers(workers, timeout=max(deadline - time.monotonic(), 1))
    except TimeoutError as error:
        joined = len(client.scheduler_info(n_workers=-1)["workers"])
        client.close()
        raise RunError(
            f"{workers} workers are needed to start, {joined} have joined after {wait_s:.0f} s: find out why the "
            f"others have not (on Kubernetes: kubectl get pods), or start with fewer by --workers"
        ) from error
    return client


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scheduler", help="address, tcp://HOST:8786")
    parser.add_argument("points", help="CSV, lat,lon lines or GeoJSON")
    parser.add_argument("start", help="first init time, UTC")
    parser.add_argument("end", help="last init time, included; a date means its last run")
    parser.add_argument("store", help="directory or s3://bucket/prefix that every worker can access")
    parser.add_argument("--workers", type=int, default=1, help="workers to wait for before starting (default 1)")
    parser.add_argument("--wait", type=float, default=300.0, metavar="S", help="timeout for the cluster (default 300)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as lead_hours=0-36")
    parser.add_argument("--gaps-are-done", action="store_true", help="exit with 0 instead of 3 if the archive has gaps")
    return parser


if __name__ == "__main__":
    sys.exit(main())
