"""Back-fill a store on a Dask cluster that exists; README.md says how to start one.

Run it where it reaches the scheduler, the archive and the store:

    python cluster/backfill.py tcp://10.0.0.5:8786 farms.csv 2024-01-01 2024-01-31 s3://my-bucket/farms.zarr

It prints the report as JSON, and how far it is on stderr. Give the same command again for what an interrupted one left.
On Kubernetes it is the command of ``backfill/job.yaml``: it may start before the scheduler and the first worker are
there.
"""

from __future__ import annotations

import argparse
import sys
import time
from typing import TYPE_CHECKING

from distributed import Client
from pods import LogLines, answer, settings

import hrrr_dask
from hrrr_dask.clusters import check_workers
from hrrr_dask.errors import RunError

if TYPE_CHECKING:
    from hrrr_dask.report.results import Report

TRY_S = 20.0
"""For a scheduler to answer, before it is asked anew [s]."""


def main() -> int:
    """Connect, check, back-fill, report; the exit code is that of ``hrrr-dask backfill``."""
    given = _parser().parse_args()
    return answer(lambda: _backfill(given), gaps_are_done=given.gaps_are_done)


def _backfill(given: argparse.Namespace) -> Report:
    with _connect(given.scheduler, given.workers, given.wait) as client:
        check_workers(client)
        return hrrr_dask.backfill(
            given.points, given.start, given.end, given.store, client=client, show=LogLines(), **settings(given.setting)
        )


def _connect(scheduler: str, workers: int, wait_s: float) -> Client:
    """A client, when the scheduler answers and so many workers are there."""
    until = time.monotonic() + wait_s
    while True:
        try:
            client = Client(scheduler, timeout=min(TRY_S, max(until - time.monotonic(), 1)))
            break
        except (OSError, TimeoutError) as error:
            if time.monotonic() >= until:
                raise RunError(
                    f"no Dask scheduler answers at {scheduler} after {wait_s:.0f} s: check the address and that it "
                    f"runs ({error})"
                ) from error
            time.sleep(1)  # its name may not be known yet, which is found out at once
    try:
        client.wait_for_workers(workers, timeout=max(until - time.monotonic(), 1))
    except TimeoutError as error:
        there = len(client.scheduler_info(n_workers=-1)["workers"])
        client.close()
        raise RunError(
            f"{workers} workers are wanted to begin with, {there} are there after {wait_s:.0f} s: look why the others "
            f"do not come (on Kubernetes: kubectl get pods), or begin with fewer by --workers"
        ) from error
    return client


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("scheduler", help="address, tcp://HOST:8786")
    parser.add_argument("points", help="CSV, lat,lon lines or GeoJSON")
    parser.add_argument("start", help="first init time, UTC")
    parser.add_argument("end", help="last init time, included; a date means its last run")
    parser.add_argument("store", help="directory or s3://bucket/prefix that every worker reaches by this name")
    parser.add_argument("--workers", type=int, default=1, help="wait for so many before starting (default 1)")
    parser.add_argument("--wait", type=float, default=300.0, metavar="S", help="at most so long (default 300)")
    parser.add_argument("--setting", action="append", default=[], metavar="NAME=VALUE", help="such as lead_hours=0-36")
    parser.add_argument("--gaps-are-done", action="store_true", help="exit with 0, not 3, when the archive had gaps")
    return parser


if __name__ == "__main__":
    sys.exit(main())
